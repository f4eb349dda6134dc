"""Published scores that a benchmark with the same weights should reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from posetrack_app.core.errors import InputError


@dataclass(frozen=True)
class Expected:
    """Published scores in percent, how far ours may be off, and where they are from."""

    scores: Mapping[str, float]
    tolerance: float
    source: str


_MMPOSE = "mmpose model zoo, hrnet_w48_posetrack18_384x288"
_EXPECTED = {
    ("posetrack18", "val", "posetrack18", ("boxes",)): Expected(
        {"poseval mAP": 84.6}, 1.0, f"{_MMPOSE}, boxes of the ground truth: mAP 84.6"
    ),
    # Their boxes are from a Cascade R-CNN X101-64x4d, ours from a Faster R-CNN HRNetV2p-W40: a wide tolerance.
    ("posetrack18", "val", "posetrack18", ()): Expected(
        {"poseval mAP": 77.8}, 3.0, f"{_MMPOSE}, boxes of a Cascade R-CNN X101: mAP 77.8"
    ),
}
"""(data set, split, preset, oracles) -> what is published for the weights of the preset."""


def expected_scores(dataset: str, split: str, preset: str, oracles: Sequence[str]) -> Expected:
    """What is published for this benchmark. InputError if nothing is known."""
    found = _EXPECTED.get((dataset, split, preset, tuple(oracles)))
    if found is None:
        known = "; ".join(
            f"{data} {part}, preset {name}" + (f", true {' and '.join(true)}" if true else "")
            for data, part, name, true in _EXPECTED
        )
        raise InputError(
            f"no published scores are known for this run; they are for: {known}", option="expect"
        )
    return found


def unexpected(expected: Expected, totals: Mapping[str, float | None]) -> list[str]:
    """One line for each score that is further off than the tolerance, in either direction."""
    lines = []
    for name, value in expected.scores.items():
        found = totals.get(name)
        if found is None or abs(found - value) > expected.tolerance:
            shown = "undefined" if found is None else f"{found:.1f}"
            lines.append(f"{name} {shown}, expected {value:.1f} within {expected.tolerance:.1f}")
    return lines
