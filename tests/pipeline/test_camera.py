"""Camera motion of images moved by known maps; cuts; and both in link_poses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from posetrack_trackers import OksTracker

from posetrack_app.core.records import Detections, FloatArray, Frame, Poses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.pipeline.camera import View, camera_motion, follow_camera
from posetrack_app.pipeline.link import link_poses

NO_BOXES = np.zeros((0, 4))
IDENTITY = np.eye(2, 3)


def _scene(seed: int, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> NDArray[np.uint8]:
    """640 x 480 pixels of random blobs."""
    noise = np.random.default_rng(seed).uniform(0, 255, (60, 80)).astype(np.float32)
    grey = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
    image: NDArray[np.uint8] = np.clip(grey[..., None] * tint, 0, 255).astype(np.uint8)
    return image


def _moved(image: NDArray[np.uint8], affine: FloatArray) -> NDArray[np.uint8]:
    return np.asarray(cv2.warpAffine(image, affine, (640, 480), borderMode=cv2.BORDER_REFLECT))


@pytest.mark.parametrize(
    ("shift", "degrees", "zoom"), [((0, 0), 0, 1.0), ((12, -7), 0, 1.0), ((5, 3), 2, 1.0), ((-4, 6), 1, 1.04)]
)
def test_known_motion(shift: tuple[float, float], degrees: float, zoom: float) -> None:
    affine = np.asarray(cv2.getRotationMatrix2D((320, 240), degrees, zoom), dtype=np.float64)
    affine[:, 2] += shift
    before, after = View.of(_scene(0), NO_BOXES), View.of(_moved(_scene(0), affine), NO_BOXES)
    np.testing.assert_array_equal(camera_motion(None, before), IDENTITY)
    found = camera_motion(before, after)
    assert found is not None
    corners = np.array([[100.0, 100, 1], [500, 100, 1], [100, 400, 1], [500, 400, 1]]).T
    np.testing.assert_allclose(found @ corners, affine @ corners, atol=1.0)


def test_people_are_ignored() -> None:
    """A person who moves fills most of the image; the background does not move."""
    first, second = _scene(0), _scene(0)
    person = _scene(1)[:, 100:540]
    first[:, 90:530], second[:, 110:550] = person, person
    found = camera_motion(
        View.of(first, np.array([[80.0, 0, 560, 480]])), View.of(second, np.array([[100.0, 0, 560, 480]]))
    )
    assert found is not None
    np.testing.assert_allclose(found, IDENTITY, atol=0.5)


def test_an_image_without_corners() -> None:
    slope = np.repeat(np.linspace(0, 255, 640)[None], 480, axis=0)
    smooth = View.of(np.repeat(slope[..., None], 3, axis=2).astype(np.uint8), NO_BOXES)
    assert not smooth.is_blank
    np.testing.assert_array_equal(camera_motion(smooth, smooth), IDENTITY)


A, B = _scene(0), _scene(7, tint=(0.3, 0.9, 0.2))
BLACK, FLASH = np.zeros_like(A), np.clip(A.astype(int) + 220, 0, 255).astype(np.uint8)
FADE_OUT = [(A * share).astype(np.uint8) for share in np.linspace(1, 0, 10)]


@pytest.mark.parametrize(
    ("images", "cuts"),
    [
        ([A, A, B, B], [2]),
        ([A, B, A, B, B], [3]),
        ([A, A] + [BLACK] * 25 + [A, A], []),
        ([A, A] + [BLACK] * 25 + [B, B], [27]),
        ([BLACK, BLACK, A, A], []),
        ([A, FLASH, A, FLASH, FLASH, A], []),
        ([A, *[B] * 3, A], []),
        ([A, *[B] * 4, A], [1, 5]),
        ([*FADE_OUT, BLACK, *FADE_OUT[::-1], A], []),
        ([A, A, B], [2]),
        ([A, BLACK, B, B], [2]),
    ],
    ids=[
        "cut", "the scene is back after one image", "black", "cut in black", "black at the start", "flashes",
        "three other images", "four other images", "fade", "the video ends after a cut", "a black image before a cut",
    ],
)  # fmt: skip
def test_cuts_and_interruptions(images: list[NDArray[np.uint8]], cuts: list[int]) -> None:
    nobody = Detections.detected(NO_BOXES, np.zeros(0))
    stream = ((Frame.of(i, i / 25, image), nobody) for i, image in enumerate(images))
    infos = [frame.info for frame, _ in follow_camera(stream)]
    assert [info.index for info in infos] == list(range(len(images)))
    assert [info.index for info in infos if info.is_cut] == cuts
    assert all((info.camera_motion is None) == info.is_cut for info in infos)


def test_tracks_survive_a_second_of_black() -> None:
    box = np.array([[100.0, 50.0, 160, 230]])
    keypoints = box[:, None, :2] + np.linspace([5, 5], [55, 175], 17)
    pose = Detections.detected(box, np.array([0.9])).with_keypoints(keypoints, np.full((1, 17), 0.8))
    images = [A] * 10 + [BLACK] * 25 + [A] * 10
    stream = ((Frame.of(i, i / 25, image), pose[: int(image is A)]) for i, image in enumerate(images))
    linked = list(link_poses(follow_camera(stream), OksTracker(sigmas=POSETRACK.sigmas)))
    assert [poses.ids.tolist() for _, poses in linked] == [[1]] * 10 + [[]] * 25 + [[1]] * 10


def test_a_cut_ends_tracks_and_a_shot_of_one_frame_counts() -> None:
    def pose(left: float) -> Poses:
        box = np.array([[left, 50.0, left + 60, 230]])
        keypoints = box[:, None, :2] + np.linspace([5, 5], [55, 175], 17)
        return Detections.detected(box, np.array([0.9])).with_keypoints(keypoints, np.full((1, 17), 0.8))

    shots = [_scene(0)] * 6 + [_scene(7, tint=(0.3, 0.9, 0.2))] + [_scene(3, tint=(0.9, 0.2, 0.3))] * 6
    stream = ((Frame.of(i, i / 25, image), pose(300.0)) for i, image in enumerate(shots))
    tracker = OksTracker(sigmas=POSETRACK.sigmas)
    linked = list(link_poses(follow_camera(stream), tracker))
    assert [frame.info.index for frame, _ in linked if frame.info.is_cut] == [6, 7]
    assert [poses.ids.tolist() for _, poses in linked] == [[1]] * 6 + [[2]] + [[3]] * 6


def test_a_jerk_of_the_camera_does_not_exchange_ids() -> None:
    """Two people 40 pixels apart; the camera jerks by 40 pixels to the left."""
    jerk = np.array([[1.0, 0, 40], [0, 1, 0]])
    ids = {}
    for followed in (True, False):
        frames = []
        for i in range(12):
            image = _scene(0) if i < 6 else _moved(_scene(0), jerk)
            box = np.array(
                [[left + (40 if i >= 6 else 0), 150.0, left + 160, 330] for left in (250.0, 290.0)]
            )
            box[:, 2] = box[:, 0] + 60
            keypoints = box[:, None, :2] + np.linspace([5, 5], [55, 175], 17)
            frames.append(
                (
                    Frame.of(i, i / 25, image),
                    Detections.detected(box, np.full(2, 0.9)).with_keypoints(
                        keypoints, np.full((2, 17), 0.8)
                    ),
                )
            )
        stream = follow_camera(frames) if followed else frames
        linked = list(link_poses(stream, OksTracker(sigmas=POSETRACK.sigmas)))
        ids[followed] = linked[-1][1].ids.tolist()
    assert ids[True] == [1, 2]
    assert ids[False] != [1, 2]
