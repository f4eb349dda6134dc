"""The newest frame of a live source, for readers that are slower than the source."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

from posetrack_app.video.pyav_frames import TimedImage


class NewestFrame:
    """Reads frames in its own thread and yields the newest one; `skipped` counts the frames that were replaced."""

    def __init__(self, images: Generator[TimedImage, None, None]) -> None:
        self.skipped = 0
        self._images = images
        self._changed = threading.Condition()
        self._next: TimedImage | None = None
        self._error: BaseException | None = None
        self._has_ended = self._is_closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        """Let the thread end, and close the source, after the next frame."""
        self._is_closed = True

    def __iter__(self) -> Iterator[TimedImage]:
        while True:
            with self._changed:
                while self._next is None and not self._has_ended:
                    self._changed.wait(0.5)  # on some systems ctrl-C does not end a wait without a timeout
                image, self._next = self._next, None
            if image is None:
                if self._error is not None:
                    raise self._error
                return
            yield image

    def _read(self) -> None:
        try:
            for image in self._images:
                with self._changed:
                    self.skipped += self._next is not None
                    self._next = image
                    self._changed.notify()
                if self._is_closed:
                    break
        except BaseException as error:
            self._error = error  # raised in the reader's thread
        self._images.close()
        with self._changed:
            self._has_ended = True
            self._changed.notify()
