"""Compare the evaluation with recorded scores.

python scripts/check_goldens.py eval ../shared/goldens/eval

The layout is described in ../shared/goldens/eval/README.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from posetrack_app.core.errors import InputError
from posetrack_app.core.json_file import load_json
from posetrack_app.evaluation.coco import score_keypoints
from posetrack_app.evaluation.mot import read_mot_boxes, score_boxes
from posetrack_app.evaluation.mpii import score_pckh
from posetrack_app.evaluation.posetrack.pairing import read_pairs
from posetrack_app.evaluation.posetrack.protocols import POSETRACK21, POSEVAL, Protocol
from posetrack_app.evaluation.posetrack.score import score_poses
from posetrack_app.evaluation.report.tables import scores_as_json

TOLERANCE = 1e-6
_NOTES = {
    "set",
    "reference",
    "note",
    "case",
    "joints",
    "tie_bounds",
    "data_sha256",
    "oks_note",
    "trackeval_note",
}
# The first is affected by a bug in a 2018 dependency of the tool; the second is its input.
_NOT_REPRODUCED = {"motp_reported", "sum_distance_all_events"}


def check(directory: Path) -> int:
    """Check every folder in `directory` that has recorded scores; returns 1 if any differs, 2 if there are none."""
    folders = sorted({path.parent for path in directory.rglob("expected*.json")})
    if not folders:
        print(f"{directory}: no expected.json found", file=sys.stderr)
        return 2
    failed = 0
    for folder in folders:
        verdict = check_set(folder)
        failed += bool(verdict)
        print(f"{'FAIL' if verdict else 'ok  '} {folder.relative_to(directory)} {'; '.join(verdict[:3])}")
    print(f"{len(folders)} sets, {failed} failed")
    return int(failed > 0)


def check_set(folder: Path) -> list[str]:
    """The differences in one set, as texts."""
    if (folder / "gt").is_dir():
        return _check_posetrack(folder)
    expected = json.loads((folder / "expected.json").read_bytes())
    if (folder / "results.json").exists():
        return _check_coco(folder, expected)
    if (folder / "gt.json").exists():
        truth, predicted = folder / "gt.json", folder / "pred.json"
        return compare(expected["PCKh"], score_pckh(truth, load_json(truth), predicted, load_json(predicted)))
    if (folder / "gt.txt").exists():
        actual = score_boxes(
            read_mot_boxes(folder / "gt.txt", is_truth=True), read_mot_boxes(folder / "pred.txt")
        )
        bad = compare(expected["motmetrics_1.4.0"], actual["motmetrics"])
        return bad + compare(expected["trackeval"], actual["trackeval"])
    return _check_generated(folder, expected)


def _check_posetrack(folder: Path) -> list[str]:
    bad = []
    for name, protocol in (("expected.json", POSEVAL), ("expected_pt21.json", POSETRACK21)):
        if (folder / name).exists():
            bad += [f"{protocol.name} {text}" for text in _check_protocol(folder, folder / name, protocol)]
    return bad


def _check_protocol(folder: Path, file: Path, protocol: Protocol) -> list[str]:
    """Where the reference tool fails, a one-line error is right too, and so are scores."""
    expected = json.loads(file.read_bytes())
    refused = any(key in expected for key in ("ap_error", "hota_error"))
    try:
        pairs = read_pairs(folder / "gt", folder / "pred", fixed_order=protocol is POSETRACK21)
        actual = scores_as_json(score_poses(pairs, protocol))
    except InputError as error:
        one_line = "\n" not in str(error)
        return [] if refused and one_line else [f"error: {error}"]
    if refused:
        return []
    if ("mot_error" in expected) != ("mot_error" in actual):
        return [f"tracking: expected {expected.get('mot_error')}, got {actual.get('mot_error')}"]
    ties = (expected.get("ap") or {}).get("tie_bounds")
    if ties is None and (folder / "expected.json").exists():
        poses = json.loads((folder / "expected.json").read_bytes())
        ties = (poses.get("ap") or {}).get("tie_bounds")
    skip: tuple[str, ...] = ("/mot_error",)
    if ties is not None:
        skip += ("/ap/ap", "/ap/table", "/ap_per_sequence", "/posemap")
    bad = compare(expected, actual, skip)
    if ties is not None and protocol is POSEVAL:
        bad += _outside_bounds(ties, expected["ap"]["ap"], actual["ap"]["ap"])
    return bad


def _outside_bounds(bounds: list[Any], expected: list[Any], actual: list[Any]) -> list[str]:
    """With tied scores the reference value is one of several; ours must be within their range."""
    bad = []
    for joint, pair in enumerate(bounds):
        low, high = pair or (expected[joint], expected[joint])
        value = actual[joint]
        if low is None:
            within = value is None
        else:
            within = value is not None and low - TOLERANCE <= value <= high + TOLERANCE
        if not within:
            bad.append(f"/ap/ap[{joint}] expected {low}..{high}, got {value}")
    return bad


def _check_coco(folder: Path, expected: dict[str, Any]) -> list[str]:
    truth, results = folder / "gt.json", folder / "results.json"
    scores = score_keypoints(truth, load_json(truth), results, load_json(results))
    actual = {
        "stats": scores.stats,
        "AP_by_threshold": scores.ap_by_threshold,
        "recall_by_threshold": scores.recall_by_threshold,
    }
    bad = compare({key: expected[key] for key in actual}, actual)
    for image, oks in expected["oks"].items():
        bad += compare(oks, scores.oks[int(image)].tolist(), path=f"/oks/{image}", tolerance=1e-9)
    return bad


def _check_generated(folder: Path, expected: dict[str, Any]) -> list[str]:
    """The timing set, whose data gen.py generates."""
    generator = folder.parent / "gen.py"
    if not generator.exists():
        return ["there is no data for expected.json, and no gen.py beside the folder to generate it"]
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, str(generator), "timing", "--out", temporary]
        subprocess.run(command, check=True, capture_output=True)
        pairs = read_pairs(Path(temporary) / "gt", Path(temporary) / "pred")
        return compare(expected, scores_as_json(score_poses(pairs, POSEVAL)), ())


def compare(
    expected: Any, actual: Any, skip: tuple[str, ...] = (), path: str = "", tolerance: float = TOLERANCE
) -> list[str]:
    """All differences: integers must be equal, floats within the tolerance; None stands for NaN."""
    if any(path.startswith(prefix) for prefix in skip):
        return []
    nested: Callable[[Any, Any, str], list[str]] = lambda e, a, p: compare(e, a, skip, p, tolerance)  # noqa: E731
    if isinstance(expected, dict) and isinstance(actual, dict):
        bad = []
        for key, value in expected.items():
            if key in _NOTES or key in _NOT_REPRODUCED:
                continue
            if key not in actual:
                bad.append(f"{path}/{key} is missing")
            else:
                bad += nested(value, actual[key], f"{path}/{key}")
        return bad
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [text for k, (e, a) in pairs for text in nested(e, a, f"{path}[{k}]")]
    if isinstance(expected, float) and isinstance(actual, (int, float)):
        close = abs(expected - actual) <= tolerance
    else:
        close = bool(expected == actual)
    return [] if close else [f"{path} expected {expected}, got {actual}"]
