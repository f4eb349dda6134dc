"""Many videos in one run: which they are, and what each one's tracks file is called."""

from __future__ import annotations

import glob
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePath

from posetrack_app.errors import InputError
from posetrack_app.formats.tracks import partial_file
from posetrack_app.formats.whole import check_name, refuse_to_replace, refuse_to_replace_input
from posetrack_app.journal import journal_file
from posetrack_app.manifest import manifest_file
from posetrack_app.video.folder import is_image, list_images
from posetrack_app.video.stream import is_stream, plain_name
from posetrack_app.video.writer import partial_video

_END_BYTES = 1 << 20
_LONGEST_NAME = 100
"""Of a file that is named after an address; file systems take 255 bytes, endings and temporary marks included."""


def expand_sources(arguments: Sequence[str], list_file: Path | None = None) -> list[str]:
    """Videos, folders of pictures and streams, in order; patterns become the files they stand for.

    `list_file` adds one source a line; empty lines and lines that start with # are left out. InputError where
    nothing is named, a pattern stands for nothing, or the list cannot be read.
    """
    named = [*arguments, *(_lines(list_file) if list_file else ())]
    sources: list[str] = []
    for name in named:
        if is_stream(name) or os.path.lexists(name) or not glob.has_magic(name):
            sources.append(name)
            continue
        found = sorted(glob.glob(name, recursive=True))
        if not found:
            raise InputError(f"{name}: no file matches this pattern")
        sources += found
    if not sources:
        raise InputError("give at least one video, folder of pictures or stream; see posetrack run --help")
    return sources


def _lines(list_file: Path) -> list[str]:
    try:
        lines = list_file.read_text(encoding="utf-8-sig").splitlines()  # Windows editors put a mark first
    except OSError as error:
        raise InputError(f"{list_file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{list_file}: is not a text file with one video a line") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def output_files(sources: Sequence[str], folder: Path) -> list[Path]:
    """A tracks file in `folder` for each source, named after it, all different.

    Videos of one name in different folders get the same folders below `folder`, on different drives with the
    drive's letter first; where only the ending tells two apart, it becomes part of the name. InputError where a
    source is named twice.
    """
    names = [_file_name(source) for source in sources]
    # Addresses that differ in what no file should be named after: user, password, query.
    names = [
        name.with_name(f"{name.name}_{hashlib.sha256(source.encode()).hexdigest()[:8]}")
        if is_stream(source) and names.count(name) > 1
        else name
        for name, source in zip(names, sources, strict=True)
    ]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InputError(f"{plain_name(sources[place])}: is named twice; name every video once")
    below = below_common_folder(names)
    for candidates in (
        [PurePath(path.stem) for path in below],
        [path.with_suffix("") for path in below],
        below,
    ):
        outs = [folder / f"{path}.json" for path in candidates]
        if (clash := _clash(outs)) is None:
            return outs
    raise InputError(f"two of the videos would both write {clash}; give them to runs of their own")


def below_common_folder(files: Sequence[PurePath]) -> list[PurePath]:
    """Absolute paths without the folders that all of them share; the drive is a folder where there are several."""
    try:
        common = os.path.commonpath([path.parent for path in files])
    except ValueError:  # Windows: nothing is shared by C: and D:
        return [PurePath(_plain(path.drive), path.relative_to(path.anchor)) for path in files]
    return [path.relative_to(common) for path in files]


def _plain(text: str) -> str:
    """Without what a file name cannot hold."""
    return "".join(letter if letter.isalnum() else "_" for letter in text).strip("_")


def _clash(outs: Sequence[Path]) -> Path | None:
    """A file that two of the runs would write; "a.run.json" is a.mp4's manifest and a.run.mp4's tracks."""
    seen: set[Path] = set()
    for out in outs:
        files = {out, *files_beside(out)}
        if seen & files:
            return min(seen & files)
        seen |= files
    return None


def files_beside(out: Path) -> tuple[Path, Path, Path]:
    """What a run may write beside its tracks file `out`: manifest, journal, and what a failed run keeps."""
    return manifest_file(out), journal_file(out), partial_file(out)


def check_targets(
    sources: Sequence[Path | str],
    outs: Sequence[Path],
    overlay: Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
) -> None:
    """InputError where a run of each source into the out of the same place would cost a file, before any work.

    Without `force` nothing that exists is written over. With `resume` what is done stays, and what a stopped
    run left is gone on with. `overlay` is for one source.
    """
    if force and resume:
        raise InputError("--resume keeps what is there and --force does not; give one of them")
    there: list[Path] = []
    for source, out in zip(sources, outs, strict=True):
        beside = files_beside(out)
        targets = [out, *beside, *([overlay, partial_video(overlay)] if overlay else [])]
        for target in targets:
            check_name(target)
        if out in beside:
            raise InputError(
                f"{out}: this ending is of files that a run keeps beside its tracks; name it .json"
            )
        if overlay in (out, *beside):
            raise InputError(f"{overlay}: is another file of this run; choose another name for the overlay")
        _refuse_own_input(source, targets)
        if resume and is_stream(source):
            raise InputError(f"{plain_name(source)}: a stream cannot be resumed; leave out --resume")
        if force or (resume and (out.exists() or journal_file(out).exists())):
            continue
        if journal_file(out).exists():
            raise InputError(
                f"{journal_file(out)}: a run of {out.name} was stopped, or still goes on; add --resume to go on "
                "with one that was stopped, or --force to start over"
            )
        there += [target for target in targets if target.exists()]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        hint = ", or --resume to do only the others" if len(outs) > 1 and not resume else ""
        raise InputError(f"{there[0]}{more}: exists already; choose another name or add --force{hint}")


def _refuse_own_input(source: Path | str, targets: Sequence[Path], name: str = "the video itself") -> None:
    """InputError where one of `targets` is the file `source`, by whatever path, or a picture in that folder."""
    if is_stream(source) or not os.path.exists(source):
        return
    refuse_to_replace_input(Path(source), targets, name)
    for target in targets:
        if target.exists() and is_image(target) and target.parent.samefile(source):
            raise InputError(f"{target}: is a picture of the video; choose another name for what is written")


def check_drawings(video: Path, tracks: Path, targets: Sequence[Path], *, force: bool) -> None:
    """InputError where what is drawn would be written over `video` or `tracks`, or without `force` over any file."""
    _refuse_own_input(video, targets)
    _refuse_own_input(tracks, targets, "the tracks file itself")
    if not force:
        refuse_to_replace(*targets)


def fingerprint(source: Path | str) -> str:
    """What tells a video from others of its name: bytes, and a CRC-32 of its first and last MiB; "" of a stream.

    Of a folder of pictures, all their bytes and a CRC-32 of their names and sizes.
    """
    if is_stream(source):
        return ""
    path = Path(source)
    if path.is_dir():
        pictures = [(picture.name, picture.stat().st_size) for picture in list_images(path)]
        size, told = sum(size for _, size in pictures), repr(pictures).encode("utf-8", "surrogateescape")
    else:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            told = file.read(_END_BYTES)
            file.seek(max(0, size - _END_BYTES))
            told += file.read()
    return f"{size}-{zlib.crc32(told):08x}"


def _file_name(source: str) -> Path:
    """An absolute path that stands for the source; a stream's address without what a file name cannot hold."""
    if not is_stream(source):
        return Path(os.path.abspath(source))
    return Path.cwd() / (
        "stdin" if source == "-" else _plain(plain_name(source).partition("://")[2] or source)[:_LONGEST_NAME]
    )
