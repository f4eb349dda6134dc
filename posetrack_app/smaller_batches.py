"""Networks that go on with smaller batches where the GPU's memory is too small for the ones asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from posetrack_app.errors import InputError
from posetrack_app.pipeline import Detector, Estimator
from posetrack_app.records import FloatArray

_Answer = TypeVar("_Answer")


class _Batches:
    """Cuts one network's batches to what the memory held so far."""

    def __init__(self, network: str) -> None:
        self._network = network
        self._most = sys.maxsize

    def compute(self, count: int, answer: Callable[[slice], _Answer]) -> list[_Answer]:
        """The answers for consecutive slices of `count` items; InputError where even one item is too much."""
        answers: list[_Answer] = []
        start = 0
        while start < count or not answers:
            rows = slice(start, min(start + self._most, count))
            try:
                answers.append(answer(rows))
                start = rows.stop
                continue
            except torch.OutOfMemoryError as error:
                if rows.stop - rows.start <= 1:
                    raise InputError(
                        f"the GPU's memory is too small for the {self._network} network, even one picture at a "
                        "time; free it of other programs, choose a smaller network or --device cpu"
                    ) from error
            # Outside of the except: its traceback would keep the failed batch's tensors alive.
            self._most = (rows.stop - rows.start) // 2
            torch.cuda.empty_cache()
            print(
                f"posetrack: out of GPU memory; the {self._network} network goes on with batches of {self._most} "
                f"(set [{self._network}] batch to that to begin with it)",
                file=sys.stderr,
            )
        return answers


def sparing_detector(detector: Detector) -> Detector:
    """The same detector; batches that do not fit into memory are halved, from then on."""
    batches = _Batches("detector")

    def detect(images: Sequence[NDArray[np.uint8]], /) -> Sequence[tuple[FloatArray, FloatArray]]:
        return [
            pair
            for part in batches.compute(len(images), lambda rows: detector(images[rows]))
            for pair in part
        ]

    return detect


def sparing_estimator(estimator: Estimator) -> Estimator:
    """The same estimator; batches that do not fit into memory are halved, from then on."""
    batches = _Batches("pose")

    def estimate(
        images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, ...]:
        parts = batches.compute(len(images), lambda rows: estimator(images[rows], boxes[rows]))
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    return estimate
