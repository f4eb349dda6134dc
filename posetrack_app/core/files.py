"""Output files: checked before the work starts, never overwritten by accident, written atomically, locked."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import IO

from posetrack_app.core.errors import InputError

if sys.platform != "win32":
    import fcntl

StrPath = str | PathLike[str]


def check_output_file(path: Path) -> None:
    """Raise InputError if no file can be created at `path`."""
    check_name_length(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file to write")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a device or a pipe; give the name of a file to write")
    check_parent_folder(path)
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Raise InputError if no file can be created in `folder`, or if it cannot be created itself."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; choose another place for the output")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"{folder}: no file can be written there ({error.strerror})") from error


def check_name_length(path: Path) -> None:
    """Raise InputError if the name of `path` is too long for its file system. Its folder need not exist yet."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        (folder / path.name).lstat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{path}: this file name is too long; choose a shorter one") from error


def check_parent_folder(path: Path) -> None:
    """Raise InputError if the folder of `path` does not exist."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it first")


def refuse_to_replace(*targets: Path) -> None:
    """Raise InputError if one of these files exists."""
    for target in targets:
        if target.is_file():
            raise InputError(f"{target} already exists; choose another name or overwrite it", option="force")


def refuse_to_replace_input(source: Path, targets: Iterable[Path], name: str) -> None:
    """Raise InputError if one of `targets` is the file `source`, also through links; `name` describes `source`."""
    for target in targets:
        if target.exists() and source.exists() and target.samefile(source):
            raise InputError(f"{target} is {name}; choose another name for the output")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file in one step; see `atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary file to write; it becomes `path` when the block ends without an error.

    If `path` is a link, the file it points to is replaced. Raises InputError if writing fails.
    """
    check_output_file(path)
    temporary = temporary_path(path)
    try:
        yield temporary
        os.replace(temporary, os.path.realpath(path))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        # Removing may fail for the same reason as writing did; the error above is the one to report.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder to fill; it becomes `path` when the block ends without an error.

    Raises InputError if `path` exists or writing fails.
    """
    if path.exists():
        raise InputError(f"{path} already exists; give the name of a new folder")
    temporary = temporary_path(path)
    try:
        temporary.mkdir()
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_path(path: Path, suffix: str = "") -> Path:
    """The temporary file of this process for `path`: hidden, in the same folder, with a short name."""
    start = _temporary_prefix(path)
    return start.with_name(f"{start.name}{os.getpid()}.tmp{suffix}")


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of killed processes for `path`. Call it only while no other process writes `path`."""
    start = _temporary_prefix(path)
    for file in start.parent.glob(f"{start.name}[0-9]*.tmp*"):
        file.unlink(missing_ok=True)


def _temporary_prefix(path: Path) -> Path:
    """What the temporary files of all processes for `path` (or for the target of a link) start with."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".posetrack-{zlib.crc32(os.fsencode(target.name)):08x}-")


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process; False if another process holds the lock.

    The system releases the lock when the process ends for any reason. On Windows nothing is locked.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # some file systems have no locks
    return True
