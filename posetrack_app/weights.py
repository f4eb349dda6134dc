"""Published weight files: which there are, where they come from, and getting them here whole.

A file is used only after its SHA-256 was compared with the registry's; published names carry its first 8
digits. Files of the HRNet authors lie on drives without direct links and have no published hash: the user
brings them, and loading checks every key and shape.
"""

from __future__ import annotations

import difflib
import errno
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

from posetrack_app.download import Progress, alone, download, no_progress
from posetrack_app.errors import InputError

FOLDER_VARIABLE = "POSETRACK_WEIGHTS"
OFFLINE_VARIABLE = "POSETRACK_OFFLINE"
EMBEDDED = Path(__file__).parent / "embedded"
"""Weights that ship with the package."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Published:
    """One published weight file and what its network expects."""

    name: str
    task: Literal["pose", "detector"]
    network: str
    """A key of `POSE_NETWORKS`, or a detector such as faster-rcnn-w40."""
    file: str
    url: str | None
    """None: there is no direct link; `page` says where a person finds it."""
    sha256: str | None
    """The first digits, as published; None where none were."""
    metric: str | None
    licence: str
    source: str
    input: tuple[int, int] | None
    """(width, height) of a pose network's crops."""
    outputs: int
    keypoints: Literal["coco", "mpii", "posetrack18"] | None
    """The keypoints' order."""
    colour: Literal["RGB", "BGR"]
    decoding: Literal["quarter", "dark", "dark-smoothed", "udp", "udp-offsets"] | None
    kernel: int | None
    """Smoothing of DARK and UDP decoding, in heatmap cells."""
    page: str | None = None


@cache
def published() -> dict[str, Published]:
    """Every known weight file by name."""
    rows = json.loads((Path(__file__).parent / "published_weights.json").read_text(encoding="utf-8"))
    entries = (Published(**{**row, "input": tuple(row["input"]) if row["input"] else None}) for row in rows)
    return {entry.name: entry for entry in entries}


@cache
def embedded() -> dict[str, Published]:
    """The weight files in the package by name; embedded/MODEL_CARD.md tells about them."""

    def entry(task: Literal["pose", "detector"], network: str, **facts: Any) -> Published:
        return Published(
            name=f"embedded-{task}", task=task, network=network, file=f"{task}.safetensors", url=None, sha256=None,
            metric="see embedded/MODEL_CARD.md", licence="research", source="package", colour="RGB",
            **facts,
        )  # fmt: skip

    detector = entry(
        "detector", "faster-rcnn-compact-deep", input=None, outputs=1, keypoints=None, decoding=None, kernel=None
    )  # fmt: skip
    # 19 heatmaps: the 17 of PoseTrack18, then the eyes.
    pose = entry(
        "pose", "hrnet-compact-deep", input=(160, 192), outputs=19, keypoints="posetrack18",
        decoding="dark-smoothed", kernel=7,
    )  # fmt: skip
    return {one.name: one for one in (detector, pose)}


def find(name: str) -> Published:
    """The weight file of that name; InputError names the nearest ones."""
    entries = embedded() | published()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see `posetrack weights list`"
        raise InputError(f"there are no published weights named '{name}'; {hint}")
    return entries[name]


def weights_folder(folder: Path | None = None) -> Path:
    """`folder`, else the environment's POSETRACK_WEIGHTS, else the user's cache folder of this platform."""
    if folder is not None:
        return folder
    chosen = os.environ.get(FOLDER_VARIABLE)
    return (
        Path(chosen)
        if chosen
        else Path(platformdirs.user_cache_dir("posetrack", appauthor=False)) / "weights"
    )


def fetch(
    entry: Published,
    folder: Path | None = None,
    *,
    offline: bool | None = None,
    progress: Progress = no_progress,
) -> Path:
    """The checked local file, downloaded if it is not here; else InputError says what to put where.

    `offline` None asks the environment's POSETRACK_OFFLINE.
    """
    if entry.source == "package":
        return EMBEDDED / entry.file
    target = weights_folder(folder) / entry.file
    if target.is_file():
        check_file(target, entry)
        return target
    if entry.url is None:
        raise InputError(
            f"{entry.name} has no direct link: get {entry.file} from {entry.page} and run "
            f"`posetrack weights import {entry.file}`, or put it into {target.parent}"
        )
    by_hand = f"put {entry.file} (from {entry.url}) into {target.parent}"
    if offline if offline is not None else os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0"):
        raise InputError(f"{entry.name} is not here and offline mode is on: {by_hand}")
    part = target.with_name(target.name + ".part")
    with alone(part):
        download(entry.url, part, by_hand=by_hand, progress=progress)
        try:
            check_file(part, entry)
        except InputError as error:
            part.unlink()
            raise InputError(f"{error}; the download was deleted, try again or {by_hand}") from None
        part.replace(target)
    return target


def check_file(path: Path, entry: Published) -> None:
    """InputError if the file is not the published one, by SHA-256."""
    if entry.sha256 is None:
        return
    digest = sha256_of(path)
    if not digest.startswith(entry.sha256):
        raise InputError(
            f"{path} is not {entry.name}: its SHA-256 starts {digest[: len(entry.sha256)]}, "
            f"the published one {entry.sha256} (damaged, or another file)"
        )


def here(folder: Path | None = None) -> list[Published]:
    """The published files in the folder, unchecked."""
    root = weights_folder(folder)
    return [entry for entry in published().values() if (root / entry.file).is_file()]


def bundle(entries: Iterable[Published], target: Path, folder: Path | None = None) -> None:
    """Write the checked local files of `entries` into one .tar for a machine without network."""
    root = weights_folder(folder)
    chosen = list(entries)
    for entry in chosen:
        if entry.source == "package":
            raise InputError(f"{entry.name} ships with posetrack and needs no bundle; leave it out")
        if not (root / entry.file).is_file():
            raise InputError(f"{entry.name} is not here; run `posetrack weights pull {entry.name}` first")
        check_file(root / entry.file, entry)
    part = target.with_name(target.name + ".part")
    try:
        with tarfile.open(part, "w", dereference=True) as archive:
            for entry in chosen:
                archive.add(root / entry.file, arcname=entry.file)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{target} cannot be written: {error.strerror}") from None


def import_file(path: Path, folder: Path | None = None) -> list[Published]:
    """Copy a published weight file, or all of a bundle, into the folder, checked; returns what came in."""
    if not path.is_file():
        raise InputError(f"{path} is not there")
    if tarfile.is_tarfile(path) and path.name not in _by_file():
        return _import_bundle(path, folder)
    entry = _by_file().get(path.name) or _by_digest(sha256_of(path))
    if entry is None:
        raise InputError(f"{path} is not a published weight file (unknown name and SHA-256)")
    check_file(path, entry)
    with path.open("rb") as source:
        _store(source, entry, folder)
    return [entry]


def recognise(path: Path) -> Published | None:
    """The published weights that a file is, by SHA-256, or by its name where no hash was published."""
    named = _by_file().get(path.name)
    return named if named and named.sha256 is None else _by_digest(sha256_of(path))


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _import_bundle(path: Path, folder: Path | None) -> list[Published]:
    try:
        with tarfile.open(path, "r:") as archive:
            members = archive.getmembers()
            for member in members:  # names first: nothing is written from a bundle with a strange one
                if member.name not in _by_file() or not member.isfile():
                    raise InputError(
                        f"{path} holds {member.name!r}, not a published weight file; nothing was imported"
                    )
            entries = []
            for member in members:
                source = archive.extractfile(member)
                assert source is not None  # isfile() was checked
                entries.append(_by_file()[member.name])
                _store(source, entries[-1], folder)
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    if not entries:
        raise InputError(f"{path} holds no weight files")
    return entries


def _store(source: IO[bytes], entry: Published, folder: Path | None) -> None:
    target = weights_folder(folder) / entry.file
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
        check_file(part, entry)
        part.replace(target)
    except OSError as error:
        full = f"no space left in {target.parent}"
        reason = full if error.errno == errno.ENOSPC else f"{target} cannot be written: {error.strerror}"
        raise InputError(reason) from None
    finally:
        part.unlink(missing_ok=True)


def _by_file() -> dict[str, Published]:
    return {entry.file: entry for entry in published().values()}


def _by_digest(digest: str) -> Published | None:
    return next((e for e in published().values() if e.sha256 and digest.startswith(e.sha256)), None)
