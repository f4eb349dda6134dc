"""Possible id switches: places where a person should check the identities."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from posetrack_app.core.records import FloatArray, FrameInfo, TrackedPoses
from posetrack_app.core.similarity import iou_matrix

NEW_SECONDS = 3.0
"""A new id this soon after a track ended nearby may be the same person."""
MEET_IOU, PART_IOU = 0.4, 0.1
"""Two people meet above the first box IoU, and have parted below the second."""
JUMP_SIZES, JUMP_SPEED = 0.7, 5.0
"""Largest plausible distance from the predicted position, in body sizes (+ per second)."""
GROWTH, GROWTH_SECONDS = 2.0, 0.5
"""Largest plausible change of the body size, as a factor, within this time."""
_VELOCITY_SECONDS = 0.3
"""Time constant of the smoothed velocity."""
_PREDICT_SECONDS = 1.0
"""Positions are predicted at most this far ahead."""


@dataclass(frozen=True)
class PossibleIdSwitch:
    """`reason` is "jump", "exchanged" or "new" (see `IdReview`); `score` rises with the suspicion, from 0 to 1."""

    frame: int
    ids: tuple[int, ...]
    reason: str
    score: float

    def as_dict(self) -> dict[str, object]:
        """For `info.possible_id_switches` of a tracks file."""
        return asdict(self) | {"ids": list(self.ids), "score": round(self.score, 3)}


@dataclass(frozen=True)
class _State:
    """Box (4,) and velocity (2,), in pixels per second, of one person in one frame."""

    frame: int
    seconds: float
    box: FloatArray
    velocity: FloatArray

    @property
    def centre(self) -> FloatArray:
        return 0.5 * (self.box[:2] + self.box[2:])

    @property
    def size(self) -> float:
        """Square root of the box area."""
        return float(np.sqrt(np.maximum(self.box[2:] - self.box[:2], 1.0).prod()))

    def moved(self, motion: FloatArray) -> _State:
        """The same state in pixels after the camera `motion` (2, 3)."""
        linear, shift = motion[:, :2], motion[:, 2]
        half = 0.5 * (self.box[2:] - self.box[:2]) * np.sqrt(abs(np.linalg.det(linear)))
        centre = linear @ self.centre + shift
        return replace(
            self, box=np.concatenate([centre - half, centre + half]), velocity=linear @ self.velocity
        )

    def predicted(self, seconds: float) -> FloatArray:
        """The centre (2,) at `seconds`, at constant velocity."""
        return self.centre + self.velocity * (seconds - self.seconds)


class IdReview:
    """Collects the possible id switches of one video in `found`.

    "jump": a person is farther from the predicted position, or changed more in size, than is plausible. "exchanged": two
    people met, and exchanged ids would fit their motion before the meeting better. "new": a new id starts where another
    one ended. Nothing is compared across a cut.
    """

    def __init__(self) -> None:
        self.found: list[PossibleIdSwitch] = []
        self._known: set[int] = set()
        self._last: dict[int, _State] = {}
        self._meetings: dict[tuple[int, int], tuple[_State, _State]] = {}

    def see(self, info: FrameInfo, tracked: TrackedPoses) -> None:
        """Check the next frame."""
        if info.is_cut:
            self._last, self._meetings = {}, {}
        elif info.camera_motion is not None:
            self._move_all(info.camera_motion)
        now: dict[int, _State] = {}
        ids = tracked.ids.tolist()
        for row, number in enumerate(ids):
            box = np.asarray(tracked.boxes[row], dtype=np.float64)
            before = self._last.get(number)
            if before is None:
                now[number] = _State(info.index, info.seconds, box, np.zeros(2))
                if number not in self._known:
                    self._check_new(number, now[number], set(ids))
            else:
                now[number] = self._check_jump(number, before, info.index, info.seconds, box)
        self._known.update(ids)
        self._check_meetings(now)
        self._last = {
            number: state
            for number, state in (self._last | now).items()
            if info.seconds - state.seconds <= NEW_SECONDS
        }

    def _move_all(self, motion: FloatArray) -> None:
        self._last = {number: state.moved(motion) for number, state in self._last.items()}
        self._meetings = {
            pair: (one.moved(motion), other.moved(motion)) for pair, (one, other) in self._meetings.items()
        }

    def _check_jump(self, number: int, before: _State, frame: int, seconds: float, box: FloatArray) -> _State:
        """The person's new state."""
        elapsed = max(seconds - before.seconds, 1e-3)
        centre = 0.5 * (box[:2] + box[2:])
        velocity = (centre - before.centre) / elapsed
        distance = _distance(centre, before.predicted(before.seconds + min(elapsed, _PREDICT_SECONDS)))
        reach = (JUMP_SIZES + JUMP_SPEED * elapsed) * before.size
        if distance > reach:
            self.found.append(PossibleIdSwitch(frame, (number,), "jump", 1.0 - reach / distance))
        keep = np.exp(-elapsed / _VELOCITY_SECONDS)
        state = _State(frame, seconds, box, keep * before.velocity + (1.0 - keep) * velocity)
        growth = max(state.size, before.size) / min(state.size, before.size)
        if distance <= reach and growth > GROWTH and elapsed <= GROWTH_SECONDS:
            self.found.append(PossibleIdSwitch(frame, (number,), "jump", 1.0 - GROWTH / growth))
        return state

    def _check_new(self, number: int, state: _State, present: set[int]) -> None:
        """Compare a new id with the tracks that ended nearby."""
        for ended, before in self._last.items():
            if ended in present or before.frame >= state.frame:
                continue
            elapsed = state.seconds - before.seconds
            predicted = before.predicted(before.seconds + min(elapsed, _PREDICT_SECONDS))
            distance = _distance(state.centre, predicted)
            reach = (0.5 + 0.5 * elapsed) * before.size
            size_ratio = min(state.size, before.size) / max(state.size, before.size)
            if distance < reach and size_ratio > 0.7:
                score = size_ratio * (1.0 - distance / reach)
                self.found.append(PossibleIdSwitch(state.frame, (ended, number), "new", score))

    def _check_meetings(self, now: dict[int, _State]) -> None:
        """Start and end meetings; at the end, compare with the motion before the meeting."""
        ids = sorted(now)
        overlaps = iou_matrix(np.array([now[number].box for number in ids]).reshape(-1, 4))
        touching = [(ids[a], ids[b]) for a, b in np.argwhere(np.triu(overlaps > MEET_IOU, 1))]
        for one, other in touching:
            if (one, other) not in self._meetings and one in self._last and other in self._last:
                self._meetings[one, other] = self._last[one], self._last[other]
        for one, other in list(self._meetings):
            if one in now and other in now and overlaps[ids.index(one), ids.index(other)] < PART_IOU:
                before_one, before_other = self._meetings.pop((one, other))
                at = now[one].seconds
                expected = before_one.predicted(at), before_other.predicted(at)
                kept = _distance(now[one].centre, expected[0]) + _distance(now[other].centre, expected[1])
                exchanged = _distance(now[other].centre, expected[0]) + _distance(
                    now[one].centre, expected[1]
                )
                score = kept / max(kept + exchanged, 1e-9)
                if score > 0.6:
                    self.found.append(PossibleIdSwitch(now[one].frame, (one, other), "exchanged", score))
        self._meetings = {
            pair: before
            for pair, before in self._meetings.items()
            if all(number in now or number in self._last for number in pair)
        }


def _distance(first: FloatArray, second: FloatArray) -> float:
    return float(np.hypot(*(first - second)))
