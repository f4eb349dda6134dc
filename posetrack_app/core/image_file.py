"""Read image files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_WEBP_ANIMATION = 2
"""The bit of the VP8X chunk that says so (developers.google.com/speed/webp/docs/riff_container)."""


def read_rgb(file: Path, *, as_stored: bool = False) -> NDArray[np.uint8] | None:
    """The image (H, W, 3), RGB, rotated as its EXIF says unless `as_stored`; None if it cannot be read."""
    try:
        content = np.fromfile(file, dtype=np.uint8)
    except OSError:
        return None
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0)
    # Unlike imread, imdecode takes any file name on every system and prints nothing about broken files.
    image = cv2.imdecode(content, flags) if len(content) else None
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def is_animated(file: Path) -> bool:
    """Whether an image file holds several images, one after another in time (WebP, PNG), of which only the first is read."""
    try:
        with file.open("rb") as content:
            head = content.read(64)
    except OSError:
        return False
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X":
        return bool(head[20] & _WEBP_ANIMATION)
    return head[:8] == b"\x89PNG\r\n\x1a\n" and b"acTL" in head
