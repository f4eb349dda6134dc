"""Muon: gradient descent whose steps are orthogonal matrices, for the hidden layers of a network.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. Steps are as large as AdamW's, so that
the same learning rate fits (Liu et al., "Muon is scalable for LLM training", 2025). torch.optim.Muon takes no
convolutions.
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
"""Of a polynomial that brings singular values near 1 in few iterations, rather than close to it."""


class Muon(torch.optim.Optimizer):
    """For weights of two or more dimensions; a convolution's are the matrix (out, in * height * width)."""

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(weights, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step; `closure` is not asked."""
        # On a GPU many small steps cost far more than one for all of them.
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
            alike = defaultdict(list)
            for weight, direction in zip(weights, self._ahead(weights), strict=True):
                alike[weight.shape].append((weight, direction.flatten(1)))
            for shape, members in alike.items():
                directions = orthogonal(torch.stack([direction for _, direction in members]))
                size = group["lr"] * STEP * max(directions.shape[1:]) ** 0.5
                steps = list(directions.view(-1, *shape).unbind())
                torch._foreach_add_([weight for weight, _ in members], steps, alpha=-size)

    def _ahead(self, weights: list[nn.Parameter]) -> list[Tensor]:
        """The gradients' moving averages, one step ahead (Nesterov)."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["average"] = torch.zeros_like(weight)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        averages = [self.state[weight]["average"] for weight in weights]
        torch._foreach_lerp_(averages, gradients, 1 - MOMENTUM)
        return list(torch._foreach_lerp(gradients, averages, MOMENTUM))


def orthogonal(matrices: Tensor) -> Tensor:
    """Of each of (N, rows, columns): the same singular vectors, singular values between 0.7 and 1.2.

    By Newton-Schulz iterations; singular values below a thousandth of the matrix's norm stay smaller.
    """
    a, b, c = COEFFICIENTS
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / (torch.linalg.matrix_norm(wide, keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = x if wide is matrices else x.mT
    return result
