"""Read text files of other programs, in the encodings that editors and spreadsheets write."""

from __future__ import annotations

import codecs
from pathlib import Path

from posetrack_app.core.parse_file import parse_file

_ENCODINGS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # starts like UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> str:
    """The text of a file, by its byte order mark in UTF-8, 16 or 32, without one in UTF-8.

    Raises InputError if the file is missing or not text.
    """
    text: str = parse_file(path, "text", decoded)
    return text


def decoded(content: bytes) -> str:
    """The text of a file's bytes, without byte order mark. UnicodeDecodeError if they are not text."""
    return content.decode(next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8"))
