"""The state of a run for Prometheus: the text format 0.0.4 over HTTP, on this machine only unless asked otherwise.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from posetrack_app.core.errors import InputError
from posetrack_app.jobs.many.board import Board
from posetrack_app.jobs.many.summary import STATES


def parse_address(text: str) -> tuple[str, int]:
    """("9100") -> ("127.0.0.1", 9100), and "0.0.0.0:9100" for all network interfaces; InputError for another text."""
    match = re.fullmatch(r"(?:([0-9A-Za-z._-]+):)?(\d{1,5})", text)
    if match is None or int(match[2]) > 65535:
        raise InputError(
            f"'{text}' is not a port; give 9100, or 0.0.0.0:9100 for all networks", option="metrics"
        )
    return match[1] or "127.0.0.1", int(match[2])


def metrics_text(board: Board) -> str:
    """All metrics of one moment."""
    busy = sum(bool(row.video) for row in board.rows)
    running = sum(row.done for row in board.rows if row.video)
    samples: list[tuple[str, str, str, dict[str, float]]] = [
        ("videos", "gauge", "Videos of this run.", {"": board.videos}),
        (
            "videos_finished_total",
            "counter",
            "Videos that ended, by state.",
            {f'state="{state}"': board.states[state] for state in STATES},
        ),
        ("frames_total", "counter", "Frames of finished videos.", {"": board.frames}),
        ("people_total", "counter", "People in finished videos.", {"": board.people}),
        ("frames_running", "gauge", "Frames done of the videos in work.", {"": running}),
        ("workers", "gauge", "Workers, by what they do.",
         {'state="busy"': busy, 'state="idle"': len(board.rows) - busy}),
        ("worker_restarts_total", "counter", "Workers that were replaced.", {"": board.restarts}),
        ("stage_seconds_total", "counter", "Time of finished videos, by stage.",
         {f'stage="{name}"': seconds for name, seconds in sorted(board.stage_seconds.items())}),
        ("run_seconds", "gauge", "Time since the start.", {"": round(time.monotonic() - board.began, 3)}),
    ]  # fmt: skip
    lines = []
    for name, kind, text, values in samples:
        lines += [f"# HELP posetrack_{name} {text}", f"# TYPE posetrack_{name} {kind}"]
        lines += [
            f"posetrack_{name}{{{label}}} {value}" if label else f"posetrack_{name} {value}"
            for label, value in values.items()
        ]
    return "\n".join(lines) + "\n"


@contextmanager
def serve_metrics(board: Board, address: str | None) -> Iterator[int]:
    """Serve /metrics in a thread while the block runs; gives the port, 0 if `address` is None.

    InputError if the address cannot be used, for example because another program has the port.
    """
    if address is None:
        yield 0
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404, "the metrics are at /metrics")
                return
            content = metrics_text(board).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Requests are not logged."""

    try:
        server = ThreadingHTTPServer(parse_address(address), Handler)
    except OSError as error:
        raise InputError(
            f"metrics cannot be served at {address} ({error.strerror})", option="metrics"
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
