"""Contact sheet: a grid with the best view of each person, and the times between which they were seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import check_output_file, write_atomic
from posetrack_app.drawing.draw import Style, colour_of, draw_poses
from posetrack_app.drawing.overlay import check_same_size, open_tracked_video
from posetrack_app.formats import Tracks

_CELL = (180, 240)
"""Width and height of a person's image in pixels."""
_CAPTION = 24
"""Height of the caption in pixels."""


@dataclass
class _BestView:
    """The frame and row with the best view of one person, and the seconds of the first and last frame."""

    first: float
    last: float
    frame: int = -1
    row: int = -1
    quality: float = -1.0


def write_contact_sheet(video: Path, tracks: Tracks, out: Path, style: Style | None = None) -> int:
    """Write a PNG with the best view of each person and return the number of people.

    The best view has the highest product of mean keypoint score and box height. If its frame cannot be read, the cell
    stays empty. InputError if the tracks contain none of the people, or do not belong to the video.
    """
    style = style or Style()
    check_sheet(out)
    views = _best_views(tracks, style.only_ids)
    if not views:
        raise InputError(f"{tracks.path} contains none of the chosen people, so there is nothing to draw")
    cells = _cells(video, tracks, views, style)
    columns = min(len(cells), max(1, math.ceil(math.sqrt(len(cells) * 1.6))))
    rows = math.ceil(len(cells) / columns)
    sheet = np.full((rows * cells[0].shape[0], columns * cells[0].shape[1], 3), 32, np.uint8)
    for index, cell in enumerate(cells):
        y, x = index // columns * cell.shape[0], index % columns * cell.shape[1]
        sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    _, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_atomic(out, encoded.tobytes())
    return len(cells)


def check_sheet(out: Path) -> None:
    """Raise InputError if no contact sheet can be written to `out`."""
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: a contact sheet is a PNG file; give a name that ends in .png")
    check_output_file(out)


def _best_views(tracks: Tracks, only_ids: frozenset[int] | None) -> dict[int, _BestView]:
    best: dict[int, _BestView] = {}
    for frame in tracks.frames:
        poses = frame.people
        quality = poses.keypoint_scores.mean(axis=1) * (poses.boxes[:, 3] - poses.boxes[:, 1])
        for row, track_id in enumerate(poses.ids.tolist()):
            if only_ids is not None and track_id not in only_ids:
                continue
            view = best.setdefault(track_id, _BestView(frame.info.seconds, frame.info.seconds))
            view.last = frame.info.seconds
            if quality[row] > view.quality:
                view.frame, view.row, view.quality = frame.info.index, row, float(quality[row])
    return dict(sorted(best.items()))


def _cells(video: Path, tracks: Tracks, views: dict[int, _BestView], style: Style) -> list[NDArray[np.uint8]]:
    tracked = {frame.info.index: frame for frame in tracks.frames}
    wanted: dict[int, list[int]] = {}
    for track_id, view in views.items():
        wanted.setdefault(view.frame, []).append(track_id)
    cells: dict[int, NDArray[np.uint8]] = {}
    with open_tracked_video(video, tracks) as source:
        aspect = float(source.info.pixel_aspect)
        for frame in source:
            for track_id in wanted.pop(frame.info.index, []):
                people = tracked[frame.info.index].people
                check_same_size(video, frame, tracks, tracked[frame.info.index])
                plain = Style(only_ids=frozenset(), blur_faces=style.blur_faces)
                image = draw_poses(frame.image, people, tracks.skeleton, plain)
                box = people.boxes[views[track_id].row]
                cells[track_id] = _cut(image, box, aspect)
            if not wanted:
                break
    empty = np.full((_CELL[1], _CELL[0], 3), 32, np.uint8)
    return [
        _captioned(
            cells.get(track_id, empty), colour_of(track_id), style.names.get(track_id, str(track_id)), view
        )
        for track_id, view in views.items()
    ]


def _cut(image: NDArray[np.uint8], box: NDArray[np.floating], aspect: float) -> NDArray[np.uint8]:
    """The box with a margin, resized to a cell; a pixel of `image` is displayed `aspect` times as wide as high."""
    width, height = _CELL
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    scale = 0.8 * min(width / max((box[2] - box[0]) * aspect, 1.0), height / max(box[3] - box[1], 1.0))
    across = scale * aspect
    matrix = np.array([[across, 0, width / 2 - centre_x * across], [0, scale, height / 2 - centre_y * scale]])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(image, matrix, _CELL, flags=how, borderValue=(32, 32, 32)), np.uint8)


def _captioned(
    image: NDArray[np.uint8], colour: tuple[int, int, int], name: str, view: _BestView
) -> NDArray[np.uint8]:
    """The image with a border in `colour` and a caption with the name and the times."""
    width, height = _CELL
    cell = np.full((height + _CAPTION + 4, width + 4, 3), 32, np.uint8)
    cell[2 : 2 + height, 2 : 2 + width] = image
    cell[2 + height : -2, 2:-2] = colour
    caption = f"{name}: {view.first:.1f} to {view.last:.1f} s"
    cv2.putText(cell, caption, (7, height + 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return cell
