"""Download one file from the first of its addresses that has it; interrupted downloads are resumed."""

from __future__ import annotations

import errno
import http.client
import logging
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import try_lock

Progress = Callable[[int, int | None], None]
"""Called with the bytes received so far and the size of the file, None if the server does not tell it."""

Check = Callable[[Path], str]
"""What is wrong with a received file; "" if it is the right one."""

TIMEOUT_SECONDS = 30.0
"""Of a connection, and of each wait for more bytes."""
PAUSE_SECONDS = 2.0
"""Before every address is tried again."""
_ROUNDS = 3
_CHUNK = 1 << 18
_FOR_NOW = (408, 425, 429, 500, 502, 503, 504)
"""HTTP replies that may be another one soon."""

logger = logging.getLogger("posetrack")


class UnavailableError(Exception):
    """Why an address did not give the file; `for_now` if it may soon."""

    def __init__(self, problem: str, *, for_now: bool) -> None:
        super().__init__(problem)
        self.for_now = for_now


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


def download(
    addresses: Sequence[str | Path],
    part: Path,
    *,
    check: Check,
    by_hand: str,
    progress: Progress = no_progress,
) -> None:
    """Download into `part`, continuing what an earlier try left there.

    A lost connection goes on at the next address, after the bytes received so far; three rounds in all. An address
    without the file, or with another one, is not tried again. InputError if no address gives the file, or if there is
    no disk space; the text ends with `by_hand`, how to get the file without posetrack.

    Args:
        addresses: `http` or `https` addresses, or local files, all of the same file; the first ones are preferred
        part: where to write; locked by `hold`
        check: what is wrong with the complete file
        by_hand: the end of an error's text
        progress: called after each piece
    """
    problems: dict[str | Path, str] = {}
    remaining = list(addresses)
    for number in range(_ROUNDS):
        if number and remaining:
            time.sleep(PAUSE_SECONDS)
        for address in list(remaining):
            resumed = bool(_received(part))
            try:
                _receive(address, part, progress)
            except UnavailableError as error:
                problems[address] = str(error)
                if not error.for_now:
                    remaining.remove(address)
            else:
                problem = check(part)
                if not problem:
                    return
                part.write_bytes(b"")  # not deleted: `hold` has locked this file
                problems[address] = f"{address}: {problem}; the download was deleted"
                if not resumed:  # else the bytes of an earlier try may be the wrong ones
                    remaining.remove(address)
            if len(addresses) > 1:  # else the error below says it
                logger.info("%s", problems[address])
    received = _received(part)
    kept = f"; {received} bytes are kept, and the next try resumes there" if received else ""
    raise InputError(f"{'; '.join(problems.values())}{kept}, try again or {by_hand}")


def _receive(address: str | Path, part: Path, progress: Progress) -> None:
    """Complete `part` from one address; UnavailableError, or InputError if it cannot be written."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(address, Path):
            _copy(address, part, progress)
        else:
            _fetch_rest(address, part, progress)
    except urllib.error.HTTPError as error:
        error.close()
        problem = f"{address}: the server replied {error.code} {error.reason}"
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _size_in(error.headers) == _received(
                part
            ):  # a process was ended between the last byte and the check
                return
            part.write_bytes(b"")  # longer than the file
            raise UnavailableError(problem, for_now=True) from None
        raise UnavailableError(problem, for_now=error.code in _FOR_NOW) from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        problem = str(getattr(error, "reason", "") or error or type(error).__name__)
        raise UnavailableError(f"no connection to {address} ({problem})", for_now=True) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            part.unlink(missing_ok=True)
            raise InputError(
                f"no space left in {part.parent} for {part.stem}; free some and try again"
            ) from None
        raise InputError(f"{part} cannot be written ({error.strerror})") from None


def _copy(source: Path, part: Path, progress: Progress) -> None:
    """Copy a local file; UnavailableError if there is none."""
    if not source.is_file():
        raise UnavailableError(f"{source}: no such file", for_now=False)
    try:
        file = source.open("rb")
    except OSError as error:
        raise UnavailableError(f"{source} cannot be read ({error.strerror})", for_now=False) from None
    with file, part.open("wb") as target:
        shutil.copyfileobj(file, target, _CHUNK)
    size = part.stat().st_size
    progress(size, size)


def _fetch_rest(url: str, part: Path, progress: Progress) -> None:
    """Append the bytes that are missing; ConnectionError if the server ends early."""
    received = _received(part)
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


def _received(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


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


def _size_in(headers: Any) -> int | None:
    """The size of the file in a refusal to send bytes after its end."""
    found = re.match(r"bytes \*/(\d+)", headers.get("Content-Range", ""))
    return int(found.group(1)) if found else None
