"""Videos of detected poses with known identities: synthetic walkers, and the sets in ../shared/goldens/eval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posetrack_app.core.records import BoolArray, Detections, FloatArray, IntArray, Poses
from posetrack_app.core.skeletons import POSETRACK, Skeleton
from posetrack_app.formats.posetrack.read import read_posetrack
from posetrack_app.formats.posetrack.sequence import PoseSequence

# Indices, in our skeleton of 17, of the 15 keypoints that PoseTrack scores.
SCORED = np.array([16, 14, 12, 11, 13, 15, 10, 8, 6, 5, 7, 9, 1, 0, 2])
SIGMAS = POSETRACK.sigma_array[SCORED]
SKELETON = Skeleton("posetrack15", tuple(POSETRACK.keypoints[i] for i in SCORED), (), tuple(SIGMAS.tolist()))


@dataclass(frozen=True)
class Truth:
    """The true people of a frame: `ids` (G,), `keypoints` (G, 15, 2), and `present` (G, 15), which are labelled."""

    ids: IntArray
    keypoints: FloatArray
    present: BoolArray


@dataclass(frozen=True)
class Video:
    """Frames of one video; `truth` is None in frames without labels.

    `camera` is the shift by the camera, (2,) pixels per frame, in synthetic videos.
    """

    name: str
    seconds: list[float]
    poses: Sequence[Poses]
    truth: Sequence[Truth | None]
    camera: Sequence[FloatArray] = field(default_factory=list)


def boxes_around(keypoints: FloatArray, present: BoolArray) -> FloatArray:
    """Boxes (N, 4) x1 y1 x2 y2 around the present keypoints, enlarged by 15 %."""
    hidden = ~present[..., None]
    low = np.where(hidden, np.inf, keypoints).min(axis=1)
    high = np.where(hidden, -np.inf, keypoints).max(axis=1)
    margin = np.maximum(0.075 * (high - low), 2.0)
    return np.concatenate([low - margin, high + margin], axis=1)


def golden_videos(root: Path) -> Iterator[Video]:
    """The videos of every set under `root` that has gt/ and pred/; the ids of the predictions are not used."""
    for truth_path in sorted(root.glob("**/gt/*.json")):
        predictions_path = truth_path.parent.parent / "pred" / truth_path.name
        if not predictions_path.is_file():
            continue
        truth, predictions = read_posetrack(truth_path), read_posetrack(predictions_path)
        frames = range(truth.frame_count)
        yield Video(
            f"{truth_path.parent.parent.name}/{truth_path.stem}",
            [frame / 25 for frame in frames],
            [_poses(predictions, frame) for frame in frames],
            [_truth(truth, frame) if truth.labelled[frame] else None for frame in frames],
        )


def _poses(sequence: PoseSequence, frame: int) -> Poses:
    rows = (sequence.frame == frame) & sequence.present.any(axis=1)
    present = sequence.present[rows]
    scores = np.where(present, np.clip(sequence.scores[rows], 0, 1), 0.0)
    if not sequence.scores[rows].max(initial=0.0) > 0:
        scores = np.where(present, 0.9, 0.0)
    person = scores.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    keypoints = sequence.keypoints[rows]
    return Detections.detected(boxes_around(keypoints, present), person).with_keypoints(keypoints, scores)


def _truth(sequence: PoseSequence, frame: int) -> Truth:
    rows = (sequence.frame == frame) & sequence.present.any(axis=1)
    return Truth(sequence.ids[rows], sequence.keypoints[rows], sequence.present[rows])


# A standing body of height 1 with the hips at the origin, keypoints in the order of SCORED.
_BODY = np.array(
    [(-0.06, 0.47), (-0.06, 0.24), (-0.06, 0.0), (0.06, 0.0), (0.06, 0.24), (0.06, 0.47), (-0.14, 0.02),
     (-0.13, -0.14), (-0.11, -0.3), (0.11, -0.3), (0.13, -0.14), (0.14, 0.02), (0.0, -0.34), (0.02, -0.42),
     (0.0, -0.5)]
)  # fmt: skip
# Amplitude and phase of the swing of each keypoint while walking.
_SWING = np.array([0.16, 0.08, 0, 0, 0.08, 0.16, 0.12, 0.05, 0, 0, 0.05, 0.12, 0, 0, 0])
_PHASE = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]) * np.pi


@dataclass(frozen=True)
class Walkers:
    """Settings of a synthetic video.

    `noise` of keypoints is in body heights; `miss` is the share of people missed; `false_positives` is the probability
    of one in a frame; `pan` is the standard deviation of the camera's step per frame, in image heights.
    """

    people: int = 8
    frames: int = 250
    fps: float = 25.0
    noise: float = 0.01
    keypoint_score: float = 0.8
    miss: float = 0.05
    false_positives: float = 0.3
    pan: float = 0.0
    seed: int = 0


SETTINGS = {
    "street": Walkers(),
    "crowd": Walkers(people=20, seed=1),
    "flicker 30 %": Walkers(people=10, miss=0.3, seed=2),
    "low-score keypoints": Walkers(people=10, noise=0.06, keypoint_score=0.25, miss=0.1, seed=3),
    "5 frames a second": Walkers(people=8, frames=100, fps=5.0, seed=4),
    "shaken camera": Walkers(people=8, pan=0.005, seed=5),
}


def walker_videos(name: str, count: int = 3) -> Iterator[Video]:
    """`count` videos of a setting in which people walk, turn, pass behind each other, leave and return."""
    setting = SETTINGS[name]
    for number in range(count):
        yield make_video(f"{name} {number}", setting, np.random.default_rng([setting.seed, number]))


def one_walker(seconds: FloatArray, height: float) -> FloatArray:
    """True keypoints (F, 15, 2) of a walking person: one step cycle and half a body height per second."""
    swing = _SWING * np.sin(2 * np.pi * seconds[:, None] + _PHASE)
    x = 0.5 * seconds[:, None] + _BODY[:, 0] + swing
    return height * np.stack([x, np.broadcast_to(_BODY[:, 1], x.shape)], axis=2)


def parade(people: int, frames: int = 300) -> Video:
    """People in full view, of whom 5 % are missed, to time linking."""
    rng = np.random.default_rng(people)
    row, column = np.divmod(np.arange(people), 10)
    start, velocity = np.stack([160.0 * column, 250.0 * row], axis=1), rng.normal(0, 60, (people, 2))
    build, poses = rng.normal(1, 0.06, (people, 15, 2)), []
    for frame in range(frames):
        position = start + velocity * frame / 25
        keypoints = position[:, None] + _BODY * build * 200.0 + rng.normal(0, 2, (people, 15, 2))
        boxes = boxes_around(keypoints, np.ones((people, 15), dtype=bool))
        found = rng.uniform(size=people) >= 0.05
        scores = rng.uniform(0.6, 1, people), rng.uniform(0.5, 1, (people, 15))
        poses.append(Detections.detected(boxes, scores[0]).with_keypoints(keypoints, scores[1])[found])
    return Video(f"{people} people", [frame / 25 for frame in range(frames)], poses, [None] * frames)


def make_video(name: str, setting: Walkers, rng: np.random.Generator) -> Video:
    """One synthetic video, 1280 x 720 pixels."""
    people = setting.people
    height = rng.uniform(120, 320, people)
    position = rng.uniform([100, 250], [1180, 500], (people, 2))
    velocity = rng.normal(0, [0.5, 0.08], (people, 2)) * height[:, None]
    pace, start = rng.uniform(0.8, 1.3, people), rng.uniform(0, 2 * np.pi, people)
    build = rng.normal(1, 0.06, (people, 15, 2))
    camera: FloatArray = np.zeros(2)
    seconds, poses, truths, cameras = [], [], [], []
    for frame in range(setting.frames):
        step = 1 / setting.fps
        velocity += rng.normal(0, 0.35, (people, 2)) * height[:, None] * np.sqrt(step) * [1.0, 0.15]
        velocity *= np.exp(-step / 4)
        velocity[:, 1] -= (position[:, 1] - 380) * step * 0.3
        position = position + velocity * step
        x, speed = position[:, 0], velocity[:, 0]
        turning = (x < -60) & (speed < 0) | (x > 1340) & (speed > 0)
        velocity[turning, 0] *= -1
        camera = 0.9 * camera + rng.normal(0, setting.pan * 720, 2)
        cameras.append(camera)
        phase = 2 * np.pi * pace * frame * step + start
        swing = _SWING * np.sin(phase[:, None] + _PHASE)
        shape = _BODY * build
        facing = np.clip(np.abs(velocity[:, 0]) / (0.3 * height), 0, 1) * np.sign(velocity[:, 0])
        bodies = np.stack([shape[..., 0] + swing * facing[:, None], shape[..., 1]], axis=2)
        keypoints = position[:, None] + bodies * height[:, None, None] + camera
        inside = np.asarray(((keypoints > 0) & (keypoints < [1280, 720])).all(axis=2))
        seconds.append(frame * step)
        visible = inside.sum(axis=1) >= 5
        truths.append(Truth(np.nonzero(visible)[0], keypoints[visible], inside[visible]))
        poses.append(_detect(keypoints, inside, height, setting, rng))
    return Video(name, seconds, poses, truths, cameras)


def _detect(
    keypoints: FloatArray, inside: BoolArray, height: FloatArray, setting: Walkers, rng: np.random.Generator
) -> Poses:
    """Simulated detector and pose network. The taller of two people stands in front and hides the other."""
    boxes = boxes_around(keypoints, np.ones(inside.shape, dtype=bool))
    hidden = np.zeros(inside.shape, dtype=bool)
    for front in np.argsort(-height):
        low, high = boxes[front, :2], boxes[front, 2:]
        behind = height < height[front]
        covered = (keypoints > low).all(axis=2) & (keypoints < high).all(axis=2)
        hidden |= covered & behind[:, None]
    seen = inside & ~hidden
    share = seen.mean(axis=1)
    is_found = (inside.sum(axis=1) >= 5) & (rng.uniform(size=len(height)) < share * 1.6 - 0.15)
    is_found &= rng.uniform(size=len(height)) >= setting.miss
    noise = setting.noise * height[:, None] * np.where(seen, 1.0, 5.0)
    estimated = keypoints + rng.normal(size=keypoints.shape) * noise[..., None]
    lost = rng.uniform(size=inside.shape) < 0.03
    error = rng.normal(0, 0.15, estimated.shape) * height[:, None, None]
    estimated = np.where(lost[..., None], estimated + error, estimated)
    keypoint_scores = setting.keypoint_score * np.where(seen & ~lost, 1.0, 0.35)
    keypoint_scores = np.clip(keypoint_scores + rng.normal(0, 0.08, inside.shape), 0.02, 1.0)
    detected = np.clip(boxes_around(keypoints, inside), [0, 0, 0, 0], [1280, 720, 1280, 720])
    detected = detected + rng.normal(size=detected.shape) * 0.02 * height[:, None]
    scores = np.clip(0.25 + 0.65 * share + rng.normal(0, 0.08, len(height)), 0.05, 0.99)
    count = int(rng.uniform() < setting.false_positives)
    low, size = rng.uniform(0, 600, (count, 2)), np.array([60.0, 160.0])
    false_boxes = np.concatenate([low, low + size], axis=1)
    false_keypoints = low[:, None] + rng.uniform(0, 1, (count, 15, 2)) * size
    return Detections.detected(
        np.concatenate([detected[is_found], false_boxes]),
        np.concatenate([scores[is_found], rng.uniform(0.2, 0.7, count)]),
    ).with_keypoints(
        np.concatenate([estimated[is_found], false_keypoints]),
        np.concatenate([keypoint_scores[is_found], rng.uniform(0.05, 0.4, (count, 15))]),
    )
