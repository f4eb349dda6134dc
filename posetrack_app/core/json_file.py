"""Read and write JSON files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import orjson

from posetrack_app.core.files import write_atomic
from posetrack_app.core.parse_file import parse_file


def load_json(path: Path) -> Any:
    """The parsed file; InputError if it is missing or not JSON."""
    return parse_file(path, "JSON", _parse)


def _parse(content: bytes) -> Any:
    """orjson reads twice as fast; what it refuses (NaN, byte order marks, deep nesting) is left to Python's parser."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return json.loads(content)


def write_json(target: Path, content: Any) -> None:
    """Write `content` as JSON. ValueError for NaN, which JSON does not have."""
    write_atomic(target, json.dumps(content, allow_nan=False, indent=1) + "\n")


def json_files(folder: Path) -> list[Path]:
    """The .json files of a folder, sorted by name, without hidden ones (macOS adds `._a.json`)."""
    return sorted(file for file in folder.glob("*.json") if not file.name.startswith("."))


def as_text(name: str) -> str:
    """A file name as text that JSON can hold: on Linux its bytes may not be UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")
