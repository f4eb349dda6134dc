"""Shared by the golden comparisons: seeded random numbers, error measures, one line of output per case."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


def draw(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal numbers seeded by the name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)


class Report:
    """Collects the measures of one case and prints them as one line."""

    def __init__(self, case: str) -> None:
        self.case, self.measures, self.failures = case, dict[str, float](), list[str]()

    def error(self, name: str, value: float, tolerance: float) -> None:
        """Record an error that may be at most `tolerance`; of several with the same name the largest is printed."""
        self.measures[name] = max(value, self.measures.get(name, 0.0))
        if not value <= tolerance:
            self.failures.append(f"{name} {value:.3g} > {tolerance:g}")

    def share(self, name: str, value: float, minimum: float) -> None:
        """Record a share that must be at least `minimum`; of several with the same name the smallest is printed."""
        self.measures[name] = min(value, self.measures.get(name, 1.0))
        if not value >= minimum:
            self.failures.append(f"{name} {value:.4f} < {minimum:g}")

    def close(self) -> int:
        """Print the line; returns 1 if anything failed, else 0."""
        measures = " ".join(f"{name}={value:.3g}" for name, value in self.measures.items())
        verdict = "FAIL " + "; ".join(self.failures) if self.failures else "ok"
        print(f"{self.case}: {verdict} | {measures}", flush=True)
        return int(bool(self.failures))


def sampled_error(values: Tensor, golden: Any, name: str) -> float:
    """Largest difference at the recorded positions of a tensor."""
    flat = values.detach().double().flatten().numpy()
    return float(np.abs(flat[golden[name + ".idx"]] - golden[name + ".val"]).max())


def share_found(found: Array, expected: Array, tolerances: list[float]) -> float:
    """Share of the rows of `expected` with a row of `found` within the tolerance of every column."""
    if len(expected) == 0 or len(found) == 0:
        return float(len(expected) == len(found))
    near = (np.abs(expected[:, None] - found[None]) <= np.array(tolerances)).all(axis=2)
    return float(near.any(axis=1).mean())
