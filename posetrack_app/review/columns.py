"""Tracks as flat columns in one binary message, which the page reads as typed arrays without parsing."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.records import FrameInfo, IntArray, TrackedPoses, is_missing

BLOCK_FRAMES = 128
"""Keypoints travel in blocks of this many frames, when the page comes near them."""

_ALIGNMENT = 8


@dataclass(frozen=True, eq=False)
class Columns:
    """The people of all frames; row i of every column is the same person.

    `starts` (F + 1,): the rows of frame f are starts[f] to starts[f + 1]. `track_ids` (T,) ascending; `tracks` (N,) are
    positions in it. `boxes` (N, 4) x1 y1 x2 y2 and `keypoints` (N, K, 2), the smoothed ones, are pixels of the frame.
    `scores` (N,) and `keypoint_scores` (N, K) are 0 to 255, `missing` keypoints have 0 and no position (NaN).
    """

    index: NDArray[np.int32]
    seconds: NDArray[np.float64]
    cuts: NDArray[np.uint8]
    starts: NDArray[np.int32]
    track_ids: NDArray[np.int64]
    tracks: NDArray[np.int32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.uint8]
    origins: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    keypoint_scores: NDArray[np.uint8]

    def tracks_message(self, about: Mapping[str, Any]) -> bytes:
        """All columns but the keypoints, with `about` in the header."""
        arrays: dict[str, NDArray[Any]] = {
            name: getattr(self, name)
            for name in ("index", "seconds", "cuts", "starts", "tracks", "boxes", "scores", "origins")
        }
        return pack({**about, "track_ids": self.track_ids.tolist(), "block_frames": BLOCK_FRAMES}, arrays)

    def keypoints_message(self, block: int) -> bytes:
        """The keypoints of the frames from `block` * BLOCK_FRAMES on; none if there is no such block."""
        frames = np.clip([block * BLOCK_FRAMES, (block + 1) * BLOCK_FRAMES], 0, len(self.index))
        first, last = self.starts[frames].tolist()
        arrays: dict[str, NDArray[Any]] = {
            "keypoints": self.keypoints[first:last],
            "scores": self.keypoint_scores[first:last],
        }
        return pack({"first_row": first}, arrays)


def columns_of(infos: Sequence[FrameInfo], frames: IntArray, people: TrackedPoses) -> Columns:
    """The columns of a video.

    `infos` are all its frames, rising. `people` are the R poses of all frames, sorted by frame, and `frames` (R,) is the
    `FrameInfo.index` of each.
    """
    index = np.array([info.index for info in infos], np.int32)
    track_ids, positions = np.unique(people.ids, return_inverse=True)
    keypoints = people.smoothed_keypoints.astype(np.float32)
    keypoints[is_missing(people.keypoints, people.keypoint_scores)] = np.nan
    return Columns(
        index=index,
        seconds=np.array([info.seconds for info in infos], np.float64),
        cuts=np.array([info.is_cut for info in infos], np.uint8),
        starts=np.append(np.searchsorted(frames, index), len(frames)).astype(np.int32),
        track_ids=track_ids.astype(np.int64),
        tracks=positions.astype(np.int32),
        boxes=people.boxes.astype(np.float32),
        scores=_as_bytes(people.scores),
        origins=people.origins.astype(np.uint8),
        keypoints=keypoints,
        keypoint_scores=_as_bytes(people.keypoint_scores),
    )


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Length of the header (uint32, little endian), the header as JSON, and the arrays, each at a multiple of 8 bytes.

    The header gets "arrays": for each its `type` (NumPy's name), `offset` after the header, and number of `values`.
    """
    places, chunks, offset = {}, [], 0
    for name, array in arrays.items():
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        places[name] = {"type": array.dtype.name, "offset": offset, "values": array.size}
        padded = content + bytes(-len(content) % _ALIGNMENT)
        chunks.append(padded)
        offset += len(padded)
    text = json.dumps({**header, "arrays": places}, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 4) % _ALIGNMENT)
    return b"".join([struct.pack("<I", len(text)), text, *chunks])


def _as_bytes(scores: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray((scores.clip(0, 1) * 255).round(), np.uint8)
