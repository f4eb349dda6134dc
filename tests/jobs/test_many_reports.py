"""What a run over many videos reports: the summary, the metrics, and the progress of all workers."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from posetrack_app.cli.progress import show_workers, workers_table
from posetrack_app.core.errors import InputError
from posetrack_app.jobs.many.board import Board, Row
from posetrack_app.jobs.many.metrics import metrics_text, parse_address, serve_metrics
from posetrack_app.jobs.many.summary import Summary
from posetrack_app.jobs.many.worker import Outcome
from posetrack_app.jobs.track import TrackReport


def done(out_dir: Path, name: str, frames: int = 10) -> Outcome:
    report = TrackReport(
        out_dir / f"{name}.json", frames, 3, 2.0, {"decode": 0.5, "detect": 1.5}, [], "decord 3, CPU"
    )
    return Outcome(
        f"videos/{name}.mp4", report.out, report, state="done", retries=1, worker="host:7", device="cpu"
    )


def failed(out_dir: Path, name: str, state: str = "failed") -> Outcome:
    return Outcome(f"{name}.mp4", out_dir / f"{name}.json", failure="not a video <b>", state=state)


def read(out_dir: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out_dir / "summary.jsonl").read_text().splitlines()]


def test_two_runs_write_one_summary(tmp_path: Path) -> None:
    """As on two machines that share a folder: each finds the lines of the other."""
    one, two = Summary(tmp_path), Summary(tmp_path)
    one.add(failed(tmp_path, "b"))
    two.add(done(tmp_path, "a"))
    one.add(failed(tmp_path, "c"))
    two.add(done(tmp_path, "b"))
    one.merge()
    lines = read(tmp_path)
    assert [(line["tracks_file"], line["state"]) for line in lines] == [
        ("a.json", "done"), ("b.json", "done"), ("c.json", "failed")
    ]  # fmt: skip
    assert lines[0]["stage_seconds"] == {"decode": 0.5, "detect": 1.5}
    assert (lines[0]["decoder"], lines[0]["retries"], lines[0]["error"]) == ("decord 3, CPU", 1, "")
    assert lines[2]["error"] == "not a video <b>"


def test_a_kept_video_keeps_its_line(tmp_path: Path) -> None:
    """Of the run that did the work, also if that was another one at the same time."""
    Summary(tmp_path).add(done(tmp_path, "a"))
    again, other = Summary(tmp_path), Summary(tmp_path)
    kept = [Outcome(f"{name}.mp4", tmp_path / f"{name}.json", state="kept") for name in "abc"]
    other.add(done(tmp_path, "b"))
    for outcome in kept:
        again.add(outcome)
    again.merge()
    assert [(line["state"], line["frames"]) for line in read(tmp_path)] == [
        ("done", 10),
        ("done", 10),
        ("kept", 0),
    ]


def test_half_a_line_of_a_killed_run_is_left_out(tmp_path: Path) -> None:
    summary = Summary(tmp_path)
    summary.add(done(tmp_path, "a"))
    (tmp_path / ".posetrack" / "0-other-1.jsonl").write_text('{"video": "b.mp4", "tra')
    summary.merge()
    assert len(read(tmp_path)) == 1


def test_the_page_shows_failed_videos_first_and_escapes_names(tmp_path: Path) -> None:
    summary = Summary(tmp_path)
    for outcome in (done(tmp_path, "a"), failed(tmp_path, "b<i>", "timeout"), failed(tmp_path, "c")):
        summary.add(outcome)
    page = summary.write_page().read_text()
    assert "<h1>3 videos: 1 done, 1 failed, 1 timeout</h1>" in page
    assert page.index('class="timeout"') < page.index('class="failed"') < page.index('class="done"')
    assert "not a video &lt;b&gt;" in page
    assert "b&lt;i&gt;.mp4" in page


def board(tmp_path: Path) -> Board:
    state = Board(20, [Row("long.mp4", done=40, expected=100, people=5), Row()])
    state.add(done(tmp_path, "a"))
    state.add(failed(tmp_path, "b"))
    return state


def test_metrics(tmp_path: Path) -> None:
    lines = metrics_text(board(tmp_path)).splitlines()
    for line in (
        "posetrack_videos 20",
        'posetrack_videos_finished_total{state="done"} 1',
        'posetrack_videos_finished_total{state="crashed"} 0',
        "posetrack_frames_total 10",
        "posetrack_frames_running 40",
        'posetrack_workers{state="busy"} 1',
        'posetrack_stage_seconds_total{stage="detect"} 1.5',
    ):
        assert line in lines
    names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
    assert names == {line.split()[2] for line in lines if line.startswith("# TYPE")}


def test_metrics_are_served_on_this_machine(tmp_path: Path) -> None:
    with serve_metrics(board(tmp_path), "0") as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert "posetrack_videos 20" in answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        caught.value.close()
        with pytest.raises(InputError, match="cannot be served"), serve_metrics(board(tmp_path), str(port)):
            pass


@pytest.mark.parametrize(
    ("text", "address"),
    [("9100", ("127.0.0.1", 9100)), ("0.0.0.0:9100", ("0.0.0.0", 9100)), ("node7:80", ("node7", 80))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address
    for wrong in ("x", "70000", ":1:2", ""):
        with pytest.raises(InputError, match="is not a port"):
            parse_address(wrong)


def test_progress_of_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    screen = Console(file=io.StringIO(), width=120)
    screen.print(workers_table(board(tmp_path)))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "2/20" in text
    assert "40/100" in text
    assert "5 people  long.mp4" in text
    monkeypatch.setattr("posetrack_app.cli.progress.LINE_EVERY_SECONDS", 0.0)
    stream = io.StringIO()
    with show_workers(stream) as show:
        show(board(tmp_path))
    assert stream.getvalue().startswith("2 of 20 videos, ")
    assert stream.getvalue().endswith("1 done, 1 failed; now long.mp4 40 of 100\n")
