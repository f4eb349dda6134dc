"""A short run of the fuzz script with a fixed seed, and the faults that it reports."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import fuzz
import fuzz_damage
import fuzz_judge
import fuzz_labels
import fuzz_text
import numpy as np
import pytest

from posetrack_app.models.training.coco_labels import read_coco


@pytest.mark.parametrize(
    ("subject", "count"), [("json", 40), ("toml", 12), ("checkpoint", 60), ("video", 30), ("labels", 200)]
)
def test_damaged_files_are_handled(subject: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, for speed; the script itself runs cases in other processes."""
    fuzz.work(subject, 2026, range(count))
    results = [line for line in capsys.readouterr().out.splitlines() if '"problem"' in line]
    assert len(results) == count
    assert [line for line in results if '"problem": ""' not in line] == []


def test_intact_files_are_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Otherwise the cases above could pass because every command refuses every file."""
    codes: dict[str, list[int]] = {}

    def record(*arguments: object) -> int:
        code = fuzz_judge.posetrack(*arguments)
        codes.setdefault(str(arguments[0]), []).append(code)
        return code

    monkeypatch.setattr(fuzz_text, "damaged_file", lambda content, random: json.dumps(content).encode())
    monkeypatch.setattr(fuzz_text, "posetrack", record)
    (tmp_path / "base").mkdir()
    cases = fuzz_text.JsonCases(tmp_path / "base")
    for number in range(30):
        (tmp_path / str(number)).mkdir()
        cases.run(np.random.default_rng(number), tmp_path / str(number))
    assert set(codes) == {"validate", "convert", "link", "evaluate", "render"}
    assert all(0 in found for found in codes.values())


def test_intact_labels_are_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codes: list[int] = []
    monkeypatch.setattr(fuzz_labels, "damaged_file", lambda content, random: json.dumps(content).encode())
    monkeypatch.setattr(
        fuzz_labels, "posetrack", lambda *arguments: codes.append(fuzz_judge.posetrack(*arguments))
    )
    (tmp_path / "base").mkdir()
    cases = fuzz_labels.LabelCases(tmp_path / "base")
    for number in range(12):
        (tmp_path / str(number)).mkdir()
        cases.run(np.random.default_rng(number), tmp_path / str(number))
    assert codes
    assert set(codes) == {0}
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(cases.truth))
    assert sum(len(image.people) for image in read_coco(file, cases.images)) == 4


class FaultyCases:
    """Cases that succeed, fail with a traceback, or leave a file behind."""

    def __init__(self, folder: Path) -> None:
        self.results = ["success", "traceback", "leftover", "success"]

    def run(self, random: Any, folder: Path) -> None:
        result = self.results.pop(0)
        if result == "traceback":
            raise KeyError("annotations")
        if result == "leftover":
            (folder / ".out.tmp").touch()
            fuzz_judge.judge_folder(folder, {"out"})


def test_faults_are_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(fuzz.SUBJECTS, "json", FaultyCases)
    fuzz.work("json", 0, range(4))
    results = [line for line in capsys.readouterr().out.splitlines() if '"problem"' in line]
    assert '"problem": ""' in results[0]
    assert "KeyError" in results[1]
    assert "left behind: .out.tmp" in results[2]
    assert '"problem": ""' in results[3]


def test_a_crash_and_a_hang_are_faults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The run continues after a case that killed its process, and after one without a result."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, os, sys, time\n"
        "first, last = map(int, sys.argv[-2:])\n"
        "for case in range(first, last):\n"
        "    print(json.dumps({'case': case}), flush=True)\n"
        "    if case == 1: os.abort()\n"
        "    if case == 3: time.sleep(60)\n"
        "    print(json.dumps({'case': case, 'problem': 'odd' if case == 4 else ''}), flush=True)\n"
    )
    monkeypatch.setattr(fuzz, "__file__", str(script))
    monkeypatch.setattr(fuzz, "HANG_SECONDS", 3.0)
    done, faults = fuzz.watch("json", 0, 6, time.monotonic() + 60)
    assert done == 6
    assert [case for case, _ in faults] == [1, 3, 4]
    assert "died with code -6" in faults[0][1]
    assert "no result" in faults[1][1]


def test_damage_is_the_same_for_the_same_seed() -> None:
    data = bytes(range(256)) * 8
    for seed in range(20):
        one, two = (fuzz_damage.damaged_bytes(data, np.random.default_rng(seed)) for _ in range(2))
        assert one == two
    inside = fuzz_damage.damaged_bytes(data, np.random.default_rng(3), (100, 200))
    assert len(inside) == len(data)
    assert inside[:100] + inside[200:] == data[:100] + data[200:]
