"""What is known about the sender of a stream: what kind it is, and whether its video has an end."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray


class SenderKind(Enum):
    """How a stream arrives, which decides what the end of a connection means."""

    PIPE = auto()
    """Standard input or another pipe, which cannot be opened again."""
    HTTP_FILE = auto()
    """An HTTP response of known size."""
    HTTP_UNSIZED = auto()
    """An HTTP response of unknown size: a live source, or a recording. FFmpeg reports its end as an error."""
    PLAYLIST = auto()
    """HLS or DASH: segments, some of which may be lost. FFmpeg may report its end as an error."""
    OTHER = auto()
    """RTSP, RTMP, SRT, TCP, UDP..."""


@dataclass(frozen=True)
class Sender:
    """The sender at the other end of one connection. `length` is that of its video in seconds, 0 if unknown."""

    kind: SenderKind
    length: float

    @property
    def is_endless(self) -> bool:
        """Whether nothing says where the video ends."""
        return not self.length and self.kind is not SenderKind.HTTP_FILE

    @property
    def is_live(self) -> bool:
        """Whether the end of a connection is a break, not the end of the video."""
        return self.is_endless and self.kind is not SenderKind.PIPE

    @property
    def ends_in_error(self) -> bool:
        """Whether FFmpeg reports an error even if the video was complete."""
        return self.kind in (SenderKind.HTTP_UNSIZED, SenderKind.PLAYLIST)


class Connections:
    """The senders of one stream over all its connections, and whether the video has ended with the last one."""

    def __init__(self) -> None:
        self.sender: Sender | None = None
        """That of the present connection."""
        self.has_restarted = False
        """Whether the sender started again with its first frame: it sent a recording, which has ended."""
        self._was_live = False
        self._first_checksum: int | None = None

    def connect(self, sender: Sender) -> None:
        """Start a connection."""
        self._was_live |= self.sender is not None and self.sender.is_live
        self.sender = sender

    def is_replay(self, image: NDArray[np.uint8]) -> bool:
        """Whether the present connection, which starts with `image`, sends the recording of the first one again."""
        checksum = zlib.crc32(image.tobytes())
        if self._first_checksum is None:
            self._first_checksum = checksum
        elif self.sender is not None and self.sender.is_endless:
            self.has_restarted = checksum == self._first_checksum
        return self.has_restarted

    def is_complete(self, end: float, *, failed: bool) -> bool:
        """Whether the video, read up to `end` seconds, has ended with the connection; `failed`: FFmpeg reported an error."""
        sender = self.sender
        if self.has_restarted:
            return True
        if self._first_checksum is None or sender is None or sender.is_live:
            return False
        if failed and not sender.ends_in_error:
            return False
        if self._was_live:
            return not failed  # a live playlist that has ended: its length is that of the last segments only
        return end > sender.length - 1.0
