"""Standard output and standard error of a command: what cannot be printed never stops the work."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import click

from posetrack_app.core.words import printable

_FILES = ("out", "out_dir", "overlay", "contact_sheet", "json_file", "report")
"""Options whose files hold the result of a command; what it prints is then only a summary."""
_WRITES_ELSEWHERE = ("pull", "import")


def say(line: str, *, err: bool = False) -> None:
    """Print one line; line breaks and control characters in it, as in file names, are shown as escapes."""
    click.echo(printable(line), err=err)


class _Lossy(io.FileIO):
    """A file descriptor to write to; bytes that it refuses are dropped."""

    failure: OSError | None = None
    """The first refusal."""
    was_only_result = False
    """What was dropped is in no file either."""

    def write(self, content: Any, /) -> int:
        try:
            written: int | None = super().write(content)
            while written is None:  # the pipe is full, and whoever opened it asked not to wait
                select.select([], [self], [])
                written = super().write(content)
            return written
        except OSError as error:
            if self.failure is None:
                self.failure, self.was_only_result = error, not _writes_files()
            return memoryview(content).nbytes


def _writes_files() -> bool:
    context = click.get_current_context(silent=True)
    if context is None:
        return False
    return context.info_name in _WRITES_ELSEWHERE or any(context.params.get(name) for name in _FILES)


@contextmanager
def lossy_output() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` by streams whose writing never fails.

    Characters that the encoding lacks become escapes. Closed streams lead nowhere. At the end one line says if standard
    output was full, and the exit code is 2 if what it lost is in no file. A reader that went away, as `head` does, is no
    failure.
    """
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    outputs = [_replace(name) for name in ("stdout", "stderr")]
    try:
        yield
    finally:
        is_lost = _report_loss(outputs[0])
        with suppress(ValueError):  # closed by someone else
            sys.stderr.flush()
        sys.stdout, sys.stderr = before
    if is_lost:
        sys.exit(2)


def _report_loss(output: _Lossy | None) -> bool:
    """Say if standard output was full; True if what it lost is in no file."""
    with suppress(ValueError):
        sys.stdout.flush()
    if output is None or output.failure is None or output.failure.errno in (errno.EPIPE, errno.EIO):
        return False
    click.echo(f"posetrack: standard output cannot be written ({output.failure.strerror})", err=True)
    return output.was_only_result


def _open_closed_descriptors() -> None:
    """Connect standard streams that the caller closed to the null device, or the next opened file would get the text."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)


def _replace(name: str) -> _Lossy | None:
    """Put the stream `sys.<name>` on a lossy descriptor; None if it is not that of the process, as in tests."""
    stream: TextIO | None = getattr(sys, name)
    if stream is None:
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        return None
    if stream is not getattr(sys, f"__{name}__"):
        return None
    if sys.platform == "win32" and stream.isatty():  # the console is no file; it takes every character
        return None
    stream.flush()
    raw = _Lossy(stream.fileno(), "wb", closefd=False)
    text = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.isatty() or name == "stderr",
    )
    setattr(sys, name, text)
    return raw
