"""Settings to working parts; the only module that names them all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from posetrack_detectors import faster_rcnn
from posetrack_detectors.activation_ranges import Ranges, read_ranges
from posetrack_detectors.calibration import read_calibration
from posetrack_detectors.cascade_rcnn import CascadeRCNN
from posetrack_detectors.checkpoints import CheckpointError, load_weights
from posetrack_detectors.cost import Cost, cost, detector_cost
from posetrack_detectors.faster_rcnn import DetectorSize, FasterRCNN
from posetrack_detectors.int8 import int8_works
from posetrack_detectors.mask_rcnn import MaskRCNN
from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.pose_estimator import Decoding, PoseEstimator
from posetrack_detectors.pose_networks import POSE_NETWORKS
from posetrack_detectors.tensor_file import read_metadata
from posetrack_trackers.flow_tracker import FlowTracker
from posetrack_trackers.oks_tracker import OksTracker
from torch import nn

from posetrack_app.config import Config, DetectorConfig, PoseConfig
from posetrack_app.cores import AT_ONCE, Cores
from posetrack_app.errors import InputError
from posetrack_app.linking import Smoother, Tracker
from posetrack_app.pipeline import Detector, Estimator
from posetrack_app.records import FloatArray
from posetrack_app.skeleton import COCO, POSETRACK, Skeleton
from posetrack_app.skeleton_mapping import DERIVED, MPII, to_posetrack
from posetrack_app.smaller_batches import sparing_detector, sparing_estimator
from posetrack_app.smoothing import OneEuroSmoother
from posetrack_app.weights import Published, embedded, fetch, published, recognise, sha256_of

_Network = TypeVar("_Network", bound=nn.Module)

DETECTORS: dict[str, tuple[type[FasterRCNN], DetectorSize]] = {
    "faster-rcnn-compact": (FasterRCNN, faster_rcnn.COMPACT),
    "faster-rcnn-compact-deep": (FasterRCNN, faster_rcnn.COMPACT_DEEP),
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

SMALL = {"faster-rcnn-compact", "faster-rcnn-compact-deep", "hrnet-compact", "hrnet-compact-deep"}
"""Networks of which one picture does not need all cores, and several at once little memory."""


@dataclass(frozen=True)
class Parts:
    """The networks, for any number of videos, and the facts of them that belong into the output."""

    detector: Detector
    estimator: Estimator
    skeleton: Skeleton
    device: str
    precision: str
    weights: dict[str, dict[str, Any]]
    at_once: int = 1
    """How many frames, and batches of people, are asked for together."""


def build_parts(config: Config, device: str = "auto") -> Parts:
    """Load the networks onto `device` ("auto", "cpu", "cuda", "mps").

    InputError for a missing device, a weight file that is missing, broken or of another network, or too little
    memory on the GPU.
    """
    device = choose_device(device)
    try:
        detector, detector_facts = build_person_detector(config.detector, device, config.precision)
        estimator, pose_facts = _build_estimator(
            config.pose, device, config.precision, appearance=config.tracker.appearance_weight > 0
        )
    except torch.OutOfMemoryError as error:
        raise InputError(
            "the GPU's memory is too small for the networks; free it of other programs, choose smaller networks "
            "or --device cpu"
        ) from error
    detect, estimate, at_once = sparing_detector(detector), sparing_estimator(estimator), 1
    if device == "cpu" and {detector_facts["network"], pose_facts["network"]} <= SMALL:
        cores = Cores()
        detect, estimate, at_once = cores.detector(detector), cores.estimator(estimator), AT_ONCE
    return Parts(
        detect,
        estimate,
        POSETRACK,
        device,
        ", ".join(dict.fromkeys((detector_facts["precision"], pose_facts["precision"]))),
        {"detector": detector_facts, "pose": pose_facts},
        at_once,
    )


def build_tracker(
    config: Config,
    move: Callable[[FloatArray], FloatArray] | None = None,
    skeleton: Skeleton = POSETRACK,
) -> tuple[Tracker, Smoother | None]:
    """A fresh tracker for one video, and its smoother where smoothing is on.

    `move` takes points of one frame to the next, for the method "flow"; `skeleton` is the poses'.
    """
    smoothing = asdict(config.smoothing)
    smoother = OneEuroSmoother(**smoothing) if smoothing.pop("enabled") else None
    settings = asdict(config.tracker)
    del settings["method"]
    tracker: Tracker = OksTracker(sigmas=skeleton.sigmas, **settings)
    if config.tracker.method == "flow":
        tracker = FlowTracker(
            sigmas=skeleton.sigmas,
            confident=config.tracker.confident,
            min_similarity=config.tracker.min_similarity,
            frames=max(1, config.tracker.patience_frames),
            move=move,
        )
    return tracker, smoother


def choose_device(wanted: str) -> str:
    """ "auto" takes CUDA, else Apple's MPS, else the CPU; InputError if the wanted one is not here."""
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if here[name])
    if wanted not in here:
        raise InputError(f"device {wanted}: there is no such one; give auto or one of {', '.join(here)}")
    if not here[wanted]:
        raise InputError(f"--device {wanted}: PyTorch finds none here; use --device cpu")
    return wanted


def choose_precision(wanted: str, device: str, ranges: Ranges | None = None) -> str:
    """ "auto" is int8 on CPUs with VNNI for weights with `ranges`, else bfloat16 where it is the faster one, else float32.

    It is on CUDA from Ampere on, on CPUs with AMX and AMD's with AVX512-BF16; Intel's without AMX (a virtual machine may
    hide it) multiply bfloat16 at half the rate of float32. InputError if int8 is wanted and cannot be.
    """
    if wanted == "int8":
        if device != "cpu":
            raise InputError("precision = 'int8' is for --device cpu; on a GPU take 'auto'")
        if not int8_works():
            raise InputError("precision = 'int8': this processor or PyTorch cannot compute so; take 'auto'")
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float32"
    if device == "cpu":
        # PyTorch before 2.11 does not tell.
        able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        if ranges is not None and (able.get("avx512_vnni") or able.get("avx_vnni")) and int8_works():
            return "int8"
        intel = "Intel" in str(able.get("cpu_name"))
        fast = able.get("amx_bf16") or (able.get("avx512_bf16") and not intel)
        return "bfloat16" if fast else "float32"
    return "float32"


@cache
def cost_of(network: str, outputs: int, crop: tuple[int, int] | None) -> Cost:
    """Parameters and multiply-adds of a network that we build, for one crop, or one picture of 1333 x 800."""
    if crop is not None:
        return cost(partial(POSE_NETWORKS[network], outputs), crop)
    detector, size = DETECTORS[network]
    return detector_cost(lambda: detector(size))


def load_detector(name: str, path: Path, short_side: int = 0, **changes: Any) -> FasterRCNN:
    """The detector of that name with the weights of `path`; `changes` are to its `DetectorSize`."""
    network, size = DETECTORS[name]
    return _load(network(replace(at_short_side(size, short_side), **changes)), path)


def at_short_side(size: DetectorSize, short_side: int) -> DetectorSize:
    """For pictures brought to this short side, the longest long side in proportion; 0 changes nothing."""
    if not short_side:
        return size
    return replace(
        size, short_side=short_side, long_side=round(size.long_side * short_side / size.short_side)
    )


def load_pose_network(name: str, outputs: int, path: Path) -> nn.Module:
    """The pose network of that name with the weights of `path`."""
    return _load(POSE_NETWORKS[name](outputs), path)


def _load(network: _Network, path: Path) -> _Network:
    with _named_errors():
        load_weights(network, path)
    return network


@contextmanager
def _named_errors(path: Path | None = None) -> Iterator[None]:
    """What is wrong with a weight file is the user's to know; `path` where the error does not name it."""
    try:
        yield
    except CheckpointError as error:
        raise InputError(f"{path}: {error}" if path else str(error)) from error


def build_person_detector(
    settings: DetectorConfig, device: str, precision: str
) -> tuple[PersonDetector, dict[str, Any]]:
    """The detector of boxes from `settings.min_score` on, and its facts."""
    name, path, _ = _find_weights(settings, "detector", DETECTORS)
    # Nothing below min_score is wanted, so nothing below it need pass the suppression.
    network = load_detector(name, path, settings.short_side, score_threshold=settings.min_score)
    chosen, arithmetic = _precision(precision, device, path)
    with _named_errors(path):
        detector = PersonDetector(network, device, **arithmetic)
    return detector, _facts(name, settings.weights, path) | {"precision": chosen}


def _build_estimator(
    settings: PoseConfig, device: str, precision: str, *, appearance: bool = False
) -> tuple[Estimator, dict[str, Any]]:
    estimate, facts = build_pose_estimator(settings, device, precision, appearance=appearance)
    return _InPosetrackOrder(estimate, facts["keypoints"]), facts


def build_pose_estimator(
    settings: PoseConfig, device: str, precision: str, *, appearance: bool = False
) -> tuple[PoseEstimator, dict[str, Any]]:
    """The pose net with the keypoints that it was trained for, and its facts; `facts["keypoints"]` is their order."""
    name, path, guide = _find_weights(settings, "pose", POSE_NETWORKS)
    order = guide.keypoints if guide and guide.keypoints else POSETRACK.name
    skeleton = {POSETRACK.name: POSETRACK, COCO.name: COCO, MPII.name: MPII}[order]
    mirrored, outputs = skeleton.mirrored, guide.outputs if guide else len(skeleton.keypoints)
    if guide and guide.source == "package":
        mirrored = (*mirrored, 18, 17)  # the eyes
    size = _crop_size(settings, guide.input if guide else None)
    network = load_pose_network(name, outputs, path)
    chosen, arithmetic = _precision(precision, device, path)
    with _named_errors():
        calibration = read_calibration(path, len(mirrored))
    with _named_errors(path):
        estimate = PoseEstimator(
            network,
            size=size,
            keypoints=len(mirrored),
            mirrored=mirrored if settings.flip_test else None,
            bgr=guide is not None and guide.colour == "BGR",
            decoding=(guide and guide.decoding) or "quarter",
            kernel=(guide and guide.kernel) or 11,
            device=device,
            calibration=calibration,
            appearance=appearance,
            **arithmetic,
        )
    facts = _facts(name, settings.weights, path) | {
        "precision": chosen,
        "input": list(size),
        "decoding": estimate.decoding,
        "keypoints": order,
        "derived": DERIVED.get(order, {}),
    }
    return estimate, facts


def _precision(wanted: str, device: str, path: Path) -> tuple[str, dict[str, Any]]:
    """The precision for the weights of `path`, and a network's arguments for it."""
    ranges = None
    if wanted in ("auto", "int8"):
        with _named_errors():
            ranges = read_ranges(path)
    if wanted == "int8" and ranges is None:
        raise InputError(
            f"{path}: precision = 'int8' needs the activation ranges of weights, which the embedded ones have and those "
            "that `posetrack train` has finished; take 'auto'"
        )
    precision = choose_precision(wanted, device, ranges)
    return precision, {"ranges": ranges} if precision == "int8" else {"dtype": precision}


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
    ) -> tuple[FloatArray, ...]:
        keypoints, scores, *appearance = self.estimate(images, boxes)
        if self.order == POSETRACK.name:
            names = len(POSETRACK.keypoints)
            return keypoints[:, :names], scores[:, :names], *appearance
        return *to_posetrack(self.order, keypoints, scores), *appearance


def _find_weights(
    settings: DetectorConfig | PoseConfig, task: str, known: Collection[str]
) -> tuple[str, Path, Published | None]:
    """The network's name in `known`, its file (fetched if need be), and the weights that tell how to use it."""
    names, shipped = embedded() | published(), embedded()[f"embedded-{task}"]
    weights = shipped.name if settings.weights == "embedded" else settings.weights
    path, entry, like = Path(weights), names.get(weights), names.get(settings.network)
    if entry is None and not path.is_file():
        raise InputError(
            f"[{task}] weights: there is no file {weights} and no published name like that; "
            "see `posetrack weights list`"
        )
    guide = like or entry or recognise(path) or _as_it_says(path, shipped)
    if guide is None and settings.network in ("", shipped.network):
        guide = shipped
    if guide is not None and guide.task != task:
        raise InputError(f"[{task}] weights, network: {guide.name} is for the {guide.task} network")
    name = guide.network if guide and (like or not settings.network) else settings.network
    if name not in known:
        raise InputError(
            f"[{task}] network: posetrack does not build {name}; there are {', '.join(known)}, and the names of "
            "`posetrack models`"
        )
    return name, fetch(entry) if entry else path, guide


def _as_it_says(path: Path, shipped: Published) -> Published | None:
    """How to use a file of `posetrack train`, which says that itself; None for another file."""
    with _named_errors():
        told = read_metadata(path)
    if "network" not in told:
        return None
    height, _, width = told.get("input", "").partition("x")
    crop = (int(width), int(height)) if height.isdigit() and width.isdigit() else shipped.input
    known: dict[str, Decoding] = {"dark": "dark", "dark-smoothed": "dark-smoothed", "quarter": "quarter"}
    return replace(
        shipped,
        name=path.name,
        network=told["network"],
        input=crop,
        decoding=known.get(told.get("decoding", ""), shipped.decoding),
        kernel=int(told["kernel"]) if told.get("kernel", "").isdigit() else shipped.kernel,
    )


def _facts(network: str, weights: str, path: Path) -> dict[str, Any]:
    return {"network": network, "weights": weights, "sha256": sha256_of(path)}
