"""Compare totals with an earlier result, for users' continuous integration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from posetrack_app.errors import InputError
from posetrack_app.formats.json_file import load_json


def fallen_totals(baseline: Path, totals: Mapping[str, float | None], margin: float) -> list[str]:
    """One line for every total of the baseline file that is now lower by more than `margin`, or gone.

    Every total is "higher is better". InputError if the file was not written by `evaluate --json`.
    """
    content = load_json(baseline)
    before = content.get("totals") if isinstance(content, dict) else None
    if not isinstance(before, dict) or not before:
        raise InputError(
            f"{baseline}: has no 'totals'; write it with posetrack evaluate --json {baseline.name}"
        )
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
