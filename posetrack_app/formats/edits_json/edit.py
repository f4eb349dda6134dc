"""One correction by hand, as a record and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from posetrack_app.core.errors import InputError

OPERATIONS = {
    "swap": 2,
    "merge": 2,
    "split": 1,
    "delete": 1,
    "rename": 2,
    "exchange_sides": 1,
    "move_keypoint": 1,
    "hide_keypoint": 1,
    "confirm": 1,
}
"""Every operation and how many ids it needs at least; docs/editing.md explains them."""

_MOST_IDS = {"swap": 2, "split": 2, "rename": 2, "exchange_sides": 1, "move_keypoint": 1, "hide_keypoint": 1}
"""A recorded split also names the id of its second part."""
_NEEDS_START = ("split", "move_keypoint", "confirm")
_OF_KEYPOINTS = ("move_keypoint", "hide_keypoint")
_LARGEST_ID = 2**53


@dataclass(frozen=True)
class Sighting:
    """Where a person was before the edit, in pixels of frame `frame`: `box` is x y width height.

    `keypoints` are x y of every keypoint, for an exchange of left and right only.
    """

    id: int
    frame: int
    box: tuple[float, float, float, float]
    keypoints: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The sighting as JSON."""
        content: dict[str, Any] = {"id": self.id, "frame": self.frame, "bbox": list(self.box)}
        return content | ({"keypoints": list(self.keypoints)} if self.keypoints else {})


@dataclass(frozen=True)
class Edit:
    """One operation on tracks. Frames are those of the tracks file (`frame_index`).

    Raises InputError for an edit that fits no tracks at all.

    Args:
        op: one of `OPERATIONS`.
        ids: the people. The first one keeps its id in a merge; a rename has the old and the new id.
        first: the first frame; None is the start of the video. JSON calls it "from".
        last: the last frame, included; None is the end of the video. JSON calls it "to".
        keypoint: name of the keypoint to move or hide.
        xy: the keypoint's new place in pixels of the frame.
        time: when the edit was made, in UTC, such as "2026-11-28T17:05:00Z".
        reason: a free text.
        seen: where the people were, to find them again in tracks of a new run.
    """

    op: str
    ids: tuple[int, ...]
    first: int | None = None
    last: int | None = None
    keypoint: str = ""
    xy: tuple[float, float] | None = None
    time: str = ""
    reason: str = ""
    seen: tuple[Sighting, ...] = ()

    def __post_init__(self) -> None:
        if self.op not in OPERATIONS:
            raise InputError(f"unknown operation '{self.op}'; choose one of {', '.join(OPERATIONS)}")
        self._check_ids()
        for frame in (self.first, self.last):
            if frame is not None and frame < 0:
                raise InputError(f"{self.op}: frames count from 0, got {frame}")
        if self.first is not None and self.last is not None and self.first > self.last:
            raise InputError(f"{self.op}: the first frame ({self.first}) is after the last one ({self.last})")
        if self.op in _NEEDS_START and self.first is None:
            raise InputError(f"{self.op} needs a frame")
        if self.op == "split" and self.last is not None:
            raise InputError("split has one frame, the first of the second part, and no last frame")
        if self.op == "move_keypoint" and self.first != self.last:
            raise InputError(
                "move_keypoint moves a keypoint in one frame; give the same first and last frame"
            )
        if (self.op in _OF_KEYPOINTS) != bool(self.keypoint):
            raise InputError(
                f"{self.op} {'needs the name of a' if not self.keypoint else 'takes no'} keypoint"
            )
        if (self.op == "move_keypoint") != (self.xy is not None):
            raise InputError(f"{self.op} {'needs' if self.xy is None else 'takes no'} x and y")

    def _check_ids(self) -> None:
        least, most = OPERATIONS[self.op], _MOST_IDS.get(self.op)
        if len(self.ids) < least or (most is not None and len(self.ids) > most):
            count = f"{least} id{'s' if least > 1 else ''}"
            raise InputError(
                f"{self.op} needs {count}{' or more' if most is None else ''}, got {len(self.ids)}"
            )
        for number in self.ids:
            if not 0 <= number < _LARGEST_ID:
                raise InputError(f"{self.op}: an id is a number from 0 to 2^53, got {number}")
        if len(set(self.ids)) < len(self.ids):
            raise InputError(f"{self.op}: the ids must differ, got {' and '.join(map(str, self.ids))}")

    def __str__(self) -> str:
        """Such as "swap 14 15 from 560 to 574"."""
        words = [self.op, *map(str, self.ids)]
        if self.keypoint:
            words.append(self.keypoint)
        if self.xy is not None:
            words += ["to", f"{self.xy[0]:g}", f"{self.xy[1]:g}"]
        if self.first is not None and self.first == self.last:
            return " ".join([*words, "in frame", str(self.first)])
        if self.first is not None:
            words += ["from", str(self.first)]
        if self.last is not None:
            words += ["to", str(self.last)]
        return " ".join(words)

    def as_dict(self) -> dict[str, Any]:
        """The edit as JSON; `edit_from` reads it."""
        content: dict[str, Any] = {"op": self.op, "ids": list(self.ids), "from": self.first, "to": self.last}
        if self.keypoint:
            content["keypoint"] = self.keypoint
        if self.xy is not None:
            content |= {"x": self.xy[0], "y": self.xy[1]}
        content |= {"time": self.time, "reason": self.reason}
        if self.seen:
            content["seen"] = [sighting.as_dict() for sighting in self.seen]
        return content


def edit_from(content: Mapping[str, Any]) -> Edit:
    """The edit of a JSON object that fits the schema. Raises InputError as `Edit` does."""
    x, y = content.get("x"), content.get("y")
    if (x is None) != (y is None):
        raise InputError(f"{content['op']} needs both x and y")
    return Edit(
        op=content["op"],
        ids=tuple(content["ids"]),
        first=content.get("from"),
        last=content.get("to"),
        keypoint=content.get("keypoint", ""),
        xy=None if x is None or y is None else (float(x), float(y)),
        time=content.get("time", ""),
        reason=content.get("reason", ""),
        seen=tuple(
            Sighting(seen["id"], seen["frame"], tuple(seen["bbox"]), tuple(seen.get("keypoints", ())))
            for seen in content.get("seen", ())
        ),
    )
