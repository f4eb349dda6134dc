"""Average weights of one network from trainings that started from each other.

python scripts/weights/average_weights.py A B --out C

Such weights lie in one basin of the loss, and their mean often generalises better than the last ones (Wortsman et al.,
"Model soups", ICML 2022). Measure the result: both embedded networks are such means; earlier pose networks gained
nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

MEASURED = ("keypoint_calibration", "activation_ranges")
"""Metadata that was measured with other weights, so the mean does not get it."""


def average(files: list[Path], out: Path) -> None:
    """Write the mean of `files`, with the metadata of the last one except `MEASURED`."""
    states = [load_file(file) for file in files]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if any(other != shapes[0] for other in shapes[1:]):
        raise SystemExit("these files are for different networks")
    means = {}
    for name, value in states[-1].items():
        mean = torch.stack([state[name].double() for state in states]).mean(dim=0)
        means[name] = mean.to(value.dtype) if value.is_floating_point() else value
    with safe_open(files[-1], "pt") as last:
        metadata = {key: text for key, text in (last.metadata() or {}).items() if key not in MEASURED}
    save_file(means, out, metadata)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="two or more .safetensors files")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    average(options.files, options.out)


if __name__ == "__main__":
    main()
