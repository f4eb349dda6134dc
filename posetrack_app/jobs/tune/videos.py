"""Stored poses of labelled videos, prepared so that one trial links and scores them in little time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from posetrack_app.core.config import Config
from posetrack_app.core.records import (
    DETECTED,
    BoolArray,
    Detections,
    FloatArray,
    IntArray,
    Poses,
    joined_rows,
)
from posetrack_app.core.similarity import oks_matrix
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.evaluation.posetrack.hota import SIMILARITY_REACH
from posetrack_app.evaluation.posetrack.pairing import pair_sequences, paired_by_image_id
from posetrack_app.evaluation.posetrack.protocols import Protocol
from posetrack_app.evaluation.posetrack.scene import (
    Candidates,
    People,
    Scene,
    SequencePair,
    build_scene,
    find_candidates,
)
from posetrack_app.formats.pose_store import PosesInFrame, PoseStore
from posetrack_app.formats.posetrack.predictions import posetrack_predictions
from posetrack_app.formats.posetrack.read import posetrack_sequence, read_posetrack
from posetrack_app.formats.posetrack.sequence import PoseSequence
from posetrack_app.jobs.benchmark_poses import StoredPoses, linking_settings
from posetrack_app.jobs.tune.objective import Parts, score_parts
from posetrack_app.jobs.tune.search_space import LOWEST_SIMILARITY
from posetrack_app.pipeline.duplicates import pose_scores
from posetrack_app.pipeline.link import build_tracker, poses_with_ids
from posetrack_app.pipeline.lockstep import VideoPoses, link_videos
from posetrack_app.pipeline.person_score import person_scores

_Columns = TypeVar("_Columns", People, Candidates)


@dataclass(frozen=True, eq=False)
class Linked:
    """What a trial keeps of one video: `rows` (M,) of its stored people, and their `ids` (M,)."""

    rows: IntArray
    ids: IntArray

    def with_identity(self) -> Linked:
        """Without those whose id is 0."""
        known = self.ids > 0
        return Linked(self.rows[known], self.ids[known])


class TuneVideo:
    """The N stored people of one video, frame by frame, and which of them may be duplicates."""

    def __init__(
        self, truth: PoseSequence, store: PoseStore, lowest_similarity: float = LOWEST_SIMILARITY
    ) -> None:
        """`lowest_similarity`: no [duplicates] max_similarity will be lower."""
        self.truth, self.store = truth, store
        self._people = _all_poses(store.frames)
        counts = [len(frame.poses) for frame in store.frames]
        self._frame = np.repeat(np.arange(len(counts)), counts)
        self._similar = _similar_pairs(store.frames, lowest_similarity)

    def __len__(self) -> int:
        return len(self._frame)

    def above_thresholds(self, config: Config) -> tuple[IntArray, VideoPoses]:
        """What `pipeline.stored_poses.above_thresholds` leaves: the rows, and their poses."""
        rows, scores = self._kept(config)
        kept = replace(
            self._people[rows], keypoint_scores=scores[rows], scores=self._person_scores(config)[rows]
        )
        bounds = np.searchsorted(self._frame[rows], np.arange(len(self.store.frames) + 1))
        return rows, VideoPoses([frame.info for frame in self.store.frames], kept, bounds)

    @property
    def has_appearance(self) -> bool:
        """Whether the poses have features that the tracker may use."""
        return bool(self._people.appearance.shape[1])

    def _kept(self, config: Config) -> tuple[IntArray, FloatArray]:
        """Rows above the thresholds and without duplicates, in the order in which the tracker gets them; all scores."""
        people = self._people
        is_detected = people.origins == DETECTED
        is_high = is_detected & (people.scores >= config.detector.min_score)
        if np.bincount(self._frame, minlength=1).max() > config.detector.max_people:
            is_high &= self._rank(is_high) <= config.detector.max_people
        is_kept = ~is_detected | is_high
        scores = people.keypoint_scores
        if config.pose.min_score:
            scores = np.where(scores >= config.pose.min_score, scores, 0.0)
        pose = pose_scores(self._person_scores(config), scores)
        order = np.lexsort((-pose, self._frame))
        self._drop_duplicates(is_kept, order, config.duplicates.max_similarity)
        return order[is_kept[order]], scores

    def _person_scores(self, config: Config) -> FloatArray:
        if config.person_score.is_box_score:
            return self._people.scores
        return person_scores(
            self._people.scores, self._people.keypoint_scores.mean(axis=1), config.person_score
        )

    def _rank(self, mask: BoolArray) -> IntArray:
        """(N,) how many of `mask` come up to here in the frame."""
        total = np.cumsum(mask)
        first = np.searchsorted(self._frame, self._frame)
        rank: IntArray = total - np.concatenate([[0], total])[first]
        return rank

    def _drop_duplicates(self, is_kept: BoolArray, order: IntArray, max_similarity: float) -> None:
        """Greedy suppression, as `pipeline.duplicates.nms`, over the few pairs that are similar enough."""
        first, second, similarity = self._similar
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        close = similarity > max_similarity
        close &= is_kept[first] & is_kept[second]
        better = np.where(rank[first] < rank[second], first, second)[close]
        worse = np.where(rank[first] < rank[second], second, first)[close]
        by_rank = np.argsort(rank[better], kind="stable")
        for one, other in zip(better[by_rank].tolist(), worse[by_rank].tolist(), strict=True):
            if is_kept[one]:
                is_kept[other] = False


def link_group(videos: Sequence[TuneVideo], config: Config, *, gt_boxes: bool = False) -> list[Linked]:
    """Link the poses of some videos with these settings: for each video what `pipeline.stored_poses.link_stored` gives."""
    linked: dict[int, Linked] = {}
    together: list[int] = []
    settings = [linking_settings(config, len(video.store.frames), gt_boxes=gt_boxes) for video in videos]
    kept = [video.above_thresholds(each) for video, each in zip(videos, settings, strict=True)]
    usual = linking_settings(config, config.tracker.confirmations, gt_boxes=gt_boxes)
    for k, video in enumerate(videos):
        if settings[k] == usual and not video.has_appearance:
            together.append(k)
        else:
            linked[k] = Linked(kept[k][0], _ids_of_one(video, kept[k][1], settings[k]))
    found = link_videos([kept[k][1] for k in together], usual, POSETRACK)
    linked |= {k: Linked(kept[k][0], ids) for k, ids in zip(together, found, strict=True)}
    return [linked[k].with_identity() for k in range(len(videos))]


def _ids_of_one(video: TuneVideo, kept: VideoPoses, config: Config) -> IntArray:
    """The ids of a video that is too short for the usual settings, or whose poses have an appearance."""
    bounds = kept.bounds.tolist()
    stream = ((f, kept.poses[bounds[k] : bounds[k + 1]]) for k, f in enumerate(video.store.frames))
    tracker, _ = build_tracker(config, skeleton=POSETRACK)
    found = [ids for _, _, ids in poses_with_ids(stream, tracker, config.tracker.patience_seconds)]
    return np.concatenate([np.zeros(0, np.int64), *found])


def _all_poses(frames: Sequence[PosesInFrame]) -> Poses:
    if not frames:
        return Detections.detected(np.zeros((0, 4)), np.zeros(0)).with_keypoints(
            np.zeros((0, 17, 2)), np.zeros((0, 17))
        )
    return joined_rows([frame.poses for frame in frames])


def _similar_pairs(
    frames: Sequence[PosesInFrame], lowest_similarity: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of rows (P,) of one frame with a higher OKS than this, and their OKS: possible duplicates."""
    parts, start = [], 0
    for frame in frames:
        poses = frame.poses
        areas = (poses.boxes[:, 2:] - poses.boxes[:, :2]).prod(axis=1)
        similarity = oks_matrix(poses.keypoints, areas, POSETRACK.sigma_array)
        first, second = np.nonzero(np.triu(similarity > lowest_similarity, k=1))
        parts.append((first + start, second + start, similarity[first, second]))
        start += len(poses)
    none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    first, second, similarity = (np.concatenate(column) for column in zip(none, *parts, strict=True))
    return first, second, similarity


class VideoGroup:
    """Some videos that are scored together. Distances to the ground truth are computed once, for all stored people."""

    def __init__(self, videos: Sequence[TuneVideo], protocol: Protocol) -> None:
        self.videos, self._protocol = videos, protocol
        starts = np.cumsum([0, *(len(video) for video in videos)]).tolist()
        self._starts = starts
        pairs = [_everyone(video) for video in videos]
        self._scene = build_scene(pairs, protocol)
        self._candidates = find_candidates(self._scene, SIMILARITY_REACH)
        people = self._scene.predicted
        video = self._scene.frame_video[people.frame]
        # The ids of `_everyone` are rows.
        self._rows = people.track_ids[people.track] - 1 + np.array(starts)[video]
        self._drops_empty = _has_regions(self._scene, pairs)[people.frame]

    def parts(self, config: Config, measures: Sequence[str], *, gt_boxes: bool) -> Parts:
        """Link and score all videos with these settings."""
        ids = np.zeros(self._starts[-1], np.int64)
        found = link_group(self.videos, config, gt_boxes=gt_boxes)
        for linked, start in zip(found, self._starts, strict=False):
            ids[start + linked.rows] = linked.ids
        scene, candidates = self._linked_scene(ids, config.pose.min_score)
        return score_parts(scene, candidates, self._protocol, measures)

    def _linked_scene(self, ids: IntArray, keypoint_score: float) -> tuple[Scene, Candidates]:
        """The scene of the people with an id, and their candidates."""
        everyone = self._scene.predicted
        present = everyone.present & (everyone.scores >= keypoint_score)
        chosen = ids[self._rows] > 0
        chosen &= present.any(axis=1) | ~self._drops_empty
        rows = np.flatnonzero(chosen)
        people = _chosen(everyone, rows)
        present = present[rows]
        video = self._scene.frame_video[people.frame]
        number = video * (1 + int(ids.max(initial=0))) + ids[self._rows[rows]]
        track_ids, track = np.unique(number, return_inverse=True)
        people = replace(
            people,
            present=present,
            keypoints=np.where(present[..., None], people.keypoints, np.nan),
            track=track.reshape(-1),
            track_ids=track_ids,
        )
        position = np.cumsum(chosen) - 1
        found = self._candidates
        is_used = chosen[found.predicted]
        if keypoint_score:
            is_used &= everyone.scores[found.predicted, found.joint] >= keypoint_score
        found = found[np.flatnonzero(is_used)]
        return replace(self._scene, predicted=people), replace(found, predicted=position[found.predicted])


def _chosen(people: People, rows: IntArray) -> People:
    """The chosen people; `track_ids` still are those of all."""
    columns = {field.name: getattr(people, field.name) for field in fields(people)}
    return People(**{name: v if name == "track_ids" else v[rows] for name, v in columns.items()})


def _everyone(video: TuneVideo) -> SequencePair:
    """The video and all its stored people as predictions, whose ids are their rows from 1."""
    first, tracked = 1, {}
    for frame in video.store.frames:
        tracked[frame.info.index] = frame.poses.with_ids(np.arange(first, first + len(frame.poses)))
        first += len(frame.poses)
    content = posetrack_predictions(video.truth, tracked, {}, renumber=False)
    predicted = posetrack_sequence(video.store.path, content)
    return paired_by_image_id(pair_sequences(video.truth, predicted))


def _has_regions(scene: Scene, pairs: Sequence[SequencePair]) -> BoolArray:
    """(F,) kept frames with ignore regions, where people without keypoints are not scored."""
    found = [
        frame in pairs[video].truth.ignore_regions
        for video, frame in zip(scene.frame_video.tolist(), scene.frame_number.tolist(), strict=True)
    ]
    return np.array(found, bool)


def read_videos(files: Sequence[Path], stored: StoredPoses, start: Config) -> Iterator[TuneVideo]:
    """The annotated videos of these files, and their stored poses, for a search from the settings `start`."""
    lowest = min(LOWEST_SIMILARITY, start.duplicates.max_similarity)
    for file in files:
        truth = read_posetrack(file)
        yield TuneVideo(truth, stored.poses_of(truth), lowest)
