"""Frames in: video files and folders of images as `Frame` records at true times; frames out: `writer`."""

from __future__ import annotations

from pathlib import Path

from posetrack_app.errors import InputError
from posetrack_app.video.folder import FolderReader
from posetrack_app.video.info import VideoInfo
from posetrack_app.video.probe import probe
from posetrack_app.video.reader import FileReader

__all__ = ["FileReader", "FolderReader", "VideoInfo", "open_video"]


def open_video(
    source: Path,
    *,
    start: float | None = None,
    stop: float | None = None,
    stride: int = 1,
    device: str = "cpu",
    folder_rate: float = 25.0,
) -> FileReader | FolderReader:
    """A context manager that iterates `Frame` records of a video file or a folder of images, once.

    Frames with `start` <= seconds < `stop` are given, every `stride`-th of them; `index` and `seconds` stay
    those in the whole video. `device` "cuda" asks for decord's GPU decoder. `folder_rate` is the frame rate
    of a folder of images. `.info` describes the video, `.expected` is how many frames are to come and
    `.losses` says afterwards, a line each, what could not be read.
    Raises InputError for what is not a readable video.
    """
    if stride < 1:
        raise InputError(f"--stride must be 1 or more, got {stride}")
    if start is not None and start < 0:
        raise InputError(f"--start must be 0 seconds or more, got {start:g}")
    if stop is not None and stop <= (start or 0.0):
        raise InputError(f"--stop must be later than --start, got {start or 0:g} to {stop:g} seconds")
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.is_dir():
        if folder_rate <= 0:
            raise InputError(f"the frame rate of a folder of images must be above 0, got {folder_rate:g}")
        return FolderReader(source, folder_rate, start, stop, stride)
    return FileReader(probe(source), start, stop, stride, device)
