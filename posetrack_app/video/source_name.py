"""Names of video sources: which ones are streams, and how to show them without passwords."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from posetrack_app.core.json_file import as_text
from posetrack_app.core.words import printable

_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp", "http", "https")


def is_stream(source: Path | str) -> bool:
    """Whether `source` is "-" (standard input), "webcam:0" or an address such as rtsp://..."""
    return isinstance(source, str) and (
        source == "-" or source.startswith("webcam:") or source.partition("://")[0] in _SCHEMES
    )


def plain_name(source: Path | str) -> str:
    """The name of a source for output files: a file without its folders, an address without user, password and query."""
    if not is_stream(source):
        return as_text(Path(source).name)
    if source == "-":
        return "standard input"
    parts = urlsplit(str(source))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else str(source)


def display_name(source: Path | str) -> str:
    """The name of a source for messages: a path as the user gave it, with line breaks as
    escapes, an address without user, password and query."""
    return printable(plain_name(source) if is_stream(source) else as_text(str(source)))
