"""Frames as JPEG by index: one thread decodes, the newest frames stay in memory, and it reads ahead."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from posetrack_app.video.any_frame import AnyFrame

_CACHE_BYTES = 256 << 20
_AHEAD = 32
"""Frames that are read ahead of the newest request."""
_BEHIND = 24
"""Frames that are also read when a request goes back: the next ones will be before it."""
_REACH = 48
"""A frame this far ahead is reached by decoding on, not by a jump to its key frame."""
_QUALITY = 85
_LONGEST_SIDE = 1920
"""Larger frames are reduced; the page draws in the coordinates of the video."""


def encode(image: NDArray[np.uint8], longest_side: int, quality: int, suffix: str = ".jpg") -> bytes:
    """The image (H, W, 3) RGB as JPEG or WebP, reduced so that no side is longer than `longest_side` pixels."""
    height, width = image.shape[:2]
    scale = longest_side / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    parameter = cv2.IMWRITE_WEBP_QUALITY if suffix == ".webp" else cv2.IMWRITE_JPEG_QUALITY
    _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [parameter, quality])
    return encoded.tobytes()


class FrameStore:
    """Gives the frames of `video` as JPEG to any number of threads; a context manager."""

    def __init__(self, video: AnyFrame, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self._video = video
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cache_bytes, self._used = cache_bytes, 0
        self._asked: list[int] = []
        """Indices that threads wait for; the newest request is last and is served first."""
        self._unreadable: set[int] = set()
        self._newest = -1
        self._images: Iterator[tuple[int, NDArray[np.uint8]]] = iter(())
        self._position = self._end = video.frame_count
        self._changed = threading.Condition()
        self._is_open = True
        self._thread = threading.Thread(target=self._work, name="review-frames", daemon=True)
        self._thread.start()

    def __enter__(self) -> FrameStore:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        self._thread.join()

    def get(self, index: int) -> bytes | None:
        """Frame `index` as JPEG; None if there is no such frame or it cannot be decoded."""
        if not 0 <= index < self._end:
            return None
        with self._changed:
            self._newest = index
            if index not in self._cache and index not in self._unreadable:
                self._asked.append(index)
            self._changed.notify_all()
            while self._is_open and index not in self._cache and index not in self._unreadable:
                self._changed.wait()
            if index in self._cache:
                self._cache.move_to_end(index)
            return self._cache.get(index)

    def _work(self) -> None:
        """The decoding thread. If it fails, waiting threads get no frame, and the error is reported as usual."""
        try:
            self._decode_requests()
        finally:
            with self._changed:
                self._is_open = False
                self._changed.notify_all()

    def _decode_requests(self) -> None:
        """The newest request first, then the frames ahead of it."""
        while True:
            with self._changed:
                target = self._next_target()
                while self._is_open and target is None:
                    self._changed.wait()
                    target = self._next_target()
                if not self._is_open or target is None:
                    return
                first = self._start_for(target)
            if first is not None:
                self._images, self._position = self._video.frames_from(first), first
            self._decode_to(target)

    def _next_target(self) -> int | None:
        while self._asked:
            if self._asked[-1] not in self._cache and self._asked[-1] not in self._unreadable:
                return self._asked[-1]
            self._asked.pop()
        ahead = range(self._newest + 1, min(self._newest + 1 + _AHEAD, self._end))
        if self._newest < 0:
            return None
        return next((i for i in ahead if i not in self._cache and i not in self._unreadable), None)

    def _start_for(self, target: int) -> int | None:
        """Where to start decoding for `target`; None: decode on."""
        if self._position <= target < self._position + _REACH:
            return None
        is_back = self._position - 4 * _REACH < target < self._position
        return max(0, target - _BEHIND) if is_back else target

    def _decode_to(self, target: int) -> None:
        """Decode on until `target` is in the cache or is known to be unreadable."""
        for index, image in self._images:
            encoded = encode(image, _LONGEST_SIDE, _QUALITY)
            with self._changed:
                self._unreadable.update(range(self._position, index))
                self._position = index + 1
                self._keep(index, encoded)
                self._changed.notify_all()
                # A newer request goes first.
                if index >= target or not self._is_open or (self._asked and self._asked[-1] != target):
                    return
        with self._changed:
            self._unreadable.update(range(self._position, self._end))
            self._position = self._end
            self._changed.notify_all()

    def _keep(self, index: int, encoded: bytes) -> None:
        old = self._cache.pop(index, b"")
        self._cache[index] = encoded
        self._used += len(encoded) - len(old)
        while self._used > self._cache_bytes and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            self._used -= len(oldest)
