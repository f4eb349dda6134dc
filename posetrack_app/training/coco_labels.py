"""COCO's instances_*.json and person_keypoints_*.json, and files like them: labelled people for training."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from posetrack_detectors.training.labels import KEYPOINTS, LabelledPerson, LabelledPicture, no_keypoints

from posetrack_app.errors import InputError
from posetrack_app.formats.json_file import load_json
from posetrack_app.picture_file import read_rgb
from posetrack_app.skeleton import COCO

HIDDEN_WEIGHT = 0.8
"""Of keypoints that COCO marks as labelled but not visible."""
_SAME_ASPECT = 0.02
"""Difference of the logarithms of two aspects that rounding makes where a picture was made smaller after labelling."""
MARGIN = 0.15
"""Room around the keypoints of a person without a box, as a share of their extent."""


def read_coco(
    path: Path, images: Path | None = None, source: str = "pictures", *, elsewhere: Path | None = None
) -> list[LabelledPicture]:
    """Every picture of the file; `images` is the folder of the pictures, found beside the file if None.

    Where they are not beside it they are sought in the folder `elsewhere`.

    Keypoints are known by the names in `categories` (COCO's, PoseTrack's or our 19). InputError for what cannot be
    read, with the place in the file.
    """
    content = load_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise InputError(f"{path}: is no COCO file: it has no list 'images'")
    if not isinstance(content.get("annotations"), list):
        raise InputError(f"{path}: has no list 'annotations': nobody is labelled in it")
    category, columns = _person_category(path, content.get("categories"))
    people: dict[Any, list[LabelledPerson]] = defaultdict(list)
    for k, annotation in enumerate(content["annotations"]):
        try:
            if category is None or annotation["category_id"] == category:
                people[annotation["image_id"]].append(labelled_person(annotation, columns))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: annotations[{k}] cannot be used: {_reason(error)}") from None
    folder = images or _images_folder(path, content["images"], elsewhere)
    pictures = []
    ids: set[Any] = set()
    for k, image in enumerate(content["images"]):
        try:
            name, size = str(image["file_name"]), (int(image["height"]), int(image["width"]))
            labels = tuple(people.get(image["id"], ()))
            if image["id"] in ids:
                raise ValueError(f"its id {image['id']} is that of another picture; number them anew")
            ids.add(image["id"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: images[{k}] cannot be used: {_reason(error)}") from None
        file = folder / name
        pictures.append(LabelledPicture(name, size, labels, file, partial(read_picture, file, size), source))
    return pictures


def labelled_person(annotation: Mapping[str, Any], columns: dict[int, int]) -> LabelledPerson:
    """One annotation; `columns` says which of its keypoints is which of our 19.

    Raises KeyError, TypeError or ValueError for one that is not as it should be.
    """
    keypoints, weights, measured = no_keypoints()
    flat = annotation.get("keypoints") or []
    if flat and columns:
        numbers = np.array(flat, dtype=np.float64).ravel()
        if len(numbers) % 3 or len(numbers) <= 3 * max(columns):
            raise ValueError(f"'keypoints' has {len(numbers)} numbers")
        table = numbers.reshape(-1, 3)
        theirs, ours = list(columns), list(columns.values())
        flags = table[theirs, 2]
        keypoints[ours] = table[theirs, :2]
        weights[ours] = np.where(flags == 1, HIDDEN_WEIGHT, 1.0) * (flags > 0)
        measured[ours] = flags > 0
    if annotation.get("bbox"):
        x, y, width, height = (float(v) for v in annotation["bbox"])
        box = np.array([x, y, x + width, y + height])
    elif measured.any():
        box = box_around(keypoints[measured])
    else:
        raise ValueError("it has neither 'bbox' nor keypoints")
    if not (np.isfinite(box).all() and np.isfinite(keypoints).all() and np.isfinite(weights).all()):
        raise ValueError("its 'bbox' or 'keypoints' are not all finite numbers")
    flat_box = bool(box[2] - box[0] < 1 or box[3] - box[1] < 1)
    ignore = bool(annotation.get("iscrowd", 0)) or bool(annotation.get("ignore", 0)) or flat_box
    return LabelledPerson(box, keypoints, weights, measured, ignore)


def box_around(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) the box of points (N, 2) with a margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = MARGIN * max(1.0, *(high - low))
    return np.concatenate([low - margin, high + margin])


def columns_of(names: list[Any]) -> dict[int, int]:
    """Place in a file's keypoint order to place in our 19, for the names that both have."""
    return {theirs: KEYPOINTS.index(name) for theirs, name in enumerate(names) if name in KEYPOINTS}


def read_picture(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """(H, W, 3) RGB turned as its EXIF says, or as stored where the labels are for that `size` (height, width).

    InputError names a picture that is missing, broken, or of another shape than its labels.
    """
    upright = read_rgb(path)
    if upright is None:
        state = "cannot be read as a picture" if path.exists() else "is not there"
        raise InputError(f"{path}: {state}; give the folder of the pictures with --images")
    if size is None or upright.shape[:2] == size:
        return upright
    stored = read_rgb(path, as_stored=True)
    assert stored is not None  # it could be read just now
    if stored.shape[:2] == size:
        return stored
    for picture in (upright, stored):
        if _same_aspect(picture.shape[:2], size):
            return picture
    raise InputError(
        f"{path}: is {stored.shape[1]}x{stored.shape[0]}, but its labels are for {size[1]}x{size[0]}; label it again"
    )


def _same_aspect(one: tuple[int, ...], other: tuple[int, int]) -> bool:
    return abs(math.log(one[0] / one[1] * other[1] / other[0])) < _SAME_ASPECT


def _person_category(path: Path, categories: Any) -> tuple[Any, dict[int, int]]:
    """The id of the person's category (None: there are no categories, everything is one), and its keypoints' columns."""
    if not categories:
        return None, columns_of(list(COCO.keypoints))
    if not isinstance(categories, list) or not all(isinstance(c, dict) and "id" in c for c in categories):
        raise InputError(f"{path}: 'categories' must be a list of objects with an 'id'")
    for category in categories:
        if category.get("name") == "person" or len(categories) == 1:
            names = category.get("keypoints") or []
            if not isinstance(names, list):
                raise InputError(f"{path}: 'keypoints' of its category must be a list of names")
            if names and not columns_of(names):
                raise InputError(
                    f"{path}: none of its keypoints is known ({', '.join(map(str, names[:3]))}, ...); known are "
                    f"{', '.join(KEYPOINTS)}"
                )
            return category["id"], columns_of(names)
    raise InputError(f"{path}: has no category 'person'")


def _images_folder(path: Path, images: list[Any], elsewhere: Path | None) -> Path:
    """Where the first picture lies: beside the file, in images/, in COCO's train2017/ and the like, or elsewhere."""
    split = path.stem.rpartition("_")[2]
    above = path.parent.parent
    candidates = [path.parent, path.parent / "images", above, above / split, above / "images"]
    candidates += [above / "images" / split, *([elsewhere] if elsewhere else [])]
    if not images:
        raise InputError(f"{path}: lists no pictures")
    first = next((image.get("file_name") for image in images if isinstance(image, dict)), None)
    for folder in candidates:
        if first is not None and (folder / str(first)).is_file():
            return folder
    raise InputError(
        f"{path}: its pictures ({first}, ...) are not beside it; give their folder with --images"
    )


def _reason(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)
