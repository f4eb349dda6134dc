"""Look at a video file before decoding it: its stream, its size as displayed, and the time of every frame."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from posetrack_app.errors import InputError
from posetrack_app.video.ffmpeg_log import listening_to_ffmpeg, silence_ffmpeg
from posetrack_app.video.restarts import CLOCKED, Restart, find_restarts, moved_times

_COMPLAINTS = 3
"""Different lines of FFmpeg's that are passed on."""


@dataclass(frozen=True)
class Probe:
    """One video stream. `pts` are the rising, distinct times of its frames in units of `time_base`.

    `pts` is empty where the packets carry none (raw streams, some AVI): then frames count at `frame_rate`.
    `odd` says in words why decord cannot be trusted with this file, "" where it can. Where `restarts` has some, the
    file's own times start over, and `pts` are moved: such a file is read from its start.
    """

    path: Path
    time_base: Fraction
    frame_rate: float
    packet_count: int
    pts: Sequence[int]
    last_duration: int
    odd: str
    losses: tuple[str, ...]
    pixel_aspect: Fraction | None = None
    """Width by height at which a stored pixel is to be shown, where the file says it."""
    restarts: tuple[Restart, ...] = ()

    def index_of(self, pts: int | None) -> int | None:
        """The index of the frame with this presentation time, or None."""
        if pts is None:
            return None
        place = bisect_left(self.pts, pts)
        return place if place < len(self.pts) and self.pts[place] == pts else None

    @property
    def frame_count(self) -> int:
        return len(self.pts) or self.packet_count

    @property
    def seconds(self) -> list[float]:
        """Presentation time of every frame after the first one's."""
        if not self.pts:
            return [i / self.frame_rate for i in range(self.packet_count)]
        return [float((pts - self.pts[0]) * self.time_base) for pts in self.pts]

    @property
    def length(self) -> float:
        """Seconds from the first frame's appearance to the last one's end."""
        if not self.pts:
            return self.packet_count / self.frame_rate
        duration = float(self.last_duration * self.time_base) or 1 / self.frame_rate
        return float((self.pts[-1] - self.pts[0]) * self.time_base) + duration


def ffmpeg_name(path: Path) -> str:
    """The name of a file for FFmpeg, which takes what stands before a first colon ("12:30.mp4") for a protocol."""
    return str(path.absolute())


@contextmanager
def open_stream(path: Path) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and its video stream; InputError, one line, where `path` is not a video."""
    if path.stat().st_size == 0:
        raise InputError(f"{path}: this file is empty (0 bytes)")
    silence_ffmpeg()
    try:
        container = av.open(ffmpeg_name(path))
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read this file") from error
    except (av.FFmpegError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: not a video, or damaged from the start ({reason})") from error
    with container:
        if container.format.name == "tty":  # FFmpeg's reader of text as ANSI art takes any .txt
            raise InputError(f"{path}: not a video but a text file")
        streams = [
            stream for stream in container.streams.video if "attached_pic" not in str(stream.disposition)
        ]
        if not streams:
            heard = ", it has audio only" if container.streams.audio else ""
            raise InputError(f"{path}: no video stream in this file{heard}")
        stream = streams[0]
        if stream.codec_context is None:
            raise InputError(f"{path}: its video codec is unknown to FFmpeg; convert it to H.264 first")
        stream.thread_type = "AUTO"
        yield container, stream


def probe(path: Path) -> Probe:
    """Read every packet of the video stream (none is decoded) and say what is in it."""
    with open_stream(path) as (container, stream), listening_to_ffmpeg() as heard:
        clocked = container.format.name in CLOCKED
        stamps: list[tuple[int | None, int | None]] = []  # of formats whose times may start over
        times: list[int] = []  # of shown packets
        ends: list[int] = []  # first and last time of any packet, shown or not
        packets = untimed = damaged = last_duration = 0
        first_is_key = True
        losses: list[str] = []
        try:
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                damaged += packet.is_corrupt
                if clocked:
                    stamps.append((packet.dts, packet.pts))
                if packet.pts is None:
                    untimed += 1
                else:
                    end = packet.pts + (packet.duration or 0)
                    ends = [min(ends[0], packet.pts), max(ends[1], end)] if ends else [packet.pts, end]
                if packet.is_discard:  # before an edit list's start: decoded, never shown
                    continue
                if packets == 0:
                    first_is_key = packet.is_keyframe
                packets += 1
                if packet.pts is not None:
                    times.append(packet.pts)
                    last_duration = packet.duration or last_duration
        except av.FFmpegError as error:
            losses.append(f"the file breaks off after {packets} frames ({error.strerror})")
        if not packets:
            raise InputError(f"{path}: the video stream holds no frames")
        time_base = Fraction(stream.time_base)
        rate = stream.average_rate or stream.guessed_rate
        restarts: tuple[Restart, ...] = ()
        if clocked:
            usual = stream.guessed_rate or rate or 25
            restarts = find_restarts(stamps, last_duration or round(1 / (usual * time_base)))
        if restarts:
            times = moved_times(stamps, restarts)
            losses.append(
                f"the file holds {len(restarts) + 1} parts whose times start over (joined recordings?): "
                "each follows the last at once"
            )
        pts = sorted(set(times))
        if untimed or len(pts) < packets:
            pts = []
        declared = declared_seconds(stream)
        held = float((ends[1] - ends[0]) * time_base) if ends else declared
        if declared > held + 0.5 and not restarts:
            losses.append(f"the header promises {declared:.1f} s, the file holds {held:.1f} s: it is cut off")
        if damaged:
            losses.append(f"damaged packets: {damaged}")
        said = dict.fromkeys(f"FFmpeg says of {part}: {text.strip()}" for _, part, text in heard)
        losses += list(said)[:_COMPLAINTS]
        if len(pts) > 1:  # the header's rate may be a clock's (1000 a second), not the frames'
            measured = (len(pts) - 1) / ((pts[-1] - pts[0]) * time_base)
            rate = measured if not rate or not 0.5 < measured / rate < 2 else rate
        return Probe(
            path=path,
            time_base=time_base,
            frame_rate=float(rate) if rate else 25.0,
            packet_count=packets,
            pts=pts,
            last_duration=last_duration,
            odd=_why_not_decord(bool(pts), damaged, first_is_key, bool(restarts)),
            losses=tuple(losses),
            pixel_aspect=stream.sample_aspect_ratio,
            restarts=restarts,
        )


def declared_seconds(stream: Any) -> float:
    """The length of the video stream by the header of its container; 0 where it says none."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    late = float((stream.start_time or 0) * stream.time_base)  # the tag counts from the start of the file
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # Matroska: 00:00:04.000000000
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - max(late, 0.0)
    except ValueError:
        return 0.0


def _why_not_decord(timed: bool, damaged: int, first_is_key: bool, starts_over: bool) -> str:
    """What decord needs and this file lacks; "" where nothing is lacking."""
    if starts_over:
        return "decord needs times that never start over"
    if not timed:
        return "decord needs the time of every packet"
    if damaged:
        return "decord miscounts frames in a damaged file"
    if not first_is_key:
        return "decord needs a key frame at the start"
    return ""
