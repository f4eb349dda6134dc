"""Load published weight files: unwrap and rename their keys, and never run code from them.

Supported: the authors' HRNet and SimpleBaseline files (plain, or a `state_dict` with `module.` before each key), mmpose
0.x (`backbone.`, `keypoint_head.`) and 1.x (`backbone.`, `head.`), mmdetection 2.x and 3.x (the keys used here), the
ImageNet classifiers, and `.safetensors` in float32 or float16.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

_WRAPPERS = ("module.", "model.")
_MMPOSE_PREFIXES = ("backbone.", "keypoint_head.", "head.")
_NOT_WEIGHTS = ("data_preprocessor.", "loss.")
# Objects that training frameworks store beside the weights, such as loss curves; these modules are never imported.
_BOOKKEEPING = ("mmengine.", "mmcv.", "mmdet.", "mmpose.", "numpy.", "builtins.getattr", "yacs.", "easydict.")


class CheckpointError(ValueError):
    """The weight file is damaged, unsafe or for another network; the message is one line."""


class _Inert:
    """Placeholder for another library's object in a weight file: accepts any arguments, does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def load_weights(network: nn.Module, path: Path) -> None:
    """Load the weights of `path` into `network`; CheckpointError if the file is damaged or for another network.

    Names and shapes must match exactly; only the batch counters of BatchNorms may be missing.
    """
    expected = network.state_dict()
    weights = canonical_names(read_tensors(path), for_network=expected)
    missing_counters = {
        key: value
        for key, value in expected.items()
        if key.endswith("num_batches_tracked") and key not in weights
    }
    _load(network, weights | missing_counters, expected, path)


def read_tensors(path: Path, ending: str = "") -> dict[str, Tensor]:
    """The tensors of a weight file on the CPU, under the file's own names; never runs code from the file.

    `ending` is that of the file's name, if `path` has another. CheckpointError for a file without weights, MemoryError if
    they do not fit into memory.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    try:
        content = load_file(path) if (ending or path.suffix) == ".safetensors" else _unpickle_tensors(path)
    except CheckpointError:
        raise
    except SafetensorError as error:
        raise_memory_error(error, path)
        raise CheckpointError(
            f"{path} is damaged or not a .safetensors file: {_first_line(error)}"
        ) from error
    except Exception as error:  # a damaged pickle or archive raises any of a dozen types
        raise_memory_error(error, path)
        raise CheckpointError(f"{path} is damaged or not a weight file: {_first_line(error)}") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = (
        {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    )
    if not tensors:
        raise CheckpointError(f"{path} contains no network weights; give a weight file")
    return tensors


def raise_memory_error(error: Exception, path: Path) -> None:
    """MemoryError if reading `path` failed because there was too little memory, and not because of the file."""
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "bad_alloc" in str(error):
        raise MemoryError(f"while reading {path}: {_first_line(error)}") from error


def canonical_names(tensors: dict[str, Tensor], for_network: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors named as in `for_network`: without wrappers, and without mmpose's prefixes unless it has them."""
    prefixes = () if any(key.startswith("backbone.") for key in for_network) else _MMPOSE_PREFIXES
    renamed = {}
    for key, value in tensors.items():
        for wrapper in _WRAPPERS:
            key = key.removeprefix(wrapper)
        if key.startswith(_NOT_WEIGHTS):
            continue
        prefix = next((p for p in prefixes if key.startswith(p)), "")
        renamed[key.removeprefix(prefix)] = value
    return renamed


def _unpickle_tensors(path: Path) -> Any:
    """Load with `weights_only`; objects of training frameworks become placeholders."""
    inert: list[Any] = []
    if _is_zip(path):
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        foreign = [name for name in names if not name.startswith(_BOOKKEEPING)]
        if foreign:
            calls = ", ".join(sorted(foreign)[:3])
            raise CheckpointError(
                f"{path} contains code ({calls}); it was not run, and nothing was loaded; use a file you trust"
            )
        inert = [(type("Inert", (_Inert,), {}), name) for name in names]
    with torch.serialization.safe_globals(inert), warnings.catch_warnings():
        # Our own message follows: PyTorch warns of pickle protocols other than 2 before it refuses them.
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _first_line(error: Exception) -> str:
    """The first sentence of the message; torch appends advice for developers."""
    return str(error).strip().split("\n")[0].split(". ")[0][:200] or type(error).__name__


def _load(network: nn.Module, weights: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    missing = [key for key in expected if key not in weights]
    unknown = [key for key in weights if key not in expected]
    reshaped = [key for key in expected if key in weights and weights[key].shape != expected[key].shape]
    faults = []
    if missing:
        faults.append(f"{_count(missing)} missing (first: {missing[0]})")
    if reshaped:
        key = reshaped[0]
        found, needed = tuple(weights[key].shape), tuple(expected[key].shape)
        faults.append(f"{_count(reshaped)} of another shape (first: {key} is {found}, expected {needed})")
    if unknown:
        faults.append(f"{_count(unknown)} unknown (first: {unknown[0]})")
    if faults:
        raise CheckpointError(
            f"{path} is not for this network ({type(network).__name__}): {'; '.join(faults)}"
        )
    for key, value in weights.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{path} is damaged: {key} contains NaN or infinite values")
    network.load_state_dict(weights)


def _count(keys: list[str]) -> str:
    return f"{len(keys)} key is" if len(keys) == 1 else f"{len(keys)} keys are"
