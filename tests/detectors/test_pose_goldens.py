"""Pose networks and the steps around them against numbers recorded from the reference code."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden import pose_networks

GOLDEN = Path(__file__).resolve().parents[1] / "golden/pose"


def test_networks_match_the_recorded_ones() -> None:
    cases = list(pose_networks.networks(GOLDEN))
    assert len(cases) == 9, "three networks: keys, float32, float64"
    assert [name for name, got, limit in cases if not got <= limit] == []


def test_steps_match_the_recorded_ones() -> None:
    cases = list(pose_networks.post_processing(GOLDEN))
    assert len(cases) > 200
    assert [name for name, got, limit in cases if not got <= limit] == []


def test_a_wrong_network_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the stride of the other ResNet style the check must fail."""
    build = pose_networks.build
    monkeypatch.setattr(pose_networks, "build", lambda meta: build({**meta, "model": "pose_resnet"}))
    directory = GOLDEN / "B_pose_resnet"
    results = {name.split()[-1]: got <= limit for name, got, limit in pose_networks.networks(directory)}
    assert results == {"keys": True, "float32": False, "float64": False}


def test_an_empty_folder_fails(tmp_path: Path) -> None:
    assert pose_networks.check(tmp_path) != 0


@pytest.mark.data
@pytest.mark.parametrize("case", ["E_seg_hrnet/w48_align_corners_true", "E_cls_hrnet/w18_small_v2"])
def test_other_families(shared: Path, case: str) -> None:
    directory = shared / "goldens/pose" / case
    cases = [*pose_networks.networks(directory), *pose_networks.post_processing(directory)]
    assert cases
    assert [f"{name}: {got} > {limit}" for name, got, limit in cases if not got <= limit] == []
