"""HRNet trunks in 8-bit integers, on processors that multiply them several times as fast as floats (VNNI).

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
2018. A weight is an int8 in steps of its own output channel, what flows between convolutions a uint8 in steps of its
own place in the network. How far it goes there is measured once, on pictures (`activation_ranges`), and kept in the weight
file's metadata; nothing depends on the picture at hand or on who else is in the batch.

The convolutions are oneDNN's through PyTorch, by the operators that its own compiler emits.
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

FEWEST_CHANNELS = 32
"""A convolution beside the trunk with fewer outputs is too cheap to be worth the change."""
_LEVELS = 255
_LARGEST_WEIGHT = 127


@cache
def int8_works() -> bool:
    """Whether PyTorch has these operators here, and they are right also where sums are greatest.

    Processors without VNNI may saturate pairs of products.
    """
    conv = nn.Conv2d(FEWEST_CHANNELS, FEWEST_CHANNELS, 1, bias=False, device="meta")
    weight = torch.full(conv.weight.shape, float(_LARGEST_WEIGHT))
    weight[1::2] *= -1
    conv.weight = nn.Parameter(weight)
    with torch.inference_mode():
        x = torch.full((1, FEWEST_CHANNELS, 8, 8), _LEVELS, dtype=torch.uint8)
        x = x.contiguous(memory_format=torch.channels_last)
        try:
            found = Int8Conv([conv], [1.0])(x)
        except (AttributeError, RuntimeError):  # no such operator; not with this library or on this processor
            return False
        return bool(torch.allclose(found, conv(x.float())))


def quantise(network: nn.Module, ranges: Ranges) -> nn.Module:
    """`network`, its BatchNorms folded, changed for inference: trunks and larger convolutions beside them in int8.

    CheckpointError if `ranges` are not this network's.
    """
    try:
        for name, module in list(network.named_modules()):
            if isinstance(module, HRNetTrunk):
                _quantise_trunk(module, f"{name}." if name else "", ranges)
        for parent_name, parent in list(network.named_modules()):
            for name, child in list(parent.named_children()):
                full = f"{parent_name}.{name}" if parent_name else name
                if isinstance(child, nn.Conv2d) and child.out_channels >= FEWEST_CHANNELS and full in ranges:
                    setattr(parent, name, _FromFloat(child, ranges[full]))
    except KeyError as error:
        raise CheckpointError(
            f"the weight file's activation ranges are another network's: {error.args[0]} has none; take 'float32'"
        ) from error
    return network


def for_inference(
    network: nn.Module, device: torch.device, dtype: torch.dtype, ranges: Ranges | None
) -> nn.Module:
    """`network`, changed: norms folded, weights as autocast wants them, on the device; with `ranges` in int8."""
    store_weights(fold_batch_norms(network.eval()), dtype)
    if ranges is not None:
        quantise(network, ranges)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Int8Conv(nn.Module):
    """The sum of `convs`, each of its own input (N, C, H, W) uint8 in its own step, all of one kernel and stride.

    With `into`, a step, ReLU follows and uint8 in that step comes out; else float32 without ReLU. `onto` of the call is
    added before the ReLU: uint8 in the step `onto_step`, or float32 where that comes out.
    """

    def __init__(
        self,
        convs: Sequence[nn.Conv2d],
        steps: Sequence[float],
        *,
        zero: int = 0,
        into: float | None = None,
        onto_step: float = 1.0,
    ) -> None:
        super().__init__()
        first = convs[0]
        # The inputs' steps go into the weights, so that one convolution can take them all.
        weights = torch.cat(
            [c.weight.detach().float() * step for c, step in zip(convs, steps, strict=True)], dim=1
        )
        self._steps = (weights.abs().amax(dim=(1, 2, 3)) / _LARGEST_WEIGHT).clamp(min=1e-12)
        whole = (weights / self._steps.view(-1, 1, 1, 1)).round().to(torch.int8)
        self._zeros = torch.zeros(len(whole), dtype=torch.int64)
        biases = [c.bias.detach().float() for c in convs if c.bias is not None]
        self._bias = torch.stack(biases).sum(dim=0) if biases else None
        self._geometry = list(first.stride), list(first.padding), list(first.dilation), first.groups
        self._zero, self._onto_step = zero, 1.0 if into is None else onto_step
        self._out = (1.0, 0, torch.float32) if into is None else (into, 0, torch.uint8)
        self._after = "none" if into is None else "relu"
        self._packed = torch.ops.onednn.qconv_prepack(whole, self._steps, 1.0, zero, *self._geometry, None)

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
    """A convolution of floats `within` a range; `into` as for `Int8Conv`."""

    def __init__(self, conv: nn.Conv2d, within: tuple[float, float], into: float | None = None) -> None:
        super().__init__()
        self._step, self._zero = _steps(within)
        self.conv = Int8Conv([conv], [self._step], zero=self._zero, into=into)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(to_uint8(x, self._step, self._zero)))


class _Int8Block(nn.Module):
    """A basic block, uint8 to uint8."""

    def __init__(self, block: BasicBlock, step: float, inner: float, into: float) -> None:
        super().__init__()
        self.conv1 = Int8Conv([block.conv1], [step], into=inner)
        self.conv2 = Int8Conv([block.conv2], [inner], into=into, onto_step=step)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv2(self.conv1(x), x))


class _Int8Bottleneck(nn.Module):
    """A bottleneck of stride 1, uint8 to uint8; its shortcut's convolution and its last one are one."""

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
    """One output of an exchange: of all branches, uint8 in `steps`, to uint8 in the step `into`, or for None to float32.

    Convolutions of coarser branches are one, on what they are brought to the output's size before; the last ones of
    finer branches are one, too.
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
    """An exchange module; one of `sums` for every branch that comes out, none where nothing is exchanged."""

    def __init__(self, branches: Sequence[nn.Module], sums: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches, self.sums = nn.ModuleList(branches), nn.ModuleList(sums)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        # The first sum is made in its branch's own memory, so it comes last.
        sums = [total(branches) for total in reversed(self.sums)]
        return sums[::-1] or branches


def _quantise_trunk(trunk: HRNetTrunk, prefix: str, ranges: Ranges) -> None:
    """Change the trunk so that its forward takes floats, and gives floats from its last module on."""

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
    """The module of that name, its branches coming in `steps`, and the steps in which they come out.

    `following` is the module that they go to; "" for none, which takes floats.
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
    return _Int8Exchange(branches, sums), out or inside


def to_uint8(x: Tensor, step: float, zero: int = 0) -> Tensor:
    """Floats in whole `step`s from `zero` on, 0 to 255; what lies beyond is cut off."""
    # By way of int8, which PyTorch turns floats into several times as fast as into uint8.
    moved = torch.add(torch.tensor(float(zero - 128)), x, alpha=1 / step)
    return moved.round_().clamp_(-128, 127).to(torch.int8).view(torch.uint8).bitwise_xor_(128)


def _steps(within: tuple[float, float]) -> tuple[float, int]:
    """The step, and which of 0 to 255 is 0, for values from `low` (0 or less) to `high`."""
    low, high = within
    step = max((high - low) / _LEVELS, 1e-9)
    return step, round(-low / step)


def _convs(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)
