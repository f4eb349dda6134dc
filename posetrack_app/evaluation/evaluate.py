"""Score a file or a folder of predictions of any supported kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import load_json
from posetrack_app.evaluation.coco import score_keypoints
from posetrack_app.evaluation.mot import read_mot_boxes, score_boxes
from posetrack_app.evaluation.mpii import score_pckh
from posetrack_app.evaluation.posetrack.id_switches import IdSwitch, list_id_switches
from posetrack_app.evaluation.posetrack.pairing import read_pairs
from posetrack_app.evaluation.posetrack.protocols import POSETRACK21, PROTOCOLS
from posetrack_app.evaluation.posetrack.score import PoseTrackScores, score_poses
from posetrack_app.evaluation.posetrack.sweep import SweepPoint, sweep_thresholds
from posetrack_app.evaluation.report.tables import scores_as_json


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All scores. `totals` are percentages, higher is better, None if undefined.

    `protocols` has the scores of each protocol (`tables.scores_as_json`), `details` those of the other kinds of files.
    `scores` has the arrays behind the protocols, for curves. `problems` lists what could not be scored. `run`
    says how the predictions were made, if `posetrack benchmark` made them: settings, weights, versions, commit.
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
    scores: dict[str, PoseTrackScores] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Everything except the arrays; None for undefined scores."""
        return {
            "format": "posetrack-evaluation/1",
            "kind": self.kind,
            "ground_truth": self.truth,
            "predictions": self.predictions,
            "keypoint_threshold": self.keypoint_threshold,
            "totals": self.totals,
            "protocols": self.protocols,
            "details": _defined(self.details),
            "id_switches": [asdict(switch) for switch in self.id_switches],
            "sweep": [_defined(asdict(point)) for point in self.sweep],
            "problems": self.problems,
            "run": self.run,
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
    return "coco" if isinstance(found, list) else "posetrack", content, found


def evaluate(
    truth: Path,
    predicted: Path,
    protocols: Sequence[str],
    keypoint_threshold: float | None = None,
    sweep: bool = False,
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
        return evaluate_posetrack(truth, predicted, protocols, keypoint_threshold, sweep)
    if keypoint_threshold is not None or sweep:
        raise InputError(f"{truth}: keypoint thresholds need PoseTrack files, but these are {kind} files")
    result = Evaluation(kind, str(truth), str(predicted))
    if kind == "mot":
        boxes = score_boxes(read_mot_boxes(truth, is_truth=True), read_mot_boxes(predicted))
        result.details.update(boxes)
        result.totals.update(
            {name: _defined(100 * boxes["motmetrics"][name.lower()]) for name in ("MOTA", "IDF1")}
        )
        for name in ("HOTA", "DetA", "AssA", "LocA"):
            values = boxes["trackeval"][name]
            result.totals[name] = 100 * sum(values) / len(values)
    elif kind == "mpii":
        pckh = score_pckh(truth, content, predicted, found)
        result.details["PCKh"] = pckh
        result.totals.update({f"PCKh {name}": value for name, value in pckh.items()})
    else:
        oks = score_keypoints(truth, content, predicted, found)
        result.details.update(
            stats=oks.stats, AP_by_threshold=oks.ap_by_threshold, recall_by_threshold=oks.recall_by_threshold
        )
        result.totals.update({n: None if value < 0 else 100 * value for n, value in oks.stats.items()})
    return result


def evaluate_posetrack(
    truth: Path,
    predicted: Path,
    protocols: Sequence[str],
    keypoint_threshold: float | None = None,
    sweep: bool = False,
) -> Evaluation:
    """The scores of every protocol that can score the files; with a threshold, AP before and after it.

    Raises InputError if no protocol can.
    """
    if isinstance(protocols, str) or not protocols or not set(protocols) <= set(PROTOCOLS):
        raise InputError(f"protocols must be a list of {', '.join(PROTOCOLS)}; got {protocols!r}")
    result = Evaluation("posetrack", str(truth), str(predicted), keypoint_threshold)
    pairs = {}
    problems: list[InputError] = []
    for name in protocols:
        protocol = PROTOCOLS[name]
        try:
            fixed_order = protocol is POSETRACK21
            if fixed_order not in pairs:
                pairs[fixed_order] = read_pairs(truth, predicted, fixed_order)
            scores = score_poses(pairs[fixed_order], protocol, keypoint_threshold)
            result.scores[name] = scores
            result.protocols[name] = scores_as_json(scores)
            if keypoint_threshold is not None:
                unfiltered = scores_as_json(score_poses(pairs[fixed_order], protocol))
                result.protocols[name]["ap_before_threshold"] = unfiltered["ap"]
            if scores.problem is not None:
                problems.append(scores.problem)
                result.problems.append(f"{name}: {scores.problem}")
        except InputError as error:
            problems.append(error)
            result.problems.append(f"{name}: {error}")
    if len(result.scores) == 0:
        raise problems[0]
    for name, content in result.protocols.items():
        result.totals.update({f"{name} {key}": value for key, value in _totals(content).items()})
    tracked = [scores for scores in result.scores.values() if scores.tracking is not None]
    if tracked and tracked[0].tracking is not None:
        result.id_switches.extend(list_id_switches(tracked[0].scene, tracked[0].tracking))
    if sweep:
        if not tracked:
            raise InputError("a sweep needs a protocol with MOTA: poseval or corrected", option="sweep")
        result.sweep.extend(sweep_thresholds(pairs[False], tracked[0].protocol))
    return result


def _totals(content: dict[str, Any]) -> dict[str, float | None]:
    """mAP, MOTA, MOTP and HOTA of one protocol."""
    totals: dict[str, float | None] = {"mAP": content["ap"]["table"][-1]}
    if "mot" in content:
        totals |= {"MOTA": content["mot"]["mota"][-1], "MOTP": content["mot"]["motp"][-1]}
    if "hota" in content:
        totals["HOTA"] = content["hota"]["mean_over_alpha"]["HOTA"][-1]
    return totals
