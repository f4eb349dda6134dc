"""300 short videos in one run: memory, threads and open files stay flat."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import killed_run
import pytest
from clips import write_clip

from posetrack_app.core.config import Config
from posetrack_app.core.protocols import Networks
from posetrack_app.jobs.many.board import Board
from posetrack_app.jobs.track_many import exit_code, track_videos

VIDEOS = 300


def usage() -> tuple[float, int, int]:
    """Megabytes in memory, threads, and open files of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        pages * resource.getpagesize() / 1e6,
        len(os.listdir("/proc/self/task")),
        len(os.listdir("/proc/self/fd")),
    )


def healthy_networks(settings: Config, device: str) -> Networks:
    return killed_run.fake_networks()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_threads_and_files_stay_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killed_run, "PAUSE_SECONDS", 0.0)
    write_clip(tmp_path / "clip.mp4", times=3)
    sources = []
    for number in range(VIDEOS):
        (tmp_path / f"v{number:03}.mp4").symlink_to(tmp_path / "clip.mp4")
        sources.append(str(tmp_path / f"v{number:03}.mp4"))
    measured: dict[int, tuple[float, int, int]] = {}

    def measure(board: Board) -> None:
        if board.finished in (100, VIDEOS - 1) and not board.rows[0].done:
            measured.setdefault(board.finished, usage())

    outcomes = track_videos(
        sources, tmp_path / "out", config=killed_run.config(), load=healthy_networks, show=measure
    )
    assert exit_code(outcomes) == 0
    assert len((tmp_path / "out" / "summary.jsonl").read_text().splitlines()) == VIDEOS
    (early, early_threads, early_files), (late, late_threads, late_files) = measured.values()
    # Decoder threads of the moment come and go; a leak would add one for each of 199 videos.
    assert late_threads <= early_threads + 16
    assert late_files <= early_files + 16
    assert late - early < 30, f"{early:.0f} to {late:.0f} MB"
