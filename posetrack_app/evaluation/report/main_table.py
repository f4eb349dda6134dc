"""The main table of a paper, one row for each result and protocol: for the pages, and as CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.evaluation.report.tables import COLUMNS

HOTA_COLUMNS = ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr")
Row = dict[str, float | int | None]


def main_rows(names: Sequence[str], results: Sequence[Evaluation]) -> list[tuple[str, str, Row]]:
    """(name, protocol or "", scores): percentages, higher is better, except the count IDSW; None if undefined.

    A score that a protocol does not have is missing.
    """
    rows = []
    for name, result in zip(names, results, strict=True):
        if result.kind != "posetrack":
            rows.append((name, "", dict(result.totals)))
        for protocol, content in result.protocols.items():
            rows.append((name, protocol, _scores(content)))
    return rows


def _scores(content: dict[str, Any]) -> Row:
    row: Row = {f"AP {column}": value for column, value in zip(COLUMNS, content["ap"]["table"], strict=True)}
    if "mot" in content:
        mot = content["mot"]
        columns = [f"MOTA {column}" for column in COLUMNS]
        row |= dict(zip([*columns, "MOTP", "Prec", "Rec"], mot["table"], strict=True))
        row["IDSW"] = sum(mot["counts"]["num_switches"])
        row |= {key.upper(): mot[key][-1] for key in ("idf1", "idp", "idr") if key in mot}
    if "hota" in content:
        row |= {column: content["hota"]["mean_over_alpha"][column][-1] for column in HOTA_COLUMNS}
    return row


def main_table_csv(names: Sequence[str], results: Sequence[Evaluation]) -> str:
    """The main table with all digits, undefined and missing scores empty."""
    rows = main_rows(names, results)
    columns = list(dict.fromkeys(column for _, _, row in rows for column in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["result", "protocol", *columns])
    for name, protocol, row in rows:
        values = [row.get(column) for column in columns]
        writer.writerow([name, protocol, *("" if value is None else value for value in values)])
    return text.getvalue()


def main_table_latex(names: Sequence[str], results: Sequence[Evaluation]) -> str:
    """The main table for the package booktabs, with one decimal; the best of several results in bold.

    AP of the groups of keypoints, then the totals of MOTA, MOTP, IDF1 and HOTA.
    """
    rows = main_rows(names, results)
    chosen = [*(f"AP {column}" for column in COLUMNS), "MOTA Total", "MOTP", "IDF1", "HOTA"]
    columns = [c for c in chosen if any(c in row for _, _, row in rows)]
    columns = columns or list(dict.fromkeys(column for _, _, row in rows for column in row))
    heads = [c.removeprefix("AP ").replace("MOTA Total", "MOTA").replace("Total", "mAP") for c in columns]
    lines = [
        "% Needs \\usepackage{booktabs}.",
        f"\\begin{{tabular}}{{ll{'r' * len(columns)}}}",
        "\\toprule",
        " & ".join(["Method", "Protocol", *map(_escape, heads)]) + " \\\\",
        "\\midrule",
    ]
    for name, protocol, row in rows:
        cells = [_latex_cell(row.get(c), _best(rows, protocol, c)) for c in columns]
        lines.append(" & ".join([_escape(name), _escape(protocol), *cells]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _best(rows: Sequence[tuple[str, str, Row]], protocol: str, column: str) -> float | None:
    """The highest value of a protocol, as printed; None if there is nothing to compare."""
    values = [row.get(column) for _, other, row in rows if other == protocol]
    known = [round(value, 1) for value in values if value is not None]
    return max(known) if len(known) > 1 and len(set(known)) > 1 else None


def _latex_cell(value: float | None, best: float | None) -> str:
    if value is None:
        return "--"
    text = f"{value:.1f}"
    return f"\\textbf{{{text}}}" if best is not None and round(value, 1) == best else text


def _escape(text: str) -> str:
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)
