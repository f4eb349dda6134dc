"""Score a file or a folder of predictions of any supported kind."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import load_json
from posetrack_app.evaluation.error_analysis import ErrorAnalysis, analyse_errors
from posetrack_app.evaluation.posetrack.id_switches import IdSwitch, list_id_switches
from posetrack_app.evaluation.posetrack.pairing import read_pairs, sequence_files
from posetrack_app.evaluation.posetrack.protocols import POSETRACK21, PROTOCOLS
from posetrack_app.evaluation.posetrack.resampling import (
    Interval,
    draw_sequences,
    intervals,
    resampled_scores,
)
from posetrack_app.evaluation.posetrack.scene import SequencePair
from posetrack_app.evaluation.posetrack.score import PoseTrackScores, score_poses
from posetrack_app.evaluation.posetrack.sweep import SweepPoint, sweep_thresholds
from posetrack_app.evaluation.report.tables import scores_as_json

_logger = logging.getLogger("posetrack")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All scores. `totals` are percentages, higher is better, None if undefined.

    `protocols` has the scores of each protocol (`tables.scores_as_json`), `details` those of the other kinds of files.
    `scores` has the arrays behind the protocols, for curves. `problems` lists what could not be scored. `errors` and
    `intervals` (protocol, then score) are there if they were asked for. `run` is what the predictions say about
    their settings, weights and versions.
    """

    kind: str
    truth: str
    predictions: str
    keypoint_threshold: float | None = None
    totals: dict[str, float | None] = field(default_factory=dict)
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    id_switches: list[IdSwitch] = field(default_factory=list)
    sweep: list[SweepPoint] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    errors: ErrorAnalysis | None = None
    intervals: dict[str, dict[str, Interval]] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, PoseTrackScores] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything except the arrays; None for undefined scores."""
        return {
            "format": "posetrack-evaluation/1",
            "kind": self.kind,
            "ground_truth": self.truth,
            "predictions": self.predictions,
            "run": self.run,
            "keypoint_threshold": self.keypoint_threshold,
            "totals": self.totals,
            "protocols": self.protocols,
            "details": _defined(self.details),
            "id_switches": [asdict(switch) for switch in self.id_switches],
            "sweep": [_defined(asdict(point)) for point in self.sweep],
            "problems": self.problems,
            "errors": None if self.errors is None else _defined(self.errors.as_json()),
            "intervals": {
                protocol: {name: asdict(interval) for name, interval in scores.items()}
                for protocol, scores in self.intervals.items()
            },
        }


def _defined(value: Any) -> Any:
    """`value` with None in place of NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _defined(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_defined(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def kind_of(truth: Path, predicted: Path) -> tuple[str, Any, Any]:
    """The kind of the files ("posetrack", "coco", "mpii" or "mot"), and their content if it was read to find out."""
    if truth.is_dir():
        return "posetrack", None, None
    if truth.suffix == ".txt":
        return "mot", None, None
    content = load_json(truth)
    if isinstance(content, dict) and "joint_missing" in content:
        return "mpii", content, load_json(predicted)
    found = load_json(predicted) if predicted.is_file() else None
    if isinstance(found, dict) and _are_coco_annotations(content):
        raise InputError(
            f"{predicted} is not a list: COCO keypoint results are a list of objects with 'image_id', 'category_id', "
            f"'keypoints' and 'score', and {truth} has COCO annotations"
        )
    return "coco" if isinstance(found, list) else "posetrack", content, found


def _are_coco_annotations(content: Any) -> bool:
    """Keypoints that are not PoseTrack's, of people without identities."""
    if not isinstance(content, dict):
        return False
    parts: list[Any] = [content.get(name) for name in ("categories", "annotations")]
    if not all(isinstance(part, list) and part for part in parts):
        return False
    entries = [entry for part in parts for entry in part if isinstance(entry, dict)]
    names = [name for entry in parts[0] if isinstance(entry, dict) for name in entry.get("keypoints") or ()]
    return "left_eye" in names and "head_top" not in names and not any("track_id" in one for one in entries)


def evaluate(
    truth: Path,
    predicted: Path,
    protocols: Sequence[str],
    keypoint_threshold: float | None = None,
    sweep: bool = False,
    errors: bool = False,
    with_intervals: bool = False,
) -> Evaluation:
    """Score `predicted` against `truth`, two files or two folders; see `jobs.evaluate`.

    Raises InputError if nothing can be scored.
    """
    for path in (truth, predicted):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    if keypoint_threshold is not None and not math.isfinite(keypoint_threshold):
        raise InputError(
            f"the keypoint threshold must be a number, got {keypoint_threshold:g}",
            option="keypoint_threshold",
        )
    kind, content, found = kind_of(truth, predicted)
    if kind == "posetrack":
        return evaluate_posetrack(
            truth, predicted, protocols, keypoint_threshold, sweep, errors, with_intervals
        )
    if keypoint_threshold is not None or sweep:
        raise InputError(f"{truth}: keypoint thresholds need PoseTrack files, but these are {kind} files")
    # Imported here, because PoseTrack files do not need them and they take a while to load.
    from posetrack_app.evaluation.other_kinds import score_boxes_files, score_coco_files, score_mpii_files

    if kind == "mot":
        totals, details = score_boxes_files(truth, predicted)
    else:
        score = score_mpii_files if kind == "mpii" else score_coco_files
        totals, details = score(truth, content, predicted, found)
    return Evaluation(kind, str(truth), str(predicted), totals=_defined(totals), details=details)


def evaluate_posetrack(
    truth: Path,
    predicted: Path,
    protocols: Sequence[str],
    keypoint_threshold: float | None = None,
    sweep: bool = False,
    errors: bool = False,
    with_intervals: bool = False,
) -> Evaluation:
    """The scores of every protocol that can score the files; with a threshold, AP before and after it.

    Args:
        truth: a file or a folder of PoseTrack annotations.
        predicted: the same for the predictions.
        protocols: names of `PROTOCOLS`.
        keypoint_threshold: drop predicted keypoints below this score first.
        sweep: also score at 20 keypoint thresholds.
        errors: also sort the errors into kinds and list the worst sequences and frames.
        with_intervals: also find 95 % intervals, by bootstrap over the sequences.

    Raises InputError if no protocol can score the files.
    """
    if isinstance(protocols, str) or not protocols or not set(protocols) <= set(PROTOCOLS):
        raise InputError(f"protocols must be a list of {', '.join(PROTOCOLS)}; got {protocols!r}")
    result = Evaluation("posetrack", str(truth), str(predicted), keypoint_threshold)
    pairs: dict[bool, list[SequencePair]] = {}
    problems: list[InputError] = []
    for name in protocols:
        fixed_order = PROTOCOLS[name] is POSETRACK21
        try:
            if fixed_order not in pairs:
                pairs[fixed_order] = read_pairs(truth, predicted, fixed_order)
            scores = _score_protocol(result, pairs[fixed_order], name)
            if scores.problem is not None:
                raise scores.problem
        except InputError as error:
            problems.append(error)
            result.problems.append(f"{name}: {error}")
    if len(result.scores) == 0:
        raise problems[0]
    tracked = [scores for scores in result.scores.values() if scores.tracking is not None]
    if tracked and tracked[0].tracking is not None:
        result.id_switches.extend(list_id_switches(tracked[0].scene, tracked[0].tracking))
    if sweep:
        if not tracked:
            raise InputError("a sweep needs a protocol with MOTA: poseval or corrected", option="sweep")
        result.sweep.extend(sweep_thresholds(pairs[False], tracked[0].protocol))
    if with_intervals:
        weights = draw_sequences(len(next(iter(result.scores.values())).scene.names))
        for name, scores in result.scores.items():
            result.intervals[name] = intervals(resampled_scores(scores, weights))
    return replace(
        result,
        run=_run(sequence_files(truth, predicted)[0][1]),
        errors=analyse_errors(result.scores) if errors else None,
    )


def _score_protocol(result: Evaluation, pairs: Sequence[SequencePair], name: str) -> PoseTrackScores:
    """Score by one protocol and add the scores to the result."""
    scores = score_poses(pairs, PROTOCOLS[name], result.keypoint_threshold)
    if PROTOCOLS[name].cuts_integer_frames:
        _report_cut_scores(pairs)
    result.scores[name] = scores
    result.protocols[name] = content = scores_as_json(scores)
    if result.keypoint_threshold is not None:
        content["ap_before_threshold"] = scores_as_json(score_poses(pairs, PROTOCOLS[name]))["ap"]
    result.totals.update({f"{name} {key}": value for key, value in _totals(content).items()})
    return scores


def _run(predictions: Path) -> dict[str, Any]:
    """What `posetrack benchmark` or `run` wrote into a file of predictions: settings, weights, versions; or {}."""
    content = load_json(predictions)
    info = content.get("info") if isinstance(content, dict) else None
    return info if isinstance(info, dict) and "config" in info else {}


def _report_cut_scores(pairs: Sequence[SequencePair]) -> None:
    """Log in how many frames the PoseTrack21 kit cuts the scores."""
    predictions = [pair.predicted for pair in pairs]
    cut = sum(len(np.unique(one.frame[one.integer_frame])) for one in predictions)
    if cut:
        of_all = sum(int(one.has_people().sum()) for one in predictions)
        _logger.warning(
            "posetrack21: in %d of %d predicted frames all keypoint numbers are integers; the PoseTrack21 kit then cuts "
            "their scores to integers, most to 0, and so do we; write numbers with a decimal point, such as 12.0",
            cut, of_all,
        )  # fmt: skip


def _totals(content: dict[str, Any]) -> dict[str, float | None]:
    """mAP, MOTA, MOTP, IDF1 and HOTA of one protocol."""
    totals: dict[str, float | None] = {"mAP": content["ap"]["table"][-1]}
    if "mot" in content:
        totals |= {"MOTA": content["mot"]["mota"][-1], "MOTP": content["mot"]["motp"][-1]}
        if "idf1" in content["mot"]:
            totals["IDF1"] = content["mot"]["idf1"][-1]
    if "hota" in content:
        totals["HOTA"] = content["hota"]["mean_over_alpha"]["HOTA"][-1]
    return totals
