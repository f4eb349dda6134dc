"""Is this installation sound? A film whose truth is known goes through every stage but the networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from posetrack_app.assemble import Parts
from posetrack_app.chain import track_people
from posetrack_app.config import Config
from posetrack_app.drawing import Style
from posetrack_app.evaluation.evaluation import Evaluation, evaluate
from posetrack_app.formats import Tracks, TracksWriter, read_tracks
from posetrack_app.formats.convert import WRITERS, read_any
from posetrack_app.formats.json_file import load_json, write_json
from posetrack_app.formats.validate import find_faults
from posetrack_app.overlay import render_video
from posetrack_app.records import FloatArray, Frame, TrackedPoses
from posetrack_app.skeleton import POSETRACK
from posetrack_app.synthetic import Film, Image, make_film, read_number, write_film
from posetrack_app.video import open_video

LEAST_MOTA = 90.0
"""Percent; what is lost are misses that the imitated detector makes while figures hide each other."""

_NOISE = 0.012
"""Standard deviation of imitated keypoints, in box heights."""


@dataclass(frozen=True)
class Check:
    """One stage's verdict; `detail` says what was measured, or what is wrong."""

    name: str
    passed: bool
    detail: str


class FailedError(Exception):
    """A stage does not do what it should; says how."""


@dataclass
class _Work:
    """What the stages hand on."""

    folder: Path
    film: Film
    frames: list[Frame] = field(default_factory=list)
    tracked: list[TrackedPoses] = field(default_factory=list)
    evaluation: Evaluation | None = None

    @property
    def video(self) -> Path:
        return self.folder / "film.mp4"

    @property
    def truth(self) -> Path:
        return self.folder / "truth.json"

    @property
    def tracks(self) -> Path:
        return self.folder / "tracks.json"


def run_selftest(folder: Path) -> Iterator[Check]:
    """Check stage after stage in the empty `folder`; those that need a failed one are not run.

    A failure of any kind is a result here, not an end: the check's `detail` tells it.
    """
    work = _Work(folder, make_film())
    stages: Sequence[tuple[str, Callable[[_Work], str]]] = (
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
    for name, stage in stages:
        try:
            yield Check(name, True, stage(work))
        except FailedError as failure:
            yield Check(name, False, str(failure))
        except Exception as error:
            yield Check(name, False, f"{type(error).__name__}: {error}")
            return


def _decode(work: _Work) -> str:
    write_film(work.film, work.video, rotation=90)
    with open_video(work.video) as video:
        work.frames = list(video)
        info = video.info
    numbers = [read_number(frame.image) for frame in work.frames]
    _must(numbers == list(range(len(work.film.seconds))), f"the frames that came are {_short(numbers)}")
    _must([frame.index for frame in work.frames] == numbers, "frames are numbered wrongly")
    late = max(abs(frame.seconds - true) for frame, true in zip(work.frames, work.film.seconds, strict=True))
    _must(late < 1e-3, f"a frame's time is {late:.3f} s off")
    apart = max(
        float(np.abs(frame.image.astype(int) - work.film.picture(frame.index)).mean())
        for frame in work.frames[::9]
    )
    _must(apart < 6, f"the pictures differ by {apart:.0f} levels from those written")
    return f"{len(numbers)} frames upright, times true to {late * 1000:.1f} ms ({info.decoder})"


def _track(work: _Work) -> str:
    parts = Parts(_Detector(work.film), _Estimator(work.film), POSETRACK, "cpu", "float32", {})
    linked = list(track_people(work.frames, parts, Config()))
    work.tracked = [tracked for _, tracked in linked]
    _must([frame.index for frame, _ in linked] == [frame.index for frame in work.frames], "frames were lost")
    for truth, tracked in zip(work.film.people, work.tracked, strict=True):
        _must(len(truth) > 0 or len(tracked) == 0, "somebody is seen where nobody is")
    ids = {number for tracked in work.tracked for number in tracked.ids.tolist()}
    true = {number for people in work.film.people for number in people.ids.tolist()}
    _must(len(ids) == len(true), f"{len(true)} people became {len(ids)} identities")
    return f"{len(true)} people, {len(ids)} identities"


def _check_cut(work: _Work) -> str:
    shots: list[set[int]] = [set(), set()]
    for shot, tracked in zip(work.film.shots, work.tracked, strict=True):
        shots[shot].update(tracked.ids.tolist())
    _must(not shots[0] & shots[1], f"identities {_short(sorted(shots[0] & shots[1]))} go on after the cut")
    return "nobody goes on after it"


def _check_smoothing(work: _Work) -> str:
    """Jitter is what a keypoint's place differs from the middle of its neighbours in time, beyond the truth's."""
    raw, smooth, off = [], [], []
    for _, truth, seen in _trajectories(work):
        raw.append(_jitter(seen[:, 0] - truth))
        smooth.append(_jitter(seen[:, 1] - truth))
        off.append(np.linalg.norm(seen[:, 1] - truth, axis=-1).mean())
    before, after, error = (float(np.mean(values)) for values in (raw, smooth, off))
    _must(after < 0.7 * before, f"jitter {before:.2f} px became {after:.2f} px")
    _must(error < 4.0, f"smoothed keypoints are {error:.1f} px off")
    return f"jitter {before:.2f} to {after:.2f} px, {error:.1f} px off on average"


def _write(work: _Work) -> str:
    width, height = work.frames[0].size
    info = {"video": {"file": work.video.name, "width": width, "height": height, "frame_rate": 30.0}}
    for path, people in ((work.tracks, work.tracked), (work.truth, list(work.film.people))):
        with TracksWriter(path, skeleton=POSETRACK, info=info) as writer:
            for frame, tracked in zip(work.frames, people, strict=True):
                writer.write(frame.index, frame.seconds, tracked)
    faults = find_faults(load_json(work.tracks))
    _must(not faults, f"the file is not valid: {faults[:1]}")
    return f"{len(work.frames)} frames, valid"


def _read(work: _Work) -> str:
    _must_be_same(work, read_tracks(work.tracks), 0.0051)
    return "everything comes back"


def _convert(work: _Work) -> str:
    stored = read_tracks(work.tracks)
    WRITERS["csv"](stored, work.folder / "tracks.csv")
    _must_be_same(work, read_any(work.folder / "tracks.csv"), 0.0051)
    return "CSV and back, nothing lost"


def _score(work: _Work) -> str:
    # PoseTrack measures in head sizes, so its truth has boxes around heads.
    content = load_json(work.truth)
    for person in content["annotations"]:
        x, y, width, height = person["bbox"]
        person["bbox_head"] = [x + width / 4, y, width / 2, height / 5]
    write_json(work.truth, content)
    perfect = evaluate(work.truth, work.truth, ["corrected"]).totals
    for name in ("mAP", "MOTA", "HOTA"):
        value = perfect[f"corrected {name}"]
        _must(value is not None and math.isclose(value, 100), f"the truth against itself has {name} {value}")
    ours = evaluate(work.truth, work.tracks, ["corrected"])
    mota, switches = ours.totals["corrected MOTA"], len(ours.id_switches)
    _must(mota is not None and mota >= LEAST_MOTA, f"MOTA is {mota or math.nan:.1f}, below {LEAST_MOTA:g}")
    _must(switches == 0, f"{switches} identity switches")
    return f"mAP {ours.totals['corrected mAP']:.1f}, MOTA {mota:.1f}, no identity switch"


def _draw(work: _Work) -> str:
    out = work.folder / "overlay.mp4"
    render_video(work.video, read_tracks(work.tracks), out, Style(trails=True))
    with open_video(out) as video:
        frames = list(video)
    times = [abs(frame.seconds - true) for frame, true in zip(frames, work.film.seconds, strict=True)]
    _must(max(times) < 1e-3, f"a frame's time is {max(times):.3f} s off")
    for frame, tracked, source in zip(frames, work.tracked, work.frames, strict=True):
        changed = float(np.abs(frame.image.astype(int) - source.image).max(axis=2).mean())
        _must(len(tracked) == 0 or changed > 2, f"nobody is drawn on frame {frame.index}")
    with av.open(str(out)) as container:
        kinds = sorted(stream.codec_context.name for stream in container.streams)
    _must("h264" in kinds and "aac" in kinds, f"the overlay holds {', '.join(kinds)}")
    return f"{len(frames)} frames at their times, {' and '.join(kinds)}"


def _must(good: bool, otherwise: str) -> None:
    if not good:
        raise FailedError(otherwise)


def _short(values: Sequence[int]) -> str:
    return f"{', '.join(map(str, values[:8]))}{', ...' if len(values) > 8 else ''}"


def _must_be_same(work: _Work, read: Tracks, rounding: float) -> None:
    _must([f.index for f in read.frames] == [f.index for f in work.frames], "other frames came back")
    for mine, back in zip(work.tracked, read.frames, strict=True):
        for name in ("ids", "boxes", "scores", "keypoints", "keypoint_scores", "smoothed_keypoints"):
            one, other = getattr(mine, name), getattr(back.tracked, name)
            same = one.shape == other.shape and np.allclose(one, other, rtol=0, atol=2 * rounding)
            _must(same, f"frame {back.index}: other {name} came back")


def _trajectories(work: _Work) -> Iterator[tuple[int, FloatArray, FloatArray]]:
    """(identity, truth (T, 17, 2), raw and smoothed (T, 2, 17, 2)) of every identity, over the frames it is seen in."""
    paths: dict[int, tuple[list[FloatArray], list[FloatArray]]] = {}
    for truth, tracked in zip(work.film.people, work.tracked, strict=True):
        for row, number in enumerate(tracked.ids.tolist()):
            true, seen = paths.setdefault(number, ([], []))
            true.append(truth.keypoints[_nearest(truth.boxes, tracked.boxes[row])])
            seen.append(np.stack([tracked.keypoints[row], tracked.smoothed_keypoints[row]]))
    for number, (true, seen) in paths.items():
        yield number, np.array(true), np.array(seen)


def _jitter(errors: FloatArray) -> float:
    """Mean of |e[t] - (e[t-1] + e[t+1]) / 2| of `errors` (T, 17, 2)."""
    bent = errors[1:-1] - (errors[:-2] + errors[2:]) / 2
    return float(np.linalg.norm(bent, axis=-1).mean())


def _nearest(boxes: FloatArray, box: FloatArray) -> int:
    return int(np.abs(boxes - box).sum(axis=1).argmin())


class _Detector:
    """Imitates a good detector: noise on every box, a miss now and then, and something that is nobody."""

    def __init__(self, film: Film) -> None:
        self._film = film

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> list[tuple[FloatArray, FloatArray]]:
        return [self._see(read_number(image)) for image in images]

    def _see(self, number: int) -> tuple[FloatArray, FloatArray]:
        random = np.random.default_rng([1, number])
        people = self._film.people[number]
        seen = random.uniform(size=len(people)) > 0.03
        boxes = people.boxes[seen] + random.normal(0, 1.0, (int(seen.sum()), 4))
        scores = random.uniform(Config().tracker.confident, 1.0, len(boxes))
        if number % 9 == 4 and len(people):
            x, y = random.uniform((0, 0), (280, 120))
            boxes = np.concatenate([boxes, [[x, y, x + 40, y + 80]]])
            scores = np.append(scores, 0.35)
        return boxes, scores


class _Estimator:
    """Imitates a good pose network; on what is nobody it is unsure."""

    def __init__(self, film: Film) -> None:
        self._film = film

    def __call__(
        self, images: Sequence[Image], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, FloatArray]:
        poses = [self._look(read_number(image), box) for image, box in zip(images, boxes, strict=True)]
        keypoints = np.array([points for points, _ in poses]).reshape(len(poses), 17, 2)
        return keypoints, np.array([scores for _, scores in poses]).reshape(len(poses), 17)

    def _look(self, number: int, box: FloatArray) -> tuple[FloatArray, FloatArray]:
        random = np.random.default_rng([2, number, *box.astype(int).tolist()])
        people = self._film.people[number]
        row = _nearest(people.boxes, box)
        if np.abs(people.boxes[row] - box).max() > 12:
            return random.uniform(box[:2], box[2:], (17, 2)), random.uniform(0.0, 0.3, 17)
        height = float(box[3] - box[1])
        noise: Any = random.normal(0, _NOISE * height, (17, 2))
        return people.keypoints[row] + noise, random.uniform(0.7, 0.95, 17)
