"""Read one video file: by NVDEC or decord where their frames can be trusted, by PyAV where they cannot or fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrack_app.errors import InputError
from posetrack_app.records import Frame
from posetrack_app.video.decord_frames import DecordPictures
from posetrack_app.video.deinterlace import INTERLACED
from posetrack_app.video.info import (
    DecoderFailedError,
    VideoInfo,
    describe_damages,
    describe_gap,
    not_too_many,
    pixel_aspect,
    wanted_frames,
)
from posetrack_app.video.nvdec_frames import NvdecPictures
from posetrack_app.video.probe import Probe
from posetrack_app.video.pyav_frames import Picture, first_picture, is_interlaced, pyav_pictures


class FileReader:
    """Iterates the wanted frames of a video file, once, one in memory at a time; see `open_video`.

    A fast decoder's picture of the first wanted frame is compared with PyAV's, which knows every frame's time:
    where they differ (decord2 3.4.0 is wrong on some files, without a word), or the decoder fails, the next reads.
    """

    def __init__(
        self, video: Probe, start: float | None, stop: float | None, stride: int, device: str
    ) -> None:
        self._video = video
        self._wanted = wanted_frames(video.seconds, start, stop, stride, str(video.path))
        self._gaps: list[tuple[int, int]] = []
        self._damaged: list[int] = []
        self._notes = list(video.losses)
        self._pictures, self.info = self._open(device)
        self.expected = len(self._wanted)

    @property
    def losses(self) -> list[str]:
        """What could not be read, a line each; complete after the last frame."""
        gaps = not_too_many([describe_gap(*gap) for gap in self._gaps], "gaps")
        return self._notes + gaps + describe_damages(self._damaged, self._wanted.step)

    @property
    def missing(self) -> list[tuple[int, int]]:
        """First and last index of each stretch of wanted frames that could not be decoded."""
        return list(self._gaps)

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._pictures.close()

    def __iter__(self) -> Iterator[Frame]:
        expected, stride = self._wanted.start, self._wanted.step
        for index, seconds, image in self._pictures:
            if index > expected:
                self._gaps.append((expected, index - stride))
            expected = index + stride
            yield Frame(index, seconds, image)
        if expected < self._wanted.stop:
            self._gaps.append((expected, self._wanted[-1]))

    def _open(self, device: str) -> tuple[Any, VideoInfo]:
        video = self._video
        found = first_picture(video, self._wanted)
        if found is None:
            raise InputError(f"{video.path}: none of its {video.packet_count} frames can be decoded")
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
            start_seconds=float(video.pts[0] * video.time_base) if video.pts else 0.0,
            pixel_aspect=pixel_aspect(video.pixel_aspect, rotation),
        )
        # decord leaves the lines of two moments in one picture.
        why_not = "; ".join(
            filter(None, (video.odd, INTERLACED if is_interlaced(video, self._wanted) else ""))
        )
        reasons = [why_not] if why_not else []
        for decoder in () if why_not else _fast_decoders(device):
            try:
                fast = decoder(video, self._wanted, (width, height), rotation)
                pictures = iter(fast)
                opening = next(pictures, None)
                if opening and opening[0] == index and _same_picture(opening[2], image):
                    name = "; ".join([fast.name, *reasons])
                    return self._fast_then_pyav(opening, pictures), replace(info, decoder=name)
                reasons.append(f"{fast.name}: its first frame is not the file's frame {index}")
            except DecoderFailedError as error:
                reasons.append(str(error))
        pictures = pyav_pictures(video, self._wanted, (width, height), self._damaged)
        return pictures, replace(info, decoder=f"{_pyav()} ({'; '.join(reasons)})")

    def _fast_then_pyav(self, opening: Picture, rest: Iterator[Picture]) -> Iterator[Picture]:
        last = opening[0]
        yield opening
        try:
            for picture in rest:
                last = picture[0]
                yield picture
        except DecoderFailedError as error:
            left = range(last + self._wanted.step, self._wanted.stop, self._wanted.step)
            if error.doubtful:
                # Some were left out without a word; that is known only now, and not which ones.
                self._notes.append(
                    f"decord left frames out somewhere in {error.doubtful.start} to {error.doubtful[-1]}: "
                    "frames from there to the end of that range stand too early"
                )
            if left:
                self.info = replace(
                    self.info, decoder=f"{self.info.decoder}; from frame {left.start} {_pyav()} ({error})"
                )
                size = self.info.width, self.info.height
                yield from pyav_pictures(self._video, left, size, self._damaged)


def _fast_decoders(device: str) -> Iterator[Callable[[Probe, range, tuple[int, int], int], Any]]:
    """What is asked before PyAV, the best first; decord goes from the GPU to the CPU by itself."""
    if device.startswith("cuda"):
        yield NvdecPictures
    yield lambda video, wanted, size, _: DecordPictures(video, wanted, size, device)


def _pyav() -> str:
    import av

    return f"PyAV {av.__version__}"


def _same_picture(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """The same frame, whoever decoded it: equal size, and levels that differ by rounding only."""
    if one.shape != other.shape:
        return False
    return float(np.abs(one.astype(np.int16) - other).mean()) < 2.0
