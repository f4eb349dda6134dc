"""Networks as ONNX files, compared with PyTorch before they count as written."""

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
from numpy.typing import NDArray
from torch import Tensor, nn

from posetrack_detectors.faster_rcnn import FasterRCNN, choose_detections
from posetrack_detectors.person_detector import PERSON, padded_shape, prepare, resized_shape

TOLERANCE = 1e-4
"""Largest difference of heatmaps, as a share of the output's standard deviation; float32 noise is below 1e-5."""
PIXELS, SCORE, AGREE = 0.05, 1e-3, 0.95
"""A detection agrees that differs by less; so many must. Rounding can change who survives a suppression."""
_OPSET = 17
Run = Callable[[dict[str, NDArray[Any]]], Sequence[NDArray[Any]]]


class MissingPackageError(RuntimeError):
    """onnx or onnxruntime is not installed."""


def export_pose_network(network: nn.Module, size: tuple[int, int], target: Path) -> float:
    """Write `network` for any number of crops of `size` (width, height); returns how far ONNX is off.

    The difference is a share of the output's standard deviation, over batches of one and three random crops.
    ArithmeticError if it exceeds TOLERANCE; nothing is left at `target` then.
    """
    network = network.eval()
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(n, 3, size[1], size[0], generator=generator) for n in (1, 3)]
    people = {"crops": {0: "people"}, "heatmaps": {0: "people"}}
    worst = 0.0
    with _written(network, {"crops": batches[0]}, ["heatmaps"], people, target) as run:
        for crops in batches:
            with torch.inference_mode():
                wanted = network(crops).numpy()
            (got,) = run({"crops": crops.numpy()})
            worst = max(worst, float(np.abs(got - wanted).max() / wanted.std()))
        if not worst <= TOLERANCE:
            raise ArithmeticError(
                f"the ONNX network differs from PyTorch by {worst:.1e} of its output's deviation"
            )
    return worst


def export_detector(network: FasterRCNN, picture: tuple[int, int], target: Path) -> tuple[float, int]:
    """Write the detector for frames of `picture` (width, height); the share of detections that agree, of how many.

    The check is on made-up pictures, where a good network sees nothing, so it is done with all classes and a
    threshold that lets about 50 candidates pass. ArithmeticError if fewer than AGREE are alike; nothing is left at
    `target` then.
    """
    network = network.eval()
    inputs = [_network_input(network, image) for image in _made_up_pictures(picture)]
    people = {"boxes": {0: "people"}, "scores": {0: "people"}}
    alike = count = 0
    easy = _OnePicture(network, min(_easy_threshold(network, one) for one in inputs), all_classes=True)
    with (
        TemporaryDirectory() as folder,
        _written(easy, inputs[0], ["boxes", "scores"], people, Path(folder) / "check.onnx") as run,
    ):
        for one in inputs:
            with torch.inference_mode():
                wanted = easy(*one.values())
            got = run({name: value.numpy() for name, value in one.items()})
            rows = [
                np.column_stack([np.asarray(boxes), np.asarray(scores)]) for boxes, scores in (wanted, got)
            ]
            near = np.abs(rows[0][:, None] - rows[1]) <= [PIXELS] * 4 + [SCORE]
            alike += int(near.all(axis=2).any(axis=1).sum())
            count += max(len(rows[0]), len(rows[1]))
        if not 0 < AGREE * count <= alike:
            raise ArithmeticError(f"only {alike} of {count} detections of the ONNX network are PyTorch's")
    asked = _OnePicture(network, network.size.score_threshold)
    with _written(asked, inputs[0], ["boxes", "scores"], people, target) as run:
        run({name: value.numpy() for name, value in inputs[1].items()})
    return alike / count, count


class _OnePicture(nn.Module):
    """(1, 3, H, W) and its (width, height) without padding to boxes and scores, best first; of people or of all."""

    def __init__(self, network: FasterRCNN, score_threshold: float, *, all_classes: bool = False) -> None:
        super().__init__()
        self.network, self.all_classes = network, all_classes
        self.size = replace(network.size, score_threshold=score_threshold)
        self.eval()  # torch.onnx gives a module back in the mode that it had

    def candidates(self, picture: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        network, sizes = self.network, size[None]
        levels = network.pyramid(picture)
        ((proposals, _),) = network.propose(levels, sizes)
        return network.classify(levels, F.pad(proposals, (1, 0)), sizes)

    def forward(self, picture: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
        found, _ = choose_detections(*self.candidates(picture, size), self.size)
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
    """Write `network` beside `target`, give what runs it, and rename it if the caller has nothing against it."""
    try:
        import onnx  # noqa: F401  (torch.onnx needs it and would say so less plainly)
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            f"exporting needs the package {error.name}: pip install 'posetrack-app[export]'"
        ) from None
    part = target.with_name(target.name + ".part")
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            # The older exporter: it needs no onnxscript, and these networks have no control flow.
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


def detector_input(network: FasterRCNN, picture: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the network's input for frames of `picture` (width, height)."""
    return padded_shape([resized_shape(*picture, network.size)])


def _made_up_pictures(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Two pictures with blots of all sizes."""
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(2):
        layers = [
            cv2.resize(
                random.integers(0, 256, (cells, cells, 3)).astype(np.float32),
                size,
                interpolation=cv2.INTER_CUBIC,
            )
            for cells in (4, 12, 40)
        ]
        pictures.append(np.clip(np.mean(layers, axis=0), 0, 255).astype(np.uint8))
    return pictures


def _network_input(network: FasterRCNN, image: NDArray[np.uint8]) -> dict[str, Tensor]:
    pictures, sizes, _ = prepare([image], network.size, torch.device("cpu"))
    return {"picture": pictures, "size": sizes[0]}


@torch.inference_mode()
def _easy_threshold(network: FasterRCNN, one: dict[str, Tensor], candidates: int = 50) -> float:
    """A score that about so many candidates exceed, at most the network's own threshold."""
    probabilities, _ = _OnePicture(network, 0.0).candidates(*one.values())
    best = probabilities.flatten().sort(descending=True).values[:candidates]
    return min(0.999 * float(best[-1]), network.size.score_threshold)
