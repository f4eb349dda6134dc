"""Scores as tables in the terminal, with the columns of the papers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from posetrack_app.evaluation.compare import Comparison
from posetrack_app.evaluation.error_analysis import ErrorAnalysis
from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.evaluation.posetrack.sweep import SweepPoint, best_map, best_mota
from posetrack_app.evaluation.report.main_table import HOTA_COLUMNS
from posetrack_app.evaluation.report.tables import COLUMNS, number, signed

POOLED_COLUMNS = ("HOTA", "DetA", "AssA", "FragA", "FA-HOTA", "LocA")
_WORST = 5


def as_tables(result: Evaluation) -> RenderableType:
    """All tables; they need 110 columns."""
    return Group(*_tables(result))


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
        yield _table(
            "Tracks: MOTA (%)",
            (*COLUMNS, "MOTP", "Prec", "Rec", "IDSW"),
            [(name, [*mot["table"], sum(mot["counts"]["num_switches"])]) for name, mot in tracked.items()],
        )
    identity = {name: mot for name, mot in tracked.items() if "idf1" in mot}
    if identity:
        rows = [(name, [mot[key][-1] for key in ("idf1", "idp", "idr")]) for name, mot in identity.items()]
        yield _table("Tracks: IDF1 of keypoints (%)", ("IDF1", "IDP", "IDR"), rows)
    hota = {n: c["hota"]["mean_over_alpha"] for n, c in result.protocols.items() if "hota" in c}
    if hota:
        rows = [(name, [means[column][-1] for column in HOTA_COLUMNS]) for name, means in hota.items()]
        yield _table("Tracks: HOTA of keypoints (%), totals", HOTA_COLUMNS, rows)
    yield from _pooled_hota(result)
    yield from _intervals(result)
    yield from _worst_sequences(result)
    if result.errors is not None:
        yield from _errors(result.errors)
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


def _pooled_hota(result: Evaluation) -> Iterator[RenderableType]:
    """The two protocols of the PoseTrack21 leader board, if that kit's rules were asked for."""
    content = result.protocols.get("posetrack21", {}).get("hota_pooled")
    if content is None:
        return
    rows = [
        (title, [content[key][column][-1] for column in POOLED_COLUMNS])
        for key, title in (
            ("mean_of_sequences", "protocol 1: mean of sequences"),
            ("whole_set", "protocol 2: whole set"),
        )
        if key in content
    ]
    yield _table("PoseTrack21 leader board (%)", POOLED_COLUMNS, rows)
    if "whole_set" not in content:
        yield Text("protocol 2 needs a 'person_id' for every person, in both folders", style="dim")


def _intervals(result: Evaluation) -> Iterator[RenderableType]:
    names = list(dict.fromkeys(name for found in result.intervals.values() for name in found))
    if names:
        table = _empty_table("95 % intervals by bootstrap over the sequences")
        table.add_column("", no_wrap=True)
        for name in names:
            table.add_column(name, justify="right")
        for protocol, found in result.intervals.items():
            cells = (f"{number(found[n].low)}–{number(found[n].high)}" if n in found else "" for n in names)
            table.add_row(protocol, *cells)
        yield table


def _errors(errors: ErrorAnalysis) -> Iterator[RenderableType]:
    table = _empty_table(f"What AP is lost to, in points ({errors.protocol})")
    table.add_column("", no_wrap=True)
    for column in ("keypoints", "alone", "in turn"):
        table.add_column(column, justify="right")
    table.add_column("most in", no_wrap=True)
    for loss in errors.losses:
        table.add_row(
            loss.kind,
            str(loss.keypoints),
            number(loss.alone),
            number(loss.in_turn),
            loss.worst_sequence or "–",
        )
    yield table
    columns = ("misses", "false pos.", "switches")
    sequences = [(s.sequence, [s.misses, s.false_positives, s.switches]) for s in errors.sequences[:_WORST]]
    frames = [
        (f"{f.sequence} frame {f.frame}", [f.misses, f.false_positives, f.switches])
        for f in errors.frames[:_WORST]
    ]
    if sequences:
        yield _table("Sequences with the most keypoint errors", columns, sequences)
    if frames:
        yield _table("Frames with the most keypoint errors", columns, frames)


def comparison_tables(comparison: Comparison) -> RenderableType:
    """The main scores of all results, and the differences from the first one."""
    return Group(*_comparison_tables(comparison))


def _comparison_tables(comparison: Comparison) -> Iterator[RenderableType]:
    columns = list(dict.fromkeys(name for result in comparison.results for name in result.totals))
    rows = [
        (name, [result.totals.get(column) for column in columns])
        for name, result in zip(comparison.names, comparison.results, strict=True)
    ]
    protocols = list(dict.fromkeys(column.rpartition(" ")[0] for column in columns))
    for protocol in protocols:
        chosen = [k for k, column in enumerate(columns) if column.rpartition(" ")[0] == protocol]
        yield _table(
            f"{protocol} (%)".strip(),
            [columns[k].removeprefix(f"{protocol} ") for k in chosen],
            [(name, [values[k] for k in chosen]) for name, values in rows],
        )
    table = _empty_table(
        f"Difference from {comparison.names[0]} in points, 95 % interval, p (paired bootstrap)"
    )
    for column in ("", "protocol", "score"):
        table.add_column(column, no_wrap=True)
    for column in ("difference", "interval", "p"):
        table.add_column(column, justify="right")
    for name, found in zip(comparison.names[1:], comparison.differences[1:], strict=True):
        for protocol, scores in found.items():
            for score, each in scores.items():
                p = "–" if each.p is None else f"{each.p:.3f}"
                middle = f"{signed(each.low)} to {signed(each.high)}"
                table.add_row(name, protocol, score, signed(each.difference), middle, p)
    if table.row_count:
        yield table
    for name, result in zip(comparison.names, comparison.results, strict=True):
        for problem in result.problems:
            yield Text(f"not scored: {name}: {problem}", style="yellow")


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
