"""New identities for poses that are stored in a file: no video, no network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.assemble import build_tracker
from posetrack_app.config import Config
from posetrack_app.formats import Tracks, TracksWriter
from posetrack_app.formats.json_file import as_text
from posetrack_app.formats.poses_reader import read_poses
from posetrack_app.linking import link_poses
from posetrack_app.offline import SecondPass, second_pass
from posetrack_app.records import INTERPOLATED, Frame, Poses, TrackedPoses
from posetrack_app.suspicions import SuspicionWatch

_OF_THE_RUN = {"stage_seconds", "suspicions"}
"""What `info` says of the run that wrote a file, not of the poses in it; versions and counts the writer says anew."""
_NO_PICTURE = np.zeros((0, 0, 3), dtype=np.uint8)


@dataclass(frozen=True)
class LinkReport:
    """How many frames, identities and `poses` were written to `out`; `nobodies` are poses left out."""

    out: Path
    frames: int
    tracks: int
    poses: int
    nobodies: int

    def summary(self) -> str:
        """One line for the user."""
        said = f"{self.out}: {self.tracks} people in {self.frames} frames"
        if self.nobodies:
            said += f"; {self.nobodies} poses are nobody's: unsure, or seen too briefly ([tracker] in docs/tracker.md)"
        return said


def relink_file(source: Path, out: Path, config: Config, offline: SecondPass | None = None) -> LinkReport:
    """Write the poses of `source` to `out` with ids by the `tracker` and `smoothing` of `config`.

    The ids in `source`, if any, play no part; nobody keeps his over missing frames of more than the tracker's
    `patience_seconds`. With `offline`, the second pass follows. `info.suspicions` lists what a person should look
    at. InputError for what cannot be read or written.
    """
    stored = read_poses(source)
    tracker, smoother = build_tracker(config, skeleton=stored.skeleton)
    patience = config.tracker.patience_seconds
    linked = list(link_poses(_stream(stored), tracker, smoother, patience_seconds=patience))
    nobodies = sum(len(frame.tracked) for frame in stored.frames) - sum(len(found) for _, found in linked)
    if offline is not None:
        before = _seen(linked)
        linked = _after_second_pass(linked, stored, offline)
        nobodies += before - _seen(linked)  # ghosts
    watch = SuspicionWatch()
    with TracksWriter(out, skeleton=stored.skeleton, info=_info(stored, config, offline)) as writer:
        for frame, tracked in linked:
            writer.write_frame(frame, tracked)
            watch.see(frame, tracked)
        writer.finish({"suspicions": [suspicion.as_dict() for suspicion in watch.found]})
    return LinkReport(out, writer.frames, len(writer.ids), writer.people, nobodies)


def _info(stored: Tracks, config: Config, offline: SecondPass | None) -> dict[str, Any]:
    """What the source says of its poses, and how they were linked here."""
    info = {name: value for name, value in stored.info.items() if name not in _OF_THE_RUN}
    before, used = info.get("config", {}), config.as_dict()
    return {
        **info,
        "linked_from": as_text(stored.path.name),
        "config": {**before, "tracker": used["tracker"], "smoothing": used["smoothing"]},
        "second_pass": None if offline is None else asdict(offline),
    }


def _after_second_pass(
    linked: list[tuple[Frame, TrackedPoses]], stored: Tracks, settings: SecondPass
) -> list[tuple[Frame, TrackedPoses]]:
    frames = [frame for frame, _ in linked]
    seconds = np.array([frame.seconds for frame in frames])
    shots = np.cumsum([frame.is_cut for frame in frames])
    poses = second_pass(seconds, [tracked for _, tracked in linked], stored.skeleton, settings, shots)
    return list(zip(frames, poses, strict=True))


def _seen(linked: list[tuple[Frame, TrackedPoses]]) -> int:
    """Poses that are not made up to fill a gap."""
    return sum(int((tracked.origins != INTERPOLATED).sum()) for _, tracked in linked)


def _stream(stored: Tracks) -> Iterator[tuple[Frame, Poses]]:
    """The stored frames without their pictures, and the poses without their ids."""
    for frame in stored.frames:
        poses = frame.tracked
        yield (
            Frame(
                frame.index,
                frame.seconds,
                _NO_PICTURE,
                frame.file_name,
                frame.camera_motion,
                frame.is_cut,
            ),
            Poses(
                poses.boxes,
                poses.scores,
                poses.keypoints,
                poses.keypoint_scores,
                origins=poses.origins,
                keypoint_origins=poses.keypoint_origins,
            ),
        )
