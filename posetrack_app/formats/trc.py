"""TRC marker files for biomechanics (OpenSim, Mokka, c3d converters): a folder with one file an identity.

C3D has no times: a frame is its number, and its time the number by the rate. `write_trc_c3d` therefore puts the
keypoints onto frames of one constant rate, numbered from 1, the same ones for everybody.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.absent import is_absent
from posetrack_app.formats.pose_sequence import BoolArray
from posetrack_app.formats.tracks_reader import Tracks, frame_rate_of
from posetrack_app.formats.whole import whole_folder
from posetrack_app.records import FloatArray, IntArray
from posetrack_app.skeleton import Skeleton

_LONGEST_STEP = 2.5
"""Constant frames between two sightings: across more nothing is interpolated, the cells stay empty."""

_SPARSEST = 100
"""Constant frames for one of the file, on average; more means times that are wrong."""


def write_trc(tracks: Tracks, path: Path) -> None:
    """Make the folder `path` with `id_<track id>.trc` for each identity, from its first frame to its last.

    Units are pixels with y upwards (minus the image's y) and z = 0, as OpenSim has y upwards; absent keypoints, and
    all in frames where the person is not seen, have empty cells. Frames are numbered from 1 at their true times.
    """
    _check_folder(path, tracks)
    numbers = np.array([frame.index + 1 for frame in tracks.frames])
    times = np.array([frame.seconds for frame in tracks.frames])
    rate = _rate(tracks, times)
    with whole_folder(path) as folder:
        for track_id, rows in _rows(tracks).items():
            places = np.array(list(rows))
            span = slice(places[0], places[-1] + 1)
            points = np.full((span.stop - span.start, len(tracks.skeleton.keypoints), 2), np.nan)
            points[places - span.start] = _points(tracks, rows)
            name = f"id_{track_id}.trc"
            text = _file(tracks.skeleton, name, rate, "px", numbers[span], times[span], points)
            (folder / name).write_text(text)


def write_trc_c3d(tracks: Tracks, path: Path) -> None:
    """Make the folder `path` with TRC files that turn into C3D as they are; one `id_<track id>.trc` an identity.

    Frames from 1 at a constant rate, from the video's first frame to its last, the same in every file; places
    between frames are interpolated over short steps. C3D wants a length: a pixel counts as 1 mm.
    """
    _check_folder(path, tracks)
    times = np.array([frame.seconds for frame in tracks.frames])
    times -= times[:1]
    rate = _rate(tracks, times)
    count = round(float(times.max(initial=0.0)) * rate) + 1
    if count > _SPARSEST * len(times) + 1:
        raise InputError(f"{tracks.path}: its frames are too far apart in time for frames of a constant rate")
    even = np.arange(count) / rate
    with whole_folder(path) as folder:
        for track_id, rows in _rows(tracks).items():
            name = f"id_{track_id}.trc"
            onto = _interpolated(times[list(rows)], _points(tracks, rows), even, 1 / rate)
            text = _file(tracks.skeleton, name, rate, "mm", np.arange(1, count + 1), even, onto)
            (folder / name).write_text(text)


def _check_folder(path: Path, tracks: Tracks) -> None:
    if not tracks.ids:
        raise InputError(f"{tracks.path}: holds nobody, so there is no file to write")
    if path.suffix:
        raise InputError(
            f"{path}: one TRC file is written for each identity; give a folder, without an ending"
        )


def _rows(tracks: Tracks) -> dict[int, dict[int, int]]:
    """Identity -> its row in each frame where it is seen, by the frame's place in the file, rising."""
    rows: dict[int, dict[int, int]] = {}
    for place, frame in enumerate(tracks.frames):
        for row, track_id in enumerate(frame.tracked.ids.tolist()):
            rows.setdefault(track_id, {})[place] = row
    return rows


def _points(tracks: Tracks, rows: dict[int, int]) -> FloatArray:
    """(sightings, K, 2) x and y (upwards) of one identity, NaN where a keypoint is absent."""
    people = [(tracks.frames[place].tracked, row) for place, row in rows.items()]
    points = np.array([poses.keypoints[row] for poses, row in people], np.float64)
    absent = is_absent(points, np.array([poses.keypoint_scores[row] for poses, row in people]))
    points[..., 1] *= -1
    points[absent] = np.nan
    return points


def _interpolated(known: FloatArray, places: FloatArray, at: FloatArray, step: float) -> FloatArray:
    """`places` (n, K, 2) of the sightings at the times `known`, at the times `at`, `step` s apart.

    Linear between sightings that are not too far apart; where a keypoint is known on one side only, half a step
    from there is still its frame.
    """
    right = np.searchsorted(known, at - 1e-9).clip(0, len(known) - 1)
    left = np.where(np.abs(known[right] - at) < 1e-9, right, (right - 1).clip(0))
    gap = known[right] - known[left]
    share = np.divide(at - known[left], gap, out=np.zeros_like(at), where=gap > 0)[:, None, None]
    onto: FloatArray = places[left] * (1 - share) + places[right] * share
    onto[(gap > _LONGEST_STEP * step) | (at < known[0]) | (at > known[-1])] = np.nan
    for end in (right, left):
        is_close = (np.abs(at - known[end]) < step / 2 + 1e-9)[:, None, None]
        onto = np.where(np.isnan(onto) & is_close, places[end], onto)
    return onto


def _file(
    skeleton: Skeleton,
    name: str,
    rate: float,
    unit: str,
    numbers: IntArray,
    times: FloatArray,
    points: FloatArray,
) -> str:
    lines = _head(skeleton, name, len(numbers), rate, unit)
    nobody = [""] * (3 * points.shape[1])  # most rows of somebody who passes through a long video
    is_seen: BoolArray = np.any(~np.isnan(points[..., 0]), axis=1)
    for number, time, person, seen in zip(numbers.tolist(), times.tolist(), points, is_seen, strict=True):
        cells = _cells(person) if seen else nobody
        lines.append("\t".join([str(number), f"{time:.6f}", *cells]))
    return "\n".join(lines) + "\n"


def _cells(person: FloatArray) -> list[str]:
    """X, Y and Z of every keypoint, empty for absent ones."""
    cells = []
    for x, y in person.tolist():
        cells += ["", "", ""] if np.isnan(x) else [f"{x:.2f}", f"{y:.2f}", "0.00"]
    return cells


def _head(skeleton: Skeleton, name: str, frames: int, rate: float, unit: str) -> list[str]:
    markers = skeleton.keypoints
    count = len(markers)
    axes = [f"{axis}{number}" for number in range(1, count + 1) for axis in "XYZ"]
    return [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate:g}\t{rate:g}\t{frames}\t{count}\t{unit}\t{rate:g}\t1\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(markers) + "\t\t",
        "\t\t" + "\t".join(axes),
        "",
    ]


def _rate(tracks: Tracks, times: FloatArray) -> float:
    """The video's rate, or that of the frames in the file where it holds only some of them."""
    told = frame_rate_of(tracks.info)
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if told is None or (usual > 0 and not 0.67 < usual * told < 1.5):
        return round(1 / usual, 3) if usual > 0 else 25.0
    return told
