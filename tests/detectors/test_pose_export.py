"""ONNX files give what PyTorch gives, for any number of people."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from posetrack_detectors import onnx_export
from posetrack_detectors.hrnet import TrunkSize
from posetrack_detectors.onnx_export import export_pose_network
from posetrack_detectors.pose_hrnet import PoseHRNet

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
TINY = TrunkSize(4, modules=(1, 1, 1), blocks=1, stem_channels=4, stem_planes=4, stem_blocks=1)


def network() -> PoseHRNet:
    torch.manual_seed(0)
    return PoseHRNet(TINY, 17)


def test_the_exported_network_is_the_same(tmp_path: Path) -> None:
    assert export_pose_network(network(), (64, 96), tmp_path / "net.onnx") < 1e-5
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


def test_a_network_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(ArithmeticError, match="differs from PyTorch"):
        export_pose_network(network(), (64, 96), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
