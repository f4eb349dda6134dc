"""A folder of images as a video: one frame per image, in natural order of the names (img2 before img10)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from posetrack_app.core.errors import InputError
from posetrack_app.core.image_file import read_rgb
from posetrack_app.core.records import Frame
from posetrack_app.video.info import VideoInfo, wanted_frames

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


class FolderReader:
    """Yields the images of a folder as `Frame` records, `frame_rate` per second; see `open_video`."""

    def __init__(
        self, folder: Path, frame_rate: float, start: float | None, stop: float | None, stride: int
    ) -> None:
        self._files = list_images(folder)
        if not self._files:
            raise InputError(
                f"{folder} contains no images; give a video file or a folder of jpg or png files"
            )
        self._rate = frame_rate
        times = [i / frame_rate for i in range(len(self._files))]
        self._wanted = wanted_frames(times, start, stop, stride, str(folder))
        first = read_rgb(self._files[self._wanted[0]])
        if first is None:
            raise InputError(f"{self._files[self._wanted[0]]}: this image cannot be read")
        self.losses: list[str] = []
        self.missing: list[tuple[int, int]] = []
        self.expected = len(self._wanted)
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

    def __enter__(self) -> FolderReader:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Frame]:
        size = (self.info.height, self.info.width)
        for index in self._wanted:
            image = read_rgb(self._files[index])
            if image is None:
                self.losses.append(f"frame {index} ({self._files[index].name}) could not be read")
            elif image.shape[:2] != size:
                self.losses.append(
                    f"frame {index} ({self._files[index].name}) was skipped: "
                    f"it is {image.shape[1]}x{image.shape[0]}, but the first image is {size[1]}x{size[0]}"
                )
            else:
                yield Frame.of(index, index / self._rate, image, self._files[index].name)
                continue
            self.missing.append((index, index))


def list_images(folder: Path) -> list[Path]:
    """The image files in `folder` in natural order, without hidden ones (macOS adds `._1.jpg`)."""
    try:
        files = [file for file in folder.iterdir() if is_image(file) and not file.name.startswith(".")]
    except PermissionError as error:
        raise InputError(f"{folder}: no permission to read this folder") from error
    return sorted(files, key=lambda file: _natural_order(file.name))


def is_image(file: Path) -> bool:
    """Whether the file exists and its name ends like that of an image."""
    return file.suffix.lower() in _SUFFIXES and file.is_file()


def _natural_order(name: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.lower()) for part in parts]
