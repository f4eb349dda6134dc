"""A folder of images as a video: one frame per image, in natural order of the names (img2 before img10)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2

from posetrack_app.core.errors import InputError
from posetrack_app.core.image_file import is_animated, read_rgb
from posetrack_app.core.records import Frame
from posetrack_app.core.words import counted
from posetrack_app.video.continuity import Continuity
from posetrack_app.video.info import VideoInfo, shortened, wanted_frames

_READABLE = {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"}

_UNREADABLE = {
    ".heic", ".heif", ".hif", ".avif", ".gif", ".jxl", ".jp2", ".psd", ".svg", ".exr", ".hdr", ".tga", ".eps",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".raw",
}  # fmt: skip
"""Images of other kinds. They count as frames, which are missing, so that nothing is passed over in silence."""

_VIDEOS = {
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".wmv", ".asf",
    ".flv", ".f4v", ".3gp", ".ogv", ".mxf", ".dv", ".y4m", ".mjpeg", ".mjpg", ".h264", ".264", ".hevc", ".h265", ".265",
}  # fmt: skip


class FolderReader:
    """Yields the images of a folder as `Frame` records, `frame_rate` per second; see `open_video`."""

    def __init__(
        self, folder: Path, frame_rate: float, start: float | None, stop: float | None, stride: int
    ) -> None:
        self._files = list_images(folder)
        if not self._files:
            raise InputError(_no_images(folder))
        self._rate = frame_rate
        times = [i / frame_rate for i in range(len(self._files))]
        self._wanted = wanted_frames(times, start, stop, stride, str(folder))
        self._continuity = Continuity()
        self._unread: list[str] = []
        self._animations: list[str] = []
        self.missing: list[tuple[int, int]] = []
        self.expected = len(self._wanted)
        first = next(filter(lambda image: image is not None, map(self._read, self._wanted)), None)
        if first is None:
            raise InputError(_none_readable(folder, [self._files[index] for index in self._wanted]))
        self._notes = list(_describe(folder, self._files))
        self.info = VideoInfo(
            path=folder,
            width=first.shape[1],
            height=first.shape[0],
            rotation=0,
            frame_rate=frame_rate,
            frame_count=len(self._files),
            seconds=len(self._files) / frame_rate,
            decoder=f"images (opencv {cv2.__version__})",
        )

    @property
    def losses(self) -> list[str]:
        """What could not be read, one line each; complete after the last frame."""
        animations = [f"{name} is an animation: only its first image was read" for name in self._animations]
        return [
            *self._notes,
            *shortened(self._unread, "images that could not be read"),
            *shortened(animations, "animations"),
            *self._continuity.losses,
        ]

    def __enter__(self) -> FolderReader:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Frame]:
        for index in self._wanted:
            file = self._files[index]
            image = self._read(index)
            if image is None:
                self.missing.append((index, index))
                if file.suffix.lower() in _READABLE:  # the other kinds are counted in a note
                    self._unread.append(f"frame {index} ({file.name}) could not be read")
                continue
            if is_animated(file):
                self._animations.append(file.name)
            yield self._continuity.frame(index, index / self._rate, image, file.name)

    def _read(self, index: int) -> Any:
        file = self._files[index]
        return read_rgb(file) if file.suffix.lower() in _READABLE else None


def list_images(folder: Path) -> list[Path]:
    """The image files in `folder` in natural order, without hidden ones (macOS adds `._1.jpg`).

    Images of a kind that cannot be read are listed too, unless the same name exists in a readable kind (a camera's raw
    file beside its JPEG).
    """
    files = _files_of(folder, _READABLE | _UNREADABLE)
    readable = {file.stem for file in files if file.suffix.lower() in _READABLE}
    return [file for file in files if file.suffix.lower() in _READABLE or file.stem not in readable]


def list_videos(folder: Path) -> list[Path]:
    """The files in `folder` whose names end like those of videos, in natural order, without hidden ones."""
    return _files_of(folder, _VIDEOS)


def _files_of(folder: Path, suffixes: set[str]) -> list[Path]:
    try:
        files = [
            file
            for file in folder.iterdir()
            if file.suffix.lower() in suffixes and file.is_file() and not file.name.startswith(".")
        ]
    except PermissionError as error:
        raise InputError(f"{folder}: no permission to read this folder") from error
    return sorted(files, key=lambda file: _natural_order(file.name))


def is_image(file: Path) -> bool:
    """Whether the file exists and its name ends like that of an image."""
    return file.suffix.lower() in _READABLE and file.is_file()


def _no_images(folder: Path) -> str:
    if videos := list_videos(folder):
        return f"{folder} contains no images, but {counted(len(videos), 'video')}; give one of them"
    if holders := [below for below in sorted(folder.iterdir()) if below.is_dir() and list_images(below)]:
        return (
            f"{folder} contains no images; {counted(len(holders), 'folder')} in it do, such as {holders[0].name}: "
            "give one of them, or all of them as a pattern"
        )
    return f"{folder} contains no images; give a video file or a folder of jpg or png files"


def _none_readable(folder: Path, files: Sequence[Path]) -> str:
    advice = "convert them to JPEG or PNG"
    kinds = _unreadable_kinds(files)
    if len(files) == 1:
        return f"{files[0]}: this image cannot be read; convert it to JPEG or PNG"
    if sum(kinds.values()) == len(files):
        return (
            f"{folder}: its {len(files)} images are of a kind that cannot be read ({_named(kinds)}); {advice}"
        )
    return f"{folder}: none of its {len(files)} images can be read; {advice}"


def _describe(folder: Path, files: Sequence[Path]) -> Iterator[str]:
    """Lines about what is unusual in a folder."""
    if kinds := _unreadable_kinds(files):
        yield (
            f"{counted(sum(kinds.values()), 'image')} of a kind that cannot be read ({_named(kinds)}) "
            "count as missing frames; convert them to JPEG or PNG"
        )
    gaps = _numbering_gaps(files)
    if gaps:
        before, after = gaps[0]
        more = f", and at {counted(len(gaps) - 1, 'more place')}" if len(gaps) > 1 else ""
        yield (
            f"the numbers of the images have gaps: {after} follows {before}{more}; frames are counted without them"
        )
    if videos := list_videos(folder):
        yield f"{counted(len(videos), 'video')} in this folder of images were not read, such as {videos[0].name}"


def _unreadable_kinds(files: Sequence[Path]) -> Counter[str]:
    """How many images of each kind cannot be read."""
    return Counter(file.suffix.lower()[1:] for file in files if file.suffix.lower() in _UNREADABLE)


def _named(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind.upper()}" for kind, count in kinds.most_common())


def _numbering_gaps(files: Sequence[Path]) -> list[tuple[str, str]]:
    """Names on both sides of a step in the numbers that is larger than the usual one (1, or that of a stride)."""
    numbered = []
    for file in files:
        parts = re.fullmatch(r"(.*?)(\d+)(\D*)", file.stem)
        if parts:
            numbered.append(((parts[1], parts[3]), int(parts[2]), file.name))
    steps = [
        (after[1] - before[1], (before[2], after[2]))
        for before, after in pairwise(numbered)
        if before[0] == after[0]
    ]
    if not steps:
        return []
    usual = Counter(step for step, _ in steps).most_common(1)[0][0]
    return [names for step, names in steps if step > usual]


def _natural_order(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.lower()) for part in parts]
