"""From --data to weights: read the labels, decode the pictures, build the network, keep the log."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import torch
from posetrack_detectors.checkpoints import CheckpointError
from posetrack_detectors.detection_losses import initialise_heads
from posetrack_detectors.faster_rcnn import FasterRCNN
from posetrack_detectors.hrnet import initialise
from posetrack_detectors.pose_networks import POSE_NETWORKS
from posetrack_detectors.training.detector_task import DetectorLearner, DetectorSettings, DetectorTask
from posetrack_detectors.training.labels import KEYPOINTS
from posetrack_detectors.training.loop import Schedule, Task, TrainingError, train, training_processes
from posetrack_detectors.training.pictures import Pictures
from posetrack_detectors.training.pose_task import PoseLearner, PoseSettings, PoseTask
from posetrack_detectors.training.weight_files import start_from

from posetrack_app.assemble import DETECTORS, choose_device, choose_precision
from posetrack_app.errors import InputError
from posetrack_app.file_lock import lock
from posetrack_app.formats.json_file import load_json, write_json
from posetrack_app.training.data import read_training_data
from posetrack_app.training.log import append_log, cut_log, draw_curves, read_log

LONGEST = 512
"""Pictures are kept at most this large: crops are smaller anyway."""
CARD_SHARE = 0.6
"""Of a card's free memory that the pictures may fill; where they need more, the CPU cuts the crops."""


@dataclass(frozen=True)
class TrainOptions:
    """What `posetrack train pose` and `detector` are told."""

    task: str
    data: Path
    out: Path
    network: str
    samples_per_label: float
    """Epochs: how often each person (pose) or picture (detector) is seen on average."""
    batch: int
    rate: float
    images: Path | None = None
    dev: Path | None = None
    cache: Path | None = None
    init: Path | None = None
    teacher: Path | None = None
    teacher_network: str = "hrnet-w48"
    size: tuple[int, int] = (192, 256)
    small_first: float = 0.0
    side: int = 320
    minutes: float = math.inf
    save_minutes: float = 10.0
    seed: int = 1
    device: str = "auto"
    compiled: bool = False
    """Let torch.compile make the pose net's or the detector's trunk's kernels: a minute of waiting, then faster steps."""
    resume: bool = False

    def settings(self) -> dict[str, Any]:
        """What must be the same again to resume."""
        changeable = ("out", "cache", "save_minutes", "device", "compiled", "resume")
        kept = {name: value for name, value in asdict(self).items() if name not in changeable}
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}
        plain["minutes"] = None if math.isinf(self.minutes) else self.minutes
        return dict(json.loads(json.dumps(plain)))


def train_network(options: TrainOptions, say: Callable[[str], None]) -> Path:
    """Train, with the log, checkpoint, curves and weights in `options.out`; returns the weight file.

    `say` gets a line for every record. Under torchrun every process calls this; only the first one writes.
    """
    first, world = int(os.environ.get("RANK", 0)) == 0, int(os.environ.get("WORLD_SIZE", 1))
    name = choose_device(options.device)
    device = (
        torch.device(name, int(os.environ.get("LOCAL_RANK", 0))) if name == "cuda" else torch.device(name)
    )
    held: AbstractContextManager[Any] = nullcontext()
    if first:
        _prepare_folder(options)
        held = _held(options.out)
    try:
        with held:
            _train(options, device, world, first, say if first else _silent)
    except BaseException as error:
        # Where there is nothing to resume the folder is free again.
        if first and not (options.out / "checkpoint.pt").exists():
            for file in ("settings.json", "log.jsonl"):
                (options.out / file).unlink(missing_ok=True)
        if options.compiled and isinstance(error, torch._dynamo.exc.TorchDynamoException):
            why = " ".join(str(error).split())[:160]
            raise InputError(f"--compile: {why}; leave it out, or install what it lacks") from error
        if isinstance(error, ValueError) and "more than 1 value per channel" in str(error):
            raise InputError("--batch: of crops this small a batch needs 2 or more") from error
        if isinstance(error, torch.OutOfMemoryError):
            raise InputError(
                f"the GPU's memory is too small for batches of {options.batch}; free it of other programs, or start "
                "again with a smaller --batch"
            ) from error
        raise
    return options.out / f"{options.task}.safetensors"


def _train(
    options: TrainOptions, device: torch.device, world: int, first: bool, say: Callable[[str], None]
) -> None:
    data = read_training_data(options.data, options.task, options.images, options.dev)
    cache = options.cache or options.out / "cache"
    pictures, dev = (Pictures(part, cache, LONGEST) for part in (data.train, data.dev))
    with training_processes(device):
        torch.manual_seed(options.seed)
        # First: weights that do not fit are known before pictures are decoded.
        learner = _build_learner(options, say)
        for part in (pictures, dev):
            _decode(part, cache, world, first, say)
        task = _build_task(options, learner, pictures, dev, device, say)
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
        _learn(task, schedule, options, device, say)


def _learn(
    task: Task, schedule: Schedule, options: TrainOptions, device: torch.device, say: Callable[[str], None]
) -> None:
    log, resumed_at = options.out / "log.jsonl", -1
    try:
        for record in train(task, schedule, options.out, device, resume=options.resume):
            if "resumed_at" in record:
                resumed_at = record["resumed_at"]
                cut_log(log, resumed_at)
                say(f"resumed at {resumed_at} samples")
                continue
            if record["seen"] > resumed_at:  # else it is there: the training had ended
                append_log(log, record)
            say(json.dumps(record))
            if "loss" not in record:
                draw_curves(read_log(log), options.out)
    except TrainingError as error:
        raise InputError(str(error)) from error


def _prepare_folder(options: TrainOptions) -> None:
    """The folder for a new training, or that of one to go on with; InputError where it is not what is wanted."""
    file = options.out / "settings.json"
    if file.exists() and not (options.out / "checkpoint.pt").exists():
        raise InputError(
            f"{options.out}: holds a training without a checkpoint; if it runs no more, delete the folder and start again "
            "without --resume"
        )
    if not file.exists() and (options.out / "log.jsonl").exists():
        raise InputError(
            f"{options.out}: holds a log.jsonl that is no training's of ours; choose another folder"
        )
    if not options.resume:
        if file.exists():
            raise InputError(
                f"{options.out}: holds a training already; add --resume, or choose another folder"
            )
        try:
            options.out.mkdir(parents=True, exist_ok=True)
            write_json(file, options.settings())
        except OSError as error:
            raise InputError(f"--out {options.out}: cannot be written into ({error.strerror})") from error
        return
    if not file.is_file():
        raise InputError(f"{options.out}: holds no training to resume; leave out --resume")
    before, now = load_json(file), options.settings()
    for name, value in now.items():
        if before.get(name) != value:
            raise InputError(
                f"{options.out}: was started with {name} = {before.get(name)}, not {value}; a resumed training keeps it"
            )


def _held(folder: Path) -> IO[bytes]:
    """Holds the training's folder for this process alone, while it is open; InputError where another has it."""
    file = (folder / "settings.json").open("rb")
    if not lock(file):
        file.close()
        raise InputError(f"{folder}: another process trains into it; wait for it or stop it")
    return file


def _decode(pictures: Pictures, cache: Path, world: int, first: bool, say: Callable[[str], None]) -> None:
    if first and not pictures.decoded:
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
        if pictures.bytes > free:
            raise InputError(
                f"{cache}: {len(pictures)} decoded pictures need {pictures.bytes / 1e9:.1f} GB and {free / 1e9:.1f} GB "
                "are free; choose another folder with --cache"
            )
        say(f"decoding {len(pictures)} pictures once, {pictures.bytes / 1e6:.0f} MB, into {cache}")
        pictures.decode()
    if world > 1:
        torch.distributed.barrier()


def _build_task(
    options: TrainOptions,
    learner: PoseLearner | DetectorLearner,
    pictures: Pictures,
    dev: Pictures,
    device: torch.device,
    say: Callable[[str], None],
) -> PoseTask | DetectorTask:
    needed = 16 / 9 * pictures.bytes  # with their halves, four bytes a pixel
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    on_card = needed < CARD_SHARE * free
    if free and not on_card:
        say(
            f"the pictures would need {needed / 1e9:.1f} GB of the GPU's memory, more than {CARD_SHARE:.0%} of the "
            f"{free / 1e9:.1f} GB that are free: the CPU cuts the crops"
        )
    if isinstance(learner, PoseLearner):
        settings = PoseSettings(options.network, options.size, options.small_first)
        return PoseTask(learner, settings, pictures, dev, device, cut_on_device=on_card)
    squares = DetectorSettings(options.network, options.side)
    return DetectorTask(learner, squares, pictures, dev, device, cut_on_device=on_card)


def _build_learner(options: TrainOptions, say: Callable[[str], None]) -> PoseLearner | DetectorLearner:
    """The network with its start values, and for the pose net its teacher."""
    try:
        if options.task == "pose":
            network = POSE_NETWORKS[options.network](len(KEYPOINTS))
            initialise(network)
            _start(network, options, say)
            teacher = None
            if options.teacher is not None:
                teacher = POSE_NETWORKS[options.teacher_network](len(KEYPOINTS))
                taken, total = start_from(teacher, options.teacher)
                if taken < total:
                    raise InputError(
                        f"{options.teacher}: is not a {options.teacher_network} with our 19 outputs"
                    )
            if options.compiled:
                network.compile()
            return PoseLearner(network, teacher)
        _, size = DETECTORS[options.network]
        detector = FasterRCNN(size)
        initialise(detector.backbone)
        initialise_heads(detector)
        _start(detector, options, say)
        if options.compiled:
            detector.backbone.compile()
        return DetectorLearner(detector)
    except CheckpointError as error:
        raise InputError(str(error)) from error


def _start(network: torch.nn.Module, options: TrainOptions, say: Callable[[str], None]) -> None:
    if options.init is not None and not options.resume:
        taken, total = start_from(network, options.init)
        say(f"{options.init}: {taken} of {total} weights taken over")


def _silent(line: str) -> None:
    """What the other processes say."""
