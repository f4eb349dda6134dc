"""Overlay videos: the people drawn on the frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import Frame, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK, Skeleton
from posetrack_app.drawing.draw import Style, Trails, draw_poses
from posetrack_app.formats import Tracks
from posetrack_app.video import VideoInfo, open_video
from posetrack_app.video.writer import VideoWriter


class OverlayWriter:
    """Draws the people of each frame and writes a video; a context manager. See `VideoWriter` for the file."""

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
            self._trails.draw(image, frame.info.seconds, tracked, self._style.only_ids)
        if self._style.side_by_side:
            plain = Style(only_ids=frozenset(), blur_faces=self._style.blur_faces)
            image = np.hstack([draw_poses(frame.image, tracked, self._skeleton, plain), image])
        self._writer.write(frame.info.seconds, image)

    def __exit__(self, *exception: Any) -> None:
        self._writer.__exit__(*exception)


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
    people = {frame.info.index: frame.people for frame in tracks.frames}
    if not people:
        raise InputError(f"{tracks.path} contains no frames, so there is nothing to draw")
    frames = 0
    with open_video(video) as source:
        check_same_video(source.info, tracks)
        with OverlayWriter(out, source.info, tracks.skeleton, style) as overlay:
            for frame in source:
                if frame.info.index in people:
                    overlay.write(frame, people[frame.info.index])
                    frames += 1
                    on_frame()
                if frame.info.index >= tracks.frames[-1].info.index:
                    break
    return frames


def check_same_video(info: VideoInfo, tracks: Tracks) -> None:
    """Raise InputError if the tracks were made from a video of another size or length."""
    made_from = tracks.info.get("video")
    size = (made_from.get("width"), made_from.get("height")) if isinstance(made_from, dict) else (None, None)
    if None not in size and size != (info.width, info.height):
        raise InputError(
            f"{tracks.path} was made from a video of {size[0]}x{size[1]} pixels, but {info.path} has "
            f"{info.width}x{info.height}; give the video that the tracks were made from"
        )
    last = tracks.frames[-1].info.index if tracks.frames else 0
    if info.frame_count is not None and last >= info.frame_count:
        raise InputError(
            f"{tracks.path} contains frame {last}, but {info.path} has only {info.frame_count} frames; "
            "give the video that the tracks were made from"
        )
