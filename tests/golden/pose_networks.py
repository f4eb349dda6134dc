"""Compare pose networks, and the steps around them, with numbers recorded from the reference code.

python scripts/check_goldens.py pose ../shared/goldens/pose

The format is described in ../shared/goldens/pose/README.md. Networks are filled with the kit's pseudo-weights, which
are computed from the names of the keys, so no published file is needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from posetrack_detectors.networks.hrnet import TrunkSize
from posetrack_detectors.networks.pose_hrnet import PoseHRNet
from posetrack_detectors.networks.pose_resnet import PoseResNet

from golden.pose_steps import STEPS
from golden.reference.classifier import HRNetClassifier
from golden.reference.segmentation import HRNetSegmentation

# As in the README: shares of the standard deviation of the recorded output.
TOLERANCE = {"float32": 3e-5, "float64": 1e-9}


def check(directory: Path) -> int:
    """Check every case of the kit in `directory`, one line each; returns how many differ, or 1 if there are none."""
    cases = differing = 0
    for name, difference, tolerance in (*networks(directory), *post_processing(directory)):
        ok = difference <= tolerance  # False for NaN
        cases, differing = cases + 1, differing + (not ok)
        print(f"{'ok  ' if ok else 'DIFF'} {name}: {difference:.2g} (at most {tolerance:.2g})", flush=True)
    print(f"{cases} cases, {differing} out of tolerance")
    return differing if cases else 1


def networks(directory: Path) -> Iterator[tuple[str, float, float]]:
    """(case and precision, largest difference, tolerance) for every recorded network."""
    for meta_path in sorted(directory.rglob("meta.json")):
        meta = json.loads(meta_path.read_text())
        recorded = np.load(meta_path.with_name("data.npz"))
        case = str(meta_path.parent.relative_to(directory))
        weights = pseudo_weights({row[0]: tuple(row[1]) for row in meta["state_dict"]})
        shape = tuple(meta["input"]["shape"])
        inputs = generator("input:" + meta["case"]).standard_normal(shape).astype(np.float32)
        network = build(meta)
        network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
        network.eval()
        trained = sum(p.numel() for p in network.parameters())
        same_keys = list(network.state_dict()) == [row[0] for row in meta["state_dict"]]
        yield f"{case} parameters and keys", abs(trained - meta["n_parameters"]) + (not same_keys), 0
        for precision, column in (("float32", "sample_val"), ("float64", "sample_val_float64")):
            dtype = getattr(torch, precision)
            with torch.inference_mode():
                output = network.to(dtype)(torch.from_numpy(inputs).to(dtype)).numpy()
            same_shape = list(output.shape) == meta["output"]["shape"]
            got = output.ravel()[recorded["sample_idx"]] if same_shape else np.nan
            difference = float(np.abs(got - recorded[column]).max())
            yield f"{case} {precision}", difference, TOLERANCE[precision] * meta["output"]["std"]


def build(meta: dict[str, Any]) -> torch.nn.Module:
    """The network for a recorded case."""
    shapes = {row[0]: row[1] for row in meta["state_dict"]}
    family = meta["case"].split("_hrnet")[0].split("_resnet")[0] + (
        "_resnet" if "_resnet_" in meta["case"] else ""
    )
    if family == "pose_resnet":
        depth: Any = meta.get("extra", {}).get("NUM_LAYERS") or int(meta["case"].split("_")[2])
        return PoseResNet(depth, shapes["final_layer.weight"][0], caffe_style="caffe" in meta["model"])
    stages = [meta["extra"][f"STAGE{i}"] for i in (2, 3, 4)]
    size = TrunkSize(
        width=stages[0]["NUM_CHANNELS"][0],
        modules=tuple(stage["NUM_MODULES"] for stage in stages),
        blocks=stages[0]["NUM_BLOCKS"][0],
        stem_planes=shapes["layer1.0.conv1.weight"][0],
        stem_blocks=len({key.split(".")[1] for key in shapes if key.startswith("layer1.")}),
    )
    if family == "pose":
        return PoseHRNet(size, shapes["final_layer.weight"][0])
    if family == "cls":
        return HRNetClassifier(size, shapes["classifier.weight"][0])
    return HRNetSegmentation(size, shapes["last_layer.3.weight"][0], align_corners=meta["align_corners"])


def post_processing(directory: Path) -> Iterator[tuple[str, float, float]]:
    """(case, largest difference, tolerance) for every recorded step before and after the network."""
    folder = directory / "D_postprocess"
    for name, step in STEPS.items():
        if (folder / name).is_file():
            with np.load(folder / name) as recorded:
                for case, difference, tolerance in step(dict(recorded), folder):
                    yield f"D_postprocess/{name} {case}", difference, tolerance


def generator(text: str) -> np.random.Generator:
    """The kit's random number generator for a name."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.Generator(np.random.PCG64(seed))


def pseudo_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray[Any, Any]]:
    """The kit's formula, version 1: the float32 values of every key."""
    return {key: _pseudo_weight(key, shape, shapes) for key, shape in shapes.items()}


def _pseudo_weight(key: str, shape: tuple[int, ...], keys: dict[str, Any]) -> np.ndarray[Any, Any]:
    module, _, leaf = key.rpartition(".")
    if leaf == "num_batches_tracked":
        return np.zeros(shape, dtype=np.int64)
    z = generator(key).standard_normal(shape)
    is_norm = f"{module}.running_mean" in keys
    if leaf == "running_mean":
        z *= 0.1
    elif leaf == "running_var":
        z = 1 + 0.1 * np.abs(z)
    elif leaf == "bias":
        z *= 0.1 if is_norm else 0.01
    elif not is_norm:
        z *= np.sqrt(2 / np.prod(shape[1:]))
    else:
        block, _, name = module.rpartition(".")
        closing = "bn3" if f"{block}.conv3.weight" in keys else "bn2"
        closes = name == closing and block.rpartition(".")[2].isdigit() and f"{block}.conv2.weight" in keys
        z = (0.2 if closes else 0.4 if ".fuse_layers." in key else 1.0) * (1 + 0.1 * z)
    return np.asarray(z, dtype=np.float32)
