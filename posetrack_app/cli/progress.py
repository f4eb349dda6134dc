"""Progress of a run or a download: a bar on a terminal, plain lines or nothing elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

LINE_EVERY_SECONDS = 10.0


@contextmanager
def show_progress(stream: TextIO) -> Iterator[Callable[[int, int | None, int], None]]:
    """A function that shows the frames done, the frames expected (None if unknown) and the people so far."""
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
