"""Images of an address or a pipe, which may break off; a broken connection is opened again."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from typing import Any

import av

from posetrack_app.core.errors import InputError
from posetrack_app.video.choose_stream import choose_stream, describe_choice, film_streams
from posetrack_app.video.connection import (
    connection_frames,
    describe_sender,
    open_connection,
    why_not_opened,
)
from posetrack_app.video.deinterlace import DEINTERLACED
from posetrack_app.video.frame_times import RAW_FORMATS, has_rate, stream_rate
from posetrack_app.video.info import pixel_aspect
from posetrack_app.video.live import LiveFacts
from posetrack_app.video.orientation import Matrix, as_displayed, clockwise_rotation, display_matrix
from posetrack_app.video.position import PlaylistSteps, StreamPosition
from posetrack_app.video.pyav_frames import TimedImage
from posetrack_app.video.sender import Connections, SenderKind
from posetrack_app.video.source_name import is_pipe, plain_name

GIVE_UP_SECONDS = 60.0
"""How long to try to reconnect."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
"""Seconds between attempts to reconnect; they double."""

_WAITING = ("http", "https", "tcp")
"""Senders that wait for a slow reader, like a pipe. From the others only the newest frame is read."""

_JPEG_CAMERA = "mpjpeg"
"""FFmpeg's name of JPEG images one after another over HTTP (`multipart/x-mixed-replace`)."""


class NetworkImages:
    """Yields the images of an address or a pipe across reconnects, and fills in `facts`."""

    def __init__(
        self, source: str, facts: LiveFacts, duration: float | None, fps: float | None, number: int | None
    ) -> None:
        self._source = source
        self._facts = facts
        self._duration = math.inf if duration is None else duration
        self._fps = fps
        self._number = number
        self._position = StreamPosition()
        self._connections = Connections()
        self._matrix: Matrix | None = None

    def images(self) -> Generator[TimedImage, None, None]:
        """The images; InputError if the source cannot be opened the first time."""
        position = self._position
        last_image, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            before = position.index
            try:
                for image in self._connection():
                    last_image, pause = time.monotonic(), _FIRST_PAUSE
                    yield image
                if self._has_ended(before):
                    return
                reason = "the stream ended early"
            except (av.FFmpegError, OSError) as error:
                if self._connections.is_complete(position.end, failed=True):
                    return
                if position.index < 0:
                    raise InputError(why_not_opened(self._source, error)) from error
                reason = getattr(error, "strerror", None) or str(error)
            if self._gives_up(reason, time.monotonic() - last_image):
                return
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            position.disconnect(reason)

    def _connection(self) -> Iterator[TimedImage]:
        """The new images of one connection."""
        with open_connection(self._source) as container:
            stream = self._video_stream(container)
            sender = describe_sender(self._source, container, stream)
            is_jpeg_camera = sender.is_live and container.format.name == _JPEG_CAMERA
            scheme = self._source.partition("://")[0]
            self._facts.waits = is_pipe(self._source) or (scheme in _WAITING and not is_jpeg_camera)
            self._connections.connect(sender)
            if sender.is_endless:
                self._position.start_clock()
            steps = PlaylistSteps() if sender.kind is SenderKind.PLAYLIST else None
            for number, decoded in enumerate(connection_frames(container, stream)):
                if self._matrix is None:
                    self._matrix = display_matrix(decoded.frame)
                    self._describe(stream, self._matrix, decoded.is_interlaced)
                image = as_displayed(decoded.frame, self._matrix)
                if number == 0 and self._connections.is_replay(image):
                    return
                # The frames of these cameras have no times: FFmpeg assumes 25 per second.
                seconds = time.monotonic() if is_jpeg_camera else decoded.seconds
                if steps and (step := steps.long_step(seconds, decoded.is_key)):
                    self._facts.losses.append(
                        f"after frame {self._position.index} the times jump by {step:.1f} s: "
                        "the sender may have lost a segment"
                    )
                if not self._advance(seconds, decoded.lost_before, has_clock=not sender.is_endless):
                    continue
                self._position.end = self._position.seconds + decoded.duration
                if decoded.frame.is_corrupt:
                    self._facts.damaged.append(self._position.index)
                yield self._position.index, self._position.seconds, image

    def _video_stream(self, container: Any) -> Any:
        is_first = self._position.index < 0
        if not is_first and not film_streams(container):
            raise OSError("no video in the stream")  # a reconnect may bring it
        name = plain_name(self._source)
        stream = choose_stream(container, self._number, name)
        stream.thread_type = "AUTO"
        rate = stream_rate(container, stream)
        self._facts.frame_rate = float(rate) if rate else self._facts.frame_rate
        if self._fps is not None:
            if container.format.name not in RAW_FORMATS:
                raise InputError(f"{name} has its own frame times; leave out the frame rate", option="fps")
            self._facts.frame_rate = self._fps
        elif is_first and not has_rate(container, stream):
            self._facts.losses.append(
                f"the stream does not say its frame rate; {self._facts.frame_rate:g} frames per second are assumed"
            )
        if is_first and (choice := describe_choice(container, stream)):
            self._facts.stream = stream.index
            self._facts.losses += choice
        return stream

    def _describe(self, stream: Any, matrix: Matrix, is_interlaced: bool) -> None:
        """Fill in what the first frame says."""
        facts = self._facts
        facts.rotation = clockwise_rotation(matrix)
        facts.pixel_aspect = pixel_aspect(stream.sample_aspect_ratio, facts.rotation)
        facts.decoder = f"PyAV {av.__version__}" + (f" ({DEINTERLACED})" if is_interlaced else "")

    def _advance(self, seconds: float | None, lost: int, *, has_clock: bool) -> bool:
        """Move to the next frame and note the gap before it; False for a frame that came before."""
        rate = self._facts.frame_rate
        if not self._position.advance(seconds, lost, rate, has_clock=has_clock):
            return False
        if gap := self._position.gap:
            last = gap.last
            if math.isfinite(self._duration):
                last = max(gap.first, min(last, math.ceil(self._duration * rate) - 1))
            self._facts.missing.append((gap.first, last))
            self._facts.losses.append(f"frames {gap.first} to {last} are missing ({gap.reason})")
        return True

    def _has_ended(self, before: int) -> bool:
        """Whether a connection that closed without an error, at frame `before`, has no more frames to come."""
        position, connections = self._position, self._connections
        if connections.is_complete(position.end, failed=False):
            if connections.has_restarted and math.isfinite(self._duration):
                self._facts.losses.append(
                    f"after frame {position.index} the sender started again with its first frame: "
                    "it was a recording, which has ended"
                )
            return True
        is_endless = connections.sender is not None and connections.sender.is_endless
        if position.index == before >= 0 and not is_endless:
            self._facts.losses.append(
                f"the stream ended after frame {before}, before the length that its header says"
            )
            return True
        return False

    def _gives_up(self, reason: str, waited: float) -> bool:
        """Whether not to reconnect, after `waited` seconds without an image."""
        broke_off = f"the stream broke off after frame {self._position.index}"
        if is_pipe(self._source):
            self._facts.losses.append(f"{broke_off} ({reason})")
            return True
        if waited > GIVE_UP_SECONDS or self._position.seconds + waited > self._duration:
            self._facts.losses.append(f"{broke_off} and did not come back ({reason})")
            return True
        return False
