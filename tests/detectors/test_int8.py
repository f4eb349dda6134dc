"""Networks in int8 beside the same in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from posetrack_detectors.int8 import Int8Conv, int8_works, quantise, to_uint8
from posetrack_detectors.networks import faster_rcnn, hrnet
from posetrack_detectors.networks.faster_rcnn import FasterRCNN
from posetrack_detectors.networks.hrnet import TrunkSize, fold_batch_norms
from posetrack_detectors.networks.pose_hrnet import PoseHRNet
from posetrack_detectors.training.weight_files import write_weights
from posetrack_detectors.weights.activation_ranges import Ranges, measure_ranges, read_ranges, write_ranges
from posetrack_detectors.weights.checkpoints import CheckpointError
from posetrack_detectors.weights.tensor_file import write_metadata
from torch import Tensor, nn

from posetrack_app.models.weights import EMBEDDED

needs_int8 = pytest.mark.skipif(not int8_works(), reason="this processor or PyTorch does not compute int8 so")
# Several modules a stage and bottlenecks in a row: what the compact trunk has not.
LONGER = TrunkSize(32, modules=(1, 2, 1), blocks=2, stem_channels=32, stem_planes=32, stem_blocks=2)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def lively(network: nn.Module) -> nn.Module:
    """`network` with random weights and norms that let signals of the usual size through, its norms folded."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return fold_batch_norms(network.eval()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def beside(network: nn.Module, run: Callable[[nn.Module], list[Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """What `run` gives of `network` and of it in int8."""
    with torch.inference_mode():
        exact = run(network)
        ranges = measure_ranges(network, lambda: run(network))
        return list(zip(exact, run(quantise(copy.deepcopy(network), ranges)), strict=True))


@needs_int8
@pytest.mark.parametrize("size", [hrnet.COMPACT, hrnet.COMPACT_DEEP, LONGER])
def test_a_pose_net_gives_nearly_the_same(size: TrunkSize) -> None:
    crops = channels_last(torch.randn(3, 3, 96, 64))
    ((exact, found),) = beside(lively(PoseHRNet(size, 5)), lambda net: [net(crops)])
    assert found.dtype == torch.float32
    assert float((found - exact).norm() / (exact - exact.mean()).norm()) < 0.15


@needs_int8
def test_a_detector_gives_nearly_the_same() -> None:
    pictures = channels_last(torch.randn(1, 3, 96, 128))

    def run(net: nn.Module) -> list[Tensor]:
        assert isinstance(net, FasterRCNN)
        return net.pyramid(pictures) + [logits for logits, _ in map(net.rpn_head, net.pyramid(pictures))]

    network = lively(FasterRCNN(faster_rcnn.COMPACT_DEEP))
    for exact, found in beside(network, run):
        assert float((found - exact).norm() / (exact - exact.mean()).norm()) < 0.15


@needs_int8
def test_people_do_not_depend_on_who_else_is_in_the_batch() -> None:
    network, crops = lively(PoseHRNet(hrnet.COMPACT, 5)), channels_last(torch.randn(4, 3, 64, 64))
    with torch.inference_mode():
        integers = quantise(network, measure_ranges(network, lambda: network(crops)))
        together = integers(crops)
        assert torch.equal(together, integers(crops))
        for alone, row in zip(crops, together, strict=True):
            assert torch.equal(integers(channels_last(alone[None]))[0], row)


@needs_int8
@pytest.mark.parametrize("onto", [False, True])
@pytest.mark.parametrize("into", [None, 0.05])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_of_two_inputs_at_once(onto: bool, into: float | None, stride: int) -> None:
    torch.manual_seed(1)
    convs = [nn.Conv2d(channels, 32, 3, stride, padding=1) for channels in (32, 64)]
    inputs = [torch.randint(0, 256, (2, conv.in_channels, 8, 8), dtype=torch.uint8) for conv in convs]
    steps = [0.01, 0.03]
    side = 8 // stride
    kind = torch.float32 if into is None else torch.uint8
    added = channels_last(torch.randint(0, 256, (2, 32, side, side)).to(kind)) if onto else None
    with torch.inference_mode():
        exact = sum(conv(x * step) for conv, x, step in zip(convs, inputs, steps, strict=True))
        assert isinstance(exact, Tensor)
        if added is not None:
            exact = exact + added * (1.0 if into is None else 0.02)
        conv = Int8Conv(convs, steps, into=into, onto_step=0.02)
        found = conv(channels_last(torch.cat(inputs, dim=1)), added)
    assert found.dtype == kind
    if into is not None:
        exact, found = exact.clamp(0, 255 * into), found * into
    # Weights are off by half a step of 1/127 of the greatest, in 9 * 96 products; and half a step of what comes out.
    assert float((found - exact).abs().max()) < 0.06 + (into or 0.0) / 2


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (-1.0, 3.0)])
def test_floats_to_the_nearest_of_256_steps(low: float, high: float) -> None:
    step = (high - low) / 255
    zero = round(-low / step)
    x = torch.linspace(low - 1, high + 1, 999)
    wanted = (x / step).round().add(zero).clamp(0, 255)
    got = to_uint8(x, step, zero)
    assert got.dtype == torch.uint8
    assert float((got.float() - wanted).abs().max()) <= 1
    assert float((got.float() != wanted).float().mean()) < 0.01  # ties only


def test_ranges_are_of_what_came_in() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1))
    with torch.no_grad():
        network[0].weight.fill_(2.0)
        network[0].bias.fill_(1.0)  # type: ignore[union-attr]
    seen = [torch.tensor([[[[-3.0, 1.0]]]]), torch.tensor([[[[0.5, 4.0]]]])]
    ranges = measure_ranges(network, lambda: [network(x) for x in seen])
    assert ranges == {"0": (-3.0, 4.0), "2": (0.0, 9.0)}
    network(torch.full((1, 1, 1, 1), 100.0))
    assert ranges["0"] == (-3.0, 4.0)  # no longer watched


@pytest.fixture
def weight_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    write_weights(nn.Conv2d(1, 1, 1), path, {"network": "some"})
    return path


def test_ranges_in_the_weight_file(weight_file: Path) -> None:
    assert read_ranges(weight_file) is None
    write_ranges(weight_file, {"conv1": (-2.11789, 2.64), "conv2": (0.0, 14.50973)})
    assert read_ranges(weight_file) == {"conv1": (-2.118, 2.64), "conv2": (0.0, 14.51)}


@pytest.mark.parametrize(
    "text",
    [
        '{"conv1": [0, 1' + "0" * 400 + "]}",
        '{"conv1": ["0", "1"]}',
        "x",
        "[]",
        '{"conv1": 3}',
        '{"conv1": [1]}',
        '{"conv1": [0.5, 1]}',
        '{"conv1": [0, NaN]}',
        '{"a": ["x", 1]}',
    ],
)
def test_ranges_that_are_none(weight_file: Path, text: str) -> None:
    write_metadata(weight_file, {"activation_ranges": text})
    with pytest.raises(CheckpointError, match="invalid activation ranges"):
        read_ranges(weight_file)


@needs_int8
def test_ranges_of_another_network() -> None:
    ranges: Ranges = {"conv1": (0.0, 1.0)}
    with pytest.raises(CheckpointError, match=r"another network's: layer1.0.conv1 has none"):
        quantise(lively(PoseHRNet(hrnet.COMPACT, 5)), ranges)


@needs_int8
@pytest.mark.parametrize("name", ["pose", "detector"])
def test_the_embedded_weights_are_ready(name: str) -> None:
    ranges = read_ranges(EMBEDDED / f"{name}.safetensors")
    assert ranges
    assert all(high > 0 for _, high in ranges.values())
    networks = {"pose": PoseHRNet(hrnet.COMPACT_DEEP, 19), "detector": FasterRCNN(faster_rcnn.COMPACT_DEEP)}
    quantise(fold_batch_norms(networks[name].eval()), ranges)


def test_pytorch_does_it_where_the_processor_can() -> None:
    """Else a release of PyTorch with other operators would make everybody's runs slow, and nobody would be told."""
    able = getattr(torch.cpu, "get_capabilities", dict)()
    if not able.get("avx512_vnni"):
        pytest.skip("PyTorch knows of no VNNI here")
    assert int8_works()
