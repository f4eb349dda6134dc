"""JSON files in and out, in one step each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from posetrack_app.errors import InputError
from posetrack_app.formats.whole import write_whole


def load_json(path: Path) -> Any:
    """The parsed file; InputError where it is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: not a whole JSON file (line {error.lineno}, column {error.colno}: {error.msg})"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a JSON file (it is not text)") from error
    except RecursionError as error:
        raise InputError(f"{path}: not one of our JSON files (nested too deeply)") from error
    except ValueError as error:
        raise InputError(f"{path}: not one of our JSON files (a number has thousands of digits)") from error


def json_files(folder: Path) -> list[Path]:
    """The .json files of a folder by name; hidden ones (macOS: `._a.json`) are none."""
    return sorted(file for file in folder.glob("*.json") if not file.name.startswith("."))


def as_text(name: str) -> str:
    """A file's name as text that JSON can hold, where its bytes are no UTF-8 (Linux)."""
    return os.fsencode(name).decode("utf-8", "replace")


def write_json(target: Path, content: Any) -> None:
    """Write `content` as JSON; NaN is refused, for it is no JSON."""
    write_whole(target, json.dumps(content, allow_nan=False, indent=1) + "\n")
