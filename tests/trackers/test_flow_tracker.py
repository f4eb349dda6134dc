"""FlowTracker links poses that optical flow has moved, at any speed."""

from __future__ import annotations

import numpy as np
import pytest
from posetrack_trackers import FlowTracker, flow_tracker

SHAPE = np.random.default_rng(0).uniform(0, 1, (17, 2)) * [50, 150]
SIGMAS = np.full(17, 0.08)


def _link(
    lefts: list[list[float]], *, flow: float | None = None, camera: float | None = None, score: float = 0.9
) -> list[list[int]]:
    """Ids, frame by frame, of people whose boxes have their left sides at `lefts`.

    `flow` and `camera` shift points to the right by so many pixels.
    """
    move = None if flow is None else lambda points: points + [flow, 0.0]
    tracker = FlowTracker(sigmas=SIGMAS, frames=3, move=move)
    ids = []
    for index, sides in enumerate(lefts):
        corner = np.array([[left, 0.0] for left in sides]).reshape(-1, 2)
        links = tracker.update(
            np.concatenate([corner, corner + [50.0, 150.0]], axis=1),
            np.full(len(corner), score),
            corner[:, None] + SHAPE,
            np.full((len(corner), 17), 0.8),
            index / 25,
            camera_motion=None if camera is None else np.array([[1.0, 0, camera], [0, 1, 0]]),
        )
        assert links.earlier == []
        ids.append(links.ids.tolist())
    return ids


def test_flow_links_people_who_move_further_than_the_distance_between_them() -> None:
    lefts = [[0.0, 60.0], [60.0, 120.0], [120.0, 180.0]]
    assert _link(lefts, flow=60.0) == [[1, 2]] * 3
    assert _link(lefts, camera=60.0) == [[1, 2]] * 3
    assert _link(lefts) == [[1, 2], [2, 3], [3, 4]]


@pytest.mark.parametrize(("missed", "last"), [(2, 1), (3, 2)])
def test_poses_of_the_last_frames_count(missed: int, last: int) -> None:
    assert _link([[0.0], *[[]] * missed, [10.0 * (missed + 1)]], flow=10.0)[-1] == [last]


def test_low_score_poses_get_no_id() -> None:
    assert _link([[0.0], [2.0]], score=0.4) == [[0], [0]]


def test_a_cut_ends_all_tracks() -> None:
    tracker = FlowTracker(sigmas=SIGMAS)
    person = np.array([[0.0, 0, 50, 150]]), np.ones(1), SHAPE[None], np.ones((1, 17))
    first = tracker.update(*person, 0.0).ids.tolist()
    assert tracker.finish().ids.tolist() == []
    assert (first, tracker.update(*person, 0.04).ids.tolist()) == ([1], [2])


def test_keypoints_with_score_0_do_not_count() -> None:
    tracker = FlowTracker(sigmas=SIGMAS)
    box, score = np.array([[0.0, 0, 50, 150]]), np.ones(1)
    seen = np.zeros((1, 17))
    seen[:, :5] = 1.0
    tracker.update(box, score, SHAPE[None], seen, 0.0)
    elsewhere = np.where(seen[..., None] > 0, SHAPE[None], 999.0)
    assert tracker.update(box, score, elsewhere, seen, 0.04).ids.tolist() == [1]
    assert tracker.update(box, score, SHAPE[None], 1.0 - seen, 0.08).ids.tolist() == [2]


def test_frames_without_people() -> None:
    assert _link([[], [], [5.0]], flow=1.0) == [[], [], [1]]


@pytest.mark.parametrize("min_similarity", [0.0, 0.2, 0.7])
def test_comparing_only_near_pairs_changes_nothing(
    min_similarity: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 600, (12, 1, 2)) + np.cumsum(rng.normal(0, 15, (20, 12, 1, 2)), axis=0)
    scores = rng.uniform(-0.5, 1, (20, 12, 17)).clip(0)
    scores[3, 4] = 0.0

    def ids(few_pairs: int) -> list[list[int]]:
        monkeypatch.setattr(flow_tracker, "_FEW_PAIRS", few_pairs)
        tracker = FlowTracker(sigmas=SIGMAS, min_similarity=min_similarity)
        boxes = np.concatenate([corner, corner + [50.0, 150.0]], axis=3)[:, :, 0]
        return [
            tracker.update(
                boxes[frame], np.ones(12), corner[frame] + SHAPE, scores[frame], frame / 25
            ).ids.tolist()
            for frame in range(20)
        ]

    near = ids(0)
    assert near == ids(10**9)
    assert max(map(max, near)) > 12
