"""A resumed run ends with the same bytes as a run that was never stopped."""

from __future__ import annotations

import json
import logging
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
from numpy.typing import NDArray

from posetrack_app.core.errors import InputError
from posetrack_app.formats import read_tracks
from posetrack_app.formats.tracks_json.validate import find_faults
from posetrack_app.jobs import manifest
from posetrack_app.jobs import track as track_module
from posetrack_app.jobs.journal import Journal, journal_file
from posetrack_app.jobs.manifest import manifest_file
from posetrack_app.jobs.track import track_video

FRAMES = 61


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A moving square, so that all images differ."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for index in range(FRAMES):
            image = np.zeros((96, 160, 3), np.uint8)
            image[20:60, 2 * index : 2 * index + 30] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def expected(video: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The tracks file of a run that was never stopped."""
    out = tmp_path_factory.mktemp("expected") / "tracks.json"
    killed_run.run_fake(video, out, False)
    assert len(read_tracks(out).frames) == FRAMES
    assert find_faults(json.loads(out.read_bytes())) == []
    return out.read_bytes()


class Stopped(BaseException):
    """Ends a run early, as a signal does."""


def stop_after(frames: int, video: Path, out: Path, **options: object) -> None:
    def stop(done: int, expected: int | None, people: int) -> None:
        if done == frames:
            raise Stopped

    config = killed_run.config()
    with pytest.raises(Stopped):
        track_video(video, out, config=config, networks=killed_run.fake_networks(), progress=stop, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_at_twenty_random_points(video: Path, expected: bytes, tmp_path: Path) -> None:
    out, journal = tmp_path / "tracks.json", journal_file(tmp_path / "tracks.json")
    # Fork a process that has imported everything: starting Python takes longer than the run.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["posetrack_app.jobs.track", "decord"])
    rng = random.Random(7)
    sizes: list[int] = []
    while len(sizes) < 20:
        # The size of the journal shows the progress of a run on a machine of any speed: about 44 kB at the end.
        target_size = (journal.stat().st_size if journal.exists() else 0) + rng.randrange(10_000)
        process = context.Process(target=killed_run.run_fake, args=(video, out, True))
        process.start()
        while process.is_alive() and not (journal.exists() and journal.stat().st_size >= target_size):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        if process.exitcode == -signal.SIGKILL and journal.exists():
            sizes.append(journal.stat().st_size)
        if out.exists() and not journal.exists():
            assert out.read_bytes() == expected
            out.unlink()
            manifest_file(out).unlink()
    assert len(set(sizes)) > 5  # the runs were stopped at many points
    killed_run.run_fake(video, out, True)
    assert out.read_bytes() == expected
    assert sorted(file.name for file in tmp_path.iterdir()) == ["tracks.json", "tracks.run.json"]


def test_a_journal_cut_off_anywhere(video: Path, expected: bytes, tmp_path: Path) -> None:
    """The result does not depend on how much of the journal reached the disk."""
    out = tmp_path / "tracks.json"
    stop_after(FRAMES, video, out)
    journal = journal_file(out).read_bytes()
    rng = random.Random(3)
    header = journal.index(b"\n")
    for length in (0, 1, header, header + 1, header + 5, *rng.sample(range(len(journal)), 8), len(journal)):
        out.unlink(missing_ok=True)
        journal_file(out).write_bytes(journal[:length])
        killed_run.run_fake(video, out, True)
        assert out.read_bytes() == expected, length


def test_a_damaged_record_is_computed_again(video: Path, expected: bytes, tmp_path: Path) -> None:
    out = tmp_path / "tracks.json"
    stop_after(30, video, out)
    journal = bytearray(journal_file(out).read_bytes())
    journal[len(journal) // 2] ^= 1
    journal_file(out).write_bytes(journal)
    killed_run.run_fake(video, out, True)
    assert out.read_bytes() == expected


def test_stored_outputs_are_not_computed_again(
    video: Path, expected: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="posetrack")
    out = tmp_path / "tracks.json"
    stop_after(40, video, out)
    assert "frames done so far (40) are kept" in caplog.text
    assert f"are stored in {journal_file(out)}; resume to continue" in caplog.text
    assert len(read_tracks(tmp_path / "tracks.partial.json").frames) == 40
    detector = killed_run.HashDetector()
    killed_run.run_fake(video, out, True, detector)
    assert sum(detector.batches) <= FRAMES - 40
    assert out.read_bytes() == expected
    assert json.loads(manifest_file(out).read_text())["resumed"] is True
    assert not (tmp_path / "tracks.partial.json").exists()
    detector.batches.clear()
    killed_run.run_fake(video, out, True, detector)  # the video is already done
    assert detector.batches == []


def test_a_run_stopped_before_its_first_output(
    video: Path, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal of an earlier run is unchanged; a first run leaves no journal."""

    def stop(*_: object) -> None:
        raise Stopped

    out = tmp_path / "tracks.json"
    stop_after(40, video, out)
    journal = journal_file(out).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(track_module, "track_people", stop)
        with pytest.raises(Stopped):
            killed_run.run_fake(video, out, True)
        with pytest.raises(Stopped):
            killed_run.run_fake(video, tmp_path / "first.json", True)
    assert journal_file(out).read_bytes() == journal
    assert not journal_file(tmp_path / "first.json").exists()
    killed_run.run_fake(video, out, True)
    assert out.read_bytes() == expected


def test_the_overlay_is_complete_too(video: Path, tmp_path: Path) -> None:
    out, overlay = tmp_path / "tracks.json", tmp_path / "overlay.mp4"
    stop_after(30, video, out, overlay=overlay)
    track_video(
        video,
        out,
        overlay=overlay,
        resume=True,
        config=killed_run.config(),
        networks=killed_run.fake_networks(),
    )
    assert not list(tmp_path.glob("*.partial.*"))
    with av.open(str(overlay)) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES


def test_other_settings_are_refused_and_named(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "tracks.json"
    stop_after(10, video, out)
    with pytest.raises(InputError, match=r"config\.detector\.batch 3, now 1") as refusal:
        track_video(video, out, resume=True, networks=killed_run.fake_networks())
    assert refusal.value.option == "force"
    # The stopped run wrote no overlay, so an existing one may be another file of the user.
    with pytest.raises(InputError, match=r"overlay None, now '.*clip\.mp4'"):
        track_video(
            video, out, overlay=tmp_path / "clip.mp4", resume=True,
            config=killed_run.config(), networks=killed_run.fake_networks(),
        )  # fmt: skip
    assert journal_file(out).exists()


@pytest.mark.parametrize("package", ["posetrack", "torch"])
def test_another_version_does_not_resume(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    out = tmp_path / "tracks.json"
    stop_after(10, video, out)
    if package == "posetrack":
        monkeypatch.setattr(manifest, "__version__", "99.0")
    else:
        monkeypatch.setattr(manifest, "versions", lambda packages: dict.fromkeys(packages, "99.0"))
    with pytest.raises(InputError, match=rf"versions\.{package} '.*', now '99\.0'"):
        track_video(video, out, resume=True, config=killed_run.config(), networks=killed_run.fake_networks())


def test_another_video_of_the_same_name_is_not_mixed_in(
    video: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """For a video of the same name, size and length with other images, no stored output is used."""
    mirrored = tmp_path / "clip.mp4"
    with av.open(str(video)) as source, av.open(str(mirrored), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for frame in source.decode(video=0):
            image: NDArray[np.uint8] = np.ascontiguousarray(frame.to_rgb().to_ndarray()[:, ::-1], np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        target.mux(stream.encode())
    fresh, out = tmp_path / "fresh.json", tmp_path / "tracks.json"
    killed_run.run_fake(mirrored, fresh, False)
    stop_after(30, video, out)
    killed_run.run_fake(mirrored, out, True)
    assert "differs from that of the earlier run" in caplog.text
    assert out.read_bytes() == fresh.read_bytes()


def test_a_finished_video_is_recognised_by_its_bytes(video: Path, tmp_path: Path) -> None:
    """Another video of the same name, size and length is not "done". Files of older versions have no fingerprint."""
    another, out = tmp_path / "clip.mp4", tmp_path / "tracks.json"
    another.write_bytes(video.read_bytes()[:-1] + b"!")
    killed_run.run_fake(video, out, False)
    killed_run.run_fake(video, out, True)
    with pytest.raises(InputError, match="made with a different video"):
        killed_run.run_fake(another, out, True)
    content = json.loads(out.read_text())
    del content["info"]["video"]["fingerprint"]
    first, _, rest = out.read_text().partition("\n")
    out.write_text(f'{{"info": {json.dumps(content["info"])},\n{rest}')
    killed_run.run_fake(another, out, True)
    assert first.startswith('{"info"')


def test_a_deleted_journal_is_not_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="posetrack")
    (tmp_path / "out").mkdir()
    journal = Journal(tmp_path / "out" / "t.resume", {})
    journal.output(1, lambda: [np.zeros(3)])
    shutil.rmtree(tmp_path / "out")
    journal.__exit__(KeyboardInterrupt)
    assert caplog.text == ""


def test_partial_files_of_a_stopped_run_are_removed_by_the_next_complete_run(
    video: Path, tmp_path: Path
) -> None:
    """Also if it starts from the beginning; they would block later runs."""
    out, overlay = tmp_path / "tracks.json", tmp_path / "overlay.mp4"
    stop_after(30, video, out, overlay=overlay)
    assert len(list(tmp_path.glob("*.partial.*"))) == 2
    track_video(
        video,
        out,
        overlay=overlay,
        force=True,
        config=killed_run.config(),
        networks=killed_run.fake_networks(),
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "overlay.mp4", "tracks.json", "tracks.run.json"
    ]  # fmt: skip


def test_two_runs_cannot_use_the_same_journal(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "t.resume", {}),
        pytest.raises(InputError, match="another posetrack"),
    ):
        Journal(tmp_path / "t.resume", {}, resume=True)


def test_a_run_can_resume_after_a_full_disk(
    video: Path, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/full fails like a full disk; the outputs stored before are used."""
    out = tmp_path / "tracks.json"
    write = Journal._write

    def write_to_full_disk(journal: Journal, content: bytes) -> None:
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
        patch.setattr(Journal, "_write", write_to_full_disk)
        with pytest.raises(InputError, match=r"writing failed \(No space left on device\)"):
            killed_run.run_fake(video, out, False)
    killed_run.run_fake(video, out, True)
    assert out.read_bytes() == expected


def test_a_read_only_folder(video: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        out = Path("/proc/tracks.json")
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        out = tmp_path / "locked" / "tracks.json"
    with pytest.raises(InputError, match="no file can be written there"):
        killed_run.run_fake(video, out, False)
    shutil.rmtree(tmp_path / "locked", ignore_errors=True)
