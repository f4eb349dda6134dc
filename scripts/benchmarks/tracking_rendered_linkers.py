"""Combinations of the stages that need images, run on the rendered videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from posetrack_trackers import FlowTracker, OksTracker
from tracking_rendered import OracleEstimator, RenderedVideo
from tracking_scores import oracle
from tracking_sets import SIGMAS, Video

from posetrack_app.core.config import PropagationConfig
from posetrack_app.core.protocols import Tracker
from posetrack_app.core.records import Detections, Frame, IntArray, Poses
from posetrack_app.pipeline.camera import follow_camera
from posetrack_app.pipeline.duplicates import drop_duplicates
from posetrack_app.pipeline.link import link_poses
from posetrack_app.pipeline.pose import estimate_poses
from posetrack_app.pipeline.propagate import DenseFlow, detect_every, propagate_poses

RenderedLinker = Callable[[RenderedVideo], tuple[Video, list[IntArray]]]


def stages(
    *,
    flow_tracker: bool = False,
    camera: bool = False,
    flow: bool = False,
    propagate: bool = False,
    every: int = 1,
) -> RenderedLinker:
    """The stages after the detector; they return the linked poses and their ids.

    Args:
        flow_tracker: FlowTracker, the published recipe, instead of OksTracker.
        camera: estimate camera motion.
        flow: let FlowTracker move poses by optical flow.
        propagate: propagate missed people by optical flow.
        every: run the detector on every N-th frame.
    """

    def link(rendered: RenderedVideo) -> tuple[Video, list[IntArray]]:
        poses = _poses(rendered, propagate=propagate, every=every)
        unique = drop_duplicates(poses, sigmas=SIGMAS, max_similarity=0.75)
        tracker: Tracker = OksTracker(sigmas=SIGMAS)
        if flow_tracker:
            dense_flow = DenseFlow()
            unique = dense_flow.watch(unique)
            tracker = FlowTracker(sigmas=SIGMAS, move=dense_flow.move if flow else None)
        linked = [tracked for _, tracked in link_poses(follow_camera(unique) if camera else unique, tracker)]
        return replace(rendered.video, poses=linked), [tracked.ids for tracked in linked]

    return link


def oracle_without_propagation(rendered: RenderedVideo) -> tuple[Video, list[IntArray]]:
    """The oracle on the poses of the detected people."""
    poses = [poses for _, poses in _poses(rendered, propagate=False, every=1)]
    video = replace(rendered.video, poses=poses)
    return video, oracle(video)


def _poses(rendered: RenderedVideo, *, propagate: bool, every: int) -> Iterator[tuple[Frame, Poses]]:
    def detect(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Detections]]:
        return ((frame, rendered.detections[frame.info.index]) for frame in frames)

    people, estimator = detect_every(rendered.frames, detect, every), OracleEstimator(rendered)
    if propagate:
        settings = PropagationConfig(detect_every=every, max_seconds=2.0)
        return propagate_poses(people, estimator, settings, box_overlap=0.65)
    return estimate_poses(people, estimator, batch=16)


RENDERED_LINKERS: dict[str, RenderedLinker] = {
    "OksTracker": stages(),
    "with camera motion": stages(camera=True),
    "with camera motion and propagation": stages(camera=True, propagate=True),
    "the same, detector on every 3rd frame": stages(camera=True, propagate=True, every=3),
    "greedy OKS (FlowTracker without flow)": stages(flow_tracker=True),
    "FlowTracker": stages(flow_tracker=True, flow=True),
    "FlowTracker and propagation (published recipe)": stages(flow_tracker=True, flow=True, propagate=True),
    "oracle without propagation": oracle_without_propagation,
}
