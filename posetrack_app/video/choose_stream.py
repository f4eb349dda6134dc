"""Which of several video streams of a file, broadcast or playlist is read."""

from __future__ import annotations

from typing import Any

from av.stream import Disposition

from posetrack_app.core.errors import InputError

_STILLS = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
"""Streams that hold a cover or previews instead of a film."""


def choose_stream(container: Any, number: int | None, name: str) -> Any:
    """The video stream with FFmpeg's `number`; without one the default stream, among several that of the largest images.

    `name` is that of the source, for messages. Raises InputError if there is no such stream, or FFmpeg cannot decode it.
    """
    streams = film_streams(container)
    if not streams:
        audio_only = ", only audio" if container.streams.audio else ""
        raise InputError(f"{name}: no video stream in this file{audio_only}")
    readable = [stream for stream in streams if stream.codec_context is not None]
    if number is not None:
        readable = [stream for stream in readable if stream.index == number]
        if not readable:
            found = ", ".join(map(describe_stream, streams))
            raise InputError(
                f"{name}: stream {number} is not a video that can be read; its video streams: {found}",
                option="video_stream",
            )
    if not readable:
        raise InputError(f"{name}: FFmpeg does not know its video codec; convert it to H.264 first")
    return max(readable, key=_rank)


def describe_choice(container: Any, chosen: Any) -> list[str]:
    """A line that names the other video streams; none if there are no others."""
    others = [stream for stream in film_streams(container) if stream.index != chosen.index]
    if not others:
        return []
    names = ", ".join(map(describe_stream, others))
    return [f"{describe_stream(chosen)} is read; the video also has {names}"]


def film_streams(container: Any) -> list[Any]:
    """The video streams without covers and previews."""
    return [stream for stream in container.streams.video if not stream.disposition & _STILLS]


def describe_stream(stream: Any) -> str:
    """ "stream 1 (1280x720)"; the number is FFmpeg's."""
    context = stream.codec_context
    size = "unknown codec" if context is None else f"{context.width}x{context.height}"
    return f"stream {stream.index} ({size})"


def _rank(stream: Any) -> tuple[bool, int, int]:
    """Whether it is a default stream, the pixels of its images, and their number, 0 if unknown."""
    is_default = bool(stream.disposition & Disposition.default)
    return is_default, stream.codec_context.width * stream.codec_context.height, stream.frames
