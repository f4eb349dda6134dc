"""Our scores equal the recorded ones of the reference tools."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "eval"
SETS = sorted({path.parent for path in GOLDEN.rglob("expected*.json")})


@pytest.mark.parametrize("folder", SETS, ids=lambda folder: folder.name)
def test_scores_equal_the_recorded_ones(folder: Path) -> None:
    from golden.scores import check_set

    assert check_set(folder) == []


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("poseval/s17_boundary", lambda e: e["ap"]["ap"].__setitem__(3, e["ap"]["ap"][3] + 2e-6)),
        ("poseval/s17_boundary", lambda e: e["mot"]["counts"]["num_misses"].__setitem__(0, 10_000)),
        ("coco/c4_ties", lambda e: e["stats"].__setitem__("AP", e["stats"]["AP"] + 2e-6)),
        ("edge/e12_prediction_order", lambda e: e.__setitem__("frames_evaluated", 4)),
        ("box_mot/b1", lambda e: e["trackeval"]["HOTA"].__setitem__(0, 0.5)),
    ],
)
def test_a_deviation_is_found(
    tmp_path: Path, name: str, change: object, capsys: pytest.CaptureFixture[str]
) -> None:
    from golden.scores import check

    shutil.copytree(GOLDEN / name, tmp_path / "set")
    file = tmp_path / "set" / "expected.json"
    expected = json.loads(file.read_text())
    change(expected)  # type: ignore[operator]
    file.write_text(json.dumps(expected))
    assert check(tmp_path) == 1
    assert "FAIL set" in capsys.readouterr().out


@pytest.mark.data
@pytest.mark.parametrize(
    ("part", "sets"),
    [("poseval", 20), ("real_gt", 4), ("edge", 20), ("coco", 6), ("mpii", 2), ("box_mot", 2)],
)
def test_the_complete_kit(shared: Path, part: str, sets: int, capsys: pytest.CaptureFixture[str]) -> None:
    """All except `timing`, which takes long to write; `scripts/check_goldens.py eval` also checks that."""
    from golden.scores import check

    assert check(shared / "goldens" / "eval" / part) == 0
    assert f"{sets} sets, 0 failed" in capsys.readouterr().out
