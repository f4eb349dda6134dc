"""New identities for poses that are stored in a file: no video, no network."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats import Tracks, TracksWriter, read_tracks
from posetrack_app.linking import Smoother, Tracker, link_poses
from posetrack_app.records import Frame, Poses

_OF_THE_RUN = {"schema_version", "posetrack_version", "complete", "frames", "tracks", "stage_seconds"}
"""What `info` says of the writing of a file, not of the poses in it."""
_NO_PICTURE = np.zeros((0, 0, 3), dtype=np.uint8)


def relink_file(source: Path, out: Path, tracker: Tracker, smoother: Smoother | None) -> tuple[int, int]:
    """Write the poses of `source` to `out` with ids of `tracker`; the numbers of frames and of people.

    The ids in `source` play no part. InputError for what cannot be read or written.
    """
    stored = read_tracks(source)
    info = {key: value for key, value in stored.info.items() if key not in _OF_THE_RUN}
    info["linked_from"] = source.name
    people: set[int] = set()
    with TracksWriter(out, skeleton=stored.skeleton, info=info) as writer:
        for frame, tracked in link_poses(_stream(stored), tracker, smoother):
            writer.write(frame.index, frame.seconds, tracked)
            people.update(tracked.ids.tolist())
        writer.finish({"tracks": len(people)})
    return len(stored.frames), len(people)


def _stream(stored: Tracks) -> Iterator[tuple[Frame, Poses]]:
    """The stored frames without their pictures, and the poses without their ids."""
    for before, after in pairwise(stored.frames):
        if after.seconds < before.seconds:
            raise InputError(
                f"{stored.path}: frame {after.index} is shown at {after.seconds} s, before frame {before.index} "
                f"at {before.seconds} s; correct their 'seconds'"
            )
    for frame in stored.frames:
        poses = frame.tracked
        yield (
            Frame(frame.index, frame.seconds, _NO_PICTURE),
            Poses(poses.boxes, poses.scores, poses.keypoints, poses.keypoint_scores),
        )
