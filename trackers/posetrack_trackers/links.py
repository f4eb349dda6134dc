"""A tracker's output for one frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Links:
    """The ids of one frame's poses.

    A track is confirmed, and gets its id, only after several sightings. `earlier` then gives that id to the
    track's poses in previous frames.
    """

    ids: Ids
    """(N,) id of every pose; 0 if it belongs to no confirmed track."""

    earlier: list[tuple[int, int, int]] = field(default_factory=list)
    """(frames ago, row, id) for rows of previous frames."""
