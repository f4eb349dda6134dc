"""The options of `posetrack run` for many videos, devices, and the log."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from posetrack_app.cli import main
from posetrack_app.jobs import track_many


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `posetrack run`."""
    monkeypatch.setattr(sys, "argv", ["posetrack", "run", *arguments])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.mp4", "--out", "a.json", "--workers", "2"], "--workers is for many videos; give --out-dir DIR"),
        (["a.mp4", "--out", "a.json", "--max-seconds", "9"], "--max-seconds is for many videos"),
        (["a.mp4", "--out", "a.json", "--device", "cuda:0,cuda:1"], "one video runs on one device"),
        (["a.mp4", "--out-dir", "x", "--overlay", "a.mp4"], "give --overlay-dir DIR for many"),
        (["a.mp4", "--out-dir", "x", "--workers", "many"], "--workers is a number or auto, got 'many'"),
        (["a.mp4", "--out-dir", "x", "--workers", "0"], "must be 1 or more, got 0 (--workers)"),
        (["a.mp4", "--out-dir", "x", "--part", "3/2"], "'3/2' is not a part"),
        (["a.mp4", "--out-dir", "x", "--device", "gpu"], "'gpu' is not one of auto, cpu, cuda, mps or a card"),
        (["a.mp4", "--out-dir", "x", "--max-seconds", "0"], "max_seconds must be above 0, got 0 (--max-seconds)"),
        (["a.mp4", "--out-dir", "x", "--skip-done", "--force"], "choose one (--force)"),
        (["-", "--out-dir", "x", "--workers", "1", "--max-seconds", "5"], "standard input is only for one worker"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_options_reach_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Sequence[str], dict[str, Any]]] = []

    def track_videos(sources: Sequence[str], out_dir: Path, **options: Any) -> list[track_many.Outcome]:
        calls.append((sources, options))
        return []

    monkeypatch.setattr(track_many, "track_videos", track_videos)
    options = ["--workers", "auto", "--device", "cuda:0,cuda:1", "--part", "3/20", "--metrics", "9100"]
    assert run(monkeypatch, "a.mp4", "b.mp4", "--out-dir", str(tmp_path), *options, "--ray") == 0
    assert run(monkeypatch, "a.mp4", "--out-dir", str(tmp_path), "--ray", "head:6379", "--skip-done") == 0
    assert run(monkeypatch, "a.mp4", "--out-dir", str(tmp_path)) == 0
    (sources, first), (_, second), (_, third) = calls
    assert list(sources) == ["a.mp4", "b.mp4"]
    assert first["sharing"] == track_many.Sharing(
        workers=None, devices=["cuda:0", "cuda:1"], part="3/20", ray="", metrics="9100"
    )
    assert (second["sharing"].ray, second["sharing"].workers, second["skip_done"]) == (
        "head:6379",
        None,
        True,
    )
    assert (third["sharing"].ray, third["sharing"].workers) == (None, 1)


def test_the_log_as_json_and_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def track_videos(*_: Any, **__: Any) -> list[track_many.Outcome]:
        logging.getLogger("posetrack").info("1 of 1: done")
        logging.getLogger("posetrack").warning("two\nlines")
        return [track_many.Outcome("a.mp4", tmp_path / "a.json", failure="lost", state="failed")]

    monkeypatch.setattr(track_many, "track_videos", track_videos)
    many = ["a.mp4", "--out-dir", str(tmp_path)]
    assert run(monkeypatch, *many, "--log-format", "json") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [json.loads(line) for line in printed.err.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("info", "1 of 1: done"), ("warning", "two\nlines")
    ]  # fmt: skip
    assert run(monkeypatch, *many, "--quiet") == 2
    assert capsys.readouterr() == ("", "posetrack: two\\nlines\n")
    assert run(monkeypatch, "--out-dir", str(tmp_path), "--log-format", "json") == 2
    assert json.loads(capsys.readouterr().err)["level"] == "error"
