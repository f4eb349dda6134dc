"""Many videos in one run: which they are, and what each one's tracks file is called."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from posetrack_app.errors import InputError
from posetrack_app.journal import journal_file
from posetrack_app.video.stream import is_stream


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

    Videos of one name in different folders get the same folders below `folder`; where only the ending tells two
    apart, it becomes part of the name. InputError where a source is named twice.
    """
    names = [_file_name(source) for source in sources]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise InputError(f"{sources[place]}: is named twice; name every video once")
    common = Path(os.path.commonpath([path.parent for path in names]))
    below = [path.relative_to(common) for path in names]
    for candidates in ([Path(path.stem) for path in below], [path.with_suffix("") for path in below]):
        if len(set(candidates)) == len(candidates):
            return [folder / f"{path}.json" for path in candidates]
    return [folder / f"{path}.json" for path in below]


def refuse_to_overwrite(outs: Sequence[Path], overlay: Path | None = None) -> None:
    """InputError where a target is there, or what a stopped run of it left."""
    for out in outs:
        if journal_file(out).exists():
            raise InputError(
                f"{journal_file(out)}: a run of {out.name} was stopped; add --resume to go on with it, "
                "or --force to start over"
            )
    there = [target for target in (*outs, *([overlay] if overlay else [])) if target.exists()]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        hint = ", or --resume to do only the others" if len(outs) > 1 else ""
        raise InputError(f"{there[0]}{more}: exists already; choose another name or add --force{hint}")


def _file_name(source: str) -> Path:
    """An absolute path that stands for the source; a stream's address without what a file name cannot hold."""
    if not is_stream(source):
        return Path(os.path.abspath(source))
    plain = "".join(letter if letter.isalnum() else "_" for letter in source.partition("@")[2] or source)
    return Path.cwd() / (plain.strip("_") or "stdin")
