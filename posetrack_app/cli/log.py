"""What the library logs, on standard error: as plain lines, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from posetrack_app.core.words import printable

_logger = logging.getLogger("posetrack")


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Show log lines as "posetrack: message" on standard error; `set_log` changes that for the rest of the block."""
    handler = _StderrHandler()
    handler.setFormatter(_OneLine("posetrack: %(message)s"))
    level = _logger.level
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)


class _OneLine(logging.Formatter):
    """Messages of one line, whatever names are in them; a traceback may follow."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))


class _StderrHandler(logging.Handler):
    """Writes to the standard error of the moment: a progress display replaces it, to put the lines above its bars."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def set_log(log_format: str, *, quiet: bool) -> None:
    """Log as "text" or "json"; `quiet` leaves only warnings and errors."""
    if log_format == "json":
        for handler in _logger.handlers:
            handler.setFormatter(_JsonFormatter())
    if quiet:
        _logger.setLevel(logging.WARNING)


class _JsonFormatter(logging.Formatter):
    """One JSON object: time, level, message, and the traceback of an unexpected error."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)
