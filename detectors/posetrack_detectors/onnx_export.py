"""Export networks to ONNX; every file is checked against PyTorch before it gets its name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision.ops  # noqa: F401  registers the ONNX form of its operators
from numpy.typing import NDArray
from torch import Tensor, nn

from posetrack_detectors.networks.faster_rcnn import FasterRCNN, choose_detections
from posetrack_detectors.person_detector import PERSON, padded_shape, prepare, resized_shape

TOLERANCE = 1e-4
"""Largest difference of heatmaps, as a share of the output's standard deviation; float32 noise is below 1e-5."""
BOX_TOLERANCE, SCORE_TOLERANCE, MIN_AGREEMENT = 0.05, 1e-3, 0.95
"""Detections agree within these pixels and this score; this share must agree, as rounding can change an NMS decision."""
_OPSET = 17
Run = Callable[[dict[str, NDArray[Any]]], Sequence[NDArray[Any]]]


class MissingPackageError(RuntimeError):
    """onnx or onnxruntime is not installed."""


def export_pose_network(network: nn.Module, size: tuple[int, int], target: Path) -> float:
    """Write `network` as ONNX for any number of crops of `size` (width, height).

    Returns the largest difference from PyTorch over batches of one and three random crops, as a share of the output's
    standard deviation. Raises ArithmeticError, and leaves nothing at `target`, if it exceeds TOLERANCE.
    """
    network = network.eval()
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(n, 3, size[1], size[0], generator=generator) for n in (1, 3)]
    dynamic_axes = {"crops": {0: "people"}, "heatmaps": {0: "people"}}
    worst = 0.0
    with _written(network, {"crops": batches[0]}, ["heatmaps"], dynamic_axes, target) as run:
        for crops in batches:
            with torch.inference_mode():
                expected = network(crops).numpy()
            (got,) = run({"crops": crops.numpy()})
            worst = max(worst, float(np.abs(got - expected).max() / expected.std()))
        if not worst <= TOLERANCE:
            raise ArithmeticError(
                f"the ONNX output differs from PyTorch's by {worst:.1e} of its standard deviation; "
                f"at most {TOLERANCE:.0e} is allowed, so nothing was written"
            )
    return worst


def export_detector(network: FasterRCNN, image_size: tuple[int, int], target: Path) -> tuple[float, int]:
    """Write the detector as ONNX for frames of `image_size` (width, height).

    Returns the share of detections that agree with PyTorch and how many were compared. The check runs on synthetic
    images, in which a good network finds no people, so it uses all classes and a threshold that about 50 boxes pass.
    Raises ArithmeticError, and leaves nothing at `target`, if fewer than MIN_AGREEMENT agree.
    """
    network = network.eval()
    inputs = [_network_input(network, image) for image in _synthetic_images(image_size)]
    dynamic_axes = {"boxes": {0: "people"}, "scores": {0: "people"}}
    agreeing = count = 0
    low_threshold = min(_low_threshold(network, one) for one in inputs)
    permissive = _SingleImageDetector(network, low_threshold, all_classes=True)
    with (
        TemporaryDirectory() as folder,
        _written(
            permissive, inputs[0], ["boxes", "scores"], dynamic_axes, Path(folder) / "check.onnx"
        ) as run,
    ):
        for one in inputs:
            with torch.inference_mode():
                expected = permissive(*one.values())
            got = run({name: value.numpy() for name, value in one.items()})
            rows = [
                np.column_stack([np.asarray(boxes), np.asarray(scores)]) for boxes, scores in (expected, got)
            ]
            near = np.abs(rows[0][:, None] - rows[1]) <= [BOX_TOLERANCE] * 4 + [SCORE_TOLERANCE]
            agreeing += int(near.all(axis=2).any(axis=1).sum())
            count += max(len(rows[0]), len(rows[1]))
        if not 0 < MIN_AGREEMENT * count <= agreeing:
            raise ArithmeticError(
                f"only {agreeing} of {count} ONNX detections agree with PyTorch's; nothing was written"
            )
    detector = _SingleImageDetector(network, network.size.score_threshold)
    with _written(detector, inputs[0], ["boxes", "scores"], dynamic_axes, target) as run:
        run({name: value.numpy() for name, value in inputs[1].items()})
    return agreeing / count, count


class _SingleImageDetector(nn.Module):
    """`image` (1, 3, H, W) and its (width, height) without padding to boxes and scores, best first.

    Returns people only, or all classes.
    """

    def __init__(self, network: FasterRCNN, score_threshold: float, *, all_classes: bool = False) -> None:
        super().__init__()
        self.network, self.all_classes = network, all_classes
        self.size = replace(network.size, score_threshold=score_threshold)
        self.eval()  # torch.onnx.export restores the mode it finds

    def classify(self, image: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        network, sizes = self.network, size[None]
        levels = network.pyramid(image)
        ((proposals, _),) = network.propose(levels, sizes)
        return network.classify(levels, F.pad(proposals, (1, 0)), sizes)

    def forward(self, image: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        found, _ = choose_detections(*self.classify(image, size), self.size)
        if self.all_classes:
            return found.boxes, found.scores
        people = found.labels == PERSON
        return found.boxes[people], found.scores[people]


@contextmanager
def _written(
    network: nn.Module,
    inputs: dict[str, Tensor],
    outputs: list[str],
    dynamic_axes: dict[str, dict[int, str]],
    target: Path,
) -> Iterator[Run]:
    """Write `network` beside `target` and yield a function that runs it; rename it unless the block raises."""
    try:
        import onnx  # noqa: F401  (torch.onnx needs it; its own error is less clear)
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            f"exporting needs the package {error.name}: pip install 'posetrack-app[export]'"
        ) from None
    part = target.with_name(target.name + ".part")
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            # The older exporter works without onnxscript; these networks have no control flow.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                tuple(inputs.values()),
                str(part),
                dynamo=False,
                opset_version=_OPSET,
                input_names=list(inputs),
                output_names=outputs,
                dynamic_axes=dynamic_axes,
            )
        session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
        yield lambda feed: session.run(None, feed)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def detector_input(network: FasterRCNN, image_size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the network's input for frames of `image_size` (width, height)."""
    return padded_shape([resized_shape(*image_size, network.size)])


def _synthetic_images(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Two images of random blobs of several sizes."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(2):
        layers = [
            cv2.resize(
                rng.integers(0, 256, (cells, cells, 3)).astype(np.float32),
                size,
                interpolation=cv2.INTER_CUBIC,
            )
            for cells in (4, 12, 40)
        ]
        images.append(np.clip(np.mean(layers, axis=0), 0, 255).astype(np.uint8))
    return images


def _network_input(network: FasterRCNN, image: NDArray[np.uint8]) -> dict[str, Tensor]:
    batch, sizes, _ = prepare([image], network.size, torch.device("cpu"))
    return {"image": batch, "size": sizes[0]}


@torch.inference_mode()
def _low_threshold(network: FasterRCNN, one: dict[str, Tensor], boxes: int = 50) -> float:
    """A score threshold that about `boxes` boxes pass, at most the network's own."""
    probabilities, _ = _SingleImageDetector(network, 0.0).classify(*one.values())
    best = probabilities.flatten().sort(descending=True).values[:boxes]
    return min(0.999 * float(best[-1]), network.size.score_threshold)
