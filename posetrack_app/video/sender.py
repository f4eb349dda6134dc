"""What is known about the sender of a stream: what kind it is, and whether its video has an end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class SenderKind(Enum):
    """How a stream arrives, which decides what the end of a connection means."""

    PIPE = auto()
    """Standard input, which cannot be opened again."""
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
