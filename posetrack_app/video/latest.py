"""The latest picture of a sender that does not wait."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

from posetrack_app.video.pyav_frames import Picture


class Latest:
    """Takes pictures in a thread of its own and gives the latest; `passed` counts those nobody came for."""

    def __init__(self, pictures: Generator[Picture, None, None]) -> None:
        self.passed = 0
        self._pictures = pictures
        self._ready = threading.Condition()
        self._next: Picture | None = None
        self._failure: BaseException | None = None
        self._is_over = self._is_closed = False
        threading.Thread(target=self._take, daemon=True).start()

    def close(self) -> None:
        """End the thread, and the connection, with the next picture that comes."""
        self._is_closed = True

    def __iter__(self) -> Iterator[Picture]:
        while True:
            with self._ready:
                while self._next is None and not self._is_over:
                    self._ready.wait(0.5)  # a wait without end would not hear ctrl-C on every system
                picture, self._next = self._next, None
            if picture is None:
                if self._failure is not None:
                    raise self._failure
                return
            yield picture

    def _take(self) -> None:
        try:
            for picture in self._pictures:
                with self._ready:
                    self.passed += self._next is not None
                    self._next = picture
                    self._ready.notify()
                if self._is_closed:
                    break
        except BaseException as error:
            self._failure = error  # raised where the pictures are asked for
        self._pictures.close()
        with self._ready:
            self._is_over = True
            self._ready.notify()
