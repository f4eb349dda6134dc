"""Small networks on a CPU: several pictures at once, each on a core of its own.

Their layers are over too soon to be worth sharing out among cores, and what is between them runs on one anyway. The
answers are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import torch
from numpy.typing import NDArray

from posetrack_app.pipeline import Detector, Estimator
from posetrack_app.records import FloatArray

MOST = 8
"""Pictures that may wait for each other; of a live stream they are this late."""
_FEWEST_PEOPLE = 4
"""Crops that a core takes together at least."""


class Cores:
    """As many threads as PyTorch would use, `MOST` at most, of which each has PyTorch use its share of the cores."""

    def __init__(self) -> None:
        threads = torch.get_num_threads()
        self.count = max(1, min(threads, MOST))
        self._pool = ThreadPoolExecutor(self.count)
        together = Barrier(self.count)

        def take_share() -> None:
            torch.get_num_threads()  # a thread's first question sets it to what all begin with
            torch.set_num_threads(threads // self.count)
            together.wait()

        for begun in [self._pool.submit(take_share) for _ in range(self.count)]:
            begun.result()
        torch.set_num_threads(threads)  # it is also what later threads begin with

    def detector(self, detector: Detector) -> Detector:
        """The same detector; of several pictures each goes to the next free core."""

        def detect(images: Sequence[NDArray[np.uint8]], /) -> Sequence[tuple[FloatArray, FloatArray]]:
            return [
                pair for found in self._pool.map(lambda image: detector([image]), images) for pair in found
            ]

        return detect

    def estimator(self, estimator: Estimator) -> Estimator:
        """The same estimator; the people are shared out among the cores."""

        def estimate(
            images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
        ) -> tuple[FloatArray, ...]:
            people = max(_FEWEST_PEOPLE, -(-len(images) // self.count))
            starts = range(0, max(1, len(images)), people)
            parts = self._pool.map(
                lambda start: estimator(images[start : start + people], boxes[start : start + people]), starts
            )
            return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

        return estimate
