"""Videos of detected poses with known identities: our own walkers, and the sets in ../shared/goldens/eval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posetrack_app.formats.pose_sequence import PoseSequence
from posetrack_app.formats.posetrack import read_posetrack
from posetrack_app.records import FloatArray, IntArray, Poses
from posetrack_app.skeleton import POSETRACK, Skeleton

# Places of the 15 keypoints that PoseTrack scores (ids 0 to 14) in our skeleton of 17.
SCORED = np.array([16, 14, 12, 11, 13, 15, 10, 8, 6, 5, 7, 9, 1, 0, 2])
SIGMAS = POSETRACK.sigma_array[SCORED]
SKELETON = Skeleton("posetrack15", tuple(POSETRACK.keypoints[i] for i in SCORED), (), tuple(SIGMAS.tolist()))


@dataclass(frozen=True)
class Truth:
    """Who really is in a frame: `ids` (G,), `keypoints` (G, 15, 2), `present` (G, 15) where labelled."""

    ids: IntArray
    keypoints: FloatArray
    present: FloatArray


@dataclass(frozen=True)
class Video:
    """Frames of one video; `truth` is None where the frame is not labelled.

    `camera` is where the camera has moved things to, (2,) pixels for each frame of a made video.
    """

    name: str
    seconds: list[float]
    poses: list[Poses]
    truth: list[Truth | None]
    camera: list[FloatArray] = field(default_factory=list)


def boxes_around(keypoints: FloatArray, present: FloatArray) -> FloatArray:
    """Boxes (N, 4) around the present keypoints, enlarged by 15 %."""
    hidden = ~np.asarray(present, dtype=bool)[..., None]
    low = np.where(hidden, np.inf, keypoints).min(axis=1)
    high = np.where(hidden, -np.inf, keypoints).max(axis=1)
    margin = np.maximum(0.075 * (high - low), 2.0)
    return np.concatenate([low - margin, high + margin], axis=1)


def golden_videos(root: Path) -> Iterator[Video]:
    """The videos of every set below `root` that holds gt/ and pred/; identities of predictions left out."""
    for truth_path in sorted(root.glob("**/gt/*.json")):
        found_path = truth_path.parent.parent / "pred" / truth_path.name
        if not found_path.is_file():
            continue
        truth, found = read_posetrack(truth_path), read_posetrack(found_path)
        frames = range(truth.frame_count)
        yield Video(
            f"{truth_path.parent.parent.name}/{truth_path.stem}",
            [frame / 25 for frame in frames],
            [_found(found, frame) for frame in frames],
            [_truth(truth, frame) if truth.labelled[frame] else None for frame in frames],
        )


def _found(sequence: PoseSequence, frame: int) -> Poses:
    rows = (sequence.frame == frame) & sequence.present.any(axis=1)
    present = sequence.present[rows]
    scores = np.where(present, np.clip(sequence.scores[rows], 0, 1), 0.0)
    if not sequence.scores[rows].max(initial=0.0) > 0:
        scores = np.where(present, 0.9, 0.0)
    person = scores.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    keypoints = sequence.keypoints[rows]
    return Poses(boxes_around(keypoints, present), person, keypoints, scores)


def _truth(sequence: PoseSequence, frame: int) -> Truth:
    rows = (sequence.frame == frame) & sequence.present.any(axis=1)
    return Truth(sequence.ids[rows], sequence.keypoints[rows], sequence.present[rows])


# A standing body of height 1 around its hips, keypoints in the order of SCORED.
_BODY = np.array(
    [(-0.06, 0.47), (-0.06, 0.24), (-0.06, 0.0), (0.06, 0.0), (0.06, 0.24), (0.06, 0.47), (-0.14, 0.02),
     (-0.13, -0.14), (-0.11, -0.3), (0.11, -0.3), (0.13, -0.14), (0.14, 0.02), (0.0, -0.34), (0.02, -0.42),
     (0.0, -0.5)]
)  # fmt: skip
# How far a keypoint swings forwards and back while walking, and in which phase.
_SWING = np.array([0.16, 0.08, 0, 0, 0.08, 0.16, 0.12, 0.05, 0, 0, 0.05, 0.12, 0, 0, 0])
_PHASE = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]) * np.pi


@dataclass(frozen=True)
class Walkers:
    """What a made video is like; `noise` of keypoints in body heights, `miss` share of people lost."""

    people: int = 8
    frames: int = 250
    fps: float = 25.0
    noise: float = 0.01
    keypoint_score: float = 0.8
    miss: float = 0.05
    ghosts: float = 0.3
    pan: float = 0.0
    seed: int = 0


SETTINGS = {
    "street": Walkers(),
    "crowd": Walkers(people=20, seed=1),
    "flicker 30 %": Walkers(people=10, miss=0.3, seed=2),
    "weak keypoints": Walkers(people=10, noise=0.06, keypoint_score=0.25, miss=0.1, seed=3),
    "5 frames a second": Walkers(people=8, frames=100, fps=5.0, seed=4),
    "shaken camera": Walkers(people=8, pan=0.005, seed=5),
}


def walker_videos(name: str, count: int = 3) -> Iterator[Video]:
    """`count` videos of the named setting; people walk, turn, pass behind each other, leave, come back."""
    setting = SETTINGS[name]
    for number in range(count):
        yield make_video(f"{name} {number}", setting, np.random.default_rng([setting.seed, number]))


def one_walker(seconds: FloatArray, height: float) -> FloatArray:
    """True keypoints (F, 15, 2) of somebody who walks, one step cycle a second, half a height a second."""
    swing = _SWING * np.sin(2 * np.pi * seconds[:, None] + _PHASE)
    x = 0.5 * seconds[:, None] + _BODY[:, 0] + swing
    return height * np.stack([x, np.broadcast_to(_BODY[:, 1], x.shape)], axis=2)


def parade(people: int, frames: int = 300) -> Video:
    """Everyone in full view, 5 % missed: what linking this many people costs."""
    rng = np.random.default_rng(people)
    row, column = np.divmod(np.arange(people), 10)
    start, velocity = np.stack([160.0 * column, 250.0 * row], axis=1), rng.normal(0, 60, (people, 2))
    build, poses = rng.normal(1, 0.06, (people, 15, 2)), []
    for frame in range(frames):
        place = start + velocity * frame / 25
        keypoints = place[:, None] + _BODY * build * 200.0 + rng.normal(0, 2, (people, 15, 2))
        boxes = boxes_around(keypoints, np.ones((people, 15), dtype=bool))
        found = rng.uniform(size=people) >= 0.05
        scores = rng.uniform(0.6, 1, people), rng.uniform(0.5, 1, (people, 15))
        poses.append(Poses(boxes, scores[0], keypoints, scores[1])[found])
    return Video(f"{people} people", [frame / 25 for frame in range(frames)], poses, [None] * frames)


def make_video(name: str, setting: Walkers, rng: np.random.Generator) -> Video:
    """One made video, 1280 x 720 pixels."""
    people = setting.people
    height = rng.uniform(120, 320, people)
    place = rng.uniform([100, 250], [1180, 500], (people, 2))
    velocity = rng.normal(0, [0.5, 0.08], (people, 2)) * height[:, None]
    pace, start = rng.uniform(0.8, 1.3, people), rng.uniform(0, 2 * np.pi, people)
    build = rng.normal(1, 0.06, (people, 15, 2))
    camera = np.zeros(2)
    seconds, poses, truths, cameras = [], [], [], []
    for frame in range(setting.frames):
        step = 1 / setting.fps
        velocity += rng.normal(0, 0.35, (people, 2)) * height[:, None] * np.sqrt(step) * [1.0, 0.15]
        velocity *= np.exp(-step / 4)
        velocity[:, 1] -= (place[:, 1] - 380) * step * 0.3
        place = place + velocity * step
        turning = (place[:, 0] < -60) & (velocity[:, 0] < 0) | (place[:, 0] > 1340) & (velocity[:, 0] > 0)
        velocity[turning, 0] *= -1
        camera = 0.9 * camera + rng.normal(0, setting.pan * 720, 2)
        cameras.append(camera)
        phase = 2 * np.pi * pace * frame * step + start
        swing = _SWING * np.sin(phase[:, None] + _PHASE)
        shape = _BODY * build
        facing = np.clip(np.abs(velocity[:, 0]) / (0.3 * height), 0, 1) * np.sign(velocity[:, 0])
        bodies = np.stack([shape[..., 0] + swing * facing[:, None], shape[..., 1]], axis=2)
        keypoints = place[:, None] + bodies * height[:, None, None] + camera
        inside = (keypoints > 0).all(axis=2) & (keypoints < [1280, 720]).all(axis=2)
        seconds.append(frame * step)
        shown = inside.sum(axis=1) >= 5
        truths.append(Truth(np.nonzero(shown)[0], keypoints[shown], inside[shown]))
        poses.append(_detect(keypoints, inside, height, setting, rng))
    return Video(name, seconds, poses, truths, cameras)


def _detect(
    keypoints: FloatArray, inside: FloatArray, height: FloatArray, setting: Walkers, rng: np.random.Generator
) -> Poses:
    """What a detector and a pose net would say; the taller person stands in front and hides the others."""
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
    at = keypoints + rng.normal(size=keypoints.shape) * noise[..., None]
    lost = rng.uniform(size=inside.shape) < 0.03
    at = np.where(lost[..., None], at + rng.normal(0, 0.15, at.shape) * height[:, None, None], at)
    certainty = setting.keypoint_score * np.where(seen & ~lost, 1.0, 0.35)
    certainty = np.clip(certainty + rng.normal(0, 0.08, inside.shape), 0.02, 1.0)
    edges = np.clip(boxes_around(keypoints, inside), [0, 0, 0, 0], [1280, 720, 1280, 720])
    edges = edges + rng.normal(size=edges.shape) * 0.02 * height[:, None]
    scores = np.clip(0.25 + 0.65 * share + rng.normal(0, 0.08, len(height)), 0.05, 0.99)
    ghosts = int(rng.uniform() < setting.ghosts)
    low, ghost_size = rng.uniform(0, 600, (ghosts, 2)), np.array([60.0, 160.0])
    ghost_box = np.concatenate([low, low + ghost_size], axis=1)
    ghost_at = low[:, None] + rng.uniform(0, 1, (ghosts, 15, 2)) * ghost_size
    return Poses(
        np.concatenate([edges[is_found], ghost_box]),
        np.concatenate([scores[is_found], rng.uniform(0.2, 0.7, ghosts)]),
        np.concatenate([at[is_found], ghost_at]),
        np.concatenate([certainty[is_found], rng.uniform(0.05, 0.4, (ghosts, 15))]),
    )
