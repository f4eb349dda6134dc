"""Frames of a video file from PyAV, which knows the time of each. The other decoders are checked against it, and it
reads what they cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from posetrack_app.video.deinterlace import deinterlaced
from posetrack_app.video.orientation import Matrix, as_displayed, clockwise_rotation, display_matrix
from posetrack_app.video.probe import Probe, open_stream
from posetrack_app.video.restarts import Restart, moved

_NEVER_INTERLACED = ("hevc", "vp8", "vp9", "av1")
_SAMPLES = 8
"""Places in a video, besides its start, where a key frame is checked for interlacing."""

TimedImage = tuple[int, float, NDArray[np.uint8]]
"""Index in the video, seconds after frame 0, and the image (H, W, 3), uint8 RGB as displayed."""


def pyav_images(video: Probe, wanted: range, damaged: list[int] | None = None) -> Iterator[TimedImage]:
    """Yield the frames `wanted`, deinterlaced, each in its own size. Frames that cannot be decoded are left out.

    The indices stay true. `damaged` gets the indices of frames in which FFmpeg filled in missing parts.
    """
    matrix: Matrix | None = None
    for (index, seconds), frame in deinterlaced(_rising(video, wanted)):
        if index in wanted:
            matrix = matrix or display_matrix(frame)
            if frame.is_corrupt and damaged is not None:
                damaged.append(index)
            yield index, seconds, as_displayed(frame, matrix)


def _rising(video: Probe, wanted: range) -> Iterator[tuple[tuple[int, float], Any]]:
    """((index, seconds), PyAV frame) of the frames from `wanted.start` to its end; both rise.

    FFmpeg's frame threads lose the last sound frames before a cut. So an end that seems to be missing is read again
    without them.
    """
    last = wanted.start - 1
    for threads in ("AUTO", "SLICE"):
        for index, seconds, frame in _timed_frames(video, last + 1, threads):
            if index >= wanted.stop:
                return
            if index > last:  # else out of order because of damage; the reader reports the gap
                last = index
                yield (index, seconds), frame
        if last == wanted.stop - 1:
            return


def first_image(video: Probe, wanted: range) -> tuple[TimedImage, int] | None:
    """The first frame from the start of `wanted` that can be decoded, and its clockwise rotation (0, 90, 180, 270)."""
    for threads in ("AUTO", "SLICE"):
        for index, seconds, frame in _timed_frames(video, wanted.start, threads):
            matrix = display_matrix(frame)
            return (index, seconds, as_displayed(frame, matrix)), clockwise_rotation(matrix)
    return None


def is_interlaced(video: Probe, wanted: range) -> bool:
    """Whether a key frame at one of several places is interlaced: a recording may change mid-video."""
    with open_stream(video.path, video.stream) as (container, stream):
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


def _timed_frames(video: Probe, first: int, threads: str) -> Iterator[tuple[int, float, Any]]:
    """(index, seconds, PyAV frame) of every frame from `first` that can be decoded with FFmpeg's kind of `threads`."""
    index = -1
    with open_stream(video.path, video.stream) as (container, stream):
        stream.thread_type = threads
        can_seek = first > 0 and len(video.pts) > 0 and not video.restarts and not video.has_gaps
        has_sought = can_seek and _seek(container, stream, video.pts[first])
        for frame in decoded_frames(container, stream, video.restarts):
            known = video.index_of(frame.pts)
            if known is None and video.pts and not video.has_gaps:
                continue  # not listed in the container: before the start of an edit list
            if has_sought and index < 0 and known is not None and known > first:
                break  # the seek landed too late
            index = index + 1 if known is None else known
            if index < first:
                continue
            if index >= video.frame_count:
                return
            yield index, video.seconds[index], frame
        if not has_sought or index >= 0:
            return
    # The container has no index, or the file is cut: read it from its start.
    for index, seconds, frame in _timed_frames(video, 0, threads):
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
