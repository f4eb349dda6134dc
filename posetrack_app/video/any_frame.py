"""Frames of a video file or an image folder from any index on, for a viewer that jumps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.image_file import read_rgb
from posetrack_app.video.folder import FolderReader, list_images
from posetrack_app.video.info import VideoInfo, pixel_aspect
from posetrack_app.video.probe import Probe, probe
from posetrack_app.video.pyav_frames import first_image, pyav_images

_FPS = 25.0
"""Of an image folder; only the indices matter here."""


class AnyFrame:
    """A video whose frames can be read from any index on; `info` describes it.

    The indices are those of `open_video`. Raises InputError if `source` is not a readable video file or image folder.
    """

    def __init__(self, source: Path) -> None:
        if not source.exists():
            raise InputError(f"{source}: no such file or folder")
        self._files = list_images(source) if source.is_dir() else []
        self._probe: Probe | None = None
        self.info: VideoInfo
        if source.is_dir():
            self.info = FolderReader(source, _FPS, None, None, 1).info
        else:
            self._probe = probe(source)
            self.info = _info_of(self._probe)

    @property
    def frame_count(self) -> int:
        """Number of frames that the file or folder lists."""
        return len(self._files) if self._probe is None else self._probe.frame_count

    def frames_from(self, index: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(index, image) of the frames from `index` on; image (H, W, 3) uint8 RGB. Unreadable frames are left out."""
        if self._probe is not None:
            size = self.info.width, self.info.height
            for at, _, image in pyav_images(self._probe, range(index, self.frame_count), size):
                yield at, image
            return
        for at in range(index, len(self._files)):
            stored = read_rgb(self._files[at])
            if stored is not None and stored.shape[1::-1] == (self.info.width, self.info.height):
                yield at, stored


def _info_of(video: Probe) -> VideoInfo:
    """The facts about a video file, from its packets and its first frame."""
    found = first_image(video, range(video.frame_count))
    if found is None:
        raise InputError(f"{video.path}: none of its {video.packet_count} frames can be decoded")
    (_, _, image), rotation = found
    return VideoInfo(
        path=video.path,
        width=image.shape[1],
        height=image.shape[0],
        rotation=rotation,
        frame_rate=video.frame_rate,
        frame_count=video.frame_count,
        seconds=video.length,
        decoder="PyAV",
        pixel_aspect=pixel_aspect(video.pixel_aspect, rotation),
    )
