"""HRNet trunks in 8-bit integers, which CPUs multiply faster than floats.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
2018. Weights are int8 with one step (scale) per output channel. Activations between convolutions are uint8 with one
step per place in the network. The ranges of the activations are measured once on images (`activation_ranges`) and
stored in the weight file, so a result never depends on the other images of a batch.

The convolutions are those of oneDNN, through the operators that PyTorch's compiler emits. On CPUs without VNNI, oneDNN
adds the products of two neighbouring input channels in 16 bits, which saturates. There the steps of the weights are
made coarse enough for every such sum to fit (`weight_steps`).
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
"""Convolutions outside the trunk with fewer output channels stay in float: they cost too little."""
_MAX_ACTIVATION = 255
_MAX_WEIGHT = 127
_MAX_PAIR = 128
"""Largest sum of two neighbouring weights: 128 * 255 is less than 2**15."""
_PAIRED = [
    [64.0, 64.0, 64.0, 64.0],
    [127.0, 1.0, 127.0, 1.0],
    [1.0, 127.0, 1.0, 127.0],
    [127.0, 1.0, 1.0, 127.0],
]
"""Weights of four channels: at the limit in neighbouring pairs, and beyond it in case a library pairs other channels."""


@cache
def int8_works() -> bool:
    """Whether PyTorch has these operators on this machine, and they are exact for the largest sums."""
    try:
        return _is_exact(int8_saturates())
    except (AttributeError, RuntimeError):  # PyTorch has no such operator on this machine
        return False


@cache
def int8_saturates() -> bool:
    """Whether large weights give wrong sums, because two neighbouring products are added in 16 bits.

    AttributeError or RuntimeError if PyTorch has no such operators.
    """
    return not _is_exact(False)


def _is_exact(saturates: bool) -> bool:
    """Whether 1x1 and 3x3 convolutions are exact for the largest activations and the largest weights of `weight_steps`."""
    rows = torch.tensor(_PAIRED if saturates else [[float(_MAX_WEIGHT)] * 4])
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


def weight_steps(weights: Tensor, saturates: bool) -> Tensor:
    """(N,) the step of each output channel for weights (N, C, h, w); the largest weight is at most 127 steps.

    With `saturates`, the weights of channels 0 and 1, 2 and 3, ... also add up to at most 128 steps, so that their
    products with activations up to 255 add up to less than 2**15.
    """
    steps = weights.abs().amax(dim=(1, 2, 3)) / _MAX_WEIGHT
    if saturates:
        even = nn.functional.pad(weights, (0, 0, 0, 0, 0, weights.shape[1] % 2))
        sums = (even[:, ::2] + even[:, 1::2]).abs().amax(dim=(1, 2, 3))
        # Two weights that add up to less than 128 steps add up to at most 128 after rounding.
        steps = steps.maximum(sums / _MAX_PAIR * (1 + 1e-6))
    return steps.clamp(min=1e-12)


def quantise(network: nn.Module, ranges: Ranges) -> nn.Module:
    """Change `network`, whose BatchNorms are folded, to int8: trunks, and larger convolutions outside them.

    CheckpointError if `ranges` belong to another network.
    """
    try:
        for name, module in list(network.named_modules()):
            if isinstance(module, HRNetTrunk):
                _quantise_trunk(module, f"{name}." if name else "", ranges)
        for parent_name, parent in list(network.named_modules()):
            for name, child in list(parent.named_children()):
                full = f"{parent_name}.{name}" if parent_name else name
                if isinstance(child, nn.Conv2d) and child.out_channels >= MIN_CHANNELS and full in ranges:
                    setattr(parent, name, _FromFloat(child, ranges[full]))
    except KeyError as error:
        raise CheckpointError(
            f"the activation ranges belong to another network: there is none for {error.args[0]}; use precision 'float32'"
        ) from error
    return network


def for_inference(
    network: nn.Module, device: torch.device, dtype: torch.dtype, ranges: Ranges | None
) -> nn.Module:
    """Change `network` for inference: norms folded, weights in `dtype`, on `device`; with `ranges` in int8."""
    store_weights(fold_batch_norms(network.eval()), dtype)
    if ranges is not None:
        quantise(network, ranges)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Int8Conv(nn.Module):
    """The sum of several convolutions, each of its own uint8 input (N, C, H, W), as one convolution.

    The output is float32, or with `into` ReLU and uint8. Another tensor can be added before the ReLU: `onto` of the call.

    Args:
        convs: of the same kernel size and stride.
        steps: the step of each input.
        zero: the uint8 value that stands for 0.
        into: the step of a uint8 output.
        onto_step: the step of `onto`, which is uint8 where the output is; else `onto` is float32.
        saturates: as in `weight_steps`; None asks this CPU.
    """

    def __init__(
        self,
        convs: Sequence[nn.Conv2d],
        steps: Sequence[float],
        *,
        zero: int = 0,
        into: float | None = None,
        onto_step: float = 1.0,
        saturates: bool | None = None,
    ) -> None:
        super().__init__()
        first = convs[0]
        # Multiply the steps of the inputs into the weights, so that one convolution can take all inputs.
        weights = torch.cat(
            [c.weight.detach().float() * step for c, step in zip(convs, steps, strict=True)], dim=1
        )
        self._steps = weight_steps(weights, int8_saturates() if saturates is None else saturates)
        integers = (weights / self._steps.view(-1, 1, 1, 1)).round().to(torch.int8)
        self._zeros = torch.zeros(len(integers), dtype=torch.int64)
        biases = [c.bias.detach().float() for c in convs if c.bias is not None]
        self._bias = torch.stack(biases).sum(dim=0) if biases else None
        self._geometry = list(first.stride), list(first.padding), list(first.dilation), first.groups
        self._zero, self._onto_step = zero, 1.0 if into is None else onto_step
        self._out = (1.0, 0, torch.float32) if into is None else (into, 0, torch.uint8)
        self._after = "none" if into is None else "relu"
        self._packed = torch.ops.onednn.qconv_prepack(integers, self._steps, 1.0, zero, *self._geometry, None)

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        weights = self._packed, self._steps, self._zeros
        if onto is None:
            out = torch.ops.onednn.qconv2d_pointwise(
                x, 1.0, self._zero, *weights, self._bias, *self._geometry, *self._out, self._after, [], ""
            )
        else:
            out = torch.ops.onednn.qconv2d_pointwise.binary(
                x, 1.0, self._zero, *weights, onto, self._bias, *self._geometry, *self._out,
                self._onto_step, 0, "sum", 1.0, self._after, [], "",
            )  # fmt: skip
        return cast(Tensor, out)


class _FromFloat(nn.Module):
    """A convolution of float inputs in the range `within`; `into` as in `Int8Conv`."""

    def __init__(self, conv: nn.Conv2d, within: tuple[float, float], into: float | None = None) -> None:
        super().__init__()
        self._step, self._zero = _steps(within)
        self.conv = Int8Conv([conv], [self._step], zero=self._zero, into=into)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(to_uint8(x, self._step, self._zero)))


class _Int8Block(nn.Module):
    """A basic block from uint8 to uint8."""

    def __init__(self, block: BasicBlock, step: float, inner: float, into: float) -> None:
        super().__init__()
        self.conv1 = Int8Conv([block.conv1], [step], into=inner)
        self.conv2 = Int8Conv([block.conv2], [inner], into=into, onto_step=step)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv2(self.conv1(x), x))


class _Int8Bottleneck(nn.Module):
    """A bottleneck of stride 1 from uint8 to uint8; its last convolution and that of its shortcut are one."""

    def __init__(self, block: Bottleneck, step: float, inner: tuple[float, float], into: float) -> None:
        super().__init__()
        self.conv1 = Int8Conv([block.conv1], [step], into=inner[0])
        self.conv2 = Int8Conv([block.conv2], [inner[0]], into=inner[1])
        self._widens = block.downsample is not None
        last, steps = [block.conv3], [inner[1]]
        if block.downsample is not None:
            last, steps = [*last, cast(nn.Conv2d, cast(nn.Sequential, block.downsample)[0])], [*steps, step]
        self.conv3 = Int8Conv(last, steps, into=into, onto_step=step)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x))
        if self._widens:
            return cast(Tensor, self.conv3(torch.cat([out, x], dim=1)))
        return cast(Tensor, self.conv3(out, x))


class _Int8Sum(nn.Module):
    """One output of an exchange module: all branches, uint8 in `steps`, to uint8 in the step `into`, or to float32.

    The convolutions of coarser branches run as one, after their inputs are upsampled to the size of the output. So do
    the last convolutions of finer branches.
    """

    def __init__(
        self,
        paths: Sequence[nn.Module],
        target: int,
        steps: Sequence[float],
        inner: Sequence[Sequence[float]],
        into: float | None,
    ) -> None:
        super().__init__()
        self._target, self._step, self._into = target, steps[target], into
        coarser = paths[target + 1 :]
        self._upsample = nn.ModuleList(cast(nn.Sequential, path)[-1] for path in coarser)
        if coarser:
            self.up = Int8Conv(
                [conv for path in coarser for conv in _convs(path)],
                steps[target + 1 :],
                into=None if target else into,
                onto_step=self._step,
            )
        chains, last, last_steps = [], [], []
        for source, path in enumerate(paths[:target]):
            *before, conv = _convs(path)
            come = [steps[source], *inner[source]]
            chain = [
                Int8Conv([one], [step], into=after)
                for one, (step, after) in zip(before, pairwise(come), strict=True)
            ]
            chains.append(nn.Sequential(*chain))
            last.append(conv)
            last_steps.append(come[-1])
        self._chains = nn.ModuleList(chains)
        if chains:
            self.down = Int8Conv(last, last_steps)

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        own = branches[self._target]
        larger = [up(x) for up, x in zip(self._upsample, branches[self._target + 1 :], strict=True)]
        if not self._chains and self._into is not None:
            return cast(Tensor, self.up(_joined(larger), own))
        if self._chains:
            total = self.down(_joined([chain(x) for chain, x in zip(self._chains, branches, strict=False)]))
            total.add_(own, alpha=self._step)
        else:
            total = own * self._step
        if larger:
            total = self.up(_joined(larger), total)
        return cast(Tensor, total.relu_()) if self._into is None else to_uint8(total, self._into)


class _Int8Exchange(nn.Module):
    """An exchange module, with one of `sums` per output branch."""

    def __init__(self, branches: Sequence[nn.Module], sums: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches, self.sums = nn.ModuleList(branches), nn.ModuleList(sums)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        # The first sum overwrites its branch, so it is computed last.
        sums = [total(branches) for total in reversed(self.sums)]
        return sums[::-1]


def _quantise_trunk(trunk: HRNetTrunk, prefix: str, ranges: Ranges) -> None:
    """Change the trunk; its inputs and outputs stay float."""

    def step(name: str) -> float:
        return _steps(ranges[prefix + name])[0]

    entered = step("layer1.0.conv1")
    trunk.conv1 = _FromFloat(trunk.conv1, ranges[f"{prefix}conv1"], step("conv2"))  # type: ignore[assignment]
    trunk.conv2 = Int8Conv([trunk.conv2], [step("conv2")], into=entered)  # type: ignore[assignment]
    trunk.relu = nn.Identity()  # type: ignore[assignment]
    for i, block in enumerate(trunk.layer1):
        name = f"layer1.{i}"
        inner = step(f"{name}.conv2"), step(f"{name}.conv3")
        trunk.layer1[i] = _Int8Bottleneck(cast(Bottleneck, block), entered, inner, step(name))
        entered = step(name)
    steps = [entered]
    stages = (
        (trunk.transition1, trunk.stage2),
        (trunk.transition2, trunk.stage3),
        (trunk.transition3, trunk.stage4),
    )
    names = [f"stage{k}.{m}" for k, (_, stage) in enumerate(stages, start=2) for m in range(len(stage))]
    following = dict(pairwise([*names, ""]))
    for number, (transition, stage) in enumerate(stages, start=2):
        come, steps = steps, []
        for i, path in enumerate(transition):
            before = come[min(i, len(come) - 1)]
            convs = _convs(path)
            steps.append(step(f"stage{number}.0.branches.{i}.0.conv1") if convs else before)
            if convs:
                transition[i] = Int8Conv(convs, [before], into=steps[i])
        for m, module in enumerate(stage):
            name = f"stage{number}.{m}"
            stage[m], steps = _exchange(cast(ExchangeModule, module), name, following[name], steps, step)


def _exchange(
    module: ExchangeModule, name: str, following: str, steps: Sequence[float], step: Callable[[str], float]
) -> tuple[_Int8Exchange, list[float]]:
    """The exchange module `name` with inputs in `steps`, and the steps of its outputs.

    `following` is the next module; "" if there is none, and the outputs are float.
    """
    branches, inside = [], []
    for i, (blocks, entered) in enumerate(zip(module.branches, steps, strict=True)):
        made = []
        for b, block in enumerate(cast(nn.Sequential, blocks)):
            path = f"{name}.branches.{i}.{b}"
            made.append(_Int8Block(cast(BasicBlock, block), entered, step(f"{path}.conv2"), step(path)))
            entered = step(path)
        branches.append(nn.Sequential(*made))
        inside.append(entered)
    sums, out = [], []
    for target, paths in enumerate(module.fuse_layers):
        inner = [
            [step(f"{name}.fuse_layers.{target}.{source}.{k}.0") for k in range(1, target - source)]
            for source in range(target)
        ]
        into = step(f"{following}.branches.{target}.0.conv1") if following else None
        sums.append(_Int8Sum(list(cast(nn.ModuleList, paths)), target, inside, inner, into))
        out.append(into or 0.0)
    return _Int8Exchange(branches, sums), out


def to_uint8(x: Tensor, step: float, zero: int = 0) -> Tensor:
    """Floats to uint8: round(x / step) + zero, clipped to 0 to 255."""
    # Through int8: PyTorch converts floats to int8 several times as fast as to uint8.
    moved = torch.add(torch.tensor(float(zero - 128)), x, alpha=1 / step)
    return moved.round_().clamp_(-128, 127).to(torch.int8).view(torch.uint8).bitwise_xor_(128)


def _steps(within: tuple[float, float]) -> tuple[float, int]:
    """The step, and the uint8 value that stands for 0, of activations in the range (low <= 0, high)."""
    low, high = within
    step = max((high - low) / _MAX_ACTIVATION, 1e-9)
    return step, round(-low / step)


def _convs(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)
