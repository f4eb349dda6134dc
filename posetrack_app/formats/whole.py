"""Outputs that appear when they are whole: written beside the target, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from posetrack_app.errors import InputError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file in one step; InputError where that cannot be done."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def check_place(path: Path) -> None:
    """InputError where no file of that name can come to be."""
    check_name(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of the file to write")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is a device or a pipe; give the name of a file to write")
    check_folder_of(path)


def check_name(path: Path) -> None:
    """InputError where the file system takes no name that long; its folder need not exist yet."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        (folder / path.name).lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{path}: this name is too long for a file; choose a shorter one") from error


def check_folder_of(path: Path) -> None:
    """InputError where the folder that `path` is to be in does not exist."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it first")


def refuse_to_replace(*targets: Path) -> None:
    """InputError where one of these files is there already."""
    for target in targets:
        if target.is_file():
            raise InputError(f"{target}: exists already; choose another name or add --force")


def refuse_to_replace_input(source: Path, targets: Iterable[Path], name: str) -> None:
    """InputError where one of `targets` is the file `source`, by whatever path; `name` says what that is."""
    for target in targets:
        if target.exists() and source.exists() and target.samefile(source):
            raise InputError(f"{target}: is {name}; choose another name for what is written")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The name of a file to write, which becomes `path` when the block ends well; InputError if that fails.

    Where `path` is a link, what it leads to is written.
    """
    check_place(path)
    temporary = temporary_beside(path)
    try:
        yield temporary
        os.replace(temporary, os.path.realpath(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        # Where it could not be written it often cannot be removed either; the error above says why.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_beside(path: Path, ending: str = "") -> Path:
    """Where this process writes `path` until it is whole: in its folder, hidden, and short however long its name is."""
    start = _temporary_start(path)
    return start.with_name(f"{start.name}{os.getpid()}.tmp{ending}")


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left of `path` beside it; only where nobody else can be writing it now."""
    start = _temporary_start(path)
    for file in start.parent.glob(f"{start.name}[0-9]*.tmp*"):
        file.unlink(missing_ok=True)


def _temporary_start(path: Path) -> Path:
    """What the names of all processes' temporary files for `path`, or for what it leads to as a link, begin with."""
    place = Path(os.path.realpath(path))
    return place.with_name(f".posetrack-{zlib.crc32(os.fsencode(place.name)):08x}-")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which becomes `path` when the block ends well; `path` must not exist yet."""
    if path.exists():
        raise InputError(f"{path}: exists already; give the name of a new folder")
    temporary = temporary_beside(path)
    try:
        temporary.mkdir()
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
