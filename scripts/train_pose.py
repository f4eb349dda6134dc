"""Train the embedded pose net on a folder like ../shared/data/train; a GPU where there is one, else the CPU.

python scripts/train_pose.py --data ../shared/data/train --out runs/pose --minutes 60 --small-first 0.6
torchrun --nproc-per-node 8 scripts/train_pose.py --data DIR --out DIR --epochs 150 --batch 256

Heatmap regression as in Xiao et al. (ECCV 2018) with weights per keypoint; AdamW, warm-up and cosine, EMA, bf16.
"""

from __future__ import annotations

import argparse
import copy
import io
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure_pose import measure, parse_size
from posetrack_detectors.hrnet import COMPACT, W32, W48, fold_batch_norms, initialise
from posetrack_detectors.pose_hrnet import PoseHRNet
from safetensors.torch import save_file
from torch import Tensor, nn
from training_data import (
    KEYPOINTS,
    MEAN,
    STD,
    PersonCrops,
    PictureStore,
    people_with_keypoints,
    save_bytes,
    write_log,
)

SIZES = {"compact": COMPACT, "w32": W32, "w48": W48}
SOURCE_WEIGHT = {"coco_train2017": 3.0}  # human labels on everyday pictures are few: show them more often


def draw_targets(points: Tensor, shape: tuple[int, int], sigma: float) -> Tensor:
    """Keypoints (N, K, 2) in cells to Gaussians (N, K, H, W) of height 1, not rounded to cells."""
    rows = torch.arange(shape[0], device=points.device, dtype=torch.float32)
    columns = torch.arange(shape[1], device=points.device, dtype=torch.float32)
    down = torch.exp(-((rows - points[..., 1:]) ** 2) / (2 * sigma**2))
    across = torch.exp(-((columns - points[..., :1]) ** 2) / (2 * sigma**2))
    return down[..., :, None] * across[..., None, :]


def heatmap_loss(heatmaps: Tensor, targets: Tensor, weights: Tensor, foreground: float) -> Tensor:
    """Squared error, `1 + foreground * target` times as dear, averaged over labelled keypoints; x 1000."""
    error = (heatmaps - targets) ** 2 * (1 + foreground * targets)
    return 1000 * (error.mean(dim=(2, 3)) * weights).sum() / weights.sum().clamp(min=1)


class Requests:
    """Endless (draw, person) pairs for one process of `world`: a seeded weighted order, the same on every run."""

    def __init__(self, weights: np.ndarray, seed: int, first: int, rank: int, world: int) -> None:
        self.share, self.seed, self.first, self.rank, self.world = (
            weights / weights.sum(),
            seed,
            first,
            rank,
            world,
        )

    def __iter__(self) -> Iterator[tuple[int, int]]:
        block = 1 << 14
        draw = self.first + self.rank
        while True:
            rng = np.random.default_rng((self.seed, 7, draw // block))
            people = rng.choice(len(self.share), block, p=self.share)
            end = (draw // block + 1) * block
            while draw < end:
                yield draw, int(people[draw % block])
                draw += self.world


def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of weights; BatchNorm statistics are copied."""
    with torch.no_grad():
        for kept, new in zip(average.parameters(), network.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
        for kept, new in zip(average.buffers(), network.buffers(), strict=True):
            kept.copy_(new)


def export_weights(network: nn.Module, path: Path) -> None:
    """fp16 safetensors without the counters that inference does not need."""
    state = {
        name: value.half().contiguous().cpu()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    beside = path.with_suffix(".tmp")
    save_file(state, beside)
    beside.rename(path)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with annotations-*.json.gz and shard-*.tar")
    add("--out", type=Path, required=True, help="folder for log.jsonl, checkpoint.pt and pose.safetensors")
    add("--cache", type=Path, default=Path("runs/cache"), help="folder for the decoded pictures")
    add("--network", choices=SIZES, default="compact")
    add("--size", type=parse_size, default=(192, 256), metavar="HxW", help="input, default 256x192")
    add("--small-first", type=float, default=0.0, help="share of the schedule at half the input size")
    add("--epochs", type=float, default=150.0, help="people seen = epochs x people of the split")
    add("--minutes", type=float, default=math.inf, help="shorten the schedule to end by then")
    add("--batch", type=int, default=32, help="crops a step and process (twice that at half size)")
    add("--rate", type=float, default=1.5e-3, help="peak learning rate")
    add(
        "--foreground",
        type=float,
        default=10.0,
        help="extra weight of the loss on the Gaussians, falling to 0",
    )
    add("--workers", type=int, default=1)
    add("--seed", type=int, default=1)
    add("--save-minutes", type=float, default=5.0)
    add("--resume", action="store_true", help="go on from checkpoint.pt in --out")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )
    if world > 1:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    log, checkpoint = options.out / "log.jsonl", options.out / "checkpoint.pt"

    store = PictureStore(options.data, "train", options.cache)
    dev = PictureStore(options.data, "dev", options.cache)
    people = people_with_keypoints(store)
    shares = np.array([SOURCE_WEIGHT.get(person.source, 1.0) for person in people])
    total = options.epochs * len(people)

    network: nn.Module = PoseHRNet(SIZES[options.network], KEYPOINTS)
    initialise(network)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.rate, weight_decay=0.01, fused=device.type == "cuda"
    )
    seen, elapsed = 0, 0.0
    if options.resume:
        state: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        seen, elapsed = state["seen"], state["elapsed"]
    trained = network
    if world > 1:
        trained = nn.parallel.DistributedDataParallel(
            network, device_ids=[device] if device.type == "cuda" else None
        )
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))

    def save(progress: float) -> None:
        if rank:
            return
        content = io.BytesIO()
        parts = {"network": network, "average": average, "optimizer": optimizer}
        torch.save(
            {**{k: v.state_dict() for k, v in parts.items()}, "seen": seen, "elapsed": elapsed}, content
        )
        save_bytes(checkpoint, content)
        export_weights(average, options.out / "pose.safetensors")
        frozen = fold_batch_norms(copy.deepcopy(average))
        size = (
            options.size if progress >= options.small_first else (options.size[0] // 2, options.size[1] // 2)
        )
        record = {"seen": seen, "minutes": round(elapsed / 60, 2), "progress": round(progress, 4)}
        with torch.autocast(device.type, torch.bfloat16):
            quality = measure(frozen, dev, size, every=1 if progress >= 1 else 4)
        write_log(log, {**record, "input": f"{size[1]}x{size[0]}", **quality})

    clock = last_save = time.monotonic() - elapsed
    progress, step, losses = 0.0, 0, []
    while progress < 1.0:
        small = progress < options.small_first
        size = (options.size[0] // 2, options.size[1] // 2) if small else options.size
        batch = options.batch * 2 if small else options.batch
        sigma = 1.5 if small else 2.0 * options.size[1] / 256
        loader = torch.utils.data.DataLoader(
            PersonCrops(store, people, size, options.seed),  # type: ignore[arg-type]
            batch_size=batch,
            sampler=Requests(shares, options.seed, seen, rank, world),
            num_workers=options.workers,
            prefetch_factor=6,
            pin_memory=device.type == "cuda",
        )
        if step == 0:
            last_save = time.monotonic()
        for crops, points, weights in loader:
            rate = (
                options.rate
                * min(1.0, progress / 0.03 + 0.01)
                * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            crops = crops.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
            crops = ((crops - mean) / std).contiguous(memory_format=torch.channels_last)
            targets = draw_targets(points.to(device), (size[1] // 4, size[0] // 4), sigma)
            with torch.autocast(device.type, torch.bfloat16):
                heatmaps = trained(crops)
            loss = heatmap_loss(
                heatmaps.float(), targets, weights.to(device), options.foreground * (1 - progress)
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimizer.step()
            step += 1
            update_average(average, network, min(0.999, (1 + step) / (10 + step)))
            seen += len(crops) * world
            elapsed = time.monotonic() - clock
            progress = max(seen / total, elapsed / 60 / options.minutes)
            losses.append(loss.detach())
            if step % 100 == 0 and rank == 0:
                recent = float(torch.stack(losses[-100:]).mean())
                write_log(
                    log,
                    {
                        "seen": seen,
                        "minutes": round(elapsed / 60, 2),
                        "loss": round(recent, 4),
                        "rate": round(rate, 7),
                    },
                )
                losses = []
            if time.monotonic() - last_save > options.save_minutes * 60:
                save(progress)
                last_save = time.monotonic()
            if progress >= 1.0 or (small and progress >= options.small_first):
                break
    save(1.0)
    if world > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
