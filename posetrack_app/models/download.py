"""Download one file over HTTP; interrupted downloads are resumed."""

from __future__ import annotations

import errno
import http.client
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import try_lock

Progress = Callable[[int, int | None], None]
"""Called with the bytes received so far and the size of the file, None if the server does not tell it."""

TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 3
_CHUNK = 1 << 18


def no_progress(_received: int, _total: int | None) -> None:
    """Show nothing."""


@contextmanager
def hold(part: Path) -> Iterator[None]:
    """Lock `part` for this process until the block ends; InputError if another process has it.

    The system releases the lock when the process ends. On Windows nothing is locked, because an open file cannot be
    renamed there.
    """
    if sys.platform == "win32":
        yield
        return
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("ab")
    except OSError as error:
        raise InputError(f"{part} cannot be written ({error.strerror})") from None
    with file:
        if not try_lock(file) or not _is_at(file, part):
            raise InputError(
                f"{part}: another posetrack process is downloading this file; wait for it, then try again"
            )
        try:
            yield
        finally:
            if part.is_file() and not part.stat().st_size:
                part.unlink()


def download(url: str, part: Path, *, by_hand: str, progress: Progress = no_progress) -> None:
    """Download `url` into `part`, continuing what an earlier try left there.

    InputError if there is no connection, no such file or no disk space; the text ends with `by_hand`, how to get the
    file without posetrack.
    """
    problem = ""
    for _ in range(_ATTEMPTS):
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            _fetch_rest(url, part, progress)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:  # `part` is longer than the file
                part.write_bytes(b"")
                problem = "the server refused to resume"
                continue
            raise InputError(f"{url}: the server replied {error.code} {error.reason}; {by_hand}") from None
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            problem = str(getattr(error, "reason", "") or error or type(error).__name__)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                part.unlink(missing_ok=True)
                raise InputError(
                    f"no space left in {part.parent} for {part.stem}; free some and try again"
                ) from None
            raise InputError(f"{part} cannot be written ({error.strerror})") from None
    received = part.stat().st_size if part.is_file() else 0
    kept = f"; {received} bytes are kept, and the next try resumes there" if received else ""
    raise InputError(f"no connection to {url} ({problem}){kept}; try again or {by_hand}")


def _fetch_rest(url: str, part: Path, progress: Progress) -> None:
    """Append the bytes that are missing; ConnectionError if the server ends early."""
    received = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={received}-"} if received else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        resumed = response.status == http.client.PARTIAL_CONTENT and _starts_at(response) == received
        if not resumed:
            received = 0
        length = response.headers.get("Content-Length")
        total = received + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                received += len(chunk)
                progress(received, total)
    if total is not None and received < total:
        raise ConnectionError(f"connection lost after {received} of {total} bytes")


def _is_at(file: IO[bytes], part: Path) -> bool:
    """Whether the open file still has this name; another process may have finished and renamed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), part.stat())
    except FileNotFoundError:
        return False
    except OSError:  # unknown; the SHA-256 check will tell
        return True


def _starts_at(response: Any) -> int | None:
    """The first byte of a partial response."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found.group(1)) if found else None
