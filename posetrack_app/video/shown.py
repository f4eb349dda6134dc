"""How far a stream is: where its next picture stands in the whole, over breaks and new starts."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_LONG_STEP = 0.5
"""Seconds from a playlist's frame to the next, a key frame, that may be a segment that its sender has lost."""


class Shown:
    """What came so far: where the next picture stands in the whole."""

    def __init__(self) -> None:
        self.index = -1
        self.seconds = self.end = 0.0
        self._length = 0.0
        self._is_live = self._was_live = self._ends_in_error = self._is_segmented = self.is_over = False
        self._first: int | None = None
        self.matrix: tuple[int, int, int, int] | None = None
        self.size: tuple[int, int] | None = None
        self._origin: float | None = None
        self._last_pts: float | None = None
        self._longest_step = 0.0
        self._reason = ""
        self.is_endless = False
        self._began = 0.0

    def begin(
        self, *, is_endless: bool, is_live: bool, ends_in_error: bool, is_segmented: bool, length: float
    ) -> None:
        """A connection stands, to a sender that promises `length` seconds, 0 for none."""
        self._was_live |= self._is_live
        self.is_endless, self._is_live, self._is_segmented = is_endless, is_live, is_segmented
        self._ends_in_error, self._length = ends_in_error, length
        if is_endless:
            self._origin = None

    def is_replay(self, image: NDArray[np.uint8]) -> bool:
        """Whether a connection to an endless sender that begins with `image` brings what came before."""
        checksum = zlib.crc32(image.tobytes())
        self._first = checksum if self._first is None else self._first
        self.is_over = self.is_endless and self.index >= 0 and checksum == self._first
        return self.is_over

    def is_whole(self, *, failed: bool) -> bool:
        """Whether a connection's end is the stream's, too."""
        if self.is_over:
            return True
        if self.index < 0 or self._is_live or (failed and not self._ends_in_error):
            return False
        if self._was_live:
            return not failed  # its sender has come to an end, and says how much of it is kept
        return self.end > self._length - 1.0

    def broke_off(self, reason: str) -> None:
        """The next picture comes after a break."""
        self._reason = reason

    def long_step(self, pts: float | None, is_key: bool) -> float:
        """Seconds from the last frame to this one of a playlist, where that is far more than ever; else 0.

        FFmpeg goes on with the next segment where one is missing, without a word. Segments begin with key frames.
        """
        if not self._is_segmented or self._reason or pts is None or self._last_pts is None:
            return 0.0
        step = pts - self._last_pts
        if is_key and step > max(_LONG_STEP, 3 * self._longest_step):
            return step
        self._longest_step = max(self._longest_step, step)
        return 0.0

    def place(
        self, pts: float | None, damaged: int, rate: float, note_gap: Callable[[int, int, str], None]
    ) -> tuple[int, float] | None:
        """(index, seconds) of a frame at `pts` seconds of its connection, after `damaged` lost ones.

        None where it came before.
        """
        now = time.monotonic()
        if self.index < 0:
            self._began = now
        if self._reason and not self.is_endless and pts is not None and self._last_pts is not None:
            if pts <= self._last_pts + 1e-6:
                return None  # the connection began at the start again
            damaged = round((pts - self._last_pts) * rate) - 1
        elif self._reason:  # only the clock on the wall knows how long the break was
            damaged = max(0, round((now - self._began - self.seconds) * rate) - 1)
        step = 1 + max(0, damaged)
        if step > 1 and self.index >= 0:
            note_gap(self.index + 1, self.index + step - 1, self._reason or "could not be decoded")
        expected = 0.0 if self.index < 0 else self.seconds + step / rate
        if pts is None:
            seconds = expected
        else:
            if self._origin is None:
                self._origin = pts - expected
            seconds = pts - self._origin
        if self.index >= 0 and seconds <= self.seconds:
            seconds = expected
        self.index += step
        self.seconds, self._last_pts, self._reason = seconds, pts, ""
        return self.index, seconds
