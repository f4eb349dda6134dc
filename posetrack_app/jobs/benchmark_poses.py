"""Where a benchmark gets its poses from: the networks, which run once, or an earlier benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.config import Config, PersonScoreConfig, with_settings
from posetrack_app.core.errors import InputError
from posetrack_app.core.frame_rate import USUAL_FPS
from posetrack_app.core.image_file import read_rgb
from posetrack_app.core.protocols import Networks
from posetrack_app.core.records import FloatArray, Frame
from posetrack_app.formats.pose_store import PosesInFrame, PoseStore, read_pose_store, write_pose_store
from posetrack_app.formats.posetrack.dataset import image_file
from posetrack_app.formats.posetrack.sequence import PoseSequence
from posetrack_app.pipeline.stored_poses import poses_to_store

Boxes = tuple[FloatArray, FloatArray]
"""Boxes (N, 4) x1 y1 x2 y2 in pixels and scores (N,) of one frame."""
_AFTER_THE_NETWORKS = ("person_score", "tracker", "flow_tracker", "smoothing", "second_pass")
"""Sections of the settings that stored poses do not depend on."""
_MAY_DIFFER = {
    ("detector", "min_score"), ("detector", "max_people"), ("detector", "batch"), ("pose", "min_score"),
    ("pose", "batch"), ("duplicates", "max_similarity"), ("propagation", "max_seconds"), ("propagation", "min_score"),
}  # fmt: skip
"""Other settings that may be changed for stored poses."""


class PoseSource(Protocol):
    """Gives the poses of one video after the other; all are `made_with` the same networks and settings."""

    @property
    def made_with(self) -> Mapping[str, Any]: ...

    def poses_of(self, truth: PoseSequence) -> PoseStore: ...


@dataclass(frozen=True)
class ComputedPoses:
    """Poses from the networks, kept in `folder`.

    `boxes_of` gives the boxes of a video in place of the detector's, or None. With `resume`, poses that are in the
    folder already and were made in the same way are not computed again.
    """

    root: Path
    folder: Path
    networks: Networks
    config: Config
    made_with: Mapping[str, Any]
    boxes_of: Callable[[PoseSequence], Sequence[Boxes] | None]
    resume: bool

    def poses_of(self, truth: PoseSequence) -> PoseStore:
        """The poses of one video; also written to the folder."""
        target = self.folder / f"{truth.name}.npz"
        frames: Sequence[PosesInFrame] | None = None
        if self.resume and target.exists():
            found = read_pose_store(target)
            if _without_linking(found.made_with) == _without_linking(self.made_with):
                frames = found.frames
                if found.made_with == self.made_with:
                    return found
        if frames is None:
            frames = list(self._computed(truth))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_pose_store(target, self.made_with, frames)
        return PoseStore(target, self.made_with, frames)

    def _computed(self, truth: PoseSequence) -> Iterator[PosesInFrame]:
        boxes, networks = self.boxes_of(truth), self.networks
        indices = list(range(truth.frame_count))
        if boxes is not None:
            # Usually only labelled frames have boxes. Skip the others, or the people there would count as missed.
            indices = [index for index in indices if len(boxes[index][0])]
            detected = indices[:: self.config.propagation.detect_every]
            networks = replace(networks, detector=_GivenBoxes([boxes[index] for index in detected]))
        frames = read_sequence(self.root, truth, indices)
        for info, poses in poses_to_store(frames, networks, self.config):
            yield PosesInFrame(info, poses)


def _without_linking(made_with: Mapping[str, Any]) -> dict[str, Any]:
    config = {name: value for name, value in made_with["config"].items() if name not in _AFTER_THE_NETWORKS}
    if (
        made_with["config"]["tracker"]["method"] == "kalman"
    ):  # it looks for people after these poses are stored
        config["propagation"] = config["propagation"]["detect_every"]
    return {**made_with, "config": config}


@dataclass(frozen=True)
class StoredPoses:
    """Poses that an earlier benchmark keeps in `folder`."""

    folder: Path
    made_with: Mapping[str, Any]

    def poses_of(self, truth: PoseSequence) -> PoseStore:
        """The poses of one video. InputError if its file is missing or of another run."""
        found = read_pose_store(self.folder / f"{truth.name}.npz")
        if found.made_with != self.made_with:
            raise InputError(
                f"{found.path} was made with other settings than the files beside it; make it again"
            )
        return found

    def settings(self) -> Config:
        """The settings of the benchmark that made the poses."""
        return with_settings(Config(), dict(self.made_with["config"]), self.folder)

    def check(self, config: Config) -> None:
        """Raise InputError if poses with these settings would need the networks."""
        before, now = self.made_with["config"], config.as_dict()
        for section, value in now.items():
            if section in _AFTER_THE_NETWORKS:
                continue
            changes = value if isinstance(value, dict) else {"": value}
            for name, wanted in changes.items():
                found = before[section][name] if name else before[section]
                if found != wanted and (section, name) not in _MAY_DIFFER:
                    setting = f"[{section}] {name}" if name else section
                    raise InputError(
                        f"the poses in {self.folder} were made with {setting} = {found}; for {wanted} the networks must "
                        "run again"
                    )
        lowest = self.made_with["lowest_score"]
        if config.detector.min_score < lowest:
            raise InputError(
                f"the poses in {self.folder} are of people with a score of at least {lowest:g}; for [detector] min_score = "
                f"{config.detector.min_score:g} the networks must run again"
            )


def open_stored_poses(benchmark: Path) -> StoredPoses:
    """The poses that a benchmark stored in its output folder. InputError if there are none."""
    folder = benchmark / "poses"
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InputError(f"{benchmark} has no poses/*.npz; give the output folder of posetrack benchmark")
    made_with = read_pose_store(files[0]).made_with
    if not isinstance(made_with, dict) or not {"config", "lowest_score", "gt_boxes"} <= made_with.keys():
        raise InputError(f"{files[0]} was not written by posetrack benchmark; make the poses again")
    return StoredPoses(folder, made_with)


def linking_settings(config: Config, frames: int, *, gt_boxes: bool = False) -> Config:
    """The settings for linking a video of this many frames.

    A video with fewer frames than a confirmation needs would have no confirmed track.
    """
    settings = keep_all_boxes(config) if gt_boxes else config
    confirmations = max(1, min(settings.tracker.confirmations, frames))
    return replace(settings, tracker=replace(settings.tracker, confirmations=confirmations))


def keep_all_boxes(config: Config) -> Config:
    """The settings for ground-truth boxes: none of them is a duplicate or a false positive, and none is missing."""
    return replace(
        config,
        detector=replace(config.detector, min_score=0.0),
        person_score=PersonScoreConfig(1.0, 0.0, 0.0),
        propagation=replace(config.propagation, max_seconds=0.0),
        duplicates=replace(config.duplicates, box_overlap=1.0, max_similarity=1.0),
        tracker=replace(config.tracker, confirmations=1),
    )


def read_sequence(root: Path, truth: PoseSequence, indices: Sequence[int]) -> Iterator[Frame]:
    """The chosen frames of a video with their images. InputError if one cannot be read."""
    for index in indices:
        file = image_file(root, truth.rows.frame_names[index])
        image = read_rgb(file)
        if image is None:
            raise InputError(
                f"{truth.path}: frame {index}: the image {file} is missing or damaged; "
                f"run posetrack dataset check {root}"
            )
        yield Frame.of(index, index / USUAL_FPS, image)


class _GivenBoxes:
    """A detector that returns given boxes and scores, in the order of its calls."""

    def __init__(self, boxes: Sequence[Boxes]) -> None:
        self._next = iter(boxes)

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> Sequence[Boxes]:
        return [next(self._next) for _ in images]
