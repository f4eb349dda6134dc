"""Train the embedded person detector on a folder like ../shared/data/train; a GPU where there is one, else the CPU.

python scripts/train_detector.py --data ../shared/data/train --out runs/detector --init-trunk pose.safetensors --minutes 60
torchrun --nproc-per-node 8 scripts/train_detector.py --data DIR --out DIR --epochs 40 --batch 64

Faster R-CNN (Ren et al., 2015), all four losses weighted 1; AdamW, warm-up and cosine, EMA, bf16.
"""

from __future__ import annotations

import argparse
import copy
import io
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detection_data import DetectionCrops, collate
from measure_detector import measure
from posetrack_detectors.detection_losses import detection_losses, initialise_heads
from posetrack_detectors.faster_rcnn import COMPACT, W18, W32, FasterRCNN
from posetrack_detectors.hrnet import initialise
from posetrack_detectors.person_detector import PersonDetector
from safetensors.torch import load_file
from torch import Tensor, nn
from train_pose import Requests, export_weights, update_average
from training_data import MEAN, STD, PictureStore, save_bytes, write_log

SIZES = {"compact": COMPACT, "w18": W18, "w32": W32}
# LSPET is mostly one athlete a picture; scenes with several people and everyday views are few: show them more often.
SOURCE_WEIGHT = {"coco_train2017": 8.0, "inria_person": 4.0, "pennfudan": 4.0, "ade20k_val": 3.0}
SOURCE_WEIGHT |= {"ade20k_negative": 3.0, "video_frames": 2.0, "images_misc": 2.0}


class Training(nn.Module):
    """The network as DistributedDataParallel wants it: a forward that gives the losses."""

    def __init__(self, network: FasterRCNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor, people: list[Tensor], ignore: list[Tensor]) -> dict[str, Tensor]:
        return detection_losses(self.network, pictures, people, ignore)


def load_trunk(network: FasterRCNN, path: Path) -> int:
    """Start the trunk with a pose net's; how many of its tensors stay as they are (the pose net lacks them)."""
    trunk = network.backbone.state_dict()
    given = {name: value.float() for name, value in load_file(path).items() if name in trunk}
    missing = [name for name in trunk.keys() - given.keys() if not name.endswith("num_batches_tracked")]
    network.backbone.load_state_dict(given, strict=False)
    return len(missing)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with annotations-*.json.gz and shard-*.tar")
    add(
        "--out", type=Path, required=True, help="folder for log.jsonl, checkpoint.pt and detector.safetensors"
    )
    add("--cache", type=Path, default=Path("runs/cache"), help="folder for the decoded pictures")
    add("--network", choices=SIZES, default="compact")
    add("--init-trunk", type=Path, help="pose.safetensors to start the trunk with")
    add("--side", type=int, default=320, help="of the square crops, a multiple of 32")
    add("--mosaic", type=float, default=0.35, help="share of crops made of four pictures")
    add("--epochs", type=float, default=40.0, help="crops seen = epochs x pictures of the split")
    add("--minutes", type=float, default=math.inf, help="shorten the schedule to end by then")
    add("--batch", type=int, default=16, help="crops a step and process")
    add("--rate", type=float, default=1e-3, help="peak learning rate")
    add("--workers", type=int, default=1)
    add("--seed", type=int, default=1)
    add("--save-minutes", type=float, default=5.0)
    add(
        "--by-heart",
        type=int,
        default=0,
        help="only the first n pictures, never varied: a test of the training",
    )
    add("--resume", action="store_true", help="go on from checkpoint.pt in --out")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if world > 1:
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    torch.manual_seed(options.seed + rank)
    options.out.mkdir(parents=True, exist_ok=True)
    log, checkpoint = options.out / "log.jsonl", options.out / "checkpoint.pt"

    store = PictureStore(options.data, "train", options.cache)
    dev = PictureStore(options.data, "dev", options.cache)
    if options.by_heart:
        store.pictures = [p for p in store.pictures if len(store.boxes(p["id"])[0])][: options.by_heart]
        dev = copy.copy(store)
    shares = np.array([SOURCE_WEIGHT.get(picture["source"], 1.0) for picture in store.pictures])
    total = options.epochs * len(store.pictures)

    torch.manual_seed(options.seed)
    network = FasterRCNN(SIZES[options.network])
    initialise(network.backbone)
    initialise_heads(network)
    if options.init_trunk:
        write_log(
            log, {"trunk": str(options.init_trunk), "left_untrained": load_trunk(network, options.init_trunk)}
        )
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=0.01, fused=cuda)
    seen, step, elapsed = 0, 0, 0.0
    if options.resume:
        state: dict[str, Any] = torch.load(checkpoint, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        seen, step, elapsed = state["seen"], state["step"], state["elapsed"]
    training: nn.Module = Training(network)
    if world > 1:
        training = nn.parallel.DistributedDataParallel(training, device_ids=[device] if cuda else None)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))

    def save(progress: float) -> None:
        if rank:
            return
        content = io.BytesIO()
        parts = {"network": network, "average": average, "optimizer": optimizer}
        states = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**states, "seen": seen, "step": step, "elapsed": elapsed}, content)
        save_bytes(checkpoint, content)
        export_weights(average, options.out / "detector.safetensors")
        detector = PersonDetector(copy.deepcopy(average), str(device), "bfloat16")
        quality = measure(detector, dev, every=1 if progress >= 1 or cuda else 5)
        record = {"seen": seen, "minutes": round(elapsed / 60, 2), "progress": round(progress, 4)}
        write_log(log, {**record, **quality})

    crops = DetectionCrops(
        store, options.side, options.seed, mosaic=options.mosaic, vary=not options.by_heart
    )
    loader = torch.utils.data.DataLoader(
        crops,  # type: ignore[arg-type]
        batch_size=options.batch,
        sampler=Requests(shares, options.seed, seen, rank, world),
        num_workers=options.workers,
        prefetch_factor=4 if options.workers else None,
        collate_fn=collate,
    )
    clock = time.monotonic() - elapsed
    last_save, progress = time.monotonic(), 0.0
    sums: dict[str, Tensor] = {}
    for images, people, ignore in loader:
        warm = min(1.0, progress / 0.03 + 0.01)
        rate = options.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        pictures = images.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
        pictures = ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            losses = training(pictures, [b.to(device) for b in people], [b.to(device) for b in ignore])
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        step += 1
        update_average(average, network, min(0.999, (1 + step) / (10 + step)))
        seen += len(images) * world
        elapsed = time.monotonic() - clock
        progress = max(seen / total, elapsed / 60 / options.minutes)
        sums = {name: value.detach() + sums.get(name, 0) for name, value in losses.items()}
        if step % 50 == 0 and rank == 0:
            shown = {name: round(float(value) / 50, 4) for name, value in sums.items()}
            loss = round(sum(shown.values()), 4)
            record = {"seen": seen, "minutes": round(elapsed / 60, 2), "loss": loss, **shown}
            write_log(log, {**record, "rate": round(rate, 7)})
        if step % 50 == 0:
            sums = {}
        if progress >= 1.0:
            break
        if time.monotonic() - last_save > options.save_minutes * 60:
            save(progress)
            last_save = time.monotonic()
    save(1.0)
    if world > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
