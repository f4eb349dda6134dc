"""Find every fault of a tracks file: first against the JSON Schema beside this module, then its references and order."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

from posetrack_app.formats.json_schema import HAS_NO, Fault, path_text, schema_faults, short_json
from posetrack_app.formats.tracks_json.version import upgraded


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of tracks.json."""
    parsed: dict[str, Any] = json.loads(files(__package__).joinpath("tracks.schema.json").read_text("utf-8"))
    return parsed


def find_faults(content: Any) -> list[str]:
    """The faults of a parsed tracks file, one line each, "annotations[3] (frame 5, person 2): ..."; [] if it is valid.

    An older file is checked as the current version would be written, under the names of that version.
    """
    return [line for _, line in iterate_faults(content)]


def iterate_faults(content: Any) -> Iterator[tuple[Fault, str]]:
    """Each fault of a parsed tracks file, and its line."""
    if isinstance(content, dict) and isinstance(content.get("info"), dict):
        content = {**content, "info": upgraded(content["info"])}
    frames = _frame_indices(content)
    is_valid = True
    for path, fault in schema_faults(content, schema(), schema()):
        is_valid = False
        yield (path, fault), f"{place(path, _entry(content, path), frames)}{fault}"
    if not is_valid:  # references can only be followed in a file of the right shape
        return
    columns = Columns()
    for image in content["images"]:
        columns.add_image(image)
    for person in content["annotations"]:
        columns.add_person(person)
    for path, fault in columns.reference_faults():
        yield (path, fault), f"{place(path, _entry(content, path), frames)}{fault}"


def find_info_faults(info: dict[str, Any]) -> list[str]:
    """The faults of `info` alone. Missing entries are allowed, as in files of other programs."""
    faults = schema_faults(info, schema()["properties"]["info"], schema(), ("info",))
    return [f"{place(path, None, {})}{fault}" for path, fault in faults if not fault.startswith(HAS_NO)]


class Columns:
    """What the references and the order of entries need of them; the entries must satisfy the schema."""

    def __init__(self) -> None:
        self.image_ids: list[int] = []
        self.frame_indices: list[int] = []
        self.seconds: list[float] = []
        self.ids: list[int] = []
        self.person_images: list[int] = []
        self.track_ids: list[int] = []
        self.negative_boxes: list[int] = []

    def add_image(self, image: Mapping[str, Any]) -> None:
        self.image_ids.append(image["id"])
        self.frame_indices.append(image["frame_index"])
        self.seconds.append(image["seconds"])

    def add_person(self, person: Mapping[str, Any]) -> None:
        if min(person["bbox"][2:]) < 0:
            self.negative_boxes.append(len(self.ids))
        self.ids.append(person["id"])
        self.person_images.append(person["image_id"])
        self.track_ids.append(person["track_id"])

    def reference_faults(self) -> Iterator[Fault]:
        """Unknown or repeated ids, frames out of order, and boxes of negative size."""
        for key, name, values in (
            ("images", "id", self.image_ids),
            ("images", "frame_index", self.frame_indices),
            ("annotations", "id", self.ids),
        ):
            for k, first in _repeated(values):
                yield (key, k), f"has the same {name!r} as {key}[{first}]: {values[k]}"
        for k, ((index, seconds), (next_index, next_seconds)) in enumerate(
            pairwise(zip(self.frame_indices, self.seconds, strict=True)), start=1
        ):
            if next_index > index and next_seconds <= seconds:
                yield (
                    ("images", k),
                    f"its 'seconds' ({next_seconds}) must be later than those of the frame before",
                )
        images = set(self.image_ids)
        for k, image in enumerate(self.person_images):
            if image not in images:
                yield ("annotations", k), f"its 'image_id' ({image}) is not the id of an image"
        people = list(zip(self.person_images, self.track_ids, strict=True))
        for k, first in _repeated(people):
            yield ("annotations", k), f"has the same 'track_id' in the same image as annotations[{first}]"
        for k in self.negative_boxes:
            yield ("annotations", k), "its 'bbox' (x y width height) has a negative size"


def _repeated(values: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Position of each value that occurred before, and the position where it did first."""
    if len(set(values)) == len(values):
        return
    first_uses: dict[Hashable, int] = {}
    for k, value in enumerate(values):
        first = first_uses.setdefault(value, k)
        if first != k:
            yield k, first


def _frame_indices(content: Any) -> dict[Any, Any]:
    """Image id -> frame_index, from a file of any shape; the first one if an id occurs twice."""
    images = content.get("images") if isinstance(content, dict) else None
    frames: dict[Any, Any] = {}
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict) and isinstance(image.get("id"), (int, float, str)):
            frames.setdefault(image["id"], image.get("frame_index"))
    return frames


def _entry(content: Any, path: tuple[str | int, ...]) -> Any:
    """The entry of `images` or `annotations` that a path leads through; None if there is none."""
    entries = content.get(path[0]) if path and isinstance(content, dict) else None
    return entries[int(path[1])] if len(path) > 1 and isinstance(entries, list) else None


def place(path: tuple[str | int, ...], entry: Any, frames: Mapping[Any, Any]) -> str:
    """Name a place: "annotations[3].keypoints[7] (frame 5, person 2): "; `entry` is that of the list, if there is one.

    `frames` maps image ids to frame indices.
    """
    if not path:
        return ""
    text = path_text(path)
    if path[0] not in ("images", "annotations") or not isinstance(entry, dict):
        return f"{text}: "
    if path[0] == "images":
        return f"{text} (frame {short_json(entry.get('frame_index'))}): "
    image_id = entry.get("image_id")
    known = isinstance(image_id, (int, float, str)) and image_id in frames
    frame = short_json(frames[image_id]) if known else "unknown"
    return f"{text} (frame {frame}, person {short_json(entry.get('track_id'))}): "
