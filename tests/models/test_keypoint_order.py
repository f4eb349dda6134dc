"""COCO and MPII poses as PoseTrack18 poses."""

from __future__ import annotations

import numpy as np
import pytest

from posetrack_app.core.skeletons import COCO, POSETRACK, POSETRACK_EYES, Skeleton
from posetrack_app.models.keypoint_order import MPII, to_posetrack


def random_poses(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Different keypoints (2, K, 2) and scores (2, K) of two people."""
    generator = np.random.default_rng(0)
    count = len(skeleton.keypoints)
    return generator.uniform(0, 100, (2, count, 2)), generator.uniform(0.1, 1, (2, count))


def check_copied(skeleton: Skeleton, derived: set[str], renamed: dict[str, str]) -> None:
    keypoints, scores = random_poses(skeleton)
    got, got_scores = to_posetrack(skeleton.name, keypoints, scores)
    assert got.shape == (2, 17, 2)
    for i, name in enumerate(POSETRACK.keypoints):
        if name not in derived:
            source = skeleton.keypoints.index(renamed.get(name, name))
            assert np.array_equal(got[:, i], keypoints[:, source]), name
            assert np.array_equal(got_scores[:, i], scores[:, source]), name


def test_coco() -> None:
    check_copied(COCO, {"head_bottom", "head_top"}, {})


def test_mpii() -> None:
    check_copied(MPII, {"nose", "left_ear", "right_ear"}, {"head_bottom": "upper_neck"})


def test_an_upright_coco_head() -> None:
    keypoints, scores = np.zeros((1, 17, 2)), np.ones((1, 17))
    keypoints[0, 0] = 50, 0  # nose
    keypoints[0, 5], keypoints[0, 6] = (80, 100), (20, 100)  # shoulders
    scores[0, 6] = 0.3
    got, got_scores = to_posetrack("coco", keypoints, scores)
    assert np.allclose(got[0, 1], (50, 72))
    assert np.allclose(got[0, 2], (50, -47))
    assert got_scores[0, 1] == got_scores[0, 2] == 0.3


def test_ears_of_mpii_have_score_0() -> None:
    _, scores = to_posetrack("mpii", *random_poses(MPII))
    assert (scores[:, 3:5] == 0).all()


def test_the_eyes_are_left_out() -> None:
    keypoints, scores = random_poses(POSETRACK_EYES)
    converted, converted_scores = to_posetrack("posetrack18-eyes", keypoints, scores)
    assert np.array_equal(converted, keypoints[:, :17])
    assert np.array_equal(converted_scores, scores[:, :17])


@pytest.mark.parametrize("skeleton", [COCO, MPII, POSETRACK, POSETRACK_EYES], ids=lambda one: one.name)
def test_no_people(skeleton: Skeleton) -> None:
    count = len(skeleton.keypoints)
    keypoints, scores = to_posetrack(skeleton.name, np.zeros((0, count, 2)), np.zeros((0, count)))
    assert keypoints.shape == (0, 17, 2)
    assert scores.shape == (0, 17)
