"""Input files in a text format that a parser reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from posetrack_app.core.errors import InputError, one_line


def parse_file(path: Path, kind: str, parse: Callable[[bytes], Any]) -> Any:
    """What `parse` makes of the content; InputError if the file is missing or not of this `kind`, such as "JSON"."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    # Another format, not text, or a number or nesting beyond Python's limits.
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a valid {kind} file: {one_line(error)}") from error
