"""Parts, order and workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from posetrack_app.core.errors import InputError
from posetrack_app.jobs.many import plan
from posetrack_app.jobs.many.plan import choose_part, choose_slots, size_of
from posetrack_app.jobs.many.worker import Slot


def slurm(number: int, first: int, step: int, count: int) -> dict[str, str]:
    values = {"ID": number, "MIN": first, "STEP": step, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("text", "environment", "part"),
    [
        ("1/1", {}, (1, 1)),
        ("3/20", {}, (3, 20)),
        ("slurm", slurm(1, 1, 1, 20), (1, 20)),
        ("slurm", slurm(0, 0, 1, 4), (1, 4)),
        ("slurm", slurm(30, 10, 10, 5), (3, 5)),
    ],
)
def test_parts(text: str, environment: dict[str, str], part: tuple[int, int]) -> None:
    assert choose_part(text, environment) == part


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("0/3", {}, "is not a part; give for example 3/20"),
        ("4/3", {}, "is not a part"),
        ("3", {}, "is not a part"),
        ("slurm", {}, "not a task of a Slurm job array"),
        ("slurm", slurm(7, 1, 1, 3), "a list with gaps"),
        ("slurm", slurm(12, 10, 10, 5), "a list with gaps"),
    ],
)
def test_wrong_parts(text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_part(text, environment)


@pytest.mark.parametrize(
    ("workers", "devices", "videos", "slots"),
    [
        (1, ["auto"], 9, [Slot("auto")]),
        (2, ["cpu"], 9, [Slot("cpu", 4), Slot("cpu", 4)]),
        (3, ["cpu"], 9, [Slot("cpu", 2)] * 3),
        (16, ["cpu"], 99, [Slot("cpu", 1)] * 16),
        (4, ["cpu"], 2, [Slot("cpu", 4)] * 2),
        (4, ["cuda:0", "cuda:1"], 9, [Slot("cuda:0", 2), Slot("cuda:1", 2)] * 2),
        (2, ["auto"], 9, [Slot("cuda:0", 4), Slot("cuda:1", 4)]),
        (None, ["cpu"], 99, [Slot("cpu", 1)] * 8),
        (None, ["auto"], 99, [Slot("cuda:0", 4), Slot("cuda:1", 4)]),
        (None, ["cuda:1"], 99, [Slot("cuda:1")]),
    ],
)
def test_workers(
    workers: int | None, devices: list[str], videos: int, slots: list[Slot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with 8 cores and two cards."""
    monkeypatch.setattr(plan, "usable_cores", lambda: 8)
    monkeypatch.setattr(plan, "all_devices", lambda: ["cuda:0", "cuda:1"])
    monkeypatch.setattr(plan, "_free_memory", lambda: 1 << 40)
    assert choose_slots(workers, devices, videos) == slots


def test_little_memory_means_fewer_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "usable_cores", lambda: 8)
    monkeypatch.setattr(plan, "_free_memory", lambda: 4 << 30)
    assert len(choose_slots(None, ["cpu"], 9)) == 2
    with pytest.raises(InputError, match="must be 1 or more, got 0"):
        choose_slots(0, ["cpu"], 9)


def test_sizes_are_known_without_opening_a_video(tmp_path: Path) -> None:
    (tmp_path / "short.mp4").write_bytes(bytes(10))
    (tmp_path / "folder").mkdir()
    for number in range(3):
        (tmp_path / "folder" / f"{number}.jpg").touch()
    sources = [str(tmp_path / name) for name in ("missing.mp4", "short.mp4", "folder")]
    assert sorted([*sources[::-1], "webcam:0"], key=size_of) == [*sources, "webcam:0"]
