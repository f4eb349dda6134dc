"""Claims: one owner for each video, whatever dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.jobs.many import claims as claims_module
from posetrack_app.jobs.many.claims import Claims, claim_file, describe_owner

HOLD = """
import sys
from pathlib import Path
from posetrack_app.jobs.many.claims import Claims
with Claims(beat_seconds=0.05) as claims:
    claim = claims.try_claim(Path(sys.argv[1]))
    print("held" if claim else "refused", flush=True)
    sys.stdin.read()
"""


def start_owner(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the claim until its standard input ends."""
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    return owner


def kill(owner: subprocess.Popen[str]) -> None:
    owner.send_signal(signal.SIGKILL)
    owner.communicate()


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_video_has_one_owner(tmp_path: Path) -> None:
    path = claim_file(tmp_path / "a.json")
    with Claims() as mine, Claims() as other:
        claim = mine.try_claim(path)
        assert claim is not None
        assert not claim.taken_over
        assert other.try_claim(path) is None
        mine.release(claim)
        assert not path.exists()
        assert other.try_claim(path) is not None
    assert list(tmp_path.iterdir()) == []


def test_of_many_threads_one_gets_the_claim(tmp_path: Path) -> None:
    """A stale claim, too: all watchers find it dead at once."""
    path = claim_file(tmp_path / "a.json")
    for content in (None, b'{"token": "dead"}\n'):
        if content is not None:
            path.write_bytes(content)
        clocks = [Clock() for _ in range(8)]
        watchers = [Claims(clock=clock) for clock in clocks]
        if content is not None:
            assert [watcher.try_claim(path) for watcher in watchers] == [None] * 8
            for clock in clocks:
                clock.now = 61.0
        start = threading.Barrier(8)
        found: list[object] = []

        def race(watcher: Claims, start: threading.Barrier = start, found: list[object] = found) -> None:
            start.wait()
            found.append(watcher.try_claim(path))

        threads = [threading.Thread(target=race, args=(watcher,)) for watcher in watchers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(claim is not None for claim in found) == 1
        assert list(tmp_path.iterdir()) == [path]
        path.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell which processes live")
def test_a_killed_process_of_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    path = claim_file(tmp_path / "a.json")
    owner = start_owner(path)
    try:
        with Claims(clock=Clock()) as claims:
            assert claims.try_claim(path) is None
            assert describe_owner(path).startswith(f"process {owner.pid} on ")
            kill(owner)
            claim = claims.try_claim(path)
            assert claim is not None
            assert claim.taken_over
    finally:
        kill(owner)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_dead_machine_is_noticed_by_its_missing_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process counts as one of another machine, whose processes cannot be seen from here."""
    monkeypatch.setattr(claims_module, "_machine", lambda: "another machine")
    path, clock = claim_file(tmp_path / "a.json"), Clock()
    owner = start_owner(path)
    try:
        with Claims(clock=clock) as claims:
            assert claims.try_claim(path) is None
            before = path.read_bytes()
            while path.read_bytes() in (before, b""):
                pass  # until the next heartbeat
            clock.now = 61.0
            assert claims.try_claim(path) is None  # it lives: the line changed
            kill(owner)
            claims.try_claim(path)  # the last line of the dead owner is seen now
            clock.now = 120.0
            assert claims.try_claim(path) is None
            clock.now = 122.0
            claim = claims.try_claim(path)
            assert claim is not None
            assert claim.taken_over
    finally:
        kill(owner)


def test_an_owner_that_was_suspended_notices_that_it_lost_the_video(tmp_path: Path) -> None:
    path = claim_file(tmp_path / "a.json")
    with Claims(beat_seconds=60) as slept:
        claim = slept.try_claim(path)
        assert claim is not None
        path.write_bytes(b'{"token": "the new owner"}\n')
        claims_module._beat(claim)
        assert claim.lost
        slept.release(claim)
    assert json.loads(path.read_bytes()) == {"token": "the new owner"}


def test_heartbeats_change_the_line(tmp_path: Path) -> None:
    path = claim_file(tmp_path / "a.json")
    with Claims(beat_seconds=60) as claims:
        claim = claims.try_claim(path)
        assert claim is not None
        before = path.read_bytes()
        claims_module._beat(claim)
        assert path.read_bytes() != before
        assert json.loads(path.read_bytes())["beats"] == 1
        assert not claim.lost
        path.unlink()
        claims_module._beat(claim)
        assert claim.lost


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with Claims() as claims, pytest.raises(InputError, match="cannot be written"):
        claims.try_claim(tmp_path / "missing" / "a.claim")
