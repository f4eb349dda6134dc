"""MOTA, IDF1 and HOTA of people, with OKS as similarity."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import motmetrics
import numpy as np
from posetrack_trackers.oks import object_keypoint_similarity
from scipy.optimize import linear_sum_assignment
from tracking_sets import SIGMAS, Truth, Video, boxes_around

from posetrack_app.core.records import FloatArray, IntArray

ALPHAS = np.arange(0.05, 0.99, 0.05)


@dataclass(frozen=True)
class Scores:
    """Scores in percent, and the number of id switches; `false_positives` and `misses` are points of MOTA lost."""

    mota: float
    idf1: float
    hota: float
    switches: int
    false_positives: float
    misses: float


def similarities(truth: Truth, keypoints: FloatArray) -> FloatArray:
    """OKS (G, N) of true people and poses, over the labelled keypoints."""
    people, found = len(truth.ids), len(keypoints)
    if not people or not found:
        return np.zeros((people, found))
    boxes = boxes_around(truth.keypoints, truth.present)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    row, column = np.divmod(np.arange(people * found), found)
    weights = np.asarray(truth.present[row], dtype=np.float64)
    oks = object_keypoint_similarity(truth.keypoints[row], keypoints[column], area[row], SIGMAS, weights)
    return np.asarray(oks).reshape(people, found)


def oracle(video: Video) -> list[IntArray]:
    """The ids of a linker that knows the truth; 0 for a false positive."""
    all_ids: list[IntArray] = []
    for poses, truth in zip(video.poses, video.truth, strict=True):
        ids = np.zeros(len(poses), dtype=np.int64)
        if truth is not None:
            oks = similarities(truth, poses.keypoints)
            rows, columns = linear_sum_assignment(np.where(oks >= 0.5, oks, 0.0), maximize=True)
            good = oks[rows, columns] >= 0.5
            ids[columns[good]] = truth.ids[rows[good]] + 1
        all_ids.append(ids)
    return all_ids


def high_score_oracle(video: Video, high_score: float) -> list[IntArray]:
    """The ids of a linker that knows the truth but keeps all high-score poses and no others.

    This is about what a tracker can reach from scores alone. Each false positive among them gets a new id.
    """
    all_ids: list[IntArray] = []
    next_id = 10**6
    for poses, ids in zip(video.poses, oracle(video), strict=True):
        is_high = poses.scores >= high_score
        false_positives = np.nonzero(is_high & (ids == 0))[0]
        kept = np.where(is_high, ids, 0)
        kept[false_positives] = next_id + np.arange(len(false_positives))
        next_id += len(false_positives)
        all_ids.append(kept)
    return all_ids


def score(videos: list[Video], ids: list[list[IntArray]]) -> Scores:
    """Scores over all `videos` together; poses with id 0 are ignored."""
    accumulators = []
    frames: list[tuple[int, IntArray, IntArray, FloatArray]] = []
    for number, (video, ids_of_frames) in enumerate(zip(videos, ids, strict=True)):
        accumulator = motmetrics.MOTAccumulator(auto_id=True)
        for poses, truth, frame_ids in zip(video.poses, video.truth, ids_of_frames, strict=True):
            if truth is None:
                continue
            given = frame_ids > 0
            oks = similarities(truth, poses.keypoints[given])
            accumulator.update(truth.ids, frame_ids[given], np.where(oks >= 0.5, 1.0 - oks, np.nan))
            frames.append((number, truth.ids, frame_ids[given], oks))
        accumulators.append(accumulator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = motmetrics.metrics.create().compute_many(
            accumulators,
            metrics=["mota", "idf1", "num_switches", "num_false_positives", "num_misses", "num_objects"],
            generate_overall=True,
        )
    overall = table.loc["OVERALL"]
    points = 100 / max(float(overall["num_objects"]), 1.0)
    return Scores(
        100 * float(overall["mota"]),
        100 * float(overall["idf1"]),
        hota(frames),
        int(overall["num_switches"]),
        points * float(overall["num_false_positives"]),
        points * float(overall["num_misses"]),
    )


def hota(frames: list[tuple[int, IntArray, IntArray, FloatArray]]) -> float:
    """Higher Order Tracking Accuracy (Luiten et al., IJCV 2020) in percent, mean over 19 thresholds.

    Each of `frames` is (video, true ids (G,), given ids (N,), similarity (G, N)); ids are separate for each video.
    """
    truth_numbers: dict[tuple[int, int], int] = {}
    given_numbers: dict[tuple[int, int], int] = {}
    numbered = []
    for video, truth_ids, given_ids, similarity in frames:
        truth_rows = [truth_numbers.setdefault((video, int(i)), len(truth_numbers)) for i in truth_ids]
        given_columns = [given_numbers.setdefault((video, int(i)), len(given_numbers)) for i in given_ids]
        numbered.append((np.array(truth_rows, dtype=int), np.array(given_columns, dtype=int), similarity))
    shape = (max(len(truth_numbers), 1), max(len(given_numbers), 1))
    possible, truth_count, given_count = np.zeros(shape), np.zeros(shape[0]), np.zeros(shape[1])
    for rows, columns, similarity in numbered:
        union = similarity.sum(axis=0)[None] + similarity.sum(axis=1)[:, None] - similarity
        possible[rows[:, None], columns] += np.divide(
            similarity, union, out=np.zeros_like(similarity), where=union > 1e-12
        )
        truth_count[rows] += 1
        given_count[columns] += 1
    alignment = possible / np.maximum(truth_count[:, None] + given_count - possible, 1e-12)
    matched = np.zeros((len(ALPHAS), *shape))
    for rows, columns, similarity in numbered:
        row, column = linear_sum_assignment(alignment[rows[:, None], columns] * similarity, maximize=True)
        for threshold, alpha in enumerate(ALPHAS):
            good = similarity[row, column] >= alpha - 1e-12
            matched[threshold, rows[row[good]], columns[column[good]]] += 1
    hits = matched.sum(axis=(1, 2))
    detection = hits / np.maximum(truth_count.sum() + given_count.sum() - hits, 1)
    overlap = matched / np.maximum(truth_count[:, None] + given_count - matched, 1)
    association = (matched * overlap).sum(axis=(1, 2)) / np.maximum(hits, 1)
    return float(100 * np.sqrt(detection * association).mean())
