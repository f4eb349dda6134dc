"""Quality and speed of linkers side by side: ours, its ablations, others', and the oracle.

    python scripts/benchmark.py tracker [quality|gap|speed|film|smoothing] [--shared ../shared] [--ablation]

Without a part all are printed. Others are run where they are installed: pip install norfair trackers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from posetrack_trackers import Motion, OksTracker
from tracking_film import make_film
from tracking_film_linkers import FILM_LINKERS
from tracking_peers import CONFIDENT, Linker, greedy_oks, peers
from tracking_scores import Scores, confident_oracle, oracle, score
from tracking_sets import (
    SETTINGS,
    SIGMAS,
    SKELETON,
    Video,
    golden_videos,
    one_walker,
    parade,
    walker_videos,
)

from posetrack_app.offline import SecondPass, second_pass
from posetrack_app.offline_smoothing import smooth_track
from posetrack_app.records import FloatArray, IntArray, Poses, TrackedPoses
from posetrack_app.smoothing import OneEuroSmoother


def ours(**settings: Any) -> Linker:
    """OksTracker with `settings`, ids of first sightings filled in."""

    def link(video: Video) -> list[IntArray]:
        tracker = OksTracker(sigmas=SIGMAS, **settings)
        answer: list[IntArray] = []
        for poses, seconds in zip(video.poses, video.seconds, strict=True):
            links = tracker.update(poses.boxes, poses.scores, poses.keypoints, poses.keypoint_scores, seconds)
            answer.append(links.ids)
            for ago, row, number in links.earlier:
                answer[-1 - ago][row] = number
        for ago, row, number in tracker.finish().earlier:
            answer[-1 - ago][row] = number
        return answer

    return link


def ours_offline(video: Video) -> tuple[Video, list[IntArray]]:
    """OksTracker and the second pass: the video with filled gaps, and its ids."""
    frames = []
    for poses, ids in zip(video.poses, ours()(video), strict=True):
        known = poses[ids > 0]
        columns = known.boxes, known.scores, known.keypoints, known.keypoint_scores
        frames.append(TrackedPoses(*columns, ids[ids > 0], known.keypoints))
    seconds = np.array(video.seconds)
    passed = second_pass(seconds, frames, SKELETON, SecondPass(smoothing=None))
    people = [Poses(now.boxes, now.scores, now.keypoints, now.keypoint_scores) for now in passed]
    return replace(video, poses=people), [now.ids for now in passed]


ABLATIONS: dict[str, dict[str, Any]] = {
    "greedy instead of Hungarian": {"matching": "greedy"},
    "boxes only": {"box_weight": 1e6},
    "keypoints only": {"box_weight": 1e-6},
    "no second round": {"weak": 0.5},
    "no motion": {"motion": Motion(body_seconds=1e-3, limb_seconds=1e-3)},
    "limbs stiff": {"motion": Motion(limb_seconds=1e-3)},
    "1 confirmation": {"confirmations": 1},
    "patience 0.3 s": {"patience_seconds": 0.3},
    "lost tracks preferred alike": {"stale": 0.0},
    "duplicates born": {"duplicate_similarity": 2.0},
}


SECOND_PASS = "OksTracker, second pass"
CONFIDENT_ORACLE = "oracle of the confident poses"
FILMS = 4


PARTS = ("quality", "gap", "speed", "film", "smoothing")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--shared", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option("--ablation", is_flag=True, help="Ours with one ingredient less instead of other linkers.")
def main(parts: tuple[str, ...], shared: Path, ablation: bool) -> None:
    """Benchmark of the tracker."""
    wanted = parts or (("quality", "film") if ablation else PARTS)
    if {"quality", "gap"} & set(wanted):
        with tempfile.TemporaryDirectory() as timing:
            sets = sets_of(shared, Path(timing))
            if "quality" in wanted:
                click.echo("## Quality\n")
                quality(sets, ablation)
            if "gap" in wanted:
                click.echo("\n## Gap to the oracle\n")
                gap(sets)
    for part, table in (("speed", speed), ("film", film), ("smoothing", smoothing)):
        if part in wanted:
            click.echo(f"\n## {part.capitalize()}\n")
            table()


Sets = dict[str, Callable[[], list[Video]]]


def sets_of(shared: Path, timing: Path) -> Sets:
    """The sets by name; the timing set is written to `timing`."""
    sets: Sets = {
        name: lambda name=name: list(walker_videos(name))
        for name in SETTINGS  # type: ignore[misc]
    }
    goldens = shared / "goldens/eval"
    if goldens.is_dir():
        command = [sys.executable, str(goldens / "gen.py"), "timing", "--out", str(timing)]
        subprocess.run(command, check=True, capture_output=True)
        folders = {"poseval": goldens / "poseval", "real_gt": goldens / "real_gt", "timing": timing}
        for name, folder in folders.items():
            sets[name] = lambda folder=folder: list(golden_videos(folder))  # type: ignore[misc]
    else:
        click.echo(f"{goldens} is not here (--shared): made walkers only\n")
    return sets


def quality(sets: Sets, ablation: bool) -> None:
    """MOTA, IDF1, HOTA and switches of whole people (OKS 0.5)."""
    linkers: dict[str, Linker] = {"OksTracker": ours()}
    if ablation:
        linkers |= {name: ours(**settings) for name, settings in ABLATIONS.items()}
    else:
        linkers |= {"greedy OKS": greedy_oks, **peers()}
        linkers[CONFIDENT_ORACLE] = lambda video: confident_oracle(video, CONFIDENT)
    linkers["oracle"] = oracle
    click.echo("| set | linker | MOTA | IDF1 | HOTA | switches | s |\n|---|---|---|---|---|---|---|")
    every: dict[str, list[tuple[Scores, float]]] = {}
    for name, load in sets.items():
        videos = load()
        for linker_name, linker in linkers.items():
            start = time.process_time()
            answers = [linker(video) for video in videos]
            row = score(videos, answers), time.process_time() - start
            report(name, linker_name, *row)
            every.setdefault(linker_name, []).append(row)
            if linker_name == "OksTracker" and not ablation:
                start = time.process_time()
                passed, answers = zip(*(ours_offline(video) for video in videos), strict=True)
                row = score(list(passed), list(answers)), time.process_time() - start
                report(name, SECOND_PASS, *row)
                every.setdefault(SECOND_PASS, []).append(row)
    for linker_name, rows in every.items():
        figures = [row for row, _ in rows]
        means = {
            name: float(np.mean([getattr(row, name) for row in figures]))
            for name in ("mota", "idf1", "hota", "false_positives", "misses")
        }
        mean = Scores(switches=sum(row.switches for row in figures), **means)
        report("mean, all switches", linker_name, mean, sum(spent for _, spent in rows))


def gap(sets: Sets) -> None:
    """Points of MOTA between OksTracker and the oracle, by what they are lost to."""
    click.echo(
        "| set | oracle | false positives | misses | switches | OksTracker | confident poses that are nobody "
        f"| {CONFIDENT_ORACLE} |\n|---|---|---|---|---|---|---|---|"
    )
    rows = []
    for name, load in sets.items():
        videos = load()
        best, sure, own = (
            score(videos, [linker(video) for video in videos])
            for linker in (oracle, lambda video: confident_oracle(video, CONFIDENT), ours())
        )
        lost = own.false_positives, own.misses - best.misses
        switches = best.mota - own.mota - sum(lost)
        rows.append([best.mota, *lost, switches, own.mota, sure.false_positives, sure.mota])
        click.echo(f"| {name} | " + " | ".join(f"{value:.1f}" for value in rows[-1]) + " |")
    click.echo("| mean | " + " | ".join(f"{value:.1f}" for value in np.mean(rows, axis=0)) + " |")


def report(videos: str, linker: str, figures: Scores, spent: float) -> None:
    """One line of the table."""
    click.echo(
        f"| {videos} | {linker} | {figures.mota:.1f} | {figures.idf1:.1f} | {figures.hota:.1f} "
        f"| {figures.switches} | {spent:.1f} |"
    )


def film() -> None:
    """The stages that need pictures, on made films: hand-held camera, 20 % of the people missed."""
    films = [make_film(number) for number in range(FILMS)]
    click.echo("| stages | MOTA | IDF1 | HOTA | switches |\n|---|---|---|---|---|")
    for name, linker in FILM_LINKERS.items():
        videos, answers = zip(*(linker(film) for film in films), strict=True)
        row = score(list(videos), list(answers))
        click.echo(f"| {name} | {row.mota:.1f} | {row.idf1:.1f} | {row.hota:.1f} | {row.switches} |")


def speed() -> None:
    """CPU time on one core beside OksTracker's, median of three rounds in which all take turns."""
    linkers: dict[str, Linker] = {"OksTracker": ours(), "greedy OKS": greedy_oks, **peers()}
    cells: dict[str, list[str]] = {name: [] for name in linkers}
    for people in (1, 5, 20, 50):
        video = parade(people)
        spent: dict[str, list[float]] = {name: [] for name in linkers}
        for _ in range(3):
            for name, linker in linkers.items():
                start = time.process_time()
                linker(video)
                spent[name].append(time.process_time() - start)
        own = np.array(spent["OksTracker"])
        for name, times in spent.items():
            cells[name].append(f"{np.median(times / own):.1f} times")
        cells["OksTracker"][-1] = f"{len(video.poses) / np.median(own):,.0f} frames/s"
    click.echo("| linker | 1 person | 5 | 20 | 50 |\n|---|---|---|---|---|")
    for name, row in cells.items():
        click.echo(f"| {name} | {' | '.join(row)} |")


def smoothing() -> None:
    """Jitter, lag and error of the smoothers on one walker and on one who stands, noise 1.5 % of the height."""
    click.echo(
        "| smoother | walking: error | jitter | lag, ms | standing: error | jitter |\n|---|---|---|---|---|---|"
    )
    times, height = np.arange(500) / 25, 200.0
    true = one_walker(times, height)
    noise = np.random.default_rng(0).normal(0, 0.015 * height, true.shape)
    still = np.repeat(true[:1], len(true), axis=0)
    methods: dict[str, Callable[[FloatArray], FloatArray]] = {
        "none": lambda noisy: noisy,
        "One-Euro (online)": lambda noisy: _one_euro(noisy, times, height),
        "Savitzky-Golay": lambda noisy: smooth_track("savgol", times, noisy, np.ones(noisy.shape[:2])),
        "Kalman RTS": lambda noisy: smooth_track("kalman", times, noisy, np.ones(noisy.shape[:2])),
        "Butterworth": lambda noisy: smooth_track("butterworth", times, noisy, np.ones(noisy.shape[:2])),
    }
    for name, method in methods.items():
        walking, standing = method(true + noise), method(still + noise)
        click.echo(
            f"| {name} | {_error(walking, true, height):.2f} % | {_jitter(walking - true, height):.2f} % "
            f"| {1000 * _lag(walking, true, times):.0f} | {_error(standing, still, height):.2f} % "
            f"| {_jitter(standing, height):.2f} % |"
        )


def _one_euro(noisy: FloatArray, times: FloatArray, height: float) -> FloatArray:
    smoother = OneEuroSmoother()
    box, ones = np.array([[0.0, 0.0, height / 3, height]]), np.ones((1, noisy.shape[1]))
    rows = zip(noisy, times.tolist(), strict=True)
    return np.array([smoother.smooth(np.array([1]), box, row[None], ones, at)[0] for row, at in rows])


def _error(tracks: FloatArray, true: FloatArray, height: float) -> float:
    """Mean distance from the truth in percent of the body height."""
    return float(100 * np.linalg.norm(tracks - true, axis=2).mean() / height)


def _jitter(tracks: FloatArray, height: float) -> float:
    """Root mean square of the change from frame to frame in percent of the body height."""
    return float(100 * np.sqrt((np.diff(tracks, axis=0) ** 2).sum(axis=2).mean()) / height)


def _lag(tracks: FloatArray, true: FloatArray, times: FloatArray) -> float:
    """Seconds by which the truth must be late to fit `tracks` best (wrists and ankles)."""
    limbs = [0, 5, 6, 11]
    inner = slice(25, -25)
    delays = np.arange(-0.04, 0.121, 0.002)
    off = []
    for delay in delays:
        late = np.stack(
            [
                np.stack(
                    [np.interp(times[inner] - delay, times, true[:, limb, axis]) for axis in (0, 1)], axis=1
                )
                for limb in limbs
            ],
            axis=1,
        )
        off.append(((tracks[inner][:, limbs] - late) ** 2).mean())
    return float(delays[int(np.argmin(off))])


if __name__ == "__main__":
    main()
