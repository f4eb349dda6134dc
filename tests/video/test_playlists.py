"""HLS playlists and JPEG cameras over HTTP, from a server on this machine."""

from __future__ import annotations

import http.server
import itertools
import time
from collections.abc import Callable
from typing import Any

import av
import clips
import cv2
import pytest
from http_server import read_stream, serving

from posetrack_app.video import network as stream_module
from posetrack_app.video import open_video

SEGMENTS, SEGMENT_FRAMES = 6, 25


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Transport streams of one second each; the clock continues from one to the next."""
    folder = tmp_path_factory.mktemp("hls")
    options = {"hls_time": "1", "hls_list_size": "0", "hls_segment_filename": str(folder / "%d.ts")}
    container: Any = av.open(str(folder / "list.m3u8"), "w", format="hls", options=options)
    with container:
        video = container.add_stream(
            "libx264", rate=25, options={"g": "25", "sc_threshold": "0", "tune": "zerolatency"}
        )
        video.width, video.height, video.pix_fmt = 160, 112, "yuv420p"
        for number in range(SEGMENTS * SEGMENT_FRAMES):
            frame = av.VideoFrame.from_ndarray(clips.numbered_image(number), "rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return [(folder / f"{k}.ts").read_bytes() for k in range(SEGMENTS)]


def sender(segments: list[bytes], playlist: Callable[[], tuple[int, range, bool]]) -> Any:
    """Serves the segments and the playlist; `playlist` returns its status, its segments and whether it ends."""

    def answer(request: http.server.BaseHTTPRequestHandler, _: int) -> None:
        name = request.path.rpartition("/")[2]
        if name.endswith(".ts"):
            number = int(name.removesuffix(".ts"))
            content = segments[number] if number < len(segments) else b""
            status = 200 if content else 404
        else:
            status, listed, is_over = playlist()
            lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1"]
            lines.append(f"#EXT-X-MEDIA-SEQUENCE:{listed.start}")
            lines += [f"#EXTINF:1.0,\n{number}.ts" for number in listed]
            content = "\n".join(lines + ["#EXT-X-ENDLIST"] * is_over + [""]).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer


def test_a_complete_playlist(segments: list[bytes]) -> None:
    with serving(sender(segments, lambda: (200, range(SEGMENTS), True))) as address:
        frames, losses = read_stream(f"{address}/list.m3u8")
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(150)]
    assert losses == []


def test_a_missing_segment_is_reported(segments: list[bytes]) -> None:
    """FFmpeg silently continues with the next one."""
    available = [b"" if k == 2 else content for k, content in enumerate(segments)]
    with (
        serving(sender(available, lambda: (200, range(SEGMENTS), True))) as address,
        open_video(f"{address}/list.m3u8") as video,
    ):
        frames = [(frame.info.seconds, clips.read_number(frame.image)) for frame in video]
    assert [number for _, number in frames] == [k for k in range(150) if not 50 <= k < 75]
    assert all(abs(seconds - number / 25) < 0.01 for seconds, number in frames)
    assert video.losses == ["after frame 49 the times jump by 1.0 s: the sender may have lost a segment"]


def test_a_missing_end_is_reported_at_once(segments: list[bytes]) -> None:
    """The sender answers but has no more segments: do not try again for a minute."""
    began = time.monotonic()
    with serving(sender(segments[:-2], lambda: (200, range(SEGMENTS), True))) as address:
        frames, losses = read_stream(f"{address}/list.m3u8")
    assert [number for *_, number in frames] == list(range(100))
    assert losses == ["the stream ended after frame 99, before the length that its header says"]
    assert time.monotonic() - began < 40


def live(segments: int, *, fails: bool) -> Callable[[], tuple[int, range, bool]]:
    """A playlist that grows with each request up to `segments`; then the sender fails or ends the playlist."""
    requests = itertools.count(1)

    def playlist() -> tuple[int, range, bool]:
        last = next(requests)
        is_over = last > segments
        last = min(last, segments)
        return 503 if fails and is_over else 200, range(max(0, last - 3), last), is_over

    return playlist


def test_a_live_sender_that_fails_is_asked_again(
    segments: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "GIVE_UP_SECONDS", 1.5)
    with serving(sender(segments, live(3, fails=True))) as address:
        frames, losses = read_stream(f"{address}/live.m3u8")
    assert [number for *_, number in frames] == list(range(75))
    assert len(losses) == 1
    assert "broke off after frame 74 and did not come back" in losses[0]


def test_a_live_playlist_that_ends(segments: list[bytes]) -> None:
    with serving(sender(segments, live(SEGMENTS, fails=False))) as address:
        frames, losses = read_stream(f"{address}/live.m3u8")
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(150)]
    assert losses == []


def test_images_of_a_jpeg_camera_get_their_arrival_times() -> None:
    """They have no times of their own, and FFmpeg assumes 25 per second."""
    images = [cv2.imencode(".jpg", clips.numbered_image(k)[..., ::-1])[1].tobytes() for k in range(12)]

    def answer(request: http.server.BaseHTTPRequestHandler, _: int) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        request.end_headers()
        for image in images:
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
            request.wfile.write(head.encode() + image + b"\r\n")
            time.sleep(0.15)

    with serving(answer) as address, open_video(address, duration=1.5) as video:
        frames = [(frame.info.index, frame.info.seconds, clips.read_number(frame.image)) for frame in video]
    assert [index for index, *_ in frames] == [number for *_, number in frames]
    assert len(frames) > 5
    assert all(abs(seconds - 0.15 * number) < 0.4 for _, seconds, number in frames)
    assert frames[-1][1] > 0.8


def test_a_recording_of_jpeg_images_gets_25_frames_per_second() -> None:
    """It arrives faster than it was recorded, so arrival times would be wrong."""
    images = [cv2.imencode(".jpg", clips.numbered_image(k)[..., ::-1])[1].tobytes() for k in range(40)]
    head = "--next\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n"
    content = b"".join(head.format(len(one)).encode() + one + b"\r\n" for one in images)

    def answer(request: http.server.BaseHTTPRequestHandler, _: int) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    with serving(answer) as address:
        frames, losses = read_stream(address)
    assert [(index, number) for index, _, number in frames] == [(k, k) for k in range(40)]
    assert frames[-1][1] == pytest.approx(39 / 25)
    assert losses == []
