"""Read video files, image folders and streams as `Frame` records with true times; write videos."""

from __future__ import annotations

import math
from pathlib import Path

from posetrack_app.core.errors import InputError
from posetrack_app.core.frame_rate import USUAL_FPS
from posetrack_app.video.folder import FolderReader
from posetrack_app.video.info import VideoInfo
from posetrack_app.video.probe import probe
from posetrack_app.video.reader import FileReader
from posetrack_app.video.source_name import is_pipe, is_stream, plain_name
from posetrack_app.video.stream import StreamReader

__all__ = [
    "FileReader",
    "FolderReader",
    "StreamReader",
    "Video",
    "VideoInfo",
    "is_stream",
    "open_video",
    "plain_name",
]

Video = FileReader | FolderReader | StreamReader
_MAX_FPS = 1000.0


def open_video(
    source: Path | str,
    *,
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    duration: float | None = None,
    device: str = "cpu",
    fps: float | None = None,
    video_stream: int | None = None,
) -> Video:
    """Open a video file, an image folder or a stream as a context manager that yields `Frame` records once.

    `.info` describes the video; `.expected` is the number of frames to come, None for a stream. After the last frame,
    `.losses` says what could not be read, one line each, and `.missing` lists those frames as (first, last) indices.

    Args:
        source: a path, or text that names a stream ("webcam:0", an address, "-" for standard input).
        start: skip frames displayed before this time in seconds.
        stop: skip frames displayed at or after this time in seconds.
        stride: yield every n-th frame; `index` and `seconds` stay those of the full video.
        duration: seconds to read, from `start` or from the first frame of a stream; another way to give `stop`.
        device: "cuda" or "cuda:1" decodes with NVDEC or, without it, with decord on that GPU.
        fps: frame rate of what holds no times: an image folder (default 25), or raw H.264 or HEVC in a file or a pipe.
        video_stream: FFmpeg's number of the stream to read if there are several; by default the best one.

    Raises InputError if the source is not a readable video, or an argument is out of range.
    """
    _check_span(start, stop, stride, duration, fps)
    if is_stream(source):
        if start is not None or stop is not None:
            raise InputError("a stream has no start and stop; give a duration instead", option="duration")
        if fps is not None and not is_pipe(source):
            raise InputError("a stream has its own times; leave out the frame rate", option="fps")
        return StreamReader(str(source), stride, duration, fps, video_stream)
    if duration is not None:
        stop = (start or 0.0) + duration
    if stop is not None and stop <= (start or 0.0):
        raise InputError(
            f"stop must be later than start, got {start or 0:g} to {stop:g} seconds", option="stop"
        )
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if reason := _wrong_kind(source):
        raise InputError(f"{source} is {reason}")
    if source.is_dir():
        return FolderReader(source, USUAL_FPS if fps is None else fps, start, stop, stride)
    return FileReader(probe(source, fps, video_stream), start, stop, stride, device)


def _wrong_kind(path: Path) -> str:
    """What `path` is, and what to do, if it is neither a file nor a folder; else ""."""
    if path.is_char_device() and path.name.startswith("video"):
        return "a device; give a camera as webcam:0, webcam:1 and so on"
    if path.is_char_device() or path.is_block_device():
        return "a device, not a video; give a file, or - for standard input"
    if path.is_socket():
        return "a socket, not a video; give an address such as tcp://host:port, or - for standard input"
    return ""


def _check_span(
    start: float | None, stop: float | None, stride: int, duration: float | None, fps: float | None
) -> None:
    for name, number in {"start": start, "stop": stop, "duration": duration, "fps": fps}.items():
        if number is not None and not math.isfinite(number):
            raise InputError(f"{name} must be a finite number, got {number:g}", option=name)
    if stride < 1:
        raise InputError(f"stride must be 1 or more, got {stride}", option="stride")
    if start is not None and start < 0:
        raise InputError(f"start must be 0 seconds or more, got {start:g}", option="start")
    if duration is not None and duration <= 0:
        raise InputError(f"duration must be more than 0 seconds, got {duration:g}", option="duration")
    if fps is not None and not 0 < fps <= _MAX_FPS:
        raise InputError(f"fps must be above 0 and at most {_MAX_FPS:g}, got {fps:g}", option="fps")
    if stop is not None and duration is not None:
        raise InputError("stop and duration both limit the video; give only one of them")
