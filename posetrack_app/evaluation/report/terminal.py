"""Scores as tables in the terminal, with the columns of the papers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.evaluation.posetrack.sweep import SweepPoint, best_map, best_mota
from posetrack_app.evaluation.report.tables import COLUMNS

HOTA_COLUMNS = ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr")
_WORST = 5


def as_tables(result: Evaluation) -> RenderableType:
    """All tables; they need 110 columns."""
    return Group(*_tables(result))


def number(value: float | None) -> str:
    """One decimal, as in the papers; a dash for an undefined value."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.1f}"


def _tables(result: Evaluation) -> Iterator[RenderableType]:
    if result.kind != "posetrack":
        yield _table(f"{result.kind} (%)", list(result.totals), [("", list(result.totals.values()))])
        return
    rows = []
    for name, content in result.protocols.items():
        if "ap_before_threshold" in content:
            rows.append((f"{name}, all keypoints", content["ap_before_threshold"]["table"]))
            rows.append((f"{name}, score ≥ {result.keypoint_threshold:g}", content["ap"]["table"]))
        else:
            rows.append((name, content["ap"]["table"]))
    yield _table("Poses: AP (%)", COLUMNS, rows)
    tracked = {name: content["mot"] for name, content in result.protocols.items() if "mot" in content}
    if tracked:
        columns = (*COLUMNS, "MOTP", "Prec", "Rec", "IDSW")
        yield _table(
            "Tracks: MOTA (%)",
            columns,
            [(name, [*mot["table"], sum(mot["counts"]["num_switches"])]) for name, mot in tracked.items()],
        )
    hota = {n: c["hota"]["mean_over_alpha"] for n, c in result.protocols.items() if "hota" in c}
    if hota:
        rows = [(name, [means[column][-1] for column in HOTA_COLUMNS]) for name, means in hota.items()]
        yield _table("Tracks: HOTA of keypoints (%), totals", HOTA_COLUMNS, rows)
    yield from _worst_sequences(result)
    if result.sweep:
        yield from _sweep(result.sweep)
    for problem in result.problems:
        yield Text(f"not scored: {problem}", style="yellow")


def _empty_table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)


def _table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float | None]]]) -> Table:
    table = _empty_table(title)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for name, values in rows:
        cells = (str(v) if isinstance(v, int) else number(v) for v in values)
        table.add_row(name, *cells)
    return table


def sequence_rows(result: Evaluation) -> list[tuple[str, float | None, float | None, int]]:
    """(sequence, mAP, MOTA, keypoint switches), lowest MOTA first, of the first protocol that scores tracks."""
    content = next((c for c in result.protocols.values() if "mot" in c), None)
    if content is None:
        return []
    rows = [
        (
            name,
            content["ap_per_sequence"][name]["ap"][-1],
            mot["mota"][-1],
            sum(mot["counts"]["num_switches"]),
        )
        for name, mot in content["mot_per_sequence"].items()
    ]
    return sorted(rows, key=lambda row: (row[2] is None, row[2], row[0]))


def _worst_sequences(result: Evaluation) -> Iterator[RenderableType]:
    rows = sequence_rows(result)
    if len(rows) > 1:
        yield _table(
            f"Lowest MOTA of {len(rows)} sequences",
            ("AP", "MOTA", "IDSW"),
            [(name, values) for name, *values in rows[:_WORST]],
        )


def _sweep(points: Sequence[SweepPoint]) -> Iterator[RenderableType]:
    table = _empty_table("Dropping keypoints below a score")
    for column in ("score ≥", "mAP", "MOTA"):
        table.add_column(column, justify="right")
    table.add_column("MOTA, 0 to 100 %")
    for point in points:
        bar = "█" * round(max(0.0, point.mota) / 100 * 40)
        table.add_row(f"{point.threshold:g}", number(point.map), number(point.mota), bar)
    yield table
    pose, track = best_map(points), best_mota(points)
    yield Text(f"best mAP  {number(pose.map)} at {pose.threshold:g} (MOTA {number(pose.mota)})")
    yield Text(f"best MOTA {number(track.mota)} at {track.threshold:g} (mAP {number(track.map)})")
