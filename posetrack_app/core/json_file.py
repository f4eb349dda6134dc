"""Read and write JSON files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from posetrack_app.core.errors import InputError, one_line
from posetrack_app.core.files import write_atomic


def load_json(path: Path) -> Any:
    """The parsed file; InputError if it is missing or not JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    # Not JSON, not text, or a number or nesting beyond Python's limits.
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a valid JSON file: {one_line(error)}") from error


def write_json(target: Path, content: Any) -> None:
    """Write `content` as JSON. ValueError for NaN, which JSON does not have."""
    write_atomic(target, json.dumps(content, allow_nan=False, indent=1) + "\n")


def json_files(folder: Path) -> list[Path]:
    """The .json files of a folder, sorted by name, without hidden ones (macOS adds `._a.json`)."""
    return sorted(file for file in folder.glob("*.json") if not file.name.startswith("."))


def as_text(name: str) -> str:
    """A file name as text that JSON can hold: on Linux its bytes may not be UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")
