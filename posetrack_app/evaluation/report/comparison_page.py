"""One self-contained HTML page about two or more results: what differs, where, and whether it may be chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np

from posetrack_app.core.version import __version__
from posetrack_app.evaluation.compare import Comparison
from posetrack_app.evaluation.error_analysis import analyse_errors
from posetrack_app.evaluation.report.html import Cell, Content, document, facts, table
from posetrack_app.evaluation.report.main_table import main_rows
from posetrack_app.evaluation.report.page import settings_section
from posetrack_app.evaluation.report.sequence_table import sequence_scores
from posetrack_app.evaluation.report.tables import number, signed
from posetrack_app.formats.svg_chart import line_chart

_MAX_LINES = 8
_CHANCE = 0.05
"""Differences with a larger p value are not marked as better or worse."""


def comparison_page(comparison: Comparison) -> str:
    """The page as HTML, without external resources. The first result is the one that the others are compared with."""
    names = comparison.names
    rows = [
        (f"Result {k}", f"{n} ({r.predictions})")
        for k, (n, r) in enumerate(zip(names, comparison.results, strict=True), 1)
    ]
    rows += [
        ("Ground truth", comparison.results[0].truth),
        ("Scored by", f"posetrack-app {__version__}; in percent"),
    ]
    problems = "".join(
        f"<p><b>Not scored:</b> {escape(name)}: {escape(problem)}</p>"
        for name, result in zip(names, comparison.results, strict=True)
        for problem in result.problems
    )
    head = f"<h1>{escape(' against '.join((names[0], ', '.join(names[1:]))))}</h1>{facts(rows)}{problems}"
    return document("PoseTrack comparison", _sections(comparison), head)


def _sections(comparison: Comparison) -> Iterator[tuple[str, str]]:
    yield "Scores", _main_table(comparison)
    protocols = [
        p for p in comparison.results[0].protocols if all(p in r.protocols for r in comparison.results)
    ]
    if not protocols:
        return
    yield "Differences", "".join(_differences(comparison, protocol) for protocol in protocols)
    first = protocols[0]
    yield "Curves", _curves(comparison, first)
    yield "What AP is lost to", _ap_losses(comparison, first)
    yield "Joints", _joints(comparison, first)
    yield "Sequences", _sequences(comparison, first)
    for name, result in zip(comparison.names, comparison.results, strict=True):
        if result.run:
            yield f"Settings and weights of {name}", settings_section(result.run)


def _main_table(comparison: Comparison) -> str:
    rows = main_rows(comparison.names, comparison.results)
    columns = list(dict.fromkeys(column for _, _, row in rows for column in row))
    groups = [[c for c in columns if c.startswith("AP ")], [c for c in columns if c.startswith("MOTA ")]]
    rest = [c for c in columns if not c.startswith(("AP ", "MOTA "))]
    return "".join(_part(rows, group) for group in (*groups, rest) if group)


def _part(rows: list[tuple[str, str, dict[str, Any]]], columns: list[str]) -> str:
    """Some columns of the main table; the best value of a protocol is bold."""
    rows = sorted((row for row in rows if any(c in row[2] for c in columns)), key=lambda row: row[1])
    lines: list[list[Content]] = []
    for name, protocol, row in rows:
        line: list[Content] = [f"{name}, {protocol}" if protocol else name]
        for column in columns:
            value = row.get(column)
            others = [other.get(column) for _, same, other in rows if same == protocol]
            known = [round(v, 1) for v in others if v is not None]
            best = (min if column == "IDSW" else max)(known, default=None)
            is_best = value is not None and round(value, 1) == best and len(set(known)) > 1
            text = str(value) if isinstance(value, int) else number(value)
            line.append(Cell(text, value, "best" if is_best else ""))
        lines.append(line)
    title = columns[0].partition(" ")[0] if columns[0].startswith(("AP ", "MOTA ")) else ""
    heads = [column.removeprefix("AP ").removeprefix("MOTA ") for column in columns]
    return table((title, *heads), lines)


def _differences(comparison: Comparison, protocol: str) -> str:
    count = len(comparison.results[0].protocols[protocol]["ap_per_sequence"])
    rows: list[list[Content]] = []
    for name, found in zip(comparison.names[1:], comparison.differences[1:], strict=True):
        for score, difference in found.get(protocol, {}).items():
            sure = difference.p is not None and difference.p < _CHANCE
            value = difference.difference
            style = "" if not sure or not value else ("good" if value > 0 else "bad")
            verdict = "may be chance" if not sure else ("better" if (value or 0) > 0 else "worse")
            middle = f"{signed(difference.low)} to {signed(difference.high)}"
            p = "–" if difference.p is None else f"{difference.p:.3f}"
            rows.append(
                [name, Cell(score, None, "text"), Cell(signed(value), value, f"{style} total"), middle, p,
                 Cell(verdict, None, f"text {style or 'soft'}")]
            )  # fmt: skip
    note = "" if count >= 20 else " With so few sequences the intervals are too narrow."
    text = (
        f"<p>Protocol {escape(protocol)}: difference from {escape(comparison.names[0])} in points, its 95 % interval and "
        f"two-sided p value, by a paired bootstrap over the {count} sequences.{note}</p>"
    )
    return text + table(("result", "score", "difference", "95 % interval", "p", ""), rows)


def _curves(comparison: Comparison, protocol: str) -> str:
    """HOTA against alpha, or nothing without HOTA."""
    figures = []
    for key in ("HOTA", "DetA", "AssA"):
        lines = [
            (
                name,
                np.array(content["alphas"]),
                np.array([row[-1] or 0.0 for row in content["hota"]["by_alpha"][key]]),
            )
            for name, result in zip(comparison.names, comparison.results, strict=True)
            if "hota" in (content := result.protocols[protocol])
        ]
        if lines:
            highest = max(float(y.max()) for _, _, y in lines)
            top = min(100.0, 20.0 * math.ceil(highest / 20 + 1e-9))
            chart = line_chart(lines[:_MAX_LINES], "similarity (alpha)", key, (0.0, 1.0), (0.0, top))
            figures.append(
                f"<figure><figcaption>{key} against the similarity that a match needs.</figcaption>{chart}</figure>"
            )
    return f'<div class="charts three">{"".join(figures)}</div>'


def _marked(value: float | None, base: float | None, *, higher_is_better: bool = True) -> Cell:
    """A difference, green if better and red if worse by at least 0.05 points."""
    if value is None or base is None:
        return Cell("–")
    difference = value - base
    style = ""
    if abs(difference) >= 0.05:
        style = "good" if (difference > 0) == higher_is_better else "bad"
    return Cell(signed(difference), difference, style)


def _ap_losses(comparison: Comparison, protocol: str) -> str:
    found = [(r.errors or analyse_errors(r.scores)).losses for r in comparison.results]
    rows: list[list[Content]] = []
    for k, loss in enumerate(found[0]):
        row: list[Content] = [loss.kind, loss.in_turn]
        for other in found[1:]:
            row += [other[k].in_turn, _marked(other[k].in_turn, loss.in_turn, higher_is_better=False)]
        rows.append([*row, Cell(loss.explanation, None, "text wrap")])
    heads = [text for name in comparison.names[1:] for text in (name, "±")]
    text = f"<p>mAP points, in turn; the columns add up to what is missing to 100. Protocol {escape(protocol)}.</p>"
    return text + table(("error", comparison.names[0], *heads, ""), rows)


def _joints(comparison: Comparison, protocol: str) -> str:
    parts = []
    for title, path in (("AP", ("ap", "ap")), ("MOTA", ("mot", "mota")), ("IDF1", ("mot", "idf1"))):
        values = [result.protocols[protocol].get(path[0], {}).get(path[1]) for result in comparison.results]
        if any(value is None for value in values):
            continue
        joints = [name.replace("_", " ") for name in comparison.results[0].protocols[protocol]["joints"]]
        rows: list[list[Content]] = []
        for k, joint in enumerate((*joints, "total")):
            row: list[Content] = [joint, values[0][k]]
            for other in values[1:]:
                row += [other[k], _marked(other[k], values[0][k])]
            rows.append(row)
        heads = [text for name in comparison.names[1:] for text in (name, "±")]
        parts.append(f"<h3>{title}</h3>" + table(("joint", comparison.names[0], *heads), rows, sortable=True))
    return f'<div class="charts three">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def _sequences(comparison: Comparison, protocol: str) -> str:
    found = [sequence_scores(result.protocols[protocol]) for result in comparison.results]
    columns = [c for c in ("AP", "MOTA", "IDF1", "HOTA", "IDSW") if c in next(iter(found[0].values()), {})]
    rows: list[list[Content]] = []
    for name, base in found[0].items():
        row: list[Content] = [name]
        for column in columns:
            row.append(base[column])
            for other in found[1:]:
                if column == "IDSW":
                    fewer = (other[name][column] or 0) - (base[column] or 0)
                    style = "" if not fewer else ("good" if fewer < 0 else "bad")
                    row.append(Cell(f"{fewer:+d}".replace("-", "−") if fewer else "0", fewer, style))
                else:
                    row.append(_marked(other[name][column], base[column]))
        rows.append(row)
    heads = ["sequence"]
    for column in columns:
        heads += [column, *(f"± {name}" if len(found) > 2 else "±" for name in comparison.names[1:])]
    first = escape(comparison.names[0])
    text = f"<p>Scores of {first}, protocol {escape(protocol)}, and differences from it. A click on a heading sorts.</p>"
    return text + table(heads, rows, sortable=True, tall=len(rows) > 20)
