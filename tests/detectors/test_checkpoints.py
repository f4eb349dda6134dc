"""Weight files: every known wrapping loads; wrong, damaged and malicious files are refused."""

from __future__ import annotations

import os
import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from posetrack_detectors.networks.hrnet import TrunkSize
from posetrack_detectors.networks.pose_hrnet import PoseHRNet
from posetrack_detectors.training.weight_files import start_from
from posetrack_detectors.weights import checkpoints
from posetrack_detectors.weights.checkpoints import CheckpointError, load_weights, read_tensors
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

TINY = TrunkSize(4, modules=(1, 1, 1), blocks=1, stem_channels=4, stem_planes=4, stem_blocks=1)
Weights = dict[str, Tensor]


def tiny_network(seed: int = 0, keypoints: int = 3) -> PoseHRNet:
    torch.manual_seed(seed)
    return PoseHRNet(TINY, keypoints)


def same(network: nn.Module, weights: Weights) -> bool:
    return all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def prefixed(weights: Weights, head: str) -> Weights:
    return {(head if key.startswith("final") else "backbone.") + key: v for key, v in weights.items()}


WRAPPINGS: dict[str, Callable[[Weights], Any]] = {
    "plain, as in the authors' zoo": lambda w: w,
    "state_dict with module., as in the authors' checkpoint.pth": lambda w: {
        "epoch": 3,
        "state_dict": {f"module.{k}": v for k, v in w.items()},
        "best_state_dict": w,
        "optimizer": {"lr": 0.1},
    },
    "mmpose 0.x": lambda w: {"meta": {"epoch": 1}, "state_dict": prefixed(w, "keypoint_head.")},
    "mmpose 1.x": lambda w: {
        "state_dict": prefixed(w, "head.") | {"data_preprocessor.mean": torch.zeros(3, 1, 1)},
        "meta": {},
    },
    "model., with a loss": lambda w: (
        {f"model.{k}": v for k, v in w.items()} | {"loss.weight": torch.ones(19)}
    ),
    "without batch counters (PyTorch 0.4)": lambda w: {k: v for k, v in w.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrapping", WRAPPINGS.values(), ids=WRAPPINGS.keys())
def test_every_known_wrapping_loads(tmp_path: Path, wrapping: Callable[[Weights], Any], zipped: bool) -> None:
    source = tiny_network(1).state_dict()
    torch.save(wrapping(source), tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    network = tiny_network(2)
    load_weights(network, tmp_path / "weights.pth")
    assert same(network, source)


def test_float16_safetensors_become_float32(tmp_path: Path) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in tiny_network(1).state_dict().items()}
    save_file(halves, tmp_path / "weights.safetensors")
    network = tiny_network(2)
    load_weights(network, tmp_path / "weights.safetensors")
    assert network.final_layer.weight.dtype == torch.float32
    assert torch.equal(network.final_layer.weight, halves["final_layer.weight"].float())


class Detector(nn.Module):
    """The keys of its trunk start with backbone., as in every detector."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(2, 2)
        self.head = nn.Linear(2, 2)


def test_keys_of_a_detector_are_not_renamed(tmp_path: Path) -> None:
    source = Detector().state_dict()
    torch.save({"meta": {}, "state_dict": source}, tmp_path / "detector.pth")
    network = Detector()
    load_weights(network, tmp_path / "detector.pth")
    assert same(network, source)


WRONG: dict[str, tuple[Callable[[Weights], Any], str]] = {
    "17 keypoints for 3": (
        lambda w: w | {"final_layer.weight": torch.zeros(17, 4, 1, 1), "final_layer.bias": torch.zeros(17)},
        r"2 keys are of another shape \(first: final_layer.weight is \(17, 4, 1, 1\), expected \(3, 4, 1, 1",
    ),
    "no head": (
        lambda w: {k: v for k, v in w.items() if k != "final_layer.bias"},
        r"1 key is missing \(first: final_layer.bias\)",
    ),
    "more than the network has": (
        lambda w: w | {"neck.weight": torch.zeros(1)},
        "1 key is unknown .*neck.weight",
    ),
    "another network": (lambda w: {"fc.weight": torch.zeros(2, 2)}, "keys are missing.*unknown"),
    "no tensors": (lambda w: {"epoch": 1}, "contains no network weights"),
    "a list": (lambda w: [1, 2], "contains no network weights"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_refused(tmp_path: Path, content: Callable[[Weights], Any], message: str) -> None:
    network = tiny_network(2)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.save(content(tiny_network(1).state_dict()), tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_weights(network, tmp_path / "weights.pth")
    assert "\n" not in str(caught.value)
    assert "weights.pth" in str(caught.value)
    assert same(network, before)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    save: Callable[[Weights, Path], None] = save_file if path.suffix == ".safetensors" else torch.save
    save(tiny_network().state_dict(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(CheckpointError, match=r"damaged|not a weight file") as caught:
        load_weights(tiny_network(), path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x80\x02}q\x00", b"PK\x03\x04 no archive", b"<html>404</html>" * 99]
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.pth"):
        load_weights(tiny_network(), tmp_path / "weights.pth")


def test_a_missing_file(tmp_path: Path) -> None:
    for name in ("weights.pth", "weights.safetensors"):
        with pytest.raises(CheckpointError, match="does not exist"):
            load_weights(tiny_network(), tmp_path / name)


class Malicious:
    """Its pickle contains a call that writes a file."""

    def __init__(self, function: Any, argument: str) -> None:
        self.call = function, (argument,)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("function", [os.system, exec, eval, __import__("subprocess").getoutput], ids=str)
def test_code_in_a_file_is_not_run(tmp_path: Path, function: Any, zipped: bool) -> None:
    proof = tmp_path / "ran"
    python = f"__import__('pathlib').Path({str(proof)!r}).touch()"
    command = f"touch {proof}" if function.__name__ in ("system", "getoutput") else python
    content = {"state_dict": tiny_network().state_dict(), "meta": Malicious(function, command)}
    torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError):
        load_weights(tiny_network(), tmp_path / "weights.pth")
    assert not proof.exists()
    torch.load(tmp_path / "weights.pth", weights_only=False)
    assert proof.exists(), "the file must contain code, or this test proves nothing"


def test_code_in_a_plain_pickle_is_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Malicious(os.system, f"touch {proof}")))
    with pytest.raises(CheckpointError):
        load_weights(tiny_network(), tmp_path / "weights.pth")
    assert not proof.exists()


def test_objects_of_mmengine_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files from mmengine contain loss curves; they load without mmengine."""
    module = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self) -> None:
            self.history = [1.0, 2.0]

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = module.__name__, "HistoryBuffer"
    module.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    source = tiny_network(1).state_dict()
    content = {"state_dict": prefixed(source, "head."), "message_hub": {"log_scalars": HistoryBuffer()}}
    torch.save(content, tmp_path / "weights.pth")
    monkeypatch.undo()
    network = tiny_network(2)
    load_weights(network, tmp_path / "weights.pth")
    assert same(network, source)
    assert module.__name__ not in sys.modules


def test_a_pose_network_starts_from_the_trunk_of_a_classifier(tmp_path: Path) -> None:
    """The classifier's `final_layer` is another layer and is not copied."""
    source = tiny_network(1).state_dict()
    others = {"classifier.weight": torch.ones(5, 2), "final_layer.0.weight": torch.ones(7, 2, 1, 1)}
    trunk = {key: value for key, value in source.items() if not key.startswith("final_layer")}
    torch.save(trunk | others, tmp_path / "classifier.pth")
    network = tiny_network(2)
    head = network.final_layer.weight.clone()
    copied, total = start_from(network, tmp_path / "classifier.pth")
    assert copied == total - 2  # all but the weight and bias of the head
    assert torch.equal(network.final_layer.weight, head)
    weights = {key: value for key, value in trunk.items() if not key.endswith("num_batches_tracked")}
    assert all(torch.equal(network.state_dict()[key], value) for key, value in weights.items())


def test_a_zip_that_is_not_a_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "weights.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="damaged or not a weight file"):
        load_weights(tiny_network(), tmp_path / "weights.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinite_weights_are_refused(tmp_path: Path, value: float) -> None:
    weights = tiny_network().state_dict()
    first = next(iter(weights))
    weights[first] = torch.full_like(weights[first], value)
    save_file(weights, tmp_path / "a.safetensors")
    network = tiny_network(1)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointError, match="NaN or infinite values"):
        load_weights(network, tmp_path / "a.safetensors")
    assert same(network, before)


@pytest.mark.parametrize("text", ["Cannot allocate memory (os error 12)", "std::bad_alloc"])
@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_too_little_memory_is_not_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, ending: str
) -> None:
    path = tmp_path / f"weights{ending}"
    path.write_bytes(b"\0")

    def refused(*_: object, **__: object) -> None:
        raise SafetensorError(text) if ending == ".safetensors" else RuntimeError(text)

    monkeypatch.setattr(checkpoints, "load_file", refused)
    monkeypatch.setattr(torch, "load", refused)
    with pytest.raises(MemoryError, match=r"while reading .*weights"):
        read_tensors(path)
