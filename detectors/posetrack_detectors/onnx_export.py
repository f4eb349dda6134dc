"""Pose networks as ONNX files, compared with PyTorch before they count as written."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

TOLERANCE = 1e-4
"""Largest difference allowed, as a share of the output's standard deviation; float32 noise is below 1e-5."""
_OPSET = 17


class MissingPackageError(RuntimeError):
    """onnx or onnxruntime is not installed."""


def export_pose_network(network: nn.Module, size: tuple[int, int], target: Path) -> float:
    """Write `network` for any number of crops of `size` (width, height); returns how far ONNX is off.

    The difference is a share of the output's standard deviation, over batches of one and three random crops.
    ArithmeticError if it exceeds TOLERANCE; nothing is left at `target` then.
    """
    try:
        import onnx  # noqa: F401  (torch.onnx needs it and would say so less plainly)
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            f"exporting needs the package {error.name}: pip install 'posetrack-app[export]'"
        ) from None
    network = network.eval()
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(n, 3, size[1], size[0], generator=generator) for n in (1, 3)]
    part = target.with_name(target.name + ".part")
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            # The older exporter: it needs no onnxscript, and these networks have no control flow.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (batches[0],),
                str(part),
                dynamo=False,
                opset_version=_OPSET,
                input_names=["crops"],
                output_names=["heatmaps"],
                dynamic_axes={"crops": {0: "people"}, "heatmaps": {0: "people"}},
            )
        session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
        worst = 0.0
        for crops in batches:
            with torch.inference_mode():
                wanted = network(crops).numpy()
            (got,) = session.run(None, {"crops": crops.numpy()})
            worst = max(worst, float(np.abs(got - wanted).max() / wanted.std()))
        if not worst <= TOLERANCE:
            raise ArithmeticError(
                f"the ONNX network differs from PyTorch by {worst:.1e} of its output's deviation"
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return worst
