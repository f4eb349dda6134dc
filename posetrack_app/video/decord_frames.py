"""Frames of one video file by decord, a piece of the file at a time, so that memory stays bounded.

decord (0.6 and decord2 3.4 alike) pushes packets in a loop until its first picture is there and decodes them all in the
background: a reader that takes its time ends with the whole video in memory (dmlc/decord issues 157, 208 and 304). So it
is given pieces: some groups of pictures, copied without decoding into a small Matroska file in memory.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import av

from posetrack_app.video.info import DecoderFailedError
from posetrack_app.video.probe import Probe, open_stream
from posetrack_app.video.pyav_frames import Picture

_PIECE_FRAMES = 64
"""A piece ends at the first key frame after this many frames: opening one costs about a millisecond."""

_PIECE_BYTES = 384 << 20
"""A piece whose pictures would take more, all decoded, is not given to decord."""


class DecordPictures:
    """Iterates decord's pictures of the frames `wanted`; `name` says which decord runs, once the first one is there.

    `size` is (width, height) as displayed. `device` "cuda" takes the GPU where decord was built for it. The iterator
    raises DecoderFailedError where the file cannot be read so, or no further.
    """

    def __init__(self, video: Probe, wanted: range, size: tuple[int, int], device: str) -> None:
        # decord opens NVIDIA's libraries for everybody, nvblas among them. A torch that is loaded after it takes its matrix
        # products from there, and crashes (decord2 3.4.0).
        import torch  # noqa: F401
        import decord  # isort: skip

        decord.logging.set_level(decord.logging.QUIET)
        self._decord = decord
        # The second one, of duplicated frames, is no kind of the first.
        self._failures = (decord.DECORDError, decord.DECORDLimitReachedError, RuntimeError)
        self._video = video
        self._wanted = wanted
        self._size = size
        self._gpu = device.startswith("cuda")
        self.name = f"decord {decord.__version__}, {'GPU' if self._gpu else 'CPU'}"

    def __iter__(self) -> Iterator[Picture]:
        times = self._video.seconds
        for pts, piece in _pieces(self._video, self._wanted, self._size):
            reader = self._open(piece)
            if len(reader) != len(pts):
                raise DecoderFailedError(f"decord counts {len(reader)} frames in a piece of {len(pts)}")
            done = range(self._video.index_of(pts[0]) or 0, 0)
            for place in pts:
                index = self._video.index_of(place)
                picture = self._next(reader, index, done)
                if index is None:
                    continue  # before the start of an edit list: decoded, never shown
                done = range(done.start, index + 1)
                if index in self._wanted:
                    image = picture.asnumpy()
                    if (
                        image.shape[1::-1] != self._size
                    ):  # the film changes its size: PyAV brings all to the first
                        raise DecoderFailedError(f"decord's frame {index} is of another size")
                    yield index, times[index], image

    def _open(self, piece: bytes) -> Any:
        # fault_tol: a frame that decord would fill in with a copy of its neighbour ends the reading instead.
        settings: dict[str, Any] = {"num_threads": 0, "fault_tol": 1e-9}
        failures = (*self._failures, AssertionError)
        if self._gpu:
            try:
                return self._decord.VideoReader(io.BytesIO(piece), ctx=self._decord.gpu(0), **settings)
            except failures:
                self._gpu = False
                self.name = (
                    f"decord {self._decord.__version__}, CPU (this decord has no CUDA, or there is no GPU)"
                )
        try:
            return self._decord.VideoReader(io.BytesIO(piece), ctx=self._decord.cpu(0), **settings)
        except failures as error:
            raise DecoderFailedError(f"decord cannot open it ({_last_words(error)})") from error

    def _next(self, reader: Any, index: int | None, done: range) -> Any:
        try:
            return reader.next()
        except (*self._failures, StopIteration) as error:
            words = _last_words(error)
            raise DecoderFailedError(
                f"decord stopped at frame {done.stop if index is None else index} ({words})",
                done if "duplicate" in words else range(0),
            ) from error


def _pieces(video: Probe, wanted: range, size: tuple[int, int]) -> Iterator[tuple[list[int], bytes]]:
    """(rising pts, Matroska file) of consecutive pieces of the video stream, from before `wanted` to behind it."""
    most = _PIECE_BYTES // (size[0] * size[1] * 3)
    piece: list[Any] = []
    try:
        with open_stream(video.path) as (container, stream):
            if wanted.start:
                container.seek(video.pts[wanted.start], stream=stream, backward=True)
            for group in _groups(container, stream):
                if len(group) > most:
                    raise DecoderFailedError(
                        f"decord would hold {len(group)} frames between key frames in memory"
                    )
                if piece and (len(piece) >= _PIECE_FRAMES or len(piece) + len(group) > most):
                    yield _packed(piece, stream)
                    piece = []
                if group[0].pts > video.pts[wanted[-1]]:
                    break
                piece += group
            if piece:
                yield _packed(piece, stream)
    except (av.FFmpegError, ValueError) as error:
        raise DecoderFailedError(f"decord cannot be given this stream ({error})") from error


def _groups(container: Any, stream: Any) -> Iterator[list[Any]]:
    """The stream's packets from one key frame to before the next."""
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
    """Copy packets into a file of their own; they must decode without what comes before or after them."""
    pts = sorted(packet.pts for packet in packets)
    if not packets[0].is_keyframe or pts[0] != packets[0].pts:
        raise DecoderFailedError(
            "decord cannot start at its key frames: their neighbours need the frames before"
        )
    file = io.BytesIO()
    container: Any = av.open(file, "w", format="matroska")
    with container:
        copy = container.add_stream_from_template(stream)
        for packet in packets:
            packet.stream = copy
            container.mux(packet)
    return pts, file.getvalue()


def _last_words(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"^\[[\d:]+\] |\S+\.cc:\d+: |\[[^\]]*\]", "", lines[0]).strip()[:120]
