"""Single stages: every frame comes out in order, independent of the batch size."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import fakes
import numpy as np
import pytest
from posetrack_trackers.oks_tracker import OksTracker

from posetrack_app.core.records import Detections, FloatArray, Frame
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.pipeline.clock import StageClock
from posetrack_app.pipeline.detect import detect_people
from posetrack_app.pipeline.duplicates import drop_duplicates
from posetrack_app.pipeline.link import link_poses
from posetrack_app.pipeline.pose import estimate_poses

Script = list[tuple[FloatArray, FloatArray]]


def _boxes(*rows: tuple[float, float, float, float, float]) -> tuple[FloatArray, FloatArray]:
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return table[:, :4], table[:, 4]


def _detect(script: Script, **changes: float) -> list[tuple[Frame, FloatArray]]:
    options = {"min_score": 0.3, "box_overlap": 0.65, "max_people": 100, "batch": 2} | changes
    stream = detect_people(fakes.numbered_frames(len(script)), fakes.ScriptedDetector(script), **options)  # type: ignore[arg-type]
    return [(frame, np.column_stack([people.boxes, people.scores])) for frame, people in stream]


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([], []),
        ([(1, 1, 9, 9, 0.2)], []),
        ([(1, 1, 9, 9, 0.3)], [(1, 1, 9, 9, 0.3)]),
        ([(-5, -5, 9, 9, 0.9)], [(0, 0, 9, 9, 0.9)]),
        ([(70, 1, 80, 9, 0.9)], []),
        ([(1, 1, 9, 9, 0.5), (1, 1, 9, 10, 0.9)], [(1, 1, 9, 10, 0.9)]),
        ([(1, 1, 9, 9, 0.5), (7, 1, 15, 9, 0.9)], [(7, 1, 15, 9, 0.9), (1, 1, 9, 9, 0.5)]),
    ],
    ids=["none", "low score", "lowest score", "clipped", "outside", "duplicate", "sorted"],
)
def test_detections(found: list[tuple[float, ...]], kept: list[tuple[float, ...]]) -> None:
    ((_, people),) = _detect([_boxes(*found)])  # type: ignore[arg-type]
    np.testing.assert_array_equal(people, np.array(kept, dtype=np.float64).reshape(-1, 5))


def test_only_the_best_people_are_kept() -> None:
    ((_, people),) = _detect([_boxes((1, 1, 9, 9, 0.4), (20, 1, 29, 9, 0.8))], max_people=1)
    assert people[:, 4].tolist() == [0.8]


def _crowd(frames: int) -> Script:
    """0, 1, 2, 3, 0, 1, ... people who move to the right."""
    script = []
    for index in range(frames):
        rows = [(5.0 + index, 12.0 * row, 13.0 + index, 12.0 * row + 10, 0.9) for row in range(index % 4)]
        script.append(_boxes(*rows))
    return script


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
def test_poses_do_not_depend_on_the_batch(batch: int) -> None:
    script = _crowd(11)
    people = detect_people(
        fakes.numbered_frames(11),
        fakes.ScriptedDetector(script),
        min_score=0.3,
        box_overlap=0.65,
        max_people=9,
        batch=3,
    )
    estimator = fakes.BoxEstimator()
    poses = list(estimate_poses(people, estimator, batch=batch))
    assert [frame.info.index for frame, _ in poses] == list(range(11))
    assert [len(found) for _, found in poses] == [index % 4 for index in range(11)]
    assert max(estimator.calls) <= batch
    for (boxes, _), (_, found) in zip(script, poses, strict=True):
        np.testing.assert_array_equal(found.keypoints[:, 0], boxes[:, :2])
        np.testing.assert_array_equal(found.keypoints[:, -1], boxes[:, 2:])


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_ids_do_not_depend_on_the_batch(batch: int) -> None:
    script = [_boxes((5.0 + i, 1, 15.0 + i, 40, 0.9), (50.0 - i, 1, 60.0 - i, 40, 0.8)) for i in range(12)]
    people = detect_people(
        fakes.numbered_frames(12),
        fakes.ScriptedDetector(script),
        min_score=0.3,
        box_overlap=0.65,
        max_people=9,
        batch=batch,
    )
    poses = estimate_poses(people, fakes.BoxEstimator(), batch=batch)
    linked = list(link_poses(poses, OksTracker(sigmas=POSETRACK.sigmas)))
    assert [tracked.ids.tolist() for _, tracked in linked[:3]] == [[1, 2]] * 3


def test_of_two_equal_poses_the_one_with_the_lower_score_is_dropped() -> None:
    boxes, scores = _boxes((1, 1, 30, 40, 0.6), (1, 1, 30, 40, 0.9), (40, 1, 60, 40, 0.5))
    keypoints, keypoint_scores, _ = fakes.BoxEstimator()([np.zeros((1, 1, 3), np.uint8)] * 3, list(boxes))
    frame = Frame.of(0, 0.0, np.zeros((48, 64, 3), np.uint8))
    stream = [(frame, Detections.detected(boxes, scores).with_keypoints(keypoints, keypoint_scores))]
    ((_, kept),) = drop_duplicates(stream, sigmas=POSETRACK.sigma_array, max_similarity=0.75)
    assert sorted(kept.scores.tolist()) == [0.5, 0.9]


def test_no_people_have_no_duplicates() -> None:
    frame = Frame.of(0, 0.0, np.zeros((48, 64, 3), np.uint8))
    found = Detections.detected(np.zeros((0, 4)), np.zeros(0))
    no_people = found.with_keypoints(np.zeros((0, 17, 2)), np.zeros((0, 17)))
    ((_, kept),) = drop_duplicates([(frame, no_people)], sigmas=POSETRACK.sigma_array, max_similarity=0.75)
    assert len(kept) == 0


def test_the_clock_counts_nested_stages_once() -> None:
    clock = StageClock()

    def slowly(items: Iterable[int], seconds: float) -> Iterator[int]:
        for item in items:
            time.sleep(seconds)
            yield item

    inner = clock.pull("inner", slowly(range(3), 0.02))
    outer = clock.pull("outer", slowly(inner, 0.01))
    assert list(outer) == [0, 1, 2]
    assert clock.seconds["inner"] >= 0.06
    assert clock.seconds["outer"] >= 0.03
    assert set(clock.seconds) == {"inner", "outer"}
