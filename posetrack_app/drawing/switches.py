"""A contact sheet or a short clip of every possible id switch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import atomic_folder, check_parent_folder, write_atomic
from posetrack_app.core.records import FloatArray, Frame, TrackedPoses
from posetrack_app.drawing.draw import Image, Style, draw_poses
from posetrack_app.drawing.overlay import check_same_video
from posetrack_app.formats import Tracks
from posetrack_app.video import VideoInfo, open_video
from posetrack_app.video.writer import VideoWriter

_SHEET_SECONDS, _CLIP_SECONDS = 1.0, 1.5
"""How much is shown before and after a switch."""
_COLUMNS = 4
"""Images of a sheet in the row before the switch, and in the row after it."""
_CELL, _CLIP = (300, 260), (640, 480)
"""Largest width and height of an image in a sheet, and of a clip."""
_CAPTION = 22
"""Height of a line of text in a sheet."""
_MARGIN = 0.35
"""Around the people, in heights of the tallest box."""
_GREY = 32


@dataclass
class _Shot:
    """What is drawn for one possible id switch, and the images so far by frame index."""

    name: str
    title: str
    switch: int
    frames: list[int]
    region: FloatArray
    """x1 y1 x2 y2 of the part of the frame that is shown."""
    images: dict[int, Image] = field(default_factory=dict)


def write_switches(
    video: Path, tracks: Tracks, folder: Path, style: Style | None = None, *, clips: bool = False
) -> int:
    """Write a PNG, or an MP4 if `clips`, of each of `info.possible_id_switches` into the new `folder`; return their number.

    A sheet has four images of the second before the switch above four of the second from it on; a clip lasts three
    seconds. `style.only_ids` keeps the switches that concern one of these ids. InputError if the tracks have no list of
    possible id switches, do not belong to the video, or `folder` exists.
    """
    style = style or Style()
    found = tracks.info.get("possible_id_switches")
    if found is None:
        raise InputError(
            f"{tracks.path} has no list of possible id switches; link its poses again to get one"
        )
    wanted = [_shot(tracks, each, clips) for each in found if _is_wanted(each, style)]
    shots = list({shot.name: shot for shot in wanted if shot is not None}.values())
    if not shots:
        return 0
    with atomic_folder(folder) as temporary, _Clips(temporary) as made:
        for info, frame, people in _frames(video, tracks, {i for shot in shots for i in shot.frames}):
            for shot in shots:
                if frame.info.index not in shot.frames:
                    continue
                largest = _CLIP if clips else _CELL
                image = _view(frame, people, tracks, shot, style, largest, float(info.pixel_aspect))
                if clips:
                    made.add(shot, frame, image, info)
                else:
                    shot.images[frame.info.index] = image
            _write_finished(temporary, tracks, shots, frame.info.index)
        _write_finished(temporary, tracks, shots, None)
    return len(list(folder.iterdir()))


class _Clips:
    """The clips that are being written; each is closed after its last frame."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, VideoWriter] = {}

    def __enter__(self) -> _Clips:
        return self

    def add(self, shot: _Shot, frame: Frame, image: Image, info: VideoInfo) -> None:
        """Write the next image of a clip."""
        if shot.name not in self._writers:
            size = replace(info, width=image.shape[1], height=image.shape[0], pixel_aspect=Fraction(1))
            self._writers[shot.name] = VideoWriter(self._folder / f"{shot.name}.mp4", size)
        self._writers[shot.name].write(frame.info.seconds, image)
        if frame.info.index >= shot.frames[-1]:
            self._writers.pop(shot.name).__exit__(None, None, None)

    def __exit__(self, *exception: Any) -> None:
        for writer in self._writers.values():
            writer.__exit__(*exception)


def check_switches(folder: Path) -> None:
    """Raise InputError if nothing can be written to the new folder `folder`."""
    if folder.exists():
        raise InputError(f"{folder} already exists; give the name of a new folder")
    check_parent_folder(folder)


def _write_finished(folder: Path, tracks: Tracks, shots: Sequence[_Shot], index: int | None) -> None:
    """Write the sheets whose last frame is `index` or earlier; None: all that have images."""
    for shot in shots:
        if shot.images and (index is None or index >= shot.frames[-1]):
            _write_sheet(folder / f"{shot.name}.png", tracks, shot)
            shot.images.clear()


def _is_wanted(found: Mapping[str, Any], style: Style) -> bool:
    return style.only_ids is None or not style.only_ids.isdisjoint(found["ids"])


def _shot(tracks: Tracks, found: Mapping[str, Any], clips: bool) -> _Shot | None:
    """None if the people are not seen around the switch, as in tracks whose ids were changed afterwards."""
    indices = np.array([frame.info.index for frame in tracks.frames])
    seconds = np.array([frame.info.seconds for frame in tracks.frames])
    place = int(np.searchsorted(indices, found["frame"]))
    if place == len(indices):
        return None
    reach = _CLIP_SECONDS if clips else _SHEET_SECONDS
    around = np.flatnonzero(np.abs(seconds - seconds[place]) <= reach)
    boxes = [
        frame.people.boxes[np.isin(frame.people.ids, found["ids"])]
        for frame in tracks.frames[around[0] : around[-1] + 1]
    ]
    shown = np.concatenate(boxes)
    if not len(shown):
        return None
    margin = _MARGIN * float((shown[:, 3] - shown[:, 1]).max()) + 4
    region = np.concatenate([shown[:, :2].min(axis=0) - margin, shown[:, 2:].max(axis=0) + margin])
    if not clips:
        sides = around[around < place], around[around >= place]
        around = np.concatenate([_spread(side) for side in sides])
    ids = "-".join(map(str, found["ids"]))
    title = f"{found['reason']}: {ids.replace('-', ', ')}   frame {found['frame']}, {seconds[place]:.1f} s   "
    return _Shot(
        name=f"{found['frame']:06d}_{re.sub(r'[^a-z-]', '-', found['reason'])}_{ids}",
        title=f"{title}score {found['score']:.2f}",
        switch=found["frame"],
        frames=indices[around].tolist(),
        region=region,
    )


def _spread(places: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """At most `_COLUMNS` of these, evenly, with the first and the last."""
    if len(places) <= _COLUMNS:
        return places
    spread: NDArray[np.integer[Any]] = places[np.linspace(0, len(places) - 1, _COLUMNS).round().astype(int)]
    return spread


def _frames(video: Path, tracks: Tracks, wanted: set[int]) -> Iterator[tuple[VideoInfo, Frame, TrackedPoses]]:
    people = {frame.info.index: frame.people for frame in tracks.frames}
    last = max(wanted)
    with open_video(video) as source:
        check_same_video(source.info, tracks)
        for frame in source:
            if frame.info.index in wanted:
                yield source.info, frame, people[frame.info.index]
            if frame.info.index >= last:
                break


def _view(
    frame: Frame,
    people: TrackedPoses,
    tracks: Tracks,
    shot: _Shot,
    style: Style,
    largest: tuple[int, int],
    aspect: float,
) -> Image:
    """The region of the frame, resized to fit into `largest`, with the people drawn at this size.

    A pixel of the frame is displayed `aspect` times as wide as high.
    """
    height, width = frame.image.shape[:2]
    x1, y1 = np.floor(np.clip(shot.region[:2], 0, (width - 2, height - 2))).astype(int).tolist()
    x2, y2 = np.ceil(np.clip(shot.region[2:], (x1 + 2, y1 + 2), (width, height))).astype(int).tolist()
    shape = (x2 - x1) * aspect, float(y2 - y1)
    scale = min(largest[0] / shape[0], largest[1] / shape[1])
    size = [max(2, round(side * scale / 2) * 2) for side in shape]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(frame.image[y1:y2, x1:x2], size, interpolation=how), np.uint8)
    ratio, corner = np.array(size) / (x2 - x1, y2 - y1), np.array([x1, y1])
    moved = replace(
        people,
        boxes=(people.boxes.reshape(-1, 2, 2) - corner).reshape(-1, 4) * np.tile(ratio, 2),
        keypoints=_moved(people.keypoints, people, corner, ratio),
        smoothed_keypoints=_moved(people.smoothed_keypoints, people, corner, ratio),
    )
    # Tags of people beyond the border would be moved inside.
    centres = 0.5 * (moved.boxes[:, :2] + moved.boxes[:, 2:])
    inside = ((centres > 0) & (centres < size)).all(axis=1)
    shown = replace(style, only_ids=frozenset(moved.ids[inside].tolist()))
    return draw_poses(image, moved, tracks.skeleton, shown)


def _moved(points: FloatArray, people: TrackedPoses, corner: NDArray[Any], ratio: FloatArray) -> FloatArray:
    """The points in pixels of the resized region; missing ones stay at 0, 0."""
    moved: FloatArray = np.where((people.keypoint_scores == 0)[..., None], 0.0, (points - corner) * ratio)
    return moved


def _write_sheet(path: Path, tracks: Tracks, shot: _Shot) -> None:
    """Above the images before the switch, below those from it on."""
    rows = [
        [index for index in shot.frames if (index >= shot.switch) == is_after] for is_after in (False, True)
    ]
    height, width = next(iter(shot.images.values())).shape[:2]
    step = height + _CAPTION + 4
    sheet = np.full((_CAPTION + 2 * step, _COLUMNS * (width + 4), 3), _GREY, np.uint8)
    _write(sheet, shot.title, 6, 16, (255, 255, 255))
    seconds = {frame.info.index: frame.info.seconds for frame in tracks.frames}
    for row, indices in enumerate(rows):
        # The frame before the switch is on the right, above the last one after it.
        first = _COLUMNS - len(indices) if row == 0 else 0
        for column, index in enumerate(indices, start=first):
            y, x = _CAPTION + row * step, column * (width + 4)
            if index in shot.images:
                sheet[y : y + height, x : x + width] = shot.images[index]
            caption = f"frame {index}, {seconds[index]:.1f} s"
            _write(sheet, caption, x + 4, y + height + 16, (255, 220, 90) if row else (200, 200, 200))
    _, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_atomic(path, encoded.tobytes())


def _write(image: Image, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
