"""A real film and its variants, and the stored outputs of the networks on them.

The detector and the pose network run once over the film, and once over the mirrored film. After that the pipeline runs
from what they found: `track_people` itself, with networks that look up what is stored. Only where the tracker expects
people, the real pose network is asked again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from posetrack_app.core.config import Config
from posetrack_app.core.protocols import Networks, PoseArrays
from posetrack_app.core.records import Detections, FloatArray, Frame, Poses, TrackedPoses
from posetrack_app.pipeline.detect import detect_people
from posetrack_app.pipeline.pose import estimate_poses
from posetrack_app.video import open_video

STORED_SCORE = 0.15
"""Detections with a lower box score are not stored."""
BLACK_SECONDS = 1.0

Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Film:
    """The frames of a film, or of a variant of it.

    `sources` are their numbers in the film, -1 for an inserted frame. `found` are the detections with poses, before the
    person score. `is_mirrored`: images and poses are.
    """

    name: str
    sources: Sequence[int]
    seconds: Sequence[float]
    images: Sequence[Image]
    found: Sequence[Poses]
    is_mirrored: bool = False

    def frames(self) -> Iterator[Frame]:
        """What a decoder would give."""
        for index, (seconds, image) in enumerate(zip(self.seconds, self.images, strict=True)):
            yield Frame.of(index, seconds, image)

    def unmirrored(self, people: TrackedPoses) -> TrackedPoses:
        """The boxes of `people` where they are in the film; keypoints are left as they are."""
        if not self.is_mirrored:
            return people
        return replace(people, boxes=mirror(people.boxes, self.images[0].shape[1]))


def mirror(boxes: FloatArray, width: int) -> FloatArray:
    """Boxes (N, 4) of an image as they are in the mirrored one."""
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def read_images(video: Path, count: int) -> tuple[list[float], list[Image]]:
    """Times and images of the first `count` frames."""
    with open_video(video) as reader:
        frames = list(islice(reader, count))
    return [frame.info.seconds for frame in frames], [frame.image for frame in frames]


def load_film(
    name: str, video: Path, store: Path, networks: Networks, count: int, *, is_mirrored: bool = False
) -> Film:
    """The first `count` frames of `video`, with the detections in `store`, which is written if it does not exist."""
    seconds, images = read_images(video, count)
    if is_mirrored:
        images = [np.ascontiguousarray(image[:, ::-1]) for image in images]
    film = Film(name, range(len(images)), seconds, images, [], is_mirrored)
    made_by = json.dumps(networks.weights, sort_keys=True)
    if not store.is_file():
        write_poses(store, _run_networks(film, networks), made_by)
    found = read_poses(store, made_by)
    if len(found) < len(images):
        raise click.ClickException(f"{store} has {len(found)} frames, not {len(images)}; delete it")
    return replace(film, found=found[: len(images)])


def _run_networks(film: Film, networks: Networks) -> list[Poses]:
    config = Config()
    people = detect_people(
        film.frames(),
        networks.detector,
        min_score=STORED_SCORE,
        box_overlap=config.duplicates.box_overlap,
        max_people=config.detector.max_people,
        batch=networks.at_once,
    )
    poses = estimate_poses(people, networks.estimator, batch=config.pose.batch * networks.at_once)
    with click.progressbar(poses, len(film.images), f"networks on the {film.name} film") as bar:
        return [found for _, found in bar]


def write_poses(path: Path, found: Sequence[Poses], made_by: str) -> None:
    """Store detections with poses in a file (npz): row by row, with the number of rows of each frame."""
    columns = [
        np.concatenate([getattr(poses, name) for poses in found])
        for name in ("boxes", "scores", "keypoints", "keypoint_scores")
    ]
    boxes, scores, keypoints, keypoint_scores = columns
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        rows=[len(poses) for poses in found],
        made_by=np.array(made_by),
        boxes=boxes,
        scores=scores,
        keypoints=keypoints,
        keypoint_scores=keypoint_scores,
    )


def read_poses(path: Path, made_by: str) -> list[Poses]:
    """What `write_poses` stored, frame by frame; an error if other networks found it."""
    with np.load(path) as stored:
        if str(stored["made_by"]) != made_by:
            raise click.ClickException(f"{path} was made with other networks; delete it")
        rows = np.cumsum(stored["rows"])[:-1]
        names = ("boxes", "scores", "keypoints", "keypoint_scores")
        columns = [np.split(stored[name], rows) for name in names]
    return [
        Detections.detected(boxes, scores).with_keypoints(keypoints, keypoint_scores)
        for boxes, scores, keypoints, keypoint_scores in zip(*columns, strict=True)
    ]


def pick(film: Film, name: str, chosen: Sequence[int]) -> Film:
    """The `chosen` frames of a film, with their times; time runs on if they go backwards."""
    seconds = np.array(film.seconds)[list(chosen)]
    if len(chosen) > 1 and seconds[1] < seconds[0]:
        seconds = seconds[0] - seconds
    return replace(
        film,
        name=name,
        sources=[film.sources[i] for i in chosen],
        seconds=seconds.tolist(),
        images=[film.images[i] for i in chosen],
        found=[film.found[i] for i in chosen],
    )


def with_black(film: Film, place: int) -> Film:
    """The film with `BLACK_SECONDS` of black before the frame `place`; nobody is found in black frames."""
    step = film.seconds[1] - film.seconds[0]
    count = round(BLACK_SECONDS / step)
    black, nobody = np.zeros_like(film.images[0]), film.found[0][:0]
    start = film.seconds[place]
    inserted = [start + step * number for number in range(count)]
    later = [seconds + step * count for seconds in film.seconds[place:]]
    return replace(
        film,
        name=f"{BLACK_SECONDS:g} s of black inserted",
        sources=[*film.sources[:place], *[-1] * count, *film.sources[place:]],
        seconds=[*film.seconds[:place], *inserted, *later],
        images=[*film.images[:place], *[black] * count, *film.images[place:]],
        found=[*film.found[:place], *[nobody] * count, *film.found[place:]],
    )


class StoredNetworks:
    """Networks that look up what they found in the images of a film, and remember what else they are asked.

    The stored detections are those above `STORED_SCORE`; the pipeline applies its own threshold.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._images: list[Image] = []  # kept, so that their id() stays theirs
        self._boxes: dict[int, tuple[FloatArray, FloatArray]] = {}
        self._poses: dict[tuple[int, bytes], tuple[FloatArray, ...]] = {}

    def of(self, film: Film) -> Networks:
        """The networks for this film."""
        for image, found in zip(film.images, film.found, strict=True):
            self._images.append(image)
            self._boxes[id(image)] = found.boxes, found.scores
            for box, *pose in zip(
                found.boxes, found.keypoints, found.keypoint_scores, found.appearance, strict=True
            ):
                self._poses[id(image), box.tobytes()] = tuple(pose)
        return replace(self._networks, detector=self._detect, estimator=self._estimate, at_once=1)

    def _detect(self, images: Sequence[Image], /) -> list[tuple[FloatArray, FloatArray]]:
        return [self._boxes[id(image)] for image in images]

    def _estimate(self, images: Sequence[Image], boxes: Sequence[FloatArray], /) -> PoseArrays:
        keys = [(id(image), box.tobytes()) for image, box in zip(images, boxes, strict=True)]
        new = [row for row, key in enumerate(keys) if key not in self._poses]
        if new or not keys:
            answer = self._networks.estimator([images[row] for row in new], [boxes[row] for row in new])
            columns = [np.asarray(column, dtype=np.float64) for column in answer]
            if not keys:
                return columns[0], columns[1], columns[2]
            for row, *pose in zip(new, *columns, strict=True):
                self._poses[keys[row]] = tuple(pose)
        keypoints, scores, appearance = zip(*(self._poses[key] for key in keys), strict=True)
        return np.array(keypoints), np.array(scores), np.array(appearance)
