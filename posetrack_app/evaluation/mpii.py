"""PCKh of MPII: percentage of keypoints within half a head size.

Andriluka et al., "2D Human Pose Estimation", CVPR 2014; computed as in the HRNet authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posetrack_app.core.errors import InputError

_COLUMNS = {
    "Head": (9,),
    "Shoulder": (12, 13),
    "Elbow": (11, 14),
    "Wrist": (10, 15),
    "Hip": (2, 3),
    "Knee": (1, 4),
    "Ankle": (0, 5),
}
_NOT_AVERAGED = (6, 7)  # pelvis and thorax
_FINE_THRESHOLD = float(np.arange(0, 0.51, 0.01)[11])  # the HRNet code prints "Mean@0.1", but uses 0.11


def score_pckh(
    truth_path: Path, truth: Mapping[str, Any], predicted_path: Path, predicted: Mapping[str, Any]
) -> dict[str, float]:
    """Percentages by column, for parsed files.

    `truth`: `gt` (N, 16, 2) 1-based pixels, `joint_missing` (N, 16), `head_box_x1y1x2y2` (N, 4);
    `predicted`: `pred` (N, 16, 2) 0-based pixels. Raises InputError
    if numbers are missing or a head box is invalid.
    """
    joints = _table(truth_path, truth, "gt", (-1, 16, 2))
    missing = _table(truth_path, truth, "joint_missing", (len(joints), 16)) != 0
    heads = _table(truth_path, truth, "head_box_x1y1x2y2", (len(joints), 4))
    found = _table(predicted_path, predicted, "pred", (len(joints), 16, 2)) + 1
    size = 0.6 * np.linalg.norm(heads[:, 2:] - heads[:, :2], axis=1)
    unusable = np.flatnonzero(~(size > 0))  # NaN too
    if len(unusable):
        raise InputError(
            f"{truth_path}: person {unusable[0]} has no valid head box in 'head_box_x1y1x2y2', which PCKh needs; "
            "remove the person from both files"
        )
    error = np.linalg.norm(found - joints, axis=2) / size[:, None]
    visible = (~missing).sum(axis=0)
    averaged = visible.astype(np.float64)
    averaged[list(_NOT_AVERAGED)] = 0

    def percent(threshold: float) -> Any:
        right = ((error <= threshold) & ~missing).sum(axis=0)
        return 100 * right / np.maximum(1, visible)

    shares = percent(0.5)
    scores = {name: float(shares[list(columns)].mean()) for name, columns in _COLUMNS.items()}
    weights = averaged / max(1.0, averaged.sum())
    scores["Mean"] = float((shares * weights).sum())
    scores["Mean@0.1"] = float((percent(_FINE_THRESHOLD) * weights).sum())
    return scores


def _table(path: Path, content: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> Any:
    try:
        table = np.array(content[key], np.float64)
        return table.reshape(len(table), *shape[1:]) if shape[0] < 0 else table.reshape(shape)
    except (KeyError, TypeError, ValueError):
        wanted = " x ".join("N" if n < 0 else str(n) for n in shape)
        raise InputError(f"{path}: needs '{key}' with {wanted} numbers") from None
