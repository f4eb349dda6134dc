"""Weight files: the embedded and published ones, how to use them, and how to download them.

A published file is used only if its SHA-256 starts with the digits in its name. The files of the HRNet authors have no
direct link, and only two of them a known hash: the user downloads them, or a mirror has them, and loading checks every
key and shape.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

import platformdirs

from posetrack_app.core.errors import InputError
from posetrack_app.core.files import atomic_file
from posetrack_app.models.download import Progress, download, hold, no_progress

FOLDER_VARIABLE = "POSETRACK_WEIGHTS"
OFFLINE_VARIABLE = "POSETRACK_OFFLINE"
MIRROR_VARIABLE = "POSETRACK_WEIGHTS_MIRROR"
EMBEDDED = Path(__file__).parent / "embedded"
"""Folder of the weights in the package."""
_CHUNK = 1 << 20

Task = Literal["pose", "detector"]


@dataclass(frozen=True)
class WeightsSpec:
    """How to use a weight file: its network, and the input and output that the network was trained with."""

    name: str
    task: Task
    network: str
    """A key of `POSE_NETWORKS` or `DETECTORS`; some published detectors are not built."""
    input: tuple[int, int] | None
    """(width, height) of a pose network's crops; None for a detector, or if unknown."""
    outputs: int
    """Heatmaps of a pose network; three per keypoint for "udp-offsets"."""
    keypoints: Literal["coco", "mpii", "posetrack18", "posetrack18-eyes"] | None
    """Name of the `Skeleton` that a pose network predicts."""
    colour: Literal["RGB", "BGR"]
    decoding: Literal["quarter", "dark", "dark-smoothed", "udp", "udp-offsets"] | None
    kernel: int | None
    """Smoothing of DARK and UDP decoding, in heatmap cells."""


@dataclass(frozen=True)
class PublishedWeights(WeightsSpec):
    """A known weight file: published by others, or embedded in the package."""

    file: str
    url: str | None
    """None: there is no direct link; `page` is where to find it."""
    sha256: str | None
    """The first digits, as published; None if none were published."""
    metric: str | None
    licence: str
    source: str
    """Who published it; "package" for the embedded weights."""
    page: str | None = None
    mirrors: tuple[str, ...] = ()
    """Other addresses of the same file, tried after `url`."""


@cache
def published() -> dict[str, PublishedWeights]:
    """Every published weight file by name."""
    rows = json.loads((Path(__file__).parent / "published_weights.json").read_text(encoding="utf-8"))
    weights = (
        PublishedWeights(
            **{
                **row,
                "input": tuple(row["input"]) if row["input"] else None,
                "mirrors": tuple(row["mirrors"]),
            }
        )
        for row in rows
    )
    return {one.name: one for one in weights}


@cache
def embedded() -> dict[str, PublishedWeights]:
    """The weight files in the package by name; embedded/MODEL_CARD.md describes them."""

    def spec(task: Task, network: str, **facts: Any) -> PublishedWeights:
        return PublishedWeights(
            name=f"embedded-{task}", task=task, network=network, file=f"{task}.safetensors", url=None, sha256=None,
            metric="see embedded/MODEL_CARD.md", licence="research", source="package", colour="RGB",
            **facts,
        )  # fmt: skip

    detector = spec(
        "detector", "faster-rcnn-compact-deep", input=None, outputs=1, keypoints=None, decoding=None, kernel=None
    )  # fmt: skip
    pose = spec(
        "pose", "hrnet-compact-deep", input=(160, 192), outputs=19, keypoints="posetrack18-eyes",
        decoding="dark-smoothed", kernel=7,
    )  # fmt: skip
    return {one.name: one for one in (detector, pose)}


def find(name: str) -> PublishedWeights:
    """The known weights of that name; InputError suggests similar names."""
    known = embedded() | published()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see `posetrack weights list`"
        raise InputError(f"unknown weights '{name}'; {hint}")
    return known[name]


def weights_folder(folder: Path | None = None) -> Path:
    """`folder`, else the environment variable POSETRACK_WEIGHTS, else the user's cache folder.

    InputError if it is a file.
    """
    if folder is None:
        chosen = os.environ.get(FOLDER_VARIABLE)
        cache = Path(platformdirs.user_cache_dir("posetrack", appauthor=False))
        folder = Path(chosen) if chosen else cache / "weights"
    if folder.exists() and not folder.is_dir():
        raise InputError(
            f"{folder}, the folder for weights ({FOLDER_VARIABLE}), is a file; choose another folder"
        )
    return folder


def mirror() -> str | Path | None:
    """The environment variable POSETRACK_WEIGHTS_MIRROR: an http or https address without its last "/", or a folder.

    InputError for an address of another kind.
    """
    chosen = os.environ.get(MIRROR_VARIABLE)
    if not chosen:
        return None
    if chosen.startswith(("http://", "https://")):
        return chosen.rstrip("/")
    if "://" in chosen:
        raise InputError(f"{MIRROR_VARIABLE} is {chosen!r}; give an http or https address, or a folder")
    return Path(chosen).expanduser()


def fetch(
    weights: PublishedWeights,
    folder: Path | None = None,
    *,
    offline: bool | None = None,
    progress: Progress = no_progress,
) -> Path:
    """The local file, downloaded if it is missing, with its SHA-256 checked.

    The mirror of POSETRACK_WEIGHTS_MIRROR is tried first, then the published address, then its other addresses.
    `offline` None reads the environment variable POSETRACK_OFFLINE; a mirror that is a folder is used offline too.
    InputError if the file is damaged or cannot be downloaded; the text says which file to put where.
    """
    if weights.source == "package":
        return EMBEDDED / weights.file
    target = weights_folder(folder) / weights.file
    if target.is_file():
        check_file(target, weights)
        return target
    if offline is None:
        offline = os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0")
    addresses = _addresses(weights, offline)
    by_hand = f"put {weights.file} (from {weights.url or weights.page}) into {target.parent}"
    if not addresses and weights.url is None:
        raise InputError(
            f"{weights.name} has no direct link; download {weights.file} from {weights.page}, then run "
            f"`posetrack weights import {weights.file}` or put the file into {target.parent}"
        )
    if not addresses:
        raise InputError(f"{weights.name} is not downloaded and offline mode is on; {by_hand}")

    # Not `atomic_file`: the partial file stays, so that the next try can resume.
    part = target.with_name(target.name + ".part")
    with hold(part):
        download(
            addresses,
            part,
            check=lambda path: _difference(path, weights),
            by_hand=by_hand,
            progress=progress,
        )
        part.replace(target)
    return target


def _addresses(weights: PublishedWeights, offline: bool) -> list[str | Path]:
    """Where to get the file from, in this order."""
    chosen = mirror()
    own: list[str | Path] = []
    if isinstance(chosen, Path):
        own = [chosen / weights.file]
    elif chosen:
        own = [f"{chosen}/{weights.file}"]
    every = [*own, *([weights.url] if weights.url else []), *weights.mirrors]
    return [address for address in every if isinstance(address, Path) or not offline]


def check_file(path: Path, weights: PublishedWeights, name: str = "") -> None:
    """InputError if the SHA-256 is not the published one; `name` is the file's name in the text, if not `path`."""
    difference = _difference(path, weights)
    if difference:
        raise InputError(f"{name or path} is {difference}; download it again")


def _difference(path: Path, weights: PublishedWeights) -> str:
    """In what the file differs from the published one; "" if it does not, or if no hash is known."""
    if weights.sha256 is None:
        return ""
    digest = sha256_of(path)
    if digest.startswith(weights.sha256):
        return ""
    return (
        f"not {weights.name}: its SHA-256 starts with {digest[: len(weights.sha256)]}, "
        f"the published one with {weights.sha256} (damaged, or another file)"
    )


def downloaded(folder: Path | None = None) -> list[PublishedWeights]:
    """The published weights whose files are in the folder, unchecked."""
    root = weights_folder(folder)
    return [weights for weights in published().values() if (root / weights.file).is_file()]


def bundle(weights: Iterable[PublishedWeights], target: Path, folder: Path | None = None) -> None:
    """Write the local files into one .tar file, for a machine without network access.

    InputError for a file that is missing or damaged, for embedded weights, or if `target` cannot be written.
    """
    root = weights_folder(folder)
    chosen = list(weights)
    for one in chosen:
        if one.source == "package":
            raise InputError(f"{one.name} is part of posetrack and needs no bundle; leave it out")
        if not (root / one.file).is_file():
            raise InputError(f"{one.name} is not downloaded; run `posetrack weights pull {one.name}` first")
        check_file(root / one.file, one)
    with atomic_file(target) as temporary, tarfile.open(temporary, "w", dereference=True) as archive:
        for one in chosen:
            archive.add(root / one.file, arcname=one.file)


def import_file(path: Path, folder: Path | None = None) -> list[PublishedWeights]:
    """Copy a published weight file, or all files of a bundle, into the folder; gives the weights imported.

    InputError for a file that is not published, damaged, or cannot be written.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if tarfile.is_tarfile(path) and path.name not in _by_file():
        return _import_bundle(path, folder)
    weights = _by_file().get(path.name) or _by_digest(sha256_of(path))
    if weights is None:
        raise InputError(f"{path} is not a published weight file (unknown name and SHA-256)")
    with path.open("rb") as source:
        _store(source, weights, folder, str(path))
    return [weights]


def recognise(path: Path) -> PublishedWeights | None:
    """The published weights that a file holds, by its SHA-256, or by its name where no hash was published."""
    named = _by_file().get(path.name)
    return named if named and named.sha256 is None else _by_digest(sha256_of(path))


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _import_bundle(path: Path, folder: Path | None) -> list[PublishedWeights]:
    known = _by_file()
    try:
        with tarfile.open(path, "r:") as archive:
            members = archive.getmembers()
            for member in members:  # check all names before anything is written
                if member.name not in known or not member.isfile():
                    raise InputError(
                        f"{path} contains {member.name!r}, which is not a published weight file; "
                        "nothing was imported"
                    )
            for member in members:
                source = archive.extractfile(member)
                assert source is not None  # isfile() was checked
                _store(source, known[member.name], folder, f"{path}: {member.name}")
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if not members:
        raise InputError(f"{path} contains no weight files")
    return [known[member.name] for member in members]


def _store(source: IO[bytes], weights: PublishedWeights, folder: Path | None, name: str) -> None:
    """Copy `source`, which errors call `name`, into the folder and check it."""
    target = weights_folder(folder) / weights.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{target.parent} cannot be created ({error.strerror})") from None
    with atomic_file(target) as temporary:
        with temporary.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
        check_file(temporary, weights, name)
        if weights.sha256 is None:
            _check_content(temporary, target.suffix, name)


def _check_content(path: Path, ending: str, name: str) -> None:
    """InputError if a file that no hash identifies holds no weights."""
    from posetrack_detectors.weights.checkpoints import CheckpointError, read_tensors

    try:
        read_tensors(path, ending)
    except CheckpointError as error:
        raise InputError(str(error).replace(str(path), name)) from error


def _by_file() -> dict[str, PublishedWeights]:
    return {weights.file: weights for weights in published().values()}


def _by_digest(digest: str) -> PublishedWeights | None:
    return next((one for one in published().values() if one.sha256 and digest.startswith(one.sha256)), None)
