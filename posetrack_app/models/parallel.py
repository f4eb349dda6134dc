"""Small networks on the CPU: several images in parallel, each on its share of the cores.

The layers of these networks are too short to split across cores, and the code between layers is single-threaded. The
outputs are the same as without parallelism.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import numpy as np
import torch
from numpy.typing import NDArray

from posetrack_app.core.batches import even_shares, joined
from posetrack_app.core.protocols import Detector, Estimator, PoseArrays
from posetrack_app.core.records import FloatArray

AT_ONCE = 4
"""Images processed in parallel; fixed, so that a run can resume on a machine with another number of cores."""
_thread_count = Lock()
"""Held while the process-wide PyTorch thread count is changed."""


class ParallelNetworks:
    """A pool of at most `AT_ONCE` threads; each runs PyTorch on its share of the cores.

    `count` is the number of threads.
    """

    def __init__(self) -> None:
        with _thread_count:
            threads = torch.get_num_threads()
            self.count = max(1, min(threads, AT_ONCE))
            self._pool = ThreadPoolExecutor(self.count)
            all_started = Barrier(self.count)

            def take_share() -> None:
                torch.get_num_threads()  # the first call in a thread sets its count to the process-wide one
                torch.set_num_threads(threads // self.count)
                all_started.wait()

            try:
                for started in [self._pool.submit(take_share) for _ in range(self.count)]:
                    started.result()
            finally:
                all_started.abort()  # if a thread could not start, release the others
                torch.set_num_threads(threads)  # also the count with which later threads start

    def detector(self, detector: Detector) -> Detector:
        """The same detector; of several images, each goes to the next free thread."""

        def detect(images: Sequence[NDArray[np.uint8]], /) -> Sequence[tuple[FloatArray, FloatArray]]:
            if len(images) < 2:
                return detector(images)
            return [
                pair for found in self._pool.map(lambda image: detector([image]), images) for pair in found
            ]

        return detect

    def estimator(self, estimator: Estimator) -> Estimator:
        """The same estimator; from two people per thread on, each thread gets an equal share of the people."""

        def estimate(images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
            if len(images) < 2 * self.count:
                return estimator(images, boxes)

            def share(rows: slice) -> PoseArrays:
                return estimator(images[rows], boxes[rows])

            return joined(self._pool.map(share, even_shares(len(images), self.count)))

        return estimate
