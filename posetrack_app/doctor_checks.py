"""The doctor's findings that need the heavy libraries: devices, codecs, weights, and every decoder's frames."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import torch

from posetrack_app.assemble import choose_device, choose_precision
from posetrack_app.doctor import Finding
from posetrack_app.synthetic import Film, make_film, read_number, write_film
from posetrack_app.video.decord_frames import DecordPictures
from posetrack_app.video.info import DecoderFailedError
from posetrack_app.video.nvdec_frames import NvdecPictures, why_not_nvdec
from posetrack_app.video.probe import Probe, probe
from posetrack_app.video.pyav_frames import Picture, pyav_pictures
from posetrack_app.weights import EMBEDDED, OFFLINE_VARIABLE, here, sha256_of, weights_folder

_READ = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg", "prores")
_WRITTEN = ("libx264", "aac")
_ALIKE = 3.0
"""Levels of 255 that a decoder's pictures may differ from those written by, on average."""


def check_devices() -> Iterator[Finding]:
    """CUDA cards, Apple's GPU, and what `--device auto` takes."""
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            yield Finding("cuda", "ok", f"{card.name}, {card.total_memory / 2**30:.0f} GiB")
    else:
        built = (
            f"PyTorch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "PyTorch has no CUDA"
        )
        yield Finding("cuda", "absent", f"{built}, and finds no device")
    mps = torch.backends.mps.is_available()
    if mps or sys.platform == "darwin":
        yield Finding("mps", "ok" if mps else "absent", "Apple's GPU")
    device = choose_device("auto")
    own, other = choose_precision("auto", device, ranges={}), choose_precision("auto", device)
    arithmetic = (
        own if own == other else f"{own} for weights ready for it, as the package's are, else {other}"
    )
    yield Finding("device", "ok", f"--device auto takes {device}, {arithmetic}")


def check_codecs() -> Iterator[Finding]:
    """What PyAV's FFmpeg reads and writes."""
    have, lack = _split(_READ, av.codecs_available)
    yield Finding("reads", "ok", ", ".join(have))
    if lack:
        yield Finding("reads", "absent", f"this PyAV's FFmpeg does not know {', '.join(lack)}")
    have, lack = _split(_WRITTEN, av.codecs_available)
    yield Finding("writes", "ok", ", ".join(have))
    if lack:
        again = "overlays need them: pip install --force-reinstall av"
        yield Finding("writes", "broken", f"this PyAV's FFmpeg lacks {', '.join(lack)}; {again}")


def _split(names: Iterable[str], available: Iterable[str]) -> tuple[list[str], list[str]]:
    known = set(available)
    return [name for name in names if name in known], [name for name in names if name not in known]


def check_weights() -> Iterator[Finding]:
    """The embedded files by their SHA-256, and the folder of the published ones."""
    for line in (EMBEDDED / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        file = EMBEDDED / name
        if not file.is_file():
            yield Finding(name, "broken", "is missing from the package; reinstall posetrack-app")
        elif sha256_of(file) != digest:
            yield Finding(name, "broken", "is not as shipped (SHA-256 differs); reinstall posetrack-app")
        else:
            yield Finding(name, "ok", f"as shipped, SHA-256 {digest[:8]}...")
    folder = weights_folder()
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    offline = f"; {OFFLINE_VARIABLE} is set" if os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0") else ""
    names = [entry.name for entry in here()]
    files = f"{len(names)} published weight files" + (f": {', '.join(names)}" if names else "")
    if os.access(there, os.W_OK):
        free = shutil.disk_usage(there).free / 2**30
        yield Finding("cache", "ok", f"{folder}, {free:.1f} GiB free; {files}{offline}")
    else:
        yield Finding(
            "cache", "absent", f"{folder} cannot be written, so nothing can be fetched; {files}{offline}"
        )


def check_decoders(folder: Path) -> Iterator[Finding]:
    """Each decoder on the same clip, which lies on its side in the file."""
    film = make_film()
    path, rotation = folder / "film.mp4", 90
    try:
        write_film(film, path, rotation=rotation)
    except (av.FFmpegError, OSError, ValueError) as error:  # ValueError: PyAV knows no such codec
        yield Finding("clip", "broken", f"cannot be written, so no decoder was tried: {error}")
        return
    video = probe(path)
    wanted, size = range(video.frame_count), (film.picture(0).shape[1], film.picture(0).shape[0])
    yield _judge("PyAV", pyav_pictures(video, wanted, size), film)
    yield _judge("decord", DecordPictures(video, wanted, size, "cpu"), film)
    yield _decord_gpu(video, wanted, size, film)
    reason = why_not_nvdec()
    if reason:
        yield Finding("NVDEC", "absent", reason)
    else:
        yield _judge("NVDEC", NvdecPictures(video, wanted, size, rotation), film)


def _decord_gpu(video: Probe, wanted: range, size: tuple[int, int], film: Film) -> Finding:
    if not torch.cuda.is_available():
        return Finding("decord, GPU", "absent", "no CUDA device")
    gpu = DecordPictures(video, wanted, size, "cuda")
    finding = _judge("decord, GPU", gpu, film)
    # It goes on with the CPU where it has to, and says so in its name.
    return finding if "GPU" in gpu.name.split(" (")[0] else Finding("decord, GPU", "absent", gpu.name)


def _judge(name: str, pictures: Iterable[Picture], film: Film) -> Finding:
    """Whether these are the film's frames, in order, at their times, and how far the pictures are off."""
    apart = 0.0
    frames = 0
    try:
        for index, seconds, image in pictures:
            true = film.picture(frames)
            if image.shape != true.shape:
                return Finding(name, "broken", f"frame {frames} is {image.shape}, not {true.shape}: turned?")
            if index != frames or read_number(image) != frames:
                return Finding(name, "broken", f"frame {read_number(image)} came as {index}, not {frames}")
            if abs(seconds - film.seconds[frames]) > 1e-3:
                return Finding(
                    name, "broken", f"frame {frames} at {seconds:.3f} s, not {film.seconds[frames]:.3f} s"
                )
            apart = max(apart, float(np.abs(image.astype(np.int16) - true).mean()))
            frames += 1
    except DecoderFailedError as error:
        return Finding(name, "broken", str(error))
    if frames != len(film.seconds):
        return Finding(name, "broken", f"{frames} frames of {len(film.seconds)} came")
    if apart > _ALIKE:
        return Finding(name, "broken", f"its pictures are {apart:.0f} levels of 255 off")
    return Finding(name, "ok", f"{frames} frames of a clip true, pictures within {apart:.1f} levels of 255")
