"""One picture of everyone: a grid with each identity's clearest view and when it was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.drawing import Style, colour_of, draw_poses
from posetrack_app.errors import InputError
from posetrack_app.formats import Tracks
from posetrack_app.formats.whole import check_place, write_whole
from posetrack_app.overlay import check_same_video
from posetrack_app.video import open_video

_CELL = (180, 240)
"""Width and height of a cell's picture in pixels."""

_CAPTION = 24


@dataclass
class _Sighting:
    """Where one identity is seen best, and from when to when it is seen."""

    first: float
    last: float
    frame: int = -1
    row: int = -1
    worth: float = -1.0


def write_contact_sheet(video: Path, tracks: Tracks, out: Path, style: Style | None = None) -> int:
    """Write a PNG with the clearest view of every identity; gives how many there are.

    Clearest is where mean keypoint score times the box's height is greatest; where that frame cannot be read (any
    more), the cell stays empty.
    Raises InputError where the tracks hold nobody or are not of this video.
    """
    style = style or Style()
    check_sheet(out)
    sightings = _best_sightings(tracks, style.only_ids)
    if not sightings:
        raise InputError(f"{tracks.path}: holds none of the people asked for, so there is nothing to show")
    cells = _cells(video, tracks, sightings, style)
    columns = min(len(cells), max(1, math.ceil(math.sqrt(len(cells) * 1.6))))
    rows = math.ceil(len(cells) / columns)
    sheet = np.full((rows * cells[0].shape[0], columns * cells[0].shape[1], 3), 32, np.uint8)
    for place, cell in enumerate(cells):
        y, x = place // columns * cell.shape[0], place % columns * cell.shape[1]
        sheet[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    _, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_whole(out, encoded.tobytes())
    return len(cells)


def check_sheet(out: Path) -> None:
    """InputError where no contact sheet of that name can be written."""
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: contact sheets are PNG files; give a name that ends in .png")
    check_place(out)


def _best_sightings(tracks: Tracks, only_ids: frozenset[int] | None) -> dict[int, _Sighting]:
    best: dict[int, _Sighting] = {}
    for frame in tracks.frames:
        poses = frame.tracked
        worth = poses.keypoint_scores.mean(axis=1) * (poses.boxes[:, 3] - poses.boxes[:, 1])
        for row, track_id in enumerate(poses.ids.tolist()):
            if only_ids is not None and track_id not in only_ids:
                continue
            seen = best.setdefault(track_id, _Sighting(frame.seconds, frame.seconds))
            seen.last = frame.seconds
            if worth[row] > seen.worth:
                seen.frame, seen.row, seen.worth = frame.index, row, float(worth[row])
    return dict(sorted(best.items()))


def _cells(
    video: Path, tracks: Tracks, sightings: dict[int, _Sighting], style: Style
) -> list[NDArray[np.uint8]]:
    people = {frame.index: frame.tracked for frame in tracks.frames}
    wanted: dict[int, list[int]] = {}
    for track_id, seen in sightings.items():
        wanted.setdefault(seen.frame, []).append(track_id)
    cells: dict[int, NDArray[np.uint8]] = {}
    with open_video(video) as source:
        check_same_video(source.info, tracks)
        aspect = float(source.info.pixel_aspect)
        for frame in source:
            for track_id in wanted.pop(frame.index, []):
                plain = Style(only_ids=frozenset(), blur_faces=style.blur_faces)
                image = draw_poses(frame.image, people[frame.index], tracks.skeleton, plain)
                box = people[frame.index].boxes[sightings[track_id].row]
                cells[track_id] = _cut(image, box, aspect)
            if not wanted:
                break
    empty = np.full((_CELL[1], _CELL[0], 3), 32, np.uint8)
    return [
        _captioned(
            cells.get(track_id, empty), colour_of(track_id), style.names.get(track_id, str(track_id)), seen
        )
        for track_id, seen in sightings.items()
    ]


def _cut(image: NDArray[np.uint8], box: NDArray[np.floating], aspect: float) -> NDArray[np.uint8]:
    """The box with some surroundings in the cell's size; a pixel is to be shown `aspect` times as wide as high."""
    width, height = _CELL
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    scale = 0.8 * min(width / max((box[2] - box[0]) * aspect, 1.0), height / max(box[3] - box[1], 1.0))
    across = scale * aspect
    matrix = np.array([[across, 0, width / 2 - centre_x * across], [0, scale, height / 2 - centre_y * scale]])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(image, matrix, _CELL, flags=how, borderValue=(32, 32, 32)), np.uint8)


def _captioned(
    picture: NDArray[np.uint8], colour: tuple[int, int, int], name: str, seen: _Sighting
) -> NDArray[np.uint8]:
    """The picture in a frame, over a line that says who it is and when."""
    width, height = _CELL
    cell = np.full((height + _CAPTION + 4, width + 4, 3), 32, np.uint8)
    cell[2 : 2 + height, 2 : 2 + width] = picture
    cell[2 + height : -2, 2:-2] = colour
    caption = f"{name}: {seen.first:.1f} to {seen.last:.1f} s"
    cv2.putText(cell, caption, (7, height + 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return cell
