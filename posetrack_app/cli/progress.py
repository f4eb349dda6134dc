"""Progress of a run or a download: bars on a terminal, plain lines or nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.table import Table

    from posetrack_app.jobs.many.board import Board

LINE_EVERY_SECONDS = 10.0
_BARS_EVERY_SECONDS = 0.1
_MAX_ROWS = 16
"""Workers with a bar of their own; more do not fit on a screen."""


@contextmanager
def show_progress(stream: TextIO | None) -> Iterator[Callable[[int, int | None, int], None]]:
    """A function that shows the frames done, the frames expected (None if unknown) and the people so far.

    Without a `stream` it shows nothing.
    """
    if stream is None:
        yield lambda done, expected, people: None
        return
    if not stream.isatty():
        yield _plain_lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} fps"),
        TextColumn("{task.fields[people]} people"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("", total=None, rate=0.0, people=0)
        began = time.monotonic()

        def advance(done: int, expected: int | None, people: int) -> None:
            rate = done / max(time.monotonic() - began, 1e-9)
            bar.update(task, completed=done, total=expected, rate=rate, people=people)

        yield advance


def _plain_lines(stream: TextIO) -> Callable[[int, int | None, int], None]:
    began = last = time.monotonic()

    def advance(done: int, expected: int | None, people: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_EVERY_SECONDS:
            return
        last = now
        rate = done / max(now - began, 1e-9)
        of_total = f" of {expected}, {(expected - done) / rate:.0f} s left" if expected else ""
        print(f"frame {done}{of_total}, {rate:.1f} frames a second, {people} people", file=stream, flush=True)

    return advance


@contextmanager
def show_workers(stream: TextIO | None) -> Iterator[Callable[[Board], None]]:
    """A function that shows all workers of a run over many videos: a bar for each, and one for the videos.

    Elsewhere than on a terminal, a line from time to time; without a `stream` nothing.
    """
    if stream is None:
        yield lambda board: None
        return
    if not stream.isatty():
        yield _lines_of_workers(stream)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), transient=True, auto_refresh=False) as live:
        last = 0.0

        def show(board: Board) -> None:
            nonlocal last
            if time.monotonic() - last >= _BARS_EVERY_SECONDS:
                last = time.monotonic()
                live.update(workers_table(board), refresh=True)

        yield show


def workers_table(board: Board) -> Table:
    """What rich draws: the videos first, then each worker."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table.grid(padding=(0, 1))
    table.add_row(
        "videos", ProgressBar(board.videos, board.finished, width=30), f"{board.finished}/{board.videos}",
        _counts(board),
    )  # fmt: skip
    for number, row in enumerate(board.rows[:_MAX_ROWS], 1):
        if row.video:
            expected = "" if row.expected is None else f"/{row.expected}"
            bar = ProgressBar(row.expected, row.done, width=30, pulse=row.expected is None)
            text = f"{row.rate:.1f} fps, {row.people} people  {row.video}"
            table.add_row(f"worker {number}", bar, f"{row.done}{expected}", text)
        else:
            table.add_row(f"worker {number}", "", "", "")
    if len(board.rows) > _MAX_ROWS:
        table.add_row("", "", "", f"and {len(board.rows) - _MAX_ROWS} more workers")
    return table


def _counts(board: Board) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(board.states.items()))
    busy = [row for row in board.rows if row.video]
    return f"{sum(row.rate for row in busy):.1f} fps" + (f", {states}" if states else "")


def _lines_of_workers(stream: TextIO) -> Callable[[Board], None]:
    last = time.monotonic()

    def show(board: Board) -> None:
        nonlocal last
        if time.monotonic() - last < LINE_EVERY_SECONDS:
            return
        last = time.monotonic()
        busy = [row for row in board.rows if row.video]
        videos = "; ".join(
            f"{row.video} {row.done}" + ("" if row.expected is None else f" of {row.expected}")
            for row in busy[:_MAX_ROWS]
        )
        print(
            f"{board.finished} of {board.videos} videos, {_counts(board)}; now {videos or 'starting'}",
            file=stream,
            flush=True,
        )

    return show


@contextmanager
def download_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A function that shows the bytes done and in total (None if unknown) on standard error, if it is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)
