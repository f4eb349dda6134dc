"""Costs of the networks, the trunk's fusions, and conversions for inference."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import pytest
import torch
from golden.reference.classifier import HRNetClassifier
from golden.reference.fusion_ablation import AblatedTrunk, Exchange
from posetrack_detectors.networks.cascade_rcnn import CascadeRCNN
from posetrack_detectors.networks.cost import cost, detector_cost
from posetrack_detectors.networks.faster_rcnn import W18, FasterRCNN
from posetrack_detectors.networks.hrnet import (
    W32,
    ExchangeModule,
    HRNetTrunk,
    TrunkSize,
    fold_batch_norms,
    store_weights,
)
from posetrack_detectors.networks.mask_rcnn import MaskRCNN
from posetrack_detectors.networks.pose_hrnet import PoseHRNet
from posetrack_detectors.networks.pose_resnet import PoseResNet
from posetrack_detectors.networks.registry import POSE_NETWORKS
from posetrack_detectors.training.weight_files import start_from

TINY = TrunkSize(4, modules=(1, 2, 2), blocks=1, stem_channels=4, stem_planes=4, stem_blocks=1)


@pytest.mark.parametrize(
    ("network", "keypoints", "size", "millions", "gflops"),
    [
        ("hrnet-w32", 17, (192, 256), 28.5, 7.1),
        ("resnet-50", 17, (192, 256), 34.0, 9.0),  # the paper says 8.9; the counter gives 8.99
    ],
)
def test_costs_match_the_published_ones(
    network: str, keypoints: int, size: tuple[int, int], millions: float, gflops: float
) -> None:
    costs = cost(lambda: POSE_NETWORKS[network](keypoints), size)
    assert round(costs.parameters / 1e6, 1) == millions
    assert round(costs.published_macs / 2**30, 1) == gflops


def test_actual_macs_count_transposed_convolutions_at_input_positions() -> None:
    costs = cost(lambda: PoseResNet(50, 17), (192, 256))
    assert round(costs.macs / 1e9, 2) == 5.43


def test_detector_costs_match_the_recorded_ones() -> None:
    """For 800 x 1344 with 1000 proposals; Cascade R-CNN has two more box heads, Mask R-CNN a mask head."""
    faster, cascade, mask = (
        detector_cost(partial(kind, W18)) for kind in (FasterRCNN, CascadeRCNN, MaskRCNN)
    )
    assert (faster.parameters, faster.macs, faster.published_macs) == (27482676, 195201873376, 195201873376)
    box_head, class_agnostic = 12544 * 1024 + 1024 * 1024 + 1024 * 81, 4
    more = 1000 * (3 * (box_head + 1024 * class_agnostic) - (box_head + 1024 * 320))
    assert cascade.macs - faster.macs == more
    convolutions = 4 * 256 * 256 * 9 * 14 * 14 + 80 * 256 * 28 * 28
    assert mask.macs - faster.macs == 100 * (convolutions + 256 * 256 * 4 * 14 * 14)
    assert mask.published_macs - faster.macs == 100 * (convolutions + 256 * 256 * 4 * 28 * 28)


@pytest.mark.parametrize(("exchange", "fusions"), [("within", 8), ("across", 3), ("final", 1)])
def test_fusion_ablation(exchange: Exchange, fusions: int) -> None:
    """8, 3 or 1 exchanges as in table 6 of the paper; every variant returns four branches."""
    trunk = AblatedTrunk(dataclasses.replace(W32, width=4), exchange)
    assert sum(isinstance(module, ExchangeModule) for module in trunk.modules()) == fusions
    small = AblatedTrunk(TINY, exchange).eval()
    with torch.inference_mode():
        shapes = [tuple(branch.shape) for branch in small(torch.zeros(1, 3, 64, 32))]
    assert shapes == [(1, 4, 16, 8), (1, 8, 8, 4), (1, 16, 4, 2), (1, 32, 2, 1)]


def test_folding_batch_norms_keeps_the_heatmaps() -> None:
    torch.manual_seed(0)
    network = PoseHRNet(TINY, 3)
    with torch.inference_mode():
        network.train()(torch.randn(4, 3, 64, 32))  # running statistics other than 0 and 1
        crops = torch.randn(2, 3, 64, 32)
        before = network.eval()(crops)
        after = fold_batch_norms(network)(crops)
    assert torch.allclose(before, after, atol=1e-5 * float(before.std()))


def test_a_trunk_started_from_a_classifier_gives_the_same_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classifier = HRNetClassifier(TINY, classes=5).eval()
    torch.save(classifier.state_dict(), tmp_path / "classifier.pth")
    pose = HRNetTrunk(TINY).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = HRNetTrunk.forward(classifier, images)
        copied, total = start_from(pose, tmp_path / "classifier.pth")
        got = pose(images)
    assert copied == total
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_weights_stored_in_half_precision_give_bit_identical_results() -> None:
    torch.manual_seed(0)
    network = PoseHRNet(TINY, 3).eval()
    crops = torch.randn(2, 3, 64, 32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = network(crops)
        stored = store_weights(network, torch.bfloat16)
        assert stored.state_dict()["final_layer.weight"].dtype == torch.bfloat16
        assert torch.equal(stored(crops), expected)
