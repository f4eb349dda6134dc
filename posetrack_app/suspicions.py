"""Where identities may have been exchanged: a list for a person to look at."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from posetrack_app.records import FloatArray, Frame, TrackedPoses

LATER_SECONDS = 3.0
"""Somebody new within this time and reach of where somebody was lost may be the same person."""
TOUCHING, APART = 0.4, 0.1
"""IoU of boxes above which two people meet, and below which they have parted."""
JUMP_SIZES, JUMP_SPEED = 0.7, 5.0
"""Further than this many body sizes, and sizes a second, from where the motion led, nobody gets."""
GROWTH, GROWTH_SECONDS = 2.0, 0.5
"""Nor does anybody become this many times as large, or small, within this time."""


@dataclass(frozen=True)
class Suspicion:
    """Frame, ids, why, and how sure from 0 to 1."""

    frame: int
    ids: tuple[int, ...]
    reason: str
    score: float

    def as_dict(self) -> dict[str, object]:
        """For the `info` of a tracks file."""
        return asdict(self) | {"ids": list(self.ids), "score": round(self.score, 3)}


@dataclass(frozen=True)
class _Sighting:
    frame: int
    seconds: float
    box: FloatArray
    velocity: FloatArray

    @property
    def centre(self) -> FloatArray:
        return 0.5 * (self.box[:2] + self.box[2:])

    @property
    def size(self) -> float:
        """Square root of the box's area."""
        return float(np.sqrt(np.maximum(self.box[2:] - self.box[:2], 1.0).prod()))

    def carried(self, motion: FloatArray) -> _Sighting:
        """The same one in the picture after the camera's `motion` (2, 3)."""
        turn, shift = motion[:, :2], motion[:, 2]
        half = 0.5 * (self.box[2:] - self.box[:2]) * np.sqrt(abs(np.linalg.det(turn)))
        centre = turn @ self.centre + shift
        return replace(
            self, box=np.concatenate([centre - half, centre + half]), velocity=turn @ self.velocity
        )

    def expected(self, seconds: float) -> FloatArray:
        """Where the centre is at `seconds` if the motion goes on."""
        return self.centre + self.velocity * (seconds - self.seconds)


class SuspicionWatch:
    """Sees one video's tracked frames in order and collects suspicions in `found`.

    "jump": somebody is where he cannot have got to, or of a size that he cannot have. "exchanged": two people met, and
    exchanging them afterwards would fit how they moved before better. "new": an id begins where another was lost. What
    lies on both sides of a cut is not compared.
    """

    def __init__(self) -> None:
        self.found: list[Suspicion] = []
        self._known: set[int] = set()
        self._last: dict[int, _Sighting] = {}
        self._meeting: dict[tuple[int, int], tuple[_Sighting, _Sighting]] = {}

    def see(self, picture: Frame, tracked: TrackedPoses) -> None:
        """Look at the next frame."""
        frame, seconds = picture.index, picture.seconds
        if picture.is_cut:
            self._last, self._meeting = {}, {}
        elif picture.camera_motion is not None:
            motion = picture.camera_motion
            self._last = {number: sighting.carried(motion) for number, sighting in self._last.items()}
            self._meeting = {
                pair: (one.carried(motion), other.carried(motion))
                for pair, (one, other) in self._meeting.items()
            }
        now: dict[int, _Sighting] = {}
        ids = tracked.ids.tolist()
        for row, number in enumerate(ids):
            box = np.asarray(tracked.boxes[row], dtype=np.float64)
            before = self._last.get(number)
            if before is None:
                now[number] = _Sighting(frame, seconds, box, np.zeros(2))
                if number not in self._known:
                    self._check_new(number, now[number], set(ids))
            else:
                now[number] = self._moved(number, before, frame, seconds, box)
        self._known.update(ids)
        self._check_meetings(now)
        self._last = {
            number: sighting
            for number, sighting in (self._last | now).items()
            if seconds - sighting.seconds <= LATER_SECONDS
        }

    def _moved(
        self, number: int, before: _Sighting, frame: int, seconds: float, box: FloatArray
    ) -> _Sighting:
        elapsed = max(seconds - before.seconds, 1e-3)
        velocity = (0.5 * (box[:2] + box[2:]) - before.centre) / elapsed
        away = _away(0.5 * (box[:2] + box[2:]), before.expected(before.seconds + min(elapsed, 1.0)))
        reach = (JUMP_SIZES + JUMP_SPEED * elapsed) * before.size
        if away > reach:
            self.found.append(Suspicion(frame, (number,), "jump", 1.0 - reach / away))
        keep = np.exp(-elapsed / 0.3)
        sighting = _Sighting(frame, seconds, box, keep * before.velocity + (1.0 - keep) * velocity)
        growth = max(sighting.size, before.size) / min(sighting.size, before.size)
        if away <= reach and growth > GROWTH and elapsed <= GROWTH_SECONDS:
            self.found.append(Suspicion(frame, (number,), "jump", 1.0 - GROWTH / growth))
        return sighting

    def _check_new(self, number: int, sighting: _Sighting, present: set[int]) -> None:
        """Is this the person that was lost nearby?"""
        for lost, before in self._last.items():
            if lost in present or before.frame >= sighting.frame:
                continue
            elapsed = sighting.seconds - before.seconds
            away = float(np.hypot(*(sighting.centre - before.expected(before.seconds + min(elapsed, 1.0)))))
            reach = (0.5 + 0.5 * elapsed) * before.size
            alike = min(sighting.size, before.size) / max(sighting.size, before.size)
            if away < reach and alike > 0.7:
                score = alike * (1.0 - away / reach)
                self.found.append(Suspicion(sighting.frame, (lost, number), "new", score))

    def _check_meetings(self, now: dict[int, _Sighting]) -> None:
        """Begin and end meetings; at an end, compare with how both moved before."""
        ids = sorted(now)
        boxes = np.array([now[number].box for number in ids]).reshape(-1, 4)
        overlaps = _iou(boxes[:, None], boxes)
        touching = [(ids[a], ids[b]) for a, b in np.argwhere(np.triu(overlaps > TOUCHING, 1))]
        for one, other in touching:
            if (one, other) not in self._meeting and one in self._last and other in self._last:
                self._meeting[one, other] = self._last[one], self._last[other]
        for one, other in list(self._meeting):
            if one in now and other in now and overlaps[ids.index(one), ids.index(other)] < APART:
                before_one, before_other = self._meeting.pop((one, other))
                at = now[one].seconds
                expected = before_one.expected(at), before_other.expected(at)
                stay = _away(now[one].centre, expected[0]) + _away(now[other].centre, expected[1])
                exchanged = _away(now[other].centre, expected[0]) + _away(now[one].centre, expected[1])
                score = stay / max(stay + exchanged, 1e-9)
                if score > 0.6:
                    self.found.append(Suspicion(now[one].frame, (one, other), "exchanged", score))
        self._meeting = {
            pair: before
            for pair, before in self._meeting.items()
            if all(number in now or number in self._last for number in pair)
        }


def _away(first: FloatArray, second: FloatArray) -> float:
    return float(np.hypot(*(first - second)))


def _iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Intersection over union of boxes (..., 4)."""
    corner = np.maximum(first[..., :2], second[..., :2])
    shared = np.maximum(np.minimum(first[..., 2:], second[..., 2:]) - corner, 0.0).prod(axis=-1)
    areas = sum((box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (first, second))
    iou: FloatArray = shared / np.maximum(areas - shared, 1e-9)
    return iou
