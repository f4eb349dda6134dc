"""The ground truth of a real film, and the scores of tracked boxes against it."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import motmetrics
import numpy as np
from tracking_scores import hota

from posetrack_app.core.records import FloatArray, IntArray, TrackedPoses
from posetrack_app.core.similarity import iou_matrix

MATCH = 0.5
"""A true box and a given one match at this IoU."""
TOWER = 1.45
"""A tower is a box this many times as high as its track usually is: mostly one box over two people."""
TOWER_SECONDS = 2.0
"""What a track usually is, is its median over this long before and after."""


@dataclass(frozen=True)
class TrueBoxes:
    """The people of one labelled frame: `ids` (G,), `boxes` (G, 4) x1 y1 x2 y2, and `ignored` (M, 4) of hidden people."""

    ids: IntArray
    boxes: FloatArray
    ignored: FloatArray


@dataclass(frozen=True)
class Tracked:
    """The tracked people of one frame; `source` is its number in the film, from 0, or -1 for an inserted frame."""

    source: int
    seconds: float
    people: TrackedPoses


@dataclass(frozen=True)
class Switch:
    """The person `true_id` has the track `after` in frame `frame`, and had the track `before` in `last_frame`."""

    frame: int
    last_frame: int
    true_id: int
    before: int
    after: int


@dataclass(frozen=True)
class BoxScores:
    """Scores in percent, and counts."""

    mota: float
    idf1: float
    hota: float
    switches: tuple[Switch, ...]
    false_positives: int
    misses: int
    people: int
    towers: int


def load_truth(path: Path) -> dict[int, TrueBoxes]:
    """The labelled frames of a file of MOTChallenge, by number from 0.

    A line is: frame from 1, id, left, top, width, height and, if not all boxes count, 1 for those that do.
    """
    rows: dict[int, list[list[float]]] = {}
    with path.open(newline="") as file:
        for line in csv.reader(file):
            frame, person, left, top, width, height, *counts = (float(value) for value in line)
            box = [person, left, top, left + width, top + height, counts[0] if counts else 1.0]
            rows.setdefault(int(frame) - 1, []).append(box)
    truth = {}
    for number in sorted(rows):
        boxes = np.array(rows[number])
        is_counted = boxes[:, 5] > 0
        truth[number] = TrueBoxes(
            boxes[is_counted, 0].astype(int), boxes[is_counted, 1:5], boxes[~is_counted, 1:5]
        )
    return truth


def without_ignored(people: TrackedPoses, truth: TrueBoxes) -> TrackedPoses:
    """The people whose box does not belong to an ignored one: it matches no ignored box better than any true one."""
    to_ignored = iou_matrix(people.boxes, truth.ignored).max(axis=1, initial=0.0)
    to_true = iou_matrix(people.boxes, truth.boxes).max(axis=1, initial=0.0)
    return people[(to_ignored < MATCH) | (to_true >= to_ignored)]


def score_boxes(frames: Sequence[Tracked], truth: dict[int, TrueBoxes]) -> BoxScores:
    """Scores of `frames`, in the order in which they were tracked; those without labels count for the towers only."""
    accumulator = motmetrics.MOTAccumulator()
    compared: list[tuple[int, IntArray, IntArray, FloatArray]] = []
    for frame in frames:
        if frame.source not in truth:
            continue
        true = truth[frame.source]
        people = without_ignored(frame.people, true)
        iou = iou_matrix(true.boxes, people.boxes)
        accumulator.update(true.ids, people.ids, np.where(iou >= MATCH, 1.0 - iou, np.nan), len(compared))
        compared.append((0, true.ids, people.ids, iou))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = ["mota", "idf1", "num_false_positives", "num_misses", "num_objects"]
        row = motmetrics.metrics.create().compute(accumulator, metrics=names, name="film").iloc[0]
    labelled = [frame.source for frame in frames if frame.source in truth]
    return BoxScores(
        100 * float(row["mota"]),
        100 * float(row["idf1"]),
        hota(compared),
        find_switches(accumulator, labelled),
        int(row["num_false_positives"]),
        int(row["num_misses"]),
        int(row["num_objects"]),
        count_towers(frames),
    )


def find_switches(accumulator: motmetrics.MOTAccumulator, labelled: Sequence[int]) -> tuple[Switch, ...]:
    """The id switches, in order; `labelled` are the frames of the film that the accumulator has seen."""
    last: dict[int, tuple[int, int]] = {}
    found = []
    for (position, _), event in accumulator.mot_events.iterrows():
        if event["Type"] not in ("MATCH", "SWITCH"):
            continue
        frame, true_id, after = labelled[int(position)], int(event["OId"]), int(event["HId"])
        if event["Type"] == "SWITCH":
            last_frame, before = last[true_id]
            found.append(Switch(frame, last_frame, true_id, before, after))
        last[true_id] = frame, after
    return tuple(found)


def count_towers(frames: Sequence[Tracked]) -> int:
    """Number of boxes that are at least `TOWER` times as high as the median of their track around them."""
    tracks: dict[int, list[tuple[float, float]]] = {}
    for frame in frames:
        heights = frame.people.boxes[:, 3] - frame.people.boxes[:, 1]
        for number, height in zip(frame.people.ids.tolist(), heights.tolist(), strict=True):
            tracks.setdefault(number, []).append((frame.seconds, height))
    towers = 0
    for rows in tracks.values():
        seconds, heights = np.array(rows).T
        # A little more, because times such as 0.1 + 0.2 are not exact.
        near = np.abs(seconds[:, None] - seconds) <= TOWER_SECONDS + 1e-6
        usual = np.array([np.median(heights[those]) for those in near])
        towers += int((heights >= TOWER * usual).sum())
    return towers
