"""TRC files, with true times and resampled for C3D."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_tracks import some_people

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import FrameInfo, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats import TrackedFrame, Tracks, TracksWriter, read_tracks
from posetrack_app.formats.convert import WRITERS


def _lines_of_id_1(
    tmp_path: Path, name: str, frames: Iterable[tuple[int, float, TrackedPoses]], **video: float
) -> list[str]:
    """Write, read and convert frames (index, seconds, people) to `name`; the lines of the file of id 1."""
    with TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={"video": video}) as writer:
        for index, seconds, people in frames:
            writer.write(FrameInfo(index, seconds), people)
    WRITERS[name](read_tracks(tmp_path / "t.json"), tmp_path / "markers")
    return (tmp_path / "markers" / "id_1.trc").read_text().split("\n")


def test_trc(tmp_path: Path, tracks: Tracks) -> None:
    WRITERS["trc"](tracks, tmp_path / "markers")
    assert sorted(file.name for file in (tmp_path / "markers").iterdir()) == [
        "id_1.trc",
        "id_2.trc",
        "id_30.trc",
    ]
    lines = (tmp_path / "markers" / "id_1.trc").read_text().split("\n")
    assert lines[2].split("\t")[:5] == ["25", "25", "4", "17", "px"]
    assert [name for name in lines[3].split("\t")[2:] if name] == list(POSETRACK.keypoints)
    assert lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"]
    assert len({len(line.split("\t")) for line in lines[3:5] + lines[6:10]}) == 1
    rows = [line.split("\t") for line in lines[6:10]]
    assert [row[0] for row in rows] == ["5", "6", "8", "9"]
    assert rows[1][2:] == rows[2][2:] == [""] * 51, "empty cells where the person is missing"
    places = np.array(rows[3][2:], float).reshape(17, 3)
    assert np.allclose(places * (1, -1, 1), np.pad(tracks.frames[3].people.keypoints[0], ((0, 0), (0, 1))))


def test_trc_for_c3d(tmp_path: Path) -> None:
    """Uneven times are resampled to even ones; a short gap is interpolated, a long one is left empty."""
    with TracksWriter(
        tmp_path / "t.json", skeleton=POSETRACK, info={"video": {"frame_rate": 25.0}}
    ) as writer:
        for index, (seconds, ids) in enumerate(
            [(0, [1]), (0.05, [1]), (0.12, [1, 2]), (0.4, [1]), (0.44, []), (0.48, [])]
        ):
            person = some_people(ids, 0)
            points = np.full((len(ids), 17, 2), (100 * seconds, 200 * seconds))
            writer.write(
                FrameInfo(index, seconds), replace(person, keypoints=points, smoothed_keypoints=points)
            )
    WRITERS["trc-c3d"](read_tracks(tmp_path / "t.json"), tmp_path / "markers")
    files = {file.name: file.read_text().split("\n") for file in (tmp_path / "markers").iterdir()}
    assert sorted(files) == ["id_1.trc", "id_2.trc"]
    lines = files["id_1.trc"]
    assert lines[2].split("\t") == ["25", "25", "13", "17", "mm", "25", "1", "13"]
    rows = [line.split("\t") for line in lines[6:19]]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 14)]
    assert np.allclose([float(row[1]) for row in rows], np.arange(13) / 25)
    assert [row[2:4] for row in rows[1:5]] == [
        ["4.00", "-8.00"], ["8.00", "-16.00"], ["12.00", "-24.00"], ["", ""],
    ]  # fmt: skip
    assert rows[10][2:4] == ["40.00", "-80.00"]
    assert rows[11][2] == ""
    assert len({len(line.split("\t")) for line in lines[3:5] + lines[6:19]}) == 1
    seen = [line.split("\t")[0] for line in files["id_2.trc"][6:19] if line.split("\t")[2]]
    assert seen == ["4"]


def test_trc_for_c3d_of_every_tenth_frame(tmp_path: Path) -> None:
    frames = ((index, index / 25, some_people([1], index)) for index in range(0, 50, 10))
    lines = _lines_of_id_1(tmp_path, "trc-c3d", frames, frame_rate=25.0)
    assert lines[2].split("\t")[:3] == ["2.5", "2.5", "5"]
    assert all(line.split("\t")[2] for line in lines[6:11])


@pytest.mark.parametrize("name", ["trc", "trc-c3d"])
def test_missing_keypoints_are_empty_cells(tmp_path: Path, name: str) -> None:
    """At 30 per second, a frame beside a missing keypoint is kept."""
    with TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={}) as writer:
        for index in range(5):
            people = some_people([1], index)
            for keypoint, frames in ((0, (0, 3)), (1, (2,))):
                if index in frames:
                    people.keypoints[:, keypoint] = people.keypoint_scores[:, keypoint] = 0
            writer.write(FrameInfo(index, index / 30), people)
    WRITERS[name](read_tracks(tmp_path / "t.json"), tmp_path / "markers")
    lines = (tmp_path / "markers" / "id_1.trc").read_text().split("\n")
    rows = [line.split("\t") for line in lines[6:11]]
    assert [bool(row[2]) for row in rows] == [False, True, True, False, True]
    assert [bool(row[5]) for row in rows] == [True, True, False, True, True]
    assert all(all(row[8:]) for row in rows)
    assert not any(cell in ("0.00", "-0.00") for row in rows for cell in row[2::3] + row[3::3])


def test_trc_for_c3d_keeps_a_frame_after_a_long_gap(tmp_path: Path) -> None:
    """At 30 per second, times with 6 decimals never equal the even times."""
    frames = ((index, index / 30, some_people([1] if index % 10 == 5 else [], index)) for index in range(40))
    lines = _lines_of_id_1(tmp_path, "trc-c3d", frames, frame_rate=30.0)
    assert [row for row, line in enumerate(lines[6:46]) if line.split("\t")[2]] == [5, 15, 25, 35]


@pytest.mark.parametrize("name", ["trc", "trc-c3d"])
def test_no_people_make_no_folder(tmp_path: Path, name: str) -> None:
    empty = Tracks(tmp_path / "t.json", {}, POSETRACK, [])
    with pytest.raises(InputError, match=r"t\.json contains no people"):
        WRITERS[name](empty, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_rate_is_that_of_the_rows(tmp_path: Path) -> None:
    """Every third frame at 30 per second: 10 rows per second."""
    frames = ((index, index / 30, some_people([1], index)) for index in range(0, 15, 3))
    lines = _lines_of_id_1(tmp_path, "trc", frames, frame_rate=30.0)
    assert lines[2].split("\t") == ["10", "10", "5", "17", "px", "10", "1", "5"]
    assert [line.split("\t")[1] for line in lines[6:8]] == ["0.000000", "0.100000"]


@pytest.mark.parametrize("name", ["trc", "trc-c3d"])
def test_memory_does_not_grow_with_people_times_frames(tmp_path: Path, name: str) -> None:
    """40 people, each in one of 1000 frames: dense arrays of all of them would need 11 MB."""
    frames = [
        TrackedFrame(FrameInfo(k, k / 25), some_people([k // 25 + 1] if k % 25 == 0 else [], k))
        for k in range(1000)
    ]
    tracks = Tracks(tmp_path / "t.json", {}, POSETRACK, frames)
    tracemalloc.start()
    WRITERS[name](tracks, tmp_path / "markers")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(list((tmp_path / "markers").iterdir())) == 40
    assert peak < 5e6


def test_wrong_times_make_no_huge_trc(tmp_path: Path) -> None:
    with TracksWriter(tmp_path / "t.json", skeleton=POSETRACK, info={}) as writer:
        for index, seconds in enumerate([0, 0.04, 0.08, 1e9]):
            writer.write(FrameInfo(index, seconds), some_people([1], 0))
    with pytest.raises(InputError, match="too far apart for a constant rate"):
        WRITERS["trc-c3d"](read_tracks(tmp_path / "t.json"), tmp_path / "markers")
    assert not (tmp_path / "markers").exists()
