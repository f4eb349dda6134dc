"""Frames in: video files and folders of images as `Frame` records at true times; frames out: `writer`."""

from __future__ import annotations

import math
from pathlib import Path

from posetrack_app.errors import InputError
from posetrack_app.video.folder import FolderReader
from posetrack_app.video.info import VideoInfo
from posetrack_app.video.probe import probe
from posetrack_app.video.reader import FileReader
from posetrack_app.video.stream import StreamReader, is_stream, plain_name

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


def open_video(
    source: Path | str,
    *,
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    duration: float | None = None,
    device: str = "cpu",
    folder_rate: float = 25.0,
) -> Video:
    """A context manager that iterates `Frame` records of a video file, a folder of images or a stream, once.

    Frames with `start` <= seconds < `stop` are given, every `stride`-th of them; `index` and `seconds` stay
    those in the whole video. `duration` seconds from `start` on, or of a stream, are another way to say `stop`.
    `device` "cuda" asks for NVDEC, or else decord's GPU decoder. `folder_rate` is the frame rate of a folder of
    images. `.info` describes the video, `.expected` is how many frames are to come, `.losses` says afterwards, a
    line each, what could not be read and `.missing` which frames that were, as [first, last] indices.
    Raises InputError for what is not a readable video.
    """
    for name, seconds in {"start": start, "stop": stop, "duration": duration}.items():
        if seconds is not None and not math.isfinite(seconds):
            raise InputError(
                f"--{name} must be a number of seconds, got {seconds:g}; leave it out for no limit"
            )
    if stride < 1:
        raise InputError(f"--stride must be 1 or more, got {stride}")
    if duration is not None and duration <= 0:
        raise InputError(f"--duration must be more than 0 seconds, got {duration:g}")
    if is_stream(source):
        if start is not None or stop is not None:
            raise InputError("--start and --stop are for files; give --duration for a stream")
        return StreamReader(str(source), stride, duration)
    if start is not None and start < 0:
        raise InputError(f"--start must be 0 seconds or more, got {start:g}")
    if duration is not None:
        if stop is not None:
            raise InputError("--stop and --duration say the same; give one of them")
        stop = (start or 0.0) + duration
    if stop is not None and stop <= (start or 0.0):
        raise InputError(f"--stop must be later than --start, got {start or 0:g} to {stop:g} seconds")
    source = Path(source)
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.is_dir():
        if folder_rate <= 0:
            raise InputError(f"the frame rate of a folder of images must be above 0, got {folder_rate:g}")
        return FolderReader(source, folder_rate, start, stop, stride)
    return FileReader(probe(source), start, stop, stride, device)
