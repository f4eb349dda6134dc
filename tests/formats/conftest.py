"""Fixtures of the format tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_tracks import make_tracks

from posetrack_app.formats import Tracks


@pytest.fixture
def tracks(tmp_path: Path) -> Tracks:
    return make_tracks(tmp_path / "tracks.json")
