"""The commands as functions: same names, same options, same results; see docs/python-api.md.

Paths may be text. Bad input raises InputError, whose text is the line that the command prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from posetrack_app.config import Config, load_config
from posetrack_app.errors import InputError
from posetrack_app.formats import Tracks
from posetrack_app.formats.convert import WRITERS, read_any, with_smoothed_keypoints
from posetrack_app.formats.whole import check_folder_of, refuse_to_replace

if TYPE_CHECKING:
    from posetrack_app.evaluation.evaluation import Evaluation
    from posetrack_app.offline_smoothing import Method
    from posetrack_app.relink import LinkReport
    from posetrack_app.run import Progress, Report

PathLikeText = str | PathLike[str]


def track_video(
    video: PathLikeText,
    out: PathLikeText,
    *,
    overlay: PathLikeText | None = None,
    preset: str = "default",
    config: Config | PathLikeText | None = None,
    device: str = "auto",
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    duration: float | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Find everybody in `video` and write the tracks to `out`: `posetrack run`.

    `video` is a file, a folder of pictures, or text that names a stream ("webcam:0", "rtsp://..."). `config` is a
    `Config`, or a TOML file whose settings go on top of the `preset`. `overlay` gets the video with the people
    drawn on it. Frames with `start` <= seconds < `stop`, or `duration` seconds of them, are taken, every
    `stride`-th. `resume` goes on with a stopped run of the same `out`; `force` writes over existing files.
    `progress` is called after each frame with frames done, frames expected (or None) and people so far. The report
    says how many frames and people there were and where the time went.
    """
    from posetrack_app import run

    return run.track_video(
        video if isinstance(video, str) else Path(video),
        Path(out),
        config=_settings(preset, config),
        device=device,
        overlay=None if overlay is None else Path(overlay),
        start=start,
        stop=stop,
        stride=stride,
        duration=duration,
        resume=resume,
        force=force,
        progress=progress,
    )


def render(
    video: PathLikeText,
    tracks: PathLikeText | Tracks,
    out: PathLikeText | None = None,
    *,
    contact_sheet: PathLikeText | None = None,
    trails: bool = False,
    only_ids: Iterable[int] | None = None,
    blur_faces: bool = False,
    names: Mapping[int, str] | None = None,
    side_by_side: bool = False,
    force: bool = False,
    on_frame: Callable[[], None] = lambda: None,
) -> int:
    """Draw `tracks` on `video`: the MP4 `out`, the PNG `contact_sheet`, or both: `posetrack render`.

    `on_frame` is called after each frame drawn into `out`. Gives the number of these frames, or of identities where
    there is only a contact sheet.
    """
    from posetrack_app.contact_sheet import check_sheet, write_contact_sheet
    from posetrack_app.drawing import Style
    from posetrack_app.overlay import render_video
    from posetrack_app.sources import check_drawings
    from posetrack_app.video.writer import partial_video

    if out is None and contact_sheet is None:
        raise InputError("say what to write: out, contact_sheet or both")
    targets = [] if out is None else [Path(out), partial_video(Path(out))]
    if contact_sheet is not None:
        check_sheet(Path(contact_sheet))
        targets.append(Path(contact_sheet))
    tracks_file = tracks.path if isinstance(tracks, Tracks) else Path(tracks)
    check_drawings(Path(video), tracks_file, targets, force=force)
    content = _tracks(tracks)
    ids = None if only_ids is None else frozenset(only_ids)
    if unknown := sorted(((ids or set()) | set(names or {})) - set(content.ids)):
        raise InputError(f"{tracks_file}: nobody has the id {', '.join(map(str, unknown))} there")
    style = Style(trails, ids, blur_faces, names or {}, side_by_side)
    done = 0
    if out is not None:
        done = render_video(Path(video), content, Path(out), style, on_frame)
    if contact_sheet is not None:
        shown = write_contact_sheet(Path(video), content, Path(contact_sheet), style)
        done = shown if out is None else done
    return done


def link(
    poses: PathLikeText,
    out: PathLikeText,
    *,
    preset: str = "default",
    config: Config | PathLikeText | None = None,
    offline: bool = False,
    smooth: Method = "butterworth",
    force: bool = False,
) -> LinkReport:
    """Link the people of the file `poses` anew, without video or networks: `posetrack link`.

    The report says how many frames, people and poses were written, and how many poses are nobody's.
    """
    from posetrack_app.offline import SecondPass
    from posetrack_app.offline_smoothing import METHODS
    from posetrack_app.relink import relink_file

    if not force:
        refuse_to_replace(Path(out))
    if smooth not in METHODS:
        raise InputError(f"there is no smoothing '{smooth}'; there are {', '.join(METHODS)}")
    second = SecondPass(smoothing=smooth) if offline else None
    return relink_file(Path(poses), Path(out), _settings(preset, config), second)


def convert(
    tracks: PathLikeText | Tracks,
    out: PathLikeText,
    *,
    to: str,
    smoothed: bool = False,
    force: bool = False,
) -> Tracks:
    """Write tracks in another format, one of `posetrack convert --help`; gives the tracks that were written.

    A folder is never written over.
    """
    if to not in WRITERS:
        raise InputError(f"there is no format '{to}'; there are {', '.join(WRITERS)}")
    if not force:
        refuse_to_replace(Path(out))
    content = _tracks(tracks)
    if smoothed:
        content = with_smoothed_keypoints(content)
    target = Path(out)
    check_folder_of(target)
    WRITERS[to](content, target)
    return content


def validate(file: PathLikeText) -> list[str]:
    """Faults of a tracks file with their places, a line each; [] where it is valid: `posetrack validate`."""
    from posetrack_app.formats.json_file import load_json
    from posetrack_app.formats.validate import find_faults

    return find_faults(load_json(Path(file)))


def evaluate(
    truth: PathLikeText,
    predictions: PathLikeText,
    *,
    protocols: Sequence[str] = ("corrected", "poseval"),
    keypoint_threshold: float | None = None,
    sweep: bool = False,
) -> Evaluation:
    """Score predictions against ground truth, two files or two folders: `posetrack evaluate`.

    `.totals` holds the figures in percent, `.as_json()` everything.
    """
    from posetrack_app.evaluation.evaluation import evaluate as score

    return score(Path(truth), Path(predictions), protocols, keypoint_threshold, sweep)


def read_tracks(file: PathLikeText) -> Tracks:
    """The tracks of a tracks.json, a PoseTrack18 file, or a .csv or .parquet of ours, as NumPy columns a frame."""
    return read_any(Path(file))


def write_tracks(tracks: Tracks, out: PathLikeText) -> None:
    """Write tracks.json; the way back from `read_tracks`, with whatever was changed in between."""
    WRITERS["tracks"](tracks, Path(out))


def _tracks(given: PathLikeText | Tracks) -> Tracks:
    return given if isinstance(given, Tracks) else read_tracks(given)


def _settings(preset: str, config: Config | PathLikeText | None) -> Config:
    if isinstance(config, Config):
        return config
    return load_config(preset, None if config is None else Path(config))
