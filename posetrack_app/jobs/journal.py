"""Network outputs of a run, stored as they come, so that a stopped run can resume without computing them again."""

from __future__ import annotations

import io
import json
import logging
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError, InUseError
from posetrack_app.core.files import try_lock
from posetrack_app.core.protocols import Detector, Estimator, PoseArrays
from posetrack_app.core.records import FloatArray

_logger = logging.getLogger("posetrack")

_PIXEL_STEP = 8
"""An image is recognised by every 8th pixel of every 8th row."""


def journal_file(out: Path) -> Path:
    """`tracks.resume` for `tracks.json`."""
    return out.with_name(f"{out.stem}.resume")


def is_in_use(path: Path) -> bool:
    """Whether another process has the journal at `path` open."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return not try_lock(file)


class Journal:
    """The network outputs of one run, in the order they were computed.

    Everything else in a run depends only on the frames and these outputs. A resumed run re-reads the video, replays
    stored outputs while the inputs match, and produces a byte-identical file: batches, tracker and smoother go through
    the same states.

    The file is one line of JSON with the settings of the run, then records of length, CRC-32 and content. The last record
    may be incomplete, for example after `kill -9`; its output is computed again.
    """

    def __init__(self, path: Path, made_with: Mapping[str, Any], *, resume: bool = False) -> None:
        """Open the journal at `path`, or start a new one; only with `resume` an existing one is continued.

        Raises InputError if the file cannot be written, is open in another process or was made with other settings.
        """
        self.path = path
        self.replayed = 0
        """Number of outputs that were read instead of computed."""
        self._added = 0
        header = json.dumps(made_with, sort_keys=True, allow_nan=False).encode() + b"\n"
        try:
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror})") from error
        try:
            if not try_lock(self._file):
                raise InUseError(
                    f"{path}: another posetrack process is using this file; wait for it or stop it"
                )
            self._file.seek(0)
            self._is_replaying = resume and self._continues(header)
            if not self._is_replaying:
                self._file.seek(0)
                self._file.truncate()
                self._write(header)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        with suppress(OSError):  # a full disk fails again here; the records before are flushed
            self._file.close()
        if kind is None:
            return
        if not self.path.exists():
            return  # removed from outside, perhaps with its folder
        # While it replays, the file holds outputs of an earlier run, even if none was read yet.
        if self.replayed + self._added or self._is_replaying:
            _logger.info("the network outputs so far are stored in %s; resume to continue", self.path)
        else:
            self.path.unlink(missing_ok=True)

    def output(self, checksum: int, compute: Callable[[], Sequence[NDArray[Any]]]) -> Sequence[NDArray[Any]]:
        """The next stored output if its inputs had this `checksum`, else a computed one, which is stored."""
        if self._is_replaying:
            stored = self._next(checksum)
            if stored is not None:
                self.replayed += 1
                return stored
        arrays = compute()
        self._write(_packed(checksum, arrays))
        self._added += 1
        return arrays

    def _next(self, checksum: int) -> list[NDArray[Any]] | None:
        """The next record; None if it is incomplete or has other inputs, and then the rest of the file is cut off."""
        start = self._file.tell()
        content = _read_record(self._file)
        if content is not None:
            stored_checksum, arrays = _unpacked(content)
            if stored_checksum == checksum:
                return arrays
            _logger.warning(
                "%s: from here on the video differs from that of the earlier run; computing it again",
                self.path,
            )
        self._file.seek(start)
        self._file.truncate()
        self._is_replaying = False
        return None

    def _continues(self, header: bytes) -> bool:
        """Read the header of the file: True if it is that of this run, False if it is missing or incomplete."""
        found = self._file.readline()
        if not found.endswith(b"\n"):
            return False
        if found != header:
            try:
                before = json.loads(found)
            except ValueError as error:
                raise InputError(
                    f"{self.path} was not written by posetrack run; move it to another folder"
                ) from error
            changes = _differences(before, json.loads(header))
            raise InputError(
                f"{self.path}: the stopped run had other settings ({'; '.join(changes[:3])}); "
                "resume with the same ones or start over",
                option="force",
            )
        return True

    def _write(self, content: bytes) -> None:
        try:
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise InputError(f"{self.path}: writing failed ({error.strerror})") from error


def recorded_detector(detector: Detector, journal: Journal) -> Detector:
    """The same detector, with outputs from the journal as long as it has them."""

    def detect(images: Sequence[NDArray[np.uint8]], /) -> Sequence[tuple[FloatArray, FloatArray]]:
        checksum = zlib.crc32(b"detector")
        for image in images:
            checksum = zlib.crc32(image[::_PIXEL_STEP, ::_PIXEL_STEP].tobytes(), checksum)
        columns = journal.output(checksum, lambda: [column for pair in detector(images) for column in pair])
        return list(zip(columns[::2], columns[1::2], strict=True))

    return detect


def recorded_estimator(estimator: Estimator, journal: Journal) -> Estimator:
    """The same estimator, with outputs from the journal as long as it has them."""

    def estimate(images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
        checksum = zlib.crc32(b"estimator")
        for box in boxes:
            checksum = zlib.crc32(np.asarray(box).tobytes(), checksum)
        keypoints, scores, appearance = journal.output(checksum, lambda: estimator(images, boxes))
        return keypoints, scores, appearance

    return estimate


def _packed(checksum: int, arrays: Sequence[NDArray[Any]]) -> bytes:
    body = io.BytesIO()
    body.write(struct.pack("<I", checksum))
    for array in arrays:
        np.save(body, np.asarray(array), allow_pickle=False)
    content = body.getvalue()
    return struct.pack("<II", len(content), zlib.crc32(content)) + content


def _read_record(file: IO[bytes]) -> bytes | None:
    """The content of the record that starts here; None if it is incomplete or the file ends."""
    head = file.read(8)
    if len(head) < 8:
        return None
    length, checksum = struct.unpack("<II", head)
    content = file.read(length)
    return content if len(content) == length and zlib.crc32(content) == checksum else None


def _unpacked(content: bytes) -> tuple[int, list[NDArray[Any]]]:
    body = io.BytesIO(content)
    (checksum,) = struct.unpack("<I", body.read(4))
    arrays = []
    while body.tell() < len(content):
        arrays.append(np.load(body, allow_pickle=False))
    return checksum, arrays


def _differences(before: Any, now: Any, where: str = "") -> list[str]:
    """One entry for each value that differs, such as "config.pose.batch 16, now 8"."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in _differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if before == now else [f"{where} {before!r}, now {now!r}"]
