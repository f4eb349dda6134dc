"""`posetrack run` with the embedded weights, and its error messages."""

from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import killed_run
import numpy as np
import pytest

from posetrack_app.cli import main
from posetrack_app.cli import posetrack as command
from posetrack_app.core.errors import InputError
from posetrack_app.core.skeletons import POSETRACK
from posetrack_app.formats import read_tracks
from posetrack_app.jobs import track as track_module
from posetrack_app.jobs.track import TrackReport, track_video


def posetrack(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "posetrack_app", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_noise(path: Path, frames: int = 4) -> None:
    """A tiny H.264 video of noise, without people."""
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(frames):
            image = rng.integers(100, 156, (96, 160, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())


def test_auto_decodes_on_the_device_that_it_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader takes NVDEC for "cuda", but it cannot know what "auto" becomes."""

    def open_video(*_: object, device: str, **__: object) -> None:
        raise InputError(f"opened for {device}")

    monkeypatch.setattr(track_module, "choose_device", lambda wanted: {"auto": "cuda"}[wanted])
    monkeypatch.setattr(track_module, "open_video", open_video)
    with pytest.raises(InputError, match="opened for cuda"):
        track_video(tmp_path / "video.mp4", tmp_path / "tracks.json")


def test_run_writes_tracks_and_overlay(tmp_path: Path) -> None:
    video, out, overlay = tmp_path / "noise.mp4", tmp_path / "tracks.json", tmp_path / "overlay.mp4"
    write_noise(video)
    ended = posetrack("run", video, "--out", out, "--overlay", overlay, "--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    assert "4 frames" in ended.stdout
    tracks = read_tracks(out)
    assert [frame.info.index for frame in tracks.frames] == [0, 1, 2, 3]
    info = json.loads(out.read_text())["info"]
    assert info["decoder"]
    assert set(info["weights"]) == {"detector", "pose"}
    assert all(len(weights["sha256"]) == 64 for weights in info["weights"].values())
    assert (info["losses"], info["missing_frames"]) == ([], [])
    manifest = json.loads((tmp_path / "tracks.run.json").read_text())
    assert set(manifest["stage_seconds"]) == {"decode", "detect", "pose", "track", "write"}
    assert manifest["frames"] == 4
    assert manifest["versions"]["torch"]
    assert manifest["machine"]["cores"] >= 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "noise.mp4", "overlay.mp4", "tracks.json", "tracks.run.json"
    ]  # fmt: skip
    with av.open(str(overlay)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert sum(1 for _ in container.decode(stream)) == 4

    again = posetrack("run", video, "--out", out)
    assert again.returncode == 2
    assert again.stderr.startswith(f"posetrack: {out} and 1 more file already exist; ")
    assert again.stderr.endswith(" (--force)\n")
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mp4", "--out", "t.json"], "none.mp4: no such file or folder"),
        (["text.mp4", "--out", "t.json"], "text.mp4"),
        (["noise.mp4", "--out", "none/t.json"], "does not exist"),
        (["noise.mp4", "--out", "t.json", "--preset", "fast"], "unknown preset 'fast'"),
        (["noise.mp4", "--out", "t.json", "--stride", "0"], "stride must be 1 or more, got 0 (--stride)"),
        (["noise.mp4", "--out", "t.json", "--start", "99"], "no frame from 99 s on"),
        (["noise.mp4", "--out", "t.json", "--config", "wrong.toml"], "did you mean 'detector'"),
        (
            ["noise.mp4", "--out", "t.json", "--config", "lost.toml"],
            "lost.pth is neither a file nor the name of published weights",
        ),
        (["noise.mp4"], "give --out FILE for one video, or --out-dir DIR for many"),
        ([], "nothing to track; give at least one video"),
        (["noise.mp4", "--owt", "t.json"], "No such option '--owt'"),
        (["noise.mp4", "--out", "t.json", "--stride", "two"], "'two' is not a valid integer; see "),
        (["*.avi", "--out", "t.json"], "*.avi: no file matches"),
        (["noise.mp4", "text.mp4", "--out", "t.json"], "--out is for one video, but there are 2"),
        (["noise.mp4", "noise.mp4", "--out-dir", "d"], "noise.mp4 is listed twice"),
        (["--list", "none.txt", "--out-dir", "d"], "none.txt cannot be read"),
        (["noise.mp4", "--out", "t.json", "--resume", "--force"], "choose one (--force)"),
        (
            ["noise.mp4", "--out", "stopped.json"],
            "stopped.resume: a run that writes stopped.json was stopped",
        ),
        (
            ["noise.mp4", "--out", "old.json"],
            "old.run.json already exists; choose another name or overwrite it (--force)",
        ),
        (["noise.mp4", "--out", "t.json", "--overlay", "none/o.mp4"], "folder none does not exist"),
        (["-", "--out", "t.json", "--resume"], "standard input: a live stream cannot be replayed (--resume)"),
        (
            ["-", "--out", "t.json", "--start", "1"],
            "a stream has no start and stop; give a duration instead (--duration)",
        ),
        (["noise.mp4", "--out", "t.json", "--stop", "nan"], "stop must be a finite number, got nan (--stop)"),
        (
            ["noise.mp4", "--out", "t.json", "--duration", "inf"],
            "duration must be a finite number, got inf (--duration)",
        ),
        (["noise.mp4", "--out", f"{'n' * 245}.json"], "this file name is too long"),
        (["noise.mp4", "--out-dir", "d", "--list", "long.txt"], "this file name is too long"),
        (["webcam:x", "--out", "t.json"], "the first one is webcam:0"),
        (["rtsp://u:secret@127.0.0.1:9/x", "--out", "t.json"], "rtsp://127.0.0.1:9/x cannot be opened"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_noise(tmp_path / "noise.mp4", 1)
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "wrong.toml").write_text("[detektor]\n")
    (tmp_path / "long.txt").write_text(f"{'n' * 245}.mp4")
    (tmp_path / "stopped.resume").write_text("")
    (tmp_path / "old.run.json").write_text("")
    (tmp_path / "lost.toml").write_text("[pose]\nweights = 'lost.pth'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["posetrack", "run", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
    assert re.fullmatch(r"posetrack: .*\n", printed)
    assert not (tmp_path / "t.json").exists()


def test_a_closed_standard_input_is_one_line(tmp_path: Path) -> None:
    """As in a service: Python then has no standard input."""
    ended = subprocess.run(
        f"exec <&-; exec {sys.executable} -m posetrack_app run - --out {tmp_path / 't.json'} --device cpu",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert re.fullmatch(r"posetrack: standard input is closed; .*\n", ended.stderr)


def test_lost_frames_are_reported_without_secrets(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = "http://user:secret@host/a.mkv?token=secret"

    def track(source: object, out: Path, **_: object) -> TrackReport:
        return TrackReport(out, 1, 1, 1.0, {}, ["frame 3 is lost"])

    monkeypatch.setattr(track_module, "track_video", track)
    command.main(["run", address, "--out", str(tmp_path / "t.json")], standalone_mode=False)
    printed = capsys.readouterr()
    assert caplog.messages == ["http://host/a.mkv: frame 3 is lost"]
    assert "secret" not in printed.out + printed.err + caplog.text


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", f"{'a' * 300}.mp4", "--out", "t.json"],
        ["weights", "pull", "hrnet-w32-coco-256x192", "--offline", "--folder", "a" * 300],
    ],
)
def test_a_file_name_that_is_too_long(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["posetrack", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert "a" * 300 in printed
    assert len(printed.splitlines()) == 1


def test_an_error_of_the_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "closed/a.mp4")

    def refused(**_: object) -> None:
        raise error

    monkeypatch.setattr(command, "main", refused)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "posetrack: closed/a.mp4: Permission denied\n"
    error.filename = None  # not about a file, so it is an internal error
    with pytest.raises(PermissionError):
        main()


@pytest.mark.parametrize(
    ("options", "seconds"), [(["--fps", "10"], [0.0, 0.1, 0.2]), ([], [0.0, 0.04, 0.08])]
)
def test_the_frame_rate_of_an_image_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], seconds: list[float]
) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), np.zeros((96, 160, 3), np.uint8))
    monkeypatch.setattr(track_module, "load_networks", lambda config, device: killed_run.fake_networks())
    arguments = ["run", str(tmp_path / "images"), "--out", str(tmp_path / "t.json"), *options]
    command.main(arguments, standalone_mode=False)
    assert [frame.info.seconds for frame in read_tracks(tmp_path / "t.json").frames] == seconds


def test_help_imports_no_heavy_package() -> None:
    check = (
        "import sys; from posetrack_app.cli import posetrack; posetrack(['--help'], standalone_mode=False); "
        "sys.exit(bool({'torch', 'cv2', 'decord', 'scipy', 'av'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode == 0


@pytest.mark.data
def test_people_are_found_in_a_real_clip(shared: Path, tmp_path: Path) -> None:
    report = track_video(shared / "data/video/street_8frames.mp4", tmp_path / "tracks.json", device="cpu")
    tracks = read_tracks(tmp_path / "tracks.json")
    assert report.frames == 8
    assert report.tracks >= 2
    assert tracks.skeleton.keypoints == POSETRACK.keypoints
