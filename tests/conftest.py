"""What all tests share: where the goldens and ../shared are, and the markers `data` and `gpu`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POSETRACK_SHARED", ROOT.parent / "shared"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("data") and not SHARED.is_dir():
        pytest.skip(f"needs the folder {SHARED}")
    if item.get_closest_marker("gpu") and os.environ.get("FAIL_WITHOUT_CUDA") != "1":
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture
def shared() -> Path:
    """The folder ../shared; only for tests marked `data`."""
    return SHARED
