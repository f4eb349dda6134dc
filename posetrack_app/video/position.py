"""Index and time of the next frame of a stream, across reconnects."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from posetrack_app.video.sender import Sender, SenderKind

_LONG_STEP = 0.5
"""Seconds. A longer step to a key frame of a playlist may mean that the sender has lost a segment."""


class StreamPosition:
    """Counts the frames of a stream over all its connections.

    `index` and `seconds` are those of the last frame (-1 before the first), `end` is the time at which it ends.
    """

    def __init__(self) -> None:
        self.index = -1
        self.seconds = self.end = 0.0
        self.sender = Sender(SenderKind.HTTP_FILE, 0.0)  # replaced by the first connection
        self.has_restarted = False
        """Whether the sender started again with its first frame: it sent a recording, which has ended."""
        self._was_live = False
        self._first_checksum: int | None = None
        self._origin: float | None = None
        self._last_pts: float | None = None
        self._longest_step = 0.0
        self._break_reason = ""
        self._began = 0.0

    def connect(self, sender: Sender) -> None:
        """Start a connection."""
        self._was_live |= self.sender.is_live
        self.sender = sender
        if sender.is_endless:
            self._origin = None

    def disconnect(self, reason: str) -> None:
        """End a connection that is to be opened again: the next frame comes after a break."""
        self._break_reason = reason

    def is_replay(self, image: NDArray[np.uint8]) -> bool:
        """Whether a connection that starts with `image` sends the same recording again."""
        checksum = zlib.crc32(image.tobytes())
        self._first_checksum = checksum if self._first_checksum is None else self._first_checksum
        self.has_restarted = self.sender.is_endless and self.index >= 0 and checksum == self._first_checksum
        return self.has_restarted

    def is_complete(self, *, failed: bool) -> bool:
        """Whether the video has ended with the connection; `failed` says that FFmpeg reported an error."""
        if self.has_restarted:
            return True
        if self.index < 0 or self.sender.is_live or (failed and not self.sender.ends_in_error):
            return False
        if self._was_live:
            return not failed  # a live playlist that has ended: its length is that of the last segments only
        return self.end > self.sender.length - 1.0

    def long_step(self, pts: float | None, is_key: bool) -> float:
        """Seconds from the last frame of a playlist to this one, if that is far longer than any step before; else 0.

        FFmpeg silently skips a missing segment. Segments start with key frames.
        """
        is_playlist = self.sender.kind is SenderKind.PLAYLIST
        if not is_playlist or self._break_reason or pts is None or self._last_pts is None:
            return 0.0
        step = pts - self._last_pts
        if is_key and step > max(_LONG_STEP, 3 * self._longest_step):
            return step
        self._longest_step = max(self._longest_step, step)
        return 0.0

    def advance(
        self, pts: float | None, lost: int, rate: float, note_gap: Callable[[int, int, str], None]
    ) -> bool:
        """Move to the next frame; False for a frame that came before.

        Args:
            pts: its time in seconds on the clock of this connection.
            lost: frames before it that could not be decoded.
            rate: frames per second.
            note_gap: called with the first and last index of missing frames, and the reason.
        """
        now = time.monotonic()
        if self.index < 0:
            self._began = now
        if (
            self._break_reason
            and not self.sender.is_endless
            and pts is not None
            and self._last_pts is not None
        ):
            if pts <= self._last_pts + 1e-6:
                return False  # the connection started from the beginning
            lost = round((pts - self._last_pts) * rate) - 1
        elif self._break_reason:  # the stream has no clock across breaks
            lost = max(0, round((now - self._began - self.seconds) * rate) - 1)
        step = 1 + max(0, lost)
        if step > 1 and self.index >= 0:
            note_gap(self.index + 1, self.index + step - 1, self._break_reason or "could not be decoded")
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
        self.seconds, self._last_pts, self._break_reason = seconds, pts, ""
        return True
