"""Times that start over within a file (recordings joined end to end, DVD titles): each part goes on after the last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

CLOCKED = ("mpegts", "mpeg")
"""FFmpeg's names of the formats that keep the sender's clock, whatever it does."""

_TICKS = 90_000
"""A second of that clock."""

_STEP = _TICKS // 2
"""A greater step back is a new start, unless the next packet takes it back: then it is damage."""

_HALF_ROUND = 1 << 32
"""The clock has 33 bits. One that starts over a minute below its first time is taken by FFmpeg for one that ran over:
it adds 2 ** 33, and what comes next stands 26 hours late."""

Restart = tuple[int, int]
"""Number of a packet, and the ticks by which its time and those after it are moved."""


def find_restarts(stamps: Sequence[tuple[int | None, int | None]], frame: int) -> tuple[Restart, ...]:
    """The restarts in the (dts, pts) of a stream's packets; the first frame of a part stands `frame` after the last."""
    begins = _begins([(number, dts) for number, (dts, _) in enumerate(stamps) if dts is not None])
    restarts: list[Restart] = []
    end = 0
    for begin, stop in zip([0, *begins], [*begins, len(stamps)], strict=True):
        times = [dts if pts is None else pts for dts, pts in stamps[begin:stop]]
        known = [time for time in times if time is not None]
        shift = end + frame - min(known, default=0) if begin else 0
        end = max(known, default=0) + shift
        if begin:
            restarts.append((begin, shift))
    return tuple(restarts)


def _begins(known: Sequence[tuple[int, int]]) -> list[int]:
    found = []
    for (_, before), (number, here), (_, after) in zip(known, known[1:], known[2:], strict=False):
        starts_over = before - here > _STEP or here - before > _HALF_ROUND
        if starts_over and abs(after - here) <= _STEP:
            found.append(number)
    return found


def moved(packets: Iterable[Any], restarts: Sequence[Restart]) -> Iterator[Any]:
    """The packets of a stream, read from its start, with their times moved."""
    left, shift, number = list(restarts), 0, 0
    for packet in packets:
        if packet.size:
            if left and left[0][0] == number:
                shift = left.pop(0)[1]
            number += 1
        if shift and packet.pts is not None:
            packet.pts += shift
        if shift and packet.dts is not None:
            packet.dts += shift
        yield packet


def moved_times(stamps: Sequence[tuple[int | None, int | None]], restarts: Sequence[Restart]) -> list[int]:
    """The moved pts of packets, without those that have none."""
    shifts = dict(restarts)
    shift, times = 0, []
    for number, (_, pts) in enumerate(stamps):
        shift = shifts.get(number, shift)
        if pts is not None:
            times.append(pts + shift)
    return times
