"""Frames of sources that cannot be replayed and may break off: cameras, network streams, pipes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import Frame
from posetrack_app.video.continuity import Continuity
from posetrack_app.video.info import VideoInfo, describe_damage
from posetrack_app.video.live import LiveFacts
from posetrack_app.video.network import NetworkImages
from posetrack_app.video.newest_frame import NewestFrame
from posetrack_app.video.pyav_frames import TimedImage
from posetrack_app.video.source_name import plain_name
from posetrack_app.video.webcam import webcam_images


class StreamReader:
    """Yields the frames of a stream as they come, until it ends or for `duration` seconds; see `open_video`.

    `seconds` count from the first frame. A broken stream is opened again, and the indices leave room for the frames that
    were missed. If the length is unknown and a reconnect starts with the same first frame, the source was a finished
    recording.
    """

    expected: int | None = None

    def __init__(
        self, source: str, stride: int, duration: float | None, fps: float | None, number: int | None
    ) -> None:
        self._stride, self._duration = stride, duration
        self._facts = LiveFacts()
        self._continuity = Continuity()
        if source.startswith("webcam:"):
            self._source_images = webcam_images(source, self._facts)
        else:
            self._source_images = NetworkImages(source, self._facts, duration, fps, number).images()
        first = next(self._source_images, None)
        if first is None:
            raise InputError(f"{plain_name(source)}: no frame came from this stream")
        # Otherwise the frames that wait to be read become older and older.
        self._newest = None if self._facts.waits else NewestFrame(self._source_images)
        self._images: Iterator[TimedImage] = itertools.chain([first], self._newest or self._source_images)
        height, width = first[2].shape[:2]
        self.info = VideoInfo(
            path=Path(plain_name(source)),
            width=width,
            height=height,
            rotation=self._facts.rotation,
            frame_rate=self._facts.frame_rate,
            frame_count=None,
            seconds=None,
            decoder=self._facts.decoder,
            pixel_aspect=self._facts.pixel_aspect,
            stream=self._facts.stream,
        )

    @property
    def losses(self) -> list[str]:
        """What was lost, one line each; complete after the last frame."""
        skipped = self._newest.skipped if self._newest else 0
        unread = [f"frames skipped because processing could not keep up: {skipped}"] if skipped else []
        damage = describe_damage(self._facts.damaged)
        return [*self._facts.losses, *unread, *damage, *self._continuity.losses]

    @property
    def missing(self) -> list[tuple[int, int]]:
        """First and last index of each run of frames that are missing."""
        return list(self._facts.missing)

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
                yield self._continuity.frame(index, seconds, image)
