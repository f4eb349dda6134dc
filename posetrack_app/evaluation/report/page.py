"""One self-contained HTML page about a result: scores, curves, errors, joints, sequences, switches, settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np

from posetrack_app.core.version import __version__
from posetrack_app.evaluation.error_analysis import ErrorAnalysis, analyse_errors
from posetrack_app.evaluation.evaluate import Evaluation
from posetrack_app.evaluation.posetrack.average_precision import precision_recall_curve
from posetrack_app.evaluation.posetrack.sweep import best_map, best_mota
from posetrack_app.evaluation.report.html import Cell, Content, bar, document, facts, table, tiles
from posetrack_app.evaluation.report.main_table import HOTA_COLUMNS
from posetrack_app.evaluation.report.sequence_table import joint_table, sequence_table
from posetrack_app.evaluation.report.tables import COLUMNS, JOINT_GROUPS, number
from posetrack_app.evaluation.report.thumbnails import Crop, frame_thumbnails, switch_thumbnails
from posetrack_app.formats.svg_chart import bar_chart, line_chart

_MAX_SWITCHES = 500
_TOTALS = ("mAP", "MOTA", "HOTA", "IDF1", "MOTP")
POOLED = {
    "combined": "all sequences combined",
    "mean_of_sequences": "mean of the sequences",
    "whole_set": "identities over the whole set",
}


def report_page(result: Evaluation, crop: Crop | None = None) -> str:
    """The page as HTML, without external resources. `crop` gives the images for thumbnails; without it they have none.

    The errors are analysed here if the result does not have them yet.
    """
    errors = result.errors or analyse_errors(result.scores)
    return document("PoseTrack evaluation", _sections(result, errors, crop), _head(result))


def _head(result: Evaluation) -> str:
    first = next(iter(result.protocols))
    values = [
        (number(result.totals[key]), name) for name in _TOTALS if (key := f"{first} {name}") in result.totals
    ]
    rows = [("Predictions", result.predictions), ("Ground truth", result.truth)]
    if result.keypoint_threshold is not None:
        rows.append(("Keypoints", f"with score ≥ {result.keypoint_threshold:g}"))
    rows.append(("Scored by", f"posetrack-app {__version__}; in percent, protocol {first} above"))
    problems = "".join(f"<p><b>Not scored:</b> {escape(problem)}</p>" for problem in result.problems)
    return f"<h1>PoseTrack evaluation</h1>{tiles(values)}{facts(rows)}{problems}"


def _sections(result: Evaluation, errors: ErrorAnalysis, crop: Crop | None) -> Iterator[tuple[str, str]]:
    content = result.protocols[errors.protocol]
    scores = result.scores[errors.protocol]
    yield "Scores", "".join(_scores(result))
    yield "Curves", _curves(result)
    yield "What AP is lost to", _ap_losses(errors)
    yield "Joints", f"<p>Protocol {escape(errors.protocol)}.</p>{joint_table(content)}"
    if len(content["ap_per_sequence"]) > 1:
        yield (
            "Sequences",
            f"<p>Protocol {escape(errors.protocol)}. A click on a heading sorts.</p>{sequence_table(content)}"
            + _sequence_errors(errors),
        )
    if errors.frames:
        yield (
            "Worst frames",
            _worst_frames(errors)
            + _gallery(
                frame_thumbnails(scores, errors.frames, errors.missed_keypoints, crop)
                if errors.missed_keypoints is not None
                else iter(())
            ),
        )
    if result.id_switches:
        yield f"Identity switches ({len(result.id_switches)})", _switches(result, crop)
    if result.run:
        yield "Settings and weights", settings_section(result.run)


def _scores(result: Evaluation) -> Iterator[str]:
    for name, content in result.protocols.items():
        rows: list[list[Content]] = []
        if "ap_before_threshold" in content:
            rows.append(["AP, all keypoints", *content["ap_before_threshold"]["table"]])
        rows.append(["AP", *content["ap"]["table"]])
        rows.append(["precision", *content["ap"]["table_pre"]])
        rows.append(["recall", *content["ap"]["table_rec"]])
        text = ""
        if "mot" in content:
            rows.append(["MOTA", *content["mot"]["table"][: len(COLUMNS)]])
            text = f"<p>{escape(_track_sentence(content['mot']))}</p>"
        yield f"<h3>Protocol {escape(name)}</h3>" + table(("", *COLUMNS), rows) + text
        if "hota_pooled" in content:
            pooled: list[list[Content]] = [
                [POOLED[key], *(values[column][-1] for column in (*HOTA_COLUMNS, "FragA", "FA-HOTA"))]
                for key, values in content["hota_pooled"].items()
            ]
            yield table(("HOTA of keypoints", *HOTA_COLUMNS, "FragA", "FA-HOTA"), pooled)
        if name in result.intervals:
            yield _intervals(result, name)


def _track_sentence(mot: dict[str, Any]) -> str:
    motp, precision, recall = mot["table"][len(COLUMNS) :]
    text = (
        f"Tracks: MOTP {number(motp)}, precision {number(precision)}, recall {number(recall)}, "
        f"{sum(mot['counts']['num_switches'])} keypoint identity switches"
    )
    if "idf1" in mot:
        text += (
            f", IDF1 {number(mot['idf1'][-1])} (IDP {number(mot['idp'][-1])}, IDR {number(mot['idr'][-1])})"
        )
    return text + "."


def _intervals(result: Evaluation, protocol: str) -> str:
    names = list(result.intervals[protocol])
    cells: list[Content] = [
        f"{number(found.low)} to {number(found.high)}" for found in result.intervals[protocol].values()
    ]
    count = len(result.protocols[protocol]["ap_per_sequence"])
    note = "" if count >= 20 else " With so few sequences they are too narrow."
    return f"<p>95 % intervals by bootstrap over the {count} sequences.{note}</p>" + table(
        ("", *names), [["95 % interval", *cells]]
    )


def _curves(result: Evaluation) -> str:
    name, scores = next(iter(result.scores.items()))
    lines = [
        (column, *precision_recall_curve(scores.ranked, group))
        for column, group in zip(COLUMNS, JOINT_GROUPS, strict=False)
    ]
    chart = line_chart(lines, "recall", "precision", (0.0, 1.0), (0.0, 1.0))
    caption = f"Precision of keypoints against recall, protocol {escape(name)}; precision is interpolated."
    figures = f"<figure><figcaption>{caption}</figcaption>{chart}</figure>"
    if "hota" in result.protocols[name]:
        figures += _hota_curve(result.protocols[name])
    if result.sweep:
        figures += _sweep(result)
    return f'<div class="charts">{figures}</div>'


def _hota_curve(content: dict[str, Any]) -> str:
    x = np.array(content["alphas"])
    lines = [
        (
            key,
            x,
            np.array([100.0 if row[-1] is None else row[-1] for row in content["hota"]["by_alpha"][key]]),
        )
        for key in ("HOTA", "DetA", "AssA", "LocA")
    ]
    chart = line_chart(lines, "similarity (alpha)", "HOTA", (0.0, 1.0), (0.0, 100.0))
    return f"<figure><figcaption>HOTA and its parts against the similarity that a match needs.</figcaption>{chart}</figure>"


def _sweep(result: Evaluation) -> str:
    x = np.array([point.threshold for point in result.sweep])
    maps, motas = np.array([p.map for p in result.sweep]), np.array([p.mota for p in result.sweep])
    pose, track = best_map(result.sweep), best_mota(result.sweep)
    low = min(0.0, float(np.nanmin(motas, initial=0.0)))
    best = [(pose.threshold, pose.map, "best mAP"), (track.threshold, track.mota, "best MOTA")]
    chart = line_chart(
        [("mAP", x, np.nan_to_num(maps)), ("MOTA", x, np.nan_to_num(motas))],
        "lowest score kept",
        "mAP and MOTA",
        (float(x[0]), float(x[-1])),
        (low, 100.0),
        [(x, y, text) for x, y, text in best if np.isfinite(y)],
    )
    caption = (
        f"Without keypoints below a score: best mAP {number(pose.map)} at {pose.threshold:g} (MOTA {number(pose.mota)}), "
        f"best MOTA {number(track.mota)} at {track.threshold:g} (mAP {number(track.map)})."
    )
    return f"<figure><figcaption>{caption}</figcaption>{chart}</figure>"


def _ap_losses(errors: ErrorAnalysis) -> str:
    rows: list[list[Content]] = [
        [
            loss.kind,
            loss.keypoints,
            Cell(number(loss.alone), loss.alone),
            Cell(number(loss.in_turn), loss.in_turn, "total"),
            Cell(loss.worst_sequence or "–", None, "text"),
            Cell(loss.explanation, None, "text wrap"),
        ]
        for loss in errors.losses
    ]
    text = (
        f"<p>Protocol {escape(errors.protocol)}. <b>Alone</b> is the gain in mAP if only this kind is mended; "
        "<b>in turn</b> if those above it are mended first, so that the column adds up to what is missing to 100 "
        "(Ronchi and Perona 2017, with distances in head sizes).</p>"
    )
    columns = ("error", "keypoints", "alone", "in turn", "most in", "what it is")
    chart = bar_chart(
        [(loss.kind, loss.in_turn) for loss in errors.losses], "mAP points lost to each kind of error"
    )
    return text + chart + table(columns, rows)


def _sequence_errors(errors: ErrorAnalysis) -> str:
    if not errors.sequences:
        return ""
    largest = max(row.share for row in errors.sequences)
    rows: list[list[Content]] = [
        [
            row.sequence,
            row.misses,
            row.false_positives,
            row.switches,
            bar(row.share, largest, f"{100 * row.share:.1f} %"),
        ]
        for row in errors.sequences
    ]
    columns = ("sequence", "misses", "false positives", "switches", "share of all errors")
    return "<h3>Tracking errors, most first</h3>" + table(columns, rows, sortable=True, tall=len(rows) > 20)


def _worst_frames(errors: ErrorAnalysis) -> str:
    rows: list[list[Content]] = [
        [
            Cell(frame.sequence, title=frame.frame_name),
            frame.frame,
            frame.misses,
            frame.false_positives,
            frame.switches,
        ]
        for frame in errors.frames
    ]
    text = (
        "<p>Keypoints of tracking; frames are counted from 0, and at least 5 apart. In the pictures, people in colour are "
        "predicted, dashed ones are annotated; red circles are missed keypoints, yellow dots false positives.</p>"
    )
    columns = ("sequence", "frame", "misses", "false positives", "switches")
    return text + table(columns, rows, sortable=True)


def _gallery(figures: Iterator[str]) -> str:
    return f'<div class="thumbs">{"".join(figures)}</div>'


def _switches(result: Evaluation, crop: Crop | None) -> str:
    scores = next(found for found in result.scores.values() if found.tracking is not None)
    rows: list[list[Content]] = [
        [
            s.sequence,
            Cell(str(s.frame), s.frame, title=s.frame_name),
            s.truth_id,
            s.before,
            s.after,
            Cell(str(len(s.keypoints)), len(s.keypoints), title=", ".join(s.keypoints)),
        ]
        for s in result.id_switches[:_MAX_SWITCHES]
    ]
    columns = ("sequence", "frame", "true id", "before", "after", "keypoints")
    more = ""
    if len(result.id_switches) > _MAX_SWITCHES:
        more = f"<p>The first {_MAX_SWITCHES}; the JSON file has all of them.</p>"
    text = "<p>The frames before and at the switches of most keypoints. Dashed: the annotated person.</p>"
    return (
        text
        + _gallery(switch_thumbnails(scores, crop))
        + more
        + table(columns, rows, sortable=True, tall=len(rows) > 20)
    )


def settings_section(run: dict[str, Any]) -> str:
    """What the predictions were made with: simple facts as a list, the settings folded away."""
    rows: list[tuple[str, str]] = []
    for name, value in run.items():
        if name == "config" or value is None:
            continue
        if isinstance(value, dict):
            rows += [(f"{name} {key}", _plain(entry)) for key, entry in value.items() if entry is not None]
        else:
            rows.append((name.replace("_", " "), _plain(value)))
    config = escape(json.dumps(run.get("config"), indent=2))
    return f"{facts(rows)}<details><summary>All settings</summary><pre>{config}</pre></details>"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)
