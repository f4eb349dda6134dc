"""Files that appear when they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path, ending: str = ".tmp") -> Iterator[Path]:
    """The name of a file to write beside `path`, which takes its place when the block ends well; else it is gone."""
    beside = path.with_suffix(ending)
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
