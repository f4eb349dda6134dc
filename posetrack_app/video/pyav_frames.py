"""Frames of a video file from PyAV, which knows the time of each. The other decoders are checked against it, and it
reads what they cannot.
"""

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

_MIN_STEP = 1e-3
"""Seconds between frames whose times in the file do not rise."""

_NEVER_INTERLACED = ("hevc", "vp8", "vp9", "av1")
_SAMPLES = 8
"""Places in a video, besides its start, where a key frame is checked for interlacing."""

TimedImage = tuple[int, float, NDArray[np.uint8]]
"""Index in the video, seconds after frame 0, and the image (H, W, 3), uint8 RGB as displayed."""


def pyav_images(
    video: Probe, wanted: range, size: tuple[int, int] | None = None, damaged: list[int] | None = None
) -> Iterator[TimedImage]:
    """Yield the frames `wanted`, deinterlaced. Frames that cannot be decoded are left out; the indices stay true.

    Args:
        video: the file.
        wanted: indices of the frames to yield.
        size: (width, height) as displayed; frames of another size are scaled to it (the size may change mid-video).
        damaged: gets the indices of frames in which FFmpeg filled in missing parts.
    """
    matrix: tuple[int, int, int, int] | None = None
    last_index, last_seconds = -1, -math.inf
    timed = (((index, seconds), frame) for index, seconds, frame in _timed_frames(video, wanted.start))
    for (index, seconds), frame in deinterlaced(timed):
        if index >= wanted.stop:
            return
        if index <= last_index:
            continue  # out of order because of damage; the reader reports the gap
        # Damaged packets may carry the time of a neighbour.
        last_index, last_seconds = index, max(seconds, last_seconds + _MIN_STEP)
        seconds = last_seconds
        if index in wanted:
            # Read from the first frame only. PyAV's side data refers back to its frame, and such a cycle waits for the
            # garbage collector: at 1080p, 700 MiB of frames stayed in memory.
            matrix = matrix or display_matrix(frame)
            if frame.is_corrupt and damaged is not None:
                damaged.append(index)
            yield index, seconds, as_displayed(frame, size, matrix)


def first_image(video: Probe, wanted: range) -> tuple[TimedImage, int] | None:
    """The first frame from the start of `wanted` that can be decoded, and its clockwise rotation (0, 90, 180, 270)."""
    for index, seconds, frame in _timed_frames(video, wanted.start):
        matrix = display_matrix(frame)
        return (index, seconds, as_displayed(frame, None, matrix)), clockwise_rotation(matrix)
    return None


def is_interlaced(video: Probe, wanted: range) -> bool:
    """Whether a key frame at one of several places is interlaced: a recording may change mid-video."""
    with open_stream(video.path) as (container, stream):
        if stream.codec_context.codec.canonical_name in _NEVER_INTERLACED:
            return False
        stream.thread_type = "SLICE"  # frame threads delay the first frame
        stream.codec_context.skip_frame = "NONKEY"
        for index in sorted({wanted[k * (len(wanted) - 1) // _SAMPLES] for k in range(_SAMPLES + 1)}):
            # A file whose timestamps restart cannot seek; this then checks its first key frames.
            if video.pts and not video.restarts and not _seek(container, stream, video.pts[index]):
                continue
            frame = next(decoded_frames(container, stream), None)
            if frame is None or frame.interlaced_frame:
                return frame is not None
    return False


def _timed_frames(video: Probe, first: int) -> Iterator[tuple[int, float, Any]]:
    """(index, seconds, PyAV frame) of every frame from `first` that can be decoded."""
    index = -1
    with open_stream(video.path) as (container, stream):
        can_seek = first > 0 and len(video.pts) > 0 and not video.restarts
        has_sought = can_seek and _seek(container, stream, video.pts[first])
        origin = video.pts[0] if video.pts else None
        for frame in decoded_frames(container, stream, video.restarts):
            known = video.index_of(frame.pts)
            if video.pts and known is None:
                continue  # not listed in the container: before the start of an edit list
            if has_sought and index < 0 and known is not None and known > first:
                break  # the seek landed too late: this container has no index
            index = index + 1 if known is None else known
            if origin is None:
                origin = frame.pts
            if index < first:
                continue
            if frame.pts is None or origin is None or video.has_given_rate:
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
    """Go to the last key frame at or before `pts`; False if the file is too damaged for that."""
    try:
        container.seek(pts, stream=stream, backward=True)
    except av.FFmpegError:
        return False
    return True


def decoded_frames(container: Any, stream: Any, restarts: Sequence[Restart] = ()) -> Iterator[Any]:
    """Every frame that can be decoded; damaged packets yield none."""
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
            # Not lost: the reader reports the gap in the indices.
            if packet is None or not packet.size:
                return
            continue
        yield from frames


def display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """(a, b, c, d) of the display matrix in 16.16 fixed point: x' = a x + c y, y' = b x + d y (ISO 14496-12)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return (1 << 16, 0, 0, 1 << 16)
    nine = struct.unpack("=9i", bytes(data))
    return nine[0], nine[1], nine[3], nine[4]


def clockwise_rotation(matrix: tuple[int, int, int, int]) -> int:
    """The rotation of a display matrix: 0, 90, 180 or 270 degrees, applied after a left-right flip if the matrix mirrors."""
    a, b, c, d = matrix
    if a * d < b * c:
        a, b = -a, -b
    return round(math.degrees(math.atan2(b, a)) / 90) % 4 * 90


def as_displayed(
    frame: Any, size: tuple[int, int] | None, matrix: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, rotated and mirrored; scaled to `size` (width, height) as displayed if that is given."""
    a, b, c, d = matrix
    is_sideways = abs(b) > abs(a)
    scale = {}
    if size is not None:
        width, height = size[::-1] if is_sideways else size
        if (frame.width, frame.height) != (width, height):
            scale = {"width": width, "height": height}
    image = frame.to_ndarray(format="rgb24", **scale)
    if is_sideways:
        image = image.transpose(1, 0, 2)
    flip_x, flip_y = (c < 0, b < 0) if is_sideways else (a < 0, d < 0)
    image = image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(image)
