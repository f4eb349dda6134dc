"""Training images, decoded once into one file: memory-mapped on the CPU, or copied to a GPU."""

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

from posetrack_detectors.training.labels import Array, LabelledImage, LabelledPerson
from posetrack_detectors.weights.atomic_file import atomic_file


class Images:
    """Labelled images with their pixels.

    Images with a side longer than `max_side` pixels are shrunk, together with their labels. The decoded pixels are
    kept in the folder `cache`; a file there is reused for the same images from unchanged files.
    """

    def __init__(self, images: Sequence[LabelledImage], cache: Path, max_side: int) -> None:
        self.labels = [_shrunk(image, max_side) for image in images]
        shapes = np.array([image.size for image in self.labels], dtype=np.int64).reshape(-1, 2)
        ends = (shapes.prod(axis=1) * 3).cumsum()
        self.shapes, self.starts = shapes, ends - shapes.prod(axis=1) * 3
        versions = {file: _version(file) for file in {image.file for image in self.labels}}
        names = "\n".join(f"{image.name} {image.size} {versions[image.file]}" for image in self.labels)
        self._file = cache / f"images-{hashlib.sha256(names.encode()).hexdigest()[:12]}.rgb"
        self._total = int(ends[-1]) if len(ends) else 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bytes(self) -> int:
        """Size of all pixels."""
        return self._total

    @property
    def decoded(self) -> bool:
        """The cache file is complete."""
        return self._file.exists() and self._file.stat().st_size == max(1, self._total)

    def decode(self) -> None:
        """Decode all images into the cache file."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # Several trainings may fill the same cache at once: each writes its own file, the last one wins.
        with atomic_file(self._file, f".{os.getpid()}.tmp") as temporary:
            pixels = np.memmap(temporary, np.uint8, "w+", shape=(max(1, self._total),))
            self._fill(pixels)
            pixels.flush()
            del pixels  # Windows cannot rename a mapped file

    def _fill(self, pixels: Array) -> None:
        def decode_one(labels: LabelledImage, start: int) -> None:
            image = labels.read()
            if image.shape[:2] != labels.size:
                small = cv2.resize(image, labels.size[::-1], interpolation=cv2.INTER_AREA)
                image = small.astype(np.uint8)
            pixels[start : start + image.size] = image.ravel()

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(decode_one, self.labels, self.starts))  # list() raises the errors of the threads

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB, read-only; call `decode` first."""
        height, width = self.shapes[index]
        start = self.starts[index]
        return self._pixels()[start : start + height * width * 3].reshape(height, width, 3)

    def boxes(self, index: int) -> tuple[Array, Array]:
        """People's boxes (N, 4), and boxes to ignore (M, 4), which are neither person nor background."""
        people = self.labels[index].people
        table = np.array([(*p.box, p.ignore) for p in people], dtype=np.float32).reshape(-1, 5)
        return table[table[:, 4] == 0, :4], table[table[:, 4] == 1, :4]

    def _pixels(self) -> NDArray[np.uint8]:
        # Mapped on first use, so that every data-loading process maps the file itself.
        if not hasattr(self, "_mapped"):
            self._mapped = np.memmap(self._file, np.uint8, "r")
        return self._mapped

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_mapped"}


def _version(file: Path) -> str:
    """A text that changes with the file; empty if it is missing, which decoding will report."""
    try:
        state = file.stat()
    except OSError:
        return ""
    return f"{file.resolve()} {state.st_size} {state.st_mtime_ns}"


def _shrunk(image: LabelledImage, max_side: int) -> LabelledImage:
    height, width = image.size
    zoom = max_side / max(height, width)
    if zoom >= 1:
        return image
    size = max(1, round(height * zoom)), max(1, round(width * zoom))
    scale = np.array([size[1] / width, size[0] / height])

    def person(p: LabelledPerson) -> LabelledPerson:
        pose_box = None if p.pose_box is None else p.pose_box * np.tile(scale, 2)
        return replace(p, box=p.box * np.tile(scale, 2), keypoints=p.keypoints * scale, pose_box=pose_box)

    return replace(image, size=size, people=tuple(person(p) for p in image.people))
