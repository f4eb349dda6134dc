"""Networks that continue with smaller batches when the GPU runs out of memory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from posetrack_app.core.batches import joined
from posetrack_app.core.errors import InputError
from posetrack_app.core.protocols import Detector, Estimator, PoseArrays
from posetrack_app.core.records import FloatArray

_logger = logging.getLogger("posetrack")
_Output = TypeVar("_Output")


class _Batches:
    """Splits the batches of one network into sizes that fitted into memory so far."""

    def __init__(self, network: str) -> None:
        self._network = network
        self._largest = sys.maxsize

    def compute(self, count: int, network: Callable[[slice], _Output]) -> list[_Output]:
        """The outputs of `network` for consecutive slices of `count` items; InputError if not even one item fits."""
        outputs: list[_Output] = []
        start = 0
        while start < count or not outputs:
            rows = slice(start, min(start + self._largest, count))
            try:
                outputs.append(network(rows))
                start = rows.stop
                continue
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if rows.stop - rows.start <= 1:
                    raise InputError(
                        f"the GPU's memory is too small for the {self._network} network, even for one image; stop "
                        "other programs on the GPU, choose a smaller network or use the CPU",
                        option="device",
                    ) from error
            # Outside of `except`, whose traceback would keep the tensors of the failed batch alive.
            self._largest = (rows.stop - rows.start) // 2
            _free_memory()
            _logger.warning(
                "out of GPU memory; the %s network continues with batches of %d (set [%s] batch = %d to start with them)",
                self._network, self._largest, self._network, self._largest,
            )  # fmt: skip
        return outputs


def _is_out_of_memory(error: Exception) -> bool:
    """Also of cuDNN, cuBLAS and Apple's GPUs, which raise a plain RuntimeError."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(
        sign in text for sign in ("out of memory", "_STATUS_ALLOC_FAILED")
    )


def _free_memory() -> None:
    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def halving_detector(detector: Detector) -> Detector:
    """The same detector; a batch that does not fit into memory is halved, and so are all later ones."""
    batches = _Batches("detector")

    def detect(images: Sequence[NDArray[np.uint8]], /) -> Sequence[tuple[FloatArray, FloatArray]]:
        parts = batches.compute(len(images), lambda rows: detector(images[rows]))
        return [pair for part in parts for pair in part]

    return detect


def halving_estimator(estimator: Estimator) -> Estimator:
    """The same estimator; a batch that does not fit into memory is halved, and so are all later ones."""
    batches = _Batches("pose")

    def estimate(images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /) -> PoseArrays:
        return joined(batches.compute(len(images), lambda rows: estimator(images[rows], boxes[rows])))

    return estimate
