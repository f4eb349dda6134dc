"""HRNet trunks in 8-bit integers, which CPUs multiply faster than floats.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
2018. Weights are int8 with one scale per output channel. Activations between convolutions are uint8 with one scale per
tensor. Activation ranges are measured once (`measure_ranges`) and stored in the weight file, so a result does not depend
on the other images of a batch.

The convolutions are oneDNN's, called through the operators that PyTorch's compiler emits. On CPUs without VNNI, oneDNN
adds the products of two neighbouring input channels in 16 bits, and this sum can saturate. On such CPUs `weight_scales`
chooses larger scales, so that every such sum fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from posetrack_detectors.networks.hrnet import (
    BasicBlock,
    Bottleneck,
    ExchangeModule,
    HRNetTrunk,
    fold_batch_norms,
    store_weights,
)
from posetrack_detectors.weights.activation_ranges import Ranges
from posetrack_detectors.weights.checkpoints import CheckpointError

MIN_CHANNELS = 32
"""Convolutions outside the trunk with fewer output channels stay in float: int8 would save too little time."""
_MAX_ACTIVATION = 255
_MAX_WEIGHT = 127
_MAX_PAIR_SUM = 128
"""Largest sum of two neighbouring weights: 128 * 255 is less than 2**15."""
_PAIRED_WEIGHTS = [
    [64.0, 64.0, 64.0, 64.0],
    [127.0, 1.0, 127.0, 1.0],
    [1.0, 127.0, 1.0, 127.0],
    [127.0, 1.0, 1.0, 127.0],
]
"""Test weights of four channels: neighbours add up to the limit, other pairs exceed it.

A library that pairs other channels would therefore fail the test.
"""


@cache
def int8_works() -> bool:
    """Whether PyTorch has the int8 operators on this machine and they are exact for the largest sums."""
    try:
        return _is_exact(int8_saturates())
    except (AttributeError, RuntimeError):  # the operators are missing
        return False


@cache
def int8_saturates() -> bool:
    """Whether large weights give wrong sums, because two neighbouring products are added in 16 bits.

    AttributeError or RuntimeError if PyTorch does not have the operators.
    """
    return not _is_exact(False)


def _is_exact(saturates: bool) -> bool:
    """Whether 1x1 and 3x3 convolutions are exact for the largest activations and the largest allowed weights."""
    rows = torch.tensor(_PAIRED_WEIGHTS if saturates else [[float(_MAX_WEIGHT)] * 4])
    weights = torch.cat([rows, -rows]).repeat(MIN_CHANNELS // (2 * len(rows)), MIN_CHANNELS // 4)
    x = torch.full((1, MIN_CHANNELS, 8, 8), _MAX_ACTIVATION, dtype=torch.uint8)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for side in (1, 3):
            conv = nn.Conv2d(MIN_CHANNELS, MIN_CHANNELS, side, bias=False, device="meta")
            conv.weight = nn.Parameter(weights[..., None, None].repeat(1, 1, side, side))
            if not torch.allclose(Int8Conv([conv], [1.0], saturates=saturates)(x), conv(x.float())):
                return False
    return True


def weight_scales(weights: Tensor, saturates: bool) -> Tensor:
    """The scale (N,) of each output channel of `weights` (N, C, h, w); rounded weights are at most 127 in magnitude.

    With `saturates`, the rounded weights of channels 0 and 1, 2 and 3, ... also add up to at most 128 in magnitude, so
    that the sum of their products with activations up to 255 is less than 2**15.
    """
    scales = weights.abs().amax(dim=(1, 2, 3)) / _MAX_WEIGHT
    if saturates:
        even = nn.functional.pad(weights, (0, 0, 0, 0, 0, weights.shape[1] % 2))
        sums = (even[:, ::2] + even[:, 1::2]).abs().amax(dim=(1, 2, 3))
        # Rounding adds at most 1 to a sum of two weights, so a sum below 128 ends at 128 or less.
        scales = scales.maximum(sums / _MAX_PAIR_SUM * (1 + 1e-6))
    return scales.clamp(min=1e-12)


def quantise(network: nn.Module, ranges: Ranges) -> nn.Module:
    """Convert `network` to int8, in place: its HRNet trunks and the larger convolutions outside them.

    Its BatchNorms must be folded. CheckpointError if `ranges` belong to another network.
    """
    try:
        for name, module in list(network.named_modules()):
            if isinstance(module, HRNetTrunk):
                _quantise_trunk(module, f"{name}." if name else "", ranges)
        for parent_name, parent in list(network.named_modules()):
            for name, child in list(parent.named_children()):
                full_name = f"{parent_name}.{name}" if parent_name else name
                is_large = isinstance(child, nn.Conv2d) and child.out_channels >= MIN_CHANNELS
                if is_large and full_name in ranges:
                    setattr(parent, name, _FloatInputConv(cast(nn.Conv2d, child), ranges[full_name]))
    except KeyError as error:
        raise CheckpointError(
            f"the activation ranges belong to another network (no range for {error.args[0]}); use precision 'float32'"
        ) from error
    return network


def for_inference(
    network: nn.Module, device: torch.device, dtype: torch.dtype, ranges: Ranges | None
) -> nn.Module:
    """Prepare `network` for inference, in place: BatchNorms folded, weights in `dtype`, on `device`.

    With `ranges`, it runs in int8. CheckpointError if they belong to another network.
    """
    store_weights(fold_batch_norms(network.eval()), dtype)
    if ranges is not None:
        quantise(network, ranges)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Int8Conv(nn.Module):
    """The sum of several convolutions, each with its own input, computed as one convolution.

    The call takes the inputs concatenated along the channels, uint8 (N, C, H, W). It returns float32, or with
    `output_scale` the ReLU as uint8. An `addend` of the output's shape and type is added before the ReLU and overwritten.

    Args:
        convs: Convolutions of the same kernel size and stride.
        scales: The scale of each input.
        zero_point: The uint8 value of the inputs that represents 0.
        output_scale: The scale of a uint8 output; None for a float32 output.
        addend_scale: The scale of a uint8 `addend`.
        saturates: As in `weight_scales`; None tests this CPU.
    """

    def __init__(
        self,
        convs: Sequence[nn.Conv2d],
        scales: Sequence[float],
        *,
        zero_point: int = 0,
        output_scale: float | None = None,
        addend_scale: float = 1.0,
        saturates: bool | None = None,
    ) -> None:
        super().__init__()
        first = convs[0]
        # With the input scales multiplied into the weights, one convolution can take all inputs.
        weights = torch.cat(
            [conv.weight.detach().float() * scale for conv, scale in zip(convs, scales, strict=True)], dim=1
        )
        self._scales = weight_scales(weights, int8_saturates() if saturates is None else saturates)
        integers = (weights / self._scales.view(-1, 1, 1, 1)).round().to(torch.int8)
        self._zero_points = torch.zeros(len(integers), dtype=torch.int64)
        biases = [conv.bias.detach().float() for conv in convs if conv.bias is not None]
        self._bias = torch.stack(biases).sum(dim=0) if biases else None
        self._geometry = list(first.stride), list(first.padding), list(first.dilation), first.groups
        self._input_zero_point = zero_point
        self._addend_scale = 1.0 if output_scale is None else addend_scale
        self._output = (1.0, 0, torch.float32) if output_scale is None else (output_scale, 0, torch.uint8)
        self._activation = "none" if output_scale is None else "relu"
        self._packed = torch.ops.onednn.qconv_prepack(
            integers, self._scales, 1.0, zero_point, *self._geometry, None
        )

    def forward(self, x: Tensor, addend: Tensor | None = None) -> Tensor:
        inputs = x, 1.0, self._input_zero_point
        weights = self._packed, self._scales, self._zero_points
        if addend is None:
            out = torch.ops.onednn.qconv2d_pointwise(
                *inputs, *weights, self._bias, *self._geometry, *self._output, self._activation, [], ""
            )
        else:
            out = torch.ops.onednn.qconv2d_pointwise.binary(
                *inputs, *weights, addend, self._bias, *self._geometry, *self._output,
                self._addend_scale, 0, "sum", 1.0, self._activation, [], "",
            )  # fmt: skip
        return cast(Tensor, out)


class _FloatInputConv(nn.Module):
    """A convolution of float inputs, which lie in `input_range`; the output is as in `Int8Conv`."""

    def __init__(
        self, conv: nn.Conv2d, input_range: tuple[float, float], output_scale: float | None = None
    ) -> None:
        super().__init__()
        self._scale, self._zero_point = _scale_and_zero_point(input_range)
        self.conv = Int8Conv([conv], [self._scale], zero_point=self._zero_point, output_scale=output_scale)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(to_uint8(x, self._scale, self._zero_point)))


class _Int8Block(nn.Module):
    """A basic block with uint8 input and output."""

    def __init__(self, block: BasicBlock, scale: float, inner_scale: float, output_scale: float) -> None:
        super().__init__()
        self.conv1 = Int8Conv([block.conv1], [scale], output_scale=inner_scale)
        self.conv2 = Int8Conv([block.conv2], [inner_scale], output_scale=output_scale, addend_scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv2(self.conv1(x), x))


class _Int8Bottleneck(nn.Module):
    """A bottleneck of stride 1 with uint8 input and output.

    Its last convolution and the convolution of its shortcut, if it has one, run as one.
    """

    def __init__(
        self, block: Bottleneck, scale: float, inner_scales: tuple[float, float], output_scale: float
    ) -> None:
        super().__init__()
        self.conv1 = Int8Conv([block.conv1], [scale], output_scale=inner_scales[0])
        self.conv2 = Int8Conv([block.conv2], [inner_scales[0]], output_scale=inner_scales[1])
        self._has_downsample = block.downsample is not None
        convs, scales = [block.conv3], [inner_scales[1]]
        if block.downsample is not None:
            convs.append(cast(nn.Conv2d, cast(nn.Sequential, block.downsample)[0]))
            scales.append(scale)
        self.conv3 = Int8Conv(convs, scales, output_scale=output_scale, addend_scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x))
        if self._has_downsample:
            return cast(Tensor, self.conv3(torch.cat([out, x], dim=1)))
        return cast(Tensor, self.conv3(out, x))


class _Int8Sum(nn.Module):
    """One output of an exchange module: the sum of all branches and a ReLU.

    The convolutions of the coarser branches run as one, after their inputs are upsampled to the size of the output. The
    last convolutions of the finer branches also run as one.

    Args:
        paths: The float path from each branch to this output.
        target: The index of the output's own branch.
        scales: The scale of each branch, which is uint8.
        inner_scales: For each finer branch, the scales of the activations inside its path.
        output_scale: The scale of a uint8 output; None for a float32 output.
    """

    def __init__(
        self,
        paths: Sequence[nn.Module],
        target: int,
        scales: Sequence[float],
        inner_scales: Sequence[Sequence[float]],
        output_scale: float | None,
    ) -> None:
        super().__init__()
        self._target, self._own_scale, self._output_scale = target, scales[target], output_scale
        coarser = paths[target + 1 :]
        self._upsample = nn.ModuleList(cast(nn.Sequential, path)[-1] for path in coarser)
        if coarser:
            self.up = Int8Conv(
                [conv for path in coarser for conv in _convs(path)],
                scales[target + 1 :],
                output_scale=None if target else output_scale,
                addend_scale=self._own_scale,
            )
        chains, last_convs, last_scales = [], [], []
        for source, path in enumerate(paths[:target]):
            *convs, last_conv = _convs(path)
            chain_scales = [scales[source], *inner_scales[source]]
            chain = [
                Int8Conv([conv], [scale_in], output_scale=scale_out)
                for conv, (scale_in, scale_out) in zip(convs, pairwise(chain_scales), strict=True)
            ]
            chains.append(nn.Sequential(*chain))
            last_convs.append(last_conv)
            last_scales.append(chain_scales[-1])
        self._chains = nn.ModuleList(chains)
        if chains:
            self.down = Int8Conv(last_convs, last_scales)

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        finer, coarser = branches[: self._target], branches[self._target + 1 :]
        own = branches[self._target]
        upsampled = [upsample(x) for upsample, x in zip(self._upsample, coarser, strict=True)]
        if not finer and self._output_scale is not None:
            return cast(Tensor, self.up(_concatenate(upsampled), own))
        if finer:
            total = self.down(_concatenate([chain(x) for chain, x in zip(self._chains, finer, strict=True)]))
            total.add_(own, alpha=self._own_scale)
        else:
            total = own * self._own_scale
        if upsampled:
            total = self.up(_concatenate(upsampled), total)
        return (
            cast(Tensor, total.relu_()) if self._output_scale is None else to_uint8(total, self._output_scale)
        )


class _Int8Exchange(nn.Module):
    """An exchange module; `sums` holds one module per output branch."""

    def __init__(self, branches: Sequence[nn.Module], sums: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches, self.sums = nn.ModuleList(branches), nn.ModuleList(sums)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        # The first sum overwrites its branch, so it is computed last.
        outputs = [branch_sum(branches) for branch_sum in reversed(self.sums)]
        return outputs[::-1]


def _quantise_trunk(trunk: HRNetTrunk, prefix: str, ranges: Ranges) -> None:
    """Convert the trunk in place; its inputs and outputs stay float. `prefix` leads to its names in `ranges`."""

    def scale_of(name: str) -> float:
        return _scale_and_zero_point(ranges[prefix + name])[0]

    scale = scale_of("layer1.0.conv1")
    trunk.conv1 = _FloatInputConv(trunk.conv1, ranges[f"{prefix}conv1"], scale_of("conv2"))  # type: ignore[assignment]
    trunk.conv2 = Int8Conv([trunk.conv2], [scale_of("conv2")], output_scale=scale)  # type: ignore[assignment]
    trunk.relu = nn.Identity()  # type: ignore[assignment]
    for i, block in enumerate(trunk.layer1):
        name = f"layer1.{i}"
        inner_scales = scale_of(f"{name}.conv2"), scale_of(f"{name}.conv3")
        trunk.layer1[i] = _Int8Bottleneck(cast(Bottleneck, block), scale, inner_scales, scale_of(name))
        scale = scale_of(name)
    scales = [scale]
    stages = (
        (trunk.transition1, trunk.stage2),
        (trunk.transition2, trunk.stage3),
        (trunk.transition3, trunk.stage4),
    )
    names = [f"stage{k}.{m}" for k, (_, stage) in enumerate(stages, start=2) for m in range(len(stage))]
    next_names = dict(pairwise([*names, ""]))
    for number, (transition, stage) in enumerate(stages, start=2):
        previous_scales, scales = scales, []
        for i, path in enumerate(transition):
            input_scale = previous_scales[min(i, len(previous_scales) - 1)]
            convs = _convs(path)
            scales.append(scale_of(f"stage{number}.0.branches.{i}.0.conv1") if convs else input_scale)
            if convs:
                transition[i] = Int8Conv(convs, [input_scale], output_scale=scales[i])
        for m, module in enumerate(stage):
            name = f"stage{number}.{m}"
            stage[m], scales = _quantise_exchange(
                cast(ExchangeModule, module), name, next_names[name], scales, scale_of
            )


def _quantise_exchange(
    module: ExchangeModule,
    name: str,
    next_name: str,
    scales: Sequence[float],
    scale_of: Callable[[str], float],
) -> tuple[_Int8Exchange, list[float]]:
    """The exchange module in int8, and the scales of its outputs.

    Args:
        module: The float module.
        name: Its name in the trunk.
        next_name: The name of the exchange module after it; "" for the last one, whose outputs are float.
        scales: The scales of its inputs.
        scale_of: Gives the scale of the activation with a given name in the trunk.
    """
    branches, branch_scales = [], []
    for i, (blocks, scale) in enumerate(zip(module.branches, scales, strict=True)):
        int8_blocks = []
        for b, block in enumerate(cast(nn.Sequential, blocks)):
            path = f"{name}.branches.{i}.{b}"
            inner_scale, output_scale = scale_of(f"{path}.conv2"), scale_of(path)
            int8_blocks.append(_Int8Block(cast(BasicBlock, block), scale, inner_scale, output_scale))
            scale = output_scale
        branches.append(nn.Sequential(*int8_blocks))
        branch_scales.append(scale)
    sums, output_scales = [], []
    for target, paths in enumerate(module.fuse_layers):
        inner_scales = [
            [scale_of(f"{name}.fuse_layers.{target}.{source}.{k}.0") for k in range(1, target - source)]
            for source in range(target)
        ]
        sum_scale = scale_of(f"{next_name}.branches.{target}.0.conv1") if next_name else None
        sums.append(
            _Int8Sum(list(cast(nn.ModuleList, paths)), target, branch_scales, inner_scales, sum_scale)
        )
        if sum_scale is not None:
            output_scales.append(sum_scale)
    return _Int8Exchange(branches, sums), output_scales


def to_uint8(x: Tensor, scale: float, zero_point: int = 0) -> Tensor:
    """Quantise floats to uint8: round(x / scale) + zero_point, clipped to 0..255."""
    # Through int8: PyTorch converts floats to int8 several times as fast as to uint8.
    shifted = torch.add(torch.tensor(float(zero_point - 128)), x, alpha=1 / scale)
    return shifted.round_().clamp_(-128, 127).to(torch.int8).view(torch.uint8).bitwise_xor_(128)


def _scale_and_zero_point(value_range: tuple[float, float]) -> tuple[float, int]:
    """The scale and the zero point of uint8 activations in the range (low <= 0, high >= 0)."""
    low, high = value_range
    scale = max((high - low) / _MAX_ACTIVATION, 1e-9)
    return scale, round(-low / scale)


def _convs(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _concatenate(tensors: list[Tensor]) -> Tensor:
    """`tensors` concatenated along the channels; a single one is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)
