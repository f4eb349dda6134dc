"""Settings to working parts: every published pose file is used the way it was trained."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from posetrack_detectors.pose_networks import POSE_NETWORKS
from posetrack_detectors.tensor_file import write_metadata
from posetrack_detectors.training.weight_files import write_weights
from torch import nn

from posetrack_app import assemble
from posetrack_app.assemble import _build_estimator, build_person_detector
from posetrack_app.config import Config, DetectorConfig, PoseConfig
from posetrack_app.cores import AT_ONCE
from posetrack_app.errors import InputError
from posetrack_app.weights import EMBEDDED, Published, published

POSE = [entry for entry in published().values() if entry.task == "pose"]
SKELETON_SIZES = {"coco": 17, "mpii": 16, "posetrack18": 17}


def tiny(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, outputs, 1))


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are tiny and any file will do."""
    monkeypatch.setattr(assemble, "fetch", lambda entry: Path(__file__))
    monkeypatch.setattr(assemble, "_load", lambda network, path: network)
    monkeypatch.setattr(assemble, "POSE_NETWORKS", dict.fromkeys(assemble.POSE_NETWORKS, tiny))


@pytest.mark.usefixtures("no_files")
@pytest.mark.parametrize("entry", POSE, ids=lambda entry: entry.name)
def test_every_published_pose_file_runs(entry: Published) -> None:
    estimator, facts = _build_estimator(PoseConfig(weights=entry.name, flip_test=True), "cpu", "float32")
    keypoints, scores = estimator([np.full((90, 70, 3), 99, np.uint8)], [np.array([5.0, 5.0, 60.0, 80.0])])
    assert (keypoints.shape, scores.shape) == ((1, 17, 2), (1, 17))
    assert np.isfinite(keypoints).all()
    estimate: Any = estimator
    assert estimate.estimate.size == entry.input
    assert estimate.estimate.decoding == entry.decoding
    assert estimate.estimate.keypoints == SKELETON_SIZES[str(entry.keypoints)]
    assert estimate.estimate.bgr == (entry.colour == "BGR")
    assert (facts["keypoints"], facts["input"]) == (entry.keypoints, list(entry.input or ()))
    assert ("head_bottom" in facts["derived"]) == (entry.keypoints != "posetrack18")


@pytest.mark.usefixtures("no_files")
def test_a_file_is_used_like_the_published_one_it_was_trained_like(tmp_path: Path) -> None:
    own = tmp_path / "fine-tuned.pth"
    own.write_bytes(b"anything")
    settings = PoseConfig(weights=str(own), network="hrnet-w48-coco-384x288-udp")
    _, facts = _build_estimator(settings, "cpu", "float32")
    assert (facts["network"], facts["decoding"], facts["input"]) == ("hrnet-w48", "udp", [288, 384])
    _, facts = _build_estimator(replace(settings, input_width=192, input_height=256), "cpu", "float32")
    assert facts["input"] == [192, 256]
    with pytest.raises(InputError, match="say the crop's size"):
        _build_estimator(PoseConfig(weights=str(own), network="hrnet-w48"), "cpu", "float32")


def test_frames_are_brought_to_the_side_that_is_asked_for() -> None:
    for side, wanted in ((0, (320, 576)), (160, (160, 288))):
        built, _ = build_person_detector(DetectorConfig(short_side=side), "cpu", "float32")
        detector: Any = built
        assert (detector.size.short_side, detector.size.long_side) == wanted


@pytest.mark.usefixtures("no_files")
def test_the_authors_files_are_known_by_name(tmp_path: Path) -> None:
    brought = tmp_path / "pose_resnet_50_256x192.pth"
    brought.write_bytes(b"anything")
    _, facts = _build_estimator(PoseConfig(weights=str(brought)), "cpu", "float32")
    assert (facts["network"], facts["keypoints"]) == ("resnet-50", "coco")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            PoseConfig(weights="faster-rcnn-w40-2x"),
            r"\[pose\] weights, network: faster-rcnn-w40-2x is for the detector",
        ),
        (
            PoseConfig(network="hrnet-w99"),
            r"\[pose\] network: posetrack does not build hrnet-w99; there are hrnet-compact",
        ),
        (PoseConfig(weights="/no/such.pth"), r"\[pose\] weights: there is no file /no/such.pth"),
    ],
)
def test_wrong_names(settings: PoseConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _build_estimator(settings, "cpu", "float32")


def test_a_detector_that_is_not_built_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "fetch", lambda entry: pytest.fail("downloads"))
    with pytest.raises(InputError, match="posetrack does not build htc-w18"):
        build_person_detector(DetectorConfig(weights="htc-w18-20e"), "cpu", "float32")


@pytest.mark.parametrize(
    ("processor", "precision"),
    [
        ({"cpu_name": "Intel Xeon", "amx_bf16": True, "avx512_bf16": True}, "bfloat16"),
        ({"cpu_name": "Intel Xeon", "amx_bf16": False, "avx512_bf16": True}, "float32"),  # half as fast there
        ({"cpu_name": "AMD EPYC", "amx_bf16": False, "avx512_bf16": True}, "bfloat16"),
        ({"cpu_name": "AMD EPYC", "amx_bf16": False, "avx512_bf16": False}, "float32"),
        ({"architecture": "arm64"}, "float32"),
    ],
)
def test_precision_by_itself_is_the_faster_one(
    monkeypatch: pytest.MonkeyPatch, processor: dict[str, Any], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor, raising=False)
    assert assemble.choose_precision("auto", "cpu") == precision
    assert assemble.choose_precision("float32", "cpu") == "float32"


@pytest.mark.parametrize(
    ("processor", "works", "precision"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_vnni": True}, True, "int8"),
        ({"cpu_name": "Intel Core", "avx_vnni": True}, True, "int8"),
        ({"cpu_name": "Intel Xeon", "amx_bf16": True, "avx512_vnni": True}, True, "int8"),
        ({"cpu_name": "Intel Xeon", "avx512_vnni": True}, False, "float32"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "avx512_vnni": True}, False, "bfloat16"),
        ({"cpu_name": "Intel Xeon", "avx512_vnni": False}, True, "float32"),
    ],
)
def test_precision_of_weights_with_ranges(
    monkeypatch: pytest.MonkeyPatch, processor: dict[str, Any], works: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor, raising=False)
    monkeypatch.setattr(assemble, "int8_works", lambda: works)
    assert assemble.choose_precision("auto", "cpu", {"conv1": (0.0, 1.0)}) == precision
    assert assemble.choose_precision("auto", "cpu") != "int8"
    assert assemble.choose_precision("float32", "cpu", {"conv1": (0.0, 1.0)}) == "float32"


@pytest.mark.parametrize(
    ("device", "ranges", "works", "message"),
    [
        ("cuda", {}, True, "is for --device cpu"),
        ("cpu", {}, False, "this processor or PyTorch cannot"),
    ],
)
def test_int8_that_cannot_be(
    monkeypatch: pytest.MonkeyPatch, device: str, ranges: dict[str, Any] | None, works: bool, message: str
) -> None:
    monkeypatch.setattr(assemble, "int8_works", lambda: works)
    with pytest.raises(InputError, match=message):
        assemble.choose_precision("int8", device, ranges)


def test_int8_of_weights_without_ranges(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    write_weights(POSE_NETWORKS["hrnet-compact-deep"](19), path, {"network": "hrnet-compact-deep"})
    settings = PoseConfig(weights=str(path))
    with pytest.raises(InputError, match=r"mine.safetensors: precision = 'int8' needs the activation ranges"):
        _build_estimator(settings, "cpu", "int8")
    _, facts = _build_estimator(settings, "cpu", "auto")
    assert facts["precision"] != "int8"


def test_ranges_that_are_none_matter_to_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    shutil.copy(EMBEDDED / "pose.safetensors", path)
    write_metadata(path, {"activation_ranges": '{"conv1": [0, NaN]}'})
    settings = PoseConfig(weights=str(path))
    with pytest.raises(InputError, match=r"mine.safetensors: its activation ranges are none"):
        _build_estimator(settings, "cpu", "auto")
    _, facts = _build_estimator(settings, "cpu", "float32")
    assert facts["precision"] == "float32"


def test_small_networks_are_asked_for_several_frames_at_once() -> None:
    assert assemble.build_parts(Config(), "cpu").at_once == AT_ONCE > 1


def test_precision_where_pytorch_does_not_know_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert assemble.choose_precision("auto", "cpu") == "float32"
