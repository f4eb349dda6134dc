"""COCO and MPII poses as PoseTrack poses."""

from __future__ import annotations

import numpy as np

from posetrack_app.skeleton import COCO, POSETRACK, Skeleton
from posetrack_app.skeleton_mapping import MPII, to_posetrack


def numbered(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Every keypoint somewhere of its own, for two people."""
    generator = np.random.default_rng(0)
    people = len(skeleton.keypoints)
    return generator.uniform(0, 100, (2, people, 2)), generator.uniform(0.1, 1, (2, people))


def check_taken_over(skeleton: Skeleton, derived: set[str], renamed: dict[str, str]) -> None:
    keypoints, scores = numbered(skeleton)
    got, got_scores = to_posetrack(skeleton.name, keypoints, scores)
    assert got.shape == (2, 17, 2)
    for i, name in enumerate(POSETRACK.keypoints):
        if name not in derived:
            source = skeleton.keypoints.index(renamed.get(name, name))
            assert np.array_equal(got[:, i], keypoints[:, source]), name
            assert np.array_equal(got_scores[:, i], scores[:, source]), name


def test_coco() -> None:
    check_taken_over(COCO, {"head_bottom", "head_top"}, {})


def test_mpii() -> None:
    check_taken_over(MPII, {"nose", "left_ear", "right_ear"}, {"head_bottom": "upper_neck"})


def test_an_upright_coco_head() -> None:
    keypoints, scores = np.zeros((1, 17, 2)), np.ones((1, 17))
    keypoints[0, 0] = 50, 0  # nose
    keypoints[0, 5], keypoints[0, 6] = (80, 100), (20, 100)  # shoulders
    scores[0, 6] = 0.3
    got, got_scores = to_posetrack("coco", keypoints, scores)
    assert np.allclose(got[0, 1], (50, 72))
    assert np.allclose(got[0, 2], (50, -47))
    assert got_scores[0, 1] == got_scores[0, 2] == 0.3


def test_ears_of_mpii_are_not_claimed() -> None:
    _, scores = to_posetrack("mpii", *numbered(MPII))
    assert (scores[:, 3:5] == 0).all()


def test_nobody_and_posetrack_itself() -> None:
    for name, count in (("coco", 17), ("mpii", 16), ("posetrack18", 17)):
        keypoints, scores = to_posetrack(name, np.zeros((0, count, 2)), np.zeros((0, count)))
        assert keypoints.shape == (0, 17, 2)
        assert scores.shape == (0, 17)
