"""Train a network: read the labels, decode the images, build the network, run the loop, keep the log."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import torch
from posetrack_detectors.networks.faster_rcnn import FasterRCNN
from posetrack_detectors.networks.hrnet import initialise
from posetrack_detectors.networks.registry import DETECTORS, POSE_NETWORKS
from posetrack_detectors.training.detection_losses import initialise_heads
from posetrack_detectors.training.detector_task import DetectorLearner, DetectorSettings, DetectorTask
from posetrack_detectors.training.images import Images
from posetrack_detectors.training.labels import KEYPOINTS
from posetrack_detectors.training.loop import Schedule, Task, TrainingError, train, training_processes
from posetrack_detectors.training.pose_task import PoseLearner, PoseSettings, PoseTask
from posetrack_detectors.training.weight_files import start_from
from posetrack_detectors.weights.checkpoints import CheckpointError

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import try_lock
from posetrack_app.core.json_file import load_json, write_json
from posetrack_app.models.devices import choose_device, choose_precision
from posetrack_app.models.training.data import read_training_data
from posetrack_app.models.training.log import append_log, cut_log, draw_curves, read_log

MAX_SIDE = 512
"""Images are shrunk to this side before training, because crops are smaller anyway."""
MEMORY_SHARE = 0.6
"""Share of a GPU's free memory that the images may fill; if they need more, the CPU cuts the crops."""
Report = Callable[[str], None]
"""Takes one line of progress."""


@dataclass(frozen=True)
class TrainOptions:
    """The options of `posetrack train pose` and `posetrack train detector`."""

    task: str
    data: tuple[Path, ...]
    """One or more data sets, which are used together."""
    out: Path
    network: str
    samples_per_label: float
    """Epochs: how often each person (pose) or image (detector) is seen on average."""
    batch: int
    rate: float
    images: Path | None = None
    dev: Path | None = None
    cache: Path | None = None
    init: Path | None = None
    teacher: Path | None = None
    teacher_network: str = "hrnet-w48"
    size: tuple[int, int] = (192, 256)
    """(width, height) of pose crops."""
    small_first: float = 0.0
    side: int = 320
    """Side of detector crops."""
    minutes: float = math.inf
    save_minutes: float = 10.0
    seed: int = 1
    device: str = "auto"
    compiled: bool = False
    """Use torch.compile for the pose network or the detector's trunk: starts a minute later, then runs faster."""
    resume: bool = False

    def settings(self) -> dict[str, Any]:
        """The options that must not change when the training is resumed, as JSON values."""
        changeable = ("out", "cache", "save_minutes", "device", "compiled", "resume")
        kept = {name: value for name, value in asdict(self).items() if name not in changeable}
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}
        plain["data"] = [str(path) for path in self.data]
        plain["minutes"] = None if math.isinf(self.minutes) else self.minutes
        return dict(json.loads(json.dumps(plain)))


def train_network(options: TrainOptions, report: Report) -> Path:
    """Train; `options.out` gets the weights, log, curves and checkpoint. Returns the weight file.

    `report` gets a line for every record. Under torchrun every process calls this function; only rank 0 writes.
    InputError for unusable data, weights or options, and for too little disk space or GPU memory.
    """
    is_first, world = int(os.environ.get("RANK", 0)) == 0, int(os.environ.get("WORLD_SIZE", 1))
    name = choose_device(options.device)
    device = (
        # Under torchrun each process has its own card.
        torch.device(name, int(os.environ.get("LOCAL_RANK", 0))) if name == "cuda" else torch.device(name)
    )
    folder_lock: AbstractContextManager[Any] = nullcontext()
    is_new = not options.out.exists()
    if is_first:
        _prepare_folder(options)
        folder_lock = _lock_folder(options.out)
    try:
        with folder_lock:
            _train(options, device, world, is_first, report if is_first else _discard)
    except BaseException as error:
        # Without a checkpoint there is nothing to resume: free the folder for another training.
        if is_first and not (options.out / "checkpoint.pt").exists():
            for file in ("settings.json", "log.jsonl"):
                (options.out / file).unlink(missing_ok=True)
            if is_new:
                with suppress(OSError):  # it has decoded images
                    options.out.rmdir()
        if options.compiled and isinstance(error, torch._dynamo.exc.TorchDynamoException):
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"torch.compile failed ({reason}); install what is missing, or train without it",
                option="compile",
            ) from error
        if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):
            raise InputError("crops this small need a batch of at least 2", option="batch") from error
        if isinstance(error, torch.OutOfMemoryError):
            raise InputError(
                f"the GPU has too little memory for batches of {options.batch}; close other programs that use it, or "
                "start again with smaller batches",
                option="batch",
            ) from error
        raise
    return options.out / f"{options.task}.safetensors"


def _train(options: TrainOptions, device: torch.device, world: int, is_first: bool, report: Report) -> None:
    data = read_training_data(options.data, options.task, options.images, options.dev)
    cache = options.cache or options.out / "cache"
    images, dev = (Images(part, cache, MAX_SIDE) for part in (data.train, data.dev))
    with training_processes(device):
        torch.manual_seed(options.seed)
        # Before decoding, so that wrong weights are reported at once.
        learner = _build_learner(options, report)
        for part in (images, dev):
            _decode(part, cache, world, is_first, report)
        task = _build_task(options, learner, images, dev, device, report)
        schedule = Schedule(
            samples=math.ceil(options.samples_per_label * len(task.shares)),
            batch=options.batch,
            rate=options.rate,
            minutes=options.minutes,
            save_minutes=options.save_minutes,
            workers=min(8, (os.cpu_count() or 1) // world) if device.type == "cuda" else 1,
            seed=options.seed,
            bfloat16=choose_precision("auto", device.type) == "bfloat16",
        )
        _run(task, schedule, options, device, report)


def _run(task: Task, schedule: Schedule, options: TrainOptions, device: torch.device, report: Report) -> None:
    log, resumed_at = options.out / "log.jsonl", -1
    try:
        for record in train(task, schedule, options.out, device, resume=options.resume):
            if "resumed_at" in record:
                resumed_at = record["resumed_at"]
                cut_log(log, resumed_at)
                report(f"resumed at {resumed_at} samples")
                continue
            if record["seen"] > resumed_at:  # a finished training repeats its last record
                append_log(log, record)
            report(json.dumps(record))
            if "loss" not in record:
                draw_curves(read_log(log), options.out)
    except TrainingError as error:
        raise InputError(str(error), option=error.option) from error


def _prepare_folder(options: TrainOptions) -> None:
    """Create the folder of a new training, or check that of a resumed one; InputError if it is the wrong folder."""
    out, file = options.out, options.out / "settings.json"
    if file.exists() and not (out / "checkpoint.pt").exists():
        raise InputError(
            f"{out} contains a training without a checkpoint; if it is not running, delete the folder and start a new "
            "training"
        )
    if not file.exists() and (out / "log.jsonl").exists():
        raise InputError(
            f"{out} contains a log.jsonl from another program; choose another folder", option="out"
        )
    if not options.resume:
        if file.exists():
            raise InputError(
                f"{out} already contains a training; choose another folder, or resume it", option="resume"
            )
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_json(file, options.settings())
        except OSError as error:
            raise InputError(
                f"{out}: writing failed ({error.strerror}); choose another folder", option="out"
            ) from error
        return
    if not file.is_file():
        raise InputError(f"{out} contains no training to resume; start a new one", option="resume")
    before, now = load_json(file), options.settings()
    if isinstance(before.get("data"), str):  # written when a training had one data set
        before["data"] = [before["data"]]
    for name, value in now.items():
        if before.get(name) != value:
            raise InputError(
                f"{out} was started with {name} = {before.get(name)}, not {value}; a resumed training keeps its options"
            )


def _lock_folder(folder: Path) -> IO[bytes]:
    """Lock the folder of a training for this process until the file is closed; InputError if another has the lock."""
    file = (folder / "settings.json").open("rb")
    if not try_lock(file):
        file.close()
        raise InputError(f"{folder}: another process is training into this folder; wait for it or stop it")
    return file


def _decode(images: Images, cache: Path, world: int, is_first: bool, report: Report) -> None:
    if is_first and not images.decoded:
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
        if images.bytes > free:
            raise InputError(
                f"{cache}: {len(images)} decoded images need {images.bytes / 1e9:.1f} GB, but only {free / 1e9:.1f} GB "
                "are free; choose another folder",
                option="cache",
            )
        report(f"decoding {len(images)} images ({images.bytes / 1e6:.0f} MB) into {cache}")
        images.decode()
    if world > 1:
        torch.distributed.barrier()


def _build_task(
    options: TrainOptions,
    learner: PoseLearner | DetectorLearner,
    images: Images,
    dev: Images,
    device: torch.device,
    report: Report,
) -> PoseTask | DetectorTask:
    needed = 16 / 9 * images.bytes  # four bytes per pixel instead of three, and the halved images
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    fits_on_device = needed < MEMORY_SHARE * free
    if free and not fits_on_device:
        report(
            f"the images need {needed / 1e9:.1f} GB of GPU memory, more than {MEMORY_SHARE:.0%} of the "
            f"{free / 1e9:.1f} GB that are free, so the CPU cuts the crops"
        )
    if isinstance(learner, PoseLearner):
        pose_settings = PoseSettings(options.network, options.size, options.small_first)
        return PoseTask(learner, pose_settings, images, dev, device, cut_on_device=fits_on_device)
    settings = DetectorSettings(options.network, options.side)
    return DetectorTask(learner, settings, images, dev, device, cut_on_device=fits_on_device)


def _build_learner(options: TrainOptions, report: Report) -> PoseLearner | DetectorLearner:
    """The network with its initial weights, and for a pose network its teacher."""
    try:
        if options.task == "pose":
            network = POSE_NETWORKS[options.network](len(KEYPOINTS))
            initialise(network)
            _start(network, options, report)
            teacher = None
            if options.teacher is not None:
                teacher = POSE_NETWORKS[options.teacher_network](len(KEYPOINTS))
                copied, total = start_from(teacher, options.teacher)
                if copied < total:
                    raise InputError(
                        f"{options.teacher} is not the weights of a {options.teacher_network} with {len(KEYPOINTS)} outputs",
                        option="teacher",
                    )
            if options.compiled:
                network.compile()
            return PoseLearner(network, teacher)
        _, size = DETECTORS[options.network]
        detector = FasterRCNN(size)
        initialise(detector.backbone)
        initialise_heads(detector)
        _start(detector, options, report)
        if options.compiled:
            detector.backbone.compile()
        return DetectorLearner(detector)
    except CheckpointError as error:
        raise InputError(str(error)) from error


def _start(network: torch.nn.Module, options: TrainOptions, report: Report) -> None:
    if options.init is not None and not options.resume:
        copied, total = start_from(network, options.init)
        report(f"{options.init}: copied {copied} of {total} weights")


def _discard(line: str) -> None:
    """Report nothing; for processes other than rank 0."""
