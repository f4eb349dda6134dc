"""What the scripts that compare with recorded numbers share: seeded numbers, measures, one line a case."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


def draw(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal numbers that depend on the name alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)


class Report:
    """Collects the measures of one case and prints them as one line."""

    def __init__(self, case: str) -> None:
        self.case, self.measures, self.failures = case, dict[str, float](), list[str]()

    def error(self, name: str, value: float, tolerance: float) -> None:
        """An error that may be at most `tolerance`; of several with one name the largest is shown."""
        self.measures[name] = max(value, self.measures.get(name, 0.0))
        if not value <= tolerance:
            self.failures.append(f"{name} {value:.3g} > {tolerance:g}")

    def share(self, name: str, value: float, least: float) -> None:
        """A share that must be at least `least`; of several with one name the smallest is shown."""
        self.measures[name] = min(value, self.measures.get(name, 1.0))
        if not value >= least:
            self.failures.append(f"{name} {value:.4f} < {least:g}")

    def close(self) -> int:
        """Print the line; 1 if anything failed."""
        shown = " ".join(f"{name}={value:.3g}" for name, value in self.measures.items())
        verdict = "FAIL " + "; ".join(self.failures) if self.failures else "ok"
        print(f"{self.case}: {verdict} | {shown}", flush=True)
        return int(bool(self.failures))


def sampled_error(values: Tensor, golden: Any, name: str) -> float:
    """Largest difference over the recorded positions of a tensor."""
    flat = values.detach().double().flatten().numpy()
    return float(np.abs(flat[golden[name + ".idx"]] - golden[name + ".val"]).max())


def share_found(found: Array, wanted: Array, tolerances: list[float]) -> float:
    """Share of the rows of `wanted` that have a row of `found` within the tolerance of every column."""
    if len(wanted) == 0 or len(found) == 0:
        return float(len(wanted) == len(found))
    near = (np.abs(wanted[:, None] - found[None]) <= np.array(tolerances)).all(axis=2)
    return float(near.any(axis=1).mean())
