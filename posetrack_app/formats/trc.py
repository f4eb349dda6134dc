"""TRC marker files for biomechanics (OpenSim, Mokka, c3d converters): a folder with one file an identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats.tracks_reader import Tracks, frame_rate_of
from posetrack_app.formats.whole import whole_folder
from posetrack_app.skeleton import Skeleton


def write_trc(tracks: Tracks, path: Path) -> None:
    """Make the folder `path` with `id_<track id>.trc` for each identity, from its first frame to its last.

    Units are pixels with y upwards (minus the image's y) and z = 0, as OpenSim has y upwards; frames where the
    person is not seen have empty cells. Frames are numbered from 1 at their true times.
    """
    if path.suffix:
        raise InputError(
            f"{path}: one TRC file is written for each identity; give a folder, without an ending"
        )
    seen: dict[int, dict[int, int]] = {}
    for place, frame in enumerate(tracks.frames):
        for row, track_id in enumerate(frame.tracked.ids.tolist()):
            seen.setdefault(track_id, {})[place] = row
    with whole_folder(path) as folder:
        for track_id, rows in seen.items():
            name = f"id_{track_id}.trc"
            (folder / name).write_text(_one_person(tracks, rows, name))


def _one_person(tracks: Tracks, rows: dict[int, int], name: str) -> str:
    """`rows` maps the place of a frame in `tracks.frames` to the person's row there."""
    first, last = min(rows), max(rows)
    lines = _head(tracks.skeleton, name, last - first + 1, _rate(tracks))
    for place in range(first, last + 1):
        frame = tracks.frames[place]
        cells = [str(frame.index + 1), f"{frame.seconds:.6f}"]
        if place in rows:
            for x, y in np.asarray(frame.tracked.keypoints[rows[place]], np.float64).tolist():
                cells += [f"{x:.2f}", f"{-y:.2f}", "0.00"]
        else:
            cells += [""] * (3 * len(tracks.skeleton.keypoints))
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def _head(skeleton: Skeleton, name: str, frames: int, rate: float) -> list[str]:
    markers = skeleton.keypoints
    count = len(markers)
    axes = [f"{axis}{number}" for number in range(1, count + 1) for axis in "XYZ"]
    return [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate:g}\t{rate:g}\t{frames}\t{count}\tpx\t{rate:g}\t1\t{frames}",
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
