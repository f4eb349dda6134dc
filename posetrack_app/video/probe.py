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
from posetrack_app.core.words import counted
from posetrack_app.video.choose_stream import choose_stream, describe_choice
from posetrack_app.video.ffmpeg_log import captured_ffmpeg_log, silence_ffmpeg
from posetrack_app.video.frame_times import (
    RAW_FORMATS,
    AviTimes,
    FrameTimes,
    counted_times,
    has_rate,
    stamped_times,
    stream_rate,
)
from posetrack_app.video.parameter_sets import ParameterSets
from posetrack_app.video.restarts import CLOCKED, Restart, find_restarts, moved_times

_MAX_MESSAGES = 3
"""Different messages of FFmpeg that are passed on."""

_DEFAULT_RATE = 25.0
"""Frames per second of a raw stream that says none."""


@dataclass(frozen=True)
class Probe:
    """One video stream.

    `stream` is FFmpeg's number of it. `seconds` are the times of the frames from the first; `pts` are those by which a
    decoded frame is found, in units of `time_base`, empty if frames can only be counted (see `FrameTimes`).
    `only_pyav` says why no other decoder must read this file, `no_decord` why decord must not; "" if they may. If the
    file's timestamps restart, `restarts` lists where, the times are corrected, and the file can only be read from its
    start.
    """

    path: Path
    stream: int
    time_base: Fraction
    frame_rate: float
    seconds: Sequence[float]
    pts: Sequence[int]
    has_gaps: bool
    last_duration: int
    only_pyav: str
    no_decord: str
    losses: tuple[str, ...]
    pixel_aspect: Fraction | None = None
    """Width divided by height at which a stored pixel is displayed, if the file says so."""
    restarts: tuple[Restart, ...] = ()
    has_choice: bool = False
    """Whether the file has other video streams."""

    def index_of(self, pts: int | None) -> int | None:
        """The index of the frame with this presentation time, or None."""
        if pts is None:
            return None
        index = bisect_left(self.pts, pts)
        return index if index < len(self.pts) and self.pts[index] == pts else None

    @property
    def frame_count(self) -> int:
        return len(self.seconds)

    @property
    def start_seconds(self) -> float:
        """The container's time of frame 0."""
        return float(self.pts[0] * self.time_base) if self.pts else 0.0

    @property
    def length(self) -> float:
        """Seconds from the start of the first frame to the end of the last one."""
        duration = float(self.last_duration * self.time_base) if self.pts else 0.0
        return self.seconds[-1] + (duration or 1 / self.frame_rate)


def ffmpeg_name(path: Path) -> str:
    """The absolute path, because FFmpeg takes the start of a relative name with a colon ("12:30.mp4") for a protocol."""
    return str(path.absolute())


@contextmanager
def open_stream(path: Path, number: int | None = None) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and a video stream of it: FFmpeg's `number`, or the best one.

    InputError if `path` is not a video, or has no such stream.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{path}: this file is empty (0 bytes)")
    silence_ffmpeg()
    try:
        # Otherwise FFmpeg takes an image named "shot%03d.jpg" for a pattern, and reads others.
        container = av.open(ffmpeg_name(path), options={"pattern_type": "none"})
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read this file") from error
    except (av.FFmpegError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} is not a video, or its start is damaged ({reason})") from error
    with container:
        if container.format.name == "tty":  # FFmpeg plays any .txt file as ANSI art
            raise InputError(f"{path} is a text file, not a video")
        stream = choose_stream(container, number, str(path))
        stream.thread_type = "AUTO"
        yield container, stream


@dataclass
class _Packets:
    """What the packets of a video stream say; times are in units of the stream's time base."""

    parameters: ParameterSets
    avi: AviTimes | None
    """For AVI files."""
    is_clocked: bool
    """Whether the timestamps of this format may restart."""
    stamps: list[tuple[int | None, int | None]] = field(default_factory=list)
    """(dts, pts) of every packet if `is_clocked`."""
    times: list[int | None] = field(default_factory=list)
    """pts of the displayed packets."""
    span: tuple[int, int] | None = None
    """Start of the first and end of the last packet, displayed or not."""
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
        if packet.pts is not None:
            start, end = packet.pts, packet.pts + (packet.duration or 0)
            self.span = (min(self.span[0], start), max(self.span[1], end)) if self.span else (start, end)
        if packet.is_discard:  # before the start of an edit list: decoded but not displayed
            return
        if not self.times:
            self.starts_with_key_frame = packet.is_keyframe
        self.times.append(packet.pts)
        if packet.pts is not None:
            self.last_duration = packet.duration or self.last_duration
        self.parameters.add(packet)
        if self.avi is not None:
            self.avi.add(packet)


def probe(path: Path, fps: float | None = None, number: int | None = None) -> Probe:
    """Read every packet of the video stream, decode none, and describe it.

    Args:
        path: the file.
        fps: the rate of a stream without times.
        number: FFmpeg's number of the stream; by default the best one.

    Raises InputError if the file is not a video, or if `fps` is given for a file that has its own times.
    """
    with open_stream(path, number) as (container, stream), captured_ffmpeg_log() as messages:
        packets = _read_packets(container, stream)
        if not packets.times:
            raise InputError(f"{path}: the video stream contains no frames")
        described = _describe(path, container, stream, packets, fps)
        quoted = dict.fromkeys(f"FFmpeg says about {part}: {text.strip()}" for _, part, text in messages)
        return replace(described, losses=(*described.losses, *list(quoted)[:_MAX_MESSAGES]))


def _read_packets(container: Any, stream: Any) -> _Packets:
    packets = _Packets(
        parameters=ParameterSets(stream),
        avi=AviTimes(stream) if container.format.name == "avi" else None,
        is_clocked=container.format.name in CLOCKED,
    )
    try:
        for packet in container.demux(stream):
            if packet.size:
                packets.add(packet)
    except av.FFmpegError as error:
        packets.broke_off = str(error.strerror)
    return packets


def _describe(path: Path, container: Any, stream: Any, packets: _Packets, fps: float | None) -> Probe:
    time_base = Fraction(stream.time_base)
    stated = stream_rate(container, stream)
    rate = float(stated) if stated else _DEFAULT_RATE
    restarts: tuple[Restart, ...] = ()
    if packets.is_clocked:
        frame = packets.last_duration or round(
            1 / (Fraction(stream.guessed_rate or stated or 25) * time_base)
        )
        restarts = find_restarts(packets.stamps, frame)
    if fps is None:
        times = _frame_times(packets, restarts, time_base, rate)
    elif not _has_own_times(container, packets):
        rate = float(Fraction(fps).limit_denominator(1001))
        times = counted_times(len(packets.times), rate)
    else:
        raise InputError(
            f"{path} has its own frame times; leave out the frame rate, which is for image folders and raw streams",
            option="fps",
        )
    if times.pts and times.seconds[-1] > 0:  # the rate in the header may be that of a clock (1000 per second)
        measured = (len(times.seconds) - 1) / times.seconds[-1]
        rate = rate if stated and 0.5 < measured / rate < 2 else measured
    choice = describe_choice(container, stream)
    losses = [*choice, *_losses(stream, packets, len(restarts))]
    if fps is None and not has_rate(container, stream):
        losses.append(f"the stream does not say its frame rate; {rate:g} frames per second are assumed")
    return Probe(
        path=path,
        stream=stream.index,
        time_base=time_base,
        frame_rate=rate,
        seconds=times.seconds,
        pts=times.pts,
        has_gaps=times.has_gaps,
        last_duration=packets.last_duration,
        only_pyav=_only_pyav(packets, times, has_restarts=bool(restarts)),
        no_decord="" if packets.parameters.are_visible else "decord hides changes of size in this codec",
        losses=tuple(losses),
        pixel_aspect=stream.sample_aspect_ratio,
        restarts=restarts,
        has_choice=bool(choice),
    )


def _has_own_times(container: Any, packets: _Packets) -> bool:
    return container.format.name not in RAW_FORMATS and None not in packets.times


def _frame_times(
    packets: _Packets, restarts: Sequence[Restart], time_base: Fraction, rate: float
) -> FrameTimes:
    """The times of the displayed frames."""
    if packets.avi is not None and (times := packets.avi.times(time_base)):
        return times
    if restarts:
        return stamped_times(moved_times(packets.stamps, restarts), time_base, rate)
    return stamped_times(packets.times, time_base, rate)


def _losses(stream: Any, packets: _Packets, restarts: int) -> Iterator[str]:
    """What is missing or wrong in the file, one line each."""
    if packets.broke_off:
        yield f"the file breaks off after {counted(len(packets.times), 'frame')} ({packets.broke_off})"
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


def _only_pyav(packets: _Packets, times: FrameTimes, *, has_restarts: bool) -> str:
    """Why only PyAV must read this file; "" if others may."""
    if has_restarts:
        return "decord needs timestamps that never restart"
    if not times.pts or times.has_gaps:
        return "decord needs the time of every packet"
    if packets.damaged:
        return "decord miscounts frames in a damaged file"
    if not packets.starts_with_key_frame:
        return "decord needs a key frame at the start"
    if packets.parameters.change:
        return "decord needs the same size in every frame"
    return ""
