"""Camera motion of images moved by known maps; cuts; and both in link_poses."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from posetrack_trackers import OksTracker

from posetrack_app.core.records import Detections, FloatArray, Frame, Poses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.pipeline.camera import CameraMotion, follow_camera
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
    camera = CameraMotion()
    np.testing.assert_array_equal(camera.follow(_scene(0), NO_BOXES), IDENTITY)
    found = camera.follow(_moved(_scene(0), affine), NO_BOXES)
    assert found is not None
    corners = np.array([[100.0, 100, 1], [500, 100, 1], [100, 400, 1], [500, 400, 1]]).T
    np.testing.assert_allclose(found @ corners, affine @ corners, atol=1.0)


def test_people_are_ignored() -> None:
    """A person who moves fills most of the image; the background does not move."""
    first, second = _scene(0), _scene(0)
    person = _scene(1)[:, 100:540]
    first[:, 90:530], second[:, 110:550] = person, person
    camera = CameraMotion()
    camera.follow(first, np.array([[80.0, 0, 560, 480]]))
    found = camera.follow(second, np.array([[100.0, 0, 560, 480]]))
    assert found is not None
    np.testing.assert_allclose(found, IDENTITY, atol=0.5)


def test_an_image_without_corners() -> None:
    camera = CameraMotion()
    blank = np.full((480, 640, 3), 90, dtype=np.uint8)
    for _ in range(2):
        np.testing.assert_array_equal(camera.follow(blank, NO_BOXES), IDENTITY)


def test_cut() -> None:
    camera = CameraMotion()
    camera.follow(_scene(0), NO_BOXES)
    assert camera.follow(_scene(7, tint=(0.3, 0.9, 0.2)), NO_BOXES) is None
    assert camera.follow(_scene(7, tint=(0.3, 0.9, 0.2)), NO_BOXES) is not None


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
