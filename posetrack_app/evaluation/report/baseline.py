"""Compare totals with those of an earlier evaluation, for continuous integration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import load_json


def read_totals(baseline: Path) -> Mapping[str, float | None]:
    """The totals of an earlier evaluation. InputError if the file was not written by `posetrack evaluate`."""
    content = load_json(baseline)
    before = content.get("totals") if isinstance(content, dict) else None
    if not isinstance(before, dict) or not before:
        raise InputError(
            f"{baseline} has no 'totals'; write the baseline with posetrack evaluate", option="json"
        )
    for name, total in before.items():
        if total is not None and (isinstance(total, bool) or not isinstance(total, (int, float))):
            raise InputError(f"{baseline}: the total '{name}' is not a number")
    return before


def worse_totals(
    before: Mapping[str, float | None], totals: Mapping[str, float | None], margin: float
) -> list[str]:
    """One line for every total of `before` that is now lower by more than `margin`, or missing.

    All totals are percentages, higher is better.
    """
    lines = []
    for name, old in before.items():
        if old is None:
            continue
        new = totals.get(name)
        if new is None:
            lines.append(f"{name}: {old:.3f} before, missing now")
        elif new < old - margin:
            lines.append(f"{name}: {old:.3f} before, {new:.3f} now ({new - old:+.3f}, allowed -{margin:g})")
    return lines
