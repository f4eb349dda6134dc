"""The stages that need pictures, put together in different ways, on the made film."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from posetrack_trackers import FlowTracker, OksTracker
from tracking_film import Film, KnowingEstimator
from tracking_scores import oracle
from tracking_sets import SIGMAS, Video

from posetrack_app.camera_motion import follow_camera
from posetrack_app.flow import DenseFlow, detect_every, propagate_poses
from posetrack_app.linking import Tracker, link_poses
from posetrack_app.pipeline import drop_duplicates, estimate_poses
from posetrack_app.records import Detections, Frame, IntArray, Poses

FilmLinker = Callable[[Film], tuple[Video, list[IntArray]]]


def chain(
    *,
    recipe: bool = False,
    camera: bool = False,
    flow: bool = False,
    propagate: bool = False,
    every: int = 1,
) -> FilmLinker:
    """The stages after the detector: the film's people with their ids, in the poses they got.

    `recipe` takes FlowTracker, with `flow` or without, in place of OksTracker.
    """

    def link(film: Film) -> tuple[Video, list[IntArray]]:
        unique = drop_duplicates(
            _poses(film, propagate=propagate, every=every), sigmas=SIGMAS, max_similarity=0.75
        )
        tracker: Tracker = OksTracker(sigmas=SIGMAS)
        if recipe:
            moved = DenseFlow()
            unique = moved.watch(unique)
            tracker = FlowTracker(sigmas=SIGMAS, move=moved.move if flow else None)
        linked = link_poses(follow_camera(unique) if camera else unique, tracker)
        people = [tracked for _, tracked in linked]
        poses = [Poses(one.boxes, one.scores, one.keypoints, one.keypoint_scores) for one in people]
        return replace(film.video, poses=poses), [one.ids for one in people]

    return link


def knowing(film: Film) -> tuple[Video, list[IntArray]]:
    """The oracle on the poses of the detected people."""
    poses = [poses for _, poses in _poses(film, propagate=False, every=1)]
    video = replace(film.video, poses=poses)
    return video, oracle(video)


def _poses(film: Film, *, propagate: bool, every: int) -> Iterator[tuple[Frame, Poses]]:
    def detect(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Detections]]:
        return ((frame, film.detections[frame.index]) for frame in frames)

    people, estimator = detect_every(film.frames, detect, every), KnowingEstimator(film)
    if propagate:
        return propagate_poses(people, estimator, box_overlap=0.65)
    return estimate_poses(people, estimator, batch=16)


FILM_LINKERS: dict[str, FilmLinker] = {
    "OksTracker": chain(),
    "with camera motion": chain(camera=True),
    "with camera motion and propagation": chain(camera=True, propagate=True),
    "the same, detector every 3rd frame": chain(camera=True, propagate=True, every=3),
    "greedy OKS (FlowTracker without flow)": chain(recipe=True),
    "FlowTracker": chain(recipe=True, flow=True),
    "FlowTracker and propagation (published recipe)": chain(recipe=True, flow=True, propagate=True),
    "oracle without propagation": knowing,
}
