"""Read and write tracks.edits.json: one writer at a time, and every change is on disk before the next one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import try_lock, write_atomic
from posetrack_app.core.json_file import as_text, load_json
from posetrack_app.formats.edits_json.edit import Edit, edit_from
from posetrack_app.formats.json_schema import path_text, schema_faults

EDITS_VERSION = 1


def edits_file(tracks: Path) -> Path:
    """`tracks.edits.json` for `tracks.json`."""
    return tracks.with_name(f"{tracks.stem}.edits.json")


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an edits file."""
    parsed: dict[str, Any] = json.loads(files(__package__).joinpath("edits.schema.json").read_text("utf-8"))
    return parsed


def fingerprint_of(tracks: Path) -> str:
    """The SHA-256 of a tracks file. Raises InputError if it cannot be read."""
    if tracks.is_dir():
        raise InputError(
            f"{tracks} is a folder; edits belong to one file, so convert it to a tracks file first"
        )
    try:
        with tracks.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{tracks} cannot be read ({error.strerror})") from error


def read_edits(path: Path) -> tuple[Mapping[str, Any], list[Edit]]:
    """What the file says of its tracks (`file`, `sha256`, perhaps `frames`), and its edits in order.

    Raises InputError naming the file and the wrong entry.
    """
    content = load_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is int and version > EDITS_VERSION:
        raise InputError(
            f"{path} has schema version {version}; this posetrack reads up to {EDITS_VERSION}, so update posetrack"
        )
    for place, fault in schema_faults(content, schema(), schema()):
        raise InputError(f"{path}: {path_text(place) or 'the file'} {fault}")
    edits = []
    for k, entry in enumerate(content["edits"]):
        try:
            edits.append(edit_from(entry))
        except InputError as error:
            raise InputError(f"{path}: edits[{k}]: {error}") from error
    return content["tracks"], edits


class EditsFile:
    """The edits of one tracks file, open for writing; `open_edits` makes it."""

    def __init__(self, path: Path, tracks: Mapping[str, Any], edits: Sequence[Edit]) -> None:
        self.path = path
        self._tracks = dict(tracks)
        self._edits = list(edits)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """All edits, in the order in which they were made."""
        return tuple(self._edits)

    def append(self, *edits: Edit) -> None:
        """Add edits at the end; the file is on disk when this returns. Raises InputError if it cannot be written."""
        self._write([*self._edits, *edits])

    def remove_last(self) -> Edit:
        """Undo the last edit and return it. Raises InputError if there is none."""
        if not self._edits:
            raise InputError(f"{self.path}: there is no edit to undo")
        last = self._edits[-1]
        self._write(self._edits[:-1])
        return last

    def _write(self, edits: list[Edit]) -> None:
        write_atomic(self.path, edits_text(self._tracks, edits))
        self._edits = edits


@contextmanager
def open_edits(tracks: Path, frames: int) -> Iterator[EditsFile]:
    """The edits file of `tracks`, locked for this process while the block lasts; it appears with the first edit.

    `frames` is the number of frames in the tracks. Raises InputError if the file cannot be read, if another process has
    it open, or if its edits belong to another version of the tracks.
    """
    path = edits_file(tracks)
    sha256 = fingerprint_of(tracks)
    with _lock(path):
        described: Mapping[str, Any] = {"file": as_text(tracks.name), "frames": frames, "sha256": sha256}
        edits: list[Edit] = []
        if path.exists():
            described, edits = read_edits(path)
            if described["sha256"] != sha256:
                raise InputError(
                    f"{path} belongs to another version of {tracks.name}, which has changed since; "
                    f"rename {path.name} and replay it on the new tracks"
                )
        yield EditsFile(path, described, edits)


def edits_text(tracks: Mapping[str, Any], edits: Sequence[Edit]) -> str:
    """The content of an edits file, with one line for each edit."""
    lines = ",\n".join(json.dumps(edit.as_dict(), allow_nan=False, ensure_ascii=False) for edit in edits)
    head = json.dumps(dict(tracks), ensure_ascii=False)
    return f'{{"schema_version": {EDITS_VERSION},\n"tracks": {head},\n"edits": [\n{lines}\n]}}\n'


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Keep other processes from opening `path` for writing, through a hidden file beside it that is removed afterwards.

    The lock is not on the file itself, because every change replaces it.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        file = lock.open("ab")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror})") from error
    with file:
        # The file that was opened may have been removed by a process that has just closed it.
        if not try_lock(file) or not _is_at(file, lock):
            raise InputError(f"{path} is being edited by another posetrack process; close it first")
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether `path` still leads to the open `file`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
