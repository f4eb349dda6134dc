"""int8 networks agree with the float32 networks that they are made from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from posetrack_detectors.int8 import (
    MIN_CHANNELS,
    Int8Conv,
    int8_saturates,
    int8_works,
    quantise,
    to_uint8,
    weight_scales,
)
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

needs_int8 = pytest.mark.skipif(not int8_works(), reason="this CPU or PyTorch does not support int8")
# The compact trunks have one module per stage and one bottleneck.
SEVERAL_MODULES = TrunkSize(32, modules=(1, 2, 1), blocks=2, stem_channels=32, stem_planes=32, stem_blocks=2)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def random_network(network: nn.Module) -> nn.Module:
    """`network` with random weights that keep activations at a realistic size, and with folded BatchNorms."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return fold_batch_norms(network.eval()).to(memory_format=torch.channels_last)


def float32_and_int8(
    network: nn.Module, run: Callable[[nn.Module], list[Tensor]]
) -> list[tuple[Tensor, Tensor]]:
    """The outputs of `run` in float32 and int8, as pairs."""
    with torch.inference_mode():
        expected = run(network)
        ranges = measure_ranges(network, lambda: run(network))
        return list(zip(expected, run(quantise(copy.deepcopy(network), ranges)), strict=True))


@needs_int8
@pytest.mark.parametrize("size", [hrnet.COMPACT, hrnet.COMPACT_DEEP, SEVERAL_MODULES])
def test_pose_network_agrees_with_float32(size: TrunkSize) -> None:
    crops = channels_last(torch.randn(3, 3, 96, 64))
    ((expected, found),) = float32_and_int8(
        random_network(PoseHRNet(size, 5)), lambda network: [network(crops)]
    )
    assert found.dtype == torch.float32
    assert float((found - expected).norm() / (expected - expected.mean()).norm()) < 0.15


@needs_int8
def test_detector_agrees_with_float32() -> None:
    images = channels_last(torch.randn(1, 3, 96, 128))

    def run(network: nn.Module) -> list[Tensor]:
        assert isinstance(network, FasterRCNN)
        features = network.pyramid(images)
        return features + [logits for logits, _ in map(network.rpn_head, features)]

    for expected, found in float32_and_int8(random_network(FasterRCNN(faster_rcnn.COMPACT_DEEP)), run):
        assert float((found - expected).norm() / (expected - expected.mean()).norm()) < 0.15


@needs_int8
def test_results_do_not_depend_on_the_batch() -> None:
    # With fewer keypoints the last convolution stays in float, where rounding may depend on the batch size.
    network = random_network(PoseHRNet(hrnet.COMPACT, MIN_CHANNELS))
    crops = channels_last(torch.randn(4, 3, 64, 64))
    with torch.inference_mode():
        quantised = quantise(network, measure_ranges(network, lambda: network(crops)))
        together = quantised(crops)
        assert torch.equal(together, quantised(crops))
        for crop, output in zip(crops, together, strict=True):
            assert torch.equal(quantised(channels_last(crop[None]))[0], output)


@needs_int8
@pytest.mark.parametrize("has_addend", [False, True])
@pytest.mark.parametrize("output_scale", [None, 0.05])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_of_two_inputs(has_addend: bool, output_scale: float | None, stride: int) -> None:
    torch.manual_seed(1)
    convs = [nn.Conv2d(channels, 32, 3, stride, padding=1) for channels in (32, 64)]
    inputs = [torch.randint(0, 256, (2, conv.in_channels, 8, 8), dtype=torch.uint8) for conv in convs]
    scales = [0.01, 0.03]
    side = 8 // stride
    dtype = torch.float32 if output_scale is None else torch.uint8
    addend = channels_last(torch.randint(0, 256, (2, 32, side, side)).to(dtype)) if has_addend else None
    with torch.inference_mode():
        expected = sum(conv(x * scale) for conv, x, scale in zip(convs, inputs, scales, strict=True))
        assert isinstance(expected, Tensor)
        if addend is not None:
            expected = expected + addend * (1.0 if output_scale is None else 0.02)
        conv = Int8Conv(convs, scales, output_scale=output_scale, addend_scale=0.02)
        found = conv(channels_last(torch.cat(inputs, dim=1)), addend)
    assert found.dtype == dtype
    if output_scale is not None:
        expected, found = expected.clamp(0, 255 * output_scale), found * output_scale
    # Rounding errors: half a scale in each weight of 9 * 96 products (a scale is 1/127 to 2/127 of the largest weight),
    # and half a scale in the output.
    tolerance = (0.08 if int8_saturates() else 0.06) + (output_scale or 0.0) / 2
    assert float((found - expected).abs().max()) < tolerance


@needs_int8
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("channels", "side", "stride", "size", "groups"),
    [
        ((64,), 1, 1, 40, 1),
        ((32,), 3, 1, 16, 1),
        ((32,), 3, 2, 17, 1),
        ((3,), 3, 2, 32, 1),
        ((33, 6), 1, 1, 9, 1),  # an odd number of channels: one pair spans both inputs
        ((32,), 3, 1, 9, 4),
        ((12,), 3, 1, 9, 4),
        ((32,), 3, 1, 9, 32),
    ],
)
def test_largest_sums_are_exact(
    channels: tuple[int, ...], side: int, stride: int, size: int, groups: int, sign: int
) -> None:
    """All activations 255 and all weights equal: the worst case."""
    convs = [nn.Conv2d(c, 32, side, stride, side // 2, groups=groups, bias=False) for c in channels]
    x = channels_last(torch.full((2, sum(channels), size, size), 255, dtype=torch.uint8))
    with torch.inference_mode():
        for conv in convs:
            conv.weight.fill_(sign * 0.5)
        parts = torch.split(x, list(channels), dim=1)
        expected = sum(conv(part.float()) for conv, part in zip(convs, parts, strict=True))
        found = Int8Conv(convs, [1.0] * len(convs))(x)
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(found, expected)


@needs_int8
def test_random_sums_equal_float_sums_of_the_rounded_weights() -> None:
    """Weights of one sign and activations near 255: many pairs would saturate with the scales for VNNI."""
    torch.manual_seed(2)
    conv = nn.Conv2d(64, 32, 3, padding=1, bias=False)
    x = channels_last(torch.randint(200, 256, (2, 64, 12, 12), dtype=torch.uint8))
    with torch.inference_mode():
        conv.weight.abs_()
        scales = weight_scales(conv.weight, int8_saturates()).view(-1, 1, 1, 1)
        found = Int8Conv([conv], [1.0])(x)
        rounded = (conv.weight / scales).round() * scales
        expected = nn.functional.conv2d(x.double(), rounded.double(), padding=1)
        torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "shape", [(64, 32, 3, 3), (32, 96, 1, 1), (32, 33, 1, 1), (32, 1, 3, 3), (32, 3, 3, 3)]
)
@pytest.mark.parametrize("one_sign", [True, False])
def test_pairs_of_weights_fit_in_16_bits(shape: tuple[int, ...], one_sign: bool) -> None:
    torch.manual_seed(3)
    weights = torch.randn(shape)
    weights = weights.abs() if one_sign else weights
    scales, plain = weight_scales(weights, True), weight_scales(weights, False)
    integers = (weights / scales.view(-1, 1, 1, 1)).round()
    assert float(integers.abs().max()) <= 127
    for part in (integers.clamp(min=0), -integers.clamp(max=0)):
        assert bool((255 * (part[:, :-1:2] + part[:, 1::2]) < 2**15).all())
    assert torch.equal(plain, weights.abs().amax(dim=(1, 2, 3)) / 127)
    assert bool((scales >= plain).all())
    assert bool((scales <= plain * 2).all())
    if shape[1] == 1:
        assert torch.equal(scales, plain)


@pytest.mark.parametrize(
    ("pair", "integers"),
    [
        ((127.0, 127.0), (64, 64)),
        ((-3.0, -1.0), (-96, -32)),
        ((127.0, 1.0), (127, 1)),
        ((63.5, 64.5), (63, 64)),  # both would round up
        ((127.0, -127.0), (127, -127)),
        ((0.0, 0.0), (0, 0)),
    ],
)
def test_pairs_at_the_limit(pair: tuple[float, float], integers: tuple[int, int]) -> None:
    weights = torch.tensor(pair).view(1, 2, 1, 1)
    assert tuple((weights / weight_scales(weights, True)).round().flatten().tolist()) == integers


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (-1.0, 3.0)])
def test_floats_round_to_the_nearest_integer(low: float, high: float) -> None:
    scale = (high - low) / 255
    zero_point = round(-low / scale)
    x = torch.linspace(low - 1, high + 1, 999)
    expected = (x / scale).round().add(zero_point).clamp(0, 255)
    found = to_uint8(x, scale, zero_point)
    assert found.dtype == torch.uint8
    assert float((found.float() - expected).abs().max()) <= 1
    assert float((found.float() != expected).float().mean()) < 0.01  # only ties may differ


def test_measured_ranges_cover_the_inputs() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1))
    with torch.no_grad():
        first = network[0]
        assert isinstance(first, nn.Conv2d)
        assert first.bias is not None
        first.weight.fill_(2.0)
        first.bias.fill_(1.0)
    inputs = [torch.tensor([[[[-3.0, 1.0]]]]), torch.tensor([[[[0.5, 4.0]]]])]
    ranges = measure_ranges(network, lambda: [network(x) for x in inputs])
    assert ranges == {"0": (-3.0, 4.0), "2": (0.0, 9.0)}
    network(torch.full((1, 1, 1, 1), 100.0))
    assert ranges["0"] == (-3.0, 4.0)  # measuring has ended


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
def test_invalid_ranges_raise(weight_file: Path, text: str) -> None:
    write_metadata(weight_file, {"activation_ranges": text})
    with pytest.raises(CheckpointError, match="invalid activation ranges"):
        read_ranges(weight_file)


@needs_int8
def test_ranges_of_another_network_raise() -> None:
    ranges: Ranges = {"conv1": (0.0, 1.0)}
    with pytest.raises(CheckpointError, match=r"another network \(no range for layer1\.0\.conv1\)"):
        quantise(random_network(PoseHRNet(hrnet.COMPACT, 5)), ranges)


@needs_int8
@pytest.mark.parametrize("name", ["pose", "detector"])
def test_the_embedded_weights_have_ranges(name: str) -> None:
    ranges = read_ranges(EMBEDDED / f"{name}.safetensors")
    assert ranges
    assert all(high > 0 for _, high in ranges.values())
    networks = {"pose": PoseHRNet(hrnet.COMPACT_DEEP, 19), "detector": FasterRCNN(faster_rcnn.COMPACT_DEEP)}
    quantise(fold_batch_norms(networks[name].eval()), ranges)


def test_int8_works_on_every_cpu_with_avx2() -> None:
    """A PyTorch release that drops the operators would slow every run down without an error."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if not capabilities.get("avx2"):
        pytest.skip("PyTorch reports no AVX2")
    assert int8_works()
    if capabilities.get("avx512_vnni") or capabilities.get("avx_vnni"):
        assert not int8_saturates()
