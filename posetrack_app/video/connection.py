"""One connection to a stream: opened by FFmpeg, described, and decoded frame by frame."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import av

from posetrack_app.core.errors import InputError
from posetrack_app.video.deinterlace import deinterlaced
from posetrack_app.video.ffmpeg_log import silence_ffmpeg
from posetrack_app.video.probe import declared_seconds
from posetrack_app.video.sender import Sender, SenderKind
from posetrack_app.video.source_name import is_pipe, plain_name

_TIMEOUT_SECONDS = 10.0

_OPTIONS = {"rtsp_transport": "tcp", "reconnect": "1", "reconnect_delay_max": "4"}
"""For FFmpeg, which continues a broken HTTP download where it stopped (Range)."""

_PLAYLISTS = ("hls", "dash")
"""FFmpeg's names of the playlist formats."""


@contextmanager
def open_connection(source: str) -> Iterator[Any]:
    """PyAV's container of a new connection to an address or a pipe ("-": standard input)."""
    silence_ffmpeg()
    if not is_pipe(source):
        with av.open(source, options=_OPTIONS, timeout=_TIMEOUT_SECONDS) as container:
            yield container
        return
    with _open_pipe(source) as pipe:
        if not pipe.peek(1):
            raise InputError(
                f"{plain_name(source)}: nothing came through this pipe; check the program that writes to it"
            )
        with av.open(pipe, options={}, timeout=None) as container:
            yield container


@contextmanager
def _open_pipe(source: str) -> Iterator[Any]:
    """A pipe, opened by Python: unlike FFmpeg's reader, this one can be stopped with ctrl-C."""
    if source != "-":
        with open(source, "rb") as pipe:
            yield pipe
        return
    if sys.stdin is None:
        raise InputError("standard input is closed; pipe the video into it")
    if sys.stdin.isatty():
        raise InputError("standard input is a terminal; pipe the video into it")
    yield sys.stdin.buffer


def why_not_opened(source: str, error: Exception) -> str:
    """A line that says why a connection could not be opened, and what to do."""
    reason = getattr(error, "strerror", None) or str(error)
    if is_pipe(source):
        return (
            f"{plain_name(source)}: this video cannot be read from a pipe ({reason}); send MPEG-TS or Matroska, "
            "or an MP4 made with -movflags faststart"
        )
    advice = "check the address, and that the sender is running"
    is_http = source.partition("://")[0] in ("http", "https")
    # FFmpeg reports the second one if it cannot seek to the index.
    if is_http and (isinstance(error, av.error.InvalidDataError) or getattr(error, "errno", 0) == errno.EIO):
        advice = (
            "check the address. If it is an MP4 with its index at the end, download it first or make it with "
            "-movflags faststart, because this server cannot send a part of a file"
        )
    return f"{plain_name(source)} cannot be opened ({reason}); {advice}"


def describe_sender(source: str, container: Any, stream: Any) -> Sender:
    """What is known about the sender of a connection."""
    length = declared_seconds(stream)
    # The length of the container may be that of its audio. A pipe cannot be opened again to find out.
    if not length and not is_pipe(source):
        length = max(container.duration or 0, 0) / av.time_base
    if is_pipe(source):
        kind = SenderKind.PIPE
    elif container.format.name in _PLAYLISTS:
        kind = SenderKind.PLAYLIST
    elif source.partition("://")[0] in ("http", "https"):
        kind = SenderKind.HTTP_FILE if container.size > 0 else SenderKind.HTTP_UNSIZED
    else:
        kind = SenderKind.OTHER
    return Sender(kind, length)


@dataclass(frozen=True)
class ConnectionFrame:
    """PyAV's frame, deinterlaced, and what was known about it before that."""

    frame: Any
    seconds: float | None
    """Presentation time on the clock of the connection."""
    duration: float
    is_key: bool
    is_interlaced: bool
    lost_before: int
    """Damaged packets before it."""


def connection_frames(container: Any, stream: Any) -> Iterator[ConnectionFrame]:
    """The frames of a connection, deinterlaced. Raises PyAV's error after the last one if the connection breaks."""
    # The filter has its own time base, so the times are taken before it. Their unit is that of the stream: frames that
    # waited in the decoder when the connection broke carry none.
    noted = (
        ((frame.pts, frame.duration or 0, frame.key_frame, frame.interlaced_frame, lost), frame)
        for frame, lost in _decoded(container, stream)
    )
    for (pts, duration, is_key, is_interlaced, lost), frame in deinterlaced(noted):
        seconds = None if pts is None else float(pts * stream.time_base)
        yield ConnectionFrame(frame, seconds, float(duration * stream.time_base), is_key, is_interlaced, lost)


def _decoded(container: Any, stream: Any) -> Iterator[tuple[Any, int]]:
    """Each decoded frame, and the number of damaged packets before it."""
    damaged = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.EOFError:
            return
        except av.FFmpegError:
            # The connection broke: first yield the frames that wait in the decoder.
            with suppress(av.FFmpegError):
                for frame in stream.decode(None):
                    yield frame, damaged
                    damaged = 0
            raise
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError:
            damaged += 1  # reported as a gap with the next frame
            continue
        for frame in frames:
            yield frame, damaged
            damaged = 0
