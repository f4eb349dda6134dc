"""FFmpeg's log, whose level is the same for all of the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av


def silence_ffmpeg() -> None:
    """Turn the log off. Call this before opening a decoder or encoder that has threads.

    torchvision up to 0.25 turns the log on when it is imported. A decoder thread that logs then waits for the
    interpreter lock, while the thread that holds the lock may wait for the decoder: a deadlock.
    """
    av.logging.set_level(None)


@contextmanager
def captured_ffmpeg_log() -> Iterator[Any]:
    """Give a growing list of (level, component, text) logged inside the block, in which nothing may be decoded."""
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as messages:
            yield messages
    finally:
        silence_ffmpeg()
