"""`posetrack run` for many videos: sources, output files, and failures."""

from __future__ import annotations

import json
import logging
import ntpath
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import cv2
import killed_run
import numpy as np
import pytest
from numpy.typing import NDArray

from posetrack_app.core.config import Config
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import try_lock
from posetrack_app.core.protocols import Networks
from posetrack_app.core.records import FloatArray
from posetrack_app.formats import read_tracks
from posetrack_app.jobs import track_many
from posetrack_app.jobs.inputs import expand_sources
from posetrack_app.jobs.journal import journal_file
from posetrack_app.jobs.outputs import below_common_folder, check_targets, output_files


def make_folder(path: Path, images: int = 3) -> None:
    path.mkdir(parents=True)
    for number in range(images):
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
def test_every_source_has_its_own_output_file(sources: list[str], outs: list[str]) -> None:
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
    with pytest.raises(InputError, match="listed twice"):
        output_files([str(tmp_path / "a.mp4"), str(tmp_path / "x" / ".." / "a.mp4")], tmp_path)


def test_patterns_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.mp4", "a.mp4", "odd[1].mp4", "sub/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("\ufeff# two\n\nsub/c.mp4\nwebcam:0\n", encoding="utf-8")
    found = expand_sources(["?.mp4", "odd[1].mp4", "missing.mp4"], tmp_path / "list.txt")
    listed = str(tmp_path / "sub" / "c.mp4")
    assert found == ["a.mp4", "b.mp4", "odd[1].mp4", "missing.mp4", listed, "webcam:0"]
    assert expand_sources(["**/c.mp4"]) == [os.path.join("sub", "c.mp4")]


def test_two_videos_that_would_write_the_same_file() -> None:
    with pytest.raises(InputError, match=r"would both write out.a\.mp4\.run\.json"):
        output_files(["a.mp4", "a.mov", "a.mp4.run"], Path("out"))


def test_existing_outputs_are_refused(tmp_path: Path) -> None:
    outs, sources = [tmp_path / "a.json", tmp_path / "b.json"], ["a.mp4", "b.mp4"]
    check_targets(sources, outs)
    outs[1].touch()
    with pytest.raises(
        InputError,
        match=r"b\.json already exists; choose another folder, resume to track only the other videos",
    ):
        check_targets(sources, outs)
    check_targets(sources, outs, resume=True)
    check_targets(sources, outs, force=True)
    journal_file(outs[0]).touch()
    with pytest.raises(InputError, match="was stopped, or is still running; resume a stopped one"):
        check_targets(sources, outs)


@pytest.mark.parametrize("name", ["t.run.json", "t.partial.json", "overlay.mp4", "overlay.partial.mp4"])
@pytest.mark.parametrize("resume", [True, False])
def test_other_files_of_a_run_are_not_overwritten(tmp_path: Path, name: str, resume: bool) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"{name} already exists"):
        check_targets(["a.mp4"], [tmp_path / "t.json"], [tmp_path / "overlay.mp4"], resume=resume)
    check_targets(["a.mp4"], [tmp_path / "t.json"], [tmp_path / "overlay.mp4"], force=True)


def test_the_video_itself_is_never_overwritten(tmp_path: Path) -> None:
    video, out = tmp_path / "a.mp4", tmp_path / "t.json"
    video.touch()
    (tmp_path / "link.mp4").symlink_to(video)
    for target in ("a.mp4", "link.mp4"):
        with pytest.raises(InputError, match="is the video itself"):
            check_targets([str(video)], [out], [tmp_path / target], force=True)
    kept = tmp_path / "a.partial.mp4"
    kept.touch()
    with pytest.raises(InputError, match="is the video itself"):
        check_targets([str(kept)], [out], [tmp_path / "a.mp4"], force=True)
    with pytest.raises(InputError, match="is another file of this run"):
        check_targets([str(video)], [out], [out], force=True)
    with pytest.raises(InputError, match=r"x.resume: this ending is reserved for files beside the tracks"):
        check_targets([str(video)], [tmp_path / "x.resume"], force=True)


def track(
    tmp_path: Path,
    names: list[str],
    detector: killed_run.HashDetector | None = None,
    **options: Any,
) -> list[track_many.Outcome]:
    """Track files of `tmp_path` into its folder "out" with fake networks, which must be loaded only once."""
    loaded: list[str] = []

    def load(config: Config, device: str) -> Networks:
        loaded.append(device)
        return killed_run.fake_networks(detector)

    sources = [str(tmp_path / name) for name in names]
    outcomes = track_many.track_videos(sources, tmp_path / "out", config=Config(), load=load, **options)
    assert loaded == ["auto"]
    return outcomes


def test_one_failure_does_not_stop_the_rest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="posetrack")
    make_folder(tmp_path / "first")
    (tmp_path / "broken.mp4").write_text("no video")
    make_folder(tmp_path / "last", 4)
    outcomes = track(tmp_path, ["first", "broken.mp4", "last"])
    assert [outcome.report is not None for outcome in outcomes] == [True, False, True]
    assert len(read_tracks(tmp_path / "out" / "last.json").frames) == 4
    assert track_many.exit_code(outcomes) == 2
    table = track_many.table(outcomes)
    assert "FAILED" in table.splitlines()[2]
    assert "not a video" in table.splitlines()[2]
    assert table.endswith("3 videos: 2 done, 1 failed")
    assert [record.message[:8] for record in caplog.records] == ["1 of 3: ", "2 of 3: ", "3 of 3: "]


def test_an_internal_error_is_shown_and_changes_the_exit_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_folder(tmp_path / "first")
    make_folder(tmp_path / "last")

    class FailingDetector(killed_run.HashDetector):
        """Fails at the first call."""

        def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> list[tuple[FloatArray, FloatArray]]:
            found = super().__call__(images)
            if len(self.batches) == 1:
                raise ZeroDivisionError("a mistake\nof two lines")
            return found

    outcomes = track(tmp_path, ["first", "last"], FailingDetector())
    assert [outcome.report is not None for outcome in outcomes] == [False, True]
    assert track_many.table(outcomes).splitlines()[1].endswith("ZeroDivisionError: a mistake of two lines")
    assert track_many.exit_code(outcomes) == 1
    assert "Traceback" in caplog.text


def test_a_video_in_another_process_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`posetrack run a --out` of another process works on a."""
    for name in ("a", "b"):
        make_folder(tmp_path / name, 1)
    (tmp_path / "out").mkdir()
    locked = journal_file(tmp_path / "out" / "a.json")
    with locked.open("a+b") as held:
        assert try_lock(held)
        monkeypatch.setattr(track_many, "check_targets", lambda *_, **__: locked.touch())
        outcomes = track(tmp_path, ["a", "b"], resume=False)
    lines = track_many.table(outcomes).splitlines()
    assert lines[1].endswith("  skipped: another process has it")
    assert lines[-1] == "2 videos: 1 done, 0 failed, 1 skipped"
    assert track_many.exit_code(outcomes) == 0


def test_too_little_memory_is_no_internal_error(tmp_path: Path) -> None:
    make_folder(tmp_path / "a", 1)

    class Detector(killed_run.HashDetector):
        def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> list[tuple[FloatArray, FloatArray]]:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    outcomes = track(tmp_path, ["a"], Detector())
    assert outcomes[0].failure.startswith("out of memory (DefaultCPUAllocator: can't allocate memory")
    assert track_many.exit_code(outcomes) == 2


def test_names_with_line_breaks_stay_on_one_line(tmp_path: Path) -> None:
    make_folder(tmp_path / "a\nb", 1)
    (tmp_path / "c\x1b[31m.mp4").write_text("no video")
    outcomes = track(tmp_path, ["a\nb", "c\x1b[31m.mp4"])
    lines = track_many.table(outcomes).splitlines()
    assert len(lines) == 4
    assert lines[1].startswith(f"{tmp_path}/a\\nb ")
    assert f"{tmp_path}/out/a\\nb.json" in lines[1]
    assert "c\\x1b[31m.mp4 " in lines[2]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that refuses files, also for root")
def test_a_folder_that_refuses_files_is_said_before_networks_load(
    tmp_path: Path,
) -> None:
    make_folder(tmp_path / "a", 1)
    with pytest.raises(InputError, match="/proc: no file can be written there"):
        track_many.track_videos(
            [str(tmp_path / "a")],
            Path("/proc/out"),
            config=Config(),
            load=lambda *_: pytest.fail("networks were loaded"),
        )


def test_resume_keeps_finished_videos(tmp_path: Path) -> None:
    make_folder(tmp_path / "a")
    make_folder(tmp_path / "b")
    track(tmp_path, ["a"])
    before = (tmp_path / "out" / "a.json").stat().st_mtime_ns
    outcomes = track(tmp_path, ["a", "b"], resume=True)
    assert (tmp_path / "out" / "a.json").stat().st_mtime_ns == before
    assert track_many.exit_code(outcomes) == 0
    assert "done" in track_many.table(outcomes).splitlines()[1]
    assert outcomes[0].report is not None
    assert re.fullmatch(
        r".*a.json: done before, \d+ (person|people) in 3 frames", outcomes[0].report.summary()
    )
    outcomes = track(tmp_path, ["a"], resume=True, stride=2)
    assert "made with a different span" in outcomes[0].failure
    image = tmp_path / "a" / "0.png"
    image.write_bytes(image.read_bytes() + b" ")
    outcomes = track(tmp_path, ["a"], resume=True)
    assert "made with a different video" in outcomes[0].failure


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have Unicode names only")
def test_image_names_that_are_not_utf_8(tmp_path: Path) -> None:
    make_folder(tmp_path / "a")
    (tmp_path / "a" / "0.png").rename(os.fsdecode(os.fsencode(tmp_path / "a") + b"/0\xff.png"))
    outcomes = track(tmp_path, ["a"])
    assert outcomes[0].report is not None
    assert read_tracks(outcomes[0].out).frames[0].info.file_name == "0\ufffd.png"


def test_the_table_contains_no_secrets(tmp_path: Path) -> None:
    outcome = track_many.Outcome("rtsp://user:secret@host/live", tmp_path / "live.json", failure="lost")
    assert track_many.table([outcome]).splitlines()[1].startswith("rtsp://host/live ")


def test_the_command(tmp_path: Path) -> None:
    """With the embedded networks."""
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
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        ".posetrack", "a.json", "a.run.json", "summary.jsonl",
    ]  # fmt: skip
