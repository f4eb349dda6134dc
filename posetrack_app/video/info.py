"""What is known about a video before its first frame, and which frames of it are wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from posetrack_app.errors import InputError

_NOTES = 20
"""Lines of one kind about a video."""


@dataclass(frozen=True)
class VideoInfo:
    """`width` and `height` are as displayed; `rotation` is the clockwise turn in degrees applied for that.

    `frame_count` and `seconds` (length) are None where the file does not tell. `decoder` names what reads the
    pictures, and why where it is not the first choice. `start_seconds` is the container's time of frame 0.
    `pixel_aspect` is the width by the height at which a pixel is to be shown: 1 but for anamorphic video.
    """

    path: Path
    width: int
    height: int
    rotation: int
    frame_rate: float
    frame_count: int | None
    seconds: float | None
    decoder: str
    start_seconds: float = 0.0
    pixel_aspect: Fraction = Fraction(1)


def pixel_aspect(stored: Fraction | None, rotation: int) -> Fraction:
    """Width by height of a pixel as displayed, after the turn; 1 where the file does not say."""
    if not stored:
        return Fraction(1)
    return 1 / stored if rotation in (90, 270) else stored


class DecoderFailedError(Exception):
    """A decoder could not open the file, or stopped before its end; says why.

    `doubtful` is the range of frames already given that may not be those of their indices; empty as a rule.
    """

    def __init__(self, message: str, doubtful: range = range(0)) -> None:
        super().__init__(message)
        self.doubtful = doubtful


def wanted_frames(
    seconds: Sequence[float], start: float | None, stop: float | None, stride: int, name: str
) -> range:
    """Indices of the frames shown at `start` <= seconds < `stop`, every `stride`-th; `seconds` are rising.

    Raises InputError where no frame is in that span.
    """
    # Half a microsecond of slack: 0.1 in decimals is to find the frame at 0.1 in the file's fractions.
    first, last = 0, len(seconds)
    while start is not None and first < last and seconds[first] < start - 5e-7:
        first += 1
    while stop is not None and last > first and seconds[last - 1] >= stop - 5e-7:
        last -= 1
    if first == last:
        span = f"{start or 0:g} to {math.inf if stop is None else stop:g} s"
        raise InputError(f"{name}: no frame in {span}; the video ends at {seconds[-1]:g} s")
    return range(first, last, stride)


def _stretches(indices: Sequence[int], step: int = 1) -> list[tuple[int, int]]:
    """First and last of each run of rising `indices` that are `step` apart."""
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and index - found[-1][1] <= step:
            found[-1] = found[-1][0], index
        else:
            found.append((index, index))
    return found


def describe_gap(first: int, last: int) -> str:
    """One line for the frames `first` to `last` that are missing."""
    return f"{_frames(first, last)} could not be decoded"


def describe_damages(indices: Sequence[int], step: int = 1) -> list[str]:
    """Lines for the frames `indices`, taken every `step`, that FFmpeg completed."""
    lines = []
    for first, last in _stretches(indices, step):
        damaged = f"{_frames(first, last)} {'is' if first == last else 'are'} damaged"
        lines.append(f"{damaged}: FFmpeg made up parts, which may show up to the next key frame")
    return not_too_many(lines, "damaged stretches")


def not_too_many(lines: list[str], what: str) -> list[str]:
    """The lines, but those after the first 20 become one that counts them."""
    return lines if len(lines) <= _NOTES else [*lines[:_NOTES], f"and {len(lines) - _NOTES} more {what}"]


def _frames(first: int, last: int) -> str:
    return f"frame {first}" if first == last else f"frames {first} to {last}"
