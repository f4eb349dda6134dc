"""Index and time of the next frame of a stream, across reconnects."""

from __future__ import annotations

import time
from dataclasses import dataclass

_LONG_STEP = 0.5
"""Seconds. A longer step to a key frame of a playlist may mean that the sender has lost a segment."""


@dataclass(frozen=True)
class Gap:
    """Frames from index `first` to `last` that are missing, and why."""

    first: int
    last: int
    reason: str


class StreamPosition:
    """Counts the frames of a stream over all its connections.

    `index` and `seconds` are those of the last frame (-1 before the first), `end` is the time at which it ends, `gap` are
    the missing frames before it.
    """

    def __init__(self) -> None:
        self.index = -1
        self.seconds = self.end = 0.0
        self.gap: Gap | None = None
        self._origin: float | None = None
        """Time 0 of the stream on the clock of the connection."""
        self._last_pts: float | None = None
        self._break_reason = ""
        """Why the next frame comes after a break; "" if it does not."""
        self._began = 0.0

    def disconnect(self, reason: str) -> None:
        """End a connection that is to be opened again: the next frame comes after a break."""
        self._break_reason = reason

    def start_clock(self) -> None:
        """The next connection has a clock of its own."""
        self._origin = None

    def advance(self, pts: float | None, lost: int, rate: float, *, has_clock: bool) -> bool:
        """Move to the next frame; False for one that came before.

        Args:
            pts: its time in seconds on the clock of this connection.
            lost: frames before it that could not be decoded.
            rate: frames per second.
            has_clock: whether the clock goes on across a break.
        """
        now = time.monotonic()
        if self.index < 0:
            self._began = now
        elif self._break_reason and has_clock and pts is not None and self._last_pts is not None:
            if pts <= self._last_pts + 1e-6:
                return False  # the connection started from the beginning
            lost = round((pts - self._last_pts) * rate) - 1
        elif self._break_reason:
            lost = round((now - self._began - self.seconds) * rate) - 1
        lost = max(0, lost)
        self.gap = None
        if lost and self.index >= 0:
            self.gap = Gap(self.index + 1, self.index + lost, self._break_reason or "could not be decoded")
        self.seconds = self._next_seconds(pts, (1 + lost) / rate)
        self.index += 1 + lost
        self._last_pts, self._break_reason = pts, ""
        return True

    def _next_seconds(self, pts: float | None, step: float) -> float:
        """The time of a frame that is expected `step` seconds after the last one."""
        expected = 0.0 if self.index < 0 else self.seconds + step
        if pts is None:
            return expected
        if self._origin is None:
            self._origin = pts - expected
        seconds = pts - self._origin
        return expected if self.index >= 0 and seconds <= self.seconds else seconds


class PlaylistSteps:
    """Finds segments that the sender of a playlist has lost: FFmpeg silently skips them. Segments start with key frames."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._longest = 0.0

    def restart(self) -> None:
        """The next frame comes after a break."""
        self._last = None

    def long_step(self, pts: float | None, is_key: bool) -> float:
        """Seconds from the last frame to this one, if that is far longer than any step before; else 0."""
        last, self._last = self._last, pts
        if pts is None or last is None:
            return 0.0
        step = pts - last
        if is_key and step > max(_LONG_STEP, 3 * self._longest):
            return step
        self._longest = max(self._longest, step)
        return 0.0
