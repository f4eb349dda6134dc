"""A short value that identifies the content of a video."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from posetrack_app.video.folder import list_images
from posetrack_app.video.source_name import is_stream

_END_BYTES = 1 << 20


def fingerprint(source: Path | str) -> str:
    """The size of a file and a CRC-32 of its first and last MiB, "1234-0f3a5b7c"; "" for a stream.

    For an image folder: the total size, and a CRC-32 of the names and sizes of its files.
    """
    if is_stream(source):
        return ""
    path = Path(source)
    if path.is_dir():
        images = [(image.name, image.stat().st_size) for image in list_images(path)]
        size, sample = sum(size for _, size in images), repr(images).encode("utf-8", "surrogateescape")
    else:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            sample = file.read(_END_BYTES)
            file.seek(max(0, size - _END_BYTES))
            sample += file.read()
    return f"{size}-{zlib.crc32(sample):08x}"
