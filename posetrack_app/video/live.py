"""What a live source tells about itself while its images are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class LiveFacts:
    """Filled in by the source: what describes the video before its first image, what was lost as it comes."""

    decoder: str = ""
    frame_rate: float = 25.0
    rotation: int = 0
    pixel_aspect: Fraction = Fraction(1)
    stream: int | None = None
    """FFmpeg's number of the video stream if there are several."""
    waits: bool = False
    """Whether the sender waits for a slow reader. From others only the newest image is read."""
    losses: list[str] = field(default_factory=list)
    missing: list[tuple[int, int]] = field(default_factory=list)
    """First and last index of each run of missing frames."""
    damaged: list[int] = field(default_factory=list)
    """Indices of frames in which FFmpeg filled in missing parts."""
