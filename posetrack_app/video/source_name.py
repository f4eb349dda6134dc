"""Names of video sources: which ones are streams, and how to show them without passwords."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from posetrack_app.core.json_file import as_text

_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp", "http", "https")

_STANDARD_INPUT = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")


def is_stream(source: Path | str) -> bool:
    """Whether `source` cannot be read twice: an address such as rtsp://..., "webcam:0", "-" or another pipe."""
    if isinstance(source, str) and (source.startswith("webcam:") or source.partition("://")[0] in _SCHEMES):
        return True
    return is_pipe(source)


def is_pipe(source: Path | str) -> bool:
    """Whether `source` is "-" (standard input) or the path of a pipe: a named one, /dev/stdin, or a shell's <(...)."""
    return source == "-" or Path(source).is_fifo()


def plain_name(source: Path | str) -> str:
    """The name of a source for output files: a file without its folders, an address without user, password and query."""
    if source == "-" or (str(source) in _STANDARD_INPUT and is_pipe(source)):
        return "standard input"
    if not is_stream(source) or is_pipe(source):
        return as_text(Path(source).name)
    parts = urlsplit(str(source))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else str(source)


def display_name(source: Path | str) -> str:
    """The name of a source for messages: a path as the user gave it, an address without user, password and query."""
    if source != "-" and (not is_stream(source) or is_pipe(source)):
        return as_text(str(source))
    return plain_name(source)
