"""Named situations, each with the expected ids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from posetrack_trackers import OksTracker

SIGMAS = np.array([0.026, 0.079, 0.079, 0.035, 0.035, *[0.079, 0.079, 0.072, 0.072, 0.062, 0.062],
                   *[0.107, 0.107, 0.087, 0.087, 0.089, 0.089]])  # fmt: skip
SIZE = np.array([50.0, 150.0])
People = dict[str, tuple[float, float]]
"""Name of a person -> upper left corner of the box."""


def _skeleton(name: str) -> np.ndarray:
    """Keypoints (17, 2) relative to the box; everyone stands a little differently."""
    rng = np.random.default_rng(sum(map(ord, name)))
    upright = np.stack([np.tile([0.35, 0.65], 9)[:17], np.linspace(0.05, 0.95, 17)], axis=1)
    keypoints: np.ndarray = (upright + rng.uniform(-0.12, 0.12, (17, 2))) * SIZE
    return keypoints


def link(
    frames: list[People],
    fps: float = 25.0,
    seconds: list[float] | None = None,
    noise: float = 1.0,
    score: Callable[[int, str], float] = lambda frame, name: 0.9,
    keypoint_score: float = 0.8,
    cut_before: int | None = None,
    **settings: object,
) -> list[dict[str, int]]:
    """Ids by frame and name, first sightings included; 0 is no id."""
    rng = np.random.default_rng(1)
    tracker = OksTracker(sigmas=SIGMAS, **settings)  # type: ignore[arg-type]
    names: list[list[str]] = []
    ids: list[np.ndarray] = []
    for index, people in enumerate(frames):
        if index == cut_before:
            tracker.end_tracks()
        names.append(list(people))
        corner = np.array(list(people.values())).reshape(-1, 2)
        corner = corner + rng.normal(0, noise, corner.shape)
        # "a again" is a second box around person a.
        bodies = np.array([_skeleton(name.split()[0]) for name in people]).reshape(-1, 17, 2)
        links = tracker.update(
            np.concatenate([corner, corner + SIZE], axis=1),
            np.array([score(index, name) for name in people]),
            corner[:, None] + bodies + rng.normal(0, noise, bodies.shape),
            np.full((len(people), 17), keypoint_score),
            seconds[index] if seconds else index / fps,
        )
        ids.append(links.ids)
        for frames_ago, row, number in links.earlier:
            ids[-1 - frames_ago][row] = number
    for frames_ago, row, number in tracker.finish().earlier:
        ids[-1 - frames_ago][row] = number
    return [dict(zip(*pair, strict=True)) for pair in zip(names, [i.tolist() for i in ids], strict=True)]


def ids_of(linked: list[dict[str, int]], name: str) -> list[int]:
    """The distinct ids of one person, in order of first use."""
    return list(dict.fromkeys(frame[name] for frame in linked if name in frame))


def walk(frames: int, **people: tuple[float, float, float]) -> list[People]:
    """People given as (x, y, pixels per frame to the right)."""
    return [{name: (x + v * i, y) for name, (x, y, v) in people.items()} for i in range(frames)]


def test_side_by_side() -> None:
    linked = link(walk(20, a=(0, 0, 3), b=(80, 0, 3)))
    assert linked == [{"a": 1, "b": 2}] * 20


@pytest.mark.parametrize("matching", ["hungarian", "greedy"])
@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_crossing(matching: str, noise: float) -> None:
    linked = link(walk(60, a=(0, 0, 5), b=(300, 6, -5)), noise=noise, matching=matching)
    assert linked == [{"a": 1, "b": 2}] * 60


def test_crossing_while_the_person_behind_is_hidden() -> None:
    frames = walk(60, a=(0, 0, 5), b=(300, 6, -5))
    for frame in frames:
        if abs(frame["a"][0] - frame["b"][0]) < 40:
            del frame["b"]
    linked = link(frames)
    assert ids_of(linked, "a") == [1]
    assert ids_of(linked, "b") == [2]


def test_long_occlusion_within_patience() -> None:
    frames = walk(80, a=(0, 0, 3), b=(0, 300, 3))
    for frame in frames[30:55]:
        del frame["a"]
    linked = link(frames)
    assert ids_of(linked, "a") == [1]
    assert ids_of(linked, "b") == [2]


@pytest.mark.parametrize(("fps", "heights"), [(25.0, 4.0), (60.0, 6.0), (12.5, 2.5)])
def test_a_runner(fps: float, heights: float) -> None:
    linked = link(walk(12, a=(0, 0, heights * SIZE[1] / fps)), fps=fps)
    assert linked == [{"a": 1}] * 12


def test_a_false_positive_in_the_last_frame_gets_no_id() -> None:
    frames = walk(20, a=(0, 0, 3))
    frames[-1]["b"] = (300.0, 300.0)
    assert link(frames)[-1] == {"a": 1, "b": 0}
    assert link(walk(1, a=(0, 0, 3))) == [{"a": 1}]
    frames[-2]["b"] = (300.0, 300.0)
    assert link(frames)[-1] == {"a": 1, "b": 2}


def test_a_person_who_returns_after_patience_gets_a_new_id() -> None:
    frames: list[People] = walk(20, a=(0, 0, 3)) + [{}] * 90 + walk(20, a=(0, 0, 3))
    assert ids_of(link(frames), "a") == [1, 2]


def test_crowd() -> None:
    rng = np.random.default_rng(5)
    people = {
        chr(97 + i): (x, y, rng.uniform(-2, 2)) for i, (x, y) in enumerate(rng.uniform(0, 300, (20, 2)))
    }
    linked = link(walk(60, **people))
    assert all(len(ids_of(linked, name)) == 1 for name in people)
    assert sorted(ids_of(linked, name)[0] for name in people) == list(range(1, 21))


def test_a_duplicate_of_a_tracked_person_gets_no_id() -> None:
    frames = walk(40, a=(0, 0, 3))
    for frame in frames[5:]:
        x, y = frame["a"]
        frame["a again"] = (x + 4, y + 4)
    linked = link(frames, score=lambda frame, name: 0.9 if name == "a" else 0.6)
    assert ids_of(linked, "a") == [1]
    assert ids_of(linked, "a again") == [0]


@pytest.mark.parametrize("keypoint_score", [0.8, 0.05])
def test_missed_detections_at_30_percent(keypoint_score: float) -> None:
    rng = np.random.default_rng(2)
    frames = walk(150, a=(0, 0, 3), b=(100, 0, 3), c=(500, 50, -3), d=(200, 400, 0))
    frames = [{name: at for name, at in frame.items() if rng.uniform() > 0.3} for frame in frames]
    linked = link(frames, noise=2.0, keypoint_score=keypoint_score)
    assert all(len(ids_of(linked, name)) == 1 for name in "abcd")


def test_boxes_decide_where_keypoints_are_useless() -> None:
    rng = np.random.default_rng(3)
    tracker = OksTracker(sigmas=SIGMAS)
    found = set()
    for index in range(60):
        corner = np.array([[3.0 * index, 0.0], [200.0 - 3 * index, 200.0]])
        keypoints = corner[:, None] + rng.uniform(0, 1, (2, 17, 2)) * SIZE
        boxes = np.concatenate([corner, corner + SIZE], axis=1)
        links = tracker.update(boxes, np.full(2, 0.9), keypoints, np.full((2, 17), 0.2), index / 25)
        found.add(tuple(links.ids.tolist()))
    assert found == {(0, 0), (1, 2)}


def test_empty_frames() -> None:
    frames: list[People] = [{}] * 5 + walk(10, a=(0, 0, 3)) + [{}] * 5
    linked = link(frames)
    assert [len(frame) for frame in linked] == [0] * 5 + [1] * 10 + [0] * 5
    assert ids_of(linked, "a") == [1]


def test_video_without_people() -> None:
    assert link([{}] * 5) == [{}] * 5


def test_a_cut_ends_all_tracks() -> None:
    linked = link(walk(40, a=(0, 0, 0), b=(200, 0, 0)), cut_before=20)
    assert ids_of(linked, "a") == [1, 3]
    assert ids_of(linked, "b") == [2, 4]


def test_a_jump_across_the_image_gives_a_new_id() -> None:
    linked = link(walk(20, a=(0, 0, 0)) + walk(20, a=(600, 300, 0)))
    assert ids_of(linked, "a") == [1, 2]


def test_variable_frame_rate() -> None:
    rng = np.random.default_rng(4)
    seconds = np.cumsum(rng.choice([0.02, 0.04, 0.2, 0.3], 80)).tolist()
    frames: list[People] = [{"a": (60 * t, 0.0), "b": (1200 - 60 * t, 20.0)} for t in seconds]
    linked = link(frames, seconds=seconds)
    assert linked == [{"a": 1, "b": 2}] * 80


def test_one_frame_a_second() -> None:
    linked = link(walk(20, a=(0, 0, 10), b=(400, 0, -10)), fps=1.0)
    assert linked == [{"a": 1, "b": 2}] * 20


def test_low_score_poses_continue_a_track_but_start_none() -> None:
    def score(frame: int, name: str) -> float:
        return 0.2 if name == "shadow" or frame > 10 else 0.9

    linked = link(walk(40, a=(0, 0, 3), shadow=(300, 0, 0)), score=score)
    assert ids_of(linked, "a") == [1]
    assert ids_of(linked, "shadow") == [0]


def test_a_false_positive_of_two_frames_uses_no_id() -> None:
    frames = walk(20, a=(0, 0, 3))
    frames[4]["shadow"] = frames[5]["shadow"] = (400.0, 0.0)
    frames[12:] = [{**frame, "b": (700.0, 0.0)} for frame in frames[12:]]
    linked = link(frames)
    assert ids_of(linked, "shadow") == [0]
    assert ids_of(linked, "b") == [2]


def test_one_confirmation_gives_ids_at_once() -> None:
    tracker = OksTracker(sigmas=SIGMAS, confirmations=1)
    links = tracker.update(
        np.array([[0.0, 0, 50, 150]]), np.array([0.9]), np.zeros((1, 17, 2)), np.ones((1, 17)), 0.0
    )
    assert tracker.delay == 0
    assert links.ids.tolist() == [1]


def test_camera_motion_is_compensated() -> None:
    """Two people stand 150 pixels apart and the camera moves by 150: without its motion their ids shift."""
    shift = np.array([[1.0, 0, 150], [0, 1, 0]])
    for motion, expected in ((shift, [[1, 2], [1, 2]]), (None, [[1, 2], [0, 1]])):
        tracker = OksTracker(sigmas=SIGMAS, confirmations=1)
        found = []
        for index, moved in enumerate((0.0, 150.0)):
            corner = np.array([[moved, 0.0], [moved + 150, 0.0]])
            links = tracker.update(
                np.concatenate([corner, corner + SIZE], axis=1),
                np.full(2, 0.9),
                corner[:, None] + np.array([_skeleton("a")] * 2),
                np.full((2, 17), 0.8),
                index / 25,
                camera_motion=motion if index else None,
            )
            found.append(links.ids.tolist())
        if motion is not None:
            assert found == expected
        else:
            assert found[1] != [1, 2]


def test_appearance_decides_where_poses_and_boxes_cannot() -> None:
    appearances = np.eye(2)
    for given in (True, False):
        tracker = OksTracker(sigmas=SIGMAS, confirmations=1)
        ids = []
        # Both disappear side by side and return in swapped positions: only appearance tells them apart.
        for index, (order, people) in enumerate([("ab", 2)] * 10 + [("", 0)] * 3 + [("ba", 2)] * 3):
            corner = np.array([[0.0, 0], [15.0, 0]])[:people]
            links = tracker.update(
                np.concatenate([corner, corner + SIZE], axis=1),
                np.full(people, 0.9),
                corner[:, None] + np.array([_skeleton("a")] * people).reshape(-1, 17, 2),
                np.full((people, 17), 0.3),
                index / 25,
                appearance=appearances[["ab".index(name) for name in order]] if given else None,
            )
            ids.append(links.ids.tolist())
        assert ids[-1] == ([2, 1] if given else [1, 2])


def test_decreasing_times_are_refused() -> None:
    tracker = OksTracker(sigmas=SIGMAS)
    no_people = (np.zeros((0, 4)), np.zeros(0), np.zeros((0, 17, 2)), np.zeros((0, 17)))
    tracker.update(*no_people, 1.0)
    with pytest.raises(ValueError, match="must not decrease"):
        tracker.update(*no_people, 0.5)


@pytest.mark.parametrize("settings", [{"confirmations": 0}, {"matching": "random"}])
def test_invalid_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        OksTracker(sigmas=SIGMAS, **settings)  # type: ignore[arg-type]


def test_without_anything_to_compare_nothing_matches() -> None:
    linked = link(walk(10, a=(0, 0, 3), b=(20, 0, 3)), keypoint_score=0.0, box_weight=0.0)
    assert all(number == 0 for frame in linked[:-1] for number in frame.values())
