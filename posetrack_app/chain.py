"""One video's way through the stages: its frames in, everybody with identity, box and keypoints out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from posetrack_app.assemble import Parts, build_tracker
from posetrack_app.camera_motion import CameraMotion
from posetrack_app.config import Config
from posetrack_app.linking import link_poses
from posetrack_app.pipeline import StageClock, detect_people, drop_duplicates, estimate_poses
from posetrack_app.records import Frame, TrackedPoses


def track_people(
    frames: Iterable[Frame], parts: Parts, config: Config, clock: StageClock | None = None
) -> Iterator[tuple[Frame, TrackedPoses]]:
    """Every frame of one video with its people, in order; a tracker of its own, so that any video may follow.

    What memory the stages have of earlier frames they build up from the frames and the networks' answers alone:
    equal frames and answers give equal people. `clock` gets the seconds of "decode", "detect", "pose", "track".
    """
    clock = clock or StageClock()
    tracker, smoother = build_tracker(config)
    camera = CameraMotion() if config.camera_motion else None
    people = detect_people(
        clock.pull("decode", frames),
        parts.detector,
        min_score=config.detector.min_score,
        box_overlap=config.duplicates.box_overlap,
        max_people=config.detector.max_people,
        batch=config.detector.batch,
    )
    poses = estimate_poses(clock.pull("detect", people), parts.estimator, batch=config.pose.batch)
    unique = drop_duplicates(
        clock.pull("pose", poses),
        sigmas=parts.skeleton.sigma_array,
        max_similarity=config.duplicates.max_similarity,
    )
    return clock.pull("track", link_poses(unique, tracker, smoother, camera))
