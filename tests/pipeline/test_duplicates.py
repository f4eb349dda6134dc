"""NMS of poses and boxes by hand; recorded numbers are checked in tests/detectors/test_pose_goldens.py."""

from __future__ import annotations

import numpy as np
from golden.reference.suppression import soft_nms

from posetrack_app.core.similarity import iou_matrix, oks_matrix
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.pipeline.duplicates import nms, pose_scores

POSE = np.random.default_rng(0).uniform(0, 200, (17, 2))


def similarities(*shifts: float) -> np.ndarray:
    keypoints = np.stack([POSE + shift for shift in shifts])
    return oks_matrix(keypoints, np.full(len(shifts), 40_000.0), POSETRACK.sigma_array)


def test_of_two_equal_poses_the_better_one_is_kept() -> None:
    assert nms(similarities(0, 0, 500), np.array([0.5, 0.9, 0.3]), 0.9).tolist() == [1, 2]


def test_people_side_by_side_are_kept() -> None:
    assert nms(similarities(0, 60), np.array([0.5, 0.9]), 0.9).tolist() == [1, 0]


def test_soft_nms_only_reorders() -> None:
    assert soft_nms(similarities(0, 0, 500), np.array([0.8, 0.9, 0.5]), 0.9).tolist() == [1, 2, 0]


def test_no_people() -> None:
    oks = oks_matrix(np.zeros((0, 17, 2)), np.zeros(0), POSETRACK.sigma_array)
    assert oks.shape == (0, 0)
    assert nms(oks, np.zeros(0), 0.9).tolist() == []
    assert soft_nms(oks, np.zeros(0), 0.9).tolist() == []


def test_pose_scores_leave_out_invisible_keypoints() -> None:
    scores = pose_scores(np.array([0.5, 0.5]), np.array([[0.8, 0.6, 0.1], [0.1, 0.1, 0.2]]))
    assert np.allclose(scores, [0.35, 0.0])


def test_box_overlap() -> None:
    boxes = np.array([[0.0, 0, 9, 9], [0, 5, 9, 14], [20, 0, 29, 9]])
    assert np.allclose(iou_matrix(boxes)[0], [1, 36 / 126, 0])
    assert iou_matrix(np.zeros((0, 4))).shape == (0, 0)
