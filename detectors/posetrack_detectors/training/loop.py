"""The training loop of both networks: Muon and AdamW, warm-up and cosine, weight averaging, checkpoints, processes.

Randomness depends only on the seed and the number of the draw or step, and the schedule on the number of samples seen.
So a run that was stopped and resumed takes the same steps as an uninterrupted one.
"""

from __future__ import annotations

import copy
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from posetrack_detectors.networks.hrnet import MEAN, STD
from posetrack_detectors.training.muon import Muon
from posetrack_detectors.weights.atomic_file import atomic_file

Record = dict[str, Any]
WARM_UP = 0.03
"""Share of the schedule in which the learning rate rises."""
FINAL_RATE = 0.01
"""Learning rate at the end, as a share of the peak."""
AVERAGE_DECAY = 0.999
"""Decay per step of the moving average of the weights; lower in the first steps."""
WEIGHT_DECAY, MAX_GRADIENT_NORM = 0.01, 10.0
OUTPUT_LAYERS = frozenset({"final_layer", "fc_cls", "fc_reg", "rpn_cls", "rpn_reg"})
LOG_STEPS = 50
"""Steps between two records of the loss."""
_BLOCK = 1 << 14
"""Number of draws made from one random generator."""


class TrainingError(ValueError):
    """Training cannot start or continue; the message is one line that says why and what to do.

    `option` names the setting to change, such as "rate".
    """

    def __init__(self, message: str, *, option: str = "") -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True)
class Schedule:
    """Length and speed of a training; `batch` is per process, `samples` for all processes together."""

    samples: int
    batch: int
    rate: float
    minutes: float = math.inf
    """Shorten the schedule to end after this time; such a run is not reproducible."""
    save_minutes: float = 10.0
    """Time between checkpoints."""
    workers: int = 1
    seed: int = 1
    bfloat16: bool = False


@dataclass(frozen=True)
class Stage:
    """A part of the schedule with its own crops; it ends at the progress `until` (0..1)."""

    until: float
    crops: torch.utils.data.Dataset[Any]
    batch: int
    collate: Callable[[list[Any]], Any] | None = None


class Task(Protocol):
    """A network to train, with its data and losses."""

    @property
    def learner(self) -> nn.Module:
        """Maps the output of `inputs` and the progress to losses by name; its attribute `network` is what is trained."""

    shares: np.ndarray[Any, Any]
    """(items,) how often each item of the crops is drawn."""

    def stages(self, schedule: Schedule) -> list[Stage]:
        """The stages in order."""

    def inputs(self, batch: Any, device: torch.device) -> tuple[Any, ...]:
        """Move a batch of crops to the device and prepare it for the learner."""

    def save(self, average: nn.Module, folder: Path, progress: float) -> Record:
        """Write the weights and measure them on dev images; on all of them at progress 1."""


class Draws:
    """Endless (draw, item) pairs for process `rank` of `world`, items drawn by their shares; the same on every run."""

    def __init__(self, shares: np.ndarray[Any, Any], seed: int, first: int, rank: int, world: int) -> None:
        self._shares, self._seed, self._first = shares / shares.sum(), seed, first
        self._rank, self._world = rank, world

    def __iter__(self) -> Iterator[tuple[int, int]]:
        draw = self._first + self._rank
        while True:
            block = draw // _BLOCK
            items = np.random.default_rng((self._seed, 7, block)).choice(
                len(self._shares), _BLOCK, p=self._shares
            )
            while draw < (block + 1) * _BLOCK:
                yield draw, int(items[draw % _BLOCK])
                draw += self._world


@contextmanager
def training_processes(device: torch.device) -> Iterator[None]:
    """Connect the processes that torchrun started: NCCL between GPUs, gloo between CPUs."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # A long timeout: the other processes wait while the first one decodes images or measures.
    torch.distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=6)
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def train(
    task: Task, schedule: Schedule, folder: Path, device: torch.device, *, resume: bool = False
) -> Iterator[Record]:
    """Train, and yield records for the log in the process of rank 0; the other processes yield nothing.

    With `resume` it continues from `folder`/checkpoint.pt, and the first record is {"resumed_at": samples}.
    TrainingError if that file belongs to another training, if the loss becomes NaN or infinite, or if writing fails.
    """
    return _Run(task, schedule, folder, device, resume).records()


class _Run:
    def __init__(
        self, task: Task, schedule: Schedule, folder: Path, device: torch.device, resume: bool
    ) -> None:
        self.task, self.schedule, self.folder, self.device = task, schedule, folder, device
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        torch.backends.cudnn.benchmark = device.type == "cuda"  # all crops have the same size
        task.learner.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network: nn.Module = task.learner.network  # type: ignore[assignment]
        self.average = copy.deepcopy(self.network).eval()
        self.optimizers = build_optimizers(self.network, schedule.rate)
        self.seen = self.step = 0
        self.elapsed = 0.0
        self.sums: dict[str, Tensor] = {}
        if resume:
            self._load()
        self.resumed = resume
        self.learner = task.learner
        if self.world > 1:
            devices = [device] if device.type == "cuda" else None
            self.learner = nn.parallel.DistributedDataParallel(task.learner, device_ids=devices)

    def records(self) -> Iterator[Record]:
        if self.resumed and self.rank == 0:
            yield {"resumed_at": self.seen}
        started = time.monotonic() - self.elapsed
        self.saved = time.monotonic()
        for stage in self.task.stages(self.schedule):
            if self._progress() >= stage.until:
                continue
            for batch in self._loader(stage):
                self._train_step(batch)
                self.seen += stage.batch * self.world
                self.elapsed = self._agreed(time.monotonic() - started)
                if self.step % LOG_STEPS == 0:
                    record = self._losses()
                    if self.rank == 0:
                        yield record
                if self._progress() >= min(1.0, stage.until):
                    break
                if self.rank == 0 and self._is_time_to_save():
                    yield self._save()
                    self.saved = time.monotonic()
        if self.rank == 0:
            yield self._save()

    def _progress(self) -> float:
        return max(self.seen / self.schedule.samples, self.elapsed / 60 / self.schedule.minutes)

    def _is_time_to_save(self) -> bool:
        return time.monotonic() - self.saved > self.schedule.save_minutes * 60

    def _agreed(self, elapsed: float) -> float:
        """The clock of rank 0 if the schedule depends on it: all processes must stop at the same step."""
        if self.world == 1 or math.isinf(self.schedule.minutes):
            return elapsed
        clock = torch.tensor([elapsed], dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(clock, 0)
        return float(clock)

    def _loader(self, stage: Stage) -> torch.utils.data.DataLoader[Any]:
        workers = self.schedule.workers
        return torch.utils.data.DataLoader(
            stage.crops,
            batch_size=stage.batch,
            sampler=Draws(self.task.shares, self.schedule.seed, self.seen, self.rank, self.world),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            collate_fn=stage.collate,
            pin_memory=self.device.type == "cuda",
        )

    def _train_step(self, batch: Any) -> None:
        progress = self._progress()
        rate = learning_rate(self.schedule.rate, progress)
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = rate
        # Random numbers of a step (the detector samples boxes) depend on its number only, not on earlier steps.
        torch.manual_seed((self.schedule.seed * 1_000_003 + self.step) * 4096 + self.rank)
        self.learner.train()
        inputs = self.task.inputs(batch, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.schedule.bfloat16):
            losses: dict[str, Tensor] = self.learner(*inputs, progress)
        self.network.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        update_average(self.average, self.network, min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step)))
        self.sums = {name: value.detach() + self.sums.get(name, 0.0) for name, value in losses.items()}

    def _losses(self) -> Record:
        """Mean losses of this process since the last record."""
        means = {name: float(value) / LOG_STEPS for name, value in self.sums.items()}
        self.sums = {}
        loss = sum(means.values())
        if not math.isfinite(loss):
            raise self._diverged()
        parts = {f"loss_{name}": round(value, 6) for name, value in means.items()} if len(means) > 1 else {}
        rate = learning_rate(self.schedule.rate, self._progress())
        return {**self._stamp(), "loss": round(loss, 6), **parts, "rate": round(rate, 8)}

    def _diverged(self) -> TrainingError:
        return TrainingError(
            f"the loss became NaN or infinite after {self.seen} samples; start again in another folder with a lower "
            "learning rate",
            option="rate",
        )

    def _stamp(self) -> Record:
        minutes = round(self.elapsed / 60, 2)
        return {"seen": self.seen, "minutes": minutes, "progress": round(min(1.0, self._progress()), 5)}

    def _parts(self) -> dict[str, Any]:
        """The parts whose state a checkpoint stores."""
        muon, adamw = self.optimizers
        return {"network": self.network, "average": self.average, "muon": muon, "adamw": adamw}

    def _save(self) -> Record:
        if not all(bool(weight.isfinite().all()) for weight in self.network.parameters()):
            raise self._diverged()
        content = io.BytesIO()
        states = {name: part.state_dict() for name, part in self._parts().items()}
        counts = {"seen": self.seen, "step": self.step, "elapsed": self.elapsed, "sums": self.sums}
        torch.save({**states, **counts}, content)
        try:
            with atomic_file(self.folder / "checkpoint.pt") as temporary:
                temporary.write_bytes(content.getvalue())
            return {**self._stamp(), **self.task.save(self.average, self.folder, self._progress())}
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TrainingError(
                f"{self.folder}: writing failed ({reason}); free some space, then resume the training",
                option="resume",
            ) from error

    def _load(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            raise TrainingError(f"{path} does not exist, so there is nothing to resume", option="resume")
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
        except (RuntimeError, KeyError, ValueError, EOFError, OSError) as error:
            reason = str(error).strip().split("\n")[0][:160]
            raise TrainingError(
                f"{path} is not a checkpoint of this training ({reason}); start again in another folder"
            ) from error
        self.seen, self.step, self.elapsed = state["seen"], state["step"], state["elapsed"]
        self.sums = state["sums"]


def build_optimizers(network: nn.Module, rate: float) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the weights of hidden layers; AdamW for output layers, BatchNorms and biases."""
    named = list(network.named_parameters())
    hidden = [w for name, w in named if w.ndim > 1 and not OUTPUT_LAYERS.intersection(name.split("."))]
    hidden_ids = {id(weight) for weight in hidden}
    others = [weight for _, weight in named if id(weight) not in hidden_ids]
    fused = others[0].is_cuda
    return (
        Muon(hidden, rate, WEIGHT_DECAY),
        torch.optim.AdamW(others, rate, weight_decay=WEIGHT_DECAY, fused=fused),
    )


def learning_rate(peak: float, progress: float) -> float:
    """Linear warm-up times half a cosine that ends at FINAL_RATE (Loshchilov and Hutter, ICLR 2017)."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return peak * min(1.0, progress / WARM_UP + 0.01) * (FINAL_RATE + (1 - FINAL_RATE) * cosine)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights; BatchNorm statistics are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    torch._foreach_copy_(list(average.buffers()), list(network.buffers()))


def normalise(crops: Tensor, device: torch.device) -> Tensor:
    """(N, H, W, 3) uint8 to the networks' input (N, 3, H, W) float32, channels last."""
    mean, std = _mean_and_std(device)
    pixels = crops.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


@cache
def _mean_and_std(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1, 3, 1, 1), copied to the device once: every copy makes a GPU finish its work."""
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return mean, std
