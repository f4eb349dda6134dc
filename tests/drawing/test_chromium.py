"""Chromium plays an overlay video to the end."""

from __future__ import annotations

import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from urllib.parse import unquote

import clips
import pytest
from fakes import people

from posetrack_app.drawing.overlay import OverlayWriter
from posetrack_app.video import open_video

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

PAGE = b"""<video muted src="o.mp4"></video><script>
const video = document.querySelector("video"), report = text => fetch("/report?" + encodeURIComponent(text));
video.onerror = () => report("error " + video.error.message);
video.onended = () => report("ended " + video.currentTime.toFixed(2) + " of " + video.videoWidth + "x" + video.videoHeight);
video.play().catch(reason => report("refused " + reason));
</script>"""


class Site(ThreadingHTTPServer):
    """Serves the page and the video; `reports` are the page's messages about playing it."""

    def __init__(self, video: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/": ("text/html", PAGE), "/o.mp4": ("video/mp4", video.read_bytes())}
        self.reports: Queue[str] = Queue()


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path, _, text = self.path.partition("?")
        if path == "/report":
            self.server.reports.put(unquote(text))
        kind, content = self.server.files.get(path, ("text/plain", b""))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_chromium_plays_it_to_the_end(tmp_path: Path) -> None:
    clips.write_clip(tmp_path / "in.mp4", times=[0, 40, 80, 200, 233, 300, 500, 540, 600], tone=True)
    with open_video(tmp_path / "in.mp4") as video, OverlayWriter(tmp_path / "o.mp4", video.info) as overlay:
        for frame in video:
            overlay.write(frame, people({1: (20, 20)}))
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    with Site(tmp_path / "o.mp4") as site:
        Thread(target=site.serve_forever, daemon=True).start()
        browser = subprocess.Popen(
            [
                str(CHROMIUM),
                *flags,
                f"--user-data-dir={tmp_path / 'profile'}",
                f"http://127.0.0.1:{site.server_port}/",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            report = site.reports.get(timeout=60)
        finally:
            browser.terminate()
            browser.wait(30)
            site.shutdown()
    event, seconds, _, size = report.split()
    assert (event, size) == ("ended", "160x112"), report
    assert 0.6 <= float(seconds) < 0.75
