"""The training pictures and labels: decoded once, cut and varied as the networks need them.

Reads a folder like ../shared/data/train: annotations-{train,dev}.json.gz (COCO layout) and shard-*.tar with pictures.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from posetrack_detectors.crops import apply_affine, centre_and_scale, crop_affine

cv2.setNumThreads(0)

KEYPOINTS = 19
MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
STD = np.array([58.395, 57.12, 57.375], dtype=np.float32)


class PictureStore:
    """Every picture of a split as RGB uint8, decoded once into one file of `cache`, then held in memory."""

    def __init__(self, data: Path, split: str, cache: Path) -> None:
        with gzip.open(data / f"annotations-{split}.json.gz") as file:
            labels = json.load(file)
        self.pictures: list[dict[str, Any]] = labels["images"]
        self.flip: list[int] = labels["categories"][0]["flip"]
        self.people: dict[int, list[dict[str, Any]]] = {picture["id"]: [] for picture in self.pictures}
        for person in labels["annotations"]:
            self.people[person["image_id"]].append(person)
        sizes = [picture["height"] * picture["width"] * 3 for picture in self.pictures]
        ends = np.cumsum(sizes)
        self._start = {
            picture["id"]: int(end - size)
            for picture, end, size in zip(self.pictures, ends, sizes, strict=True)
        }
        self._shape = {picture["id"]: (picture["height"], picture["width"], 3) for picture in self.pictures}
        cache.mkdir(parents=True, exist_ok=True)
        path = cache / f"pictures-{split}.rgb"
        if not path.exists() or path.stat().st_size != ends[-1]:
            self._decode(data, path, int(ends[-1]))
        self._pixels = np.fromfile(path, np.uint8)

    def _decode(self, data: Path, path: Path, size: int) -> None:
        beside = path.with_suffix(".tmp")
        pixels = np.memmap(beside, np.uint8, "w+", shape=(size,))
        names = {picture["file_name"]: picture["id"] for picture in self.pictures}
        for shard in sorted({picture["shard"] for picture in self.pictures}):
            with tarfile.open(data / f"shard-{shard}.tar") as tar:
                for member in tar:
                    picture = names.get(member.name)
                    content = tar.extractfile(member)
                    if picture is None or content is None:
                        continue
                    bgr = cv2.imdecode(np.frombuffer(content.read(), np.uint8), cv2.IMREAD_COLOR)
                    if bgr.shape != self._shape[picture]:
                        raise ValueError(f"{member.name}: {bgr.shape}, labels say {self._shape[picture]}")
                    start = self._start[picture]
                    pixels[start : start + bgr.size] = bgr[:, :, ::-1].ravel()
        pixels.flush()
        beside.rename(path)

    def image(self, picture: int) -> NDArray[np.uint8]:
        """(H, W, 3) RGB, read-only."""
        height, width, _ = shape = self._shape[picture]
        start = self._start[picture]
        return self._pixels[start : start + height * width * 3].reshape(shape)

    def boxes(self, picture: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """People's boxes (N, 4) x1 y1 x2 y2, and boxes (M, 4) that are neither person nor background."""
        rows = [(*person["bbox"], person["ignore"]) for person in self.people[picture]]
        table = np.array(rows, dtype=np.float32).reshape(-1, 5)
        table[:, 2:4] += table[:, :2]
        return table[table[:, 4] == 0, :4], table[table[:, 4] == 1, :4]


@dataclass(frozen=True)
class Person:
    """One person with keypoints (19, 2) in picture pixels and training weights (19,), 0 where unlabelled."""

    picture: int
    source: str
    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    measured: NDArray[np.bool_]
    """True where a human placed the keypoint, not a teacher."""


def people_with_keypoints(store: PictureStore, least: int = 4) -> list[Person]:
    """Everybody with at least `least` labelled keypoints, ignored people left out."""
    people = []
    for picture in store.pictures:
        for label in store.people[picture["id"]]:
            if label["ignore"] or label["num_keypoints"] < least:
                continue
            x, y, width, height = label.get("bbox_kp", label["bbox"])
            points = np.array(label["keypoints"], dtype=np.float64).reshape(KEYPOINTS, 3)
            weights = np.array(label["kp_scores"], dtype=np.float64) * (points[:, 2] > 0)
            box = np.array([x, y, x + width, y + height], dtype=np.float64)
            people.append(
                Person(picture["id"], picture["source"], box, points[:, :2], weights, points[:, 2] == 2)
            )
    return people


def vary_colours(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Brightness, contrast, gamma and white balance changed at random by one look-up table a channel."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = rng.uniform(0.6, 1.4) * rng.uniform(0.85, 1.15, 3)
    levels = np.clip((levels - 0.5) * gain + 0.5 + rng.uniform(-0.15, 0.15), 0, 1) ** rng.uniform(0.7, 1.4)
    return np.asarray(cv2.LUT(image, (levels * 255).astype(np.uint8)[None]), dtype=np.uint8)


class PersonCrops:
    """Crops for training the pose net; item i is a fresh variation of person i.

    `(crop (H, W, 3) uint8, keypoints (19, 2) in heatmap cells, weights (19,))`; a keypoint outside the crop weighs 0.
    """

    def __init__(self, store: PictureStore, people: list[Person], size: tuple[int, int], seed: int) -> None:
        self.store, self.people, self.size, self.seed = store, people, size, seed

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, request: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """`request` is (draw, person): the draw number makes every visit a different, repeatable variation."""
        draw, index = request
        rng = np.random.default_rng((self.seed, draw))
        person = self.people[index]
        width, height = self.size
        keypoints, weights = person.keypoints, person.weights
        box = self._half_body(person, rng) if rng.random() < 0.15 else person.box
        centre, scale = centre_and_scale(box, width / height)
        span = box[2:] - box[:2]
        centre = centre + (rng.uniform(-0.08, 0.08, 2) * span).astype(np.float32)
        scale = scale * np.float32(np.exp(rng.uniform(np.log(0.75), np.log(1.35))))
        degrees = np.clip(rng.normal(0, 25), -60, 60) if rng.random() < 0.6 else 0.0
        affine = crop_affine(centre, scale, degrees, self.size)
        if rng.random() < 0.5:
            affine[0] = [0, 0, width - 1] - affine[0]
            keypoints, weights = keypoints[self.store.flip], weights[self.store.flip]
        image = self.store.image(person.picture)
        crop = np.asarray(cv2.warpAffine(image, affine, self.size, flags=cv2.INTER_LINEAR), dtype=np.uint8)
        points = apply_affine(keypoints, affine)
        if rng.random() < 0.8:
            crop = vary_colours(crop, rng)
        if rng.random() < 0.35:
            self._hide_patch(crop, rng)
        inside = ((points >= 0) & (points < [width, height])).all(axis=1)
        return crop, (points / 4).astype(np.float32), (weights * inside).astype(np.float32)

    @staticmethod
    def _half_body(person: Person, rng: np.random.Generator) -> NDArray[np.float64]:
        upper = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 18]
        lower = [11, 12, 13, 14, 15, 16]
        chosen = [k for k in (upper if rng.random() < 0.6 else lower) if person.weights[k] > 0]
        if len(chosen) < 4:
            return person.box
        low, high = person.keypoints[chosen].min(axis=0), person.keypoints[chosen].max(axis=0)
        margin = 0.15 * max(high - low) + 2
        return np.concatenate([low - margin, high + margin])

    @staticmethod
    def _hide_patch(crop: NDArray[np.uint8], rng: np.random.Generator) -> None:
        height, width, _ = crop.shape
        h, w = int(height * rng.uniform(0.08, 0.35)), int(width * rng.uniform(0.1, 0.4))
        y, x = rng.integers(height - h), rng.integers(width - w)
        crop[y : y + h, x : x + w] = rng.integers(0, 256, 3, dtype=np.uint8)


def write_log(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line and print it."""
    line = json.dumps(record)
    with path.open("a") as file:
        file.write(line + "\n")
    print(line, flush=True)


def save_bytes(path: Path, content: io.BytesIO) -> None:
    """Write beside the target and rename when whole."""
    beside = path.with_suffix(path.suffix + ".tmp")
    beside.write_bytes(content.getvalue())
    beside.rename(path)
