"""The mean of several weight files, without their calibration."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from average_weights import average
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def _weights(path: Path, value: float, shape: tuple[int, ...] = (3,)) -> Path:
    state = {"conv.weight": torch.full(shape, value, dtype=torch.float16), "steps": torch.tensor(int(value))}
    save_file(state, path, {"network": f"net-{value:g}", "keypoint_calibration": "[]"})
    return path


def test_the_mean(tmp_path: Path) -> None:
    average([_weights(tmp_path / "a", 1.0), _weights(tmp_path / "b", 4.0)], tmp_path / "c")
    found = load_file(tmp_path / "c")
    assert found["conv.weight"].dtype == torch.float16
    assert found["conv.weight"].tolist() == [2.5] * 3
    assert found["steps"].item() == 4
    with safe_open(tmp_path / "c", "pt") as file:
        assert file.metadata() == {"network": "net-4"}


def test_weights_of_different_networks(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="different networks"):
        average([_weights(tmp_path / "a", 1.0), _weights(tmp_path / "b", 4.0, (2,))], tmp_path / "c")
    assert not (tmp_path / "c").exists()
