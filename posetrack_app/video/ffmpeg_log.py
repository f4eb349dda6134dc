"""FFmpeg's messages, which are one setting for the whole process: silent, or heard for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av


def silence_ffmpeg() -> None:
    """To be called before a decoder or encoder with threads is opened.

    torchvision (0.25 and before) turns the messages on when it is imported. A decoder's thread that has something to
    say then waits for the interpreter, which may be waiting for that thread to end: for ever.
    """
    av.logging.set_level(None)


@contextmanager
def listening_to_ffmpeg() -> Iterator[Any]:
    """What FFmpeg says while the block runs: a growing list of (level, part, text). Nothing is to be decoded in it."""
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as heard:
            yield heard
    finally:
        silence_ffmpeg()
