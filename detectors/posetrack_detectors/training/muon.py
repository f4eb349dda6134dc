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
        for group in self.param_groups:
            alike = defaultdict(list)  # on a GPU many small matrices cost far more than one stack of them
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[weight.shape].append(weight)
            for weights in alike.values():
                directions = orthogonal(torch.stack([self._ahead(weight) for weight in weights]))
                size = group["lr"] * STEP * max(directions.shape[1:]) ** 0.5
                for weight, direction in zip(weights, directions, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.sub_(direction.view(weight.shape), alpha=size)

    def _ahead(self, weight: nn.Parameter) -> Tensor:
        """The gradient's moving average (out, rest), one step ahead (Nesterov)."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["average"] = torch.zeros_like(weight)
        state["average"].lerp_(weight.grad, 1 - MOMENTUM)
        return weight.grad.lerp(state["average"], MOMENTUM).flatten(1)


def orthogonal(matrices: Tensor) -> Tensor:
    """Of each of (N, rows, columns): the same singular vectors, singular values between 0.7 and 1.2.

    By Newton-Schulz iterations; singular values below a thousandth of the matrix's norm stay smaller.
    """
    a, b, c = COEFFICIENTS
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / (torch.linalg.matrix_norm(wide, keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x if wide is matrices else x.mT
    return result
