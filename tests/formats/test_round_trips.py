"""Lossless formats, with examples from hypothesis: what was written comes back, to the digits that a file keeps."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from posetrack_app.core.json_file import load_json
from posetrack_app.core.records import ORIGINS, FrameInfo, TrackedPoses, is_missing
from posetrack_app.core.skeletons import COCO, POSETRACK
from posetrack_app.formats import TrackedFrame, Tracks
from posetrack_app.formats.convert import WRITERS, read_any
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.formats.tracks_json.validate import find_faults

COLUMNS = (
    "ids", "boxes", "scores", "keypoints", "keypoint_scores", "smoothed_keypoints", "origins", "keypoint_origins"
)  # fmt: skip
COORDINATES = st.floats(-1e5, 1e5, allow_nan=False).map(lambda value: round(value, 2))
POSETRACK17_ORDER = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
    "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "head_bottom", "nose", "head_top",
)  # fmt: skip
ORIGIN = st.integers(0, len(ORIGINS) - 1)
SCORES = st.floats(0, 1).map(lambda value: round(value, 4))
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


def column(values: st.SearchStrategy[float], *shape: int) -> st.SearchStrategy[np.ndarray]:
    return arrays.arrays(np.float64, shape, elements=values, fill=values)


@st.composite
def people(draw: st.DrawFn) -> TrackedPoses:
    ids = draw(st.lists(st.integers(1, 10**6), unique=True, max_size=3).map(sorted))
    count = len(ids)
    corners = draw(column(COORDINATES, count, 2))
    sizes = draw(column(st.floats(0, 5000).map(lambda value: round(value, 2)), count, 2))
    keypoints, scores = draw(column(COORDINATES, count, 17, 2)), draw(column(SCORES, count, 17))
    # A missing keypoint has no smoothed position either.
    smoothed = np.where(
        is_missing(keypoints, scores)[..., None], 0.0, draw(column(COORDINATES, count, 17, 2))
    )
    return TrackedPoses(
        boxes=np.concatenate([corners, corners + sizes], axis=1),
        scores=draw(column(SCORES, count)),
        keypoints=keypoints,
        keypoint_scores=scores,
        ids=np.array(ids, np.int64),
        smoothed_keypoints=smoothed,
        origins=draw(arrays.arrays(np.int8, (count,), elements=ORIGIN)),
        keypoint_origins=draw(arrays.arrays(np.int8, (count, 17), elements=ORIGIN)),
        appearance=np.zeros((count, 0)),
    )


@st.composite
def some_tracks(draw: st.DrawFn) -> Tracks:
    steps = draw(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 10**7)), max_size=4))
    frames = []
    index, microseconds = draw(st.integers(0, 1000)), 0
    for frame_step, time_step in steps:
        info = FrameInfo(index, microseconds / 1e6, file_name=draw(NAMES))
        frames.append(TrackedFrame(info, draw(people())))
        index, microseconds = index + frame_step, microseconds + time_step
    video = {"file": draw(NAMES), "frame_rate": 25.0}
    return Tracks(Path("in.json"), {"video": video}, draw(st.sampled_from([POSETRACK, COCO])), frames)


def assert_same(one: Tracks, other: Tracks) -> None:
    assert [(f.info.index, round(f.info.seconds, 6), f.info.file_name) for f in one.frames] == [
        (f.info.index, f.info.seconds, f.info.file_name) for f in other.frames
    ]
    assert one.skeleton is other.skeleton
    for mine, theirs in zip(one.frames, other.frames, strict=True):
        for name in COLUMNS:
            expected, got = getattr(mine.people, name), getattr(theirs.people, name)
            assert expected.shape == got.shape
            # Boxes are stored as x y w h, so they are rounded twice.
            assert np.allclose(expected, got, rtol=0, atol=1e-5), name


@pytest.mark.parametrize(
    ("name", "ending"),
    [("tracks", ".json"), ("csv", ".csv"), ("parquet", ".parquet"), ("per-track", "")],
)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tracks=some_tracks())
def test_everything_comes_back(name: str, ending: str, tracks: Tracks) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    if name == "per-track" and not tracks.ids:
        return
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / f"one{ending}", Path(folder) / f"two{ending}"
        WRITERS[name](tracks, first)
        back = read_any(first)
        if name == "csv" and not tracks.frames:
            assert not back.frames
            return
        assert_same(tracks, back)
        if name in ("tracks", "parquet"):
            assert back.info["video"] == tracks.info["video"]
        if name == "tracks":
            assert find_faults(load_json(first)) == []
        WRITERS[name](back, second)
        if first.is_file():
            assert first.read_bytes() == second.read_bytes(), "writing what was read gives the same file"


@pytest.mark.parametrize("name", ["posetrack17", "posetrack21"])
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tracks=some_tracks())
def test_posetrack_formats_come_back(name: str, tracks: Tracks) -> None:
    if tracks.skeleton is not POSETRACK or not tracks.frames:
        return
    frames = [
        TrackedFrame(FrameInfo(k, frame.info.seconds, file_name=f"{k:06d}.jpg"), frame.people)
        for k, frame in enumerate(tracks.frames)
    ]
    tracks = Tracks(tracks.path, {}, POSETRACK, frames)
    with tempfile.TemporaryDirectory() as folder:
        WRITERS[name](tracks, Path(folder) / "000001.json")
        back = read_posetrack(Path(folder) / "000001.json")
    assert back.ids.tolist() == [number for frame in tracks.frames for number in frame.people.ids.tolist()]
    assert back.rows.frame.tolist() == [k for k, frame in enumerate(tracks.frames) for _ in frame.people.ids]
    columns = [POSETRACK.keypoints.index(name) for name in POSETRACK17_ORDER]
    expected = np.concatenate([frame.people.keypoints[:, columns] for frame in tracks.frames])
    scores = np.concatenate([frame.people.keypoint_scores[:, columns] for frame in tracks.frames])
    kept = scores > 0 if name == "posetrack21" else np.ones_like(scores, bool)
    assert np.allclose(back.keypoints[kept], expected[kept], atol=1e-5)
    assert np.allclose(back.scores[kept & back.present], scores[kept & back.present], atol=1e-5)
