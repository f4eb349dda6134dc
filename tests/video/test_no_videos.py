"""What is no video, or holds none of what is asked for, is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import clips
import pytest

from posetrack_app.errors import InputError
from posetrack_app.video import open_video

BAD = {
    "text.mp4": (b"this is no video\n" * 100, "not a video"),
    "text.txt": (b"this is no video\n" * 100, "not a video"),
    "noise.mp4": (bytes(range(256)) * 40, "not a video"),
    "empty.mp4": (b"", "empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_video(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        open_video(tmp_path / name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_video(tmp_path / "none.mp4")


def test_a_name_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg takes what stands before a first colon for a protocol."""
    clips.write_clip(tmp_path / "clip.mp4", times=3)
    (tmp_path / "clip.mp4").rename(tmp_path / "12:30:45.mp4")
    monkeypatch.chdir(tmp_path)
    _, frames, _ = clips.read(Path("12:30:45.mp4"))
    assert [number for *_, number in frames] == [0, 1, 2]


def test_audio_only(tmp_path: Path) -> None:
    container: Any = av.open(str(tmp_path / "song.m4a"), "w")
    with container:
        clips.write_tone(container, container.add_stream("aac", rate=44100, layout="mono"), 0.5)
    with pytest.raises(InputError, match=r"no video stream.*audio only"):
        open_video(tmp_path / "song.m4a")


def test_no_frames(tmp_path: Path) -> None:
    container: Any = av.open(str(tmp_path / "clip.mkv"), "w")
    with container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        clips.write_tone(container, container.add_stream("aac", rate=44100, layout="mono"), 0.5)
    with pytest.raises(InputError, match="no frames"):
        open_video(tmp_path / "clip.mkv")


def test_a_span_without_frames(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=10)
    with pytest.raises(InputError, match=r"no frame in 5 to inf s; the video ends at 0\.36 s"):
        open_video(tmp_path / "clip.mp4", start=5)
    with pytest.raises(InputError, match="--start must be a number of seconds, got nan"):
        open_video(tmp_path / "clip.mp4", start=float("nan"))
    with pytest.raises(InputError, match="--stop must be later"):
        open_video(tmp_path / "clip.mp4", start=5, stop=4)
    with pytest.raises(InputError, match="--stride"):
        open_video(tmp_path / "clip.mp4", stride=0)
