"""Write tracks.json: the layout of PoseTrack18 plus `info`, true times and smoothed keypoints."""

from __future__ import annotations

import errno
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import atomic_file, check_output_file
from posetrack_app.core.json_file import as_text
from posetrack_app.core.records import ORIGINS, BoolArray, FloatArray, FrameInfo, TrackedPoses, is_missing
from posetrack_app.core.skeletons import Skeleton
from posetrack_app.core.version import __version__
from posetrack_app.formats.tracks_json.tracks import frame_size_of
from posetrack_app.formats.tracks_json.version import SCHEMA_VERSION

_logger = logging.getLogger("posetrack")


class TracksWriter:
    """Writes frames to `path` one after another; uses constant memory, and `path` appears when it is complete.

    The file starts with `info`, to which versions and counts are added; `finish(info_updates)` adds what is known only
    at the end. If `info` says that the poses are not `complete`, the file says so too. Coordinates are rounded to 2
    decimals, scores to 4. If the block ends with an exception, the frames so far are kept in `<name>.partial.json`, or
    in the system's temporary folder if the disk is full, and a warning is logged. Raises InputError if writing fails.
    """

    def __init__(self, path: Path, *, skeleton: Skeleton, info: Mapping[str, Any]) -> None:
        self.path = path
        self.frames = 0
        self.people = 0
        self.ids: set[int] = set()
        self._skeleton = skeleton
        self._info = dict(info)
        self._size = frame_size_of(info)
        self._sections: list[IO[bytes]] = []
        """Temporary files with the entries of `images` and of `annotations`."""
        self._written = [0, 0]
        """Bytes of complete frames in each of them."""
        check_output_file(path)
        try:
            for _ in ("images", "annotations"):
                # These files have no names, so nothing is left behind if the process is killed.
                self._sections.append(tempfile.TemporaryFile(dir=path.parent))  # noqa: SIM115
        except OSError as error:
            self._close()
            raise InputError(f"{path} cannot be written ({error.strerror})") from error

    def __enter__(self) -> TracksWriter:
        return self

    def write(self, info: FrameInfo, people: TrackedPoses) -> None:
        """Add one frame and its people; zero people is an ordinary frame."""
        image = {
            "id": info.index,
            "frame_index": info.index,
            "seconds": round(info.seconds, 6),
            "file_name": as_text(info.file_name or f"{info.index:06d}.jpg"),
        }
        if info.size != (0, 0) != self._size and info.size != self._size:
            image["width"], image["height"] = info.size
        if info.is_cut:
            image["cut"] = True
        elif info.camera_motion is not None:
            motion = np.round(np.asarray(info.camera_motion, np.float64), 6)
            if (motion != np.eye(2, 3)).any():
                image["camera_motion"] = motion.ravel().tolist()
        rows = [_dumps(person) for person in self._people(info.index, people)]
        added = [_next_entries([_dumps(image)], self.frames), _next_entries(rows, self.people)]
        try:
            for file, content in zip(self._sections, added, strict=True):
                file.write(content)
                file.flush()  # detect a full disk now, not at a later frame
        except OSError as error:
            raise InputError(f"{self.path}: writing failed ({error.strerror})") from error
        self._written = [size + len(content) for size, content in zip(self._written, added, strict=True)]
        self.frames += 1
        self.people += len(rows)
        self.ids.update(people.ids.tolist())

    def finish(self, info_updates: Mapping[str, Any] | None = None) -> None:
        """Write `path`. No frame can be added afterwards."""
        self._info.update(info_updates or {})
        # A copy of an incomplete file is incomplete.
        self._join(self.path, complete=self._info.get("complete") is not False)

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if not self._sections:
            return
        if kind is None:
            self.finish()
        elif self.frames:
            self._keep_partial()
        else:
            self._close()

    def _people(self, frame_index: int, tracked: TrackedPoses) -> list[dict[str, Any]]:
        """The entries of `annotations` for one frame."""
        boxes = np.asarray(tracked.boxes, np.float64)
        xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).round(2).tolist()
        keypoints = np.asarray(tracked.keypoints, np.float64).round(2)
        keypoint_scores = np.asarray(tracked.keypoint_scores, np.float64).round(4)
        # From the rounded values, so that reading and writing the file again does not change it.
        missing = is_missing(keypoints, keypoint_scores)
        raw = _flat_keypoints(keypoints, missing)
        smoothed = _flat_keypoints(np.asarray(tracked.smoothed_keypoints, np.float64).round(2), missing)
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
        with atomic_file(target) as temporary, temporary.open("wb") as out:
            out.write(head.encode())
            for name, entries, size in zip(
                ("images", "annotations"), self._sections, self._written, strict=True
            ):
                out.write(f'"{name}": [\n'.encode())
                _copy(entries, size, out)
                out.write(b"\n]" + (b",\n" if name == "images" else b"}\n"))
        self._close()

    def _keep_partial(self) -> None:
        kept = partial_file(self.path)
        try:
            try:
                self._join(kept, complete=False)
            except InputError:  # another disk may have space
                kept = Path(tempfile.mkdtemp(prefix="posetrack-")) / kept.name
                self._join(kept, complete=False)
        except (InputError, OSError) as error:
            _logger.warning("%s; the frames done so far (%d) are lost", error, self.frames)
            self._close()
            return
        _logger.warning("the frames done so far (%d) are kept in %s", self.frames, kept)

    def _close(self) -> None:
        for file in self._sections:
            with suppress(OSError):  # a full disk refuses the buffered bytes again
                file.close()
        self._sections = []


def _next_entries(entries: list[str], before: int) -> bytes:
    """The text of entries of a JSON list that follow `before` others."""
    return ((",\n" if before and entries else "") + ",\n".join(entries)).encode()


def _copy(source: IO[bytes], size: int, target: IO[bytes]) -> None:
    """Append the first `size` bytes of `source` to `target`."""
    # Not through the buffer of `source`, which may still hold bytes that a full disk refused.
    with os.fdopen(os.dup(source.fileno()), "rb", buffering=0) as file:
        file.seek(0)
        while size:
            chunk = file.read(min(size, 1 << 20))
            if not chunk:
                raise OSError(errno.EIO, "the temporary file is too short")
            target.write(chunk)
            size -= len(chunk)


def partial_file(path: Path) -> Path:
    """Where the frames of an interrupted run are kept: `tracks.partial.json` for `tracks.json`."""
    return path.with_name(f"{path.stem}.partial.json")


def _dumps(value: Mapping[str, Any]) -> str:
    # NaN is not JSON: raise ValueError instead of writing a file that other programs cannot read.
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _flat_keypoints(points: FloatArray, missing: BoolArray) -> list[list[float]]:
    """(N, K, 2) to N flat lists of x y v; v is 1 for any keypoint with a position, and a missing one is 0 0 0."""
    triples = np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2)
    triples[missing] = 0.0
    return [list(row) for row in triples.reshape(len(points), 3 * points.shape[1]).tolist()]


def _category(skeleton: Skeleton) -> dict[str, Any]:
    """The entry of `categories`, as in COCO and PoseTrack18, where limbs are pairs of keypoint numbers from 1."""
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
    }
