"""Pipes with a name, devices and sockets: read like standard input, or named as what they are."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import clips
import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.video import is_stream, open_video, plain_name
from posetrack_app.video.fingerprint import fingerprint

CASES = Path(__file__).parent / "cases"

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


def test_a_named_pipe(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "clip.mkv", times=20)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = (tmp_path / "clip.mkv").read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert is_stream(pipe)
    assert (plain_name(pipe), fingerprint(pipe)) == ("pipe", "")
    _, frames, losses = clips.read(pipe)
    writer.join()
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(20)]
    assert losses == []


def test_a_raw_stream_through_a_pipe_takes_a_frame_rate(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for fps, rate in ((None, 30.0), (10.0, 10.0)):
        content = (CASES / "V02_raw30.h264").read_bytes()
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        with open_video(pipe, fps=fps) as video:
            seconds = [frame.info.seconds for frame in video]
        writer.join()
        assert video.info.frame_rate == rate
        assert seconds == pytest.approx([k / rate for k in range(60)])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/dev/null", "/dev/null is a device, not a video; give a file, or - for standard input"),
        ("/dev/zero", "/dev/zero is a device, not a video"),
    ],
)
def test_a_device(path: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_video(path)


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(InputError, match="socket is a socket, not a video; give an address such as tcp"):
            open_video("socket")


OPEN = """
import sys
from posetrack_app.core.errors import InputError
from posetrack_app.video import open_video
try:
    with open_video(sys.argv[1]) as video:
        print(len(list(video)), video.info.path)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("source", "content", "said"),
    [
        ("/dev/stdin", (CASES / "V08_two_streams.mkv").read_bytes(), "60 standard input"),
        ("-", b"", "standard input: nothing came through this pipe; check the program that writes to it"),
        ("-", b"no video" * 100, "standard input: this video cannot be read from a pipe"),
    ],
)
def test_standard_input_by_name(source: str, content: bytes, said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", OPEN, source], input=content, capture_output=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ended.stdout.decode().startswith(said)
    assert ended.stderr == b""


def test_no_camera_prints_no_warnings_of_opencv() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", OPEN, "webcam:97"], capture_output=True, check=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert ended.stdout == "webcam:97: there is no such camera; the first one is webcam:0\n"
    assert ended.stderr == ""
