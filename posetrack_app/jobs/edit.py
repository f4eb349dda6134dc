"""`posetrack edit`: corrections by hand, as data beside the tracks, and the corrected tracks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from posetrack_app.core.config import SecondPassConfig, SmoothingConfig
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import StrPath, refuse_to_replace, refuse_to_replace_input
from posetrack_app.core.json_file import as_text
from posetrack_app.core.words import counted
from posetrack_app.formats import Tracks
from posetrack_app.formats.convert import write_tracks
from posetrack_app.formats.edits_json.edit import Edit
from posetrack_app.formats.edits_json.file import edits_file, fingerprint_of, open_edits
from posetrack_app.formats.edits_json.file import read_edits as read_edits_file
from posetrack_app.jobs.convert import as_tracks, read_tracks
from posetrack_app.pipeline.editing.history import apply_edits as edited_table
from posetrack_app.pipeline.editing.refine import Refinement, refine_changed
from posetrack_app.pipeline.editing.replay import Replayed
from posetrack_app.pipeline.editing.replay import replay_edits as replayed_table
from posetrack_app.pipeline.editing.sightings import record_edit
from posetrack_app.pipeline.editing.table import TrackTable
from posetrack_app.pipeline.id_review import IdReview

_Settings = TypeVar("_Settings", SecondPassConfig, SmoothingConfig)


@dataclass(frozen=True)
class EditReport:
    """What was written to `out` (None: into the edits file): `applied` edits, and what became of replayed ones."""

    out: Path | None
    applied: int
    replayed: Sequence[Replayed] = ()

    def summary(self) -> str:
        """A line for the user, and one for each edit that was not applied."""
        unused = [result for result in self.replayed if result.new is None]
        misfits = sum(not result.fits for result in unused)
        text = f"{self.out}: " if self.out else ""
        text += f"{counted(self.applied, 'edit')} applied"
        if self.replayed:
            fit = "fits" if misfits == 1 else "fit"
            text += f", {len(unused) - misfits} not needed, {misfits} no longer {fit}"
        return "\n".join([text, *(f"  {result}" for result in unused)])


def add_edit(tracks: StrPath, edit: Edit) -> Edit:
    """Append an edit to the edits file beside `tracks`: `posetrack edit TRACKS`.

    Returns it as it was stored: with its time, the new id of a split, and where the people were. Raises InputError if
    the edit does not fit the tracks after the edits before it, or if another process is editing them.
    """
    content = read_tracks(tracks)
    with open_edits(Path(tracks), len(content.frames)) as file:
        table = edited_table(TrackTable.of(content), file.edits)
        stored, _ = record_edit(table, edit)
        file.append(stored)
    return stored


def undo_edit(tracks: StrPath) -> Edit:
    """Remove the last edit from the edits file beside `tracks`, and return it. Raises InputError if there is none."""
    content = read_tracks(tracks)
    with open_edits(Path(tracks), len(content.frames)) as file:
        return file.remove_last()


def read_edits(tracks: StrPath) -> list[Edit]:
    """The edits beside a tracks file, in order; none if it was never edited. An edits file itself can be given, too.

    Raises InputError naming the file and the wrong entry.
    """
    path = Path(tracks)
    if path.name.endswith(".edits.json"):
        return read_edits_file(path)[1]
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return read_edits_file(edits_file(path))[1] if edits_file(path).exists() else []


def replay_edits(tracks: StrPath, edits: StrPath) -> EditReport:
    """Append the edits of another run's edits file to that of `tracks`, with the ids that its people have in `tracks`.

    The report lists edits that are not needed any more, and those that no longer fit.
    """
    content = read_tracks(tracks)
    _, old = read_edits_file(Path(edits))
    with open_edits(Path(tracks), len(content.frames)) as file:
        replayed, _ = replayed_table(edited_table(TrackTable.of(content), file.edits), old)
        added = [result.new for result in replayed if result.new is not None]
        if added:
            file.append(*added)
    return EditReport(None, len(added), replayed)


def edit_tracks(tracks: Tracks, edits: Iterable[Edit]) -> Tracks:
    """Corrected tracks, in memory. `tracks` stays as it is.

    Gaps are filled and keypoints smoothed again for everyone whose poses or frames changed, as they were in `tracks`.
    `origins` are EDITED where a person's id or pose was corrected. Raises InputError for an edit that does not fit.
    """
    return _corrected(tracks, TrackTable.of(tracks), list(edits))


def apply_edits(
    tracks: StrPath | Tracks, out: StrPath, *, edits: StrPath | None = None, force: bool = False
) -> EditReport:
    """Write corrected tracks to `out`: `posetrack edit apply`. See `edit_tracks`.

    Args:
        tracks: the tracks file; it is not changed.
        out: the tracks file to write.
        edits: the edits file; default: the one beside `tracks`. Edits of another run are replayed: their people are
            found by place and time, and the report lists what no longer fits.
        force: overwrite an existing file.

    Raises InputError for anything that cannot be read or written, and for an edit that does not fit its own tracks.
    """
    target, content = Path(out), as_tracks(tracks)
    source = edits_file(content.path) if edits is None else Path(edits)
    for file, name in ((content.path, "the tracks file, which is never changed"), (source, "the edits file")):
        refuse_to_replace_input(file, [target], name)
    if not force:
        refuse_to_replace(target)
    if not source.exists():
        raise InputError(f"{source}: no such file; the tracks have no edits")
    described, todo = read_edits_file(source)
    table = TrackTable.of(content)
    replayed: list[Replayed] = []
    if described["sha256"] != fingerprint_of(content.path):
        if edits is None:
            raise InputError(
                f"{source} belongs to another version of {content.path.name}; "
                "name the edits file to replay it by place and time",
                option="edits",
            )
        replayed, _ = replayed_table(table, todo)
        todo = [result.new for result in replayed if result.new is not None]
    write_tracks(_corrected(content, table, todo), target)
    return EditReport(target, len(todo), replayed)


def _corrected(tracks: Tracks, table: TrackTable, edits: Sequence[Edit]) -> Tracks:
    edited = edited_table(table, edits)
    frames = refine_changed(table, edited, _refinement(tracks)).tracked_frames()
    review = IdReview()
    for frame in frames:
        review.see(frame.info, frame.people)
    confirmed = _confirmed(table, edits, edited)
    possible = [
        found.as_dict() for found in review.found if (found.frame, frozenset(found.ids)) not in confirmed
    ]
    before = tracks.info.get("edits", [])
    info = {
        **tracks.info,
        "possible_id_switches": possible,
        "edited_from": as_text(tracks.path.name),
        "edits": [*before, *(replace(edit, seen=()).as_dict() for edit in edits)],
    }
    return replace(tracks, info=info, frames=frames)


def _confirmed(
    table: TrackTable, edits: Sequence[Edit], edited: TrackTable
) -> set[tuple[int, frozenset[int]]]:
    """Frame and final ids of the possible id switches that a person called right."""
    found = set()
    for k, edit in enumerate(edits):
        if edit.op == "confirm" and edit.first is not None:
            then = edited_table(table, edits[:k])
            final = set()
            for number in edit.ids:
                rows = then.rows_of(number)
                final.add(int(edited.people.ids[rows[abs(then.frames[rows] - edit.first).argmin()]]))
            found.add((edit.first, frozenset(final)))
    return found


def _refinement(tracks: Tracks) -> Refinement:
    """How the file says that its poses were refined."""
    info = tracks.info
    second, config = info.get("second_pass"), info.get("config")
    smoothing = config.get("smoothing") if isinstance(config, Mapping) else None
    return Refinement(
        _settings(SecondPassConfig(), second, tracks.path) if isinstance(second, Mapping) else None,
        _settings(SmoothingConfig(), smoothing, tracks.path) if isinstance(smoothing, Mapping) else None,
    )


def _settings(default: _Settings, stored: Mapping[str, Any], path: Path) -> _Settings:
    """The settings in `info`; those of other versions are left out."""
    changes = {}
    for entry in fields(default):
        usual = getattr(default, entry.name)
        value = stored.get(entry.name, usual)
        if isinstance(usual, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(usual):
            raise InputError(f"{path}: in 'info', the setting '{entry.name}' cannot be {value!r}")
        changes[entry.name] = value
    return replace(default, **changes)
