"""A minimal RTSP server for FFmpeg: H.264 over RTP (RFC 6184), interleaved in the RTSP connection (RFC 2326)."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import IO, Any

import av
import clips

RATE = 25
_PAYLOAD_BYTES = 1200
_SESSION = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=live\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
)
_HEADERS = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(_SESSION)}\r\n",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
    "PLAY": "Session: 1\r\n",
}


class Camera:
    """Its images show the time since it was created, in units of 1/25 s. It closes each connection after some images."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._port = 0

    @property
    def address(self) -> str:
        return f"rtsp://127.0.0.1:{self._port}/live"

    def serve(self, images: int) -> threading.Thread:
        """Start a thread that accepts one client, sends it `images` images, and stops listening."""
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        thread = threading.Thread(target=self._serve, args=(listener, images))
        thread.start()
        return thread

    def _serve(self, listener: socket.socket, images: int) -> None:
        client, _ = listener.accept()
        listener.close()
        with client, client.makefile("rb") as lines, suppress(ConnectionError):
            method = ""
            while method != "PLAY":
                method, number = _request(lines)
                body = _SESSION if method == "DESCRIBE" else ""
                client.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{_HEADERS[method]}\r\n{body}".encode())
            for sequence, (index, mark, payload) in enumerate(self._payloads(images)):
                head = struct.pack(
                    ">BBHII", 0x80, 96 | mark << 7, sequence % 65536, index * 90_000 // RATE, 1
                )
                client.sendall(struct.pack(">BBH", 0x24, 0, len(head + payload)) + head + payload)

    def _payloads(self, images: int) -> Iterator[tuple[int, bool, bytes]]:
        """(index of the image, whether it is the last of the image, payload), each at its time."""
        encoder: Any = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 160, 112, "yuv420p"
        encoder.time_base, encoder.framerate = Fraction(1, RATE), RATE
        encoder.options = {"g": "5", "tune": "zerolatency", "preset": "ultrafast"}
        start = time.monotonic()
        for index in range(images):
            time.sleep(max(0.0, start + index / RATE - time.monotonic()))
            number = round((time.monotonic() - self._began) * RATE) % 256
            frame = av.VideoFrame.from_ndarray(clips.numbered_image(number), "rgb24")
            frame.pts = index
            for packet in encoder.encode(frame):
                units = [unit for unit in re.split(rb"\x00?\x00\x00\x01", bytes(packet)) if unit]
                for place, unit in enumerate(units, 1):
                    parts = _fragments(unit)
                    for part, payload in enumerate(parts, 1):
                        yield index, place == len(units) and part == len(parts), payload


def _request(lines: IO[bytes]) -> tuple[str, str]:
    """Method and sequence number of a request."""
    method = lines.readline().decode().split(" ")[0]
    number = ""
    while line := lines.readline().decode().strip():
        if line.startswith("CSeq:"):
            number = line.partition(":")[2].strip()
    return method, number


def _fragments(unit: bytes) -> list[bytes]:
    """A NAL unit as one payload, or split into FU-A packets."""
    if len(unit) <= _PAYLOAD_BYTES:
        return [unit]
    kind, body = unit[0], unit[1:]
    pieces = [body[at : at + _PAYLOAD_BYTES] for at in range(0, len(body), _PAYLOAD_BYTES)]
    last = len(pieces) - 1
    return [
        bytes([kind & 0xE0 | 28, (k == 0) << 7 | (k == last) << 6 | kind & 0x1F]) + piece
        for k, piece in enumerate(pieces)
    ]
