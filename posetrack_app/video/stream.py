"""Frames of what comes once and may break off: cameras, network streams, standard input."""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import cv2
import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.json_file import as_text
from posetrack_app.records import Frame
from posetrack_app.video.deinterlace import INTERLACED, deinterlaced
from posetrack_app.video.ffmpeg_log import silence_ffmpeg
from posetrack_app.video.info import VideoInfo, describe_damages, pixel_aspect
from posetrack_app.video.latest import Latest
from posetrack_app.video.probe import declared_seconds
from posetrack_app.video.pyav_frames import Picture, as_displayed, clockwise_turn, display_matrix
from posetrack_app.video.shown import Shown

_ADDRESSES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp", "http", "https")
_PATIENT = ("http", "https", "tcp")
"""Senders of these wait for a slow reader; of the others, frames are passed over that nobody had time for."""
_TIMEOUT_SECONDS = 10.0
_GIVE_UP_SECONDS = 60.0
"""A broken stream is called again for this long."""
_SEGMENTED = ("hls", "dash")
"""FFmpeg's formats of playlists, whose segments may be missing."""
_CAMERA_PICTURES = "mpjpeg"
"""FFmpeg's format of JPEG pictures one after another over HTTP (`multipart/x-mixed-replace`)."""
_OPTIONS = {"rtsp_transport": "tcp", "reconnect": "1", "reconnect_delay_max": "4"}
"""FFmpeg's; a file over HTTP that breaks off is asked for again from the byte where it broke (Range)."""


def is_stream(source: Path | str) -> bool:
    """Whether `source` is "-" (standard input), "webcam:0" or an address such as rtsp://..."""
    return isinstance(source, str) and (
        source == "-" or source.startswith("webcam:") or source.partition("://")[0] in _ADDRESSES
    )


def plain_name(source: Path | str) -> str:
    """The source's name for a file or the screen: without folders, and an address without its secrets."""
    if not is_stream(source):
        return as_text(Path(source).name)
    if source == "-":
        return "standard input"
    parts = urlsplit(str(source))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else str(source)


def shown_name(source: Path | str) -> str:
    """The source's name for the screen of the one who gave it: a file's as given, an address without its secrets."""
    return plain_name(source) if is_stream(source) else as_text(str(source))


class StreamReader:
    """Iterates the frames of a stream as they come, until it ends or for `duration` seconds; see `open_video`.

    `seconds` count from the first frame. A stream that breaks off is called again; what was missed meanwhile
    stays open in the indices. Where nothing tells a live sender's break from a recording's end (HTTP without a
    length), a sender that begins with the very first picture again has sent a recording, and that is over.
    """

    def __init__(self, source: str, stride: int, duration: float | None) -> None:
        self._source, self._name = source, plain_name(source)
        self._stride, self._duration = stride, duration
        self._rate = 25.0
        self._decoder = f"PyAV {av.__version__}"
        self._rotation = 0
        self._pixel_aspect = Fraction(1)
        self._began = time.monotonic()
        self.losses: list[str] = []
        self.missing: list[tuple[int, int]] = []
        self._damaged: list[int] = []
        self.expected: int | None = None
        self._is_camera = False
        self._latest: Latest | None = None
        self._connected = self._webcam() if source.startswith("webcam:") else self._network()
        self._pictures: Iterator[Picture] = self._connected
        first = next(self._pictures, None)
        if first is None:
            raise InputError(f"{self._name}: no frame came from this stream")
        height, width = first[2].shape[:2]
        if self._is_camera or (source != "-" and source.partition("://")[0] not in _PATIENT):
            self._latest = Latest(self._connected)
            self._pictures = iter(self._latest)
        self._pictures = itertools.chain([first], self._pictures)
        self.info = VideoInfo(
            path=Path(self._name),
            width=width,
            height=height,
            rotation=self._rotation,
            frame_rate=self._rate,
            frame_count=None,
            seconds=None,
            decoder=self._decoder,
            pixel_aspect=self._pixel_aspect,
        )

    def __enter__(self) -> StreamReader:
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._latest is not None:
            self._latest.close()
        else:
            self._connected.close()

    def __iter__(self) -> Iterator[Frame]:
        for index, seconds, image in self._pictures:
            if self._duration is not None and seconds >= self._duration:
                break
            if index % self._stride == 0:
                yield Frame(index, seconds, image)
        if self._latest is not None and self._latest.passed:
            self.losses.append(f"{self._latest.passed} frames passed by while earlier ones were worked on")
        self.losses += describe_damages(self._damaged)

    def _webcam(self) -> Generator[Picture, None, None]:
        number = self._source.partition(":")[2]
        camera = cv2.VideoCapture(int(number)) if number.isdecimal() else None
        if camera is None or not camera.isOpened():
            raise InputError(f"{self._source}: no camera of this number; the first one is webcam:0")
        self._decoder = f"webcam (opencv {cv2.__version__})"
        rate = camera.get(cv2.CAP_PROP_FPS)
        self._rate = rate if 1 <= rate <= 1000 else self._rate
        try:
            for index in itertools.count():
                there, image = camera.read()
                now = time.monotonic()
                if not there:
                    self.losses.append(f"the camera gave no more pictures after frame {index - 1}")
                    return
                if index == 0:
                    began = now
                yield index, now - began, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        finally:
            camera.release()

    def _network(self) -> Generator[Picture, None, None]:
        """The pictures, over broken connections; raises InputError where the first cannot be made."""
        shown = Shown()
        last_try, pause = time.monotonic(), 0.5
        while True:
            reason, before = "the stream ended early", shown.index
            try:
                for picture in self._connection(shown):
                    last_try, pause = time.monotonic(), 0.5
                    yield picture
                if shown.is_whole(failed=False):
                    if shown.is_over and self._duration is not None:
                        self.losses.append(
                            f"after frame {shown.index} the sender began anew with the same picture: its recording ends"
                        )
                    return
                if shown.index == before >= 0 and not shown.is_endless:
                    self.losses.append(
                        f"the stream ended after frame {before}, before the length that it promises"
                    )
                    return
            except (av.FFmpegError, OSError) as error:
                if shown.is_whole(failed=True):
                    return
                reason = getattr(error, "strerror", None) or str(error)
                if shown.index < 0:
                    raise InputError(self._cannot_open(reason)) from error
            if self._source == "-":
                self.losses.append(f"the stream broke off after frame {shown.index} ({reason})")
                return
            waited = time.monotonic() - last_try
            if waited > _GIVE_UP_SECONDS or shown.seconds + waited > (self._duration or float("inf")):
                self.losses.append(
                    f"the stream broke off after frame {shown.index} and did not come back ({reason})"
                )
                return
            time.sleep(pause)
            pause = min(2 * pause, 8.0)
            shown.broke_off(reason)

    def _cannot_open(self, reason: str) -> str:
        if self._source != "-":
            return f"{self._name}: cannot be opened ({reason}); check the address and that the sender runs"
        return (
            f"standard input: no video that can be read as it comes ({reason}); send MPEG-TS or Matroska, "
            "or an MP4 made with -movflags faststart"
        )

    def _connection(self, shown: Shown) -> Iterator[Picture]:
        """The pictures of one connection that come after those in `shown`, which is kept up to date."""
        is_input, scheme = self._source == "-", self._source.partition("://")[0]
        silence_ffmpeg()
        if is_input and sys.stdin is None:
            raise InputError(
                "standard input: is closed; send the video there, as in `posetrack run - < video.ts`"
            )
        container: Any = av.open(
            sys.stdin.buffer if is_input else self._source,
            options={} if is_input else _OPTIONS,
            timeout=None if is_input else _TIMEOUT_SECONDS,
        )
        with container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                if shown.index < 0:
                    raise InputError(f"{self._name}: no video in this stream")
                raise OSError("no video in the stream")  # what came back; it may come whole yet
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = stream.average_rate or stream.guessed_rate
            self._rate = float(rate) if rate else self._rate
            # That of the whole may be its sound's; what a pipe brings cannot be asked for again to make sure.
            length = declared_seconds(stream)
            if not length and not is_input:
                length = max(container.duration or 0, 0) / av.time_base
            # The size of a playlist is not the video's.
            is_segmented = container.format.name in _SEGMENTED
            is_http, is_measured = scheme in ("http", "https"), container.size > 0 and not is_segmented
            is_endless = not length and not (is_http and is_measured)
            is_live = is_endless and not is_input
            self._is_camera = is_live and container.format.name == _CAMERA_PICTURES
            shown.begin(
                is_endless=is_endless,
                is_live=is_live,
                # FFmpeg calls the end of an answer of unknown size an error.
                ends_in_error=is_http and not is_measured,
                is_segmented=is_segmented,
                length=length,
            )
            is_first = True
            # PTS are the decoder's, in the stream's unit: the filter counts in its own.
            noted = (
                ((frame.pts, frame.duration or 0, frame.key_frame, damaged, frame.interlaced_frame), frame)
                for frame, damaged in _decoded(container, stream)
            )
            for (pts, duration, is_key, damaged, is_interlaced), frame in deinterlaced(noted):
                matrix = shown.matrix or display_matrix(frame)
                if shown.matrix is None:
                    shown.matrix, self._rotation = matrix, clockwise_turn(matrix)
                    self._pixel_aspect = pixel_aspect(stream.sample_aspect_ratio, self._rotation)
                    self._decoder += f" ({INTERLACED})" if is_interlaced else ""
                image = as_displayed(frame, shown.size, matrix)
                shown.size = shown.size or (image.shape[1], image.shape[0])
                if is_first and shown.is_replay(image):
                    return
                is_first = False
                # Frames that were waiting in the decoder at a break carry no unit of their own.
                seconds = None if pts is None else float(pts * stream.time_base)
                if self._is_camera:
                    seconds = time.monotonic()  # such pictures carry no times: FFmpeg makes up 25 a second
                if step := shown.long_step(seconds, is_key):
                    self.losses.append(
                        f"after frame {shown.index} the times step by {step:.1f} s: the sender may have lost a segment"
                    )
                place = shown.place(seconds, damaged, self._rate, self._note_gap)
                if place is None:
                    continue
                shown.end = place[1] + float(duration * stream.time_base)
                if frame.is_corrupt:
                    self._damaged.append(place[0])
                yield *place, image

    def _note_gap(self, first: int, last: int, reason: str) -> None:
        if self._duration is not None:
            last = max(first, min(last, math.ceil(self._duration * self._rate) - 1))
        self.missing.append((first, last))
        self.losses.append(f"frames {first} to {last} are missing ({reason})")


def _decoded(container: Any, stream: Any) -> Iterator[tuple[Any, int]]:
    """Each decoded frame, and how many damaged packets came before it."""
    damaged = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.EOFError:
            return
        except av.FFmpegError:
            # The connection broke: first what the decoder still holds.
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
