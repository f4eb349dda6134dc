"""Timestamps that restart within a file (recordings joined end to end, DVD titles): shift each part behind the previous one.

MPEG program and transport streams carry their sender's 33-bit clock of 90 kHz, and it may jump.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

CLOCKED = ("mpegts", "mpeg")
"""FFmpeg's names of the formats whose timestamps may restart."""

_TICKS_PER_SECOND = 90_000

_STEP = _TICKS_PER_SECOND // 2
"""A larger backward step is a restart, unless the next packet undoes it (damage)."""

_HALF_RANGE = 1 << 32
"""Half the range of the clock. If a part starts up to a minute before the file's first time, FFmpeg assumes that the
clock has wrapped around and adds 2 ** 33 ticks: the part appears 26 hours later, a forward step larger than this."""

Restart = tuple[int, int]
"""Number of a packet, and the ticks to add to its timestamps and those of the packets after it."""


def find_restarts(stamps: Sequence[tuple[int | None, int | None]], frame: int) -> tuple[Restart, ...]:
    """The restarts in the (dts, pts) of a stream's packets. Each part starts `frame` ticks after the end of the previous."""
    starts = _part_starts([(number, dts) for number, (dts, _) in enumerate(stamps) if dts is not None])
    restarts: list[Restart] = []
    end = 0
    for start, stop in zip([0, *starts], [*starts, len(stamps)], strict=True):
        times = [dts if pts is None else pts for dts, pts in stamps[start:stop]]
        known = [time for time in times if time is not None]
        shift = end + frame - min(known, default=0) if start else 0
        end = max(known, default=0) + shift
        if start:
            restarts.append((start, shift))
    return tuple(restarts)


def _part_starts(known: Sequence[tuple[int, int]]) -> list[int]:
    """Numbers of the packets that start a part, from (number, dts) of every packet that has a dts."""
    found = []
    for (_, before), (number, here), (_, after) in zip(known, known[1:], known[2:], strict=False):
        is_jump = before - here > _STEP or here - before > _HALF_RANGE
        if is_jump and abs(after - here) <= _STEP:
            found.append(number)
    return found


def moved(packets: Iterable[Any], restarts: Sequence[Restart]) -> Iterator[Any]:
    """The packets of a stream, read from its start, with corrected timestamps."""
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


def moved_times(
    stamps: Sequence[tuple[int | None, int | None]], restarts: Sequence[Restart]
) -> list[int | None]:
    """The corrected pts of all packets; None for those without."""
    shifts = dict(restarts)
    shift = 0
    times: list[int | None] = []
    for number, (_, pts) in enumerate(stamps):
        shift = shifts.get(number, shift)
        times.append(None if pts is None else pts + shift)
    return times
