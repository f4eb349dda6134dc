"""A source that is no video, or has no frames in the span, ends in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import clips
import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.video import open_video

BAD = {
    "text.mp4": (b"this is no video\n" * 100, "not a video"),
    "text.txt": (b"this is no video\n" * 100, "not a video"),
    "noise.mp4": (bytes(range(256)) * 40, "not a video"),
    "empty.mp4": (b"", "empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_video(tmp_path: Path, name: str) -> None:
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
    """FFmpeg takes the text before the first colon for a protocol."""
    clips.write_clip(tmp_path / "clip.mp4", times=3)
    (tmp_path / "clip.mp4").rename(tmp_path / "12:30:45.mp4")
    monkeypatch.chdir(tmp_path)
    _, frames, _ = clips.read(Path("12:30:45.mp4"))
    assert [number for *_, number in frames] == [0, 1, 2]


def test_audio_only(tmp_path: Path) -> None:
    container: Any = av.open(str(tmp_path / "song.m4a"), "w")
    with container:
        clips.write_tone(container, container.add_stream("aac", rate=44100, layout="mono"), 0.5)
    with pytest.raises(InputError, match="no video stream in this file, only audio"):
        open_video(tmp_path / "song.m4a")


def test_no_frames(tmp_path: Path) -> None:
    container: Any = av.open(str(tmp_path / "clip.mkv"), "w")
    with container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        clips.write_tone(container, container.add_stream("aac", rate=44100, layout="mono"), 0.5)
    with pytest.raises(InputError, match="the video stream contains no frames"):
        open_video(tmp_path / "clip.mkv")


def test_a_span_without_frames(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=10)
    with pytest.raises(InputError, match=r"no frame from 5 s on; the last frame is at 0\.36 s"):
        open_video(tmp_path / "clip.mp4", start=5)


@pytest.mark.parametrize(
    ("arguments", "option", "message"),
    [
        ({"start": float("nan")}, "start", "start must be a finite number, got nan"),
        ({"start": -1}, "start", "start must be 0 seconds or more, got -1"),
        ({"start": 5, "stop": 4}, "stop", "stop must be later than start, got 5 to 4 seconds"),
        ({"stop": float("inf")}, "stop", "stop must be a finite number, got inf"),
        ({"stride": 0}, "stride", "stride must be 1 or more, got 0"),
        ({"duration": 0}, "duration", "duration must be more than 0 seconds, got 0"),
        ({"stop": 1, "duration": 1}, "", "stop and duration both limit the video"),
        ({"fps": 0}, "fps", "fps must be above 0 and at most 1000, got 0"),
        ({"fps": -25}, "fps", "fps must be above 0 and at most 1000, got -25"),
        ({"fps": 1001}, "fps", "fps must be above 0 and at most 1000, got 1001"),
        ({"fps": float("nan")}, "fps", "fps must be a finite number, got nan"),
        ({"fps": 25}, "fps", "clip.mp4 has its own frame times; leave out the frame rate"),
    ],
)
def test_wrong_arguments_name_the_option(
    tmp_path: Path, arguments: dict[str, Any], option: str, message: str
) -> None:
    clips.write_clip(tmp_path / "clip.mp4", times=10)
    with pytest.raises(InputError, match=message) as caught:
        open_video(tmp_path / "clip.mp4", **arguments)
    assert caught.value.option == option
    assert "--" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "option", "message"),
    [
        ({"start": 1}, "duration", "a stream has no start and stop; give a duration instead"),
        ({"fps": 25}, "fps", "a stream has its own times; leave out the frame rate"),
    ],
)
def test_wrong_arguments_for_a_stream(arguments: dict[str, Any], option: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_video("rtsp://localhost/live", **arguments)
    assert caught.value.option == option
