"""Find every fault of a tracks file: first against the JSON Schema beside this module, then its references and order."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    if isinstance(content, dict) and isinstance(content.get("info"), dict):
        content = {**content, "info": upgraded(content["info"])}
    frames = _frame_indices(content)
    faults = [
        f"{_where(content, frames, path)}{fault}"
        for path, fault in schema_faults(content, schema(), schema())
    ]
    # References can only be followed in a file of the right shape.
    return faults or [f"{_where(content, frames, path)}{fault}" for path, fault in _check_references(content)]


def find_info_faults(info: dict[str, Any]) -> list[str]:
    """The faults of `info` alone. Missing entries are allowed, as in files of other programs."""
    faults = schema_faults(info, schema()["properties"]["info"], schema(), ("info",))
    return [f"{_where(None, {}, path)}{fault}" for path, fault in faults if not fault.startswith(HAS_NO)]


def _check_references(content: dict[str, Any]) -> Iterator[Fault]:
    """Unknown or repeated ids, frames out of order, and boxes of negative size."""
    for key, name in (("images", "id"), ("images", "frame_index"), ("annotations", "id")):
        first_uses: dict[int, int] = {}
        for k, entry in enumerate(content[key]):
            first = first_uses.setdefault(entry[name], k)
            if first != k:
                yield (key, k), f"has the same {name!r} as {key}[{first}]: {entry[name]}"
    for k, (one, other) in enumerate(pairwise(content["images"]), start=1):
        if other["frame_index"] > one["frame_index"] and other["seconds"] <= one["seconds"]:
            yield (
                ("images", k),
                f"its 'seconds' ({other['seconds']}) must be later than those of the frame before",
            )
    images = {image["id"] for image in content["images"]}
    people: dict[tuple[int, int], int] = {}
    for k, person in enumerate(content["annotations"]):
        path = ("annotations", k)
        if person["image_id"] not in images:
            yield path, f"its 'image_id' ({person['image_id']}) is not the id of an image"
        first = people.setdefault((person["image_id"], person["track_id"]), k)
        if first != k:
            yield path, f"has the same 'track_id' in the same image as annotations[{first}]"
        if min(person["bbox"][2:]) < 0:
            yield path, "its 'bbox' (x y width height) has a negative size"


def _frame_indices(content: Any) -> dict[Any, Any]:
    """Image id -> frame_index, from a file of any shape; the first one if an id occurs twice."""
    images = content.get("images") if isinstance(content, dict) else None
    frames: dict[Any, Any] = {}
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict) and isinstance(image.get("id"), (int, float, str)):
            frames.setdefault(image["id"], image.get("frame_index"))
    return frames


def _where(content: Any, frames: dict[Any, Any], path: tuple[str | int, ...]) -> str:
    """Name an entry: "annotations[3].keypoints[7] (frame 5, person 2): "."""
    if not path:
        return ""
    text = path_text(path)
    entry = content.get(path[0]) if isinstance(content, dict) else None
    if path[0] not in ("images", "annotations") or len(path) < 2 or not isinstance(entry, list):
        return f"{text}: "
    element = entry[int(path[1])]
    if not isinstance(element, dict):
        return f"{text}: "
    if path[0] == "images":
        return f"{text} (frame {short_json(element.get('frame_index'))}): "
    image_id = element.get("image_id")
    known = isinstance(image_id, (int, float, str)) and image_id in frames
    frame = short_json(frames[image_id]) if known else "unknown"
    return f"{text} (frame {frame}, person {short_json(element.get('track_id'))}): "
