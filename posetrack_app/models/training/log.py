"""The log of a training as JSON lines, and its curves as SVG charts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import write_atomic
from posetrack_app.formats.svg_chart import chart_file, line_chart

_QUALITY = ("_oks_ar", "_pck20", "ap50", "_recall")
"""Endings of the names of dev results to draw."""
_MAX_LINES = 6


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log; skips a last line that is incomplete."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def append_log(path: Path, record: dict[str, Any]) -> None:
    """Append one record."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise InputError(f"{path}: writing failed ({error.strerror})") from error


def cut_log(path: Path, seen: int) -> None:
    """Remove records after the checkpoint at `seen` samples: those steps will be repeated."""
    if path.is_file():
        kept = [record for record in read_log(path) if record.get("seen", 0) <= seen]
        write_atomic(path, "".join(json.dumps(record) + "\n" for record in kept))


def draw_curves(records: Sequence[dict[str, Any]], folder: Path) -> None:
    """Draw loss.svg and, if there are dev results, dev.svg; the x axis is thousands of samples."""
    losses = [(record["seen"], record["loss"]) for record in records if "loss" in record]
    if losses:
        _draw({"loss": losses}, "loss", max(loss for _, loss in losses), folder / "loss.svg")
    names = dict.fromkeys(n for record in records for n in record if n.endswith(_QUALITY))
    lines = {
        name: [(record["seen"], record[name]) for record in records if name in record]
        for name in list(names)[:_MAX_LINES]
    }
    if lines:
        _draw(lines, "dev images", 1.0, folder / "dev.svg")


def _draw(lines: dict[str, list[tuple[float, float]]], title: str, top: float, path: Path) -> None:
    columns = [(name, *np.array(points, dtype=float).T) for name, points in lines.items()]
    longest = max(float(x.max()) for _, x, _ in columns) / 1000
    chart = line_chart(
        [(name, x / 1000, y) for name, x, y in columns], "thousand samples", title, (0.0, longest), (0.0, top)
    )
    write_atomic(path, chart_file(chart, list(lines)))
