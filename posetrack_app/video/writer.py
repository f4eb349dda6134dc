"""Write frames to an MP4 that browsers play (H.264, yuv420p, faststart), with true times and the audio of the video."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import check_output_file, temporary_path
from posetrack_app.video.ffmpeg_log import silence_ffmpeg
from posetrack_app.video.info import VideoInfo
from posetrack_app.video.probe import ffmpeg_name
from posetrack_app.video.pyav_frames import decoded_frames

_logger = logging.getLogger("posetrack")

_TICKS_PER_SECOND = 90_000
"""A multiple of 24, 25, 30, 50 and 60 frames per second."""

_BROWSER_AUDIO = ("aac", "mp3", "mp3float", "opus", "libopus", "flac")
"""Codecs that browsers play from an MP4. They are copied; all others are converted to AAC."""

_DEFAULT_SAMPLE_RATE = 48_000
"""Hz, for audio whose own rate AAC does not support."""

_STEP_BACK_SECONDS = 0.5
"""Audio whose times step back further belongs to another recording."""

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
"""(R, G, B, 1) to 8-bit Y, Cb, Cr in the limited range: ITU-R BT.709, equations 3.2 to 3.4."""


class VideoWriter:
    """Writes RGB images to `path` at their times, shifted so that the first is displayed at time 0.

    The audio comes from the file `info.path` and is shifted as well. `path` appears when it is complete; if the block
    ends with an exception, the frames so far are kept in `partial_video(path)`. Odd sizes are padded by one pixel for
    H.264. An image is encoded while the caller draws the next one, so at most two are in memory.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self.path = path
        self.frames = 0
        self._info = info
        self._last_tick = -1
        self._start = 0.0
        self._audio: _AudioTrack | None = None
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="posetrack-encoder")
        self._encoding: Future[None] | None = None
        if path.suffix.lower() != ".mp4":
            raise InputError(f"{path}: the overlay is an MP4 file; give a name that ends in .mp4")
        check_output_file(path)
        if "libx264" not in av.codecs_available:
            raise InputError(
                "this PyAV has no H.264 encoder (libx264); reinstall it: pip install --force-reinstall av"
            )
        self._temporary = temporary_path(path, ".mp4")
        silence_ffmpeg()
        try:
            self._container: Any = av.open(
                ffmpeg_name(self._temporary), "w", options={"movflags": "faststart"}
            )
        except (OSError, av.FFmpegError) as error:
            raise InputError(f"{path} cannot be written ({error.strerror})") from error
        self._video = self._add_video()

    def _add_video(self) -> Any:
        stream = self._container.add_stream(
            "libx264", rate=Fraction(self._info.frame_rate).limit_denominator(1001), options=_QUALITY
        )
        stream.width = self._info.width + self._info.width % 2
        stream.height = self._info.height + self._info.height % 2
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS_PER_SECOND)
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        if self._info.pixel_aspect != 1:
            context.sample_aspect_ratio = self._info.pixel_aspect
        return stream

    def __enter__(self) -> VideoWriter:
        return self

    def write(self, seconds: float, image: NDArray[np.uint8]) -> None:
        """Add an image (H, W, 3), uint8 RGB, displayed from `seconds` (rising) until the next one."""
        if self._audio is None:
            self._start = seconds
            self._audio = _AudioTrack(self._info, self._container, self._start)
        tick = max(self._last_tick + 1, round((seconds - self._start) * _TICKS_PER_SECOND))
        self._wait()
        self._encoding = self._encoder.submit(self._encode, tick, image, self._audio)
        self._last_tick = tick
        self.frames += 1

    def _wait(self) -> None:
        """Wait until the previous image is in the file; an error while writing it is raised here."""
        if self._encoding is None:
            return
        try:
            self._encoding.result()
        except (OSError, av.FFmpegError) as error:
            raise InputError(f"{self.path}: writing failed ({error.strerror})") from error
        finally:
            self._encoding = None

    def _encode(self, tick: int, image: NDArray[np.uint8], audio: _AudioTrack) -> None:
        frame: Any = av.VideoFrame.from_ndarray(_yuv420(image), "yuv420p")
        frame.pts, frame.time_base = tick, Fraction(1, _TICKS_PER_SECOND)
        frame.duration = round(_TICKS_PER_SECOND / self._info.frame_rate)
        self._container.mux(self._video.encode(frame))
        audio.mux_until(tick / _TICKS_PER_SECOND)

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        target = self.path if kind is None else partial_video(self.path)
        try:
            if self._audio is not None:
                self._wait()
                self._finish(self._audio, target)
        except InputError:
            if kind is None:
                raise
            return  # the exception that ended the block is the one to report
        finally:
            self._encoder.shutdown()
            with contextlib.suppress(OSError, av.FFmpegError):  # the same error again
                self._container.close()
            # Removing may fail for the same reason as writing did.
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
        if kind is None and not self.frames:
            raise InputError(f"{self.path} was not written: there is no frame to draw")
        if kind is not None and self.frames:
            _logger.warning("the frames drawn so far (%d) are kept in %s", self.frames, target)

    def _finish(self, audio: _AudioTrack, target: Path) -> None:
        try:
            self._container.mux(self._video.encode(None))
            audio.mux_until(self._last_tick / _TICKS_PER_SECOND + 1 / self._info.frame_rate)
            audio.close()
            self._container.close()
            # `path` may be a link to another disk; a partial video goes beside the link.
            move = os.replace if target == self.path else shutil.move
            move(self._temporary, os.path.realpath(target))
        except (OSError, av.FFmpegError) as error:
            raise InputError(f"{target}: writing the end of the video failed ({error.strerror})") from error


def partial_video(path: Path) -> Path:
    """Where the drawn frames of an interrupted run are kept: `overlay.partial.mp4` for `overlay.mp4`."""
    return path.with_name(f"{path.stem}.partial.mp4")


def _yuv420(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An RGB image (H, W, 3) as planes Y, Cb, Cr below each other (H + H // 2, W); odd sizes are padded by a pixel.

    Three times as fast as swscale, and within two levels of it.
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


class _AudioTrack:
    """The first audio stream of a video file, muxed into `container` along with the images.

    Damaged audio is left out, or the audio ends there; the images continue.
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
        # In a broadcast, that of the same program.
        film = None if info.stream is None else self._source.streams[info.stream]
        stream = self._source.streams.best("audio", related=film) if film else self._source.streams.audio[0]
        if stream.codec_context is None:
            return
        if _can_be_copied(stream):
            packets = self._copied(stream, container.add_stream_from_template(stream))
        else:
            rate = (
                stream.rate
                if stream.rate in (av.Codec("aac", "w").audio_rates or ())
                else _DEFAULT_SAMPLE_RATE
            )
            target = container.add_stream("aac", rate=rate, layout="stereo")
            packets = self._converted_to_aac(stream, target, rate)
        self._packets = _readable(packets)

    def mux_until(self, seconds: float) -> None:
        """Mux the packets that start up to `seconds` after the first image."""
        while True:
            packet = self._waiting if self._waiting is not None else next(self._packets, None)
            self._waiting = packet
            if packet is None or packet.pts * packet.time_base > seconds:
                return
            self._waiting = None
            try:
                self._container.mux(packet)
            except OSError:  # from the disk
                raise
            except av.FFmpegError:
                continue  # damaged, or not later than the previous one

    def close(self) -> None:
        if self._source is not None:
            self._source.close()

    def _copied(self, source: Any, target: Any) -> Iterator[Any]:
        shift = round(self._zero / source.time_base)
        for packet in _until_restart(self._source.demux(source)):
            if packet.pts is None or packet.pts < shift:
                continue
            packet.pts -= shift
            packet.dts = packet.pts
            packet.stream = target
            yield packet

    def _converted_to_aac(self, source: Any, target: Any, rate: int) -> Iterator[Any]:
        for piece in _readable(self._resampled(source, rate)):
            yield from target.encode(piece)
        yield from target.encode(None)

    def _resampled(self, source: Any, rate: int) -> Iterator[Any]:
        resampler: Any = av.AudioResampler(format="fltp", layout="stereo", rate=rate)
        for frame in _until_restart(decoded_frames(self._source, source)):
            if frame.pts is None or frame.pts * frame.time_base < self._zero:
                continue
            frame.pts -= round(self._zero / frame.time_base)
            yield from resampler.resample(frame)


def _can_be_copied(stream: Any) -> bool:
    """Whether browsers play this codec, and an MP4 can hold it, which excludes MP3 below 16 kHz, for example."""
    if stream.codec_context.name not in _BROWSER_AUDIO:
        return False
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _until_restart(items: Iterator[Any]) -> Iterator[Any]:
    """Packets or frames until their times step back: in joined recordings the images' times are corrected, these are not."""
    newest: Any = -math.inf
    for item in items:
        if item.pts is not None:
            seconds = item.pts * item.time_base
            if seconds < newest - _STEP_BACK_SECONDS:
                return
            newest = max(newest, seconds)
        yield item


def _readable(items: Iterator[Any]) -> Iterator[Any]:
    """Items until the first that cannot be read: damaged audio ends there."""
    while True:
        try:
            item = next(items, None)
        except (av.FFmpegError, ValueError):  # ValueError: the audio format changes
            return
        if item is None:
            return
        yield item
