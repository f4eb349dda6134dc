"""Scores on a real film: our pipeline, ingredients left out, variants of the film, and other linkers, side by side.

    python scripts/benchmarks/real_video.py GT.txt [pipeline|linkers|ablation|variants] --video vtest.avi --store FOLDER
    python scripts/benchmarks/real_video.py GT.txt --tracks TRACKS.json [--crops FOLDER]

GT.txt has boxes as in MOTChallenge (see `real_truth.load_truth`). The networks run over the film once and, for the
variants, over the mirrored film; what they find is stored in FOLDER, and later runs take minutes. `--tracks` scores a
file that `posetrack track` wrote. Other linkers run if they are installed: pip install norfair trackers boxmot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest import mock

import click
import cv2
import numpy as np
from real_film import Film, Image, StoredNetworks, load_film, pick, read_images, with_black
from real_truth import BoxScores, Switch, Tracked, TrueBoxes, load_truth, score_boxes
from tracking_peers import Linker, greedy_oks, peers
from tracking_sets import Video

from posetrack_app.core.config import Config, PersonScoreConfig
from posetrack_app.core.records import FloatArray, TrackedPoses
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats.tracks_json.reader import read_tracks
from posetrack_app.models.build import load_networks
from posetrack_app.pipeline import expected
from posetrack_app.pipeline.duplicates import drop_duplicates
from posetrack_app.pipeline.person_score import score_people
from posetrack_app.pipeline.second_pass.second_pass import second_pass
from posetrack_app.pipeline.track_people import track_people

PARTS = ("pipeline", "linkers", "ablation", "variants")
VIDEO = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
DETECTED_ONLY = "only detected people"
BOX_SCORE = PersonScoreConfig(1.0, 0.0, 0.0)

Truth = dict[int, TrueBoxes]


@dataclass(frozen=True)
class Ablation:
    """The pipeline with other settings, and within `patched`."""

    config: Config
    patched: Callable[[], AbstractContextManager[object]] = nullcontext


def ablations() -> dict[str, Ablation]:
    """The default pipeline, and without one of its ingredients."""
    default = Config()
    lost, tracker = default.propagation, default.tracker

    def box_score(high: float, low: float) -> Ablation:
        thresholds = replace(tracker, high_score=high, low_score=low)
        return Ablation(replace(default, person_score=BOX_SCORE, tracker=thresholds))

    return {
        "default": Ablation(default),
        "boxes over two people kept": Ablation(
            default, lambda: mock.patch.object(expected, "TOO_LARGE", np.inf)
        ),
        "missed people not looked for": Ablation(
            replace(default, propagation=replace(lost, max_seconds=1e-6))
        ),
        DETECTED_ONLY: Ablation(replace(default, propagation=replace(lost, max_seconds=0.0))),
        "box score >= 0.93, low 0.35": box_score(0.93, 0.35),
        "box score >= 0.8, low 0.3": box_score(0.8, 0.3),
        "detections of box score >= 0.5": Ablation(
            replace(default, detector=replace(default.detector, min_score=0.5))
        ),
    }


@click.command()
@click.argument("truth_file", metavar="GT.txt", type=click.Path(exists=True, path_type=Path))
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--video", type=click.Path(exists=True, path_type=Path), default=VIDEO, show_default=True)
@click.option(
    "--store", type=click.Path(path_type=Path), help="Folder of the detections; made if it is missing."
)
@click.option(
    "--tracks", type=click.Path(exists=True, path_type=Path), help="Score this tracks file instead."
)
@click.option("--crops", type=click.Path(path_type=Path), help="Folder for a picture of each switch.")
@click.option(
    "--frames", type=click.IntRange(2), default=400, show_default=True, help="Use this many frames."
)
@click.option(
    "--high-score",
    type=float,
    multiple=True,
    default=(0.5, 0.65),
    show_default=True,
    help="For other linkers.",
)
@click.option("--device", default="cpu", show_default=True)
def main(
    truth_file: Path,
    parts: tuple[str, ...],
    video: Path,
    store: Path | None,
    tracks: Path | None,
    crops: Path | None,
    frames: int,
    high_score: tuple[float, ...],
    device: str,
) -> None:
    """Benchmark tracking on a real film; without PARTS, run all of them."""
    truth = {number: true for number, true in load_truth(truth_file).items() if number < frames}
    report = Report(truth, read_images(video, frames)[1] if crops is not None else [], crops)
    if tracks is not None:
        report.add(tracks.name, tracked_in(tracks))
        return
    if store is None:
        raise click.UsageError("give --store, the folder for the detections, or --tracks")
    networks = load_networks(Config(), device)
    stored = StoredNetworks(networks)
    film = load_film("plain", video, store / "plain.npz", networks, frames)
    wanted = parts or PARTS
    if "pipeline" in wanted:
        report.head("pipeline")
        linked = run(film, stored, Ablation(Config()))
        report.add("default", linked)
        report.add("default, second pass", after_second_pass(linked))
        report.add(f"default, {DETECTED_ONLY}", run(film, stored, ablations()[DETECTED_ONLY]))
    if "linkers" in wanted:
        report.head("linker, same detections and poses")
        for name, linked in link_with_others(film, high_score):
            report.add(name, linked)
    if "ablation" in wanted:
        report.head("pipeline, mean or sum over the film, every second frame, and reversed")
        count = len(film.images)
        films = film, pick(film, "half", range(0, count, 2)), pick(film, "reversed", range(count - 1, -1, -1))
        for name, ablation in ablations().items():
            report.add_mean(name, [run(one, stored, ablation) for one in films])
    if "variants" in wanted:
        report.head("film")
        mirrored = load_film("mirrored", video, store / "mirrored.npz", networks, frames, is_mirrored=True)
        for variant in variants(film, mirrored):
            linked = run(variant, stored, Ablation(Config()))
            report.add(variant.name, linked)
            report.add(f"{variant.name}, second pass", after_second_pass(linked))


def run(film: Film, stored: StoredNetworks, ablation: Ablation) -> list[Tracked]:
    """Our pipeline on the stored detections of a film."""
    with ablation.patched():
        tracked = list(track_people(film.frames(), stored.of(film), ablation.config))
    return [
        Tracked(source, frame.info.seconds, film.unmirrored(people))
        for source, (frame, people) in zip(film.sources, tracked, strict=True)
    ]


def after_second_pass(linked: list[Tracked]) -> list[Tracked]:
    """The tracks after the second pass, which takes the film for one shot."""
    seconds = np.array([frame.seconds for frame in linked])
    settings = replace(Config().second_pass, smoothing="none")
    frames = second_pass(seconds, [frame.people for frame in linked], POSETRACK, settings)
    return [replace(frame, people=people) for frame, people in zip(linked, frames, strict=True)]


def variants(film: Film, mirrored: Film) -> Iterator[Film]:
    """The film as it is and changed, to see how far its score is luck."""
    count = len(film.images)
    yield film
    yield mirrored
    yield pick(film, "every second frame", range(0, count, 2))
    yield pick(film, "every third frame", range(0, count, 3))
    yield pick(film, "reversed", range(count - 1, -1, -1))
    yield with_black(film, count // 2)


def link_with_others(film: Film, high_scores: tuple[float, ...]) -> Iterator[tuple[str, list[Tracked]]]:
    """The other linkers, with each score threshold, on the detections, poses and scores that our tracker starts from."""
    config = Config()
    kept = (
        (frame, found[found.scores >= config.detector.min_score])
        for frame, found in zip(film.frames(), film.found, strict=True)
    )
    unique = drop_duplicates(
        score_people(kept, config.person_score),
        sigmas=POSETRACK.sigma_array,
        max_similarity=config.duplicates.max_similarity,
    )
    poses = [found for _, found in unique]
    video = Video(film.name, list(film.seconds), poses, [None] * len(poses))
    for high_score in high_scores:
        greedy: Linker = partial(greedy_oks, high_score=high_score, sigmas=POSETRACK.sigma_array)
        for name, link in {"greedy OKS": greedy, **peers(high_score)}.items():
            yield (
                f"{name}, score >= {high_score:g}",
                [
                    Tracked(source, seconds, found[ids > 0].with_ids(ids[ids > 0]))
                    for source, seconds, found, ids in zip(
                        film.sources, film.seconds, poses, link(video), strict=True
                    )
                ],
            )


def tracked_in(path: Path) -> list[Tracked]:
    """The people in a tracks file."""
    return [Tracked(frame.info.index, frame.info.seconds, frame.people) for frame in read_tracks(path).frames]


class Report:
    """Prints the scores of each run, and draws its switches on the `images` if there is a folder for the `crops`."""

    def __init__(self, truth: Truth, images: Sequence[Image], crops: Path | None) -> None:
        self._truth, self._images, self._crops = truth, images, crops

    def head(self, what: str) -> None:
        """The head of a table."""
        click.echo(
            f"\n| {what} | MOTA | IDF1 | HOTA | false positives | misses | of | switches | towers | switches, in frame "
            "(person: id before > after) |\n|---|---|---|---|---|---|---|---|---|---|"
        )

    def add(self, name: str, linked: list[Tracked]) -> None:
        """A row of the table, and the pictures of its switches."""
        scores = score_boxes(linked, self._truth)
        click.echo(f"| {name} | {row_of(scores)} |")
        if self._crops is not None:
            folder = self._crops / re.sub(r"\W+", "-", name)
            for switch in scores.switches:
                self._draw(folder, switch, linked)

    def add_mean(self, name: str, runs: Sequence[list[Tracked]]) -> None:
        """A row with the means over several films, and the sums of what is counted."""
        scores = [score_boxes(linked, self._truth) for linked in runs]
        mota, idf1, hota = np.mean([(one.mota, one.idf1, one.hota) for one in scores], axis=0)
        counts = np.sum(
            [(one.false_positives, one.misses, one.people, len(one.switches), one.towers) for one in scores],
            axis=0,
        )
        click.echo(
            f"| {name} | {mota:.1f} | {idf1:.1f} | {hota:.1f} | {' | '.join(map(str, counts.tolist()))} | |"
        )

    def _draw(self, folder: Path, switch: Switch, linked: list[Tracked]) -> None:
        """One picture: the person before the switch at the left, and after it at the right."""
        people = {frame.source: frame.people for frame in linked}
        sides = [
            crop(self._images[number], people[number], self._truth[number], switch.true_id)
            for number in (switch.last_frame, switch.frame)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"frame-{switch.frame + 1:04d}-person-{switch.true_id}.png"
        cv2.imwrite(str(path), cv2.cvtColor(np.hstack(sides), cv2.COLOR_RGB2BGR))


def row_of(scores: BoxScores) -> str:
    """The columns of the table; frames count from 1, as in the ground truth."""
    switches = ", ".join(
        f"{one.frame + 1} ({one.true_id}: {one.before} > {one.after})" for one in scores.switches
    )
    return (
        f"{scores.mota:.1f} | {scores.idf1:.1f} | {scores.hota:.1f} | {scores.false_positives} | {scores.misses} "
        f"| {scores.people} | {len(scores.switches)} | {scores.towers} | {switches}"
    )


SIDE = 320
"""Pixels of a cropped picture."""


def crop(image: Image, people: TrackedPoses, truth: TrueBoxes, true_id: int) -> Image:
    """A square (`SIDE`, `SIDE`, 3) around a true person: the true box white, the given ones green with their ids."""
    true = truth.boxes[truth.ids == true_id][0]
    half = 1.25 * max(true[2:] - true[:2])
    corner = (true[:2] + true[2:]) / 2 - half
    scale = SIDE / (2 * half)
    to_square = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    square = np.asarray(cv2.warpAffine(image, to_square, (SIDE, SIDE)), dtype=np.uint8)

    def rectangle(box: FloatArray, colour: tuple[int, int, int]) -> tuple[int, int]:
        low, high = (np.round(scale * (point - corner)).astype(int).tolist() for point in (box[:2], box[2:]))
        cv2.rectangle(square, low, high, colour, 1)
        return int(low[0]), int(low[1])

    rectangle(true, (255, 255, 255))
    for box, number in zip(people.boxes, people.ids.tolist(), strict=True):
        left, top = rectangle(box, (0, 255, 0))
        cv2.putText(
            square, str(number), (left, max(top - 4, 12)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 255, 0), 1
        )
    return square


if __name__ == "__main__":
    main()
