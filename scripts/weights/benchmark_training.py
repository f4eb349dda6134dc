"""Time the parts of a training step: cutting crops, forward and backward, optimizers, moving average.

python scripts/weights/benchmark_training.py --data ../shared/data/train [--device cuda] [--batch 512] [--size 192x160]
    [--compile]

Prints medians over --steps steps of an untrained pose network. On a GPU every part is timed until its work is done. On
a CPU the crops are cut here as on a GPU; in a training OpenCV cuts them, in another process.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable

import torch
from dev_images import load_images, parser
from posetrack_detectors.networks.hrnet import initialise
from posetrack_detectors.networks.registry import POSE_NETWORKS
from posetrack_detectors.training.labels import KEYPOINTS
from posetrack_detectors.training.loop import MAX_GRADIENT_NORM, Schedule, build_optimizers, update_average
from posetrack_detectors.training.pose_task import PoseLearner, PoseSettings, PoseTask

from posetrack_app.models.devices import choose_device


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--network", default="hrnet-compact-deep")
    made.add_argument("--size", metavar="HxW", default="192x160")
    made.add_argument("--batch", type=int, default=512)
    made.add_argument("--steps", type=int, default=10)
    made.add_argument("--compile", action="store_true", help="as in posetrack train")
    options = made.parse_args()
    device = torch.device(choose_device(options.device))
    torch.backends.cudnn.benchmark = device.type == "cuda"
    images = load_images(options, "pose")
    network = POSE_NETWORKS[options.network](len(KEYPOINTS))
    initialise(network)
    learner = PoseLearner(network)
    height, width = (int(side) for side in options.size.split("x"))
    settings = PoseSettings(options.network, (width, height))
    task = PoseTask(learner, settings, images, images, device, cut_on_device=True)
    learner.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner.train()
    average, optimizers = copy.deepcopy(network).eval(), build_optimizers(network, 1e-6)
    (stage,) = task.stages(Schedule(samples=1, batch=options.batch, rate=1e-6))
    draws = range(options.batch)
    plans, points, weights = torch.utils.data.default_collate(
        [stage.crops[draw, draw % len(task.people)] for draw in draws]
    )
    if device.type == "cuda":
        plans = {name: value.pin_memory() for name, value in plans.items()}
        points, weights = points.pin_memory(), weights.pin_memory()
    batch = plans, points, weights
    inputs = task.inputs(batch, device)

    def forward_backward() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            losses = learner(*inputs, 0.5)
        network.zero_grad(set_to_none=True)
        losses["heatmap"].backward()

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
        for optimizer in optimizers:
            optimizer.step()

    if options.compile:
        network.compile()
        print(f"compiled in {seconds(forward_backward, device):.0f} s")
    parts: dict[str, Callable[[], object]] = {
        "cut crops": lambda: task.inputs(batch, device),
        "forward, backward": forward_backward,
        "clip, optimizers": step,
        "moving average": lambda: update_average(average, network, 0.999),
    }
    total = 0.0
    print("| part of a step | ms |\n|---|---|")
    for name, part in parts.items():
        seconds(part, device)
        median = statistics.median(seconds(part, device) for _ in range(options.steps))
        total += median
        print(f"| {name} | {1000 * median:.1f} |")
    print(f"\n{options.batch / total:.0f} crops per second")


def seconds(part: Callable[[], object], device: torch.device) -> float:
    """Seconds until the part, and its work on the device, are done."""
    start = time.perf_counter()
    part()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
