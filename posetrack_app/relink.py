"""New identities for poses that are stored in a file: no video, no network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from posetrack_app.errors import InputError
from posetrack_app.formats import Tracks, TracksWriter
from posetrack_app.formats.poses_reader import read_poses
from posetrack_app.linking import Smoother, Tracker, link_poses
from posetrack_app.offline import SecondPass, second_pass
from posetrack_app.records import Frame, Poses, TrackedPoses
from posetrack_app.suspicions import SuspicionWatch

_OF_THE_RUN = {
    "schema_version", "posetrack_version", "complete", "frames", "tracks", "stage_seconds", "suspicions"
}  # fmt: skip
"""What `info` says of the writing of a file, not of the poses in it."""
_NO_PICTURE = np.zeros((0, 0, 3), dtype=np.uint8)


def relink_file(
    source: Path,
    out: Path,
    tracker: Tracker,
    smoother: Smoother | None,
    offline: SecondPass | None = None,
    *,
    patience_seconds: float,
) -> tuple[int, int]:
    """Write the poses of `source` to `out` with ids of `tracker`; the numbers of frames and of people.

    The ids in `source`, if any, play no part; nobody keeps his over missing frames of more than
    `patience_seconds`. With `offline`, the second pass follows, which needs a time of its own for every frame.
    `info.suspicions` lists what a person should look at. InputError for what cannot be read or written.
    """
    stored = read_poses(source)
    _check_times(stored, distinct=offline is not None)
    info = {key: value for key, value in stored.info.items() if key not in _OF_THE_RUN}
    info["linked_from"] = source.name
    linked: Iterable[tuple[Frame, TrackedPoses]] = link_poses(
        _stream(stored), tracker, smoother, patience_seconds=patience_seconds
    )
    if offline is not None:
        linked = _after_second_pass(list(linked), stored, offline)
    people: set[int] = set()
    watch = SuspicionWatch()
    with TracksWriter(out, skeleton=stored.skeleton, info=info) as writer:
        for frame, tracked in linked:
            writer.write(frame.index, frame.seconds, tracked)
            watch.see(frame.index, frame.seconds, tracked)
            people.update(tracked.ids.tolist())
        suspicions = [suspicion.as_dict() for suspicion in watch.found]
        writer.finish({"tracks": len(people), "suspicions": suspicions})
    return len(stored.frames), len(people)


def _after_second_pass(
    linked: list[tuple[Frame, TrackedPoses]], stored: Tracks, settings: SecondPass
) -> list[tuple[Frame, TrackedPoses]]:
    frames = [frame for frame, _ in linked]
    seconds = np.array([frame.seconds for frame in frames])
    poses = second_pass(seconds, [tracked for _, tracked in linked], stored.skeleton, settings)
    return list(zip(frames, poses, strict=True))


def _check_times(stored: Tracks, *, distinct: bool) -> None:
    """InputError where a frame is shown before the one before it, or, with `distinct`, at the same time."""
    for before, after in pairwise(stored.frames):
        if after.seconds < before.seconds:
            raise InputError(
                f"{stored.path}: frame {after.index} is shown at {after.seconds} s, before frame "
                f"{before.index} at {before.seconds} s; correct their 'seconds'"
            )
        if distinct and after.seconds == before.seconds:
            raise InputError(
                f"{stored.path}: frames {before.index} and {after.index} are both shown at {after.seconds} s; "
                "correct their 'seconds', or link without --offline"
            )


def _stream(stored: Tracks) -> Iterator[tuple[Frame, Poses]]:
    """The stored frames without their pictures, and the poses without their ids."""
    for frame in stored.frames:
        poses = frame.tracked
        yield (
            Frame(frame.index, frame.seconds, _NO_PICTURE),
            Poses(
                poses.boxes,
                poses.scores,
                poses.keypoints,
                poses.keypoint_scores,
                origins=poses.origins,
                keypoint_origins=poses.keypoint_origins,
            ),
        )
