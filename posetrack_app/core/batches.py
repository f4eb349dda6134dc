"""Split items into batches, and join the outputs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from posetrack_app.core.protocols import PoseArrays


def even_shares(count: int, shares: int) -> list[slice]:
    """Split `count` consecutive items into `shares` slices whose lengths differ by at most one."""
    ends = [count * k // shares for k in range(shares + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def joined(parts: Iterable[PoseArrays]) -> PoseArrays:
    """The outputs of a pose network for consecutive batches as one."""
    keypoints, scores, appearance = zip(*parts, strict=True)
    return np.concatenate(keypoints), np.concatenate(scores), np.concatenate(appearance)
