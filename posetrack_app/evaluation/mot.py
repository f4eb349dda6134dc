"""Scores of MOTChallenge boxes: CLEAR-MOT and IDF1 from motmetrics, HOTA and CLEAR-MOT as in TrackEval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import FloatArray, IntArray
from posetrack_app.core.similarity import iou_matrix
from posetrack_app.core.text_file import read_text
from posetrack_app.evaluation.posetrack.hota import ALPHAS

_EPSILON = np.finfo(np.float64).eps
_MATCH_IOU = 0.5
_LAST_FRAME = 10_000_000
"""Four days at 25 frames per second; larger numbers are times or mistakes."""
_MOTMETRICS_NAMES = (
    "num_frames", "mota", "motp", "idf1", "idp", "idr", "idtp", "idfp", "idfn", "num_switches",
    "num_fragmentations", "num_misses", "num_false_positives", "num_objects", "num_matches", "num_detections",
    "precision", "recall", "mostly_tracked", "partially_tracked", "mostly_lost", "num_unique_objects",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class BoxTracks:
    """Boxes of one video, sorted by frame: `frame` (N,) from 1, `track` (N,), `boxes` (N, 4) x1 y1 x2 y2.

    `track` is an index into `track_ids` (T,), which are sorted.
    """

    frame: IntArray
    track: IntArray
    track_ids: IntArray
    boxes: FloatArray


@dataclass(frozen=True, eq=False)
class _Frame:
    truth: IntArray
    predicted: IntArray
    iou: FloatArray


def read_mot_boxes(path: Path, *, is_truth: bool = False) -> BoxTracks:
    """Read a MOTChallenge file: frame, id, x, y, width, height, confidence, ...

    Ground-truth rows with a confidence of 0 are skipped, as by the MOTChallenge kits. Raises InputError for invalid lines.
    """
    lines = read_text(path).splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            parts = line.rstrip(" ,").split(",") if "," in line else line.split()
            values = [float(part) for part in parts]
            are_integers = values[0].is_integer() and values[1].is_integer()
            if (
                not all(map(math.isfinite, values[:7]))
                or len(values) < 6
                or not are_integers
                or not 1 <= values[0] <= _LAST_FRAME
            ):
                raise ValueError
        except (ValueError, IndexError):
            raise InputError(
                f"{path}: line {number} is not 'frame,id,x,y,width,height,...', frames from 1: {line[:60]!r}"
            ) from None
        if not (is_truth and len(values) > 6 and values[6] == 0):
            rows.append(values[:6])
    table = np.array(rows, np.float64).reshape(len(rows), 6)
    table = table[np.argsort(table[:, 0], kind="stable")]
    frame, ids = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    order = np.lexsort((ids, frame))
    repeated = np.flatnonzero((np.diff(frame[order]) == 0) & (np.diff(ids[order]) == 0))
    if len(repeated):
        row = order[repeated[0]]
        raise InputError(
            f"{path}: frame {frame[row]} has two boxes with id {ids[row]}; an id may occur once per frame"
        )
    track_ids, track = np.unique(ids, return_inverse=True)
    boxes = np.concatenate([table[:, 2:4], table[:, 2:4] + table[:, 4:6]], axis=1)
    return BoxTracks(frame, track.reshape(-1), track_ids, boxes)


def score_boxes(truth: BoxTracks, predicted: BoxTracks) -> dict[str, dict[str, Any]]:
    """The scores of motmetrics and of TrackEval, which count identity switches differently.

    motmetrics: 0..1 and counts; `motp` is the mean of 1 - IoU. trackeval: HOTA, DetA, AssA, LocA for each alpha.
    """
    frames = _frames(truth, predicted)
    clear_scores = _clear_motmetrics(frames)
    identity = {name.upper(): clear_scores[name] for name in ("idf1", "idp", "idr", "idtp", "idfp", "idfn")}
    return {
        "motmetrics": clear_scores,
        "trackeval": {
            **_hota(frames, truth, predicted),
            **_clear_trackeval(frames, len(truth.track_ids)),
            **identity,
        },
    }


def _frames(truth: BoxTracks, predicted: BoxTracks) -> list[_Frame]:
    """Frame 1 to the last frame with a box."""
    last = int(max(truth.frame.max(initial=0), predicted.frame.max(initial=0)))
    numbers = np.arange(1, last + 2)
    t, p = np.searchsorted(truth.frame, numbers), np.searchsorted(predicted.frame, numbers)
    return [
        _Frame(
            truth.track[t[k] : t[k + 1]],
            predicted.track[p[k] : p[k + 1]],
            iou_matrix(truth.boxes[t[k] : t[k + 1]], predicted.boxes[p[k] : p[k + 1]]),
        )
        for k in range(last)
    ]


def _clear_motmetrics(frames: list[_Frame]) -> dict[str, float]:
    import motmetrics

    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for frame in frames:
        cost = np.where(frame.iou >= _MATCH_IOU, 1 - frame.iou, np.nan)
        accumulator.update(frame.truth.tolist(), frame.predicted.tolist(), cost)
    summary = motmetrics.metrics.create().compute(
        accumulator, metrics=list(_MOTMETRICS_NAMES), return_dataframe=False
    )
    return {name: float(summary[name]) for name in _MOTMETRICS_NAMES}


def _clear_trackeval(frames: list[_Frame], tracks: int) -> dict[str, float]:
    """CLEAR-MOT as in TrackEval: a pair is preferred only if it was matched in the previous frame."""
    from scipy.optimize import linear_sum_assignment

    matches = misses = false_positives = switches = 0
    overlap = 0.0
    last_match, previous_match = np.full(tracks, -1), np.full(tracks, -1)
    present, matched, starts = np.zeros(tracks), np.zeros(tracks), np.zeros(tracks)
    for frame in frames:
        present[frame.truth] += 1
        if not len(frame.truth) or not len(frame.predicted):
            misses += len(frame.truth)
            false_positives += len(frame.predicted)
            continue
        kept = frame.predicted[None] == previous_match[frame.truth][:, None]
        score = np.where(frame.iou < _MATCH_IOU - _EPSILON, 0, 1000 * kept + frame.iou)
        rows, columns = linear_sum_assignment(-score)
        use = score[rows, columns] > _EPSILON
        rows, columns = rows[use], columns[use]
        objects, hypotheses = frame.truth[rows], frame.predicted[columns]
        switches += int(((last_match[objects] >= 0) & (last_match[objects] != hypotheses)).sum())
        matched[objects] += 1
        starts[objects] += previous_match[objects] < 0
        last_match[objects] = hypotheses
        previous_match[:] = -1
        previous_match[objects] = hypotheses
        matches += len(rows)
        misses += len(frame.truth) - len(rows)
        false_positives += len(frame.predicted) - len(rows)
        overlap += float(frame.iou[rows, columns].sum())
    share = matched[present > 0] / present[present > 0]
    return {
        "MOTA": (matches - false_positives - switches) / max(1.0, matches + misses),
        "MOTP": overlap / max(1.0, matches),
        "CLR_TP": matches,
        "CLR_FP": false_positives,
        "CLR_FN": misses,
        "IDSW": switches,
        "Frag": float(np.maximum(0, starts - 1).sum()),
        "MT": int((share > 0.8).sum()),
        "PT": int(((share >= 0.2) & (share <= 0.8)).sum()),
        "ML": int((share < 0.2).sum()),
    }


def _hota(frames: list[_Frame], truth: BoxTracks, predicted: BoxTracks) -> dict[str, list[float]]:
    """HOTA and its components for each alpha (Luiten et al., IJCV 2021).

    Frames are matched by IoU times the agreement of the two tracks over the whole video.
    """
    from scipy.optimize import linear_sum_assignment

    lengths = np.bincount(truth.track, minlength=len(truth.track_ids))[:, None]
    predicted_lengths = np.bincount(predicted.track, minlength=len(predicted.track_ids))[None]
    agreement = np.zeros((len(truth.track_ids), len(predicted.track_ids)))
    for frame in frames:
        union = frame.iou.sum(axis=0)[None] + frame.iou.sum(axis=1)[:, None] - frame.iou
        share = np.divide(frame.iou, union, out=np.zeros_like(union), where=union > _EPSILON)
        agreement[np.ix_(frame.truth, frame.predicted)] += share
    agreement /= np.maximum(_EPSILON, lengths + predicted_lengths - agreement)

    found, located = np.zeros(len(ALPHAS)), np.zeros(len(ALPHAS))
    shared = np.zeros((len(ALPHAS), *agreement.shape))
    for frame in frames:
        rows, columns = linear_sum_assignment(-agreement[np.ix_(frame.truth, frame.predicted)] * frame.iou)
        iou = frame.iou[rows, columns]
        for level, alpha in enumerate(ALPHAS):
            use = iou >= alpha - _EPSILON
            found[level] += use.sum()
            located[level] += iou[use].sum()
            shared[level, frame.truth[rows[use]], frame.predicted[columns[use]]] += 1
    association = (shared**2 / np.maximum(1, lengths + predicted_lengths - shared)).sum(
        axis=(1, 2)
    ) / np.maximum(1, found)
    detection = found / np.maximum(1, len(truth.frame) + len(predicted.frame) - found)
    return {
        "HOTA": np.sqrt(detection * association).tolist(),
        "DetA": detection.tolist(),
        "AssA": association.tolist(),
        "LocA": (np.maximum(1e-10, located) / np.maximum(1e-10, found)).tolist(),
    }
