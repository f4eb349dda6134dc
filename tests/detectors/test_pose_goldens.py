"""Our pose networks and steps against figures recorded from the official code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/pose"


@pytest.fixture(scope="module")
def goldens_pose() -> Iterator[ModuleType]:
    """scripts/goldens_pose.py, which maintainers run on whole kits."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import goldens_pose as module

    yield module
    sys.path.remove(str(ROOT / "scripts"))


def differing(module: ModuleType, directory: Path) -> list[str]:
    cases = [*module.networks(directory), *module.post_processing(directory)]
    assert cases
    return [f"{name}: {got} > {limit}" for name, got, limit in cases if not got <= limit]


def test_networks_are_the_recorded_ones(goldens_pose: ModuleType) -> None:
    cases = list(goldens_pose.networks(GOLDEN))
    assert len(cases) == 9, "three networks: keys, float32, float64"
    assert [name for name, got, limit in cases if not got <= limit] == []


def test_steps_are_the_recorded_ones(goldens_pose: ModuleType) -> None:
    cases = list(goldens_pose.post_processing(GOLDEN))
    assert len(cases) > 200
    assert [name for name, got, limit in cases if not got <= limit] == []


def test_a_wrong_network_is_seen(goldens_pose: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stride of the other style: the check must not pass."""
    build = goldens_pose.build
    monkeypatch.setattr(goldens_pose, "build", lambda meta: build({**meta, "model": "pose_resnet"}))
    directory = GOLDEN / "B_pose_resnet"
    outcomes = {name.split()[-1]: got <= limit for name, got, limit in goldens_pose.networks(directory)}
    assert outcomes == {"keys": True, "float32": False, "float64": False}


def test_an_empty_folder_is_no_success(goldens_pose: ModuleType, tmp_path: Path) -> None:
    assert goldens_pose.check(tmp_path) != 0


@pytest.mark.data
@pytest.mark.parametrize("case", ["E_seg_hrnet/w48_align_corners_true", "E_cls_hrnet/w18_small_v2"])
def test_other_families(goldens_pose: ModuleType, shared: Path, case: str) -> None:
    assert differing(goldens_pose, shared / "goldens/pose" / case) == []
