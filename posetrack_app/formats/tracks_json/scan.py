"""Read a tracks file entry by entry, so that its size does not matter."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_CHUNK = 1 << 24
_LONGEST = 1 << 26
"""Bytes of one entry; what is longer is left to a JSON parser."""
_SPACE = re.compile(rb"[ \t\r\n]*")
_KEY = re.compile(rb'"([^"\\]{0,200})"[ \t\r\n]*:')
_CLOSING = {b"{": b"}", b"[": b"]"}
LISTS = ("images", "annotations")


class UnusualFileError(Exception):
    """The file is not JSON, or is written in a way that only a complete JSON parser reads."""


def entries(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """Key, position and JSON text of each entry of `images` and `annotations`, and of the other keys (position 0).

    An empty list gives its key with the text "[]". Raises UnusualFileError, also in the middle.
    """
    try:
        with path.open("rb") as file:
            yield from _entries(_Text(file))
    except (UnicodeDecodeError, OSError) as error:
        raise UnusualFileError from error


def _entries(text: _Text) -> Iterator[tuple[str, int, bytes]]:
    text.take(b"{")
    keys: set[str] = set()
    while True:
        key = text.key()
        if key in keys:
            raise UnusualFileError
        keys.add(key)
        if key in LISTS:
            text.take(b"[")
            if text.next() == b"]":
                yield key, 0, b"[]"
            k = 0
            while text.next() != b"]":
                if k:
                    text.take(b",")
                if text.next() != b"{":
                    raise UnusualFileError
                yield key, k, text.value()
                k += 1
            text.take(b"]")
        else:
            yield key, 0, text.value()
        if text.next() == b"}":
            text.take(b"}")
            text.end()
            return
        text.take(b",")


class _Text:
    """The bytes of a file from `position` on, read as they are needed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._check = codecs.getincrementaldecoder("utf-8")()
        self._bytes = b""
        self._position = 0
        self._more()
        self._position = 3 * self._bytes.startswith(codecs.BOM_UTF8)

    def _more(self) -> None:
        chunk = self._file.read(_CHUNK)
        if not chunk or len(self._bytes) - self._position > _LONGEST:
            raise UnusualFileError
        self._check.decode(chunk)
        self._bytes = self._bytes[self._position :] + chunk
        self._position = 0

    def next(self) -> bytes:
        """The next byte that is not white space."""
        while True:
            found = _SPACE.match(self._bytes, self._position)
            self._position = found.end() if found else self._position
            if self._position < len(self._bytes):
                return self._bytes[self._position : self._position + 1]
            self._more()

    def take(self, byte: bytes) -> None:
        if self.next() != byte:
            raise UnusualFileError
        self._position += 1

    def key(self) -> str:
        self.next()
        found = _KEY.match(self._bytes, self._position)
        if found is None:
            self._more()
            found = _KEY.match(self._bytes, self._position)
            if found is None:
                raise UnusualFileError
        self._position = found.end()
        return found[1].decode()

    def value(self) -> bytes:
        """The text of the object or list that comes next: up to where as many brackets are closed as opened.

        Brackets in strings are counted too; the text is then not JSON, or the rest of the file is not.
        """
        opening = self.next()
        closing = _CLOSING.get(opening)
        if closing is None:
            raise UnusualFileError
        end = self._position
        depth = 0
        while True:
            found = self._bytes.find(closing, end)
            if found < 0:
                checked = len(self._bytes) - self._position
                depth += self._bytes.count(opening, end)
                self._more()
                end = checked
                continue
            depth += self._bytes.count(opening, end, found) - 1
            end = found + 1
            if not depth:
                text = self._bytes[self._position : end]
                self._position = end
                return text

    def end(self) -> None:
        """UnusualFileError if anything but white space follows."""
        if self._bytes[self._position :].strip() or self._file.read(_CHUNK).strip():
            raise UnusualFileError
