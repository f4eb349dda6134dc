"""Frames out: an MP4 that browsers play (H.264, yuv420p, faststart), at true times, with the sound."""

from __future__ import annotations

import contextlib
import io
import math
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.errors import InputError
from posetrack_app.formats.whole import check_place, temporary_beside
from posetrack_app.video.ffmpeg_log import silence_ffmpeg
from posetrack_app.video.info import VideoInfo
from posetrack_app.video.probe import ffmpeg_name
from posetrack_app.video.pyav_frames import decoded_frames

_CLOCK = 90_000
"""Ticks a second; whole for 24, 25, 30, 50 and 60 frames a second."""

_PLAYED_SOUND = ("aac", "mp3", "mp3float", "opus", "libopus", "flac")
"""Codecs that browsers play from an MP4: copied as they are. Any other is turned into AAC."""

_USUAL_RATE = 48_000
"""Hz, of sound whose own rate AAC does not have."""

_STEP_BACK_SECONDS = 0.5
"""Sound that steps back further starts over."""

_QUALITY = {"preset": "veryfast", "crf": "21"}
_BT709, _LIMITED_RANGE = 1, 1

_RED, _GREEN, _BLUE = 0.2126, 0.7152, 0.0722
_TO_YUV = (
    np.array(
        [
            [219 * _RED, 219 * _GREEN, 219 * _BLUE, 255 * 16],
            [-112 * _RED / (1 - _BLUE), -112 * _GREEN / (1 - _BLUE), 112, 255 * 128],
            [112, -112 * _GREEN / (1 - _RED), -112 * _BLUE / (1 - _RED), 255 * 128],
        ]
    )
    / 255
)
"""RGB and 1 to Y, Cb, Cr of 8 bits in the limited range, ITU-R BT.709 (equations 3.2 to 3.4)."""


class VideoWriter:
    """Writes RGB images to `path` at their times; the first is shown at time 0, the sound moves with it.

    The sound comes from the file `info.path`. `path` appears when it is whole; where the block ends by an
    exception, what is done is kept as `partial_video(path)`. Odd sizes are padded by one pixel for H.264. A
    picture is encoded while the caller makes the next one; two are in memory at most.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self.path = path
        self.frames = 0
        self._info = info
        self._last_tick = -1
        self._start = 0.0
        self._sound: _Sound | None = None
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="posetrack-encoder")
        self._encoding: Future[None] | None = None
        if path.suffix.lower() != ".mp4":
            raise InputError(f"{path}: overlays are MP4 files; give a name that ends in .mp4")
        check_place(path)
        if "libx264" not in av.codecs_available:
            raise InputError("this PyAV has no H.264 encoder (libx264); reinstall it: pip install --force av")
        self._temporary = temporary_beside(path, ".mp4")
        silence_ffmpeg()
        try:
            self._container: Any = av.open(
                ffmpeg_name(self._temporary), "w", options={"movflags": "faststart"}
            )
        except (OSError, av.FFmpegError) as error:
            raise InputError(f"{path}: cannot write here ({error.strerror})") from error
        self._video = self._add_video()

    def _add_video(self) -> Any:
        stream = self._container.add_stream(
            "libx264", rate=Fraction(self._info.frame_rate).limit_denominator(1001), options=_QUALITY
        )
        stream.width = self._info.width + self._info.width % 2
        stream.height = self._info.height + self._info.height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _CLOCK)
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        if self._info.pixel_aspect != 1:
            context.sample_aspect_ratio = self._info.pixel_aspect
        return stream

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, seconds: float, image: NDArray[np.uint8]) -> None:
        """Add an image (H, W, 3) uint8 RGB, shown from `seconds` (rising) until the next one."""
        if self._sound is None:
            self._start = seconds
            self._sound = _Sound(self._info, self._container, self._start)
        tick = max(self._last_tick + 1, round((seconds - self._start) * _CLOCK))
        self._wait()
        self._encoding = self._encoder.submit(self._encode, tick, image, self._sound)
        self._last_tick = tick
        self.frames += 1

    def _wait(self) -> None:
        """Until the picture before is in the file; its error, if there was one, is raised here."""
        if self._encoding is None:
            return
        try:
            self._encoding.result()
        except (OSError, av.FFmpegError) as error:
            raise InputError(f"{self.path}: cannot write on ({error.strerror})") from error
        finally:
            self._encoding = None

    def _encode(self, tick: int, image: NDArray[np.uint8], sound: _Sound) -> None:
        frame: Any = av.VideoFrame.from_ndarray(_yuv420(image), "yuv420p")
        frame.pts, frame.time_base = tick, Fraction(1, _CLOCK)
        frame.duration = round(_CLOCK / self._info.frame_rate)
        self._container.mux(self._video.encode(frame))
        sound.mux_until(tick / _CLOCK)

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        target = self.path if kind is None else partial_video(self.path)
        try:
            if self._sound is not None:
                self._wait()
                self._finish(self._sound, target)
        except InputError:
            if kind is None:
                raise
            return  # what ended the block says why
        finally:
            self._encoder.shutdown()
            with contextlib.suppress(OSError, av.FFmpegError):  # what a file that went wrong says once more
                self._container.close()
            # Where it could not be written it often cannot be removed either.
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
        if kind is None and not self.frames:
            raise InputError(f"{self.path}: not written, as there is no frame to show")
        if kind is not None and self.frames:
            print(f"posetrack: the {self.frames} frames drawn so far are kept in {target}", file=sys.stderr)

    def _finish(self, sound: _Sound, target: Path) -> None:
        try:
            self._container.mux(self._video.encode(None))
            sound.mux_until(self._last_tick / _CLOCK + 1 / self._info.frame_rate)
            sound.close()
            self._container.close()
            # A part goes beside the name that was given, which may be a link to another disk.
            move = os.replace if target == self.path else shutil.move
            move(self._temporary, os.path.realpath(target))
        except (OSError, av.FFmpegError) as error:
            raise InputError(f"{target}: cannot be finished ({error.strerror})") from error


def partial_video(path: Path) -> Path:
    """Where the drawn frames of a run go that ended early: `overlay.partial.mp4` for `overlay.mp4`."""
    return path.with_name(f"{path.stem}.partial.mp4")


def _yuv420(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An RGB image (H, W, 3) as planes Y, Cb, Cr one below the other (H + H // 2, W); odd sizes padded by a pixel.

    A third of swscale's time, and within two levels of it.
    """
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        padded = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        return _yuv420(np.asarray(padded, np.uint8))
    full = cv2.transform(np.ascontiguousarray(image), _TO_YUV)
    half = np.asarray(cv2.resize(full, (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    planes = np.empty(height * width * 3 // 2, np.uint8)
    planes[: height * width] = full[..., 0].reshape(-1)
    planes[height * width :] = np.concatenate([half[..., 1].reshape(-1), half[..., 2].reshape(-1)])
    return planes.reshape(height * 3 // 2, width)


class _Sound:
    """The first sound stream of a video file, muxed into `container` piece by piece beside the pictures.

    What is damaged is left out, or the sound ends there; the pictures go on.
    """

    def __init__(self, info: VideoInfo, container: Any, start: float) -> None:
        self._container = container
        self._zero = info.start_seconds + start
        self._source: Any = None
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None
        if not info.path.is_file():
            return
        try:
            self._source = av.open(ffmpeg_name(info.path))
        except (av.FFmpegError, UnicodeError):
            return
        if not self._source.streams.audio:
            return
        stream = self._source.streams.audio[0]
        if stream.codec_context is None:
            return
        if _can_be_copied(stream):
            packets = self._copied(stream, container.add_stream_from_template(stream))
        else:
            rate = stream.rate if stream.rate in (av.Codec("aac", "w").audio_rates or ()) else _USUAL_RATE
            target = container.add_stream("aac", rate=rate, layout="stereo")
            packets = self._turned_into_aac(stream, target, rate)
        self._packets = _readable(packets)

    def mux_until(self, seconds: float) -> None:
        """Mux the packets that start at or before `seconds` after the first picture."""
        while True:
            packet = self._waiting if self._waiting is not None else next(self._packets, None)
            self._waiting = packet
            if packet is None or packet.pts * packet.time_base > seconds:
                return
            self._waiting = None
            try:
                self._container.mux(packet)
            except OSError:  # of the disk
                raise
            except av.FFmpegError:
                continue  # damaged, or not later than the one before

    def close(self) -> None:
        if self._source is not None:
            self._source.close()

    def _copied(self, source: Any, target: Any) -> Iterator[Any]:
        shift = round(self._zero / source.time_base)
        for packet in _of_one_clock(self._source.demux(source)):
            if packet.pts is None or packet.pts < shift:
                continue
            packet.pts -= shift
            packet.dts = packet.pts
            packet.stream = target
            yield packet

    def _turned_into_aac(self, source: Any, target: Any, rate: int) -> Iterator[Any]:
        for piece in _readable(self._resampled(source, rate)):
            yield from target.encode(piece)
        yield from target.encode(None)

    def _resampled(self, source: Any, rate: int) -> Iterator[Any]:
        resampler: Any = av.AudioResampler(format="fltp", layout="stereo", rate=rate)
        for frame in _of_one_clock(decoded_frames(self._source, source)):
            if frame.pts is None or frame.pts * frame.time_base < self._zero:
                continue
            frame.pts -= round(self._zero / frame.time_base)
            yield from resampler.resample(frame)


def _can_be_copied(stream: Any) -> bool:
    """Whether browsers play this sound from an MP4, and one takes it: MP3 below 16 kHz, say, it does not."""
    if stream.codec_context.name not in _PLAYED_SOUND:
        return False
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _of_one_clock(items: Iterator[Any]) -> Iterator[Any]:
    """Packets or frames until their times step back: in joined recordings they are no longer the pictures' times."""
    latest: Any = -math.inf
    for item in items:
        if item.pts is not None:
            seconds = item.pts * item.time_base
            if seconds < latest - _STEP_BACK_SECONDS:
                return
            latest = max(latest, seconds)
        yield item


def _readable(items: Iterator[Any]) -> Iterator[Any]:
    """Items until the first that cannot be read: damaged sound ends there, the pictures go on."""
    while True:
        try:
            item = next(items, None)
        except (av.FFmpegError, ValueError):  # ValueError: sound that changes its kind on the way
            return
        if item is None:
            return
        yield item
