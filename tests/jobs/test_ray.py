"""Workers on Ray: a local Ray with two cores, and a made cluster of two nodes; each needs the package ray."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import fake_ray
import many_fakes
import numpy as np
import pytest
from killed_run import config, fake_networks

from posetrack_app.core.config import Config
from posetrack_app.core.errors import InputError
from posetrack_app.core.protocols import Networks
from posetrack_app.jobs.many.board import Board
from posetrack_app.jobs.many.ray_workers import _choose_slots, ray_workers
from posetrack_app.jobs.many.worker import Slot, Work
from posetrack_app.jobs.track_many import Sharing, track_videos


def healthy_networks(settings: Config, device: str) -> Networks:
    return fake_networks()


def make_folder(path: Path, images: int, fatal: int | None = None) -> str:
    path.mkdir()
    for number in range(images):
        image = np.full((96, 160, 3), 20 + number, np.uint8)
        image[:16, :16] = many_fakes.GREEN if number == fatal else 255
        cv2.imwrite(str(path / f"{number:03}.png"), image)
    return str(path)


@pytest.mark.parametrize(
    ("resources", "workers", "device", "slots"),
    [
        ({"CPU": 2.0}, None, "auto", [Slot("cpu", 1)] * 2),
        ({"CPU": 2.0}, 1, "cpu", [Slot("cpu", 2)]),
        ({"CPU": 2.0, "GPU": 4.0}, None, "auto", [Slot("cuda", 1)] * 4),
        ({"CPU": 2.0}, 5, "cpu", [Slot("cpu", 1)] * 5),
    ],
)
def test_workers_for_a_cluster(
    resources: dict[str, float],
    workers: int | None,
    device: str,
    slots: list[Slot],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("posetrack_app.jobs.many.ray_workers.usable_cores", lambda: 2)
    assert _choose_slots(resources, workers, device, 9) == slots


def test_requests_that_a_cluster_cannot_fulfil() -> None:
    with pytest.raises(InputError, match="has no GPU"):
        _choose_slots({"CPU": 2.0}, None, "cuda", 9)
    with pytest.raises(InputError, match="must be 1 or more"):
        _choose_slots({"CPU": 2.0}, 0, "cpu", 9)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'posetrack-app\[ray\]'"):
        ray_workers("", None, ["cpu"], 1, Work(Config()))


@pytest.fixture
def _own_log() -> Iterator[None]:
    """Actors in this process change its log."""
    logger = logging.getLogger("posetrack")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.mark.usefixtures("_own_log")
def test_our_side_of_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a Ray that runs everything in this process: an actor dies once."""
    died: list[str] = []

    def fails(method: str, arguments: tuple[Any, ...]) -> bool:
        if method == "track" and "kills" in arguments[0].source and not died:
            died.append(arguments[0].source)
            return True
        return False

    fake = fake_ray.FakeRay({"CPU": 2.0}, fails)
    monkeypatch.setitem(sys.modules, "ray", fake)
    sources = [make_folder(tmp_path / name, 4) for name in ("kills", "good")]
    track_videos(sources, tmp_path / "one", config=config(), load=healthy_networks)
    sharing = Sharing(workers=None, devices=["cpu"], ray="")
    outcomes = track_videos(
        sources, tmp_path / "out", config=config(), load=healthy_networks, sharing=sharing
    )
    assert [(outcome.state, outcome.retries) for outcome in outcomes] == [("done", 1), ("done", 0)]
    for name in ("kills.json", "good.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert len(fake.options) == 2
    assert all(options["max_restarts"] == -1 and "num_gpus" not in options for options in fake.options)
    assert fake.killed == 2
    assert not fake.is_running
    with pytest.raises(InputError, match="no such weights"):
        track_videos(
            sources, tmp_path / "x", config=config(), load=many_fakes.refused_networks, sharing=sharing
        )


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The package, without its dashboard and reports; whatever a test starts is stopped."""
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_UV_RUN_RUNTIME_ENV"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the actors import the networks of the tests
    package: Any = pytest.importorskip(
        "ray", reason="needs the package ray: pip install 'posetrack-app[ray]'"
    )
    yield package
    package.shutdown()


def check_runs(tmp_path: Path, address: str) -> None:
    """One killed actor in the middle of its video; the results are those of one process, to the byte."""
    sources = [make_folder(tmp_path / "kills", 24, fatal=16)]
    sources += [make_folder(tmp_path / f"good{number}", 5 + number) for number in range(3)]
    track_videos(sources, tmp_path / "one", config=config(), load=healthy_networks)
    boards: list[Board] = []
    out = tmp_path / "many"
    outcomes = track_videos(
        sources,
        out,
        config=config(),
        load=partial(many_fakes.fateful_networks, folder=tmp_path),
        sharing=Sharing(workers=2, devices=["cpu"], ray=address),
        show=boards.append,
    )
    assert [outcome.state for outcome in outcomes] == ["done"] * 4
    assert [outcome.retries for outcome in outcomes] == [1, 0, 0, 0]
    assert boards[-1].restarts == 1
    for source in sources:
        name = f"{Path(source).name}.json"
        assert (out / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert json.loads((out / "kills.run.json").read_text())["resumed"] is True
    found = [json.loads(line) for line in (out / "summary.jsonl").read_text().splitlines()]
    assert {line["tracks_file"]: line["retries"] for line in found}["kills.json"] == 1


@pytest.mark.filterwarnings("ignore")
def test_a_local_ray(tmp_path: Path, ray: Any) -> None:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    check_runs(tmp_path, "")


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_of_two_nodes(tmp_path: Path, ray: Any) -> None:
    """With room for one worker each."""
    cluster_utils: Any = import_module("ray.cluster_utils")
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        check_runs(tmp_path, cluster.address)
    finally:
        ray.shutdown()
        cluster.shutdown()
