"""Quality and speed of linkers side by side: ours, its ablations, others', and the oracle.

    python scripts/benchmark_tracker.py quality  [--shared ../shared] [--timing DIR] [--ablation]
    python scripts/benchmark_tracker.py speed
    python scripts/benchmark_tracker.py smoothing

Others are run where they are installed: pip install norfair trackers. DIR holds the set that
`python ../shared/goldens/eval/gen.py timing --out DIR` writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from posetrack_trackers import Motion, OksTracker
from tracking_peers import Linker, greedy_oks, peers
from tracking_scores import oracle, score
from tracking_sets import SETTINGS, SIGMAS, Video, golden_videos, parade, walker_videos

from posetrack_app.records import IntArray


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


ABLATIONS: dict[str, dict[str, Any]] = {
    "greedy instead of Hungarian": {"matching": "greedy"},
    "boxes only": {"box_weight": 1e6},
    "keypoints only": {"box_weight": 1e-6},
    "no second round": {"weak": 0.5},
    "no motion": {"motion": Motion(body_seconds=1e-3, limb_seconds=1e-3)},
    "limbs stiff": {"motion": Motion(limb_seconds=1e-3)},
    "1 confirmation": {"confirmations": 1},
    "patience 0.3 s": {"patience_seconds": 0.3},
    "duplicates born": {"duplicate_similarity": 2.0},
}


@click.group()
def main() -> None:
    """Benchmark of the tracker."""


@main.command()
@click.option("--shared", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option("--timing", type=click.Path(path_type=Path), help="Folder with the timing set.")
@click.option("--ablation", is_flag=True, help="Ours with one ingredient less instead of other linkers.")
def quality(shared: Path, timing: Path | None, ablation: bool) -> None:
    """MOTA, IDF1, HOTA and switches of whole people (OKS 0.5)."""
    sets: dict[str, Callable[[], list[Video]]] = {
        name: lambda name=name: list(walker_videos(name))
        for name in SETTINGS  # type: ignore[misc]
    }
    for folder in ("poseval", "real_gt"):
        if (shared / "goldens/eval" / folder).is_dir():
            sets[folder] = lambda folder=folder: list(golden_videos(shared / "goldens/eval" / folder))  # type: ignore[misc]
    if timing:
        sets["timing"] = lambda: list(golden_videos(timing))
    linkers: dict[str, Linker] = {"OksTracker": ours()}
    if ablation:
        linkers |= {name: ours(**settings) for name, settings in ABLATIONS.items()}
    else:
        linkers |= {"greedy OKS": greedy_oks, **peers()}
    linkers["oracle"] = oracle
    click.echo("| set | linker | MOTA | IDF1 | HOTA | switches | s |\n|---|---|---|---|---|---|---|")
    for name, load in sets.items():
        videos = load()
        for linker_name, linker in linkers.items():
            start = time.process_time()
            answers = [linker(video) for video in videos]
            spent = time.process_time() - start
            figures = score(videos, answers)
            click.echo(
                f"| {name} | {linker_name} | {figures.mota:.1f} | {figures.idf1:.1f} | {figures.hota:.1f} "
                f"| {figures.switches} | {spent:.1f} |"
            )


@main.command()
def speed() -> None:
    """Frames a second on one core, by CPU time, best of three."""
    click.echo("| linker | 1 person | 5 | 20 | 50 |\n|---|---|---|---|---|")
    videos = [parade(people) for people in (1, 5, 20, 50)]
    linkers: dict[str, Linker] = {"OksTracker": ours(), "greedy OKS": greedy_oks, **peers()}
    for name, linker in linkers.items():
        cells = []
        for video in videos:
            spent = []
            for _ in range(3):
                start = time.process_time()
                linker(video)
                spent.append(time.process_time() - start)
            cells.append(f"{len(video.poses) / min(spent):,.0f}")
        click.echo(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
