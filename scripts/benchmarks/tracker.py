"""Accuracy and speed of OksTracker, its ablations, other linkers, and an oracle, side by side.

    python scripts/benchmarks/tracker.py [quality|gap|speed|rendered|smoothing] [--shared ../shared] [--ablation]

Without a part, all are printed. Other linkers run if they are installed: pip install norfair trackers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from posetrack_trackers import Motion, OksTracker
from tracking_peers import HIGH_SCORE, Linker, greedy_oks, peers
from tracking_rendered import render_video
from tracking_rendered_linkers import RENDERED_LINKERS
from tracking_scores import Scores, high_score_oracle, oracle, score
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

from posetrack_app.core.config import SecondPassConfig
from posetrack_app.core.records import FloatArray, IntArray
from posetrack_app.pipeline.second_pass.second_pass import second_pass
from posetrack_app.pipeline.second_pass.smooth_tracks import smooth_track
from posetrack_app.pipeline.smooth import OneEuroSmoother


def ours(**settings: Any) -> Linker:
    """OksTracker with `settings`; a confirmed track also gets its id in its first frames."""

    def link(video: Video) -> list[IntArray]:
        tracker = OksTracker(sigmas=SIGMAS, **settings)
        all_ids: list[IntArray] = []
        for poses, seconds in zip(video.poses, video.seconds, strict=True):
            links = tracker.update(poses.boxes, poses.scores, poses.keypoints, poses.keypoint_scores, seconds)
            all_ids.append(links.ids)
            for frames_ago, row, number in links.earlier:
                all_ids[-1 - frames_ago][row] = number
        for frames_ago, row, number in tracker.finish().earlier:
            all_ids[-1 - frames_ago][row] = number
        return all_ids

    return link


def ours_with_second_pass(video: Video) -> tuple[Video, list[IntArray]]:
    """OksTracker and the second pass: the video with filled gaps, and its ids."""
    linked = zip(video.poses, ours()(video), strict=True)
    frames = [poses[ids > 0].with_ids(ids[ids > 0]) for poses, ids in linked]
    tracked = second_pass(np.array(video.seconds), frames, SKELETON, SecondPassConfig(smoothing="none"))
    return replace(video, poses=tracked), [people.ids for people in tracked]


ABLATIONS: dict[str, dict[str, Any]] = {
    "greedy instead of Hungarian": {"matching": "greedy"},
    "boxes only": {"box_weight": 1e6},
    "keypoints only": {"box_weight": 1e-6},
    "no low-score poses": {"low_score": 0.5},
    "no motion model": {"motion": Motion(body_seconds=1e-3, limb_seconds=1e-3)},
    "stiff limbs": {"motion": Motion(limb_seconds=1e-3)},
    "1 confirmation": {"confirmations": 1},
    "patience 0.3 s": {"patience_seconds": 0.3},
    "lost tracks with full priority": {"stale": 0.0},
    "duplicates start tracks": {"duplicate_similarity": 2.0},
}

SECOND_PASS = "OksTracker, second pass"
HIGH_SCORE_ORACLE = "oracle on high-score poses"
RENDERED_VIDEOS = 4

PARTS = ("quality", "gap", "speed", "rendered", "smoothing")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--shared", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option(
    "--ablation", is_flag=True, help="OksTracker without one of its ingredients, instead of other linkers."
)
def main(parts: tuple[str, ...], shared: Path, ablation: bool) -> None:
    """Benchmark the tracker; without PARTS, run all of them."""
    wanted = parts or (("quality", "rendered") if ablation else PARTS)
    if {"quality", "gap"} & set(wanted):
        with tempfile.TemporaryDirectory() as timing:
            sets = sets_of(shared, Path(timing))
            if "quality" in wanted:
                click.echo("## Quality\n")
                quality(sets, ablation)
            if "gap" in wanted:
                click.echo("\n## Gap to the oracle\n")
                gap(sets)
    for part, table in (("speed", speed), ("rendered", rendered), ("smoothing", smoothing)):
        if part in wanted:
            click.echo(f"\n## {part.capitalize()}\n")
            table()


Sets = dict[str, Callable[[], Iterable[Video]]]


def sets_of(shared: Path, timing: Path) -> Sets:
    """Functions that load the sets, by name. The timing set is written to the folder `timing`."""
    sets: Sets = {name: partial(walker_videos, name) for name in SETTINGS}
    goldens = shared / "goldens/eval"
    if goldens.is_dir():
        command = [sys.executable, str(goldens / "gen.py"), "timing", "--out", str(timing)]
        subprocess.run(command, check=True, capture_output=True)
        folders = {"poseval": goldens / "poseval", "real_gt": goldens / "real_gt", "timing": timing}
        for name, folder in folders.items():
            sets[name] = partial(golden_videos, folder)
    else:
        click.echo(f"{goldens} not found, using synthetic walkers only; see --shared\n")
    return sets


def quality(sets: Sets, ablation: bool) -> None:
    """MOTA, IDF1, HOTA and id switches of people, matched at OKS 0.5."""
    linkers: dict[str, Linker] = {"OksTracker": ours()}
    if ablation:
        linkers |= {name: ours(**settings) for name, settings in ABLATIONS.items()}
    else:
        linkers |= {"greedy OKS": greedy_oks, **peers()}
        linkers[HIGH_SCORE_ORACLE] = lambda video: high_score_oracle(video, HIGH_SCORE)
    linkers["oracle"] = oracle
    click.echo("| set | linker | MOTA | IDF1 | HOTA | switches | s |\n|---|---|---|---|---|---|---|")
    rows_of: dict[str, list[tuple[Scores, float]]] = {}
    for name, load in sets.items():
        videos = list(load())
        for linker_name, linker in linkers.items():
            start = time.process_time()
            ids = [linker(video) for video in videos]
            row = score(videos, ids), time.process_time() - start
            report(name, linker_name, *row)
            rows_of.setdefault(linker_name, []).append(row)
            if linker_name == "OksTracker" and not ablation:
                start = time.process_time()
                tracked, tracked_ids = zip(*map(ours_with_second_pass, videos), strict=True)
                row = score(list(tracked), list(tracked_ids)), time.process_time() - start
                report(name, SECOND_PASS, *row)
                rows_of.setdefault(SECOND_PASS, []).append(row)
    for linker_name, rows in rows_of.items():
        figures = [row for row, _ in rows]
        means = {
            name: float(np.mean([getattr(row, name) for row in figures]))
            for name in ("mota", "idf1", "hota", "false_positives", "misses")
        }
        mean = Scores(switches=sum(row.switches for row in figures), **means)
        report("mean, all switches", linker_name, mean, sum(spent for _, spent in rows))


def gap(sets: Sets) -> None:
    """Points of MOTA that OksTracker loses to the oracle, by cause."""
    click.echo(
        "| set | oracle | false positives | misses | switches | OksTracker | high-score false positives "
        f"| {HIGH_SCORE_ORACLE} |\n|---|---|---|---|---|---|---|---|"
    )
    rows = []
    for name, load in sets.items():
        videos = list(load())
        best, high, own = (
            score(videos, [linker(video) for video in videos])
            for linker in (oracle, lambda video: high_score_oracle(video, HIGH_SCORE), ours())
        )
        lost = own.false_positives, own.misses - best.misses
        switches = best.mota - own.mota - sum(lost)
        rows.append([best.mota, *lost, switches, own.mota, high.false_positives, high.mota])
        click.echo(f"| {name} | " + " | ".join(f"{value:.1f}" for value in rows[-1]) + " |")
    click.echo("| mean | " + " | ".join(f"{value:.1f}" for value in np.mean(rows, axis=0)) + " |")


def report(videos: str, linker: str, figures: Scores, spent: float) -> None:
    """One line of the table."""
    click.echo(
        f"| {videos} | {linker} | {figures.mota:.1f} | {figures.idf1:.1f} | {figures.hota:.1f} "
        f"| {figures.switches} | {spent:.1f} |"
    )


def rendered() -> None:
    """The stages that need images, on rendered videos: hand-held camera, 20 % of the people missed."""
    videos = [render_video(number) for number in range(RENDERED_VIDEOS)]
    click.echo("| stages | MOTA | IDF1 | HOTA | switches |\n|---|---|---|---|---|")
    for name, linker in RENDERED_LINKERS.items():
        linked, ids = zip(*(linker(video) for video in videos), strict=True)
        row = score(list(linked), list(ids))
        click.echo(f"| {name} | {row.mota:.1f} | {row.idf1:.1f} | {row.hota:.1f} | {row.switches} |")


def speed() -> None:
    """CPU time on one core relative to OksTracker: median of three rounds in which the linkers take turns."""
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
    """Error, jitter and lag of the smoothers on a walking and a standing person, noise 1.5 % of the height."""
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
    """Mean distance from the true keypoints in percent of the body height."""
    return float(100 * np.linalg.norm(tracks - true, axis=2).mean() / height)


def _jitter(tracks: FloatArray, height: float) -> float:
    """Root mean square change from frame to frame in percent of the body height."""
    return float(100 * np.sqrt((np.diff(tracks, axis=0) ** 2).sum(axis=2).mean()) / height)


def _lag(tracks: FloatArray, true: FloatArray, times: FloatArray) -> float:
    """Delay of the true wrists and ankles, in seconds, that fits `tracks` best."""
    limbs = [0, 5, 6, 11]
    inner = slice(25, -25)
    delays = np.arange(-0.04, 0.121, 0.002)
    errors = []
    for delay in delays:
        delayed = np.stack(
            [
                np.stack(
                    [np.interp(times[inner] - delay, times, true[:, limb, axis]) for axis in (0, 1)], axis=1
                )
                for limb in limbs
            ],
            axis=1,
        )
        errors.append(((tracks[inner][:, limbs] - delayed) ** 2).mean())
    return float(delays[int(np.argmin(errors))])


if __name__ == "__main__":
    main()
