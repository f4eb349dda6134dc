"""torchvision's compiled operators, without its Python package.

`import torchvision` takes about 2 s, because it imports all its models and PyTorch's compiler; the operators are in one
library beside them. Gradients and ONNX forms are in the package, so training and export import it. If the library is
not where it is expected, the package is imported after all.
"""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

_LIBRARIES = ("_C_stable", "_C")
"""Names of the library, newest first."""


def _load() -> None:
    package = find_spec("torchvision")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for name in _LIBRARIES:
            for ending in (".so", *EXTENSION_SUFFIXES):
                file = Path(folder, name + ending)
                if file.is_file():
                    torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
                    return
    import torchvision.ops  # noqa: F401


_load()


def nms(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """Indices of the boxes (N, 4) that non-maximum suppression at IoU `overlap` keeps, highest score (N,) first."""
    kept: Tensor = torch.ops.torchvision.nms(boxes, scores, overlap)
    return kept


def roi_align(features: Tensor, rois: Tensor, side: int, scale: float) -> Tensor:
    """(R, C, side, side) features of `rois` (R, 5): index of the image, box in pixels; He et al., ICCV 2017.

    `features` (N, C, H, W) have `scale` cells per pixel. Pixel centres are aligned, with as many samples as a bin has
    cells.
    """
    pooled: Tensor = torch.ops.torchvision.roi_align(features, rois, scale, side, side, 0, True)
    return pooled
