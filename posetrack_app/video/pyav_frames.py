"""Frames of one video file by PyAV, which knows each one's time: the truth that decord is held to, and its stand-in."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from posetrack_app.video.deinterlace import deinterlaced
from posetrack_app.video.probe import Probe, open_stream
from posetrack_app.video.restarts import Restart, moved

_LEAST_STEP = 1e-3
"""Seconds between frames whose times in the file do not rise."""

_NEVER_INTERLACED = ("hevc", "vp8", "vp9", "av1")
_PLACES = 8
"""Places of a video, besides its start, whose key frames are asked whether they are interlaced."""

Picture = tuple[int, float, NDArray[np.uint8]]
"""Index in the video, seconds after frame 0, (H, W, 3) uint8 RGB as displayed."""


def pyav_pictures(
    video: Probe, wanted: range, size: tuple[int, int] | None = None, damaged: list[int] | None = None
) -> Iterator[Picture]:
    """PyAV's pictures of the frames `wanted`; one that cannot be decoded is left out, indices stay true.

    Interlaced ones are made whole. `size` (width, height) as displayed: pictures of another size (a stream may
    change) are scaled to it. `damaged` gets the indices of those whose missing parts FFmpeg made up.
    """
    matrix: tuple[int, int, int, int] | None = None
    last_index, last_seconds = -1, -math.inf
    timed = (((index, seconds), frame) for index, seconds, frame in _timed_frames(video, wanted.start))
    for (index, seconds), frame in deinterlaced(timed):
        if index >= wanted.stop:
            return
        if index <= last_index:
            continue  # damage brought it too late; the reader reports the gap it left
        # Damaged packets may carry the time of their neighbour.
        last_index, last_seconds = index, max(seconds, last_seconds + _LEAST_STEP)
        seconds = last_seconds
        if index in wanted:
            # Asked of the first frame only: PyAV's side data refers back to its frame, which then waits for the
            # garbage collector; at 1080p that kept 700 MiB of frames alive.
            matrix = matrix or display_matrix(frame)
            if frame.is_corrupt and damaged is not None:
                damaged.append(index)
            yield index, seconds, as_displayed(frame, size, matrix)


def first_picture(video: Probe, wanted: range) -> tuple[Picture, int] | None:
    """PyAV's first picture from the start of `wanted` on, and its clockwise turn (0, 90, 180, 270)."""
    for index, seconds, frame in _timed_frames(video, wanted.start):
        matrix = display_matrix(frame)
        return (index, seconds, as_displayed(frame, None, matrix)), clockwise_turn(matrix)
    return None


def is_interlaced(video: Probe, wanted: range) -> bool:
    """Whether a frame says so that stands at one of several places: a recording may change on the way."""
    with open_stream(video.path) as (container, stream):
        if stream.codec_context.codec.canonical_name in _NEVER_INTERLACED:
            return False
        stream.thread_type = "SLICE"  # the others give their first frame late
        stream.codec_context.skip_frame = "NONKEY"
        for index in sorted({wanted[place * (len(wanted) - 1) // _PLACES] for place in range(_PLACES + 1)}):
            # Where times start over, these are the first key frames instead.
            if video.pts and not video.restarts and not _seek(container, stream, video.pts[index]):
                continue
            frame = next(decoded_frames(container, stream), None)
            if frame is None or frame.interlaced_frame:
                return frame is not None
    return False


def _timed_frames(video: Probe, first: int) -> Iterator[tuple[int, float, Any]]:
    """(index, seconds, PyAV frame) of every frame from `first` on that can be decoded."""
    index = -1
    with open_stream(video.path) as (container, stream):
        seekable = first > 0 and len(video.pts) > 0 and not video.restarts
        seek = seekable and _seek(container, stream, video.pts[first])
        origin = video.pts[0] if video.pts else None
        for frame in decoded_frames(container, stream, video.restarts):
            known = video.index_of(frame.pts)
            if video.pts and known is None:
                continue  # a frame the container does not list: before an edit list's start
            if seek and index < 0 and known is not None and known > first:
                break  # the seek landed late: this container has no index
            index = index + 1 if known is None else known
            if origin is None:
                origin = frame.pts
            if index < first:
                continue
            if frame.pts is None or origin is None:
                seconds = index / video.frame_rate
            else:
                seconds = float((frame.pts - origin) * video.time_base)
            yield index, seconds, frame
        else:
            return
    for index, seconds, frame in _timed_frames(video, 0):
        if index >= first:
            yield index, seconds, frame


def _seek(container: Any, stream: Any, pts: int) -> bool:
    """Go to the key frame before; False in a file too damaged for that."""
    try:
        container.seek(pts, stream=stream, backward=True)
    except av.FFmpegError:
        return False
    return True


def decoded_frames(container: Any, stream: Any, restarts: Sequence[Restart] = ()) -> Iterator[Any]:
    """Every frame that can be decoded; damaged packets give none."""
    packets = moved(container.demux(stream), restarts)
    packet: Any = None
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError:
            # Not swallowed: the gap in the indices that this leaves is what the reader reports.
            if packet is None or not packet.size:
                return
            continue
        yield from frames


def display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """(a, b, c, d) of the turn for display, 16.16 fixed: x' = a x + c y, y' = b x + d y (ISO 14496-12)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return (1 << 16, 0, 0, 1 << 16)
    nine = struct.unpack("=9i", bytes(data))
    return nine[0], nine[1], nine[3], nine[4]


def clockwise_turn(matrix: tuple[int, int, int, int]) -> int:
    """The turn of a display matrix: 0, 90, 180 or 270 degrees; of one that mirrors, after mirroring left and right."""
    a, b, c, d = matrix
    if a * d < b * c:
        a, b = -a, -b
    return round(math.degrees(math.atan2(b, a)) / 90) % 4 * 90


def as_displayed(
    frame: Any, size: tuple[int, int] | None, matrix: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, turned and mirrored; of `size` (width, height) as displayed where that is given."""
    a, b, c, d = matrix
    turned = abs(b) > abs(a)
    scale = {}
    if size is not None:
        width, height = size[::-1] if turned else size
        if (frame.width, frame.height) != (width, height):
            scale = {"width": width, "height": height}
    image = frame.to_ndarray(format="rgb24", **scale)
    if turned:
        image = image.transpose(1, 0, 2)
    flip_x, flip_y = (c < 0, b < 0) if turned else (a < 0, d < 0)
    image = image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(image)
