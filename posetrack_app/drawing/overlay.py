"""Overlay videos: the people drawn on the frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import Frame, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK, Skeleton
from posetrack_app.drawing.draw import Style, Trails, draw_poses
from posetrack_app.formats import TrackedFrame, Tracks
from posetrack_app.video import Video, VideoInfo, open_video
from posetrack_app.video.writer import VideoWriter


class OverlayWriter:
    """Draws the people of each frame and writes a video; a context manager. See `VideoWriter` for the file.

    Images of another size than the first one are scaled to fit into it, with black bars.
    """

    def __init__(
        self, path: Path, video_info: VideoInfo, skeleton: Skeleton = POSETRACK, style: Style | None = None
    ) -> None:
        self._style = style or Style()
        self._size = video_info.width, video_info.height
        if self._style.side_by_side:
            video_info = replace(video_info, width=2 * video_info.width)
        self._writer = VideoWriter(path, video_info)
        self._skeleton = skeleton
        self._trails = Trails()

    def __enter__(self) -> OverlayWriter:
        return self

    def write(self, frame: Frame, tracked: TrackedPoses) -> None:
        """Add one frame with its people."""
        image = draw_poses(frame.image, tracked, self._skeleton, self._style)
        if frame.info.is_cut:
            self._trails = Trails()
        if self._style.trails:
            self._trails.draw(image, frame.info.seconds, tracked, self._style.only_ids)
        image = letterboxed(image, self._size)
        if self._style.side_by_side:
            plain = Style(only_ids=frozenset(), blur_faces=self._style.blur_faces)
            original = draw_poses(frame.image, tracked, self._skeleton, plain)
            image = np.hstack([letterboxed(original, self._size), image])
        self._writer.write(frame.info.seconds, image)

    def __exit__(self, *exception: Any) -> None:
        self._writer.__exit__(*exception)


def letterboxed(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image (H, W, 3) in the middle of one of `size` (width, height), as large as fits, in its own shape."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = min(size[0] / width, size[1] / height)
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + fitted[1], left : left + fitted[0]] = cv2.resize(image, fitted, interpolation=how)
    return canvas


def render_video(
    video: Path,
    tracks: Tracks,
    out: Path,
    style: Style | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> int:
    """Draw `tracks` on `video`, write the MP4 file `out`, and return its number of frames.

    Only the frames of the tracks file are written, at their own times. `on_frame` is called after each. InputError if the
    tracks have no frames or do not belong to the video.
    """
    tracked = {frame.info.index: frame for frame in tracks.frames}
    if not tracked:
        raise InputError(f"{tracks.path} contains no frames, so there is nothing to draw")
    frames = 0
    with (
        open_tracked_video(video, tracks) as source,
        OverlayWriter(out, source.info, tracks.skeleton, style) as overlay,
    ):
        for frame in source:
            if frame.info.index in tracked:
                check_same_size(video, frame, tracks, tracked[frame.info.index])
                overlay.write(frame, tracked[frame.info.index].people)
                frames += 1
                on_frame()
            if frame.info.index >= tracks.frames[-1].info.index:
                break
    return frames


def open_tracked_video(video: Path, tracks: Tracks) -> Video:
    """The video from which the tracks were made, the same stream of it; InputError if it has fewer frames."""
    made_from = tracks.info.get("video")
    number = made_from.get("stream") if isinstance(made_from, dict) else None
    source = open_video(video, video_stream=number)
    last = tracks.frames[-1].info.index if tracks.frames else 0
    if source.info.frame_count is not None and last >= source.info.frame_count:
        source.__exit__()
        raise InputError(
            f"{tracks.path} contains frame {last}, but {video} has only {source.info.frame_count} frames; "
            "give the video that the tracks were made from"
        )
    return source


def check_same_size(video: Path, frame: Frame, tracks: Tracks, tracked: TrackedFrame) -> None:
    """Raise InputError if a frame has another size than when it was tracked."""
    expected, found = tracked.info.size, frame.info.size
    if expected not in ((0, 0), found):
        raise InputError(
            f"{tracks.path} was made from a video of {expected[0]}x{expected[1]} pixels, but {video} has "
            f"{found[0]}x{found[1]} in frame {frame.info.index}; give the video that the tracks were made from"
        )
