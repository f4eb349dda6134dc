"""Weight files for scripts/fuzz/fuzz.py."""

from __future__ import annotations

from pathlib import Path

import torch
from fuzz_damage import Random, damaged_bytes
from fuzz_judge import FaultError, judge_folder
from safetensors.torch import save_file

from posetrack_app.core.errors import InputError
from posetrack_app.models.networks import _load


class CheckpointCases:
    """Weight files of every supported kind, for a small network."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 4, 1)
        )
        weights = self.network.state_dict()
        save_file(weights, folder / "a.safetensors")
        torch.save(weights, folder / "b.pth")
        torch.save(
            {"state_dict": {f"module.{k}": v for k, v in weights.items()}, "epoch": 3}, folder / "c.pth"
        )
        torch.save(weights, folder / "d.pth", _use_new_zipfile_serialization=False)
        self.files = [
            (name, (folder / name).read_bytes()) for name in ("a.safetensors", "b.pth", "c.pth", "d.pth")
        ]

    def run(self, random: Random, folder: Path) -> None:
        name, data = self.files[int(random.integers(len(self.files)))]
        path = folder / name
        path.write_bytes(damaged_bytes(data, random))
        try:
            _load(self.network, path)
        except InputError as error:
            if "\n" in str(error):
                raise FaultError(f"an error of several lines: {error}") from error
        else:
            for key, value in self.network.state_dict().items():
                if not torch.isfinite(value).all():
                    raise FaultError(f"loaded {key} with values that are not finite")
        judge_folder(folder, {name})
