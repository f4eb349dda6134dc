"""mmpose's quarter-offset decoding of heatmaps; the product uses that of the HRNet code."""

from __future__ import annotations

import numpy as np
from posetrack_detectors.decoding.dark_udp import Decoded, FloatArray, cell_size, find_positive_peaks


def decode_quarter(heatmaps: FloatArray, size: tuple[int, int]) -> Decoded:
    """The highest cell moved by 0.25 to the higher neighbour, on each axis independently; `size` (width, height)."""
    cells, heights = find_positive_peaks(heatmaps)
    people, keypoints, rows, columns = heatmaps.shape
    x, y = cells[..., 0].astype(np.int64), cells[..., 1].astype(np.int64)
    person, joint = np.ogrid[:people, :keypoints]
    inner_x = (x > 1) & (x < columns - 1) & (y > 0)
    inner_y = (y > 1) & (y < rows - 1) & (x > 0)
    x_in, y_in = np.clip(x, 1, columns - 2), np.clip(y, 1, rows - 2)
    step_x = np.sign(heatmaps[person, joint, y, x_in + 1] - heatmaps[person, joint, y, x_in - 1])
    step_y = np.sign(heatmaps[person, joint, y_in + 1, x] - heatmaps[person, joint, y_in - 1, x])
    cells += np.stack([step_x * inner_x, step_y * inner_y], axis=2).astype(np.float32) * np.float32(0.25)
    return cells * cell_size(heatmaps, size), heights
