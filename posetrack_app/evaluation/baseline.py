"""Compare totals with an earlier result, for users' continuous integration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from posetrack_app.errors import InputError
from posetrack_app.formats.json_file import load_json


def read_totals(baseline: Path) -> Mapping[str, float | None]:
    """The totals of an earlier result; InputError if the file was not written by `evaluate --json`."""
    content = load_json(baseline)
    before = content.get("totals") if isinstance(content, dict) else None
    if not isinstance(before, dict) or not before:
        raise InputError(
            f"{baseline}: has no 'totals'; write it with posetrack evaluate --json {baseline.name}"
        )
    for name, total in before.items():
        if total is not None and (isinstance(total, bool) or not isinstance(total, (int, float))):
            raise InputError(f"{baseline}: its total '{name}' is no number")
    return before


def fallen_totals(
    before: Mapping[str, float | None], totals: Mapping[str, float | None], margin: float
) -> list[str]:
    """One line for every total of `before` that is now lower by more than `margin`, or gone.

    Every total is "higher is better".
    """
    lines = []
    for name, old in before.items():
        if old is None:
            continue
        new = totals.get(name)
        if new is None:
            lines.append(f"{name}: {old:.3f} before, not scored now")
        elif new < old - margin:
            lines.append(f"{name}: {old:.3f} before, {new:.3f} now ({new - old:+.3f}, allowed -{margin:g})")
    return lines
