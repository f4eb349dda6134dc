"""torchvision's operators without its package: the same results, and a run that does not import it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from posetrack_detectors.networks.vision_ops import nms, roi_align


def test_results_are_those_of_torchvision() -> None:
    ops = pytest.importorskip("torchvision.ops")
    torch.manual_seed(1)
    corners = torch.rand(200, 2) * 60
    boxes = torch.cat([corners, corners + torch.rand(200, 2) * 40 + 1], dim=1)
    scores = torch.rand(200)
    assert torch.equal(nms(boxes, scores, 0.5), ops.nms(boxes, scores, 0.5))
    features = torch.randn(2, 4, 20, 30)
    rois = torch.cat([torch.randint(0, 2, (200, 1)).float(), boxes], dim=1)
    expected = ops.roi_align(features, rois, 7, 0.25, sampling_ratio=0, aligned=True)
    assert torch.equal(roi_align(features, rois, 7, 0.25), expected)


def test_a_run_does_not_import_torchvision() -> None:
    """It would take 2 s before the first frame."""
    code = "import sys, posetrack_app.jobs.track; print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_training_has_gradients() -> None:
    """In a process of its own, because another test may have imported torchvision."""
    code = """
import torch
from posetrack_detectors.networks.vision_ops import roi_align
from posetrack_detectors.training import detection_losses
features = torch.ones(1, 1, 8, 8, requires_grad=True)
roi_align(features, torch.tensor([[0.0, 0.0, 0.0, 8.0, 8.0]]), 7, 1.0).sum().backward()
print(float(features.grad.sum()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 0
