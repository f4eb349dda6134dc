"""Write and read the weight files made here: .safetensors with metadata."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from posetrack_detectors.weights.atomic_file import atomic_file
from posetrack_detectors.weights.checkpoints import CheckpointError, raise_memory_error


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a world-readable file, atomically."""
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
        temporary.chmod(0o644)


def write_metadata(path: Path, entries: dict[str, str]) -> None:
    """Add `entries` to the metadata of a .safetensors file; the tensors stay the same."""
    write_tensors(path, load_file(path), read_metadata(path) | entries)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a .safetensors file, {} for other files; CheckpointError if the file is damaged."""
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise_memory_error(error, path)
        raise CheckpointError(f"{path} is damaged or not a .safetensors file: {error}") from error
