"""Streams over HTTP, TCP and RTSP on this machine, from standard input and from a fake camera; and reconnects."""

from __future__ import annotations

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import av
import clips
import cv2
import numpy as np
import pytest
import rtsp_camera
from http_server import read_stream, send, serving

from posetrack_app.core.errors import InputError
from posetrack_app.video import is_stream, open_video, plain_name
from posetrack_app.video import network as stream_module
from posetrack_app.video.newest_frame import NewestFrame
from posetrack_app.video.pyav_frames import TimedImage


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("-", "standard input"),
        ("webcam:0", "webcam:0"),
        ("rtsp://user:secret@host:554/live?token=1", "rtsp://host:554/live"),
        ("https://host/a.m3u8", "https://host/a.m3u8"),
    ],
)
def test_names_hide_passwords(source: str, name: str) -> None:
    assert is_stream(source)
    assert plain_name(source) == name


@pytest.mark.parametrize("source", ["video.mp4", "a/b", "C:\\videos\\a.mp4", Path("-")])
def test_paths_are_no_streams(source: str | Path) -> None:
    assert not is_stream(source)


@pytest.mark.parametrize("ending", ["ts", "mkv"])
def test_http(tmp_path: Path, ending: str) -> None:
    """Every frame at its time, although the reader is slower than the sender."""
    path = tmp_path / f"clip.{ending}"
    clips.write_clip(path, times=40, options={"g": "10"})

    with serving(lambda request, _: send(request, path.read_bytes())) as address:
        frames, losses = read_stream(address)
        assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(40)]
        assert np.allclose([seconds for _, seconds, _ in frames], np.arange(40) / 25, atol=2e-3)
        assert losses == []
        frames, _ = read_stream(address, duration=0.4, stride=3)
        assert [number for *_, number in frames] == [0, 3, 6, 9]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_http_download_is_continued(tmp_path: Path, ranges: bool) -> None:
    """The server closes after a third of the file. With or without ranges, no frame comes twice."""
    path = tmp_path / "clip.mkv"
    clips.write_clip(path, times=60, options={"g": "10"})
    content = path.read_bytes()

    def answer(request: http.server.BaseHTTPRequestHandler, number: int) -> None:
        start = int((request.headers.get("Range") or "bytes=0-")[6:].split("-")[0]) if ranges else 0
        request.send_response(206 if start else 200)
        if ranges:
            request.send_header("Accept-Ranges", "bytes")
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        end = start + len(content) // 3 if number < 2 else len(content)
        request.wfile.write(content[start:end])

    with serving(answer) as address:
        frames, losses = read_stream(address)
    indices = [index for index, _, _ in frames]
    assert indices == sorted(set(indices))
    assert all(index == number for index, _, number in frames)
    assert frames[-1][0] == 59
    assert len(frames) >= (60 if ranges else 55)
    missing = 60 - len(frames)
    assert bool(missing) == bool(losses)


def test_a_source_that_does_not_exist() -> None:
    def answer(request: http.server.BaseHTTPRequestHandler, number: int) -> None:
        request.send_error(404)

    with (
        serving(answer) as address,
        pytest.raises(InputError, match=r"cannot be opened \(.*check the address"),
    ):
        open_video(f"{address}/none.mp4")
    with pytest.raises(InputError, match="cannot be opened"):
        open_video("http://127.0.0.1:9/x.mp4")


def test_text_is_no_video() -> None:
    with (
        serving(lambda request, _: send(request, b"<html>" * 1000)) as address,
        pytest.raises(InputError, match="cannot be opened"),
    ):
        open_video(address)


READ_INPUT = """
import clips
from posetrack_app.video import open_video
with open_video("-") as video:
    print([(frame.info.index, clips.read_number(frame.image)) for frame in video], video.info.frame_rate, video.losses)
"""


def read_input(content: bytes) -> str:
    path = os.pathsep.join([str(Path(clips.__file__).parent), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-c", READ_INPUT],
        input=content,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode().strip()


def test_standard_input_that_breaks_off(tmp_path: Path) -> None:
    """The header says how long the file should be."""
    path = tmp_path / "clip.mkv"
    clips.write_clip(path, times=100, options={"g": "10"})
    assert read_input(path.read_bytes()).endswith("25.0 []")
    broken = read_input(path.read_bytes()[: path.stat().st_size // 2])
    assert re.search(
        r"25\.0 \['the stream broke off after frame [3-6]\d \(the stream ended early\)'\]$", broken
    )


def test_audio_longer_than_the_video_is_no_break_of_a_pipe(tmp_path: Path) -> None:
    """FLV has one length for audio and video together."""
    clips.write_clip(tmp_path / "clip.flv", times=20, tone=4.0)
    assert read_input((tmp_path / "clip.flv").read_bytes()).endswith(" []")


@pytest.mark.parametrize("kind", ["longer audio", "long last frame"])
def test_a_complete_stream_has_no_loss(tmp_path: Path, kind: str) -> None:
    """The file is longer than the time of its last frame, over HTTP and through a pipe."""
    path = tmp_path / "clip.mp4"
    clips.write_clip(
        tmp_path / "in.mp4", times=20, options={"bf": "0"}, tone=4.0 if "audio" in kind else False
    )
    source: Any = av.open(str(tmp_path / "in.mp4"))
    target: Any = av.open(str(path), "w", options={"movflags": "faststart"})
    with source, target:
        streams = [target.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.dts is None:
                continue
            seconds = packet.pts * packet.time_base
            if packet.stream.type == "video" and seconds > 0.75 and "frame" in kind:
                packet.duration = round(4 / packet.time_base)
            packet.stream = streams[packet.stream.index]
            target.mux(packet)

    with serving(lambda request, _: send(request, path.read_bytes(), with_length=True)) as address:
        frames, losses = read_stream(address)
    assert [number for *_, number in frames] == list(range(20))
    assert losses == []
    assert read_input(path.read_bytes()).endswith(" []")


@pytest.mark.parametrize("ending", ["ts", "mkv"])
def test_standard_input(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"clip.{ending}"
    clips.write_clip(path, times=20)
    assert read_input(path.read_bytes()) == f"{[(k, k) for k in range(20)]} 25.0 []"


class FakeCamera:
    """Returns ten images that show their number, then none."""

    def __init__(self, number: int) -> None:
        self.number, self.next = number, 0

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return self.number == 0

    def get(self, _: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, Any]:
        time.sleep(0.02)
        self.next += 1
        return self.next <= 10, clips.numbered_image(self.next - 1)[..., ::-1]

    def release(self) -> None:
        self.next = 99


def test_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that processing is too slow for are skipped, and so are their indices."""
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    with open_video("webcam:0") as video:
        frames = []
        for frame in video:
            frames.append((frame.info.index, clips.read_number(frame.image)))
            time.sleep(0.05)
    assert video.info.frame_rate == 30
    assert frames[0] == (0, 0)
    assert all(index == number for index, number in frames)
    assert 1 < len(frames) < 10
    assert any("frames skipped because processing" in loss for loss in video.losses)
    assert any("no more images after frame 9" in loss for loss in video.losses)
    with pytest.raises(InputError, match="the first one is webcam:0"):
        open_video("webcam:3")


def test_an_error_in_the_camera_thread_is_raised() -> None:
    def images() -> Generator[TimedImage, None, None]:
        yield 0, 0.0, np.zeros((2, 2, 3), np.uint8)
        raise ValueError("unplugged")

    with pytest.raises(ValueError, match="unplugged"):
        list(NewestFrame(images()))


def test_reconnecting_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames until then are kept, and the loss is reported."""
    monkeypatch.setattr(stream_module, "GIVE_UP_SECONDS", 0.3)
    path = tmp_path / "clip.mkv"
    clips.write_clip(path, times=60, options={"g": "10"})
    content = path.read_bytes()

    def answer(request: http.server.BaseHTTPRequestHandler, number: int) -> None:
        if number:
            request.send_error(503)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2])

    with serving(answer) as address:
        frames, losses = read_stream(address)
    assert 10 < len(frames) < 50
    assert all(index == number for index, _, number in frames)
    assert any("broke off after frame" in loss for loss in losses)


class LiveSender:
    """Sends images at 25 per second that show the time since the first request, and breaks off after some."""

    def __init__(self, tmp_path: Path, breaks: dict[int, int]) -> None:
        self.breaks = breaks
        """Number of a request -> number of images to send."""
        self.intercept: Callable[[http.server.BaseHTTPRequestHandler, int], bool] = lambda *_: False
        self.folder = tmp_path
        self.began = 0.0
        self.at: list[tuple[int, float]] = []
        """(number of the first image, clock) of each request that got images."""

    def __call__(self, request: http.server.BaseHTTPRequestHandler, number: int) -> None:
        if self.intercept(request, number):
            return
        count = self.breaks.get(number)
        if count is None:
            request.send_error(503)
            return
        now = time.monotonic()
        self.began = self.began or now
        first = round((now - self.began) * 25)
        self.at.append((first, now))
        request.send_response(200)
        request.end_headers()
        path = self.folder / f"{number}.ts"
        write_numbers(path, range(first, first + count))
        content = path.read_bytes()
        for k in range(count):  # spread over the duration, as from a live camera
            request.wfile.write(content[len(content) * k // count : len(content) * (k + 1) // count])
            request.wfile.flush()
            time.sleep(0.04)


def write_numbers(path: Path, numbers: range) -> None:
    """A transport stream with these numbers; its clock starts at 0."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "5", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 160, 112, "yuv420p"
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(clips.numbered_image(number), "rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def test_a_live_sender_that_fails_and_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames after the break get the index and time of the wall clock, and the gap is reported."""
    monkeypatch.setattr(stream_module, "GIVE_UP_SECONDS", 1.0)
    sender = LiveSender(tmp_path, {0: 30, 2: 20})
    with serving(sender) as address, open_video(address) as video:
        frames = [(frame.info.index, frame.info.seconds, clips.read_number(frame.image)) for frame in video]
    early = [frame for frame in frames if frame[2] < 30]
    late = frames[len(early) :]
    assert [(index, number) for index, _, number in early] == [(k, k) for k in range(30)]
    assert len(late) == 20
    assert [number - late[0][2] for *_, number in late] == list(range(20))
    # The numbers are the true time in units of 1/25 s, across the break.
    assert all(
        abs(index - number) <= 12 and abs(seconds - number / 25) < 0.5 for index, seconds, number in late
    )
    assert video.missing == [(30, late[0][0] - 1)]
    assert "are missing" in video.losses[0]
    assert "did not come back" in video.losses[-1]


def test_a_sender_that_returns_with_audio_only_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "GIVE_UP_SECONDS", 1.0)
    song: Any = av.open(str(tmp_path / "song.ts"), "w")
    with song:
        clips.write_tone(song, song.add_stream("aac", rate=44100, layout="mono"), 0.5)

    def audio_first(request: http.server.BaseHTTPRequestHandler, number: int) -> bool:
        if number == 1:
            send(request, (tmp_path / "song.ts").read_bytes())
        return number == 1

    sender = LiveSender(tmp_path, {0: 10, 2: 10})
    sender.intercept = audio_first
    with serving(sender) as address:
        frames, losses = read_stream(address)
    assert [number for *_, number in frames[:10]] == list(range(10))
    assert len(frames) == 20
    assert "are missing" in losses[0]


def test_tcp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender over plain TCP that stops after its first client."""
    monkeypatch.setattr(stream_module, "GIVE_UP_SECONDS", 0.3)
    clips.write_clip(tmp_path / "clip.ts", times=30)
    with socket.create_server(("127.0.0.1", 0)) as sender:

        def send_once() -> None:
            client, _ = sender.accept()
            sender.close()
            with client:
                client.sendall((tmp_path / "clip.ts").read_bytes())

        thread = threading.Thread(target=send_once)
        thread.start()
        frames, losses = read_stream(f"tcp://127.0.0.1:{sender.getsockname()[1]}")
        thread.join()
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(30)]
    assert len(losses) == 1
    assert "broke off after frame 29 and did not come back" in losses[0]


def test_an_rtsp_camera_that_fails_and_returns(tmp_path: Path) -> None:
    """FFmpeg's RTSP client and a camera that loses power for a while."""
    camera = rtsp_camera.Camera()
    first = camera.serve(50)

    def restart() -> None:
        first.join()
        time.sleep(1.2)
        camera.serve(5000).join()  # until the client disconnects

    power = threading.Thread(target=restart)
    power.start()
    frames = []
    with open_video(camera.address, duration=6.0) as video:
        for frame in video:
            frames.append((frame.info.index, frame.info.seconds, clips.read_number(frame.image)))
            if len(frames) == 1:
                time.sleep(0.3)  # frames that come meanwhile are skipped, and so are their indices
    power.join()
    start = frames[0][2]
    for index, seconds, number in frames:
        assert abs(seconds - (number - start) / 25) < 0.5
        assert abs(index - (number - start)) <= 12
    assert len(video.missing) == 1
    first_missing, last_missing = video.missing[0]
    assert first_missing <= 50
    assert 25 <= last_missing - first_missing < 100
    assert any("are missing" in loss for loss in video.losses)
    assert any("frames skipped" in loss for loss in video.losses)


def test_a_recording_without_a_length_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    clips.write_clip(path, times=20)
    asked: list[int] = []

    def answer(request: http.server.BaseHTTPRequestHandler, number: int) -> None:
        asked.append(number)
        send(request, path.read_bytes())

    with serving(answer) as address:
        frames, losses = read_stream(address, duration=9.0)
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(20)]
    assert asked == [0, 1]
    assert losses == [
        "after frame 19 the sender started again with its first frame: it was a recording, which has ended"
    ]


def test_a_broken_download_is_requested_from_there(tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    clips.write_clip(path, times=250, options={"g": "10"}, size=(480, 336))
    content = path.read_bytes()
    sent: list[tuple[int, int]] = []

    def answer(request: http.server.BaseHTTPRequestHandler, number: int) -> None:
        start = int((request.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        end = len(content) if start else len(content) * 2 // 3
        sent.append((start, end))
        request.wfile.write(content[start:end])

    with serving(answer) as address:
        frames, losses = read_stream(f"{address}/clip.ts")
    assert [(index, number) for index, _, number in frames] == [(k, k & 255) for k in range(250)]
    assert losses == []
    assert sent[-1] == (len(content) * 2 // 3, len(content))
