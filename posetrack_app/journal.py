"""The networks' answers of one run, on disk as they come: what a stopped run need not compute again."""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from posetrack_app.errors import InputError
from posetrack_app.file_lock import lock
from posetrack_app.pipeline import Detector, Estimator
from posetrack_app.records import FloatArray

_SAMPLE = 8
"""Every 8th pixel of every 8th row tells whether a picture is the one of the earlier run."""


def journal_file(out: Path) -> Path:
    """`tracks.resume` for `tracks.json`."""
    return out.with_name(f"{out.stem}.resume")


class Journal:
    """The answers of one run's networks, in the order they were asked for.

    All else in a run follows from the frames and these answers. So a resumed run takes the video from the start
    again, is answered from here as long as there are answers to the same questions, and ends with the very bytes
    of a run that was never stopped: batches, tracker and smoother go through the same states.

    The file: a line of JSON that says what the run was made with, then records of length, CRC-32 and content.
    The last record may be torn, as by `kill -9`; it is computed again.
    """

    def __init__(self, path: Path, made_with: Mapping[str, Any], *, resume: bool = False) -> None:
        """With `resume` go on with the file at `path` if there is one, else begin it anew.

        InputError where it cannot be written, another run has it open, or it was made with other settings.
        """
        self.path = path
        self.taken = 0
        """Answers that were here already."""
        self._added = 0
        header = json.dumps(made_with, sort_keys=True, allow_nan=False).encode() + b"\n"
        try:
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise InputError(f"{path}: cannot write here ({error.strerror})") from error
        try:
            if not lock(self._file):
                raise InputError(f"{path}: another posetrack is writing this; wait for it or stop it")
            self._file.seek(0)
            self._is_answering = resume and self._continues(header)
            if not self._is_answering:
                self._file.seek(0)
                self._file.truncate()
                self._write(header)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        with suppress(OSError):  # a full disk, once more: what was flushed before is there
            self._file.close()
        if kind is None:
            return
        if not self.path.exists():
            return  # somebody has removed it, or its folder
        # While it is still answering, what an earlier run stored is there, taken or not.
        if self.taken + self._added or self._is_answering:
            print(f"posetrack: --resume goes on from there ({self.path})", file=sys.stderr)
        else:
            self.path.unlink(missing_ok=True)

    def answer(self, question: int, compute: Callable[[], Sequence[NDArray[Any]]]) -> Sequence[NDArray[Any]]:
        """The stored answer, or else a computed one that is stored; `question` is a checksum of what is asked."""
        if self._is_answering:
            stored = self._next(question)
            if stored is not None:
                self.taken += 1
                return stored
        arrays = compute()
        self._write(_packed(question, arrays))
        self._added += 1
        return arrays

    def _next(self, question: int) -> list[NDArray[Any]] | None:
        """The next record if it is whole and fits; else what follows is cut off."""
        start = self._file.tell()
        content = _read_record(self._file)
        if content is not None:
            asked, arrays = _unpacked(content)
            if asked == question:
                return arrays
            print(
                f"posetrack: {self.path}: the video's pictures are not those of the earlier run from here on; "
                "computing anew",
                file=sys.stderr,
            )
        self._file.seek(start)
        self._file.truncate()
        self._is_answering = False
        return None

    def _continues(self, header: bytes) -> bool:
        """Read the file's own header: True if it is this run's, False if there is none yet."""
        found = self._file.readline()
        if not found.endswith(b"\n"):
            return False
        if found != header:
            try:
                before = json.loads(found)
            except ValueError as error:
                raise InputError(f"{self.path}: was not written by posetrack run; move it away") from error
            changes = _differences(before, json.loads(header))
            raise InputError(
                f"{self.path}: the stopped run had other settings ({'; '.join(changes[:3])}); "
                "resume with those, or start over with --force"
            )
        return True

    def _write(self, content: bytes) -> None:
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self.path}: cannot write on ({error.strerror})") from error


def recorded_detector(detector: Detector, journal: Journal) -> Detector:
    """The same detector, answered from the journal where that knows."""

    def detect(images: Sequence[NDArray[np.uint8]], /) -> Sequence[tuple[FloatArray, FloatArray]]:
        question = zlib.crc32(b"detector")
        for image in images:
            question = zlib.crc32(image[::_SAMPLE, ::_SAMPLE].tobytes(), question)
        columns = journal.answer(question, lambda: [column for pair in detector(images) for column in pair])
        return list(zip(columns[::2], columns[1::2], strict=True))

    return detect


def recorded_estimator(estimator: Estimator, journal: Journal) -> Estimator:
    """The same estimator, answered from the journal where that knows."""

    def estimate(
        images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, ...]:
        question = zlib.crc32(b"estimator")
        for box in boxes:
            question = zlib.crc32(np.asarray(box).tobytes(), question)
        return tuple(journal.answer(question, lambda: estimator(images, boxes)))

    return estimate


def _packed(question: int, arrays: Sequence[NDArray[Any]]) -> bytes:
    body = io.BytesIO()
    body.write(struct.pack("<I", question))
    for array in arrays:
        np.save(body, np.asarray(array), allow_pickle=False)
    content = body.getvalue()
    return struct.pack("<II", len(content), zlib.crc32(content)) + content


def _read_record(file: IO[bytes]) -> bytes | None:
    """The content of the record that begins here; None where it is torn, or the file ends."""
    head = file.read(8)
    if len(head) < 8:
        return None
    length, checksum = struct.unpack("<II", head)
    content = file.read(length)
    return content if len(content) == length and zlib.crc32(content) == checksum else None


def _unpacked(content: bytes) -> tuple[int, list[NDArray[Any]]]:
    body = io.BytesIO(content)
    (question,) = struct.unpack("<I", body.read(4))
    arrays = []
    while body.tell() < len(content):
        arrays.append(np.load(body, allow_pickle=False))
    return question, arrays


def _differences(before: Any, now: Any, where: str = "") -> list[str]:
    """One entry for each value that differs, "config.pose.batch 16, now 8"."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in _differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if before == now else [f"{where} {before!r}, now {now!r}"]
