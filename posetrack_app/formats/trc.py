"""TRC marker files for biomechanics (OpenSim, Mokka, C3D converters): a folder with one file for each identity.

C3D has no times: the time of a frame is its number divided by the rate. So `write_trc_c3d` resamples the keypoints to
frames of a constant rate, numbered from 1 and the same for every person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import atomic_folder
from posetrack_app.core.frame_rate import USUAL_FPS
from posetrack_app.core.records import BoolArray, FloatArray, IntArray, is_missing
from posetrack_app.core.skeletons import Skeleton
from posetrack_app.formats.tracks_json.reader import frame_rate_of
from posetrack_app.formats.tracks_json.tracks import Tracks

_MAX_STEP = 2.5
"""Resampled frames between two sightings; a longer gap is not interpolated, its cells stay empty."""

_MAX_RESAMPLING = 100
"""Resampled frames per frame of the file, on average; more means that the times are wrong."""


def write_trc(tracks: Tracks, path: Path) -> None:
    """Write the folder `path` with `id_<track id>.trc` for each identity, from its first frame to its last.

    Units are pixels; y points upwards (the negative y of the image), as in OpenSim, and z is 0. Missing keypoints, and
    all keypoints in frames where the person is missing, have empty cells. Frames are numbered from 1 and have their
    true times. Raises InputError if there are no people, or if `path` exists or has a suffix.
    """
    _check_folder(path, tracks)
    numbers = np.array([frame.info.index + 1 for frame in tracks.frames])
    times = np.array([frame.info.seconds for frame in tracks.frames])
    rate = _rate(tracks, times)
    with atomic_folder(path) as folder:
        for track_id, rows in _rows(tracks).items():
            positions = np.array(list(rows))
            span = slice(positions[0], positions[-1] + 1)
            points = np.full((span.stop - span.start, len(tracks.skeleton.keypoints), 2), np.nan)
            points[positions - span.start] = _points(tracks, rows)
            name = f"id_{track_id}.trc"
            text = _file(tracks.skeleton, name, rate, "px", numbers[span], times[span], points)
            (folder / name).write_text(text)


def write_trc_c3d(tracks: Tracks, path: Path) -> None:
    """Write the folder `path` with a TRC file for each identity that can be converted to C3D without changes.

    All files have the same frames: numbered from 1 at a constant rate, from the first frame of the video to its last.
    Keypoints are interpolated over short gaps. C3D needs a unit of length: a pixel becomes 1 mm. Raises InputError if
    there are no people, if `path` exists or has a suffix, or if the times are implausible.
    """
    _check_folder(path, tracks)
    times = np.array([frame.info.seconds for frame in tracks.frames])
    times -= times[:1]
    rate = _rate(tracks, times)
    count = round(float(times.max(initial=0.0)) * rate) + 1
    if count > _MAX_RESAMPLING * len(times) + 1:
        raise InputError(
            f"{tracks.path}: its frames are too far apart for a constant rate; check their 'seconds'"
        )
    even_times = np.arange(count) / rate
    with atomic_folder(path) as folder:
        for track_id, rows in _rows(tracks).items():
            name = f"id_{track_id}.trc"
            points = _resampled(times[list(rows)], _points(tracks, rows), even_times, 1 / rate)
            text = _file(tracks.skeleton, name, rate, "mm", np.arange(1, count + 1), even_times, points)
            (folder / name).write_text(text)


def _check_folder(path: Path, tracks: Tracks) -> None:
    if not tracks.ids:
        raise InputError(f"{tracks.path} contains no people, so there is no file to write")
    if path.suffix:
        raise InputError(
            f"{path}: this format writes a file for each identity; give a folder, a name without a suffix"
        )


def _rows(tracks: Tracks) -> dict[int, dict[int, int]]:
    """Id -> {position of a frame in the file: the row of this person}, in rising order."""
    rows: dict[int, dict[int, int]] = {}
    for position, frame in enumerate(tracks.frames):
        for row, track_id in enumerate(frame.people.ids.tolist()):
            rows.setdefault(track_id, {})[position] = row
    return rows


def _points(tracks: Tracks, rows: dict[int, int]) -> FloatArray:
    """(n, K, 2) x and y (upwards) of one person in their n frames; NaN where a keypoint is missing."""
    people = [(tracks.frames[position].people, row) for position, row in rows.items()]
    points = np.array([poses.keypoints[row] for poses, row in people], np.float64)
    missing = is_missing(points, np.array([poses.keypoint_scores[row] for poses, row in people]))
    points[..., 1] *= -1
    points[missing] = np.nan
    return points


def _resampled(known: FloatArray, points: FloatArray, times: FloatArray, step: float) -> FloatArray:
    """(len(times), K, 2) `points` (n, K, 2) of the times `known` (n,), resampled to `times`, which are `step` apart.

    Linear between two frames that are close enough. If a keypoint is missing on one side, its position is kept up to
    half a step from the other side.
    """
    right = np.searchsorted(known, times - 1e-9).clip(0, len(known) - 1)
    left = np.where(np.abs(known[right] - times) < 1e-9, right, (right - 1).clip(0))
    gap = known[right] - known[left]
    fraction = np.divide(times - known[left], gap, out=np.zeros_like(times), where=gap > 0)[:, None, None]
    resampled: FloatArray = points[left] * (1 - fraction) + points[right] * fraction
    resampled[(gap > _MAX_STEP * step) | (times < known[0]) | (times > known[-1])] = np.nan
    for side in (right, left):
        is_close = (np.abs(times - known[side]) < step / 2 + 1e-9)[:, None, None]
        resampled = np.where(np.isnan(resampled) & is_close, points[side], resampled)
    return resampled


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
    empty = [""] * (3 * points.shape[1])  # shared: in a long video, most rows of a person may be empty
    is_visible: BoolArray = np.any(~np.isnan(points[..., 0]), axis=1)
    for number, time, person, visible in zip(
        numbers.tolist(), times.tolist(), points, is_visible, strict=True
    ):
        cells = _cells(person) if visible else empty
        lines.append("\t".join([str(number), f"{time:.6f}", *cells]))
    return "\n".join(lines) + "\n"


def _cells(person: FloatArray) -> list[str]:
    """X, Y and Z of every keypoint, empty for missing ones."""
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
    """The frame rate of the video, or that of the frames in the file if it contains only some."""
    video_rate = frame_rate_of(tracks.info)
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if video_rate is None or (usual > 0 and not 0.67 < usual * video_rate < 1.5):
        return round(1 / usual, 3) if usual > 0 else USUAL_FPS
    return video_rate
