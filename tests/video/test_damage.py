"""Files that are cut off, damaged, trimmed or joined: frames keep their index and time, and losses are reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import clips
import numpy as np
import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.video import decord_frames, pyav_frames
from posetrack_app.video.probe import open_stream
from posetrack_app.video.restarts import find_restarts


@pytest.mark.parametrize("ending", ["mkv", "ts", "mp4"])
def test_a_cut_off_file_is_read_as_far_as_it_goes(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"clip.{ending}"
    clips.write_clip(path, times=100, options={"g": "10", "bf": "2"})
    if ending == "mp4":
        _put_index_first(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    _, frames, losses = clips.read(path)
    assert 30 < len(frames) < 90
    # The last frames before the cut may be incomplete.
    assert all(index == number for index, _, number in frames[:-4])
    assert np.allclose([time for _, time, _ in frames[:-4]], np.arange(len(frames) - 4) / 25, atol=1e-3)
    if ending != "ts":  # the header of a transport stream has no length
        assert any("cut off" in loss for loss in losses)


def test_a_video_that_starts_after_its_audio_is_not_cut_off(tmp_path: Path) -> None:
    """Matroska counts the length of a stream from the start of the file."""
    container: Any = av.open(str(tmp_path / "late.mkv"), "w")
    with container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 112, "yuv420p"
        audio = container.add_stream("aac", rate=44100, layout="mono")
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(clips.numbered_image(number), "rgb24")
            frame.pts, frame.time_base = 75 + number, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        clips.write_tone(container, audio, 5.0)
    _, frames, losses = clips.read(tmp_path / "late.mkv")
    assert [number for *_, number in frames] == list(range(50))
    assert losses == []


def _put_index_first(path: Path) -> None:
    """Move the index (moov) to the start of the file, so that the file is readable after a cut."""
    complete = path.with_name("complete.mp4")
    path.rename(complete)
    source: Any = av.open(str(complete))
    target: Any = av.open(str(path), "w", options={"movflags": "faststart"})
    with source, target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)


def test_damage_in_the_middle_is_a_gap_not_a_shift(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    clips.write_clip(path, times=100, options={"g": "10", "bf": "2"})
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) * 4 // 10
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    info, frames, losses = clips.read(path)
    missing = sorted(set(range(100)) - {index for index, _, _ in frames})
    assert missing
    assert any("could not be decoded" in loss and str(missing[0]) in loss for loss in losses)
    assert "PyAV" in info.decoder
    # Frames up to the next key frame may be damaged.
    intact = [
        (index, number) for index, _, number in frames if not missing[0] - 10 < index < missing[-1] + 11
    ]
    assert len(intact) > 60
    assert all(index == number for index, number in intact)


def test_a_damaged_frame_that_ffmpeg_repairs_is_reported(tmp_path: Path) -> None:
    """Wrong bytes inside one packet: every frame is decoded, but some are wrong."""
    path = tmp_path / "clip.avi"
    clips.write_clip(path, times=40, options={"g": "10", "bf": "0"}, size=(640, 448))
    video: Any = av.open(str(path))
    with video:
        packet = [packet for packet in video.demux(video=0) if packet.size][20]
    content = bytearray(path.read_bytes())
    for k in range(packet.size // 3, packet.size // 3 + 12):
        content[packet.pos + 8 + k] ^= 0x5A
    path.write_bytes(content)
    _, frames, losses = clips.read(path)
    assert [index for index, _, _ in frames] == list(range(40))
    assert all(index == number for index, _, number in frames if not 20 <= index < 30)
    assert losses == [
        "frame 20 is damaged: FFmpeg filled in parts, and errors may remain up to the next key frame"
    ]


def test_a_file_that_cannot_seek_is_read_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg refuses to seek in some damaged files."""

    class Stuck:
        def __init__(self, container: Any) -> None:
            self.demux = container.demux

        def seek(self, *_: Any, **__: Any) -> None:
            raise av.error.PermissionError(1, "Operation not permitted")

    @contextmanager
    def open_stuck(path: Path, number: int | None = None) -> Iterator[Any]:
        with open_stream(path, number) as (container, stream):
            yield Stuck(container), stream

    monkeypatch.setattr(pyav_frames, "open_stream", open_stuck)
    monkeypatch.setattr(decord_frames, "open_stream", open_stuck)
    clips.write_clip(tmp_path / "clip.mkv", times=30, options={"g": "10"})
    info, frames, losses = clips.read(tmp_path / "clip.mkv", start=0.6)
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(15, 30)]
    assert "PyAV" in info.decoder
    assert losses == []


def test_frames_hidden_by_an_edit_list_are_not_displayed(tmp_path: Path) -> None:
    """A trimmed phone video contains packets from the key frame before the cut, which are not displayed."""
    clips.write_clip(tmp_path / "complete.mp4", times=60, options={"g": "30", "bf": "2"})
    source: Any = av.open(str(tmp_path / "complete.mp4"))
    target: Any = av.open(str(tmp_path / "cut.mp4"), "w")
    with source, target:
        stream = target.add_stream_from_template(source.streams.video[0])
        shift = round(0.4 / source.streams.video[0].time_base)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = stream
                target.mux(packet)
    _, frames, losses = clips.read(tmp_path / "cut.mp4")
    assert [number for _, _, number in frames] == list(range(frames[0][2], 60))
    assert [index for index, _, _ in frames] == list(range(len(frames)))
    assert frames[0][1] == 0.0
    assert frames[0][2] > 0, "FFmpeg wrote no edit list, so this tests nothing"
    assert losses == []


@pytest.mark.parametrize(
    ("ending", "parts"),
    [("ts", (0, 0)), ("ts", (500, 0)), ("ts", (500, 300, 0)), ("mpg", (0, 0, 0)), ("mpg", (500, 0))],
    ids=["repeated", "FFmpeg assumes a wrapped clock", "twice", "DVD", "DVD, wrapped clock"],
)
def test_restarting_timestamps_are_continued(tmp_path: Path, ending: str, parts: tuple[int, ...]) -> None:
    """Recordings joined end to end: each part follows one frame after the previous one."""
    for start in set(parts):
        clips.write_clip(
            tmp_path / f"{start}.{ending}",
            times=list(range(25 * start, 25 * start + 40)),
            time_base=Fraction(1, 25),
            codec="libx264" if ending == "ts" else "mpeg2video",
            options={"bf": "2", "g": "10"},
        )
    path = tmp_path / f"joined.{ending}"
    path.write_bytes(b"".join((tmp_path / f"{start}.{ending}").read_bytes() for start in parts))
    info, frames, losses = clips.read(path)
    count = 40 * len(parts)
    assert [(index, number) for index, _, number in frames] == [(k, k % 40) for k in range(count)]
    assert np.allclose([seconds for _, seconds, _ in frames], np.arange(count) / 25, atol=1e-3)
    assert info.frame_count == count
    assert info.frame_rate == pytest.approx(25)
    assert info.seconds == pytest.approx(count / 25, abs=0.05)
    assert "timestamps restart" in losses[0]
    assert "cut off" not in " ".join(losses)
    assert clips.read(path, start=1.0, stop=2.0, stride=3)[1] == frames[25:50:3]


def test_one_wrong_time_is_no_restart() -> None:
    stamps: list[tuple[int | None, int | None]] = [(3600 * k, 3600 * k + 7200) for k in range(100)]
    stamps[60] = (5000, 5000)
    assert find_restarts(stamps, 3600) == ()
    stamps[60] = (None, None)
    assert find_restarts(stamps, 3600) == ()


def test_a_damaged_header_of_the_stream(tmp_path: Path) -> None:
    """FFmpeg's filters refuse it; the file is then read as far as FFmpeg decodes it, or refused in one line."""
    path = tmp_path / "clip.mp4"
    clips.write_clip(path, times=20)
    content = bytearray(path.read_bytes())
    start = content.index(b"avcC") + 4
    content[start + 6 : start + 8] = b"\xff\xff"  # the length of the sequence parameters
    path.write_bytes(content)
    with pytest.raises(InputError, match="none of its 20 frames can be decoded"):
        clips.read(path)
