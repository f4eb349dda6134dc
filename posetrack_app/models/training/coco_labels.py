"""Labelled people from COCO files, such as instances_*.json and person_keypoints_*.json."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from posetrack_detectors.training.labels import KEYPOINTS, LabelledImage, LabelledPerson, no_keypoints

from posetrack_app.core.errors import InputError
from posetrack_app.core.image_file import read_rgb
from posetrack_app.core.json_file import load_json
from posetrack_app.core.skeletons import COCO

HIDDEN_WEIGHT = 0.8
"""Weight of keypoints that COCO marks as labelled but not visible."""
_SAME_ASPECT = 0.02
"""Largest difference of two log aspect ratios by rounding, in an image that was shrunk after labelling."""
MARGIN = 0.15
"""Margin around the keypoints of a person without a box, as a share of their extent."""


def read_coco(
    path: Path, images: Path | None = None, source: str = "images", *, elsewhere: Path | None = None
) -> list[LabelledImage]:
    """All images of the file.

    Keypoints are recognised by their names in `categories`: COCO's, PoseTrack's or the 19 of `KEYPOINTS`. InputError
    names the place in the file that cannot be used.

    Args:
        path: The COCO file.
        images: Folder of the images; if None, it is searched beside the file.
        source: Name of this part of the data in the results.
        elsewhere: Folder to search after those beside the file.
    """
    content = load_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise InputError(f"{path} is not a COCO file (it has no list 'images')")
    if not isinstance(content.get("annotations"), list):
        raise InputError(f"{path} has no list 'annotations', so there are no labels to train on")
    category, columns = _person_category(path, content.get("categories"))
    people: dict[Any, list[LabelledPerson]] = defaultdict(list)
    for k, annotation in enumerate(content["annotations"]):
        try:
            if category is None or annotation["category_id"] == category:
                people[annotation["image_id"]].append(labelled_person(annotation, columns))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: annotations[{k}] cannot be used: {_reason(error)}") from None
    folder = images or _images_folder(path, content["images"], elsewhere)
    labelled = []
    ids: set[Any] = set()
    for k, image in enumerate(content["images"]):
        try:
            name, size = str(image["file_name"]), (int(image["height"]), int(image["width"]))
            image_people = tuple(people.get(image["id"], ()))
            if image["id"] in ids:
                raise ValueError(f"its id {image['id']} is used twice; give every image its own id")
            ids.add(image["id"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: images[{k}] cannot be used: {_reason(error)}") from None
        file = folder / name
        read = partial(read_image, file, size)
        labelled.append(LabelledImage(name, size, image_people, file, read, source))
    return labelled


def labelled_person(annotation: Mapping[str, Any], columns: dict[int, int]) -> LabelledPerson:
    """One annotation as a person; `columns` maps its keypoints to the 19 of `KEYPOINTS` (see `columns_of`).

    KeyError, TypeError or ValueError if it is invalid.
    """
    keypoints, weights, measured = no_keypoints()
    flat = annotation.get("keypoints") or []
    if flat and columns:
        numbers = np.array(flat, dtype=np.float64).ravel()
        if len(numbers) % 3 or len(numbers) <= 3 * max(columns):
            raise ValueError(f"'keypoints' has {len(numbers)} numbers")
        table = numbers.reshape(-1, 3)
        sources, targets = list(columns), list(columns.values())
        flags = table[sources, 2]
        keypoints[targets] = table[sources, :2]
        weights[targets] = np.where(flags == 1, HIDDEN_WEIGHT, 1.0) * (flags > 0)
        measured[targets] = flags > 0
    if annotation.get("bbox"):
        x, y, width, height = (float(v) for v in annotation["bbox"])
        box = np.array([x, y, x + width, y + height])
    elif measured.any():
        box = box_around(keypoints[measured])
    else:
        raise ValueError("it has neither 'bbox' nor keypoints")
    if not (np.isfinite(box).all() and np.isfinite(keypoints).all() and np.isfinite(weights).all()):
        raise ValueError("'bbox' or 'keypoints' contain NaN or infinite numbers")
    is_empty = bool(box[2] - box[0] < 1 or box[3] - box[1] < 1)
    ignore = bool(annotation.get("iscrowd", 0)) or bool(annotation.get("ignore", 0)) or is_empty
    return LabelledPerson(box, keypoints, weights, measured, ignore)


def box_around(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The box (4,) around points (N, 2), with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * max(1.0, *(high - low))
    return np.concatenate([low - margin, high + margin])


def columns_of(names: list[Any]) -> dict[int, int]:
    """Index in a file's list of keypoint `names` to index in `KEYPOINTS`, for the names in both."""
    return {column: KEYPOINTS.index(name) for column, name in enumerate(names) if name in KEYPOINTS}


def read_image(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, rotated by its EXIF orientation, or as stored if that is the labels' `size` (height, width).

    InputError if the image is missing, damaged, or of another shape than its labels.
    """
    upright = read_rgb(path)
    if upright is None:
        state = "not a readable image" if path.exists() else "does not exist"
        raise InputError(
            f"{path}: {state}; check the file, or give the folder of the images", option="images"
        )
    if size is None or upright.shape[:2] == size:
        return upright
    stored = read_rgb(path, as_stored=True)
    assert stored is not None  # it was readable a moment ago
    if stored.shape[:2] == size:
        return stored
    for image in (upright, stored):
        if _same_aspect(image.shape[:2], size):
            return image
    raise InputError(
        f"{path} is {stored.shape[1]}x{stored.shape[0]}, but its labels are for {size[1]}x{size[0]}; correct the labels "
        "or replace the image"
    )


def _same_aspect(one: tuple[int, ...], other: tuple[int, int]) -> bool:
    return abs(math.log(one[0] / one[1] * other[1] / other[0])) < _SAME_ASPECT


def _person_category(path: Path, categories: Any) -> tuple[Any, dict[int, int]]:
    """The id of the category "person" (None if the file has no categories), and the columns of its keypoints."""
    if not categories:
        return None, columns_of(list(COCO.keypoints))
    if not isinstance(categories, list) or not all(isinstance(c, dict) and "id" in c for c in categories):
        raise InputError(f"{path}: 'categories' must be a list of objects with an 'id'")
    for category in categories:
        if category.get("name") == "person" or len(categories) == 1:
            names = category.get("keypoints") or []
            if not isinstance(names, list):
                raise InputError(f"{path}: 'keypoints' of the category must be a list of names")
            if names and not columns_of(names):
                raise InputError(
                    f"{path}: unknown keypoint names ({', '.join(map(str, names[:3]))}, ...); known are "
                    f"{', '.join(KEYPOINTS)}"
                )
            return category["id"], columns_of(names)
    raise InputError(f"{path} has no category 'person'")


def _images_folder(path: Path, images: list[Any], elsewhere: Path | None) -> Path:
    """The folder of the first image: beside the file, in images/, in COCO's train2017/ and the like, or elsewhere."""
    split = path.stem.rpartition("_")[2]
    above = path.parent.parent
    folders = [path.parent, path.parent / "images", above, above / split, above / "images"]
    folders += [above / "images" / split, *([elsewhere] if elsewhere else [])]
    if not images:
        raise InputError(f"{path} lists no images")
    first = next((image.get("file_name") for image in images if isinstance(image, dict)), None)
    for folder in folders:
        if first is not None and (folder / str(first)).is_file():
            return folder
    raise InputError(
        f"{path}: its images ({first}, ...) are not next to it; give the folder of the images",
        option="images",
    )


def _reason(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)
