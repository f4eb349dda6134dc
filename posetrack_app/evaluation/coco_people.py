"""Read and check the people of COCO annotations and results, image by image."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import FloatArray
from posetrack_app.core.skeletons import COCO, POSETRACK
from posetrack_app.core.words import counted

_logger = logging.getLogger("posetrack")

_ID = (int, float, str)
"""Types of image ids; 1.0 is the image 1, as in pycocotools."""
SIGMAS = {
    **dict(zip(POSETRACK.keypoints, POSETRACK.sigmas, strict=True)),
    **dict(zip(COCO.keypoints, COCO.sigmas, strict=True)),
    "head": 0.079,
    "neck": 0.079,
}
"""OKS sigma of every keypoint name that can be scored."""


@dataclass(frozen=True, eq=False)
class Annotated:
    """One annotated person: keypoints (K, 3) with flags, box x y w h, area in px²."""

    keypoints: FloatArray
    box: FloatArray
    area: float
    is_crowd: bool
    labelled: float
    """The number of labelled keypoints; `num_keypoints` of the file if it has one."""


@dataclass(frozen=True, eq=False)
class Detected:
    """One person of the results: keypoints (K, 3), score, area in px²."""

    keypoints: FloatArray
    score: float
    area: float


@dataclass(eq=False)
class ImagePeople:
    """The people of one image; `crowd_index` is that of CrowdPose, None if the file has none."""

    crowd_index: float | None
    annotated: list[Annotated]
    detected: list[Detected]


def read_images(path: Path, truth: Any) -> dict[Any, ImagePeople]:
    """The images of the annotations, without people, sorted by id.

    Raises InputError if the file does not have the COCO format.
    """
    lists = ("images", "annotations")
    if not isinstance(truth, dict) or not all(isinstance(truth.get(name), list) for name in lists):
        raise InputError(
            f"{path} is not a COCO annotation file (with lists 'images' and 'annotations'); "
            "a list of results needs one"
        )
    images: dict[Any, ImagePeople] = {}
    for k, image in enumerate(truth["images"]):
        if not isinstance(image, dict) or not isinstance(image.get("id"), _ID):
            raise InputError(f"{path}: images[{k}] must be an object with an 'id'")
        index = _number(path, f"images[{k}]", image, "crowdIndex") if "crowdIndex" in image else None
        images[image["id"]] = ImagePeople(index, [], [])
    if len({isinstance(key, str) for key in images}) > 1:
        raise InputError(f"{path}: some image ids are numbers and some are text; use one kind")
    return {key: images[key] for key in sorted(images)}


def read_sigmas(path: Path, truth: Mapping[str, Any]) -> tuple[FloatArray, Any]:
    """OKS sigmas (K,) of the keypoints in the annotations, and the id of their category.

    Categories without keypoints are not people. Raises InputError if there are no keypoint names, or unknown ones.
    """
    categories = truth.get("categories")
    entries = categories if isinstance(categories, list) else []
    named = [entry for entry in entries if isinstance(entry, dict) and entry.get("keypoints")]
    if len(named) != 1:
        raise InputError(f"{path} needs exactly one category with 'keypoints', but has {len(named)}")
    names = named[0]["keypoints"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: 'keypoints' of the category must be a list of names")
    unknown = [name for name in names if name not in SIGMAS]
    if unknown:
        raise InputError(
            f"{path}: no OKS sigma for {', '.join(unknown)}; known keypoints are {', '.join(SIGMAS)}"
        )
    return np.array([SIGMAS[name] for name in names]), named[0].get("id")


def add_annotated(
    images: Mapping[Any, ImagePeople],
    path: Path,
    people: Sequence[Any],
    keypoints: int,
    category: Any,
    crowdpose: bool,
) -> None:
    """Add the annotated people to their images; those of CrowdPose need no 'area'. InputError for invalid entries.

    Annotations of other categories are skipped. `keypoints: []`, as CVAT writes it, is a person without labels.
    """
    for image, where, person in _placed(images, path, people, path, category):
        points: FloatArray
        if person.get("keypoints") == []:
            points = np.zeros((keypoints, 3))
        else:
            points = _keypoints(path, where, person, keypoints)
        box = _numbers(path, where, person, "bbox", 4)
        area = 0.0 if crowdpose else _number(path, where, person, "area")
        if "num_keypoints" in person:
            labelled = _number(path, where, person, "num_keypoints")
        else:
            labelled = float((points[:, 2] > 0).sum())
        image.annotated.append(Annotated(points, box, area, bool(person.get("iscrowd", 0)), labelled))


def add_detected(
    images: Mapping[Any, ImagePeople],
    path: Path,
    people: Sequence[Any],
    keypoints: int,
    category: Any,
    truth_path: Path,
) -> None:
    """Add the people of the results to their images. InputError for invalid entries.

    Results of a category other than `category` are skipped; without a category they are people. Areas are those of the
    boxes if the first result has one, else of the extent of the keypoints (pycocotools).
    """
    by_box = bool(people) and isinstance(people[0], dict) and bool(people[0].get("bbox"))
    for image, where, person in _placed(images, path, people, truth_path, category):
        points = _keypoints(path, where, person, keypoints)
        extent = _numbers(path, where, person, "bbox", 4)[2:] if by_box else np.ptp(points[:, :2], axis=0)
        score = _number(path, where, person, "score")
        image.detected.append(Detected(points, score, float(extent.prod())))


def _placed(
    images: Mapping[Any, ImagePeople],
    path: Path,
    people: Sequence[Any],
    truth_path: Path,
    category: Any,
) -> Iterator[tuple[ImagePeople, str, dict[str, Any]]]:
    """The image, the name in messages and the entry of each person of `category`; a log line counts the others."""
    others: Counter[str] = Counter()
    for k, person in enumerate(people):
        if not isinstance(person, dict):
            raise InputError(f"{path}: person {k} must be an object with 'image_id' and 'keypoints'")
        if category is not None and person.get("category_id", category) != category:
            others[str(person["category_id"])] += bool(person.get("keypoints"))
            continue
        key = person.get("image_id")
        if not isinstance(key, _ID) or key not in images:
            raise InputError(f"{path}: person {k} is in image {key}, which is missing in {truth_path}")
        where = f"person {k} (image {key})"
        yield images[key], where, person
    if others.total():
        _logger.warning(
            "%s: %d of %s are of category %s, the annotations' people are %s; they are left out",
            path, others.total(), counted(len(people), "annotation" if path == truth_path else "result"),
            ", ".join(sorted(others)), category,
        )  # fmt: skip


def _keypoints(path: Path, where: str, person: Mapping[str, Any], count: int) -> FloatArray:
    return _numbers(path, where, person, "keypoints", 3 * count).reshape(count, 3)


def _number(path: Path, where: str, content: Mapping[str, Any], key: str) -> float:
    return float(_numbers(path, where, content, key, None))


def _numbers(path: Path, where: str, content: Mapping[str, Any], key: str, count: int | None) -> FloatArray:
    """`content[key]` as `count` numbers, or as one number if `count` is None."""
    if key not in content:
        raise InputError(f"{path}: {where} has no '{key}'")
    wanted = "as a number" if count is None else f"with {count} numbers"
    try:
        if np.array(content[key]).dtype.kind not in "iufb":  # "0.9" in quotes is text, as for pycocotools
            raise TypeError
        numbers = np.array(content[key], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{path}: {where} needs '{key}' {wanted}") from None
    if numbers.shape != (() if count is None else (count,)) or not np.isfinite(numbers).all():
        raise InputError(f"{path}: {where} needs '{key}' {wanted}")
    return numbers
