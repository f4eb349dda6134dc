"""Worker processes: crashes, videos that hang, several runs on one folder."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import many_fakes
import numpy as np
import pytest
from killed_run import config, fake_networks

from posetrack_app.core.config import Config
from posetrack_app.core.errors import InputError
from posetrack_app.core.protocols import Networks
from posetrack_app.jobs.journal import journal_file
from posetrack_app.jobs.many import dispatch, processes
from posetrack_app.jobs.many.board import Board
from posetrack_app.jobs.track_many import Outcome, Sharing, exit_code, table, track_videos

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL and forkserver")


@pytest.fixture(autouse=True)
def _quick_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork workers from a process that has imported everything; tests/jobs/test_run_many.py has one with spawn."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["posetrack_app.jobs.many.worker", "decord"]
    )
    monkeypatch.setattr(processes, "_START_METHOD", "forkserver")


def make_folder(path: Path, images: int, corners: dict[int, tuple[int, int, int]] | None = None) -> str:
    """An image folder in which image `number` has the colour `corners[number]` in its corner."""
    path.mkdir(parents=True)
    for number in range(images):
        image = np.full((96, 160, 3), 20 + number, np.uint8)
        image[:16, :16] = (corners or {}).get(number, (255, 255, 255))
        cv2.imwrite(str(path / f"{number:03}.png"), image[..., ::-1])
    return str(path)


def healthy_networks(settings: Config, device: str) -> Networks:
    return fake_networks()


def track(sources: list[str], out_dir: Path, **options: Any) -> list[Outcome]:
    options.setdefault("load", healthy_networks)
    return track_videos(sources, out_dir, config=config(), **options)


def lines(out_dir: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in (out_dir / "summary.jsonl").read_text().splitlines()]
    return {line["tracks_file"]: line for line in found}


def test_a_killed_worker_and_a_video_that_hangs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results equal those of one process, to the byte; each crash costs one retry, a hanging video only itself."""
    sources = [
        make_folder(tmp_path / "kills", 30, {20: many_fakes.GREEN}),
        make_folder(tmp_path / "hangs", 6, {4: many_fakes.BLUE}),
        *(make_folder(tmp_path / f"good{number}", 6 + number) for number in range(3)),
    ]
    healthy = [source for source in sources if "hangs" not in source]
    track(healthy, tmp_path / "one")
    out = tmp_path / "many"
    passed = [0.0]
    monkeypatch.setattr(dispatch, "_now", lambda: time.monotonic() + passed[0])

    def pass_time(board: Board) -> None:
        """When only the video that hangs is left, its time is over."""
        if board.finished == len(sources) - 1:
            passed[0] = 2e6

    outcomes = track(
        sources,
        out,
        sharing=Sharing(workers=2, devices=["cpu"], max_seconds=1e6),
        load=partial(many_fakes.fateful_networks, folder=tmp_path),
        show=pass_time,
    )
    assert [outcome.state for outcome in outcomes] == ["done", "timeout", "done", "done", "done"]
    assert [outcome.retries for outcome in outcomes] == [1, 0, 0, 0, 0]
    for source in healthy:
        name = f"{Path(source).name}.json"
        assert (out / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert journal_file(out / "hangs.json").exists()
    assert not list(out.glob("*.claim"))
    assert json.loads((out / "kills.run.json").read_text())["resumed"] is True
    assert exit_code(outcomes) == 2
    assert "its worker ended (SIGKILL, perhaps out of memory); resuming it" in caplog.text
    assert "FAILED ended after 1e+06 seconds; resume with more time" in table(outcomes)
    assert "30  " in table(outcomes)
    found = lines(out)
    assert found["kills.json"]["retries"] == 1
    assert found["hangs.json"]["state"] == "timeout"
    # With other networks the video goes to its end.
    again = track(sources, out, skip_done=True)
    assert [outcome.state for outcome in again] == ["kept", "done", "kept", "kept", "kept"]
    assert {line["state"] for line in lines(out).values()} == {"done"}


def test_a_video_that_kills_every_worker(tmp_path: Path) -> None:
    (tmp_path / "always").touch()
    sources = [make_folder(tmp_path / "kills", 9, {4: many_fakes.GREEN}), make_folder(tmp_path / "good", 4)]
    boards: list[Board] = []
    outcomes = track(
        sources,
        tmp_path / "out",
        sharing=Sharing(workers=2, devices=["cpu"], summary_page=True),
        load=partial(many_fakes.fateful_networks, folder=tmp_path),
        show=boards.append,
    )
    assert [outcome.state for outcome in outcomes] == ["crashed", "done"]
    assert outcomes[0].failure.startswith("its worker ended 2 times (SIGKILL, perhaps out of memory)")
    assert exit_code(outcomes) == 1
    assert boards[-1].restarts == 2
    page = (tmp_path / "out" / "summary.html").read_text()
    assert page.index('class="crashed"') < page.index('class="done"')


def test_networks_that_cannot_be_loaded(tmp_path: Path) -> None:
    sources = [make_folder(tmp_path / name, 2) for name in ("a", "b")]
    sharing = Sharing(workers=2, devices=["cpu"])
    with pytest.raises(InputError, match="no such weights") as caught:
        track(sources, tmp_path / "out", sharing=sharing, load=many_fakes.refused_networks)
    assert caught.value.option == "device"
    with pytest.raises(InputError, match=r"ended 3 times while it loaded the networks \(exit code 3\)"):
        track(sources, tmp_path / "out", sharing=sharing, load=many_fakes.killed_networks)
    assert not list((tmp_path / "out").glob("*.claim"))


RUN = """
import sys
from pathlib import Path
import killed_run
from posetrack_app.jobs.track_many import track_videos
killed_run.PAUSE_SECONDS = 0.1
track_videos(sys.argv[2:], Path(sys.argv[1]), config=killed_run.config(), load=lambda *_: killed_run.fake_networks())
"""


def test_two_runs_share_a_folder_and_one_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first dies in the middle of its video; the second has done the rest meanwhile, and now finishes it."""
    monkeypatch.setattr(dispatch, "_LOOK_AGAIN_SECONDS", 0.1)
    sources = [make_folder(tmp_path / "long", 150), *(make_folder(tmp_path / f"v{k}", 4) for k in range(3))]
    track(sources, tmp_path / "one")
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen([sys.executable, "-c", RUN, str(out), *sources], env=environment)
    try:
        while not (journal := journal_file(out / "long.json")).exists() or journal.stat().st_size < 5000:
            assert first.poll() is None
            time.sleep(0.01)

        def kill_first(board: Board) -> None:
            if board.finished == 3:
                first.kill()
                first.wait()

        outcomes = track(sources, out, skip_done=True, show=kill_first)
    finally:
        first.kill()
        first.wait()
    assert [outcome.state for outcome in outcomes] == ["done"] * 4
    assert json.loads((out / "long.run.json").read_text())["resumed"] is True
    for source in sources:
        name = f"{Path(source).name}.json"
        assert (out / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert not list(out.glob("*.claim"))
    assert len(lines(out)) == 4


def test_parts_share_the_names_of_the_whole_list(tmp_path: Path) -> None:
    sources = [make_folder(tmp_path / camera / "0001", 2) for camera in ("a", "b", "c")]
    for part in ("1/2", "2/2"):
        outcomes = track(sources, tmp_path / "out", sharing=Sharing(part=part))
        assert len(outcomes) == (2 if part == "1/2" else 1)
    assert sorted(lines(tmp_path / "out")) == ["a/0001.json", "b/0001.json", "c/0001.json"]


def test_overlays_of_many(tmp_path: Path) -> None:
    sources = [make_folder(tmp_path / camera / "0001", 3) for camera in ("a", "b")]
    overlays = tmp_path / "drawn"
    track(sources, tmp_path / "out", overlay_dir=overlays)
    assert sorted(file.relative_to(overlays).as_posix() for file in overlays.rglob("*.mp4")) == [
        "a/0001.mp4", "b/0001.mp4"
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"0001\.mp4"):
        track(sources, tmp_path / "other", overlay_dir=overlays)
