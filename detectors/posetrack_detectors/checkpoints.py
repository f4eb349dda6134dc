"""Published weight files into our networks: the names they use, what they wrap, and never any of their code.

Known: the authors' HRNet and SimpleBaseline files (plain, or `state_dict` with `module.` before each key),
mmpose 0.x (`backbone.`, `keypoint_head.`) and 1.x (`backbone.`, `head.`), mmdetection 2.x and 3.x (our keys),
the ImageNet classifiers, and `.safetensors`, also stored in float16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

TRUNK = ("conv1.", "bn1.", "conv2.", "bn2.", "layer1.", "transition", "stage")
"""How the keys of an HRNet trunk start."""

_WRAPPERS = ("module.", "model.")
_MMPOSE_PARTS = ("backbone.", "keypoint_head.", "head.")
_NOT_WEIGHTS = ("data_preprocessor.", "loss.")
# Left beside the weights by training frameworks (loss curves, arrays): named in the pickle, never imported.
_BOOKKEEPING = ("mmengine.", "mmcv.", "mmdet.", "mmpose.", "numpy.", "builtins.getattr", "yacs.", "easydict.")


class CheckpointError(ValueError):
    """A weight file that is damaged, hostile or for another network; one line that says which."""


class _Inert:
    """Stands for an object of another library in a weight file: takes anything, does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill `network` with the weights of `path`; CheckpointError if it is not whole or not of this network.

    Every weight must be there in its shape and none may be left over; batch counters of norms may be absent.
    """
    wanted = network.state_dict()
    weights = official_names(read_tensors(path), for_network=wanted)
    absent_counters = {
        key: value
        for key, value in wanted.items()
        if key.endswith("num_batches_tracked") and key not in weights
    }
    _fill(network, weights | absent_counters, wanted, path)


def load_trunk(network: nn.Module, path: Path) -> None:
    """Fill the HRNet trunk of `network` (a pose net, a detector's `backbone`) from an ImageNet classifier.

    The rest of the network keeps its values; CheckpointError if a part of the trunk is not in the file.
    """
    state = network.state_dict()
    trunk = {key: value for key, value in state.items() if key.startswith(TRUNK)}
    weights = official_names(read_tensors(path), for_network=trunk)
    counters = {key: value for key, value in trunk.items() if key.endswith("num_batches_tracked")}
    found = {key: value for key, value in (counters | weights).items() if key in trunk}
    _fill(network, {**state, **found}, state, path, absent=[key for key in trunk if key not in found])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file under the file's own names, on the CPU; runs no code of the file."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not there" if not path.exists() else f"{path} is not a file")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle_tensors(path)
    except CheckpointError:
        raise
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is damaged or not a .safetensors file: {_first_line(error)}"
        ) from error
    except Exception as error:  # a damaged pickle or archive ends in any of a dozen exception types
        raise CheckpointError(f"{path} is damaged or not a weight file: {_first_line(error)}") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = (
        {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    )
    if not tensors:
        raise CheckpointError(f"{path} holds no network weights")
    return tensors


def official_names(tensors: dict[str, Tensor], for_network: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names of `for_network`: no wrappers, no mmpose prefixes unless it has them."""
    parts = () if any(key.startswith("backbone.") for key in for_network) else _MMPOSE_PARTS
    renamed = {}
    for key, value in tensors.items():
        for wrapper in _WRAPPERS:
            key = key.removeprefix(wrapper)
        if key.startswith(_NOT_WEIGHTS):
            continue
        part = next((p for p in parts if key.startswith(p)), "")
        renamed[key.removeprefix(part)] = value
    return renamed


def _unpickle_tensors(path: Path) -> Any:
    """What torch.load gives with code forbidden; bookkeeping of training frameworks becomes inert."""
    inert: list[Any] = []
    if _is_zip(path):
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        foreign = [name for name in names if not name.startswith(_BOOKKEEPING)]
        if foreign:
            calls = ", ".join(sorted(foreign)[:3])
            raise CheckpointError(f"{path} asks to run code ({calls}): nothing was run and nothing is loaded")
        inert = [(type("Inert", (_Inert,), {}), name) for name in names]
    with torch.serialization.safe_globals(inert):
        return torch.load(path, map_location="cpu", weights_only=True)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _first_line(error: Exception) -> str:
    """The reason as one short line; torch puts advice for developers behind it."""
    return str(error).strip().split("\n")[0].split(". ")[0][:200] or type(error).__name__


def _fill(
    network: nn.Module,
    weights: dict[str, Tensor],
    wanted: dict[str, Tensor],
    path: Path,
    absent: list[str] | None = None,
) -> None:
    missing = absent if absent is not None else [key for key in wanted if key not in weights]
    extra = [key for key in weights if key not in wanted]
    reshaped = [key for key in wanted if key in weights and weights[key].shape != wanted[key].shape]
    faults = []
    if missing:
        faults.append(f"{_count(missing)} missing (first: {missing[0]})")
    if reshaped:
        key = reshaped[0]
        theirs, ours = tuple(weights[key].shape), tuple(wanted[key].shape)
        faults.append(f"{_count(reshaped)} of another shape (first: {key} is {theirs}, wanted {ours})")
    if extra:
        faults.append(f"{_count(extra)} unknown (first: {extra[0]})")
    if faults:
        raise CheckpointError(
            f"{path} is not for this network ({type(network).__name__}): {'; '.join(faults)}"
        )
    for key, value in weights.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{path} is damaged: {key} holds values that are no numbers")
    network.load_state_dict(weights)


def _count(keys: list[str]) -> str:
    return f"{len(keys)} key is" if len(keys) == 1 else f"{len(keys)} keys are"
