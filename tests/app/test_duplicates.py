"""Suppression by OKS and IoU; recorded figures are in tests/detectors/test_pose_goldens.py."""

from __future__ import annotations

import numpy as np

from posetrack_app.duplicates import iou_matrix, nms, oks_matrix, pose_scores, soft_nms
from posetrack_app.skeleton import POSETRACK

POSE = np.random.default_rng(0).uniform(0, 200, (17, 2))


def similarities(*moves: float) -> np.ndarray:
    keypoints = np.stack([POSE + move for move in moves])
    return oks_matrix(keypoints, np.full(len(moves), 40_000.0), POSETRACK.sigma_array)


def test_the_better_of_two_equal_poses_stays() -> None:
    assert nms(similarities(0, 0, 500), np.array([0.5, 0.9, 0.3]), 0.9).tolist() == [1, 2]


def test_people_side_by_side_stay() -> None:
    assert nms(similarities(0, 60), np.array([0.5, 0.9]), 0.9).tolist() == [1, 0]


def test_soft_suppression_only_reorders() -> None:
    assert soft_nms(similarities(0, 0, 500), np.array([0.8, 0.9, 0.5]), 0.9).tolist() == [1, 2, 0]


def test_nobody() -> None:
    nobody = oks_matrix(np.zeros((0, 17, 2)), np.zeros(0), POSETRACK.sigma_array)
    assert nobody.shape == (0, 0)
    assert nms(nobody, np.zeros(0), 0.9).tolist() == []
    assert soft_nms(nobody, np.zeros(0), 0.9).tolist() == []


def test_pose_scores_leave_out_unseen_keypoints() -> None:
    scores = pose_scores(np.array([0.5, 0.5]), np.array([[0.8, 0.6, 0.1], [0.1, 0.1, 0.2]]))
    assert np.allclose(scores, [0.35, 0.0])


def test_box_overlap_in_both_conventions() -> None:
    boxes = np.array([[0.0, 0, 9, 9], [0, 5, 9, 14], [20, 0, 29, 9]])
    assert np.allclose(iou_matrix(boxes)[0], [1, 36 / 126, 0])
    assert np.allclose(iou_matrix(boxes, whole_pixels=True)[0], [1, 50 / 150, 0])
    assert iou_matrix(np.zeros((0, 4))).shape == (0, 0)
