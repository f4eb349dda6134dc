"""Read a video file with a fast decoder (NVDEC or decord) if its frames can be trusted, else with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.image_file import is_animated
from posetrack_app.core.records import Frame
from posetrack_app.core.words import counted
from posetrack_app.video.continuity import Continuity
from posetrack_app.video.decord_frames import DecordImages
from posetrack_app.video.deinterlace import DEINTERLACED
from posetrack_app.video.info import (
    DecoderFailedError,
    VideoInfo,
    describe_damage,
    describe_gap,
    pixel_aspect,
    shortened,
    wanted_frames,
)
from posetrack_app.video.nvdec_frames import NvdecImages
from posetrack_app.video.probe import Probe
from posetrack_app.video.pyav_frames import TimedImage, first_image, is_interlaced, pyav_images

_PYAV = f"PyAV {av.__version__}"


class FileReader:
    """Yields the wanted frames of a video file once, with one in memory at a time; see `open_video`.

    decord2 3.4.0 silently returns wrong frames for some files. So the first wanted frame of a fast decoder is compared
    with PyAV's; if they differ, or the decoder fails, the next decoder takes over.
    """

    def __init__(
        self, video: Probe, start: float | None, stop: float | None, stride: int, device: str
    ) -> None:
        self._video = video
        self._wanted = wanted_frames(video.seconds, start, stop, stride, str(video.path))
        self._gaps: list[tuple[int, int]] = []
        self._damaged: list[int] = []
        self._notes = list(video.losses)
        self._continuity = Continuity()
        self._images, self.info = self._open(device)
        self.expected = len(self._wanted)

    @property
    def losses(self) -> list[str]:
        """What could not be read, one line each; complete after the last frame."""
        gaps = shortened([describe_gap(*gap) for gap in self._gaps], "gaps")
        damage = describe_damage(self._damaged, self._wanted.step)
        return self._notes + gaps + damage + self._continuity.losses

    @property
    def missing(self) -> list[tuple[int, int]]:
        """First and last index of each run of wanted frames that could not be decoded."""
        return list(self._gaps)

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._images.close()

    def __iter__(self) -> Iterator[Frame]:
        expected, stride = self._wanted.start, self._wanted.step
        for index, seconds, image in self._images:
            if index > expected:
                self._gaps.append((expected, index - stride))
            expected = index + stride
            yield self._continuity.frame(index, seconds, image)
        if expected < self._wanted.stop:
            self._gaps.append((expected, self._wanted[-1]))

    def _open(self, device: str) -> tuple[Any, VideoInfo]:
        """The images of the first decoder that gets the first frame right, and the facts about the video."""
        video = self._video
        found = first_image(video, self._wanted)
        if found is None:
            if is_animated(video.path):
                raise InputError(
                    f"{video.path}: FFmpeg cannot decode an animated WebP; convert it to a video or to images"
                )
            raise InputError(
                f"{video.path}: none of its {counted(video.frame_count, 'frame')} can be decoded"
            )
        (index, _, image), rotation = found
        height, width = image.shape[:2]
        info = VideoInfo(
            path=video.path,
            width=width,
            height=height,
            rotation=rotation,
            frame_rate=video.frame_rate,
            frame_count=video.frame_count,
            seconds=video.length,
            decoder="",
            start_seconds=video.start_seconds,
            pixel_aspect=pixel_aspect(video.pixel_aspect, rotation),
            stream=video.stream if video.has_choice else None,
        )
        # The fast decoders do not deinterlace.
        is_combed = is_interlaced(video, self._wanted)
        only_pyav = "; ".join(filter(None, (video.only_pyav, DEINTERLACED if is_combed else "")))
        reasons = [only_pyav] if only_pyav else []
        for decoder in () if only_pyav else _fast_decoders(device):
            try:
                fast = decoder(video, self._wanted, (width, height), rotation)
                images = iter(fast)
                first = next(images, None)
                if first and first[0] == index and _is_same_image(first[2], image):
                    name = "; ".join([fast.name, *reasons])
                    return self._fast_then_pyav(first, images), replace(info, decoder=name)
                reasons.append(f"{fast.name}: its first frame is not frame {index} of the file")
            except DecoderFailedError as error:
                reasons.append(str(error))
        images = pyav_images(video, self._wanted, self._damaged)
        return images, replace(info, decoder=f"{_PYAV} ({'; '.join(reasons)})")

    def _fast_then_pyav(self, first: TimedImage, rest: Iterator[TimedImage]) -> Iterator[TimedImage]:
        """The frames of a fast decoder, and from PyAV those after a failure."""
        last = first[0]
        yield first
        try:
            for image in rest:
                last = image[0]
                yield image
        except DecoderFailedError as error:
            left = range(last + self._wanted.step, self._wanted.stop, self._wanted.step)
            if error.doubtful:
                self._notes.append(
                    f"decord skipped frames somewhere in {error.doubtful.start} to {error.doubtful[-1]}: "
                    "from there to the end of that range, frames have an index that is too low"
                )
            if left:
                self.info = replace(
                    self.info, decoder=f"{self.info.decoder}; from frame {left.start} {_PYAV} ({error})"
                )
                yield from pyav_images(self._video, left, self._damaged)


def _fast_decoders(device: str) -> Iterator[Callable[[Probe, range, tuple[int, int], int], Any]]:
    """The decoders to try before PyAV, fastest first; decord switches from the GPU to the CPU itself."""
    if device.startswith("cuda"):
        yield partial(NvdecImages, card=int(device.partition(":")[2] or 0))
    yield lambda video, wanted, size, _: DecordImages(video, wanted, size, device)


def _is_same_image(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two decoders produced the same frame: equal size, and levels that differ only by rounding."""
    if one.shape != other.shape:
        return False
    return float(np.abs(one.astype(np.int16) - other).mean()) < 2.0
