"""A short seeded run of the fuzz script, and that it tells what is not well."""

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

from posetrack_app.training.coco_labels import read_coco


@pytest.mark.parametrize(
    ("subject", "count"), [("json", 40), ("toml", 12), ("checkpoint", 60), ("video", 30), ("labels", 200)]
)
def test_damaged_files_are_taken_well(subject: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, for speed; the script runs cases in one of their own."""
    fuzz.work(subject, 2026, range(count))
    said = [line for line in capsys.readouterr().out.splitlines() if '"problem"' in line]
    assert len(said) == count
    assert [line for line in said if '"problem": ""' not in line] == []


def test_sound_files_are_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else the cases above would pass because every command says no."""
    codes: dict[str, list[int]] = {}

    def noting(*arguments: object) -> int:
        code = fuzz_judge.posetrack(*arguments)
        codes.setdefault(str(arguments[0]), []).append(code)
        return code

    monkeypatch.setattr(fuzz_text, "damaged_file", lambda content, random: json.dumps(content).encode())
    monkeypatch.setattr(fuzz_text, "posetrack", noting)
    (tmp_path / "base").mkdir()
    cases = fuzz_text.JsonCases(tmp_path / "base")
    for number in range(30):
        (tmp_path / str(number)).mkdir()
        cases.run(np.random.default_rng(number), tmp_path / str(number))
    assert set(codes) == {"validate", "convert", "link", "evaluate", "render"}
    assert all(0 in found for found in codes.values())


def test_sound_labels_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
    assert sum(len(picture.people) for picture in read_coco(file, cases.pictures)) == 4


class Bad:
    """Cases that end in the ways a program can end."""

    def __init__(self, folder: Path) -> None:
        self.ends = ["well", "traceback", "litter", "well"]

    def run(self, random: Any, folder: Path) -> None:
        end = self.ends.pop(0)
        if end == "traceback":
            raise KeyError("annotations")
        if end == "litter":
            (folder / ".out.tmp").touch()
            fuzz_judge.judge_folder(folder, {"out"})


def test_faults_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(fuzz.SUBJECTS, "json", Bad)
    fuzz.work("json", 0, range(4))
    said = [line for line in capsys.readouterr().out.splitlines() if '"problem"' in line]
    assert '"problem": ""' in said[0]
    assert "KeyError" in said[1]
    assert "left behind: .out.tmp" in said[2]
    assert '"problem": ""' in said[3]


def test_a_crash_and_a_hang_are_faults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The watcher goes on behind the case that killed its process, and behind the one that gives no answer."""
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
    monkeypatch.setattr(fuzz, "HANG", 3.0)
    done, faults = fuzz.watch("json", 0, 6, time.monotonic() + 60)
    assert done == 6
    assert [case for case, _ in faults] == [1, 3, 4]
    assert "died with code -6" in faults[0][1]
    assert "no answer" in faults[1][1]


def test_damage_is_the_same_for_the_same_seed() -> None:
    data = bytes(range(256)) * 8
    for seed in range(20):
        one, two = (fuzz_damage.damaged_bytes(data, np.random.default_rng(seed)) for _ in range(2))
        assert one == two
    inside = fuzz_damage.damaged_bytes(data, np.random.default_rng(3), (100, 200))
    assert len(inside) == len(data)
    assert inside[:100] + inside[200:] == data[:100] + data[200:]
