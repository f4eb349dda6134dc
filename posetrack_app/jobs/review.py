"""`posetrack review`: look at tracks and correct them on a local web page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import StrPath, refuse_to_replace, refuse_to_replace_input
from posetrack_app.drawing.overlay import check_same_video
from posetrack_app.formats import Tracks
from posetrack_app.formats.edits_json.edit import Edit, edit_from
from posetrack_app.formats.edits_json.file import EditsFile, edits_file, open_edits, read_edits, schema
from posetrack_app.formats.json_schema import path_text, schema_faults
from posetrack_app.jobs.convert import read_tracks
from posetrack_app.pipeline.editing.history import apply_edits
from posetrack_app.pipeline.editing.sightings import record_edit
from posetrack_app.pipeline.editing.table import TrackTable
from posetrack_app.review.columns import Columns, columns_of
from posetrack_app.review.export import write_page
from posetrack_app.review.frames import FrameStore
from posetrack_app.video.any_frame import AnyFrame

_LOGGER = logging.getLogger("posetrack")
_LOCALHOST = "127.0.0.1"


def review(
    tracks: StrPath,
    *,
    video: StrPath | None = None,
    host: str = _LOCALHOST,
    port: int = 0,
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the review page of a tracks file until ctrl-C: `posetrack review`.

    Edits are stored in `tracks.edits.json` beside the tracks after each change; nothing else is written.

    Args:
        tracks: a file that `read_tracks` reads.
        video: the video or image folder that was tracked; by default the file that the tracks name, beside them or in
            the current folder. Without a video the people are shown on a plain background.
        host: the address to listen on; others than this machine's own are open to the network.
        port: of the server; 0 takes a free one.
        on_ready: gets the address of the page, with its token.

    Raises InputError for anything that cannot be read, if another process edits these tracks, or if the packages of
    the extra `review` are missing.
    """
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise InputError(
            "the review page needs Starlette and uvicorn; run: pip install 'posetrack-app[review]'"
        )
    from posetrack_app.review.server import serve

    with open_session(Path(tracks), None if video is None else Path(video)) as session:
        serve(session, host, port, on_ready)


def export_review(
    tracks: StrPath,
    out: StrPath,
    *,
    video: StrPath | None = None,
    force: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> int:
    """Write the review page with its tracks and small frames as one file, to look at only: `posetrack review --export`.

    Edits beside the tracks are shown as made. Returns the size of the file in bytes.

    Args:
        tracks: a file that `read_tracks` reads.
        out: the HTML file to write.
        video: as in `review`.
        force: overwrite an existing file.
        on_frame: called after each frame of the video.

    Raises InputError for anything that cannot be read or written.
    """
    source, target = Path(tracks), Path(out)
    content = read_tracks(source)
    frames = _open_video(content, None if video is None else Path(video))
    inputs = {edits_file(source): "the edits", source: "the tracks file itself"}
    if frames is not None:
        inputs[frames.info.path] = "the video itself"
    for path, name in inputs.items():
        refuse_to_replace_input(path, [target], name)
    if not force:
        refuse_to_replace(target)
    path = edits_file(source)
    edits = read_edits(path)[1] if path.exists() else []
    original = TrackTable.of(content)
    switches = _Switches(content, original)
    table = apply_edits(original, edits)
    found = switches.now(table, switches.confirmed(original, edits))
    about = {**_about(content, frames), **_state(edits, can_redo=False, revision=0), "switches": found}
    about["can_edit"] = False
    return write_page(target, _columns(table), about, frames, on_frame)


@contextmanager
def open_session(tracks: Path, video: Path | None) -> Iterator[ReviewSession]:
    """A session on `tracks`, whose edits file is locked while the block lasts."""
    content = read_tracks(tracks)
    frames = _open_video(content, video)
    with ExitStack() as stack:
        file = stack.enter_context(open_edits(tracks, len(content.frames)))
        store = None if frames is None else stack.enter_context(FrameStore(frames))
        yield ReviewSession(content, file, store, _about(content, frames))


class ReviewSession:
    """The tracks on the page: the original ones, the edits in their file, and what follows from both.

    See `posetrack_app.review.server.Session` for its methods. A lock lets one change pass at a time.
    """

    def __init__(
        self, tracks: Tracks, file: EditsFile, frames: FrameStore | None, about: Mapping[str, Any]
    ) -> None:
        self._lock = threading.Lock()
        self._original = TrackTable.of(tracks)
        self._switches = _Switches(tracks, self._original)
        self._file = file
        self._frames = frames
        self._about = about
        self._undone: list[Edit] = []
        self._revision = 0
        self._table = apply_edits(self._original, file.edits)
        self._columns = _columns(self._table)

    def tracks(self) -> bytes:
        with self._lock:
            confirmed = self._switches.confirmed(self._original, self._file.edits)
            switches = self._switches.now(self._table, confirmed)
            about = {**self._about, **self._now(), "switches": switches, "can_edit": True}
            return self._columns.tracks_message(about)

    def keypoints(self, block: int) -> bytes:
        with self._lock:
            return self._columns.keypoints_message(block)

    def frame(self, index: int) -> bytes | None:
        return None if self._frames is None else self._frames.get(index)

    def change(self, what: str, edit: Mapping[str, Any], revision: int) -> Mapping[str, Any]:
        from posetrack_app.review.server import OutdatedError

        with self._lock:
            if revision != self._revision:
                raise OutdatedError("these tracks were changed in another window; the page shows them now")
            if what == "add":
                self._append(_checked_edit(edit))
                self._undone.clear()
            elif what == "undo":
                self._undone.append(self._file.remove_last())
                self._table = apply_edits(self._original, self._file.edits)
            elif not self._undone:
                raise InputError("there is no edit to redo")
            else:
                self._append(self._undone[-1])
                self._undone.pop()
            self._revision += 1
            self._columns = _columns(self._table)
            return self._now()

    def _append(self, edit: Edit) -> None:
        recorded, table = record_edit(self._table, edit)
        self._file.append(recorded)
        self._table = table

    def _now(self) -> dict[str, Any]:
        return _state(self._file.edits, can_redo=bool(self._undone), revision=self._revision)


class _Switches:
    """The possible id switches of a tracks file, and who their people are after edits."""

    def __init__(self, tracks: Tracks, original: TrackTable) -> None:
        self._switches: list[dict[str, Any]] = tracks.info.get("possible_id_switches", [])
        # A row stays the same pose after every edit, so the row nearest to the switch says who it is now.
        self._rows = [
            [_nearest_row(original, number, switch["frame"]) for number in switch["ids"]]
            for switch in self._switches
        ]

    def confirmed(self, original: TrackTable, edits: Sequence[Edit]) -> set[int]:
        """Which of them a person called right; an edit names the people as they were called when it was made."""
        found: set[int] = set()
        table, done = original, 0
        for k, edit in enumerate(edits):
            if edit.op != "confirm":
                continue
            table, done = apply_edits(table, edits[done:k]), k
            found |= {
                number
                for number, switch in enumerate(self._switches)
                if switch["frame"] == edit.first and self._ids(number, table) == sorted(edit.ids)
            }
        return found

    def now(self, table: TrackTable, confirmed: Container[int]) -> list[dict[str, Any]]:
        """Each switch with `now`, the present ids of its people who are not deleted, and whether it is `confirmed`."""
        return [
            {**switch, "now": self._ids(number, table), "confirmed": number in confirmed}
            for number, switch in enumerate(self._switches)
        ]

    def _ids(self, number: int, table: TrackTable) -> list[int]:
        rows = [row for row in self._rows[number] if row >= 0 and not table.is_deleted[row]]
        return sorted({int(table.people.ids[row]) for row in rows})


def _nearest_row(table: TrackTable, number: int, frame: int) -> int:
    """The row of a person in the frame nearest to `frame`; -1 if the file has no such person."""
    rows = table.rows_of(number)
    return int(rows[np.abs(table.frames[rows] - frame).argmin()]) if len(rows) else -1


def _state(edits: Sequence[Edit], *, can_redo: bool, revision: int) -> dict[str, Any]:
    """What the page shows of the edits."""
    shown = [
        {**{key: value for key, value in edit.as_dict().items() if key != "seen"}, "text": str(edit)}
        for edit in edits
    ]
    return {"edits": shown, "can_redo": can_redo, "revision": revision}


def _checked_edit(content: Mapping[str, Any]) -> Edit:
    """The edit that the page sent; InputError if it is none."""
    edit = {"from": None, "to": None, **content, "time": "", "seen": []}
    for place, fault in schema_faults(edit, schema()["properties"]["edits"]["items"], schema()):
        raise InputError(f"the edit's {path_text(place) or 'content'} {fault}")
    try:
        return edit_from(edit)
    except ValueError as error:
        raise InputError(str(error)) from error


def _columns(table: TrackTable) -> Columns:
    kept = ~table.is_deleted
    return columns_of(table.infos, table.frames[kept], table.people[kept])


def _about(tracks: Tracks, frames: AnyFrame | None) -> dict[str, Any]:
    """What the page has to know about the tracks and their video, besides the columns."""
    width, height = next((frame.info.size for frame in tracks.frames), (0, 0))
    if frames is not None:
        width, height = frames.info.width, frames.info.height
    return {
        "file": tracks.path.name,
        "edits_file": edits_file(tracks.path).name,
        "width": width,
        "height": height,
        "has_video": frames is not None,
        "pixel_aspect": 1.0 if frames is None else float(frames.info.pixel_aspect),
        "keypoint_names": tracks.skeleton.keypoints,
        "limbs": tracks.skeleton.limbs,
    }


def _open_video(tracks: Tracks, video: Path | None) -> AnyFrame | None:
    """The given video, or that which the tracks name if it is there; checked to be the one that was tracked."""
    path = video or _find_video(tracks)
    if path is None:
        _LOGGER.warning("%s: its video was not found, so the page shows people without frames", tracks.path)
        return None
    frames = AnyFrame(path)
    check_same_video(frames.info, tracks)
    return frames


def _find_video(tracks: Tracks) -> Path | None:
    about = tracks.info.get("video")
    name = about.get("file") if isinstance(about, dict) else None
    if not isinstance(name, str) or not name:
        return None
    places = (tracks.path.parent / Path(name).name, Path(name).name)
    return next((Path(place) for place in places if Path(place).exists()), None)
