"""`posetrack train` from labels to usable weights: it learns, resumes, and runs in several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from posetrack_detectors.int8 import int8_works
from posetrack_detectors.networks import faster_rcnn
from posetrack_detectors.networks.faster_rcnn import FasterRCNN
from posetrack_detectors.networks.hrnet import COMPACT, COMPACT_DEEP, initialise
from posetrack_detectors.networks.pose_hrnet import PoseHRNet
from posetrack_detectors.training import pose_task
from posetrack_detectors.training.loop import Draws, _Run, update_average
from posetrack_detectors.training.pose_task import PoseLearner, draw_targets
from posetrack_detectors.training.weight_files import start_from, write_weights
from posetrack_detectors.weights import tensor_file
from posetrack_detectors.weights.activation_ranges import read_ranges
from posetrack_detectors.weights.calibration import read_calibration
from posetrack_detectors.weights.tensor_file import read_metadata
from safetensors import SafetensorError
from safetensors.torch import load_file
from small_sets import write_coco_set

from posetrack_app.cli import posetrack
from posetrack_app.core.config import load_config
from posetrack_app.core.errors import InputError
from posetrack_app.core.files import try_lock
from posetrack_app.models.build import load_networks
from posetrack_app.models.training.log import read_log
from posetrack_app.models.weights import EMBEDDED

POSE = ("pose", "--size", "64x64", "--batch", "4", "--device", "cpu")
DETECTOR = ("detector", "--side", "64", "--batch", "2", "--device", "cpu")


def train(*options: object) -> None:
    """Run the command in this process; its errors are raised."""
    words = ["train", *(str(option) for option in options)]
    result = CliRunner().invoke(posetrack, words, catch_exceptions=False, standalone_mode=False)
    if result.exception:
        raise result.exception


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def frequent_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record in the log after every second step."""
    monkeypatch.setattr("posetrack_detectors.training.loop.LOG_STEPS", 2)


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(r["seen"], r["loss"]) for r in read_log(folder / "log.jsonl") if "loss" in r]


class PowerFailureError(Exception):
    """Interrupts a training."""


@pytest.mark.usefixtures("frequent_log")
@pytest.mark.parametrize("network", [POSE, DETECTOR], ids=["pose", "detector"])
def test_a_resumed_run_takes_the_same_steps(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: tuple[str, ...]
) -> None:
    options = (*network, "--data", labels, "--cache", tmp_path / "cache", "--epochs", 4)
    train(*options, "--out", tmp_path / "uninterrupted")

    def learn(run: Any, batch: Any) -> None:
        if run.step == 6:
            raise PowerFailureError
        take_step(run, batch)

    take_step = _Run._train_step
    with monkeypatch.context() as patched:
        patched.setattr(_Run, "_train_step", learn)
        patched.setattr(_Run, "_is_time_to_save", lambda run: run.step == 3)
        with pytest.raises(PowerFailureError):
            train(*options, "--out", tmp_path / "resumed")
    stopped = losses(tmp_path / "resumed")
    train(*options, "--out", tmp_path / "resumed", "--resume")
    assert len(stopped) < len(losses(tmp_path / "uninterrupted"))
    assert losses(tmp_path / "resumed") == losses(tmp_path / "uninterrupted")
    name = f"{network[0]}.safetensors"
    uninterrupted = load_file(tmp_path / "uninterrupted" / name)
    resumed = load_file(tmp_path / "resumed" / name)
    assert all(torch.equal(resumed[key], value) for key, value in uninterrupted.items())
    ranges = read_ranges(tmp_path / "uninterrupted" / name)
    assert ranges
    assert ranges == read_ranges(tmp_path / "resumed" / name)


def test_a_pose_network_learns_and_its_weights_can_be_used(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pose_task, "MIN_CALIBRATION_KEYPOINTS", 144)  # the nine people have 144 keypoints
    out = tmp_path / "out"
    train(*POSE, "--data", labels, "--dev", labels, "--out", out, "--epochs", 60, "--small-first", 0.3)
    records = read_log(out / "log.jsonl")
    first, *_, last = losses(out)
    assert last[1] < 0.8 * first[1]
    assert records[-1]["progress"] == 1
    assert (records[-1]["dev_people"], records[-1]["calibrated_on"]) == (9, 144)
    assert {"checkpoint.pt", "dev.svg", "log.jsonl", "loss.svg", "pose.safetensors"} <= {
        file.name for file in out.iterdir()
    }
    assert (out / "loss.svg").read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    weights = out / "pose.safetensors"
    assert read_metadata(weights)["input"] == "64x64"
    assert read_calibration(weights, 19) is not None
    config = tmp_path / "mine.toml"
    precision = "int8" if int8_works() else "float32"
    config.write_text(f'precision = "{precision}"\n[pose]\nweights = "{weights}"\n')
    networks = load_networks(load_config("default", config), "cpu")
    assert networks.precision == precision
    facts = networks.weights["pose"]
    assert (facts["network"], facts["input"], facts["decoding"]) == (
        "hrnet-compact-deep",
        [64, 64],
        "dark-smoothed",
    )
    image, box = np.zeros((90, 90, 3), np.uint8), np.array([10.0, 10, 60, 80])
    keypoints, scores, appearance = networks.estimator([image], [box])
    assert keypoints.shape == (1, 17, 2)
    assert appearance.shape == (1, 0)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_with_few_dev_people_there_is_no_calibration(labels: Path, tmp_path: Path) -> None:
    """With one of seventeen keypoints correct, no score could be above 0.06."""
    train(*POSE, "--data", labels, "--dev", labels, "--out", tmp_path / "out", "--epochs", 0.5)
    assert read_log(tmp_path / "out/log.jsonl")[-1]["calibrated_on"] == 0
    assert read_calibration(tmp_path / "out/pose.safetensors", 19) is None


def test_two_processes_share_the_work(labels: Path, tmp_path: Path) -> None:
    words = (*POSE, "--data", labels, "--out", tmp_path / "out", "--epochs", "6")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "posetrack_app", "train", *(str(word) for word in words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    records = read_log(tmp_path / "out/log.jsonl")
    # Six times eight people, in steps of two batches of four; every line once.
    assert [record["seen"] for record in records] == [48]
    assert (tmp_path / "out/pose.safetensors").is_file()


def test_processes_together_draw_the_same_people_as_one() -> None:
    shares = np.array([1.0, 2.0, 3.0, 4.0])

    def first(first: int, rank: int, world: int, count: int) -> list[tuple[int, int]]:
        return [pair for pair, _ in zip(Draws(shares, 1, first, rank, world), range(count), strict=False)]

    alone = first(0, 0, 1, 40_000)
    both = sorted(first(0, 0, 2, 20_000) + first(0, 1, 2, 20_000))
    assert both == alone
    assert first(17_000, 0, 1, 100) == alone[17_000:17_100]
    drawn = np.bincount([item for _, item in alone]) / len(alone)
    np.testing.assert_allclose(drawn, shares / 10, atol=0.01)


def test_the_average_moves_by_a_tenth_and_copies_the_statistics() -> None:
    average, network = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    torch.nn.init.constant_(network.weight, 2.0)
    network.running_mean.fill_(5.0)  # type: ignore[union-attr]
    network.num_batches_tracked.fill_(3)  # type: ignore[union-attr]
    update_average(average, network, 0.9)
    torch.testing.assert_close(average.weight.detach(), torch.tensor([1.1]))
    assert average.running_mean is not None
    assert average.running_mean.item() == 5
    assert average.num_batches_tracked == 3


def test_an_unlabelled_keypoint_has_no_gradient() -> None:
    network = torch.nn.Conv2d(3, 2, 4, stride=4)
    crops, points = torch.randn(2, 3, 32, 32), torch.rand(2, 2, 2) * 8
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.0]])
    PoseLearner(network)(crops, points, weights, 0.5)["heatmap"].backward()
    assert network.weight.grad is not None
    assert network.weight.grad[0].abs().sum() > 0
    assert network.weight.grad[1].abs().sum() == 0


def test_an_unlabelled_keypoint_is_learned_from_the_teacher() -> None:
    class Teacher(torch.nn.Module):
        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            return draw_targets(torch.full((len(crops), 2, 2), 3.0), (8, 8), 1.0)

    network = torch.nn.Conv2d(3, 2, 4, stride=4)
    crops, points = torch.randn(2, 3, 32, 32), torch.rand(2, 2, 2) * 8
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.0]])
    learner = PoseLearner(network, Teacher())
    assert len(list(learner.parameters())) == 2
    learner(crops, points, weights, 0.5)["heatmap"].backward()
    assert network.weight.grad is not None
    assert network.weight.grad[1].abs().sum() > 0


@pytest.mark.parametrize(
    ("network", "file", "complete"),
    [
        ("pose", "pose", True),
        ("detector", "detector", True),
        ("detector", "pose", False),
        ("pose", "detector", False),
    ],
)
def test_networks_start_from_each_others_trunk(network: str, file: str, complete: bool) -> None:
    started = FasterRCNN(faster_rcnn.COMPACT) if network == "detector" else PoseHRNet(COMPACT_DEEP, 19)
    copied, total = start_from(started, EMBEDDED / f"{file}.safetensors")
    assert copied == total if complete else 150 < copied < total
    key, given = "stage2.0.branches.0.0.conv1.weight", load_file(EMBEDDED / f"{file}.safetensors")
    prefixes = {"pose": "", "detector": "backbone."}
    assert torch.equal(started.state_dict()[prefixes[network] + key], given[prefixes[file] + key].float())


def test_a_deeper_network_starts_with_the_outputs_of_the_shallower_one(tmp_path: Path) -> None:
    """Its additional blocks start as the identity: the weight of their last BatchNorm is 0."""
    shallow, deep = PoseHRNet(COMPACT, 19), PoseHRNet(COMPACT_DEEP, 19)
    for network in (shallow, deep):
        initialise(network)
    for norm in (module for module in shallow.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    write_weights(shallow, tmp_path / "pose.safetensors", {})
    for network in (shallow, deep):
        copied, total = start_from(network, tmp_path / "pose.safetensors")
        assert (copied < total) == (network is deep)
    crops = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        before, after = shallow.eval()(crops), deep.eval()(crops)
    assert before.abs().max() > 0
    assert torch.equal(before, after)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--size", "100x100"), "multiples of 32"),
        (("--size", "big"), "such as 256x192"),
        (("--batch", "0"), "--batch 0: must be more than 0"),
        (("--data", "nowhere.json"), "no such file"),
        (("--init", "nothing.safetensors"), "does not exist"),
        (("--resume",), "contains no training to resume"),
        (("--out", __file__), "writing failed .*choose another folder"),
        (
            ("--small-first", "0.5", "--size", "96x64"),
            r"multiples of 64, because half of it .* \(--small-first\)",
        ),
        (("--small-first", "1.5"), "must be from 0 to 1"),
        (("--epochs", "inf"), "--epochs: must be finite; use --minutes to end earlier"),
        (("--seed", "-1"), "--seed -1: must be from 0 to 4294967295"),
        (("--seed", "20260101123456"), "must be from 0 to"),
    ],
)
def test_errors_of_options_say_what_to_do(
    labels: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        train(*POSE, "--data", labels, "--out", tmp_path / "out", *options)


def test_weights_that_do_not_fit_are_refused_before_decoding(labels: Path, tmp_path: Path) -> None:
    write_weights(torch.nn.Linear(2, 2), tmp_path / "other.safetensors", {})
    with pytest.raises(InputError, match="none of its weights fit this network"):
        train(*POSE, "--data", labels, "--out", tmp_path / "out", "--init", tmp_path / "other.safetensors")
    assert not list(tmp_path.rglob("*.rgb"))


def test_a_training_is_not_overwritten_and_not_resumed_with_other_options(
    labels: Path, tmp_path: Path
) -> None:
    options = (*POSE, "--data", labels, "--out", tmp_path / "out", "--epochs", 0.5)
    train(*options)
    with pytest.raises(InputError, match="already contains a training; choose another folder, or resume it"):
        train(*options)
    with pytest.raises(InputError, match=r"started with rate = 0.0015, not 0.1"):
        train(*options, "--resume", "--rate", 0.1)
    (tmp_path / "out/checkpoint.pt").write_bytes(b"half")
    with pytest.raises(InputError, match="is not a checkpoint"):
        train(*options, "--resume")
    (tmp_path / "out/checkpoint.pt").unlink()
    with pytest.raises(InputError, match="without a checkpoint; if it is not running, delete the folder"):
        train(*options, "--resume")


def test_several_data_sets(labels: Path, tmp_path: Path) -> None:
    more = write_coco_set(tmp_path / "more")
    train(*POSE, "--data", labels, "--data", more, "--out", tmp_path / "out", "--epochs", 0.5)
    settings = json.loads((tmp_path / "out/settings.json").read_text())
    assert settings["data"] == [str(labels), str(more)]
    [record] = read_log(tmp_path / "out/log.jsonl")
    assert record["seen"] == 8  # half of 16 people


def test_a_training_of_an_older_version_can_be_resumed(labels: Path, tmp_path: Path) -> None:
    """Its settings name one data set, not a list."""
    options = (*POSE, "--data", labels, "--out", tmp_path / "out", "--epochs", 0.5)
    train(*options)
    file = tmp_path / "out/settings.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"data": str(labels)}))
    train(*options, "--resume")
    with pytest.raises(InputError, match="was started with data"):
        train(*options, "--data", labels, "--resume")


def test_only_one_process_trains_into_a_folder(labels: Path, tmp_path: Path) -> None:
    """A job is started a second time while the first is running."""
    options = (*POSE, "--data", labels, "--out", tmp_path / "out", "--epochs", 0.5)
    train(*options)
    with (tmp_path / "out" / "settings.json").open("rb") as file:
        assert try_lock(file)
        with pytest.raises(InputError, match="another process is training into this folder"):
            train(*options, "--resume")
    log = (tmp_path / "out" / "log.jsonl").read_text()
    train(*options, "--resume")
    assert (tmp_path / "out" / "log.jsonl").read_text() == log  # it was finished, so there is nothing to add


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
@pytest.mark.parametrize("file", ["checkpoint", "weights"])
def test_a_full_disk_gives_one_line(
    labels: Path, tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(state: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: No space left on device")

    (tmp_path / "out").mkdir()
    if file == "checkpoint":
        (tmp_path / "out" / "checkpoint.tmp").symlink_to("/dev/full")
    else:
        monkeypatch.setattr(tensor_file, "save_file", full)
    with pytest.raises(
        InputError, match=r"No space left on device\); free some space, then resume the training"
    ):
        train(*POSE, "--data", labels, "--out", tmp_path / "out", "--epochs", 0.5)
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_a_batch_that_is_too_small_for_its_crops(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="crops this small need a batch of at least 2") as caught:
        train(*POSE, "--data", labels, "--out", tmp_path / "out", "--size", "32x32", "--batch", 1)
    assert caught.value.option == "batch"


def test_a_log_of_another_program_is_left_alone(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("mine")
    with pytest.raises(InputError, match=r"contains a log\.jsonl from another program"):
        train(*POSE, "--data", labels, "--out", tmp_path)
    assert (tmp_path / "log.jsonl").read_text() == "mine"


def test_too_little_gpu_memory_gives_one_line(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(run: Any, batch: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(_Run, "_train_step", full)
    with pytest.raises(InputError, match=r"too little memory for batches of 4; .* smaller batches") as caught:
        train(*POSE, "--data", labels, "--out", tmp_path / "out", "--epochs", 0.5)
    assert caught.value.option == "batch"


@pytest.mark.parametrize("options", [POSE, DETECTOR], ids=["pose", "detector"])
def test_a_failed_compilation_gives_one_line(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    def fail(*arguments: Any) -> None:
        raise torch._dynamo.exc.TorchDynamoException("no C++ compiler\nhere")

    monkeypatch.setattr(torch.nn.Module, "compile", lambda network: setattr(network, "forward", fail))
    with pytest.raises(InputError, match=r"torch.compile failed \(no C\+\+ compiler here\)") as caught:
        train(*options, "--data", labels, "--out", tmp_path / "out", "--compile")
    assert caught.value.option == "compile"
    assert not (tmp_path / "out" / "settings.json").exists()


def test_a_failed_training_leaves_the_folder_free(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*POSE, "--out", tmp_path / "out", "--epochs", 0.5)
    with pytest.raises(InputError, match="no such file"):
        train(*options, "--data", tmp_path / "typo.json")
    assert not (tmp_path / "out").exists()

    def stop(run: Any, batch: Any) -> None:
        raise PowerFailureError

    with monkeypatch.context() as patched:
        patched.setattr(_Run, "_train_step", stop)
        with pytest.raises(PowerFailureError):
            train(*options, "--data", labels)
    train(*options, "--data", labels)
    assert (tmp_path / "out/pose.safetensors").is_file()


def test_nan_weights_are_not_saved(labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(run: Any, batch: Any) -> None:
        take_step(run, batch)
        with torch.no_grad():
            next(run.network.parameters()).fill_(torch.nan)

    take_step = _Run._train_step
    monkeypatch.setattr(_Run, "_train_step", learn)
    with pytest.raises(
        InputError, match="start again in another folder with a lower learning rate"
    ) as caught:
        train(*POSE, "--data", labels, "--out", tmp_path / "out", "--epochs", 0.5)
    assert caught.value.option == "rate"
    assert not (tmp_path / "out/checkpoint.pt").exists()
    assert not (tmp_path / "out/pose.safetensors").exists()
