"""From settings to networks: every published pose file is used the way it was trained; precision and devices."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from posetrack_detectors.networks.registry import POSE_NETWORKS
from posetrack_detectors.training.weight_files import write_weights
from posetrack_detectors.weights.tensor_file import write_metadata
from torch import nn

from posetrack_app.core.config import Config, DetectorConfig, PoseConfig
from posetrack_app.core.errors import InputError
from posetrack_app.core.skeletons import POSETRACK_EYES
from posetrack_app.models import build, devices, networks
from posetrack_app.models.build import _build_estimator, build_person_detector, load_networks
from posetrack_app.models.devices import choose_device, choose_precision
from posetrack_app.models.parallel import AT_ONCE
from posetrack_app.models.weights import EMBEDDED, PublishedWeights, published

POSE = [weights for weights in published().values() if weights.task == "pose"]
SKELETON_SIZES = {"coco": 17, "mpii": 16, "posetrack18": 17}


def tiny_network(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, outputs, 1))


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are tiny and no weights are loaded."""
    monkeypatch.setattr(build, "fetch", lambda weights: Path(__file__))
    monkeypatch.setattr(networks, "load_weights", lambda network, path: None)
    monkeypatch.setattr(networks, "POSE_NETWORKS", dict.fromkeys(POSE_NETWORKS, tiny_network))


@pytest.mark.usefixtures("no_files")
@pytest.mark.parametrize("weights", POSE, ids=lambda weights: weights.name)
def test_every_published_pose_file_runs(weights: PublishedWeights) -> None:
    estimator, facts = _build_estimator(PoseConfig(weights=weights.name, flip_test=True), "cpu", "float32")
    keypoints, scores, _ = estimator([np.full((90, 70, 3), 99, np.uint8)], [np.array([5.0, 5.0, 60.0, 80.0])])
    assert (keypoints.shape, scores.shape) == ((1, 17, 2), (1, 17))
    assert np.isfinite(keypoints).all()
    estimate: Any = estimator
    assert estimate.estimate.size == weights.input
    assert estimate.estimate.decoding == weights.decoding
    assert estimate.estimate.keypoints == SKELETON_SIZES[str(weights.keypoints)]
    assert estimate.estimate.bgr == (weights.colour == "BGR")
    assert (facts["keypoints"], facts["input"]) == (weights.keypoints, list(weights.input or ()))
    assert ("head_bottom" in facts["derived"]) == (weights.keypoints != "posetrack18")


@pytest.mark.usefixtures("no_files")
def test_a_file_is_used_like_the_published_weights_it_was_trained_like(tmp_path: Path) -> None:
    own = tmp_path / "fine-tuned.pth"
    own.write_bytes(b"anything")
    settings = PoseConfig(weights=str(own), network="hrnet-w48-coco-384x288-udp")
    _, facts = _build_estimator(settings, "cpu", "float32")
    assert (facts["network"], facts["decoding"], facts["input"]) == ("hrnet-w48", "udp", [288, 384])
    _, facts = _build_estimator(replace(settings, input_width=192, input_height=256), "cpu", "float32")
    assert facts["input"] == [192, 256]
    with pytest.raises(InputError, match=r"the crop size of .*fine-tuned\.pth is unknown"):
        _build_estimator(PoseConfig(weights=str(own), network="hrnet-w48"), "cpu", "float32")


def test_frames_are_resized_to_the_short_side() -> None:
    for side, wanted in ((0, (320, 576)), (160, (160, 288))):
        built, _ = build_person_detector(DetectorConfig(short_side=side), "cpu", "float32")
        detector: Any = built
        assert (detector.size.short_side, detector.size.long_side) == wanted


@pytest.mark.usefixtures("no_files")
def test_the_authors_files_are_recognised_by_name(tmp_path: Path) -> None:
    own = tmp_path / "pose_resnet_50_256x192.pth"
    own.write_bytes(b"anything")
    _, facts = _build_estimator(PoseConfig(weights=str(own)), "cpu", "float32")
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
            r"\[pose\] network: hrnet-w99 is not supported; choose one of hrnet-compact",
        ),
        (
            PoseConfig(weights="/no/such.pth"),
            r"\[pose\] weights: /no/such.pth is neither a file nor the name of published weights",
        ),
    ],
)
def test_wrong_names(settings: PoseConfig, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _build_estimator(settings, "cpu", "float32")


def test_a_detector_that_is_not_built_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "fetch", lambda weights: pytest.fail("downloads"))
    with pytest.raises(InputError, match="htc-w18 is not supported"):
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
def test_auto_precision_is_the_faster_one(
    monkeypatch: pytest.MonkeyPatch, processor: dict[str, Any], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor, raising=False)
    assert choose_precision("auto", "cpu") == precision
    assert choose_precision("float32", "cpu") == "float32"


@pytest.mark.parametrize(
    ("processor", "works", "precision"),
    [
        ({"cpu_name": "Intel Xeon", "avx2": True, "avx512_vnni": True}, True, "int8"),
        ({"cpu_name": "Intel Core", "avx2": True, "avx_vnni": True}, True, "int8"),
        ({"cpu_name": "Intel Xeon", "avx2": True, "amx_bf16": True, "avx512_vnni": True}, True, "int8"),
        ({"cpu_name": "AMD EPYC", "avx2": True, "avx512_vnni": False}, True, "int8"),
        ({"cpu_name": "Intel Xeon", "avx2": True, "avx512_vnni": True}, False, "float32"),
        ({"cpu_name": "AMD EPYC", "avx2": True, "avx512_bf16": True}, False, "bfloat16"),
        ({"architecture": "arm64"}, True, "float32"),  # correct there, but slow
    ],
)
def test_auto_precision_of_weights_with_ranges(
    monkeypatch: pytest.MonkeyPatch, processor: dict[str, Any], works: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor, raising=False)
    monkeypatch.setattr(devices, "int8_works", lambda: works)
    assert choose_precision("auto", "cpu", {"conv1": (0.0, 1.0)}) == precision
    assert choose_precision("auto", "cpu") != "int8"
    assert choose_precision("float32", "cpu", {"conv1": (0.0, 1.0)}) == "float32"


@pytest.mark.parametrize(
    ("device", "ranges", "works", "message"),
    [
        ("cuda", {}, True, "runs on the CPU only; use 'auto' on cuda"),
        ("cpu", {}, False, "this processor or PyTorch version does not support int8"),
    ],
)
def test_int8_that_is_not_supported(
    monkeypatch: pytest.MonkeyPatch, device: str, ranges: dict[str, Any] | None, works: bool, message: str
) -> None:
    monkeypatch.setattr(devices, "int8_works", lambda: works)
    with pytest.raises(InputError, match=message):
        choose_precision("int8", device, ranges)


def test_int8_of_weights_without_ranges(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    write_weights(POSE_NETWORKS["hrnet-compact-deep"](19), path, {"network": "hrnet-compact-deep"})
    settings = PoseConfig(weights=str(path))
    with pytest.raises(InputError, match=r"mine.safetensors: precision = 'int8' needs activation ranges"):
        _build_estimator(settings, "cpu", "int8")
    _, facts = _build_estimator(settings, "cpu", "auto")
    assert facts["precision"] != "int8"


def test_invalid_ranges_matter_only_where_they_are_used(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    shutil.copy(EMBEDDED / "pose.safetensors", path)
    write_metadata(path, {"activation_ranges": '{"conv1": [0, NaN]}'})
    settings = PoseConfig(weights=str(path))
    with pytest.raises(InputError, match=r"mine.safetensors: invalid activation ranges"):
        _build_estimator(settings, "cpu", "auto")
    _, facts = _build_estimator(settings, "cpu", "float32")
    assert facts["precision"] == "float32"


def test_small_networks_process_several_frames_at_once() -> None:
    assert load_networks(Config(), "cpu").at_once == AT_ONCE > 1


def test_auto_precision_where_pytorch_does_not_know_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", "cpu") == "float32"


def test_auto_device_exists() -> None:
    assert choose_device(choose_device("auto")) == choose_device("auto")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "unknown device 'gpu'; choose auto, cpu, cuda, cuda:1"),
        ("cuda", "PyTorch finds no cuda device on this machine; choose cpu"),
    ],
)
def test_devices_that_do_not_exist(monkeypatch: pytest.MonkeyPatch, device: str, message: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=message) as caught:
        choose_device(device)
    assert caught.value.option == "device"


def test_the_flip_test_of_the_embedded_network_swaps_the_eyes() -> None:
    estimator, facts = _build_estimator(PoseConfig(flip_test=True), "cpu", "float32")
    estimate: Any = estimator
    assert estimate.estimate.mirrored == POSETRACK_EYES.mirrored
    assert POSETRACK_EYES.mirrored[17:] == (18, 17)
    assert (facts["keypoints"], facts["derived"]) == ("posetrack18-eyes", {})


@pytest.mark.usefixtures("no_files")
def test_weights_of_which_only_the_network_is_known(tmp_path: Path) -> None:
    own = tmp_path / "mine.pth"
    own.write_bytes(b"anything")
    settings = PoseConfig(weights=str(own), network="hrnet-w48", input_width=96, input_height=128)
    estimator, facts = _build_estimator(settings, "cpu", "float32")
    assert (facts["network"], facts["keypoints"], facts["decoding"]) == (
        "hrnet-w48",
        "posetrack18",
        "quarter",
    )
    assert facts["input"] == [96, 128]
    estimate: Any = estimator
    assert (estimate.estimate.keypoints, estimate.estimate.kernel) == (17, 11)
