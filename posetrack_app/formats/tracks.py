"""tracks.json: PoseTrack18's layout, with `info`, true times and smoothed keypoints added."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from posetrack_app import __version__
from posetrack_app.errors import InputError
from posetrack_app.formats.absent import is_absent
from posetrack_app.formats.json_file import as_text
from posetrack_app.formats.pose_sequence import BoolArray
from posetrack_app.formats.whole import check_place, whole_file
from posetrack_app.records import ORIGINS, FloatArray, Frame, TrackedPoses
from posetrack_app.skeleton import Skeleton

if TYPE_CHECKING:
    from posetrack_app.formats.tracks_reader import TrackedFrame

SCHEMA_VERSION = 1
"""Raised when a reader of the older files could misread a newer one."""


class TracksWriter:
    """Writes one frame after another to `path`; memory does not grow, and `path` appears when it is whole.

    `info` stands at the top of the file, with versions and counts of this file's own; `finish(info_updates)` adds
    what is known at the end only. Where `info` says that the poses are not `complete`, the file says so too.
    `file_name` names a frame by its index, as in "{index:06d}.jpg". Coordinates are rounded to 2 decimals,
    scores to 4. Where the block ends by an exception, the frames so far are kept as `<name>.partial.json`, on a
    full disk in the system's folder for temporary files, and a line on stderr says so.
    """

    def __init__(
        self, path: Path, *, skeleton: Skeleton, info: Mapping[str, Any], file_name: str = "{index:06d}.jpg"
    ) -> None:
        self.path = path
        self.frames = 0
        self.people = 0
        self.ids: set[int] = set()
        self._skeleton = skeleton
        self._info = dict(info)
        self._file_name = file_name
        self._open: list[IO[bytes]] = []
        self._written = [0, 0]
        """Bytes of whole frames in each of these."""
        check_place(path)
        try:
            # Without names: nothing of them is left behind, however the process ends.
            for _ in ("images", "annotations"):
                side = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115
                self._open.append(side)
        except OSError as error:
            self._close()
            raise InputError(f"{path}: cannot write here ({error.strerror})") from error

    def __enter__(self) -> TracksWriter:
        return self

    def write(
        self,
        frame_index: int,
        seconds: float,
        tracked: TrackedPoses,
        file_name: str | None = None,
        *,
        camera_motion: FloatArray | None = None,
        is_cut: bool = False,
    ) -> None:
        """Add one frame and its people; zero people is an ordinary frame. The rest is as in `records.Frame`."""
        image = {
            "id": frame_index,
            "frame_index": frame_index,
            "seconds": round(seconds, 6),
            "file_name": as_text(file_name or self._file_name.format(index=frame_index)),
        }
        if is_cut:
            image["cut"] = True
        elif camera_motion is not None:
            motion = np.round(np.asarray(camera_motion, np.float64), 6)
            if (motion != np.eye(2, 3)).any():
                image["camera_motion"] = motion.ravel().tolist()
        people = [_dumps(person) for person in self._people(frame_index, tracked)]
        added = [_further([_dumps(image)], self.frames), _further(people, self.people)]
        try:
            for file, content in zip(self._open, added, strict=True):
                file.write(content)
                file.flush()  # what a full disk refuses is to be known before the next frame
        except OSError as error:
            raise InputError(f"{self.path}: cannot write on ({error.strerror})") from error
        self._written = [size + len(content) for size, content in zip(self._written, added, strict=True)]
        self.frames += 1
        self.people += len(people)
        self.ids.update(tracked.ids.tolist())

    def write_frame(self, frame: Frame | TrackedFrame, tracked: TrackedPoses) -> None:
        """Add `tracked` with all that is known of the frame they were in."""
        self.write(
            frame.index,
            frame.seconds,
            tracked,
            frame.file_name,
            camera_motion=frame.camera_motion,
            is_cut=frame.is_cut,
        )

    def finish(self, info_updates: Mapping[str, Any] | None = None) -> None:
        """Join what was written into `path`; nothing can be written afterwards."""
        self._info.update(info_updates or {})
        # What was not whole does not become so by being written again.
        self._join(self.path, complete=self._info.get("complete") is not False)

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if not self._open:
            return
        if kind is None:
            self.finish()
        elif self.frames:
            self._keep_partial()
        else:
            self._close()

    def _people(self, frame_index: int, tracked: TrackedPoses) -> list[dict[str, Any]]:
        boxes = np.asarray(tracked.boxes, np.float64)
        xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).round(2).tolist()
        keypoints = np.asarray(tracked.keypoints, np.float64).round(2)
        keypoint_scores = np.asarray(tracked.keypoint_scores, np.float64).round(4)
        # By what the file will say, so that it is the same when it is read and written again.
        absent = is_absent(keypoints, keypoint_scores)
        raw = _flat_keypoints(keypoints, absent)
        smoothed = _flat_keypoints(np.asarray(tracked.smoothed_keypoints, np.float64).round(2), absent)
        box_scores = np.asarray(tracked.scores, np.float64).round(4).tolist()
        scores = keypoint_scores.tolist()
        differs = (tracked.keypoint_origins != tracked.origins[:, None]).any(axis=1).tolist()
        return [
            {
                "id": self.people + i + 1,
                "image_id": frame_index,
                "category_id": 1,
                "track_id": track_id,
                "bbox": xywh[i],
                "score": box_scores[i],
                "keypoints": raw[i],
                "scores": scores[i],
                "keypoints_smoothed": smoothed[i],
                "origin": ORIGINS[tracked.origins[i]],
                **(
                    {"keypoint_origins": [ORIGINS[origin] for origin in tracked.keypoint_origins[i]]}
                    if differs[i]
                    else {}
                ),
            }
            for i, track_id in enumerate(tracked.ids.tolist())
        ]

    def _join(self, target: Path, *, complete: bool) -> None:
        info = {
            "schema_version": SCHEMA_VERSION,
            "posetrack_version": __version__,
            "complete": complete,
            "frames": self.frames,
            "tracks": len(self.ids),
        }
        info |= {name: value for name, value in self._info.items() if name not in info}
        head = f'{{"info": {_dumps(info)},\n"categories": [{_dumps(_category(self._skeleton))}],\n'
        with whole_file(target) as whole, whole.open("wb") as out:
            out.write(head.encode())
            for name, lines, size in zip(("images", "annotations"), self._open, self._written, strict=True):
                out.write(f'"{name}": [\n'.encode())
                _copy(lines, size, out)
                out.write(b"\n]" + (b",\n" if name == "images" else b"}\n"))
        self._close()

    def _keep_partial(self) -> None:
        beside = partial_file(self.path)
        try:
            try:
                self._join(beside, complete=False)
            except InputError:  # no room there; elsewhere there may be
                beside = Path(tempfile.mkdtemp(prefix="posetrack-")) / beside.name
                self._join(beside, complete=False)
        except (InputError, OSError) as error:
            print(f"posetrack: {error}; the {self.frames} frames done so far are not kept", file=sys.stderr)
            self._close()
            return
        print(f"posetrack: the {self.frames} frames done so far are kept in {beside}", file=sys.stderr)

    def _close(self) -> None:
        for file in self._open:
            # What a full disk refused to take is not asked for again.
            with suppress(OSError):
                file.close()
        self._open = []


def _further(entries: list[str], before: int) -> bytes:
    """Entries of a JSON list that follow `before` others."""
    return ((",\n" if before and entries else "") + ",\n".join(entries)).encode()


def _copy(source: IO[bytes], size: int, target: IO[bytes]) -> None:
    """Append the first `size` bytes of `source` to `target`."""
    # Without the buffer of `source`: it may hold what a full disk refused, and would ask it again.
    with os.fdopen(os.dup(source.fileno()), "rb", buffering=0) as file:
        file.seek(0)
        while size:
            part = file.read(min(size, 1 << 20))
            if not part:
                raise OSError(errno.EIO, "what was written is gone")
            target.write(part)
            size -= len(part)


def partial_file(path: Path) -> Path:
    """Where the frames of a run go that ended early: `tracks.partial.json` for `tracks.json`."""
    return path.with_name(f"{path.stem}.partial.json")


def _dumps(value: Mapping[str, Any]) -> str:
    # allow_nan: NaN is not JSON; better to stop than to write a file nobody else can read.
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _flat_keypoints(points: FloatArray, absent: BoolArray) -> list[list[float]]:
    """(N, K, 2) to N flat lists x y v: v = 1 for a keypoint with a place, however sure; 0 0 0 for an absent one."""
    triples = np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2)
    triples[absent] = 0.0
    return [list(row) for row in triples.reshape(len(points), 3 * points.shape[1]).tolist()]


def _category(skeleton: Skeleton) -> dict[str, Any]:
    """COCO's and PoseTrack18's entry of `categories`; limbs are pairs of 1-based keypoint numbers there."""
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
    }
