"""Claims: which process works on which video, in a folder that any number of machines share.

The protocol needs no coordinator, no lock service and no equal clocks; it works on NFS version 3 and newer.

1. To claim a video, create `<name>.claim` beside its tracks file with O_CREAT | O_EXCL. The file server lets exactly one
   process succeed. The file holds one line of JSON: host, process, a random token, and a number of heartbeats.
2. While it works, the owner rewrites the line every `BEAT_SECONDS` with the next number. Before that it reads the line:
   if the token is not its own any more, the claim is lost, and the owner drops the video.
3. When the video is finished or given up, the owner removes the file.
4. Others never compare times of two machines. They remember the line and watch it by their own clock: if it did not change
   for `STALE_SECONDS`, the owner is dead. On the owner's own machine a dead process is recognised at once.
5. To take over, rename the file to a name of one's own (one process succeeds), check that it still holds the line of the
   dead owner, remove it, and claim as in 1.

In two cases, two processes can work on a video for up to one heartbeat: if the owner was suspended for longer than
`STALE_SECONDS`, or if a second watcher renames the fresh claim of the first and puts it back. Nothing is damaged: every
file is written atomically, and the results are equal. The journal makes the new owner continue where the dead one stopped.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from posetrack_app.core.errors import InputError

_logger = logging.getLogger("posetrack")

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
"""Six missed heartbeats."""


def claim_file(out: Path) -> Path:
    """`tracks.claim` for `tracks.json`."""
    return out.with_name(f"{out.stem}.claim")


@dataclass
class Claim:
    """A video that this process owns."""

    path: Path
    token: str
    taken_over: bool
    """The owner before died, so there may be a journal to continue."""
    beats: int = 0
    lost: bool = False
    """Another process took the video over; stop working on it."""


class Claims:
    """The claims of this process; a context manager. A thread sends the heartbeats, and the end releases all claims.

    Args:
        beat_seconds: time between two heartbeats.
        stale_seconds: how long a claim of a dead owner stays.
        clock: seconds of this machine that never go back.
    """

    def __init__(
        self,
        *,
        beat_seconds: float = BEAT_SECONDS,
        stale_seconds: float = STALE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._beat_seconds = beat_seconds
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._seen: dict[Path, tuple[bytes, float]] = {}
        """The line of another owner's claim, and when it was first seen."""
        self._held: dict[Path, Claim] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send_beats, name="claims", daemon=True)

    def __enter__(self) -> Claims:
        self._thread.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._ended.set()
        self._thread.join()
        for claim in list(self._held.values()):
            self.release(claim)

    def try_claim(self, path: Path) -> Claim | None:
        """The claim `path` if it is free or its owner is dead, else None; InputError if it cannot be written."""
        claim = Claim(path, secrets.token_hex(8), taken_over=False)
        if not self._create(claim):
            if not self._remove_if_dead(path) or not self._create(claim):
                return None
            claim.taken_over = True
        with self._lock:
            self._held[path] = claim
        self._seen.pop(path, None)
        return claim

    def release(self, claim: Claim) -> None:
        """Give the claim up; the video is finished or can be claimed by others."""
        with self._lock:
            self._held.pop(claim.path, None)
            if _owner(_read(claim.path)).get("token") == claim.token:
                with suppress(OSError):  # the folder is gone or read-only by now; the claim goes stale
                    claim.path.unlink(missing_ok=True)

    def _create(self, claim: Claim) -> bool:
        try:
            descriptor = os.open(claim.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        except OSError as error:
            raise InputError(f"{claim.path} cannot be written ({error.strerror})") from error
        with open(descriptor, "wb") as file:
            file.write(_line(claim))
        return True

    def _remove_if_dead(self, path: Path) -> bool:
        """Whether the claim of another process is gone: released, or removed here because its owner is dead."""
        line = _read(path)
        if line is None:
            return True
        seen, since = self._seen.setdefault(path, (line, self._clock()))
        if seen != line:
            self._seen[path] = (line, self._clock())
            since = self._clock()
        if not _ended_on_this_machine(line) and self._clock() - since < self._stale_seconds:
            return False
        return _remove(path, line)

    def _send_beats(self) -> None:
        while not self._ended.wait(self._beat_seconds):
            for claim in list(self._held.values()):
                with self._lock:
                    if claim.path in self._held:
                        _beat(claim)


def _beat(claim: Claim) -> None:
    """Write the next heartbeat, or mark the claim as lost."""
    claim.beats += 1
    try:
        with claim.path.open("r+b") as file:
            if _owner(file.read()).get("token") != claim.token:
                claim.lost = True
                return
            file.seek(0)
            file.write(_line(claim))
            file.truncate()
    except FileNotFoundError:
        claim.lost = True
    except OSError as error:
        # The file server may be away for a moment. If it stays away, others cannot take over either.
        _logger.warning("%s: no heartbeat (%s)", claim.path, error.strerror)


def _line(claim: Claim) -> bytes:
    facts = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "machine": _machine(),
        "process_started": _process_start(os.getpid()),
        "token": claim.token,
        "beats": claim.beats,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(facts).encode() + b"\n"


def _owner(line: bytes | None) -> dict[str, Any]:
    """The facts in a claim; none if it is missing or was written only in part."""
    try:
        found = json.loads(line or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def describe_owner(path: Path) -> str:
    """Who holds the claim `path`, for a message."""
    owner = _owner(_read(path))
    return f"process {owner['process']} on {owner['host']}" if owner else "another process"


def _read(path: Path) -> bytes | None:
    """The content; None if there is no file. A file that cannot be read at the moment counts as unchanged."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        return b""


def _remove(path: Path, line: bytes) -> bool:
    """Remove the claim if it still holds the `line` of the dead owner; False if another process was faster."""
    grave = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        os.rename(path, grave)
    except OSError:
        return False
    try:
        if _read(grave) == line:
            return True
        with suppress(
            OSError
        ):  # claimed again by now, or a file system without links: the owner notices and stops
            os.link(grave, path)
        return False
    finally:
        grave.unlink(missing_ok=True)


def _ended_on_this_machine(line: bytes) -> bool:
    """Whether the owner was a process of this machine (and container) that has ended."""
    owner = _owner(line)
    machine = _machine()
    if not machine or owner.get("machine") != machine:
        return False
    started = owner.get("process_started")
    return isinstance(started, str) and _process_start(int(owner["process"])) != started


def _machine() -> str:
    """This start of this machine, and the container's own table of processes; "" where they cannot be known."""
    if sys.platform != "linux":
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _process_start(process: int) -> str:
    """When a process started, as Linux counts; "" if there is none. Tells apart two processes with the same number."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    after_name = stat.rpartition(")")[2].split()
    return "" if after_name[0] in "ZX" else after_name[19]
