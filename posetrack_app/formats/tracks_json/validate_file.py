"""The faults of a tracks file of any size, grouped by kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import msgspec

from posetrack_app.core.json_file import load_json
from posetrack_app.formats.json_schema import Fault, schema_faults
from posetrack_app.formats.recognise import refuse_other_format
from posetrack_app.formats.tracks_json.fast_check import UNSET, decoder_for
from posetrack_app.formats.tracks_json.scan import LISTS, UnusualFileError, entries
from posetrack_app.formats.tracks_json.validate import Columns, iterate_faults, place, schema
from posetrack_app.formats.tracks_json.version import upgraded

_ENTRY = {"images": ("id", "frame_index", "seconds"), "annotations": ("id", "image_id", "track_id", "bbox")}
"""What places and references need of an entry."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_VALUE = re.compile(r", got .*")


@dataclass
class Faults:
    """`count` faults; `kinds` has the first line and the number of each kind, `lines` all lines if they are wanted.

    Faults are of one kind if they differ in numbers and values only.
    """

    wants_lines: bool
    count: int = 0
    kinds: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def add(self, fault: Fault, line: Callable[[], str]) -> None:
        """Count a fault; `line` words it with its place."""
        self.count += 1
        kind = ".".join(step for step in fault[0] if isinstance(step, str)), _without_values(fault[1])
        first, number = self.kinds.get(kind, ("", 0))
        self.kinds[kind] = first or line(), number + 1
        if self.wants_lines:
            self.lines.append(line())


@lru_cache(maxsize=1024)
def _without_values(fault: str) -> str:
    return _NUMBER.sub("#", _VALUE.sub("", fault))


def file_faults(path: Path, *, all_lines: bool) -> Faults:
    """The faults of a tracks file, read entry by entry.

    Raises InputError if the file cannot be read, or is a file of another format, which the text names.
    """
    try:
        return _Scan(path, all_lines).faults
    except UnusualFileError:
        pass
    content = load_json(path)
    refuse_other_format(path, content)
    faults = Faults(all_lines)
    for fault, line in iterate_faults(content):
        faults.add(fault, partial(str, line))
    return faults


class _Scan:
    """One pass over the file; `faults` are then complete. Raises UnusualFileError."""

    def __init__(self, path: Path, all_lines: bool) -> None:
        self.faults = Faults(all_lines)
        self._frames: dict[Any, Any] = {}
        self._columns = Columns()
        self._with_id = self._without_id = 0
        rules, definitions = schema()["properties"], schema()["$defs"]
        quick = {key: decoder_for(rules[key]["items"], definitions) for key in LISTS}
        required = {key: rules[key]["items"]["required"] for key in LISTS}
        content: dict[str, Any] = {}
        for key, k, text in entries(path):
            if key == "annotations" and "images" not in content and not k:
                self._read_frames(path)
            if key not in LISTS or text == b"[]":
                content[key] = _parsed(text)
            else:
                content.setdefault(key, [])
                self._entry(key, k, text, quick[key], required[key])
        self._head(path, content)
        if not self.faults.count:
            for where, fault in self._columns.reference_faults():
                self._add((where, fault), self._stored(where))

    def _read_frames(self, path: Path) -> None:
        """Read the images of a file that has the annotations first."""
        for key, _, text in entries(path):
            if key == "images":
                self._remember(_parsed(text))

    def _entry(
        self, key: str, k: int, text: bytes, quick: Callable[[bytes], Any], required: list[str]
    ) -> None:
        faults: list[Fault]
        try:
            found = quick(text)
            entry = {name: value for name in _ENTRY[key] if (value := getattr(found, name)) is not UNSET}
            faults = [((key, k), f"has no {name!r}") for name in required if getattr(found, name) is UNSET]
        except (msgspec.MsgspecError, ValueError):
            entry = _parsed(text)
            faults = list(schema_faults(entry, schema()["properties"][key]["items"], schema(), (key, k)))
        for fault in faults:
            self._add(fault, entry)
        if key == "images":
            self._remember(entry)
        elif isinstance(entry, dict) and "track_id" in entry:
            self._with_id += 1
        else:
            self._without_id += 1
        if not self.faults.count:
            (self._columns.add_image if key == "images" else self._columns.add_person)(entry)

    def _remember(self, image: Any) -> None:
        if isinstance(image, dict) and isinstance(image.get("id"), (int, float, str)):
            self._frames.setdefault(image["id"], image.get("frame_index"))

    def _head(self, path: Path, content: dict[str, Any]) -> None:
        """Check everything but the entries of the lists."""
        info = content.get("info")
        if isinstance(info, dict):
            content["info"] = info = upgraded(info)
        without_id = self._without_id and not self._with_id
        if without_id or not content.keys() >= set(LISTS):
            refuse_other_format(path, {**content, **({"annotations": [{}]} if without_id else {})})
        for fault in schema_faults(content, schema(), schema()):
            self._add(fault, None)

    def _stored(self, where: tuple[str | int, ...]) -> Mapping[str, Any]:
        """What the place of a fault needs of a valid entry."""
        columns, k = self._columns, int(where[1])
        if where[0] == "images":
            return {"frame_index": columns.frame_indices[k]}
        return {"image_id": columns.person_images[k], "track_id": columns.track_ids[k]}

    def _add(self, fault: Fault, entry: Any) -> None:
        self.faults.add(fault, lambda: f"{place(fault[0], entry, self._frames)}{fault[1]}")


def _parsed(text: bytes) -> Any:
    """The value; UnusualFileError if the text is not JSON, for example because of a bracket in a string."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusualFileError from error


def summary(faults: Faults, most: int) -> list[str]:
    """The first fault of at most `most` kinds, with the number of others of its kind; then how many kinds are left."""
    lines = [
        first if number == 1 else f"{first} (and {number - 1} more of this kind)"
        for first, number in list(faults.kinds.values())[:most]
    ]
    more = len(faults.kinds) - most
    return [*lines, f"and {more} more kinds of fault"] if more > 0 else lines
