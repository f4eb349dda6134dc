"""Frames of a video file from decord, one piece of the file at a time to bound the memory.

decord 0.6 and decord2 3.4 decode ahead in the background without a limit: a slow reader ends with the entire video in
memory (dmlc/decord issues 157, 208 and 304). So decord gets short pieces: some groups of pictures, copied without
decoding into a small Matroska file in memory.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import av

from posetrack_app.video.info import DecoderFailedError
from posetrack_app.video.probe import Probe, open_stream
from posetrack_app.video.pyav_frames import TimedImage

_PIECE_FRAMES = 64
"""A piece ends at the first key frame after this many frames. Opening a piece takes about a millisecond."""

_PIECE_BYTES = 384 << 20
"""Largest size of the decoded images of a piece; a longer group of pictures is not given to decord."""


class DecordImages:
    """Yields the frames `wanted` of a file. After the first one, `name` says which decord is running, on which device.

    `size` is (width, height) as displayed. `device` "cuda" uses the GPU if decord was built for it. Raises
    DecoderFailedError, here or while iterating, if decord must not or cannot read the file, or stops before its end.
    """

    def __init__(self, video: Probe, wanted: range, size: tuple[int, int], device: str) -> None:
        if video.no_decord:
            raise DecoderFailedError(video.no_decord)
        # decord2 3.4.0 loads NVIDIA's libraries, nvblas included, with global symbols. If torch is loaded later, its matrix
        # products call nvblas and crash.
        import torch  # noqa: F401
        import decord  # isort: skip

        decord.logging.set_level(decord.logging.QUIET)
        self._decord = decord
        # DECORDLimitReachedError (duplicated frames) is not a subclass of DECORDError.
        self._failures = (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError)
        self._video = video
        self._wanted = wanted
        self._size = size
        self._gpu = device.startswith("cuda")
        self._card = int(device.partition(":")[2] or 0)
        self.name = f"decord {decord.__version__}, {'GPU' if self._gpu else 'CPU'}"

    def __iter__(self) -> Iterator[TimedImage]:
        times = self._video.seconds
        for pts, piece in _pieces(self._video, self._wanted, self._size):
            reader = self._open(piece)
            if len(reader) != len(pts):
                raise DecoderFailedError(f"decord finds {len(reader)} frames in a piece of {len(pts)}")
            done = range(self._video.index_of(pts[0]) or 0, 0)
            for time in pts:
                index = self._video.index_of(time)
                decoded = self._next(reader, index, done)
                if index is None:
                    continue  # before the start of an edit list: decoded but not displayed
                done = range(done.start, index + 1)
                if index in self._wanted:
                    image = decoded.asnumpy()
                    if image.shape[1::-1] != self._size:  # the size changes mid-video
                        raise DecoderFailedError(f"frame {index} has another size")
                    yield index, times[index], image

    def _open(self, piece: bytes) -> Any:
        # fault_tol: stop at a broken frame instead of repeating its neighbour.
        settings: dict[str, Any] = {"num_threads": 0, "fault_tol": 1e-9}
        failures = (*self._failures, AssertionError)
        if self._gpu:
            try:
                return self._decord.VideoReader(
                    io.BytesIO(piece), ctx=self._decord.gpu(self._card), **settings
                )
            except failures:
                self._gpu = False
                self.name = f"decord {self._decord.__version__}, CPU (this decord has no CUDA support, or there is no GPU)"
        try:
            return self._decord.VideoReader(io.BytesIO(piece), ctx=self._decord.cpu(0), **settings)
        except failures as error:
            raise DecoderFailedError(f"decord cannot open the file ({_reason(error)})") from error

    def _next(self, reader: Any, index: int | None, done: range) -> Any:
        try:
            return reader.next()
        except (*self._failures, StopIteration) as error:
            reason = _reason(error)
            raise DecoderFailedError(
                f"decord stopped at frame {done.stop if index is None else index} ({reason})",
                done if "duplicate" in reason else range(0),
            ) from error


def _pieces(video: Probe, wanted: range, size: tuple[int, int]) -> Iterator[tuple[list[int], bytes]]:
    """(rising pts, Matroska file) of consecutive pieces of the video stream that contain the frames `wanted`."""
    max_frames = _PIECE_BYTES // (size[0] * size[1] * 3)
    piece: list[Any] = []
    try:
        with open_stream(video.path, video.stream) as (container, stream):
            if wanted.start:
                container.seek(video.pts[wanted.start], stream=stream, backward=True)
            for group in _groups(container, stream):
                if len(group) > max_frames:
                    raise DecoderFailedError(
                        f"decord would hold {len(group)} frames between two key frames in memory"
                    )
                if piece and (len(piece) >= _PIECE_FRAMES or len(piece) + len(group) > max_frames):
                    yield _packed(piece, stream)
                    piece = []
                if group[0].pts > video.pts[wanted[-1]]:
                    break
                piece += group
            if piece:
                yield _packed(piece, stream)
    except (av.FFmpegError, ValueError) as error:
        raise DecoderFailedError(f"this stream cannot be split for decord ({error})") from error


def _groups(container: Any, stream: Any) -> Iterator[list[Any]]:
    """The packets of a stream, in groups that start with a key frame."""
    group: list[Any] = []
    for packet in container.demux(stream):
        if packet.is_keyframe and group:
            yield group
            group = []
        if packet.size:
            group.append(packet)
    if group:
        yield group


def _packed(packets: list[Any], stream: Any) -> tuple[list[int], bytes]:
    """The rising pts of packets, and a file that holds only them; they must decode without the packets around them."""
    pts = sorted(packet.pts for packet in packets)
    if not packets[0].is_keyframe or pts[0] != packets[0].pts:
        raise DecoderFailedError("decord cannot start at the key frames: frames near them need earlier ones")
    file = io.BytesIO()
    container: Any = av.open(file, "w", format="matroska")
    with container:
        copy = container.add_stream_from_template(stream)
        for packet in packets:
            packet.stream = copy
            container.mux(packet)
    return pts, file.getvalue()


def _reason(error: BaseException) -> str:
    """The first line of decord's text, without its time, file and line number."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\[[\d:]+\] |\S+\.cc:\d+: |\[[^\]]*\]", "", lines[0]).strip()[:120]
