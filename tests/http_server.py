"""An HTTP server on this machine, as the sender of a stream."""

from __future__ import annotations

import http.server
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import clips

from posetrack_app.video import open_video

Answer = Callable[[http.server.BaseHTTPRequestHandler, int], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The address of the server; `answer` gets each request and its number, from 0."""
    numbers = itertools.count()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, next(numbers))

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def send(request: http.server.BaseHTTPRequestHandler, content: bytes, *, with_length: bool = False) -> None:
    """Answer a request with `content`."""
    request.send_response(200)
    if with_length:
        request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def read_stream(address: str, **options: Any) -> tuple[list[tuple[int, float, int]], list[str]]:
    """([(index, seconds, number in the image)], losses) of a stream."""
    with open_video(address, **options) as video:
        frames = [
            (frame.info.index, round(frame.info.seconds, 3), clips.read_number(frame.image))
            for frame in video
        ]
    return frames, video.losses
