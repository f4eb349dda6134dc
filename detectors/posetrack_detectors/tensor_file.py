"""Weight files as we write them: .safetensors, whole or not at all, with what is known of the weights besides."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from posetrack_detectors.checkpoints import CheckpointError
from posetrack_detectors.whole_file import whole_file


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A file that everybody may read, in one step."""
    with whole_file(path) as beside:
        save_file(tensors, beside, metadata=metadata)
        beside.chmod(0o644)


def write_metadata(path: Path, entries: dict[str, str]) -> None:
    """Store `entries` with what the .safetensors file says of itself already; tensors stay as they are."""
    write_tensors(path, load_file(path), read_metadata(path) | entries)


def read_metadata(path: Path) -> dict[str, str]:
    """What a .safetensors file says of itself besides the tensors; {} for other files.

    CheckpointError if it is damaged.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or not a .safetensors file: {error}") from error
