"""A process that was forked from one with networks says so at once; it would wait forever for missing threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from posetrack_app import InputError, load_networks, track_people, track_video
from posetrack_app.core import forks
from posetrack_app.core.config import Config


def test_networks_do_not_survive_a_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forks.refuse_after_fork()
    monkeypatch.setattr(forks, "_process", os.getpid())
    forks.refuse_after_fork()  # the process that loaded them
    monkeypatch.setattr(forks, "_process", os.getpid() + 1)
    for call in (
        lambda: load_networks(Config(), "cpu"),
        lambda: track_video("a.mp4", tmp_path / "t.json"),
        lambda: track_people([], None, Config()),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=r'was forked .*get_context\("spawn"\)'):
            call()
    assert not list(tmp_path.iterdir())
