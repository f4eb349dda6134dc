"""How a decoded frame is displayed: its display matrix, and the image that is turned and mirrored by it."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

Matrix = tuple[int, int, int, int]
"""(a, b, c, d) of a display matrix in 16.16 fixed point: x' = a x + c y, y' = b x + d y (ISO 14496-12)."""

_UPRIGHT: Matrix = (1 << 16, 0, 0, 1 << 16)

_SIDE_DATA_NUMBERS = 64
"""FFmpeg 8 has 32 types of side data, numbered from 0."""


def display_matrix(frame: Any) -> Matrix:
    """The display matrix of a frame. Phones and cameras store it in the container or, for JPEG, PNG and WebP, as EXIF.

    Read it once per video: PyAV's side data refers back to its frame, and such a cycle waits for the garbage collector.
    At 1080p, 700 MiB of frames stayed in memory.
    """
    try:
        side_data = frame.side_data
    except ValueError:
        side_data = _with_known_side_data(frame).side_data
    data = side_data.get("DISPLAYMATRIX")
    if data is None:
        return _UPRIGHT
    nine = struct.unpack("=9i", bytes(data))
    return nine[0], nine[1], nine[3], nine[4]


def _with_known_side_data(frame: Any) -> Any:
    """A copy of the frame without side data of types that PyAV does not know.

    PyAV 18 raises ValueError for a frame with a type that is newer than its own list (EXIF, the eye of a spatial video).
    """
    known: set[Any] = {kind.value for kind in Type}
    graph = Graph()
    unknown = [number for number in range(_SIDE_DATA_NUMBERS) if number not in known]
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        ),
        *(graph.add("sidedata", f"mode=delete:type={number}") for number in unknown),
        graph.add("buffersink"),
    ).configure()
    graph.vpush(frame)
    return graph.vpull()


def clockwise_rotation(matrix: Matrix) -> int:
    """The rotation of a display matrix: 0, 90, 180 or 270 degrees, applied after a left-right flip if the matrix mirrors."""
    a, b, c, d = matrix
    if a * d < b * c:
        a, b = -a, -b
    return round(math.degrees(math.atan2(b, a)) / 90) % 4 * 90


def as_displayed(frame: Any, matrix: Matrix) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, rotated and mirrored."""
    a, b, c, d = matrix
    is_sideways = abs(b) > abs(a)
    image = frame.to_ndarray(format="rgb24")
    if is_sideways:
        image = image.transpose(1, 0, 2)
    flip_x, flip_y = (c < 0, b < 0) if is_sideways else (a < 0, d < 0)
    image = image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(image)
