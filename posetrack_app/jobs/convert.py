"""`posetrack convert` and `posetrack validate`: tracks in other formats."""

from __future__ import annotations

from pathlib import Path

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import StrPath, check_parent_folder, refuse_to_replace
from posetrack_app.formats import Tracks
from posetrack_app.formats.convert import WRITERS, read_any, with_smoothed_keypoints
from posetrack_app.formats.recognise import refuse_text_format
from posetrack_app.formats.tracks_json.validate_file import Faults, file_faults


def convert(
    tracks: StrPath | Tracks,
    out: StrPath,
    *,
    to: str,
    smoothed: bool = False,
    force: bool = False,
) -> Tracks:
    """Write tracks in another format and return the tracks that were written: `posetrack convert`.

    Args:
        tracks: a file that `read_tracks` reads, or its tracks.
        out: the file to write, or the folder for a format of several files. An existing folder is never overwritten.
        to: the format, one of `core.choices.FORMATS`.
        smoothed: write the smoothed keypoints in place of the raw ones.
        force: overwrite an existing file.

    Raises InputError for anything that cannot be read or written.
    """
    if to not in WRITERS:
        raise InputError(f"unknown format '{to}'; choose one of {', '.join(WRITERS)}", option="to")
    target = Path(out)
    if not force:
        refuse_to_replace(target)
    tables = (".csv", ".parquet")
    if target.suffix.lower() in tables and target.suffix.lower() != f".{to}":
        raise InputError(
            f"{target}: a name that ends in {target.suffix} is read as a table; choose another name, or the format "
            f"{target.suffix[1:].lower()}",
            option="to",
        )
    content = as_tracks(tracks)
    if smoothed:
        content = with_smoothed_keypoints(content)
    check_parent_folder(target)
    WRITERS[to](content, target)
    return content


def validate(file: StrPath) -> list[str]:
    """The faults of a tracks file with their places, one line each; [] if it is valid: `posetrack validate`."""
    return find_all_faults(file, all_lines=True).lines


def find_all_faults(file: StrPath, *, all_lines: bool) -> Faults:
    """The faults of a tracks file, grouped by kind; with `all_lines` also each of them.

    Raises InputError for a file that cannot be read, or that is of another format, which the text names.
    """
    path = Path(file)
    if path.is_dir() or path.suffix.lower() in (".csv", ".parquet"):
        raise InputError(f"{path} is not JSON; write it as tracks with posetrack convert, and validate these")
    refuse_text_format(path)
    return file_faults(path, all_lines=all_lines)


def read_tracks(file: StrPath) -> Tracks:
    """The tracks of a tracks.json, a PoseTrack18 file, a .csv or .parquet of ours, or a folder of `per-track` files.

    Raises InputError for anything that cannot be read.
    """
    return read_any(Path(file))


def write_tracks(tracks: Tracks, out: StrPath) -> None:
    """Write tracks, such as changed ones from `read_tracks`, as tracks.json. An existing file is overwritten."""
    WRITERS["tracks"](tracks, Path(out))


def as_tracks(tracks: StrPath | Tracks) -> Tracks:
    """The tracks themselves, or those of a file."""
    return tracks if isinstance(tracks, Tracks) else read_tracks(tracks)
