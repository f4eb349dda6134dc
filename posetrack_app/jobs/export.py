"""`posetrack export`: a network with its weights as an ONNX file, compared with PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from posetrack_detectors.networks.registry import DETECTORS, POSE_NETWORKS
from posetrack_detectors.onnx_export import (
    MissingPackageError,
    detector_input,
    export_detector,
    export_pose_network,
)

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import StrPath, refuse_to_replace
from posetrack_app.models.download import Progress, no_progress
from posetrack_app.models.networks import load_detector, load_pose_network
from posetrack_app.models.weights import WeightsSpec, fetch, find


@dataclass(frozen=True)
class ExportReport:
    """What was written to `out`: its `input` in words, and the result of the `comparison` with PyTorch."""

    out: Path
    input: str
    comparison: str

    def summary(self) -> str:
        """Two lines for the user."""
        return f"{self.out}: {self.input}\n{self.comparison}"


def export_network(
    name: str,
    out: StrPath | None = None,
    *,
    frame_size: tuple[int, int] = (1920, 1080),
    folder: Path | None = None,
    force: bool = False,
    progress: Progress = no_progress,
) -> ExportReport:
    """Write published or embedded weights as ONNX and compare the outputs with PyTorch: `posetrack export`.

    Args:
        name: the weights, a name from `posetrack models`.
        out: the file to write; default: `name`.onnx in the current folder.
        frame_size: width and height of the frames that a detector's input is made for.
        folder: where weight files are kept.
        force: overwrite an existing file.
        progress: called during a download with the bytes done and the bytes in total (None if unknown).

    Raises InputError for unknown names, a missing ONNX package and anything that cannot be read or written.
    """
    weights = find(name)
    target = Path(f"{name}.onnx") if out is None else Path(out)
    if not force:
        refuse_to_replace(target)
    if weights.network not in {*DETECTORS, *POSE_NETWORKS}:
        raise InputError(
            f"{name} is for {weights.network}, which posetrack does not build; see `posetrack models`"
        )
    file = fetch(weights, folder, progress=progress)
    try:
        if weights.input is None:
            return _export_detector(weights, file, target, frame_size)
        return _export_pose_network(weights, weights.input, file, target)
    except MissingPackageError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror})") from None


def _export_detector(
    weights: WeightsSpec, file: Path, target: Path, frame_size: tuple[int, int]
) -> ExportReport:
    detector = load_detector(weights.network, file)
    share, count = export_detector(detector, frame_size, target)
    width, height = detector_input(detector, frame_size)
    return ExportReport(
        target,
        f"{weights.colour} image {width}x{height} (width x height)",
        f"{share:.1%} of {count} detections in generated images are the same as PyTorch's",
    )


def _export_pose_network(
    weights: WeightsSpec, size: tuple[int, int], file: Path, target: Path
) -> ExportReport:
    network = load_pose_network(weights.network, weights.outputs, file)
    difference = export_pose_network(network, size, target)
    return ExportReport(
        target,
        f"{weights.colour} crops {size[0]}x{size[1]} (width x height), {weights.outputs} heatmaps",
        f"largest difference from PyTorch: {difference:.1e} of the output's standard deviation",
    )
