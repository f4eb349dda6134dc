"""Calibration of keypoint scores: it is monotonic, fits, is stored with the weights, and is applied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from posetrack_detectors.pose_estimator import PoseEstimator
from posetrack_detectors.weights.calibration import (
    Calibration,
    expected_calibration_error,
    fit_calibration,
    read_calibration,
    write_calibration,
)
from posetrack_detectors.weights.checkpoints import CheckpointError
from safetensors.torch import load_file, save_file

MIRRORED = (0, 2, 1)


def overconfident(people: int) -> tuple[np.ndarray, np.ndarray]:
    """Heights (N, 3), and whether correct: with a probability of the height squared."""
    rng = np.random.default_rng(5)
    heights = rng.random((people, 3))
    return heights, rng.random((people, 3)) < heights**2


def test_calibrated_scores_have_a_smaller_error_than_heights() -> None:
    heights, correct = overconfident(2000)
    weights = np.ones_like(heights)
    fitted = fit_calibration(heights[::2], correct[::2], weights[::2], MIRRORED)
    after = expected_calibration_error(fitted(heights[1::2]), correct[1::2], weights[1::2])
    assert expected_calibration_error(heights[1::2], correct[1::2], weights[1::2]) > 0.15
    assert after < 0.04
    np.testing.assert_allclose(fitted(np.full((1, 3), 0.5)), 0.25, atol=0.08)


def test_the_calibration_is_monotonic_even_if_the_labels_are_not() -> None:
    heights, correct = overconfident(2000)
    fitted = fit_calibration(heights, ~correct, np.ones_like(heights), MIRRORED)
    for knots in fitted.knots:
        x, y = zip(*knots, strict=True)
        assert list(x) == sorted(set(x))
        assert list(y) == sorted(y)


def test_left_and_right_share_a_line_and_an_unlabelled_keypoint_gets_the_line_of_all() -> None:
    heights, correct = overconfident(2000)
    weights = np.ones_like(heights)
    weights[:, 0] = 0
    fitted = fit_calibration(heights, correct, weights, MIRRORED)
    assert fitted.knots[1] == fitted.knots[2]
    overall = fit_calibration(heights[:, 1:], correct[:, 1:], weights[:, 1:], (1, 0))
    assert fitted.knots[0] == overall.knots[0]


def test_storing_the_calibration_keeps_the_tensors(tmp_path: Path) -> None:
    file = tmp_path / "pose.safetensors"
    save_file({"a": torch.arange(3.0).half()}, file, metadata={"network": "hrnet-compact"})
    assert read_calibration(file, 1) is None
    calibration = Calibration((((0.0, 0.0), (0.4, 0.5), (0.9, 1.0)),))
    write_calibration(file, calibration)
    assert read_calibration(file, 1) == calibration
    assert torch.equal(load_file(file)["a"], torch.arange(3.0).half())
    write_calibration(file, Calibration((((0.0, 0.0),),)))
    assert read_calibration(file, 1) == Calibration((((0.0, 0.0),),))


def test_other_weight_files_have_no_calibration(tmp_path: Path) -> None:
    assert read_calibration(tmp_path / "weights.pth", 17) is None


@pytest.mark.parametrize("people", [0, 2])
def test_the_estimator_applies_the_calibration(people: int) -> None:
    heatmaps = torch.full((1, 3, 16, 16), 0.1)
    heatmaps[:, :, 5, 6] = 0.4

    class Heatmaps(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return heatmaps.expand(len(x), -1, -1, -1)

    line = ((0.0, 0.0), (0.4, 0.9), (0.9, 1.0))
    estimate = PoseEstimator(Heatmaps(), size=(64, 64), keypoints=3, calibration=Calibration((line,) * 3))
    images = [np.zeros((80, 80, 3), np.uint8)] * people
    _, scores, _ = estimate(images, [np.array([10.0, 10, 40, 60])] * people)
    np.testing.assert_allclose(scores, np.full((people, 3), 0.9, np.float32), rtol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "3",
        "[[[0, 0]]]",
        "[[], []]",
        '[[[0, 0]], [["a", 1]]]',
        "[[[0, 0, 0]], [[0, 0, 0]]]",
        "[[[1, 0], [0, 1]], []]",
    ],
)
def test_an_invalid_calibration_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pose.safetensors"
    save_file({"a": torch.zeros(1)}, file, metadata={"keypoint_calibration": text})
    with pytest.raises(CheckpointError, match=r"invalid keypoint calibration .*expected 2 keypoints"):
        read_calibration(file, 2)
