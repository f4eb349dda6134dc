"""Drawing: people, colours, names, and faces that cannot be recognised."""

from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import pytest
from fakes import people

from posetrack_app.core.errors import InputError
from posetrack_app.core.records import TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.drawing.draw import Style, colour_of, draw_poses

GREY = np.full((240, 320, 3), 128, np.uint8)


def test_an_id_keeps_its_colour_and_neighbours_differ() -> None:
    colours = np.array([colour_of(track_id) for track_id in range(1, 200)], float)
    assert colour_of(7) == colour_of(7)
    for step in (1, 2, 3):
        apart = np.abs(colours[step:] - colours[:-step]).sum(axis=1)
        assert apart.min() > 90, f"ids {step} apart"


def test_people_are_drawn_in_place_on_a_copy() -> None:
    before = GREY.copy()
    drawn = draw_poses(GREY, people({1: (20, 100), 2: (220, 120)}))
    assert np.array_equal(GREY, before)
    changed = (drawn != GREY).any(axis=2)
    assert changed[100:161, 20:51].mean() > 0.1
    assert changed[120:181, 220:251].mean() > 0.1
    assert not changed[:, 80:200].any()
    for track_id, (x, y) in {1: (20, 130), 2: (220, 150)}.items():
        edge = drawn[y, x - 1 : x + 2].astype(int)
        assert np.abs(edge - colour_of(track_id)).sum(axis=1).min() < 60


def test_opacity_rises_with_the_score() -> None:
    def ink(score: float) -> float:
        inside = draw_poses(GREY, people({1: (100, 80)}, score))[84:136, 104:126]
        return float(np.abs(inside.astype(int) - 128).mean())

    assert ink(0.05) == 0
    assert ink(0.05) < ink(0.2) < ink(0.4) < ink(0.6)
    assert ink(0.6) == ink(1.0)


def test_left_and_right_limbs_differ_in_shade() -> None:
    poses = people({1: (100, 80)}, size=120)
    points = poses.smoothed_keypoints
    for name, place in {"left_knee": 180, "left_ankle": 180, "right_knee": 40, "right_ankle": 40}.items():
        points[0, POSETRACK.keypoints.index(name)] = (place, 150 if "knee" in name else 200)
    drawn = draw_poses(GREY, poses).astype(int)
    assert drawn[175, 178:183].sum() > drawn[175, 38:43].sum() + 300


@pytest.mark.parametrize("corner", [(-500, -500), (310, 230), (-10, 200), (5000, 10)])
def test_people_outside_the_image(corner: tuple[float, float]) -> None:
    style = Style(blur_faces=True, trails=True)
    assert draw_poses(GREY, people({3: corner}), style=style).shape == GREY.shape


def test_no_people_and_only_ids() -> None:
    assert np.array_equal(draw_poses(GREY, people({})), GREY)
    both = people({1: (20, 100), 2: (220, 120)})
    drawn = draw_poses(GREY, both, style=Style(only_ids=frozenset([2])))
    assert np.array_equal(drawn[:, :150], GREY[:, :150])
    assert not np.array_equal(drawn[:, 200:], GREY[:, 200:])


def test_faces_are_blurred_also_of_people_who_are_not_drawn() -> None:
    """A fine pattern disappears under the keypoints of the head and stays elsewhere."""
    pattern = np.random.default_rng(0).integers(0, 256, GREY.shape, np.uint8)
    poses = people({1: (100, 80)}, score=0.05, size=100)
    head = [POSETRACK.keypoints.index(name) for name in ("nose", "head_top", "head_bottom")]
    head += [POSETRACK.keypoints.index(name) for name in ("left_ear", "right_ear")]
    for points in (poses.keypoints, poses.smoothed_keypoints):
        points[0, head] = np.array([(125, 90), (125, 80), (125, 102), (130, 90), (120, 90)])
    style = Style(blur_faces=True, only_ids=frozenset())
    blurred = draw_poses(pattern, poses, style=style)
    assert pattern[84:98, 118:132].std() > 60
    assert blurred[84:98, 118:132].std() < 30
    assert np.array_equal(blurred[140:], pattern[140:])


@pytest.mark.parametrize("missing", [("left_ear", "right_ear"), POSETRACK.keypoints])
def test_missing_keypoints_are_not_part_of_the_head(missing: tuple[str, ...]) -> None:
    """PoseTrack18's 0 0 0, here for the ears: the face is blurred, but nothing between it and the image corner."""
    pattern = np.random.default_rng(0).integers(0, 256, GREY.shape, np.uint8)
    poses = people({1: (100, 80)}, size=100)
    head = [POSETRACK.keypoints.index(name) for name in ("nose", "head_top", "head_bottom")]
    gone = [POSETRACK.keypoints.index(name) for name in missing]
    for points in (poses.keypoints, poses.smoothed_keypoints):
        points[0, head] = np.array([(125, 90), (125, 80), (125, 102)])
        points[0, gone] = 0
    poses.keypoint_scores[0, gone] = 0
    blurred = draw_poses(pattern, poses, style=Style(blur_faces=True, only_ids=frozenset()))
    assert blurred[84:98, 118:132].std() < 40
    assert np.array_equal(blurred[:70], pattern[:70])
    assert np.array_equal(blurred[:, :100], pattern[:, :100])


def test_low_score_heads_are_also_blurred_at_the_top_of_the_box() -> None:
    """Keypoints far from the head, as a bad network predicts them; with high scores only the keypoints are blurred."""
    pattern = np.random.default_rng(0).integers(0, 256, GREY.shape, np.uint8)
    for score, spread in ((0.3, 40), (0.9, 60)):
        poses = people({1: (100, 80)}, score=score, size=100)
        poses.keypoints[:] = poses.smoothed_keypoints[:] = (200, 150)
        blurred = draw_poses(pattern, poses, style=Style(blur_faces=True, only_ids=frozenset()))
        assert (blurred[82:95, 119:132].std() < spread) == (score < 0.6)


def test_a_small_disc_does_not_sharpen_a_large_one() -> None:
    pattern = np.random.default_rng(0).integers(0, 256, GREY.shape, np.uint8)
    near, far = people({1: (20, 20)}, size=200), people({2: (60, 60)}, size=30)
    near.keypoints[:, :5] = near.smoothed_keypoints[:, :5] = [
        (40, 40),
        (110, 110),
        (40, 110),
        (110, 40),
        (75, 75),
    ]
    far.keypoints[:] = far.smoothed_keypoints[:] = (75, 75)
    style = Style(blur_faces=True, only_ids=frozenset())
    once = draw_poses(pattern, near, style=style)
    twice = draw_poses(once, far, style=style)
    columns = [column.name for column in fields(TrackedPoses)]
    both = TrackedPoses(
        **{name: np.concatenate([getattr(near, name), getattr(far, name)]) for name in columns}
    )
    assert np.array_equal(draw_poses(pattern, both, style=style), twice)


def test_names_are_drawn_in_place_of_ids() -> None:
    poses = people({1: (100, 80), 2: (20, 150)})
    plain = draw_poses(GREY, poses)
    named = draw_poses(GREY, poses, style=Style(names={1: "Ann"}))
    changed = (plain != named).any(axis=2)
    assert changed[60:82, 100:150].any()
    assert not changed[140:].any(), "a person without a name keeps the id"


def test_names_that_an_older_opencv_cannot_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "FontFace", raising=False)
    with pytest.raises(InputError, match="the name Zoë cannot be drawn") as caught:
        Style(names={1: "Zoë"})
    assert caught.value.option == "names"
    Style(names={1: "Ann"})
