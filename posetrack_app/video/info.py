"""What is known about a video before its first frame, which frames are wanted, and how to report lost ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from posetrack_app.core.errors import InputError

_MAX_LINES = 20
"""Lines of one kind about a video."""


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video.

    `width` and `height` are pixels as displayed; `rotation` is the clockwise rotation in degrees that was applied for
    that. `frame_count` and `seconds` (length) are None if unknown. `decoder` names the decoder, and why it was used if
    it is not the first choice. `start_seconds` is the container's time of frame 0. `pixel_aspect` is the width of a
    displayed pixel divided by its height: 1 except for anamorphic video. `stream` is FFmpeg's number of the video stream
    if there are several, else None. `width` and `height` are those of the first frame that is read.
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
    stream: int | None = None


class DecoderFailedError(Exception):
    """A decoder could not open a file, or stopped before its end; the text says why.

    `doubtful` is the range of frames already yielded that may have the wrong index; usually empty.
    """

    def __init__(self, message: str, doubtful: range = range(0)) -> None:
        super().__init__(message)
        self.doubtful = doubtful


def pixel_aspect(stored: Fraction | None, rotation: int) -> Fraction:
    """Width divided by height of a pixel as displayed, after the rotation; 1 if the file does not say."""
    if not stored:
        return Fraction(1)
    return 1 / stored if rotation in (90, 270) else stored


def wanted_frames(
    seconds: Sequence[float], start: float | None, stop: float | None, stride: int, name: str
) -> range:
    """Indices of every `stride`-th frame with `start` <= seconds < `stop`; `seconds` must rise.

    Raises InputError if there is no frame in that span.
    """
    # Half a microsecond of tolerance: the decimal 0.1 must find the frame at 0.1 in the file's fractions.
    first, last = 0, len(seconds)
    while start is not None and first < last and seconds[first] < start - 5e-7:
        first += 1
    while stop is not None and last > first and seconds[last - 1] >= stop - 5e-7:
        last -= 1
    if first == last:
        span = f"from {start or 0:g} s on" if stop is None else f"from {start or 0:g} to {stop:g} s"
        raise InputError(f"{name}: no frame {span}; the last frame is at {seconds[-1]:g} s")
    return range(first, last, stride)


def describe_gap(first: int, last: int) -> str:
    """A line about the frames from `first` to `last`, which are missing."""
    return f"{_frames(first, last)} could not be decoded"


def describe_damage(indices: Sequence[int], step: int = 1) -> list[str]:
    """Lines about the damaged frames `indices` of those read, which are `step` apart."""
    lines = []
    for first, last in _runs(indices, step):
        damaged = f"{_frames(first, last)} {'is' if first == last else 'are'} damaged"
        lines.append(f"{damaged}: FFmpeg filled in parts, and errors may remain up to the next key frame")
    return shortened(lines, "damaged parts")


def shortened(lines: list[str], what: str) -> list[str]:
    """The first 20 lines, and one that counts the rest."""
    return (
        lines
        if len(lines) <= _MAX_LINES
        else [*lines[:_MAX_LINES], f"and {len(lines) - _MAX_LINES} more {what}"]
    )


def _runs(indices: Sequence[int], step: int = 1) -> list[tuple[int, int]]:
    """First and last of each run of rising `indices` that are `step` apart."""
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and index - found[-1][1] <= step:
            found[-1] = found[-1][0], index
        else:
            found.append((index, index))
    return found


def _frames(first: int, last: int) -> str:
    return f"frame {first}" if first == last else f"frames {first} to {last}"
