"""Settings to working parts; the only module that names them all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from posetrack_detectors import faster_rcnn
from posetrack_detectors.calibration import read_calibration
from posetrack_detectors.cascade_rcnn import CascadeRCNN
from posetrack_detectors.checkpoints import CheckpointError, load_weights
from posetrack_detectors.faster_rcnn import DetectorSize, FasterRCNN
from posetrack_detectors.mask_rcnn import MaskRCNN
from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.pose_estimator import PoseEstimator
from posetrack_detectors.pose_networks import POSE_NETWORKS
from posetrack_trackers.flow_tracker import FlowTracker
from posetrack_trackers.oks_tracker import OksTracker

from posetrack_app.config import Config, DetectorConfig, PoseConfig
from posetrack_app.errors import InputError
from posetrack_app.linking import Smoother, Tracker
from posetrack_app.pipeline import Detector, Estimator
from posetrack_app.records import FloatArray
from posetrack_app.skeleton import COCO, POSETRACK, Skeleton
from posetrack_app.skeleton_mapping import DERIVED, MPII, to_posetrack
from posetrack_app.smoothing import OneEuroSmoother
from posetrack_app.weights import Published, fetch, published, recognise, sha256_of

EMBEDDED = Path(__file__).parent / "embedded"
EMBEDDED_POSE = "hrnet-compact"
EMBEDDED_INPUT = (192, 256)
EMBEDDED_OUTPUTS = 19
"""The 17 of PoseTrack18, then the eyes."""

DETECTORS: dict[str, tuple[type[FasterRCNN], DetectorSize]] = {
    "faster-rcnn-compact": (FasterRCNN, faster_rcnn.COMPACT),
    "faster-rcnn-w18": (FasterRCNN, faster_rcnn.W18),
    "faster-rcnn-w32": (FasterRCNN, faster_rcnn.W32),
    "faster-rcnn-w40": (FasterRCNN, faster_rcnn.W40),
    "faster-rcnn-w48": (FasterRCNN, faster_rcnn.W48),
    "cascade-rcnn-w18": (CascadeRCNN, faster_rcnn.W18),
    "cascade-rcnn-w32": (CascadeRCNN, faster_rcnn.W32),
    "cascade-rcnn-w40": (CascadeRCNN, faster_rcnn.W40),
    "mask-rcnn-w18": (MaskRCNN, faster_rcnn.W18),
    "mask-rcnn-w32": (MaskRCNN, faster_rcnn.W32),
    "mask-rcnn-w40": (MaskRCNN, faster_rcnn.W40),
}


@dataclass(frozen=True)
class Parts:
    """The networks, for any number of videos, and the facts of them that belong into the output."""

    detector: Detector
    estimator: Estimator
    skeleton: Skeleton
    device: str
    precision: str
    weights: dict[str, dict[str, Any]]


def build_parts(config: Config, device: str = "auto") -> Parts:
    """Load the networks onto `device` ("auto", "cpu", "cuda", "mps").

    InputError for a missing device or a weight file that is missing, broken or of another network.
    """
    device = choose_device(device)
    precision = choose_precision(config.precision, device)
    detector, detector_facts = _build_detector(config, device, precision)
    estimator, pose_facts = _build_estimator(config.pose, device, precision)
    return Parts(
        detector, estimator, POSETRACK, device, precision,
        {"detector": detector_facts, "pose": pose_facts},
    )  # fmt: skip


def build_tracker(config: Config) -> tuple[Tracker, Smoother | None]:
    """A fresh tracker for one video, and its smoother where smoothing is on."""
    smoothing = asdict(config.smoothing)
    smoother = OneEuroSmoother(**smoothing) if smoothing.pop("enabled") else None
    settings = asdict(config.tracker)
    del settings["method"]
    tracker: Tracker = OksTracker(sigmas=POSETRACK.sigmas, **settings)
    if config.tracker.method == "flow":
        tracker = FlowTracker(
            sigmas=POSETRACK.sigmas,
            confident=config.tracker.confident,
            min_similarity=config.tracker.min_similarity,
            frames=config.tracker.patience_frames,
        )
    return tracker, smoother


def choose_device(wanted: str) -> str:
    """ "auto" takes CUDA, else Apple's MPS, else the CPU; InputError if the wanted one is not here."""
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if here[name])
    if not here[wanted]:
        raise InputError(f"--device {wanted}: PyTorch finds none here; use --device cpu")
    return wanted


def choose_precision(wanted: str, device: str) -> str:
    """ "auto" is bfloat16 where it is computed natively: CUDA from Ampere on, CPUs with AVX512-BF16 or AMX."""
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float32"
    if device == "cpu":
        able = torch.cpu.get_capabilities()
        return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"
    return "float32"


def _build_detector(config: Config, device: str, precision: str) -> tuple[Detector, dict[str, Any]]:
    settings = config.detector
    name, _ = _find_network(settings, "detector", "faster-rcnn-compact", DETECTORS)
    path = _find_file(settings.weights, "detector")
    # Nothing below min_score is wanted, so nothing below it need pass the suppression.
    network_class, size = DETECTORS[name]
    network = network_class(replace(size, score_threshold=settings.min_score))
    _load(network, path)
    return PersonDetector(network, device, precision), _facts(name, settings.weights, path)


def _build_estimator(settings: PoseConfig, device: str, precision: str) -> tuple[Estimator, dict[str, Any]]:
    name, entry = _find_network(settings, "pose", EMBEDDED_POSE, POSE_NETWORKS)
    path = _find_file(settings.weights, "pose")
    order = entry.keypoints if entry and entry.keypoints else POSETRACK.name
    skeleton = {POSETRACK.name: POSETRACK, COCO.name: COCO, MPII.name: MPII}[order]
    mirrored, outputs = skeleton.mirrored, entry.outputs if entry else len(skeleton.keypoints)
    if name == EMBEDDED_POSE:
        mirrored, outputs = (*mirrored, 18, 17), EMBEDDED_OUTPUTS
    size = _crop_size(settings, entry.input if entry else EMBEDDED_INPUT if name == EMBEDDED_POSE else None)
    network = POSE_NETWORKS[name](outputs)
    _load(network, path)
    estimate = PoseEstimator(
        network,
        size=size,
        keypoints=len(mirrored),
        mirrored=mirrored if settings.flip_test else None,
        bgr=entry is not None and entry.colour == "BGR",
        decoding=(entry and entry.decoding) or "quarter",
        kernel=(entry and entry.kernel) or 11,
        device=device,
        dtype=precision,
        calibration=read_calibration(path),
    )
    facts = _facts(name, settings.weights, path) | {
        "input": list(size),
        "decoding": estimate.decoding,
        "keypoints": order,
        "derived": DERIVED.get(order, {}),
    }
    return _InPosetrackOrder(estimate, order), facts


def _crop_size(settings: PoseConfig, trained: tuple[int, int] | None) -> tuple[int, int]:
    """(width, height) of the settings, and where they hold 0 that of the training."""
    if trained is None and not (settings.input_width and settings.input_height):
        raise InputError(
            f"[pose] input_width, input_height: say the crop's size that {settings.weights} was trained with, "
            "or give as network the published weights it was trained like"
        )
    width, height = trained or (0, 0)
    return settings.input_width or width, settings.input_height or height


@dataclass(frozen=True)
class _InPosetrackOrder:
    """An estimator whose keypoints are PoseTrack18's 17."""

    estimate: PoseEstimator
    order: str

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[FloatArray], /
    ) -> tuple[FloatArray, FloatArray]:
        keypoints, scores = self.estimate(images, boxes)
        if self.order == POSETRACK.name:
            names = len(POSETRACK.keypoints)
            return keypoints[:, :names], scores[:, :names]
        return to_posetrack(self.order, keypoints, scores)


def _find_network(
    settings: DetectorConfig | PoseConfig, task: str, embedded: str, known: Collection[str]
) -> tuple[str, Published | None]:
    """The network's name in `known`, and the published weights that tell how to use it, where there are."""
    weights, network = settings.weights, settings.network
    entry = published().get(weights) or (recognise(Path(weights)) if Path(weights).is_file() else None)
    if entry is not None and entry.task != task:
        raise InputError(f"[{task}] weights: {weights} is for the {entry.task} network")
    like = published().get(network)
    if like is not None and like.task == task:
        entry, network = like, like.network
    name = network or (entry.network if entry else embedded)
    if name in known:
        return name, entry
    if network:
        raise InputError(
            f"[{task}] network: there is no '{network}'; there are {', '.join(known)}, "
            "and the names of `posetrack models`"
        )
    raise InputError(f"[{task}] weights: {weights} is for {name}, which posetrack does not build")


def _find_file(weights: str, task: str) -> Path:
    """The file of "embedded", of a published name (fetched if need be), or the path itself."""
    if weights == "embedded":
        return EMBEDDED / f"{task}.safetensors"
    entry = published().get(weights)
    if entry is not None:
        return fetch(entry)
    if Path(weights).is_file():
        return Path(weights)
    raise InputError(
        f"[{task}] weights: there is no file {weights} and no published name like that; see `posetrack weights list`"
    )


def _load(network: torch.nn.Module, path: Path) -> None:
    try:
        load_weights(network, path)
    except CheckpointError as error:
        raise InputError(str(error)) from error


def _facts(network: str, weights: str, path: Path) -> dict[str, Any]:
    return {"network": network, "weights": weights, "sha256": sha256_of(path)}
