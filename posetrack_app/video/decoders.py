"""Pictures from one video file, by decord or by PyAV: index, seconds and RGB image as displayed, in order."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from posetrack_app.video.probe import Probe, open_stream

Picture = tuple[int, float, NDArray[np.uint8]]
"""Index in the video, seconds after frame 0, (H, W, 3) uint8 RGB."""


class DecordFailedError(Exception):
    """decord could not open the file, or stopped before its end; says why."""


def decord_pictures(video: Probe, wanted: range, device: str) -> tuple[str, Iterator[Picture]]:
    """decord's name ("decord 3.4.0, CPU") and its pictures of the frames `wanted`.

    Reads one frame after another and keeps none. `device` "cuda" takes the GPU where decord was built for it.
    Raises DecordFailedError on opening, and later from the iterator on a frame that cannot be decoded.
    """
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    # fault_tol: a frame that decord would fill in with a copy of its neighbour ends the reading instead.
    settings = {"num_threads": 0, "fault_tol": 1e-9}
    reader, where = None, "CPU"
    try:
        if device.startswith("cuda"):
            try:
                reader, where = decord.VideoReader(str(video.path), ctx=decord.gpu(0), **settings), "GPU"
            except (decord.DECORDError, RuntimeError):
                where = "CPU (this decord was built without CUDA, or there is no GPU)"
        if reader is None:
            reader = decord.VideoReader(str(video.path), ctx=decord.cpu(0), **settings)
        if len(reader) != video.frame_count:
            raise DecordFailedError(f"decord counts {len(reader)} frames, the file holds {video.frame_count}")
        if wanted.start:
            reader.seek_accurate(wanted.start)
    except (decord.DECORDError, RuntimeError, AssertionError) as error:
        raise DecordFailedError(f"decord cannot open it ({_last_words(error)})") from error
    return f"decord {decord.__version__}, {where}", _read_decord(reader, video, wanted)


def _read_decord(reader: Any, video: Probe, wanted: range) -> Iterator[Picture]:
    from decord import DECORDError

    times = video.seconds
    for index in range(wanted.start, wanted.stop):
        try:
            picture = reader.next()
        except (DECORDError, RuntimeError, StopIteration) as error:
            raise DecordFailedError(f"decord stopped at frame {index} ({_last_words(error)})") from error
        if index in wanted:
            yield index, times[index], picture.asnumpy()


def _last_words(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\[[\d:]+\] |\S+\.cc:\d+: |\[[^\]]*\]", "", lines[0]).strip()[:120]


def pyav_pictures(video: Probe, wanted: range, size: tuple[int, int] | None = None) -> Iterator[Picture]:
    """PyAV's pictures of the frames `wanted`; one that cannot be decoded is left out, indices stay true.

    `size` (width, height) as displayed: pictures of another size (a stream may change) are scaled to it.
    """
    for index, seconds, frame in _timed_frames(video, wanted.start):
        if index >= wanted.stop:
            return
        if index in wanted:
            yield index, seconds, _as_displayed(frame, size)


def first_picture(video: Probe, wanted: range) -> tuple[Picture, int] | None:
    """PyAV's first picture from the start of `wanted` on, and its clockwise turn (0, 90, 180, 270)."""
    for index, seconds, frame in _timed_frames(video, wanted.start):
        a, b, _, _ = _display_matrix(frame)
        turn = round(math.degrees(math.atan2(b, a)) / 90) % 4 * 90
        return (index, seconds, _as_displayed(frame, None)), turn
    return None


def _timed_frames(video: Probe, first: int) -> Iterator[tuple[int, float, Any]]:
    """(index, seconds, PyAV frame) of every frame from `first` on that can be decoded."""
    seek = first > 0 and len(video.pts) > 0
    index = -1
    with open_stream(video.path) as (container, stream):
        if seek:
            container.seek(video.pts[first], stream=stream, backward=True)
        origin = video.pts[0] if video.pts else None
        for frame in _decode(container, stream):
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


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Every frame that can be decoded; damaged packets give none."""
    packets = container.demux(stream)
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


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """(a, b, c, d) of the turn for display, 16.16 fixed: x' = a x + c y, y' = b x + d y (ISO 14496-12)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return (1 << 16, 0, 0, 1 << 16)
    nine = struct.unpack("=9i", bytes(data))
    return nine[0], nine[1], nine[3], nine[4]


def _as_displayed(frame: Any, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    a, b, c, d = _display_matrix(frame)
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
