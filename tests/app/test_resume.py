"""A stopped run goes on where it was, and ends with the bytes of one that was never stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import av
import killed_run
import numpy as np
import pytest

from posetrack_app import run
from posetrack_app.errors import InputError
from posetrack_app.formats import read_tracks
from posetrack_app.formats.validate import find_faults
from posetrack_app.journal import Journal, journal_file
from posetrack_app.manifest import manifest_file
from posetrack_app.run import track_video

FRAMES = 61


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A square that moves, so that every picture is another."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(FRAMES):
            picture = np.zeros((96, 160, 3), np.uint8)
            picture[20:60, 2 * index : 2 * index + 30] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def whole(video: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The tracks file of a run that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "tracks.json"
    killed_run.run_fake(video, out, False)
    assert len(read_tracks(out).frames) == FRAMES
    assert find_faults(json.loads(out.read_bytes())) == []
    return out.read_bytes()


class Stopped(BaseException):
    """The end of a run in the middle, as by a signal."""


def stop_after(frames: int, video: Path, out: Path, **options: object) -> None:
    def watch(done: int, expected: int | None, people: int) -> None:
        if done == frames:
            raise Stopped

    config = killed_run.config()
    with pytest.raises(Stopped):
        track_video(video, out, config=config, parts=killed_run.fake_parts(), progress=watch, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="kills by SIGKILL")
def test_killed_at_twenty_random_points(video: Path, whole: bytes, tmp_path: Path) -> None:
    out, journal = tmp_path / "tracks.json", journal_file(tmp_path / "tracks.json")
    # A clean process that has imported everything, forked for each run: starting Python takes longer than the run.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["posetrack_app.run", "decord"])
    rng = random.Random(7)
    sizes: list[int] = []
    while len(sizes) < 20:
        # The journal's size tells how far a run is, however slow the machine: about 44 kB at the end.
        enough = (journal.stat().st_size if journal.exists() else 0) + rng.randrange(10_000)
        process = context.Process(target=killed_run.run_fake, args=(video, out, True))
        process.start()
        while process.is_alive() and not (journal.exists() and journal.stat().st_size >= enough):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        if process.exitcode == -signal.SIGKILL and journal.exists():
            sizes.append(journal.stat().st_size)
        if out.exists() and not journal.exists():
            assert out.read_bytes() == whole
            out.unlink()
            manifest_file(out).unlink()
    assert len(set(sizes)) > 5  # they were stopped at many places
    killed_run.run_fake(video, out, True)
    assert out.read_bytes() == whole
    assert sorted(file.name for file in tmp_path.iterdir()) == ["tracks.json", "tracks.run.json"]


def test_a_journal_torn_anywhere(video: Path, whole: bytes, tmp_path: Path) -> None:
    """Whatever part of the journal reached the disk, the result is the same."""
    out = tmp_path / "tracks.json"
    stop_after(FRAMES, video, out)
    journal = journal_file(out).read_bytes()
    rng = random.Random(3)
    header = journal.index(b"\n")
    for length in (0, 1, header, header + 1, header + 5, *rng.sample(range(len(journal)), 8), len(journal)):
        out.unlink(missing_ok=True)
        journal_file(out).write_bytes(journal[:length])
        killed_run.run_fake(video, out, True)
        assert out.read_bytes() == whole, length


def test_a_damaged_answer_is_computed_again(video: Path, whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "tracks.json"
    stop_after(30, video, out)
    journal = bytearray(journal_file(out).read_bytes())
    journal[len(journal) // 2] ^= 1
    journal_file(out).write_bytes(journal)
    killed_run.run_fake(video, out, True)
    assert out.read_bytes() == whole


def test_what_was_computed_is_not_computed_again(
    video: Path,
    whole: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "tracks.json"
    stop_after(40, video, out)
    said = capsys.readouterr().err
    assert "40 frames done so far are kept" in said
    assert "--resume" in said
    assert len(read_tracks(tmp_path / "tracks.partial.json").frames) == 40
    seen: list[int] = []
    detect = killed_run.WanderingDetector.__call__
    monkeypatch.setattr(
        killed_run.WanderingDetector,
        "__call__",
        lambda self, images: seen.append(len(images)) or detect(self, images),
    )
    killed_run.run_fake(video, out, True)
    assert sum(seen) <= FRAMES - 40
    assert out.read_bytes() == whole
    assert json.loads(manifest_file(out).read_text())["resumed"] is True
    assert not (tmp_path / "tracks.partial.json").exists()
    seen.clear()
    killed_run.run_fake(video, out, True)  # done: nothing to do
    assert seen == []


def test_stopped_before_the_first_answer(
    video: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier run left stays, byte by byte; a first run leaves nothing to resume."""

    def stop(*_: object) -> None:
        raise Stopped

    out = tmp_path / "tracks.json"
    stop_after(40, video, out)
    journal = journal_file(out).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(run, "track_people", stop)
        with pytest.raises(Stopped):
            killed_run.run_fake(video, out, True)
        with pytest.raises(Stopped):
            killed_run.run_fake(video, tmp_path / "first.json", True)
    assert journal_file(out).read_bytes() == journal
    assert not journal_file(tmp_path / "first.json").exists()
    killed_run.run_fake(video, out, True)
    assert out.read_bytes() == whole


def test_the_overlay_is_whole_too(video: Path, tmp_path: Path) -> None:
    out, overlay = tmp_path / "tracks.json", tmp_path / "overlay.mp4"
    stop_after(30, video, out, overlay=overlay)
    track_video(
        video, out, overlay=overlay, resume=True, config=killed_run.config(), parts=killed_run.fake_parts()
    )
    assert not list(tmp_path.glob("*.partial.*"))
    with av.open(str(overlay)) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES


def test_other_settings_are_refused_by_name(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "tracks.json"
    stop_after(10, video, out)
    with pytest.raises(InputError, match=r"config\.detector\.batch 3, now 1"):
        track_video(video, out, resume=True, parts=killed_run.fake_parts())
    # The overlay that is there may be somebody's: the stopped run was to write none.
    with pytest.raises(InputError, match=r"overlay None, now '.*clip\.mp4'"):
        track_video(
            video, out, overlay=tmp_path / "clip.mp4", resume=True,
            config=killed_run.config(), parts=killed_run.fake_parts(),
        )  # fmt: skip
    assert journal_file(out).exists()


@pytest.mark.parametrize("package", ["posetrack", "torch"])
def test_another_version_does_not_go_on(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    out = tmp_path / "tracks.json"
    stop_after(10, video, out)
    if package == "posetrack":
        monkeypatch.setattr(run, "__version__", "99.0")
    else:
        monkeypatch.setattr(run, "versions", lambda packages: dict.fromkeys(packages, "99.0"))
    with pytest.raises(InputError, match=rf"versions\.{package} '.*', now '99\.0'"):
        track_video(video, out, resume=True, config=killed_run.config(), parts=killed_run.fake_parts())


def test_another_video_of_the_same_name_is_not_mixed_in(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Same name, size and length, other pictures: none of the stored answers is taken."""
    mirrored = tmp_path / "clip.mp4"
    with av.open(str(video)) as source, av.open(str(mirrored), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for frame in source.decode(video=0):
            picture = np.ascontiguousarray(frame.to_ndarray(format="rgb24")[:, ::-1])
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        target.mux(stream.encode())
    fresh, out = tmp_path / "fresh.json", tmp_path / "tracks.json"
    killed_run.run_fake(mirrored, fresh, False)
    stop_after(30, video, out)
    killed_run.run_fake(mirrored, out, True)
    assert "not those of the earlier run" in capsys.readouterr().err
    assert out.read_bytes() == fresh.read_bytes()


def test_a_video_that_is_done_is_known_by_its_bytes(video: Path, tmp_path: Path) -> None:
    """Another one of the same name, size and length is not "done"; files of older versions tell nothing of it."""
    another, out = tmp_path / "clip.mp4", tmp_path / "tracks.json"
    another.write_bytes(video.read_bytes()[:-1] + b"!")
    killed_run.run_fake(video, out, False)
    killed_run.run_fake(video, out, True)
    with pytest.raises(InputError, match="made with another video"):
        killed_run.run_fake(another, out, True)
    content = json.loads(out.read_text())
    del content["info"]["video"]["fingerprint"]
    first, _, rest = out.read_text().partition("\n")
    out.write_text(f'{{"info": {json.dumps(content["info"])},\n{rest}')
    killed_run.run_fake(another, out, True)
    assert first.startswith('{"info"')


def test_what_is_gone_is_not_offered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    journal = Journal(tmp_path / "out" / "t.resume", {})
    journal.answer(1, lambda: [np.zeros(3)])
    shutil.rmtree(tmp_path / "out")
    journal.__exit__(KeyboardInterrupt)
    assert capsys.readouterr().err == ""


def test_what_a_stopped_run_kept_goes_with_the_next_whole_one(video: Path, tmp_path: Path) -> None:
    """Also with --force: it would be in the way of runs to come."""
    out, overlay = tmp_path / "tracks.json", tmp_path / "overlay.mp4"
    stop_after(30, video, out, overlay=overlay)
    assert len(list(tmp_path.glob("*.partial.*"))) == 2
    track_video(
        video, out, overlay=overlay, force=True, config=killed_run.config(), parts=killed_run.fake_parts()
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "overlay.mp4", "tracks.json", "tracks.run.json"
    ]  # fmt: skip


def test_two_runs_cannot_write_the_same(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "t.resume", {}),
        pytest.raises(InputError, match="another posetrack"),
    ):
        Journal(tmp_path / "t.resume", {}, resume=True)


def test_a_full_disk_is_one_line_and_can_be_resumed(
    video: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full takes the tracks; what the networks said is safe."""
    out = tmp_path / "tracks.json"
    write = Journal._write

    def full(journal: Journal, content: bytes) -> None:
        if journal._added == 20:
            with open("/dev/full", "wb") as file:
                journal._file, real = file, journal._file
                try:
                    write(journal, content)
                finally:
                    journal._file = real
                    file.raw.close()
        write(journal, content)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_write", full)
        with pytest.raises(InputError, match="No space left on device"):
            killed_run.run_fake(video, out, False)
    killed_run.run_fake(video, out, True)
    assert out.read_bytes() == whole


def test_a_read_only_folder(video: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        out = Path("/proc/tracks.json")
    else:
        (tmp_path / "shut").mkdir(mode=0o500)
        out = tmp_path / "shut" / "tracks.json"
    with pytest.raises(InputError, match="cannot write here"):
        killed_run.run_fake(video, out, False)
    shutil.rmtree(tmp_path / "shut", ignore_errors=True)
