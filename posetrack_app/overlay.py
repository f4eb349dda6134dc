"""Videos with the people drawn on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.drawing import Style, Trails, draw_poses
from posetrack_app.errors import InputError
from posetrack_app.formats import Tracks
from posetrack_app.records import Frame, TrackedPoses
from posetrack_app.skeleton import POSETRACK, Skeleton
from posetrack_app.video import VideoInfo, open_video
from posetrack_app.video.writer import VideoWriter


class OverlayWriter:
    """Draws each frame's people and writes the result as a video; see `VideoWriter` for the file."""

    def __init__(
        self, path: Path, video_info: VideoInfo, skeleton: Skeleton = POSETRACK, style: Style | None = None
    ) -> None:
        self._style = style or Style()
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
        if self._style.trails:
            self._trails.draw(image, frame.seconds, tracked, self._style.only_ids)
        if self._style.side_by_side:
            bare = Style(only_ids=frozenset(), blur_faces=self._style.blur_faces)
            image = np.hstack([draw_poses(frame.image, tracked, self._skeleton, bare), image])
        self._writer.write(frame.seconds, image)

    def __exit__(self, *exception: Any) -> None:
        self._writer.__exit__(*exception)


def render_video(
    video: Path,
    tracks: Tracks,
    out: Path,
    style: Style | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> int:
    """Draw `tracks` on `video` into the MP4 `out`; gives how many frames it holds.

    The frames are those the tracks file holds (all, or a span, or every n-th), at their own times. Raises
    InputError where the two do not belong together.
    """
    people = {frame.index: frame.tracked for frame in tracks.frames}
    if not people:
        raise InputError(f"{tracks.path}: holds no frames, so there is nothing to draw")
    frames = 0
    with open_video(video) as source:
        check_same_video(source.info, tracks)
        with OverlayWriter(out, source.info, tracks.skeleton, style) as overlay:
            for frame in source:
                if frame.index in people:
                    overlay.write(frame, people[frame.index])
                    frames += 1
                    on_frame()
                if frame.index >= tracks.frames[-1].index:
                    break
    return frames


def check_same_video(info: VideoInfo, tracks: Tracks) -> None:
    """Raise InputError where the tracks were made from a video of another size or length."""
    made_from = tracks.info.get("video")
    size = (made_from.get("width"), made_from.get("height")) if isinstance(made_from, dict) else (None, None)
    if None not in size and size != (info.width, info.height):
        raise InputError(
            f"{tracks.path}: made from a video of {size[0]}x{size[1]}, but {info.path} is "
            f"{info.width}x{info.height}; give the video that the tracks were made from"
        )
    last = tracks.frames[-1].index if tracks.frames else 0
    if info.frame_count is not None and last >= info.frame_count:
        raise InputError(
            f"{tracks.path}: goes to frame {last}, but {info.path} has {info.frame_count} frames; "
            "give the video that the tracks were made from"
        )
