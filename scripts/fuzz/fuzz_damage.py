"""Damage for scripts/fuzz/fuzz.py: to the bytes of a file, or to the values of JSON."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import numpy as np

Random = np.random.Generator


def damaged_bytes(data: bytes, random: Random, span: tuple[int, int] | None = None) -> bytes:
    """A copy with some bytes flipped, zeroed, cut off, removed or repeated; with `span` only changed in place, inside it."""
    start, end = span or (0, len(data))
    content = bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        place = int(random.integers(start, max(start + 1, end)))
        length = int(2 ** random.uniform(0, 12))
        stop = min(place + length, end)
        kind = random.choice(
            ["flip", "zero", "noise"] if span else ["flip", "zero", "noise", "cut", "remove", "repeat"]
        )
        if kind == "flip" and content:
            content[min(place, len(content) - 1)] ^= 1 << int(random.integers(8))
        elif kind == "zero":
            content[place:stop] = bytes(max(0, stop - place))
        elif kind == "noise":
            content[place:stop] = random.bytes(max(0, stop - place))
        elif kind == "cut":
            del content[place:]
        elif kind == "remove":
            del content[place:stop]
        elif kind == "repeat":
            content[place:place] = content[place:stop]
        end = min(end, len(content)) if span is None else end
    return bytes(content)


def damaged_file(content: Any, random: Random) -> bytes:
    """`content` as a JSON file with damaged values or, less often, damaged bytes."""
    if random.uniform() < 0.7:
        return json.dumps(damaged_json(content, random)).encode()
    return damaged_bytes(json.dumps(content).encode(), random)


ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 1e308, -1e308, 1e15, 1e-300, 0.5, float("nan"),
    float("inf"), "", "x", "../../etc/passwd", "a\nb", "\ud800", "é" * 300, [], {}, [[]], [0] * 51, [None], {"": 0},
    [1e14] * 51, [1e14, 1e14, 1e14, 1e14], [0, 0, 0, 0],
)  # fmt: skip


def damaged_json(content: Any, random: Random) -> Any:
    """A copy in which some values are replaced, removed, repeated or swapped."""
    content = json.loads(json.dumps(content))
    for _ in range(int(random.integers(1, 4))):
        parent, key = content, None
        for _ in range(int(random.integers(1, 7))):
            if not isinstance(parent, (dict, list)) or not parent:
                break
            key = (
                random.choice(list(parent)) if isinstance(parent, dict) else int(random.integers(len(parent)))
            )
            if not isinstance(parent[key], (dict, list)) or not parent[key] or random.uniform() < 0.15:
                break
            parent, key = parent[key], None
        if key is None or not isinstance(parent, (dict, list)) or not parent:
            continue
        kind = random.choice(["odd", "odd", "odd", "remove", "repeat", "swap"])
        if kind == "odd":
            parent[key] = deepcopy(ODD_VALUES[int(random.integers(len(ODD_VALUES)))])
        elif kind == "remove":
            del parent[key]
        elif isinstance(parent, list):
            other = int(random.integers(len(parent)))
            if kind == "repeat":
                parent.insert(other, deepcopy(parent[key]))
            else:
                parent[key], parent[other] = parent[other], parent[key]
    return content
