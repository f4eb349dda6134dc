"""`posetrack selftest`: a generated video with known people goes through every stage except the networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.config import Config
from posetrack_app.core.json_file import load_json, write_json
from posetrack_app.core.protocols import Networks, PoseArrays
from posetrack_app.core.records import FloatArray, Frame, FrameInfo, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.drawing.draw import Style
from posetrack_app.drawing.overlay import render_video
from posetrack_app.evaluation.evaluate import Evaluation, evaluate
from posetrack_app.formats import Tracks, TracksWriter, read_tracks
from posetrack_app.formats.convert import WRITERS, read_any
from posetrack_app.formats.tracks_json.validate import find_faults
from posetrack_app.jobs.synthetic_video import (
    Image,
    SyntheticVideo,
    make_synthetic_video,
    read_number,
    write_synthetic_video,
)
from posetrack_app.pipeline.track_people import track_people
from posetrack_app.video import open_video

MIN_MOTA = 90.0
"""Percent. The simulated detector misses some people while they hide each other."""

_NOISE = 0.012
"""Standard deviation of the simulated keypoints, in box heights."""


@dataclass(frozen=True)
class Check:
    """The result of check `number` of `count`; `detail` says what was measured, or what is wrong."""

    number: int
    count: int
    name: str
    passed: bool
    detail: str


class FailedError(Exception):
    """A check failed; the text says how."""


@dataclass
class _State:
    """What the checks pass on to the next ones."""

    folder: Path
    source: SyntheticVideo
    frames: list[Frame] = field(default_factory=list)
    people: list[TrackedPoses] = field(default_factory=list)
    evaluation: Evaluation | None = None

    @property
    def video(self) -> Path:
        return self.folder / "video.mp4"

    @property
    def truth(self) -> Path:
        return self.folder / "truth.json"

    @property
    def tracks(self) -> Path:
        return self.folder / "tracks.json"


def run_selftest(folder: Path) -> Iterator[Check]:
    """Check one stage after the other in the empty `folder`.

    A failed check is a result with `passed` False; after an unexpected error no further check runs.
    """
    state = _State(folder, make_synthetic_video())
    checks: Sequence[tuple[str, Callable[[_State], str]]] = (
        ("decoding", _decode),
        ("tracking", _track),
        ("cut", _check_cut),
        ("smoothing", _check_smoothing),
        ("writing", _write),
        ("reading", _read),
        ("converting", _convert),
        ("scoring", _score),
        ("drawing", _draw),
    )
    for number, (name, check) in enumerate(checks, 1):
        try:
            yield Check(number, len(checks), name, True, check(state))
        except FailedError as failure:
            yield Check(number, len(checks), name, False, str(failure))
        except Exception as error:
            yield Check(number, len(checks), name, False, f"{type(error).__name__}: {error}")
            return


def _decode(state: _State) -> str:
    write_synthetic_video(state.source, state.video, rotation=90)
    with open_video(state.video) as video:
        state.frames = list(video)
        info = video.info
    numbers = [read_number(frame.image) for frame in state.frames]
    _require(numbers == list(range(len(state.source.seconds))), f"wrong frames were read: {_short(numbers)}")
    _require([frame.info.index for frame in state.frames] == numbers, "frame indices are wrong")
    delay = max(
        abs(frame.info.seconds - true) for frame, true in zip(state.frames, state.source.seconds, strict=True)
    )
    _require(delay < 1e-3, f"the time of a frame is wrong by {delay:.3f} s")
    difference = max(
        float(np.abs(frame.image.astype(int) - state.source.image(frame.info.index)).mean())
        for frame in state.frames[::9]
    )
    _require(difference < 6, f"pixels are wrong by {difference:.0f} levels of 255 on average")
    return f"{len(numbers)} upright frames, times correct to {delay * 1000:.1f} ms ({info.decoder})"


def _track(state: _State) -> str:
    networks = Networks(_Detector(state.source), _Estimator(state.source), POSETRACK, "cpu", "float32", {})
    linked = list(track_people(state.frames, networks, Config()))
    state.people = [tracked for _, tracked in linked]
    _require(
        [frame.info.index for frame, _ in linked] == [frame.info.index for frame in state.frames],
        "frames were lost",
    )
    for truth, tracked in zip(state.source.people, state.people, strict=True):
        _require(len(truth) > 0 or len(tracked) == 0, "a person was tracked in an empty frame")
    ids = {number for tracked in state.people for number in tracked.ids.tolist()}
    true = {number for people in state.source.people for number in people.ids.tolist()}
    _require(len(ids) == len(true), f"{len(true)} people got {len(ids)} identities")
    return f"{len(true)} people, {len(ids)} identities"


def _check_cut(state: _State) -> str:
    shots: list[set[int]] = [set(), set()]
    for shot, tracked in zip(state.source.shots, state.people, strict=True):
        shots[shot].update(tracked.ids.tolist())
    _require(
        not shots[0] & shots[1], f"identities {_short(sorted(shots[0] & shots[1]))} continue after the cut"
    )
    return "no identity continues after the cut"


def _check_smoothing(state: _State) -> str:
    """Compare the jitter of the raw and the smoothed keypoints; see `_jitter`."""
    raw, smoothed, errors = [], [], []
    for truth, tracked in _trajectories(state):
        raw.append(_jitter(tracked[:, 0] - truth))
        smoothed.append(_jitter(tracked[:, 1] - truth))
        errors.append(np.linalg.norm(tracked[:, 1] - truth, axis=-1).mean())
    before, after, error = (float(np.mean(values)) for values in (raw, smoothed, errors))
    _require(after < 0.7 * before, f"jitter was {before:.2f} px before and {after:.2f} px after smoothing")
    _require(error < 4.0, f"smoothed keypoints are wrong by {error:.1f} px on average")
    return f"jitter {before:.2f} px before, {after:.2f} px after; mean error {error:.1f} px"


def _write(state: _State) -> str:
    width, height = state.frames[0].info.size
    info = {"video": {"file": state.video.name, "width": width, "height": height, "frame_rate": 30.0}}
    for path, people in ((state.tracks, state.people), (state.truth, list(state.source.people))):
        with TracksWriter(path, skeleton=POSETRACK, info=info) as writer:
            for frame, tracked in zip(state.frames, people, strict=True):
                writer.write(FrameInfo(frame.info.index, frame.info.seconds), tracked)
    faults = find_faults(load_json(state.tracks))
    _require(not faults, f"the file is not valid: {', '.join(faults[:1])}")
    return f"{len(state.frames)} frames, valid"


def _read(state: _State) -> str:
    _require_same(state, read_tracks(state.tracks), 0.0051)
    return "all values unchanged"


def _convert(state: _State) -> str:
    stored = read_tracks(state.tracks)
    WRITERS["csv"](stored, state.folder / "tracks.csv")
    _require_same(state, read_any(state.folder / "tracks.csv"), 0.0051)
    return "to CSV and back, all values unchanged"


def _score(state: _State) -> str:
    # PoseTrack measures distances in head sizes, so the ground truth needs head boxes.
    content = load_json(state.truth)
    for person in content["annotations"]:
        x, y, width, height = person["bbox"]
        person["bbox_head"] = [x + width / 4, y, width / 2, height / 5]
    write_json(state.truth, content)
    perfect = evaluate(state.truth, state.truth, ["corrected"]).totals
    for name in ("mAP", "MOTA", "HOTA"):
        value = perfect[f"corrected {name}"]
        _require(
            value is not None and math.isclose(value, 100),
            f"the ground truth scored against itself has {name} {value}, not 100",
        )
    ours = evaluate(state.truth, state.tracks, ["corrected"])
    mota, switches = ours.totals["corrected MOTA"], len(ours.id_switches)
    _require(mota is not None and mota >= MIN_MOTA, f"MOTA is {mota or math.nan:.1f}, below {MIN_MOTA:g}")
    _require(switches == 0, f"{switches} identity switches")
    return f"mAP {ours.totals['corrected mAP']:.1f}, MOTA {mota:.1f}, no identity switches"


def _draw(state: _State) -> str:
    out = state.folder / "overlay.mp4"
    render_video(state.video, read_tracks(state.tracks), out, Style(trails=True))
    with open_video(out) as video:
        frames = list(video)
    times = [abs(frame.info.seconds - true) for frame, true in zip(frames, state.source.seconds, strict=True)]
    _require(max(times) < 1e-3, f"the time of a frame is wrong by {max(times):.3f} s")
    for frame, tracked, source in zip(frames, state.people, state.frames, strict=True):
        changed = float(np.abs(frame.image.astype(int) - source.image).max(axis=2).mean())
        _require(len(tracked) == 0 or changed > 2, f"nothing is drawn on frame {frame.info.index}")
    with av.open(str(out)) as container:
        codecs = sorted(stream.codec_context.name for stream in container.streams)
    _require(
        "h264" in codecs and "aac" in codecs, f"the overlay has {', '.join(codecs)}; expected h264 and aac"
    )
    return f"{len(frames)} frames at the correct times, {' and '.join(codecs)}"


def _require(condition: bool, failure: str) -> None:
    if not condition:
        raise FailedError(failure)


def _short(values: Sequence[int]) -> str:
    return f"{', '.join(map(str, values[:8]))}{', ...' if len(values) > 8 else ''}"


def _require_same(state: _State, read: Tracks, rounding: float) -> None:
    _require(
        [f.info.index for f in read.frames] == [f.info.index for f in state.frames],
        "other frames were read back",
    )
    for before, after in zip(state.people, read.frames, strict=True):
        for name in ("ids", "boxes", "scores", "keypoints", "keypoint_scores", "smoothed_keypoints"):
            one, other = getattr(before, name), getattr(after.people, name)
            same = one.shape == other.shape and np.allclose(one, other, rtol=0, atol=2 * rounding)
            _require(same, f"frame {after.info.index}: {name} changed")


def _trajectories(state: _State) -> Iterator[tuple[FloatArray, FloatArray]]:
    """For each identity over its T frames: true keypoints (T, 17, 2), and raw and smoothed ones (T, 2, 17, 2)."""
    paths: dict[int, tuple[list[FloatArray], list[FloatArray]]] = {}
    for truth, tracked in zip(state.source.people, state.people, strict=True):
        for row, number in enumerate(tracked.ids.tolist()):
            true, found = paths.setdefault(number, ([], []))
            true.append(truth.keypoints[_nearest(truth.boxes, tracked.boxes[row])])
            found.append(np.stack([tracked.keypoints[row], tracked.smoothed_keypoints[row]]))
    for true, found in paths.values():
        yield np.array(true), np.array(found)


def _jitter(errors: FloatArray) -> float:
    """Mean of |e[t] - (e[t-1] + e[t+1]) / 2| over `errors` (T, 17, 2), in pixels."""
    bend = errors[1:-1] - (errors[:-2] + errors[2:]) / 2
    return float(np.linalg.norm(bend, axis=-1).mean())


def _nearest(boxes: FloatArray, box: FloatArray) -> int:
    return int(np.abs(boxes - box).sum(axis=1).argmin())


class _Detector:
    """Simulates a good detector: noise on every box, a few missed people and false positives."""

    def __init__(self, source: SyntheticVideo) -> None:
        self._source = source

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> list[tuple[FloatArray, FloatArray]]:
        return [self._detect(read_number(image)) for image in images]

    def _detect(self, number: int) -> tuple[FloatArray, FloatArray]:
        random = np.random.default_rng([1, number])
        people = self._source.people[number]
        found = random.uniform(size=len(people)) > 0.03
        boxes = people.boxes[found] + random.normal(0, 1.0, (int(found.sum()), 4))
        scores = random.uniform(0.9, 1.0, len(boxes))
        if number % 9 == 4 and len(people):
            x, y = random.uniform((0, 0), (280, 120))
            boxes = np.concatenate([boxes, [[x, y, x + 40, y + 80]]])
            scores = np.append(scores, 0.35)
        return boxes, scores


class _Estimator:
    """Simulates a good pose network; false positives get random keypoints with low scores."""

    def __init__(self, source: SyntheticVideo) -> None:
        self._source = source

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray], /) -> PoseArrays:
        poses = [self._estimate(read_number(image), box) for image, box in zip(images, boxes, strict=True)]
        keypoints = np.array([points for points, _ in poses]).reshape(len(poses), 17, 2)
        scores = np.array([scores for _, scores in poses]).reshape(len(poses), 17)
        return keypoints, scores, np.zeros((len(poses), 0))

    def _estimate(self, number: int, box: FloatArray) -> tuple[FloatArray, FloatArray]:
        random = np.random.default_rng([2, number, *box.astype(int).tolist()])
        people = self._source.people[number]
        row = _nearest(people.boxes, box) if len(people) else -1
        if row < 0 or np.abs(people.boxes[row] - box).max() > 12:
            return random.uniform(box[:2], box[2:], (17, 2)), random.uniform(0.0, 0.3, 17)
        height = float(box[3] - box[1])
        noise: Any = random.normal(0, _NOISE * height, (17, 2))
        return people.keypoints[row] + noise, random.uniform(0.7, 0.95, 17)
