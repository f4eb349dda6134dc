"""The times of the frames of a file, from the time stamps of its packets."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np
from av.bitstream import BitStreamFilterContext

from posetrack_app.video.parameter_sets import packet_copy

MIN_STEP = 1e-3
"""Seconds between frames whose times in the file do not rise."""

RAW_FORMATS = ("h264", "hevc", "vvc", "m4v", "mpegvideo", "h263", "vc1", "obu", "mjpeg")
"""FFmpeg's names of raw streams, which have no time stamps: FFmpeg counts their frames at a rate that may be wrong."""

_NOT_CODED_BYTES = 8
"""An MPEG-4 packet up to this size holds no image: it repeats the one before (N-VOP)."""


@dataclass(frozen=True)
class FrameTimes:
    """`seconds` of each frame in the order of display, counted from the first and rising.

    `pts` are the distinct presentation times by which a decoded frame is found in that list, in units of the time base;
    they are empty if frames can only be counted. If `has_gaps`, some packets have no time: their frames are counted, too,
    and their times are estimated.
    """

    seconds: Sequence[float]
    pts: Sequence[int] = ()
    has_gaps: bool = False


def stream_rate(container: Any, stream: Any) -> Fraction | None:
    """Frames per second as the stream says it; None if it does not."""
    average, guessed = stream.average_rate, stream.guessed_rate
    # The average of a raw stream is that of FFmpeg's reader, which assumes 25; the codec's headers may say another rate.
    stated = guessed or average if container.format.name in RAW_FORMATS else average or guessed
    return Fraction(stated) if stated else None


def has_rate(container: Any, stream: Any) -> bool:
    """Whether anything in the file says how fast its frames follow one another."""
    return container.format.name not in RAW_FORMATS or bool(stream.codec_context.framerate)


def counted_times(count: int, rate: float) -> FrameTimes:
    """Times of frames at a constant rate."""
    return FrameTimes([index / rate for index in range(count)])


def stamped_times(stamps: Sequence[int | None], time_base: Fraction, rate: float) -> FrameTimes:
    """Times from the presentation times of the packets in the order of the file; None where a packet has none."""
    known = sorted(stamp for stamp in stamps if stamp is not None)
    if not known:
        return counted_times(len(stamps), rate)
    has_gaps = len(known) < len(stamps)
    times = _filled(stamps, known, float(1 / (rate * time_base))) if has_gaps else known
    is_distinct = len(set(times)) == len(times)
    return FrameTimes(rising_seconds(times, time_base), times if is_distinct else (), has_gaps)


def rising_seconds(times: Sequence[int], time_base: Fraction) -> list[float]:
    """Seconds after the first time; two equal times become `MIN_STEP` seconds apart."""
    seconds: list[float] = []
    for time in times:
        at = float((time - times[0]) * time_base)
        seconds.append(max(at, seconds[-1] + MIN_STEP) if seconds and at <= seconds[-1] else at)
    return seconds


def _filled(stamps: Sequence[int | None], known: Sequence[int], usual_step: float) -> list[int]:
    """Rising times of all packets: missing ones lie between their neighbours, at the ends at the usual distance."""
    steps = [after - before for before, after in pairwise(known) if after > before]
    step = statistics.median(steps) if steps else usual_step
    places = [place for place, stamp in enumerate(stamps) if stamp is not None]
    at = np.arange(len(stamps), dtype=np.float64)
    times = np.interp(at, places, [stamp for stamp in stamps if stamp is not None])
    before, after = places[0], places[-1]
    times[:before] = known[0] + (at[:before] - before) * step
    times[after + 1 :] = known[-1] + (at[after + 1 :] - after) * step
    for place in places:  # exactly as in the file
        times[place] = stamps[place]
    return sorted(round(float(time)) for time in times)


class AviTimes:
    """Times of an AVI file, which stores the order of its images and no presentation times.

    Every chunk of the file is one step of time, and empty ones repeat an image. FFmpeg's presentation times may be wrong
    if there are B-frames: the decoder puts out one image for each chunk, in the order of display.
    """

    def __init__(self, stream: Any) -> None:
        self._chunks: list[int] = []
        self._has_b_frames = bool(stream.codec_context.has_b_frames)
        self._is_mpeg4 = stream.codec_context.codec.canonical_name == "mpeg4"
        # XviD and DivX put a B-frame into the chunk of the frame after it; the next chunk is empty but for its header.
        self._unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream) if self._is_mpeg4 else None

    def add(self, packet: Any) -> None:
        """Note one packet."""
        for part in self._unpacked(packet):
            if part.dts is not None and not (self._is_mpeg4 and part.size <= _NOT_CODED_BYTES):
                self._chunks.append(part.dts)

    def _unpacked(self, packet: Any) -> Sequence[Any]:
        """The packets, one for each image, that a chunk holds."""
        if self._unpack is None:
            return [packet]
        try:
            return self._unpack.filter(packet_copy(packet))
        except av.FFmpegError:  # damaged
            return [packet]

    def times(self, time_base: Fraction) -> FrameTimes | None:
        """The times if FFmpeg's cannot be used, else None."""
        if not self._has_b_frames or not self._chunks:
            return None
        return FrameTimes(rising_seconds(sorted(self._chunks), time_base))
