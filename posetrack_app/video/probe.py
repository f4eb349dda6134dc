"""Read the packets of a video file before decoding it: which stream it has, and the time of every frame."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from posetrack_app.core.errors import InputError
from posetrack_app.core.frame_rate import USUAL_FPS
from posetrack_app.core.words import counted
from posetrack_app.video.ffmpeg_log import captured_ffmpeg_log, silence_ffmpeg
from posetrack_app.video.restarts import CLOCKED, Restart, find_restarts, moved_times

RAW_FORMATS = {"h264", "hevc", "vvc", "m4v", "mpegvideo", "h263", "vc1", "obu"}
"""Raw streams have no timestamps; FFmpeg counts their frames at a rate that may be wrong."""

_MAX_MESSAGES = 3
"""Different messages of FFmpeg that are passed on."""


@dataclass(frozen=True)
class Probe:
    """One video stream.

    `pts` are the rising, distinct times of the frames in units of `time_base`. They are empty if the packets have none
    (raw streams, some AVI files): the times then follow from `frame_rate`. `decord_problem` says why decord must not
    read this file; "" if it may. If the file's timestamps restart, `restarts` lists where, `pts` are corrected, and the
    file can only be read from its start.
    """

    path: Path
    time_base: Fraction
    frame_rate: float
    packet_count: int
    pts: Sequence[int]
    last_duration: int
    decord_problem: str
    losses: tuple[str, ...]
    pixel_aspect: Fraction | None = None
    """Width divided by height at which a stored pixel is displayed, if the file says so."""
    restarts: tuple[Restart, ...] = ()
    has_given_rate: bool = False
    """Whether the user gave `frame_rate`, which then replaces all times of the file."""

    def index_of(self, pts: int | None) -> int | None:
        """The index of the frame with this presentation time, or None."""
        if pts is None:
            return None
        index = bisect_left(self.pts, pts)
        return index if index < len(self.pts) and self.pts[index] == pts else None

    @property
    def frame_count(self) -> int:
        return len(self.pts) or self.packet_count

    @property
    def seconds(self) -> list[float]:
        """Presentation times, from that of the first frame."""
        if not self.pts:
            return [i / self.frame_rate for i in range(self.packet_count)]
        return [float((pts - self.pts[0]) * self.time_base) for pts in self.pts]

    @property
    def length(self) -> float:
        """Seconds from the start of the first frame to the end of the last one."""
        if not self.pts:
            return self.packet_count / self.frame_rate
        duration = float(self.last_duration * self.time_base) or 1 / self.frame_rate
        return float((self.pts[-1] - self.pts[0]) * self.time_base) + duration


def ffmpeg_name(path: Path) -> str:
    """The absolute path, because FFmpeg takes the start of a relative name with a colon ("12:30.mp4") for a protocol."""
    return str(path.absolute())


@contextmanager
def open_stream(path: Path) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and its video stream; InputError if `path` is not a video."""
    if path.stat().st_size == 0:
        raise InputError(f"{path}: this file is empty (0 bytes)")
    silence_ffmpeg()
    try:
        container = av.open(ffmpeg_name(path))
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read this file") from error
    except (av.FFmpegError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} is not a video, or its start is damaged ({reason})") from error
    with container:
        if container.format.name == "tty":  # FFmpeg plays any .txt file as ANSI art
            raise InputError(f"{path} is a text file, not a video")
        streams = [
            stream for stream in container.streams.video if "attached_pic" not in str(stream.disposition)
        ]
        if not streams:
            audio_only = ", only audio" if container.streams.audio else ""
            raise InputError(f"{path}: no video stream in this file{audio_only}")
        stream = streams[0]
        if stream.codec_context is None:
            raise InputError(f"{path}: FFmpeg does not know its video codec; convert it to H.264 first")
        stream.thread_type = "AUTO"
        yield container, stream


@dataclass
class _Packets:
    """What the packets of a video stream say; times are in units of the stream's time base."""

    is_clocked: bool
    """Whether the timestamps of this format may restart."""
    stamps: list[tuple[int | None, int | None]] = field(default_factory=list)
    """(dts, pts) of every packet if `is_clocked`."""
    times: list[int] = field(default_factory=list)
    """pts of the displayed packets."""
    span: tuple[int, int] | None = None
    """Start of the first and end of the last packet, displayed or not."""
    displayed: int = 0
    without_time: int = 0
    damaged: int = 0
    last_duration: int = 0
    starts_with_key_frame: bool = True
    broke_off: str = ""
    """Why the file could not be read to its end."""

    def add(self, packet: Any) -> None:
        """Count one packet."""
        self.damaged += packet.is_corrupt
        if self.is_clocked:
            self.stamps.append((packet.dts, packet.pts))
        if packet.pts is None:
            self.without_time += 1
        else:
            start, end = packet.pts, packet.pts + (packet.duration or 0)
            self.span = (min(self.span[0], start), max(self.span[1], end)) if self.span else (start, end)
        if packet.is_discard:  # before the start of an edit list: decoded but not displayed
            return
        if self.displayed == 0:
            self.starts_with_key_frame = packet.is_keyframe
        self.displayed += 1
        if packet.pts is not None:
            self.times.append(packet.pts)
            self.last_duration = packet.duration or self.last_duration


def probe(path: Path, fps: float | None = None) -> Probe:
    """Read every packet of the video stream, decode none, and describe it; `fps` is the rate of a raw stream.

    Raises InputError if the file is not a video, or if `fps` is given for a file that has its own times.
    """
    with open_stream(path) as (container, stream), captured_ffmpeg_log() as messages:
        packets = _read_packets(container, stream)
        if not packets.displayed:
            raise InputError(f"{path}: the video stream contains no frames")
        described = _describe(path, container.format.name, stream, packets, fps)
        quoted = dict.fromkeys(f"FFmpeg says about {part}: {text.strip()}" for _, part, text in messages)
        return replace(described, losses=(*described.losses, *list(quoted)[:_MAX_MESSAGES]))


def _read_packets(container: Any, stream: Any) -> _Packets:
    packets = _Packets(is_clocked=container.format.name in CLOCKED)
    try:
        for packet in container.demux(stream):
            if packet.size:
                packets.add(packet)
    except av.FFmpegError as error:
        packets.broke_off = str(error.strerror)
    return packets


def _describe(path: Path, file_format: str, stream: Any, packets: _Packets, fps: float | None) -> Probe:
    time_base = Fraction(stream.time_base)
    rate = stream.average_rate or stream.guessed_rate
    restarts: tuple[Restart, ...] = ()
    if packets.is_clocked:
        usual_rate = stream.guessed_rate or rate or Fraction(USUAL_FPS)
        frame = packets.last_duration or round(1 / (usual_rate * time_base))
        restarts = find_restarts(packets.stamps, frame)
    pts = sorted(set(moved_times(packets.stamps, restarts) if restarts else packets.times))
    if packets.without_time or len(pts) < packets.displayed:
        pts = []
    if fps is not None:
        if pts and file_format not in RAW_FORMATS:
            raise InputError(
                f"{path} has its own frame times; leave out the frame rate, which is for image folders and raw streams",
                option="fps",
            )
        pts, rate = [], Fraction(fps).limit_denominator(1001)
    if len(pts) > 1:  # the rate in the header may be that of a clock (1000 per second)
        measured = (len(pts) - 1) / ((pts[-1] - pts[0]) * time_base)
        rate = measured if not rate or not 0.5 < measured / rate < 2 else rate
    return Probe(
        path=path,
        time_base=time_base,
        frame_rate=float(rate) if rate else USUAL_FPS,
        packet_count=packets.displayed,
        pts=pts,
        last_duration=packets.last_duration,
        decord_problem=_decord_problem(packets, has_times=bool(pts), has_restarts=bool(restarts)),
        losses=tuple(_losses(stream, packets, len(restarts))),
        pixel_aspect=stream.sample_aspect_ratio,
        restarts=restarts,
        has_given_rate=fps is not None,
    )


def _losses(stream: Any, packets: _Packets, restarts: int) -> Iterator[str]:
    """What is missing or wrong in the file, one line each."""
    if packets.broke_off:
        yield f"the file breaks off after {counted(packets.displayed, 'frame')} ({packets.broke_off})"
    if restarts:
        yield (
            f"the file has {restarts + 1} parts whose timestamps restart (joined recordings?): "
            "each part was placed directly after the previous one"
        )
    declared = declared_seconds(stream)
    if packets.span and not restarts:
        seconds = float((packets.span[1] - packets.span[0]) * Fraction(stream.time_base))
        if declared > seconds + 0.5:
            yield f"the file is cut off: its header says {declared:.1f} s, it contains {seconds:.1f} s"
    if packets.damaged:
        yield f"damaged packets: {packets.damaged}"


def declared_seconds(stream: Any) -> float:
    """The length of the video stream according to the header of its container; 0 if the header has none."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    delay = float((stream.start_time or 0) * stream.time_base)  # the tag counts from the start of the file
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")  # Matroska: 00:00:04.000000000
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - max(delay, 0.0)
    except ValueError:
        return 0.0


def _decord_problem(packets: _Packets, *, has_times: bool, has_restarts: bool) -> str:
    """Why decord must not read this file; "" if it may."""
    if has_restarts:
        return "decord needs timestamps that never restart"
    if not has_times:
        return "decord needs the time of every packet"
    if packets.damaged:
        return "decord miscounts frames in a damaged file"
    if not packets.starts_with_key_frame:
        return "decord needs a key frame at the start"
    return ""
