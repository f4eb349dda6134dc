"""ONNX files give the same results as PyTorch, for any number of people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from posetrack_detectors import onnx_export
from posetrack_detectors.networks.cascade_rcnn import CascadeRCNN
from posetrack_detectors.networks.faster_rcnn import DetectorSize, FasterRCNN
from posetrack_detectors.networks.hrnet import TrunkSize
from posetrack_detectors.networks.mask_rcnn import MaskRCNN
from posetrack_detectors.networks.pose_hrnet import PoseHRNet
from posetrack_detectors.onnx_export import detector_input, export_detector, export_pose_network
from posetrack_detectors.person_detector import prepare

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
TINY = TrunkSize(4, modules=(1, 1, 1), blocks=1, stem_channels=4, stem_planes=4, stem_blocks=1)


def network() -> PoseHRNet:
    torch.manual_seed(0)
    return PoseHRNet(TINY, 17)


def test_the_exported_network_agrees_with_pytorch(tmp_path: Path) -> None:
    assert export_pose_network(network(), (64, 96), tmp_path / "network.onnx") < 1e-5
    assert [p.name for p in tmp_path.iterdir()] == ["network.onnx"]


def test_a_network_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(ArithmeticError, match="differs from PyTorch"):
        export_pose_network(network(), (64, 96), tmp_path / "network.onnx")
    assert list(tmp_path.iterdir()) == []


SMALL = DetectorSize(
    TINY,
    channels=8,
    box_channels=8,
    classes=3,
    proposals_per_level=50,
    proposals=40,
    detections=10,
    short_side=64,
    long_side=96,
)


@pytest.mark.parametrize("kind", [FasterRCNN, CascadeRCNN, MaskRCNN])
def test_the_exported_detector_agrees_with_pytorch(tmp_path: Path, kind: type[FasterRCNN]) -> None:
    import onnxruntime

    torch.manual_seed(0)
    detector = kind(SMALL).eval()
    assert detector_input(detector, (300, 200)) == (96, 64)
    share, count = export_detector(detector, (300, 200), tmp_path / "network.onnx")
    assert share == 1
    assert count > 0
    assert [p.name for p in tmp_path.iterdir()] == ["network.onnx"]
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    blank = np.zeros((1, 3, 64, 96), np.float32)
    boxes, scores = session.run(None, {"image": blank, "size": np.array([96, 64], np.float32)})
    assert (boxes.shape[1:], scores.ndim) == ((4,), 1)


def test_a_detector_without_detections_in_the_synthetic_images_is_exported_correctly(tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    detector = FasterRCNN(replace(SMALL, score_threshold=0.285)).eval()  # the best score there is 0.282
    export_detector(detector, (300, 200), tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    found = 0
    for contrast in (1.0, 30.0, 300.0):  # images unlike those of the tracing
        image = contrast * torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
        _, scores = session.run(None, {"image": image.numpy(), "size": np.array([96, 64], np.float32)})
        with torch.inference_mode():
            expected = detector(image, torch.tensor([[96.0, 64.0]]), torch.ones(1, 2))[0]
        people = expected.labels == 0
        np.testing.assert_allclose(scores, expected.scores[people], atol=1e-4)
        found += len(scores)
    assert found > 0


def test_a_detector_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "BOX_TOLERANCE", -1.0)
    with pytest.raises(ArithmeticError, match="only 0 of"):
        export_detector(FasterRCNN(SMALL), (300, 200), tmp_path / "network.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
def test_the_embedded_detector_finds_the_same_people_in_photographs(tmp_path: Path, shared: Path) -> None:
    import onnxruntime

    from posetrack_app.models.networks import load_detector
    from posetrack_app.models.weights import EMBEDDED, embedded

    detector = load_detector(embedded()["embedded-detector"].network, EMBEDDED / "detector.safetensors")
    export_detector(detector, (640, 384), tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    width, height = detector_input(detector, (640, 384))
    people = 0
    for path in sorted((shared / "data/images").glob("*.jpg")):
        bgr = cv2.imread(str(path))
        assert bgr is not None
        image = np.ascontiguousarray(bgr[:, :, ::-1])
        batch, sizes, scales = prepare([image], detector.size, torch.device("cpu"))
        padded = np.zeros((1, 3, height, width), np.float32)
        padded[:, :, : batch.shape[2], : batch.shape[3]] = batch
        boxes, scores = session.run(None, {"image": padded, "size": sizes[0].numpy()})
        with torch.inference_mode():
            expected = detector(torch.from_numpy(padded), sizes, torch.ones_like(scales))[0]
        assert len(boxes) == len(expected.boxes)
        assert np.abs(boxes - expected.boxes.numpy()).max() < 1e-3
        assert np.abs(scores - expected.scores.numpy()).max() < 1e-5
        people += len(boxes)
    assert people > 30
