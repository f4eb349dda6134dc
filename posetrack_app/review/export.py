"""The review page as one file that can be mailed: its tracks and small frames are inside, and it only shows."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from posetrack_app.core.files import atomic_file
from posetrack_app.review.columns import BLOCK_FRAMES, Columns
from posetrack_app.review.frames import encode
from posetrack_app.review.static_files import single_page_html
from posetrack_app.video.any_frame import AnyFrame

_LONGEST_SIDE = 480
_QUALITY = 45
_SPLIT = "<!--posetrack-data-->"


def write_page(
    out: Path,
    columns: Columns,
    about: Mapping[str, Any],
    video: AnyFrame | None,
    on_frame: Callable[[], None],
) -> int:
    """Write the page and return its size in bytes; `about` is the header of the tracks message.

    Frames are at most 480 pixels wide and high (WebP). `on_frame` is called after each frame. Raises InputError if `out`
    cannot be written.
    """
    before, after = single_page_html(_SPLIT).split(_SPLIT)
    with atomic_file(out) as temporary:
        with temporary.open("wb") as file:
            file.write(before.encode())
            _write_data(file, "tracks", columns.tracks_message(about))
            for block in range(-(-len(columns.index) // BLOCK_FRAMES)):
                _write_data(file, f"keypoints-{block}", columns.keypoints_message(block))
            if video is not None:
                _write_frames(file, columns, video, on_frame)
            file.write(after.encode())
        return temporary.stat().st_size


def _write_frames(file: IO[bytes], columns: Columns, video: AnyFrame, on_frame: Callable[[], None]) -> None:
    """The frames of the tracks that can be read."""
    wanted = set(columns.index.tolist())
    if not wanted:
        return
    last = max(wanted)
    for index, image in video.frames_from(min(wanted)):
        if index > last:
            return
        if index in wanted:
            _write_data(file, f"frame-{index}", encode(image, _LONGEST_SIDE, _QUALITY, ".webp"))
            on_frame()


def _write_data(file: IO[bytes], name: str, content: bytes) -> None:
    file.write(f'<script type="application/octet-stream" id="{name}">'.encode())
    file.write(base64.b64encode(content))
    file.write(b"</script>\n")
