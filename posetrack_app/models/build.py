"""From settings to networks ready to call: find the weights, choose the precision, add batching and parallelism."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from posetrack_detectors.networks.registry import DETECTORS, POSE_NETWORKS
from posetrack_detectors.person_detector import PersonDetector
from posetrack_detectors.pose_estimator import Decoding, PoseEstimator
from posetrack_detectors.weights.activation_ranges import read_ranges
from posetrack_detectors.weights.calibration import read_calibration
from posetrack_detectors.weights.tensor_file import read_metadata

from posetrack_app.core.config import Config, DetectorConfig, PoseConfig
from posetrack_app.core.errors import InputError
from posetrack_app.core.forks import note_networks, refuse_after_fork
from posetrack_app.core.protocols import Estimator, Networks
from posetrack_app.core.skeletons import COCO, POSETRACK, POSETRACK_EYES
from posetrack_app.models.batching import halving_detector, halving_estimator
from posetrack_app.models.devices import SMALL_NETWORKS, choose_device, choose_precision
from posetrack_app.models.keypoint_order import DERIVED, MPII, InPosetrackOrder
from posetrack_app.models.networks import load_detector, load_pose_network, named_errors
from posetrack_app.models.parallel import AT_ONCE, ParallelNetworks
from posetrack_app.models.weights import (
    Task,
    WeightsSpec,
    embedded,
    fetch,
    published,
    recognise,
    sha256_of,
)

_SKELETONS = {skeleton.name: skeleton for skeleton in (POSETRACK, POSETRACK_EYES, COCO, MPII)}
_DECODINGS: dict[str, Decoding] = {"dark": "dark", "dark-smoothed": "dark-smoothed", "quarter": "quarter"}
"""The decodings that `posetrack train` writes."""


def load_networks(config: Config, device: str = "auto") -> Networks:
    """Load the detector and the pose network onto `device`: "auto", "cpu", "cuda", "cuda:1" or "mps".

    InputError if the device is missing, if a weight file is missing, damaged or of another network, if the GPU has too
    little memory, or if this process was forked from one with networks.
    """
    refuse_after_fork()
    note_networks()
    device = choose_device(device)
    try:
        detector, detector_facts = build_person_detector(config.detector, device, config.precision)
        estimator, pose_facts = _build_estimator(
            config.pose, device, config.precision, appearance=config.tracker.appearance_weight > 0
        )
    except torch.OutOfMemoryError as error:
        raise InputError(
            "the GPU's memory is too small for the networks; stop other programs on the GPU, choose smaller networks or "
            "use the CPU",
            option="device",
        ) from error
    detect, estimate, at_once = halving_detector(detector), halving_estimator(estimator), 1
    if device == "cpu" and {detector_facts["network"], pose_facts["network"]} <= SMALL_NETWORKS:
        parallel = ParallelNetworks()
        detect, estimate, at_once = parallel.detector(detector), parallel.estimator(estimator), AT_ONCE
    return Networks(
        detector=detect,
        estimator=estimate,
        skeleton=POSETRACK,
        device=device,
        precision=", ".join(dict.fromkeys((detector_facts["precision"], pose_facts["precision"]))),
        weights={"detector": detector_facts, "pose": pose_facts},
        at_once=at_once,
    )


def fetch_weights(config: Config) -> None:
    """Download the weights of both networks if they are missing, so that several processes can load them at once.

    InputError as for `load_networks`.
    """
    _find_weights(config.detector, "detector", DETECTORS)
    _find_weights(config.pose, "pose", POSE_NETWORKS)


def build_person_detector(
    settings: DetectorConfig, device: str, precision: str
) -> tuple[PersonDetector, dict[str, Any]]:
    """The detector, which gives boxes with a score of at least `settings.min_score`, and its facts for the output."""
    spec, path = _find_weights(settings, "detector", DETECTORS)
    # Boxes below min_score are dropped later anyway; dropping them before the suppression saves time.
    network = load_detector(spec.network, path, settings.short_side, score_threshold=settings.min_score)
    chosen, arguments = _precision(precision, device, path)
    with named_errors(path):
        detector = PersonDetector(network, device, **arguments)
    return detector, _facts(spec, settings.weights, path) | {"precision": chosen}


def _build_estimator(
    settings: PoseConfig, device: str, precision: str, *, appearance: bool = False
) -> tuple[Estimator, dict[str, Any]]:
    """`build_pose_estimator` with the output in PoseTrack18's order."""
    estimate, facts = build_pose_estimator(settings, device, precision, appearance=appearance)
    return InPosetrackOrder(estimate, facts["keypoints"]), facts


def build_pose_estimator(
    settings: PoseConfig, device: str, precision: str, *, appearance: bool = False
) -> tuple[PoseEstimator, dict[str, Any]]:
    """The pose network with the keypoints that it was trained for, and its facts for the output.

    `facts["keypoints"]` is the name of their skeleton.
    """
    spec, path = _find_weights(settings, "pose", POSE_NETWORKS)
    skeleton = _SKELETONS[spec.keypoints or POSETRACK.name]
    size = _crop_size(settings, spec)
    network = load_pose_network(spec.network, spec.outputs, path)
    chosen, arguments = _precision(precision, device, path)
    with named_errors():
        calibration = read_calibration(path, len(skeleton.keypoints))
    with named_errors(path):
        estimate = PoseEstimator(
            network,
            size=size,
            keypoints=len(skeleton.keypoints),
            mirrored=skeleton.mirrored if settings.flip_test else None,
            bgr=spec.colour == "BGR",
            decoding=spec.decoding or "quarter",
            kernel=spec.kernel or 11,
            device=device,
            calibration=calibration,
            appearance=appearance,
            **arguments,
        )
    facts = _facts(spec, settings.weights, path) | {
        "precision": chosen,
        "input": list(size),
        "decoding": estimate.decoding,
        "keypoints": skeleton.name,
        "derived": DERIVED.get(skeleton.name, {}),
    }
    return estimate, facts


def _precision(wanted: str, device: str, path: Path) -> tuple[str, dict[str, Any]]:
    """The precision for the weights of `path`, and the arguments that set it in a network."""
    ranges = None
    if wanted in ("auto", "int8"):
        with named_errors():
            ranges = read_ranges(path)
    if wanted == "int8" and ranges is None:
        raise InputError(
            f"{path}: precision = 'int8' needs activation ranges, which only the embedded weights and finished "
            "trainings have; use 'auto'"
        )
    precision = choose_precision(wanted, device, ranges)
    return precision, {"ranges": ranges} if precision == "int8" else {"dtype": precision}


def _crop_size(settings: PoseConfig, spec: WeightsSpec) -> tuple[int, int]:
    """(width, height) in pixels: the settings, or the size used in training where they are 0."""
    if spec.input is None and not (settings.input_width and settings.input_height):
        raise InputError(
            f"[pose] input_width, input_height: the crop size of {settings.weights} is unknown; set both, or set network "
            "to the published weights that it was trained like"
        )
    width, height = spec.input or (0, 0)
    return settings.input_width or width, settings.input_height or height


def _find_weights(
    settings: DetectorConfig | PoseConfig, task: Task, networks: Collection[str]
) -> tuple[WeightsSpec, Path]:
    """How to use the weights of the settings, and their file, downloaded if needed; `networks` are those we build."""
    known, default = embedded() | published(), embedded()[f"embedded-{task}"]
    name = default.name if settings.weights == "embedded" else settings.weights
    path, weights, similar = Path(name), known.get(name), known.get(settings.network)
    if weights is None and not path.is_file():
        raise InputError(
            f"[{task}] weights: {name} is neither a file nor the name of published weights; "
            "see `posetrack weights list`"
        )
    spec = similar or weights or recognise(path) or _spec_in_file(path, default)
    if spec is None and settings.network in ("", default.network):
        spec = default
    if spec is None:
        spec = _unknown_weights(path, task, settings.network)
    elif spec.task != task:
        raise InputError(f"[{task}] weights, network: {spec.name} is for the {spec.task} network")
    if settings.network and not similar:
        spec = replace(spec, network=settings.network)
    if spec.network not in networks:
        raise InputError(
            f"[{task}] network: {spec.network} is not supported; choose one of {', '.join(networks)}, or a name in "
            "`posetrack models`"
        )
    return spec, fetch(weights) if weights else path


def _spec_in_file(path: Path, default: WeightsSpec) -> WeightsSpec | None:
    """How to use a file of `posetrack train`, from its metadata; None for another file."""
    with named_errors():
        stored = read_metadata(path)
    if "network" not in stored:
        return None
    height, _, width = stored.get("input", "").partition("x")
    return WeightsSpec(
        name=path.name,
        task=default.task,
        network=stored["network"],
        input=(int(width), int(height)) if height.isdigit() and width.isdigit() else default.input,
        outputs=default.outputs,
        keypoints=default.keypoints,
        colour=default.colour,
        decoding=_DECODINGS.get(stored.get("decoding", ""), default.decoding),
        kernel=int(stored["kernel"]) if stored.get("kernel", "").isdigit() else default.kernel,
    )


def _unknown_weights(path: Path, task: Task, network: str) -> WeightsSpec:
    """For a file about which nothing but the network is known: PoseTrack18's keypoints and the simplest decoding."""
    return WeightsSpec(
        name=path.name,
        task=task,
        network=network,
        input=None,
        outputs=len(POSETRACK.keypoints),
        keypoints="posetrack18",
        colour="RGB",
        decoding="quarter",
        kernel=None,
    )


def _facts(spec: WeightsSpec, weights: str, path: Path) -> dict[str, Any]:
    return {"network": spec.network, "weights": weights, "sha256": sha256_of(path)}
