"""Many videos in one run: what they are, where they go, and what a failure does to the others."""

from __future__ import annotations

import json
import ntpath
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path, PureWindowsPath
from typing import Any

import cv2
import killed_run
import numpy as np
import pytest

from posetrack_app import run_many
from posetrack_app.config import Config
from posetrack_app.errors import InputError
from posetrack_app.formats import read_tracks
from posetrack_app.journal import journal_file
from posetrack_app.sources import below_common_folder, check_targets, expand_sources, output_files


def make_folder(path: Path, pictures: int = 3) -> None:
    path.mkdir(parents=True)
    for number in range(pictures):
        cv2.imwrite(str(path / f"{number}.png"), np.full((96, 160, 3), 40 * number, np.uint8))


@pytest.mark.parametrize(
    ("sources", "outs"),
    [
        (["a.mp4", "b/c.mp4"], ["a.json", "c.json"]),
        (["cam1/0001.mp4", "cam2/0001.mp4"], ["cam1/0001.json", "cam2/0001.json"]),
        (["a.mp4", "a.avi"], ["a.mp4.json", "a.avi.json"]),
        (["a.mp4", "a.run.mp4"], ["a.mp4.json", "a.run.mp4.json"]),
        (["a.mp4", "a.partial.mp4"], ["a.mp4.json", "a.partial.mp4.json"]),
        (["rtsp://user:secret@host/live?key=1", "-"], ["host_live.json", "stdin.json"]),
        (["webcam:0"], ["webcam_0.json"]),
        (["https://h/x.m3u8?token=s3cret"], ["h_x_m3u8.json"]),
        ([f"https://h/x.mp4?{'sign' * 100}"], ["h_x_mp4.json"]),
        ([f"https://h/{'folder' * 60}/x.mp4"], [f"h_{'folder' * 60}"[:100] + ".json"]),
        (["rtsp://h/a?k=1", "rtsp://h/a?k=2"], ["h_a_d5b5191e.json", "h_a_2d6b8d8f.json"]),
    ],
)
def test_every_source_has_its_own_file(sources: list[str], outs: list[str]) -> None:
    assert output_files(sources, Path("out")) == [Path("out") / name for name in outs]


def test_videos_on_two_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "commonpath", ntpath.commonpath)
    videos = [PureWindowsPath(name) for name in (r"C:\match\1.mp4", r"D:\match\1.mp4", r"\\nas\films\2.mp4")]
    assert [path.as_posix() for path in below_common_folder(videos)] == [
        "C/match/1.mp4",
        "D/match/1.mp4",
        "nas_films/2.mp4",
    ]
    assert [path.as_posix() for path in below_common_folder(videos[:1])] == ["1.mp4"]


def test_the_same_video_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="named twice"):
        output_files([str(tmp_path / "a.mp4"), str(tmp_path / "x" / ".." / "a.mp4")], tmp_path)


def test_patterns_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.mp4", "a.mp4", "odd[1].mp4", "sub/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("\ufeff# two\n\nsub/c.mp4\nwebcam:0\n", encoding="utf-8")
    found = expand_sources(["?.mp4", "odd[1].mp4", "missing.mp4"], tmp_path / "list.txt")
    assert found == ["a.mp4", "b.mp4", "odd[1].mp4", "missing.mp4", os.path.join("sub", "c.mp4"), "webcam:0"]
    assert expand_sources(["**/c.mp4"]) == [os.path.join("sub", "c.mp4")]


def test_two_videos_that_would_write_one_file() -> None:
    with pytest.raises(InputError, match=r"would both write out.a\.mp4\.run\.json"):
        output_files(["a.mp4", "a.mov", "a.mp4.run"], Path("out"))


def test_targets_are_not_written_over(tmp_path: Path) -> None:
    outs, sources = [tmp_path / "a.json", tmp_path / "b.json"], ["a.mp4", "b.mp4"]
    check_targets(sources, outs)
    outs[1].touch()
    with pytest.raises(InputError, match=r"b\.json: exists already.*--resume to do only the others"):
        check_targets(sources, outs)
    check_targets(sources, outs, resume=True)
    check_targets(sources, outs, force=True)
    journal_file(outs[0]).touch()
    with pytest.raises(InputError, match="was stopped, or still goes on; add --resume"):
        check_targets(sources, outs)


@pytest.mark.parametrize("name", ["t.run.json", "t.partial.json", "overlay.mp4", "overlay.partial.mp4"])
@pytest.mark.parametrize("resume", [True, False])
def test_what_else_a_run_writes_is_not_written_over(tmp_path: Path, name: str, resume: bool) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"{name}: exists already"):
        check_targets(["a.mp4"], [tmp_path / "t.json"], tmp_path / "overlay.mp4", resume=resume)
    check_targets(["a.mp4"], [tmp_path / "t.json"], tmp_path / "overlay.mp4", force=True)


def test_the_video_itself_is_never_written_over(tmp_path: Path) -> None:
    video, out = tmp_path / "a.mp4", tmp_path / "t.json"
    video.touch()
    (tmp_path / "link.mp4").symlink_to(video)
    for target in ("a.mp4", "link.mp4"):
        with pytest.raises(InputError, match="is the video itself"):
            check_targets([str(video)], [out], tmp_path / target, force=True)
    kept = tmp_path / "a.partial.mp4"
    kept.touch()
    with pytest.raises(InputError, match="is the video itself"):
        check_targets([str(kept)], [out], tmp_path / "a.mp4", force=True)
    with pytest.raises(InputError, match="is another file of this run"):
        check_targets([str(video)], [out], out, force=True)
    with pytest.raises(InputError, match=r"x.resume: this ending is of files that a run keeps"):
        check_targets([str(video)], [tmp_path / "x.resume"], force=True)


def track(
    tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[Any, list[str]]:
    loaded: list[str] = []
    monkeypatch.setattr(
        run_many, "build_parts", lambda config, device: loaded.append(device) or killed_run.fake_parts()
    )
    said: list[str] = []
    sources = [str(tmp_path / name) for name in names]
    outs = output_files(sources, tmp_path / "out")
    outcomes = run_many.track_videos(
        sources,
        outs,
        config=Config(),
        progress=lambda: nullcontext(lambda *_: None),
        say=said.append,
        **options,
    )
    assert loaded == ["auto"]  # once, whatever happens
    return outcomes, said


def test_one_failure_does_not_stop_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "first")
    (tmp_path / "broken.mp4").write_text("no video")
    make_folder(tmp_path / "last", 4)
    outcomes, said = track(tmp_path, ["first", "broken.mp4", "last"], monkeypatch)
    assert [outcome.report is not None for outcome in outcomes] == [True, False, True]
    assert len(read_tracks(tmp_path / "out" / "last.json").frames) == 4
    assert run_many.exit_code(outcomes) == 2
    table = run_many.table(outcomes)
    assert "FAILED" in table.splitlines()[2]
    assert "not a video" in table.splitlines()[2]
    assert table.endswith("3 videos: 2 done, 1 failed")
    assert len(said) == 3


def test_an_error_of_ours_is_shown_and_costs_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path / "first")
    make_folder(tmp_path / "last")
    detect = killed_run.WanderingDetector.__call__
    calls: list[int] = []

    def fail_once(self: Any, images: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("a mistake\nof two lines")
        return detect(self, images)

    monkeypatch.setattr(killed_run.WanderingDetector, "__call__", fail_once)
    outcomes, _ = track(tmp_path, ["first", "last"], monkeypatch)
    assert [outcome.report is not None for outcome in outcomes] == [False, True]
    assert run_many.table(outcomes).splitlines()[1].endswith("ZeroDivisionError: a mistake of two lines")
    assert run_many.exit_code(outcomes) == 1
    assert "Traceback" in capsys.readouterr().err


def test_resume_leaves_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "a")
    make_folder(tmp_path / "b")
    track(tmp_path, ["a"], monkeypatch)
    before = (tmp_path / "out" / "a.json").stat().st_mtime_ns
    outcomes, _ = track(tmp_path, ["a", "b"], monkeypatch, resume=True)
    assert (tmp_path / "out" / "a.json").stat().st_mtime_ns == before
    assert run_many.exit_code(outcomes) == 0
    assert "done" in run_many.table(outcomes).splitlines()[1]
    outcomes, _ = track(tmp_path, ["a"], monkeypatch, resume=True, stride=2)
    assert "made with another span" in outcomes[0].failure
    picture = tmp_path / "a" / "0.png"
    picture.write_bytes(picture.read_bytes() + b" ")
    outcomes, _ = track(tmp_path, ["a"], monkeypatch, resume=True)
    assert "made with another video" in outcomes[0].failure


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_pictures_whose_names_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "a")
    (tmp_path / "a" / "0.png").rename(os.fsdecode(os.fsencode(tmp_path / "a") + b"/0\xff.png"))
    outcomes, _ = track(tmp_path, ["a"], monkeypatch)
    assert outcomes[0].report is not None
    assert read_tracks(outcomes[0].out).frames[0].file_name == "0\ufffd.png"


def test_the_table_holds_no_secrets(tmp_path: Path) -> None:
    outcome = run_many.Outcome("rtsp://user:secret@host/live", tmp_path / "live.json", failure="gone")
    assert run_many.table([outcome]).splitlines()[1].startswith("rtsp://host/live ")


def test_the_command(tmp_path: Path) -> None:
    """With the embedded networks, as a user calls it."""
    make_folder(tmp_path / "a", 1)
    (tmp_path / "b.mp4").write_text("no video")
    command = [
        sys.executable,
        "-m",
        "posetrack_app",
        "run",
        "a",
        "b.mp4",
        "--out-dir",
        "out",
        "--device",
        "cpu",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert "2 videos: 1 done, 1 failed" in ended.stdout
    assert "Traceback" not in ended.stderr
    assert json.loads((tmp_path / "out" / "a.json").read_text())["info"]["frames"] == 1
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.json", "a.run.json"]
