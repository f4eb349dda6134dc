"""One self-contained HTML page: tables, curves, sequences (worst first) and identity switches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import numpy as np

from posetrack_app.core.version import __version__
from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.evaluation.posetrack.average_precision import precision_recall_curve
from posetrack_app.evaluation.posetrack.sweep import best_map, best_mota
from posetrack_app.evaluation.report.tables import COLUMNS, JOINT_GROUPS
from posetrack_app.evaluation.report.terminal import HOTA_COLUMNS, number, sequence_rows
from posetrack_app.formats.svg_chart import bar_chart, line_chart

_MAX_SWITCHES = 1000
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --rule: #d5dbe3; --ground: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9f0; --soft: #9aa6b5; --rule: #38424f; --ground: #14181e; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
p, figcaption { color: var(--soft); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; max-width: 40rem; font-size: 11px; } svg text { fill: var(--soft); }
.grid { stroke: var(--rule); } .axis { stroke: var(--soft); } circle { fill: var(--ink); }
.line { fill: none; stroke-width: 2; } rect.c0 { fill: #2f6fb5; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: 13px; }
.legend i { display: inline-block; width: 1rem; height: 3px; margin-right: .35rem; vertical-align: middle; }
.c0 { stroke: #2f6fb5; background: #2f6fb5; } .c1 { stroke: #d1741f; background: #d1741f; }
.c2 { stroke: #2f8f57; background: #2f8f57; } .c3 { stroke: #b3403f; background: #b3403f; }
.c4 { stroke: #7d5fb0; background: #7d5fb0; } .c5 { stroke: #8a6a4f; background: #8a6a4f; }
.c6 { stroke: #c95b9c; background: #c95b9c; } rect { stroke: none !important; }
"""


def report_page(result: Evaluation) -> str:
    """The complete page as HTML, without external resources."""
    body = "\n".join(_sections(result))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>PoseTrack evaluation</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _sections(result: Evaluation) -> Iterator[str]:
    yield "<h1>PoseTrack evaluation</h1>"
    kept = (
        "" if result.keypoint_threshold is None else f", keypoints with score ≥ {result.keypoint_threshold:g}"
    )
    yield (
        f"<p>Predictions <b>{escape(result.predictions)}</b>{kept}<br>"
        f"Ground truth <b>{escape(result.truth)}</b><br>posetrack-app {__version__}. All scores in percent.</p>"
    )
    for problem in result.problems:
        yield f"<p><b>Not scored:</b> {escape(problem)}</p>"
    for name, content in result.protocols.items():
        yield f"<h2>Protocol {escape(name)}</h2>"
        rows: list[tuple[str, Sequence[float | None]]] = []
        if "ap_before_threshold" in content:
            rows.append(("AP, all keypoints", content["ap_before_threshold"]["table"]))
        rows += [
            ("AP", content["ap"]["table"]),
            ("precision", content["ap"]["table_pre"]),
            ("recall", content["ap"]["table_rec"]),
        ]
        if "mot" in content:
            rows.append(("MOTA", content["mot"]["table"][: len(COLUMNS)]))
            motp, precision, recall = content["mot"]["table"][len(COLUMNS) :]
            switches = sum(content["mot"]["counts"]["num_switches"])
        yield _table(("", *COLUMNS), rows)
        if "mot" in content:
            yield (
                f"<p>Tracks: MOTP {number(motp)}, precision {number(precision)}, "
                f"recall {number(recall)}, {switches} keypoint identity switches.</p>"
            )
        if "hota" in content:
            means = content["hota"]["mean_over_alpha"]
            yield _table(("", *HOTA_COLUMNS), [("total", [means[column][-1] for column in HOTA_COLUMNS])])
    yield from _curves(result)
    yield from _sweep(result)
    yield from _sequences(result)
    yield from _switches(result)


def _table(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float | int | None]]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = []
    for name, values in rows:
        cells = "".join(f"<td>{v if isinstance(v, int) else number(v)}</td>" for v in values)
        lines.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _curves(result: Evaluation) -> Iterator[str]:
    name, scores = next(iter(result.scores.items()))
    lines = [
        (column, *precision_recall_curve(scores.ranked, group))
        for column, group in zip(COLUMNS, JOINT_GROUPS, strict=False)
    ]
    yield "<h2>Precision and recall of keypoints</h2>"
    yield f"<p>Protocol {escape(name)}; precision is interpolated.</p>"
    yield line_chart(lines, "recall", "precision", (0.0, 1.0), (0.0, 1.0))


def _sweep(result: Evaluation) -> Iterator[str]:
    if not result.sweep:
        return
    x = np.array([point.threshold for point in result.sweep])
    maps, motas = np.array([p.map for p in result.sweep]), np.array([p.mota for p in result.sweep])
    pose, track = best_map(result.sweep), best_mota(result.sweep)
    low = min(0.0, float(np.nanmin(motas, initial=0.0)))
    best = [(pose.threshold, pose.map, "best mAP"), (track.threshold, track.mota, "best MOTA")]
    yield "<h2>Dropping keypoints below a score</h2>"
    yield line_chart(
        [("mAP", x, np.nan_to_num(maps)), ("MOTA", x, np.nan_to_num(motas))],
        "lowest score kept",
        "mAP and MOTA",
        (float(x[0]), float(x[-1])),
        (low, 100.0),
        [(x, y, text) for x, y, text in best if np.isfinite(y)],
    )
    yield (
        f"<p>Best mAP {number(pose.map)} at {pose.threshold:g} (MOTA {number(pose.mota)}); "
        f"best MOTA {number(track.mota)} at {track.threshold:g} (mAP {number(track.map)}).</p>"
    )


def _sequences(result: Evaluation) -> Iterator[str]:
    rows = sequence_rows(result)
    if rows:
        yield "<h2>Sequences, lowest MOTA first</h2>"
        yield bar_chart([(name, mota) for name, _, mota, _ in rows], "MOTA of every sequence")
        yield _table(("", "mAP", "MOTA", "keypoint switches"), [(name, values) for name, *values in rows])


def _switches(result: Evaluation) -> Iterator[str]:
    if not result.id_switches:
        return
    yield f"<h2>Identity switches ({len(result.id_switches)})</h2>"
    if len(result.id_switches) > _MAX_SWITCHES:
        yield f"<p>The first {_MAX_SWITCHES}; the JSON file has all of them.</p>"
    columns = ("sequence", "frame", "true id", "before", "after", "keypoints")
    head = "<tr>" + "".join(f"<th>{column}</th>" for column in columns) + "</tr>"
    lines = [
        f"<tr><td>{escape(s.sequence)}</td><td title='{escape(s.frame_name)}'>{s.frame}</td>"
        f"<td>{s.truth_id}</td><td>{s.before}</td><td>{s.after}</td>"
        f"<td title='{', '.join(s.keypoints)}'>{len(s.keypoints)}</td></tr>"
        for s in result.id_switches[:_MAX_SWITCHES]
    ]
    yield f'<div class="scroll"><table>{head}{"".join(lines)}</table></div>'
