"""Write a file beside its target and rename it when it is whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from posetrack_app.errors import InputError


def write_whole(target: Path, text: str) -> None:
    """Write `text`; a reader sees the old file or the new one, never half. InputError if that fails."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{target}: cannot be written ({error.strerror})") from None


def write_json(target: Path, content: Any) -> None:
    """Write `content` as JSON; NaN is refused, for it is no JSON."""
    write_whole(target, json.dumps(content, allow_nan=False, indent=1) + "\n")
