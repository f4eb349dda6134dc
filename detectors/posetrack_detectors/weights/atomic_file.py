"""Files that are written completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path, ending: str = ".tmp") -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` after the block, or is removed if the block raises."""
    temporary = path.with_suffix(ending)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
