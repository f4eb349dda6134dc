"""Small networks on a CPU: several pictures at once, each on cores of its own.

Their layers are over too soon to be worth sharing out among cores, and what is between them runs on one anyway. The
answers are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import numpy as np
import torch
from numpy.typing import NDArray

from posetrack_app.pipeline import Detector, Estimator, even_shares
from posetrack_app.records import FloatArray

AT_ONCE = 4
"""Frames that wait for each other, and batches of people, on any number of cores: a run may be resumed on another."""
_setting = Lock()
"""Held while PyTorch's number of threads, of which there is one a process, is another for a moment."""


class Cores:
    """As many threads as PyTorch would use, `AT_ONCE` at most, of which each has PyTorch use its share of the cores."""

    def __init__(self) -> None:
        with _setting:
            threads = torch.get_num_threads()
            self.count = max(1, min(threads, AT_ONCE))
            self._pool = ThreadPoolExecutor(self.count)
            together = Barrier(self.count)

            def take_share() -> None:
                torch.get_num_threads()  # a thread's first question sets it to what all begin with
                torch.set_num_threads(threads // self.count)
                together.wait()

            try:
                for begun in [self._pool.submit(take_share) for _ in range(self.count)]:
                    begun.result()
            finally:
                together.abort()  # where not all could be started the others would wait for ever
                torch.set_num_threads(threads)  # it is also what later threads begin with

    def detector(self, detector: Detector) -> Detector:
        """The same detector; of several pictures each goes to the next free thread."""

        def detect(images: Sequence[NDArray[np.uint8]], /) -> Sequence[tuple[FloatArray, FloatArray]]:
            if len(images) < 2:
                return detector(images)
            return [
                pair for found in self._pool.map(lambda image: detector([image]), images) for pair in found
            ]

        return detect

    def estimator(self, estimator: Estimator) -> Estimator:
        """The same estimator; two people or more a thread are shared out evenly."""

        def estimate(
            images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
        ) -> tuple[FloatArray, ...]:
            if len(images) < 2 * self.count:
                return estimator(images, boxes)

            def share(rows: slice) -> tuple[FloatArray, ...]:
                return estimator(images[rows], boxes[rows])

            parts = self._pool.map(share, even_shares(len(images), self.count))
            return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

        return estimate
