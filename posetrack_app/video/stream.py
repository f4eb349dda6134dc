"""Frames of sources that cannot be replayed and may break off: cameras, network streams, standard input."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.frame_rate import USUAL_FPS
from posetrack_app.core.records import Frame
from posetrack_app.video.connection import (
    ConnectionFrame,
    connection_frames,
    describe_sender,
    open_connection,
)
from posetrack_app.video.deinterlace import DEINTERLACED
from posetrack_app.video.info import VideoInfo, describe_damage, pixel_aspect
from posetrack_app.video.newest_frame import NewestFrame
from posetrack_app.video.position import StreamPosition
from posetrack_app.video.pyav_frames import TimedImage, as_displayed, clockwise_rotation, display_matrix
from posetrack_app.video.source_name import plain_name

_WAITING = ("http", "https", "tcp")
"""Senders that wait for a slow reader. From the others only the newest frame is read."""

_GIVE_UP_SECONDS = 60.0
"""How long to try to reconnect."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
"""Seconds between attempts to reconnect; they double."""

_JPEG_CAMERA = "mpjpeg"
"""FFmpeg's name of JPEG images one after another over HTTP (`multipart/x-mixed-replace`)."""


class StreamReader:
    """Yields the frames of a stream as they come, until it ends or for `duration` seconds; see `open_video`.

    `seconds` count from the first frame. A broken stream is opened again, and the indices leave room for the frames that
    were missed. If the length is unknown and a reconnect starts with the same first frame, the source was a finished
    recording.
    """

    def __init__(self, source: str, stride: int, duration: float | None) -> None:
        self._source, self._name = source, plain_name(source)
        self._stride, self._duration = stride, duration
        self._rate = USUAL_FPS
        self._decoder = f"PyAV {av.__version__}"
        self._rotation = 0
        self._pixel_aspect = Fraction(1)
        self._matrix: tuple[int, int, int, int] | None = None
        self._size: tuple[int, int] | None = None
        self.losses: list[str] = []
        self.missing: list[tuple[int, int]] = []
        self._damaged: list[int] = []
        self.expected: int | None = None
        self._is_jpeg_camera = False
        self._newest: NewestFrame | None = None
        self._source_images = self._webcam() if source.startswith("webcam:") else self._network()
        first = next(self._source_images, None)
        if first is None:
            raise InputError(f"{self._name}: no frame came from this stream")
        height, width = first[2].shape[:2]
        rest: Iterator[TimedImage] = self._source_images
        if self._is_jpeg_camera or (source != "-" and source.partition("://")[0] not in _WAITING):
            self._newest = NewestFrame(self._source_images)
            rest = iter(self._newest)
        self._images = itertools.chain([first], rest)
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
        if self._newest is not None:
            self._newest.close()
        else:
            self._source_images.close()

    def __iter__(self) -> Iterator[Frame]:
        for index, seconds, image in self._images:
            if self._duration is not None and seconds >= self._duration:
                break
            if index % self._stride == 0:
                yield Frame.of(index, seconds, image)
        if self._newest is not None and self._newest.skipped:
            self.losses.append(f"frames skipped because processing could not keep up: {self._newest.skipped}")
        self.losses += describe_damage(self._damaged)

    def _webcam(self) -> Generator[TimedImage, None, None]:
        number = self._source.partition(":")[2]
        # Otherwise OpenCV prints two lines of its own about a missing camera.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        camera = cv2.VideoCapture(int(number)) if number.isdecimal() else None
        if camera is None or not camera.isOpened():
            raise InputError(f"{self._source}: there is no such camera; the first one is webcam:0")
        self._decoder = f"webcam (opencv {cv2.__version__})"
        rate = camera.get(cv2.CAP_PROP_FPS)
        self._rate = rate if 1 <= rate <= 1000 else self._rate
        try:
            for index in itertools.count():
                has_image, image = camera.read()
                now = time.monotonic()
                if not has_image:
                    self.losses.append(f"the camera returned no more images after frame {index - 1}")
                    return
                if index == 0:
                    began = now
                yield index, now - began, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        finally:
            camera.release()

    def _network(self) -> Generator[TimedImage, None, None]:
        """The images of a stream across reconnects; InputError if it cannot be opened the first time."""
        position = StreamPosition()
        last_image, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            before = position.index
            try:
                for image in self._connection(position):
                    last_image, pause = time.monotonic(), _FIRST_PAUSE
                    yield image
                if self._has_ended(position, before):
                    return
                reason = "the stream ended early"
            except (av.FFmpegError, OSError) as error:
                if position.is_complete(failed=True):
                    return
                reason = getattr(error, "strerror", None) or str(error)
                if position.index < 0:
                    raise InputError(self._cannot_open(reason)) from error
            if self._gives_up(position, reason, time.monotonic() - last_image):
                return
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            position.disconnect(reason)

    def _has_ended(self, position: StreamPosition, before: int) -> bool:
        """Whether a connection that closed without an error, at frame `before`, has no more frames to come."""
        if position.is_complete(failed=False):
            if position.has_restarted and self._duration is not None:
                self.losses.append(
                    f"after frame {position.index} the sender started again with its first frame: "
                    "it was a recording, which has ended"
                )
            return True
        if position.index == before >= 0 and not position.sender.is_endless:
            self.losses.append(
                f"the stream ended after frame {before}, before the length that its header says"
            )
            return True
        return False

    def _gives_up(self, position: StreamPosition, reason: str, waited: float) -> bool:
        """Whether not to reconnect, after `waited` seconds without an image."""
        if self._source == "-":
            self.losses.append(f"the stream broke off after frame {position.index} ({reason})")
            return True
        if waited > _GIVE_UP_SECONDS or position.seconds + waited > (self._duration or math.inf):
            self.losses.append(
                f"the stream broke off after frame {position.index} and did not come back ({reason})"
            )
            return True
        return False

    def _cannot_open(self, reason: str) -> str:
        if self._source != "-":
            return (
                f"{self._name} cannot be opened ({reason}); check the address, and that the sender is running"
            )
        return (
            f"standard input: this video cannot be read from a pipe ({reason}); send MPEG-TS or Matroska, "
            "or an MP4 made with -movflags faststart"
        )

    def _connection(self, position: StreamPosition) -> Iterator[TimedImage]:
        """The new images of one connection; updates `position`."""
        with open_connection(self._source) as container:
            stream = self._video_stream(container, position)
            sender = describe_sender(self._source, container, stream)
            self._is_jpeg_camera = sender.is_live and container.format.name == _JPEG_CAMERA
            position.connect(sender)
            for number, decoded in enumerate(connection_frames(container, stream)):
                image = self._image(decoded, stream)
                if number == 0 and position.is_replay(image):
                    return
                # The frames of these cameras have no times: FFmpeg assumes 25 per second.
                seconds = time.monotonic() if self._is_jpeg_camera else decoded.seconds
                if step := position.long_step(seconds, decoded.is_key):
                    self.losses.append(
                        f"after frame {position.index} the times jump by {step:.1f} s: "
                        "the sender may have lost a segment"
                    )
                if not position.advance(seconds, decoded.lost_before, self._rate, self._note_gap):
                    continue
                position.end = position.seconds + decoded.duration
                if decoded.frame.is_corrupt:
                    self._damaged.append(position.index)
                yield position.index, position.seconds, image

    def _video_stream(self, container: Any, position: StreamPosition) -> Any:
        if not container.streams.video or container.streams.video[0].codec_context is None:
            if position.index < 0:
                raise InputError(f"{self._name}: no video in this stream")
            raise OSError("no video in the stream")  # a reconnect may bring it
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = stream.average_rate or stream.guessed_rate
        self._rate = float(rate) if rate else self._rate
        return stream

    def _image(self, decoded: ConnectionFrame, stream: Any) -> NDArray[np.uint8]:
        """The image as displayed, in the size of the first one."""
        if self._matrix is None:
            self._matrix = display_matrix(decoded.frame)
            self._rotation = clockwise_rotation(self._matrix)
            self._pixel_aspect = pixel_aspect(stream.sample_aspect_ratio, self._rotation)
            self._decoder += f" ({DEINTERLACED})" if decoded.is_interlaced else ""
        image = as_displayed(decoded.frame, self._size, self._matrix)
        self._size = self._size or (image.shape[1], image.shape[0])
        return image

    def _note_gap(self, first: int, last: int, reason: str) -> None:
        if self._duration is not None:
            last = max(first, min(last, math.ceil(self._duration * self._rate) - 1))
        self.missing.append((first, last))
        self.losses.append(f"frames {first} to {last} are missing ({reason})")
