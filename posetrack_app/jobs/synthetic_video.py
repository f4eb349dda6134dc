"""A generated video of walking figures with known keypoints, to check an installation without data.

It has two shots with a cut between them. In each, two figures cross. In the first, all figures disappear for some frames
and come back. The frame rate varies, as in a phone's video, and every image shows the number of its frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.records import Detections, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK

Image = NDArray[np.uint8]

SIZE = (360, 240)
"""Width and height of the upright images."""

_STEPS_MS = (33, 34, 33, 50, 17, 33, 34, 66)
"""Milliseconds from one frame to the next; the pattern repeats."""
_CUT, _FRAMES = 66, 100  # first frame of the second shot, and number of frames
_BITS, _STRIP = 8, 16  # of the frame number: digits, and height in pixels
_MARGIN = 0.06  # of a box around the keypoints, in body heights


@dataclass(frozen=True)
class _Walker:
    """`x`, `ground`: where the feet are at the start of the shot. `speed` in pixels per second; below 0: to the left."""

    number: int
    shot: int
    x: float
    ground: float
    height: float
    speed: float
    shirt: tuple[int, int, int]


_WALKERS = (
    _Walker(1, 0, 60, 205, 130, 85, (214, 64, 69)),
    _Walker(2, 0, 310, 190, 112, -85, (62, 124, 215)),
    _Walker(3, 0, 185, 172, 96, 6, (90, 168, 92)),
    _Walker(4, 1, 250, 206, 132, -110, (226, 160, 50)),
    _Walker(5, 1, 110, 188, 110, 95, (160, 94, 201)),
)
_EMPTY = range(48, 54)
"""Frames without people."""


@dataclass(frozen=True, eq=False)
class SyntheticVideo:
    """For each frame: its time in `milliseconds`, the true `people`, and the number of its shot (0 or 1) in `shots`."""

    milliseconds: tuple[int, ...]
    people: tuple[TrackedPoses, ...]
    shots: tuple[int, ...]

    @property
    def seconds(self) -> list[float]:
        return [time / 1000 for time in self.milliseconds]

    def first(self, frames: int) -> SyntheticVideo:
        """The video up to, but without, frame `frames`."""
        return SyntheticVideo(self.milliseconds[:frames], self.people[:frames], self.shots[:frames])

    def image(self, frame: int) -> Image:
        """The image (H, W, 3) RGB of a frame."""
        image = _background(self.shots[frame])
        people = self.people[frame]
        for row in np.argsort(people.boxes[:, 3]).tolist():
            walker = _WALKERS[int(people.ids[row]) - 1]
            _draw_figure(image, people.keypoints[row], walker)
        _draw_number(image, frame)
        return image


def make_synthetic_video() -> SyntheticVideo:
    """The video; it is the same at every call."""
    steps = [_STEPS_MS[k % len(_STEPS_MS)] for k in range(_FRAMES - 1)]
    times = tuple(int(time) for time in np.concatenate([[0], np.cumsum(steps)]))
    shots = tuple(int(frame >= _CUT) for frame in range(_FRAMES))
    starts = (times[0], times[_CUT])
    people = []
    for frame, (time, shot) in enumerate(zip(times, shots, strict=True)):
        here = [walker for walker in _WALKERS if walker.shot == shot and frame not in _EMPTY]
        keypoints = [_keypoints(walker, (time - starts[shot]) / 1000) for walker in here]
        people.append(_tracked(here, np.array(keypoints).reshape(len(here), 17, 2)))
    return SyntheticVideo(times, tuple(people), shots)


def write_synthetic_video(
    video: SyntheticVideo, path: Path, *, rotation: int = 0, sound: bool = True
) -> None:
    """Write an MP4 (H.264, AAC). A player must turn the stored images clockwise by `rotation` degrees.

    With 90, the images are stored on their side, as by a phone that is held upright.
    """
    turns = rotation // 90
    container: Any = av.open(str(path), "w")
    with container:
        width, height = SIZE if turns % 2 == 0 else SIZE[::-1]
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "16"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(-rotation)
        audio = container.add_stream("aac", rate=44100, layout="mono") if sound else None
        for number, time in enumerate(video.milliseconds):
            image = np.ascontiguousarray(np.rot90(video.image(number), turns))
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            write_tone(container, audio, video.milliseconds[-1] / 1000)


def read_number(image: Image) -> int:
    """The frame number that `image` shows; the image must be upright."""
    width = image.shape[1]
    centres = [(2 * bit + 1) * width // (2 * _BITS) for bit in range(_BITS)]
    return sum(1 << bit for bit, x in enumerate(centres) if image[-_STRIP // 2, x].mean() > 127)


def _keypoints(walker: _Walker, seconds: float) -> NDArray[np.float64]:
    """(17, 2) keypoints, PoseTrack18 order, of a walking person seen at an angle from the front."""
    facing = 1.0 if walker.speed >= 0 else -1.0
    # A step is about 0.4 body heights long. A figure that hardly moves swings its limbs less.
    phase = np.pi * abs(walker.speed) * seconds / (0.4 * walker.height) + walker.number
    swing = 0.42 * np.sin(phase) * min(1.0, abs(walker.speed) / 30)
    offsets = {
        "nose": (0.03 * facing, 0.90), "head_bottom": (0.0, 0.83), "head_top": (0.0, 1.0),
        "left_ear": (0.035, 0.91), "right_ear": (-0.035, 0.91),
    }  # fmt: skip
    for side, sign in (("left", 1.0), ("right", -1.0)):
        lift = 0.25 * max(0.0, sign * np.cos(phase))
        offsets[f"{side}_shoulder"] = shoulder = (0.11 * sign, 0.80)
        offsets[f"{side}_elbow"] = elbow = _end(shoulder, 0.17, -swing * sign * facing)
        offsets[f"{side}_wrist"] = _end(elbow, 0.16, (-swing * sign + 0.35) * facing)
        offsets[f"{side}_hip"] = hip = (0.065 * sign, 0.51)
        offsets[f"{side}_knee"] = knee = _end(hip, 0.25, (swing * sign + lift) * facing)
        offsets[f"{side}_ankle"] = _end(knee, 0.24, (swing * sign - lift) * facing)
    points = np.array([offsets[name] for name in POSETRACK.keypoints])
    feet = np.array([walker.x + walker.speed * seconds, walker.ground])
    return feet + points * walker.height * (1, -1)


def _end(start: tuple[float, float], length: float, angle: float) -> tuple[float, float]:
    """The end of a limb of this `length` from `start`; `angle` 0 is straight down."""
    return start[0] + length * float(np.sin(angle)), start[1] - length * float(np.cos(angle))


def _tracked(walkers: list[_Walker], keypoints: NDArray[np.float64]) -> TrackedPoses:
    count = len(walkers)
    margin = _MARGIN * np.array([walker.height for walker in walkers]).reshape(count, 1)
    boxes = np.concatenate([keypoints.min(axis=1) - margin, keypoints.max(axis=1) + margin], axis=1)
    ids = np.array([walker.number for walker in walkers], np.int64)
    return (
        Detections.detected(boxes, np.ones(count))
        .with_keypoints(keypoints, np.ones((count, 17)))
        .with_ids(ids)
    )


def _background(shot: int) -> Image:
    """A wall and a floor with texture for optical flow; the colours differ between the shots."""
    width, height = SIZE
    wall, floor = (((196, 188, 170), (122, 112, 98)), ((52, 66, 84), (34, 40, 46)))[shot]
    image = np.empty((height, width, 3), np.uint8)
    image[:130], image[130:] = wall, floor
    random = np.random.default_rng(shot)
    for x, y in random.integers((0, 0), (width, height), (40, 2)).tolist():
        w, h, shade = random.integers((6, 6, -28), (34, 22, 28)).tolist()
        patch = image[y : y + h, x : x + w]
        patch[:] = np.clip(patch.astype(np.int16) + shade, 0, 255)
    return image


def _draw_figure(image: Image, keypoints: NDArray[np.float64], walker: _Walker) -> None:
    points = dict(zip(POSETRACK.keypoints, keypoints.tolist(), strict=True))
    width = max(2, round(walker.height * 0.07))
    skin, trousers = (216, 170, 140), (54, 54, 74)

    def limb(*names: str, colour: tuple[int, int, int]) -> None:
        line = np.array([points[name] for name in names]).round().astype(np.int32)
        cv2.polylines(image, [line], False, colour, width, cv2.LINE_AA)

    limb("right_shoulder", "right_elbow", "right_wrist", colour=skin)
    for side in ("right", "left"):
        limb(f"{side}_hip", f"{side}_knee", f"{side}_ankle", colour=trousers)
    trunk = [points[name] for name in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
    cv2.fillPoly(image, [np.array(trunk).round().astype(np.int32)], walker.shirt, cv2.LINE_AA)
    limb("left_shoulder", "right_shoulder", "right_hip", "left_hip", "left_shoulder", colour=walker.shirt)
    limb("left_shoulder", "left_elbow", "left_wrist", colour=skin)
    top, bottom = np.array(points["head_top"]), np.array(points["head_bottom"])
    x, y = ((top + bottom) / 2).round().astype(int).tolist()
    radius = max(2, round(float(np.linalg.norm(top - bottom)) / 2))
    cv2.circle(image, (x, y), radius, skin, -1, cv2.LINE_AA)


def _draw_number(image: Image, number: int) -> None:
    """Draw `number` in binary as white boxes on a black strip along the bottom, lowest bit on the left."""
    height, width = image.shape[:2]
    image[height - _STRIP :] = 0
    for bit in range(_BITS):
        if number >> bit & 1:
            image[height - _STRIP :, bit * width // _BITS : (bit + 1) * width // _BITS] = 255


def write_tone(container: Any, stream: Any, seconds: float) -> None:
    """Write a quiet 440 Hz tone into the AAC stream (44.1 kHz, mono) of an open container."""
    for start in range(0, int(seconds * 44100), 1024):
        wave = np.sin(np.arange(start, start + 1024) * 2 * np.pi * 440 / 44100).astype(np.float32)[None] * 0.2
        frame: Any = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
