"""Muon: an optimizer for hidden layers whose steps are orthogonalised momentum.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. Steps are scaled to the size of AdamW's,
so that both use the same learning rate (Liu et al., "Muon is scalable for LLM training", 2025). torch.optim.Muon does
not support convolutions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
STEP = 0.2
"""Root mean square of a step's elements at a learning rate of 1."""
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial in the iteration; it gets singular values roughly to 1 quickly, not exactly."""


class Muon(torch.optim.Optimizer):
    """For weights of two or more dimensions; those of a convolution become a matrix (out, in * height * width)."""

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take one step; `closure` is ignored."""
        # Batched by shape: on a GPU many small operations cost far more than one large one.
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            by_shape = defaultdict(list)
            for weight, direction in zip(weights, self._nesterov(weights), strict=True):
                by_shape[weight.shape].append((weight, direction.flatten(1)))
            for shape, members in by_shape.items():
                directions = orthogonal(torch.stack([direction for _, direction in members]))
                size = group["lr"] * STEP * max(directions.shape[1:]) ** 0.5
                steps = list(directions.view(-1, *shape).unbind())
                torch._foreach_add_([weight for weight, _ in members], steps, alpha=-size)

    def _nesterov(self, weights: list[nn.Parameter]) -> list[Tensor]:
        """Update the moving averages of the gradients and return Nesterov's momentum."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["average"] = torch.zeros_like(weight)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        averages = [self.state[weight]["average"] for weight in weights]
        torch._foreach_lerp_(averages, gradients, 1 - MOMENTUM)
        return list(torch._foreach_lerp(gradients, averages, MOMENTUM))


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring the singular values of each matrix (N, rows, columns) to between 0.7 and 1.2, by Newton-Schulz iterations.

    Singular vectors stay the same. Singular values below a thousandth of the matrix norm end up smaller.
    """
    a, b, c = COEFFICIENTS
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / (torch.linalg.matrix_norm(wide, keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = x if wide is matrices else x.mT
    return result
