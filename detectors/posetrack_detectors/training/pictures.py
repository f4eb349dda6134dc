"""The pictures, decoded once into one file of bytes: memory-mapped on the CPU, whole on the card of a GPU."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_detectors.training.labels import Array, LabelledPerson, LabelledPicture
from posetrack_detectors.whole_file import whole_file


class Pictures:
    """Labelled pictures with their pixels; none is larger than `longest` pixels a side.

    `cache` is a folder for the decoded pixels; a file there of the same pictures, from the same unchanged files, is
    used as it is. Larger pictures are shrunk, their labels with them.
    """

    def __init__(self, pictures: Sequence[LabelledPicture], cache: Path, longest: int) -> None:
        self.labels = [_shrunk(picture, longest) for picture in pictures]
        shapes = np.array([picture.size for picture in self.labels], dtype=np.int64).reshape(-1, 2)
        ends = (shapes.prod(axis=1) * 3).cumsum()
        self.shapes, self.starts = shapes, ends - shapes.prod(axis=1) * 3
        versions = {file: _version(file) for file in {picture.file for picture in self.labels}}
        names = "\n".join(f"{p.name} {p.size} {versions[p.file]}" for p in self.labels)
        self._file = cache / f"pictures-{hashlib.sha256(names.encode()).hexdigest()[:12]}.rgb"
        self._total = int(ends[-1]) if len(ends) else 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bytes(self) -> int:
        """Of all pixels."""
        return self._total

    @property
    def decoded(self) -> bool:
        """Whether the cache is filled."""
        return self._file.exists() and self._file.stat().st_size == max(1, self._total)

    def decode(self) -> None:
        """Fill the cache."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # Several trainings may fill the same cache at once: each its own file, and the last one stays.
        with whole_file(self._file, f".{os.getpid()}.tmp") as beside:
            pixels = np.memmap(beside, np.uint8, "w+", shape=(max(1, self._total),))
            self._fill(pixels)
            pixels.flush()
            del pixels  # Windows renames no file that is mapped

    def _fill(self, pixels: Array) -> None:
        def put(picture: LabelledPicture, start: int) -> None:
            image = picture.read()
            if image.shape[:2] != picture.size:
                small = cv2.resize(image, picture.size[::-1], interpolation=cv2.INTER_AREA)
                image = small.astype(np.uint8)
            pixels[start : start + image.size] = image.ravel()

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(put, self.labels, self.starts))  # raises an error of any of them

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB, read-only; after `decode`."""
        height, width = self.shapes[index]
        start = self.starts[index]
        return self._pixels()[start : start + height * width * 3].reshape(height, width, 3)

    def boxes(self, index: int) -> tuple[Array, Array]:
        """People's boxes (N, 4), and boxes (M, 4) that are neither person nor background."""
        people = self.labels[index].people
        table = np.array([(*p.box, p.ignore) for p in people], dtype=np.float32).reshape(-1, 5)
        return table[table[:, 4] == 0, :4], table[table[:, 4] == 1, :4]

    def _pixels(self) -> NDArray[np.uint8]:
        # Opened where it is needed: a process that loads data maps the file itself.
        if not hasattr(self, "_mapped"):
            self._mapped = np.memmap(self._file, np.uint8, "r")
        return self._mapped

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_mapped"}


def _version(file: Path) -> str:
    """Another one when the file is; of a missing file, which decoding will name, none."""
    try:
        state = file.stat()
    except OSError:
        return ""
    return f"{file.resolve()} {state.st_size} {state.st_mtime_ns}"


def _shrunk(picture: LabelledPicture, longest: int) -> LabelledPicture:
    height, width = picture.size
    zoom = longest / max(height, width)
    if zoom >= 1:
        return picture
    size = max(1, round(height * zoom)), max(1, round(width * zoom))
    scale = np.array([size[1] / width, size[0] / height])

    def person(p: LabelledPerson) -> LabelledPerson:
        pose_box = None if p.pose_box is None else p.pose_box * np.tile(scale, 2)
        return replace(p, box=p.box * np.tile(scale, 2), keypoints=p.keypoints * scale, pose_box=pose_box)

    return replace(picture, size=size, people=tuple(person(p) for p in picture.people))
