"""One file over HTTP, resumed where it broke off."""

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

from posetrack_app.errors import InputError
from posetrack_app.file_lock import lock

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes of the whole file, None if the server does not say."""

TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 3
_CHUNK = 1 << 18


def no_progress(_here: int, _whole: int | None) -> None:
    """Show nothing."""


@contextmanager
def alone(part: Path) -> Iterator[None]:
    """Keep `part` for this process to the end of the block; InputError where another one is fetching it.

    The system lets go of it when the process ends, however it does. On Windows nothing holds a second one up,
    for a file that is held open cannot be renamed there.
    """
    if sys.platform == "win32":
        yield
        return
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("ab")
    except OSError as error:
        raise InputError(f"{part} cannot be written: {error.strerror}") from None
    with file:
        if not lock(file) or not _is_at(file, part):
            raise InputError(f"{part}: another posetrack is fetching it; wait for that one, then try again")
        try:
            yield
        finally:
            if part.is_file() and not part.stat().st_size:
                part.unlink()


def download(url: str, part: Path, *, by_hand: str, progress: Progress = no_progress) -> None:
    """Fetch `url` into `part`, after what an earlier try left there; broken connections are resumed.

    InputError where there is no network, no such file or no space; it ends with `by_hand`, what to do
    without us.
    """
    trouble = ""
    for _ in range(_ATTEMPTS):
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            _fetch_rest(url, part, progress)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:  # longer than the file: not of it
                part.write_bytes(b"")
                trouble = "the server refused to resume"
                continue
            raise InputError(f"{url} answers {error.code} {error.reason}; {by_hand}") from None
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            trouble = str(getattr(error, "reason", "") or error or type(error).__name__)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                part.unlink(missing_ok=True)
                raise InputError(
                    f"no space left in {part.parent} for {part.stem}: free some and try again"
                ) from None
            raise InputError(f"{part} cannot be written: {error.strerror}") from None
    have = part.stat().st_size if part.is_file() else 0
    kept = f"; {have} bytes are kept and the next try resumes" if have else ""
    raise InputError(f"no connection to {url} ({trouble}){kept}; try again or {by_hand}")


def _fetch_rest(url: str, part: Path, progress: Progress) -> None:
    """Append what is missing; ConnectionError if the server ends early."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        resumed = answer.status == http.client.PARTIAL_CONTENT and _starts_at(answer) == have
        if not resumed:
            have = 0
        length = answer.headers.get("Content-Length")
        whole = have + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, whole)
    if whole is not None and have < whole:
        raise ConnectionError(f"broke off at {have} of {whole} bytes")


def _is_at(file: IO[bytes], part: Path) -> bool:
    """Whether the open file still has this name: another process may have finished and renamed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), part.stat())
    except FileNotFoundError:
        return False
    except OSError:  # it cannot be told: the check of the whole file will
        return True


def _starts_at(answer: Any) -> int | None:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found.group(1)) if found else None
