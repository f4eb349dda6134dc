"""The output files of `posetrack run` and `posetrack render`; no existing file is lost by accident."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import check_name_length, refuse_to_replace, refuse_to_replace_input
from posetrack_app.core.words import counted
from posetrack_app.formats.tracks_json.writer import partial_file
from posetrack_app.jobs.journal import journal_file
from posetrack_app.jobs.manifest import manifest_file
from posetrack_app.video.folder import is_image
from posetrack_app.video.source_name import is_pipe, is_stream, plain_name
from posetrack_app.video.writer import partial_video

_MAX_NAME_LENGTH = 100
"""Of a file that is named after an address. File systems allow 255 bytes with all endings."""


def output_files(sources: Sequence[str], folder: Path) -> list[Path]:
    """A different tracks file in `folder` for each source, named after it.

    Videos of the same name in different folders get these folders below `folder`, on different drives with the drive
    letter first. If two names differ only in the ending, it becomes part of the name. Raises InputError if a source is
    given twice.
    """
    names = [_file_name(source) for source in sources]
    # Addresses may differ only in the user, the password or the query, which a file name must not contain.
    names = [
        name.with_name(f"{name.name}_{hashlib.sha256(source.encode()).hexdigest()[:8]}")
        if is_stream(source) and names.count(name) > 1
        else name
        for name, source in zip(names, sources, strict=True)
    ]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise InputError(f"{plain_name(sources[position])} is listed twice; list each video once")
    below = below_common_folder(names)
    for stems in (
        [PurePath(path.stem) for path in below],
        [path.with_suffix("") for path in below],
        below,
    ):
        outs = [folder / f"{stem}.json" for stem in stems]
        if (clash := _clash(outs)) is None:
            return outs
    raise InputError(f"two of the videos would both write {clash}; track them in separate runs")


def overlay_files(outs: Sequence[Path], out_dir: Path, overlay_dir: Path) -> list[Path]:
    """The overlay of each tracks file: the same name and folder, below `overlay_dir`."""
    return [overlay_dir / out.relative_to(out_dir).with_suffix(".mp4") for out in outs]


def below_common_folder(files: Sequence[PurePath]) -> list[PurePath]:
    """Absolute paths, relative to the folder that contains all of them; drives become folders if there are several."""
    try:
        common = os.path.commonpath([path.parent for path in files])
    except ValueError:  # Windows: C: and D: have no common folder
        return [PurePath(_plain(path.drive), path.relative_to(path.anchor)) for path in files]
    return [path.relative_to(common) for path in files]


def _plain(text: str) -> str:
    """Replace the characters that a file name cannot contain."""
    return "".join(letter if letter.isalnum() else "_" for letter in text).strip("_")


def _clash(outs: Sequence[Path]) -> Path | None:
    """A file that two of the runs would write: "a.run.json" is the manifest of a.mp4 and the tracks of a.run.mp4."""
    seen: set[Path] = set()
    for out in outs:
        files = {out, *files_beside(out)}
        if seen & files:
            return min(seen & files)
        seen |= files
    return None


def files_beside(out: Path) -> tuple[Path, Path, Path]:
    """What a run may write beside its tracks file `out`: the manifest, the journal, and partial tracks."""
    return manifest_file(out), journal_file(out), partial_file(out)


def check_targets(
    sources: Sequence[Path | str],
    outs: Sequence[Path],
    overlays: Sequence[Path] = (),
    *,
    resume: bool = False,
    force: bool = False,
) -> None:
    """Raise InputError before any work if a run would overwrite an input, or without `force` another file.

    Args:
        sources: the videos.
        outs: the tracks file of each video.
        overlays: the overlay of each video; empty if none is drawn.
        resume: finished files are kept and stopped runs continued, so both may exist.
        force: existing outputs may be overwritten.
    """
    if force and resume:
        raise InputError("resume keeps existing files and force overwrites them; choose one", option="force")
    existing: list[Path] = []
    for number, (source, out) in enumerate(zip(sources, outs, strict=True)):
        overlay = overlays[number] if overlays else None
        beside = files_beside(out)
        check_tracks_name(out)
        targets = [out, *beside, *([overlay, partial_video(overlay)] if overlay else [])]
        for target in targets:
            check_name_length(target)
        if out in beside:
            raise InputError(
                f"{out}: this ending is reserved for files beside the tracks; end the name in .json"
            )
        if overlay in (out, *beside):
            raise InputError(f"{overlay} is another file of this run; choose another name for the overlay")
        _refuse_own_input(source, targets)
        if resume and is_stream(source):
            raise InputError(f"{plain_name(source)}: a live stream cannot be replayed", option="resume")
        if force or (resume and (out.exists() or journal_file(out).exists())):
            continue
        if journal_file(out).exists():
            raise InputError(
                f"{journal_file(out)}: a run that writes {out.name} was stopped, or is still running; resume a stopped "
                "one, or choose another name",
                option="resume",
            )
        existing += [target for target in targets if target.exists()]
    if existing:
        raise InputError(f"{_already_exist(existing)}; {_choices(len(outs), resume)}", option="force")


_OTHER_ENDINGS = {".csv": "csv", ".parquet": "parquet", ".txt": "mot", ".trc": "trc"}
_VIDEO_ENDINGS = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")


def check_tracks_name(out: Path) -> None:
    """Raise InputError if `out`, which gets JSON, ends like a table or a video; the text names the right command."""
    ending = out.suffix.lower()
    json_name = out.with_suffix(".json").name
    if ending in _OTHER_ENDINGS:
        raise InputError(
            f"{out}: tracks are written as JSON; write {json_name}, then make {_OTHER_ENDINGS[ending]} of it with "
            "posetrack convert",
            option="out",
        )
    if ending in _VIDEO_ENDINGS:
        raise InputError(
            f"{out}: tracks are written as JSON; end the name in .json, and draw a video with posetrack render",
            option="out",
        )


def _already_exist(files: Sequence[Path]) -> str:
    more = len(files) - 1
    if not more:
        return f"{files[0]} already exists"
    return f"{files[0]} and {counted(more, 'more file')} already exist"


def _choices(videos: int, resume: bool) -> str:
    if videos == 1:
        return "choose another name or overwrite it"
    if resume:
        return "choose another folder or overwrite them"
    return "choose another folder, resume to track only the other videos, or overwrite them"


def _refuse_own_input(source: Path | str, targets: Sequence[Path], name: str = "the video itself") -> None:
    """Raise InputError if one of `targets` is the file `source`, also through links, or an image in that folder."""
    if is_stream(source) or not os.path.exists(source):
        return
    refuse_to_replace_input(Path(source), targets, name)
    for target in targets:
        if target.exists() and is_image(target) and target.parent.samefile(source):
            raise InputError(f"{target} is an image of the video; choose another name for the output")


def check_drawings(video: Path, tracks: Path, targets: Sequence[Path], *, force: bool) -> None:
    """Raise InputError if one of `targets` is `video` or `tracks`, or without `force` exists."""
    _refuse_own_input(video, targets)
    _refuse_own_input(tracks, targets, "the tracks file itself")
    if not force:
        refuse_to_replace(*targets)


def _file_name(source: str) -> Path:
    """An absolute path that stands for the source; of an address only what a file name can contain."""
    if not is_stream(source) or (source != "-" and is_pipe(source)):
        return Path(os.path.abspath(source))
    if source == "-":
        return Path.cwd() / "stdin"
    address = plain_name(source).partition("://")[2] or source
    return Path.cwd() / _plain(address)[:_MAX_NAME_LENGTH]
