"""TRC marker files for biomechanics (OpenSim, Mokka, c3d converters): a folder with one file an identity.

C3D has no times: a frame is its number, and its time the number by the rate. `write_trc_c3d` therefore puts the
keypoints onto frames of one constant rate, numbered from 1, the same ones for everybody.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetrack_app.errors import InputError
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

    Units are pixels with y upwards (minus the image's y) and z = 0, as OpenSim has y upwards; frames where the
    person is not seen have empty cells. Frames are numbered from 1 at their true times.
    """
    _check_folder(path)
    numbers = np.array([frame.index + 1 for frame in tracks.frames])
    times = np.array([frame.seconds for frame in tracks.frames])
    with whole_folder(path) as folder:
        for track_id, points in _paths(tracks).items():
            seen = np.flatnonzero(~np.isnan(points[:, 0, 0]))
            span = slice(seen[0], seen[-1] + 1)
            name = f"id_{track_id}.trc"
            text = _file(tracks.skeleton, name, _rate(tracks), "px", numbers[span], times[span], points[span])
            (folder / name).write_text(text)


def write_trc_c3d(tracks: Tracks, path: Path) -> None:
    """Make the folder `path` with TRC files that turn into C3D as they are; one `id_<track id>.trc` an identity.

    Frames from 1 at a constant rate, from the video's first frame to its last, the same in every file; places
    between frames are interpolated over short steps. C3D wants a length: a pixel counts as 1 mm.
    """
    _check_folder(path)
    times = np.array([frame.seconds for frame in tracks.frames])
    times -= times[:1]
    rate = _even_rate(tracks, times)
    count = round(float(times.max(initial=0.0)) * rate) + 1
    if count > _SPARSEST * len(times) + 1:
        raise InputError(f"{tracks.path}: its frames are too far apart in time for frames of a constant rate")
    even = np.arange(count) / rate
    with whole_folder(path) as folder:
        for track_id, points in _paths(tracks).items():
            name = f"id_{track_id}.trc"
            onto = _interpolated(times, points, even, _LONGEST_STEP / rate)
            text = _file(tracks.skeleton, name, rate, "mm", np.arange(1, count + 1), even, onto)
            (folder / name).write_text(text)


def _check_folder(path: Path) -> None:
    if path.suffix:
        raise InputError(
            f"{path}: one TRC file is written for each identity; give a folder, without an ending"
        )


def _paths(tracks: Tracks) -> dict[int, FloatArray]:
    """Identity -> (F, K, 2) x and y (upwards), NaN in the frames where the person is not seen."""
    paths: dict[int, FloatArray] = {}
    shape = (len(tracks.frames), len(tracks.skeleton.keypoints), 2)
    for place, frame in enumerate(tracks.frames):
        for row, track_id in enumerate(frame.tracked.ids.tolist()):
            path = paths.setdefault(track_id, np.full(shape, np.nan))
            path[place] = frame.tracked.keypoints[row] * (1, -1)
    return paths


def _interpolated(times: FloatArray, points: FloatArray, at: FloatArray, longest: float) -> FloatArray:
    """`points` (F, K, 2), known at `times`, at the times `at`: linear between sightings `longest` s apart at most."""
    seen = np.flatnonzero(~np.isnan(points[:, 0, 0]))
    known, places = times[seen], points[seen]
    right = np.searchsorted(known, at - 1e-9).clip(0, len(seen) - 1)
    left = np.where(np.abs(known[right] - at) < 1e-9, right, (right - 1).clip(0))
    gap = known[right] - known[left]
    share = np.divide(at - known[left], gap, out=np.zeros_like(at), where=gap > 0)[:, None, None]
    onto: FloatArray = places[left] * (1 - share) + places[right] * share
    # Half a frame before the first sighting and after the last is still its frame.
    half = longest / _LONGEST_STEP / 2
    off = (gap > longest) | (at < known[0] - half) | (at > known[-1] + half)
    onto = np.where((at < known[0])[:, None, None], places[0], onto)
    onto = np.where((at > known[-1])[:, None, None], places[-1], onto)
    onto[off] = np.nan
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
    for number, time, person in zip(numbers.tolist(), times.tolist(), points.tolist(), strict=True):
        cells = [str(number), f"{time:.6f}"]
        for x, y in person:
            cells += ["", "", ""] if np.isnan(x) else [f"{x:.2f}", f"{y:.2f}", "0.00"]
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


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


def _rate(tracks: Tracks) -> float:
    """Frames a second: as the file says, else from the frames' times."""
    told = frame_rate_of(tracks.info)
    if told is not None:
        return told
    length = tracks.frames[-1].seconds - tracks.frames[0].seconds
    return (len(tracks.frames) - 1) / length if length > 0 else 25.0


def _even_rate(tracks: Tracks, times: FloatArray) -> float:
    """The video's rate, or that of the frames in the file where it holds only some of them."""
    told = frame_rate_of(tracks.info)
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if told is None or (usual > 0 and not 0.67 < usual * told < 1.5):
        return round(1 / usual, 3) if usual > 0 else 25.0
    return told
