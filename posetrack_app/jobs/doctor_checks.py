"""The checks of `posetrack doctor` that need third-party packages: devices, codecs, weights and decoders."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import torch

from posetrack_app.jobs.findings import Finding
from posetrack_app.jobs.synthetic_video import (
    SyntheticVideo,
    make_synthetic_video,
    read_number,
    write_synthetic_video,
)
from posetrack_app.models.devices import choose_device, choose_precision
from posetrack_app.models.weights import (
    EMBEDDED,
    MIRROR_VARIABLE,
    OFFLINE_VARIABLE,
    downloaded,
    sha256_of,
    weights_folder,
)
from posetrack_app.video.decord_frames import DecordImages
from posetrack_app.video.info import DecoderFailedError
from posetrack_app.video.nvdec_frames import NvdecImages, why_not_nvdec
from posetrack_app.video.probe import Probe, probe
from posetrack_app.video.pyav_frames import TimedImage, pyav_images

_INPUT_CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg", "prores")
_OUTPUT_CODECS = ("libx264", "aac")
_MAX_DIFFERENCE = 3.0
"""Largest mean difference between decoded and original pixels, in levels of 255."""


def check_devices() -> Iterator[Finding]:
    """CUDA devices, Apple's GPU, and the device and precision that "auto" selects."""
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            yield Finding("cuda", "ok", f"{card.name}, {card.total_memory / 2**30:.0f} GiB")
    else:
        built = f"PyTorch is built for CUDA {torch.version.cuda}, but finds no device"
        yield Finding("cuda", "missing", built if torch.version.cuda else "PyTorch is built without CUDA")
    mps = torch.backends.mps.is_available()
    if mps or sys.platform == "darwin":
        yield Finding("mps", "ok" if mps else "missing", "Apple's GPU")
    device = choose_device("auto")
    own, other = choose_precision("auto", device, ranges={}), choose_precision("auto", device)
    precision = (
        own if own == other else f"{own} for weights that support it (the embedded ones do), else {other}"
    )
    yield Finding("device", "ok", f"auto selects {device}, {precision}")


def check_codecs() -> Iterator[Finding]:
    """The codecs that PyAV's FFmpeg can read and write."""
    found, missing = _split(_INPUT_CODECS, av.codecs_available)
    yield Finding("reads", "ok", ", ".join(found))
    if missing:
        yield Finding("reads", "missing", f"PyAV's FFmpeg does not know {', '.join(missing)}")
    found, missing = _split(_OUTPUT_CODECS, av.codecs_available)
    yield Finding("writes", "ok", ", ".join(found))
    if missing:
        fix = "overlays need them: reinstall av"
        yield Finding("writes", "broken", f"PyAV's FFmpeg lacks {', '.join(missing)}; {fix}")


def _split(names: Iterable[str], available: Iterable[str]) -> tuple[list[str], list[str]]:
    known = set(available)
    return [name for name in names if name in known], [name for name in names if name not in known]


def check_weights() -> Iterator[Finding]:
    """The SHA-256 of the embedded weights, and the folder for published ones."""
    for line in (EMBEDDED / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        file = EMBEDDED / name
        if not file.is_file():
            yield Finding(name, "broken", "missing from the package; reinstall posetrack-app")
        elif sha256_of(file) != digest:
            yield Finding(name, "broken", "damaged (SHA-256 differs); reinstall posetrack-app")
        else:
            yield Finding(name, "ok", f"intact, SHA-256 {digest[:8]}...")
    folder = weights_folder()
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    offline = f"; {OFFLINE_VARIABLE} is set" if os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0") else ""
    chosen = os.environ.get(MIRROR_VARIABLE)
    mirror = f"; mirror {chosen}" if chosen else ""
    names = [entry.name for entry in downloaded()]
    files = f"{len(names)} published weight files" + (f": {', '.join(names)}" if names else "") + mirror
    if os.access(existing, os.W_OK):
        free = shutil.disk_usage(existing).free / 2**30
        yield Finding("cache", "ok", f"{folder}, {free:.1f} GiB free; {files}{offline}")
    else:
        yield Finding(
            "cache", "missing", f"{folder} is not writable, so no weights can be downloaded; {files}{offline}"
        )


def check_decoders(folder: Path) -> Iterator[Finding]:
    """Compare the frames of each decoder with the original, on a clip with a phone's rotation of 90 degrees."""
    clip = make_synthetic_video()
    path, rotation = folder / "clip.mp4", 90
    try:
        write_synthetic_video(clip, path, rotation=rotation)
    except (av.FFmpegError, OSError, ValueError) as error:  # ValueError: unknown codec
        yield Finding("clip", "broken", f"cannot be written, so no decoder was checked: {error}")
        return
    video = probe(path)
    wanted, size = range(video.frame_count), (clip.image(0).shape[1], clip.image(0).shape[0])
    yield _check_decoder("PyAV", pyav_images(video, wanted), clip)
    yield _check_decoder("decord", DecordImages(video, wanted, size, "cpu"), clip)
    yield _decord_gpu(video, wanted, size, clip)
    reason = why_not_nvdec()
    if reason:
        yield Finding("NVDEC", "missing", reason)
    else:
        yield _check_decoder("NVDEC", NvdecImages(video, wanted, size, rotation), clip)


def _decord_gpu(video: Probe, wanted: range, size: tuple[int, int], clip: SyntheticVideo) -> Finding:
    if not torch.cuda.is_available():
        return Finding("decord, GPU", "missing", "no CUDA device")
    gpu = DecordImages(video, wanted, size, "cuda")
    finding = _check_decoder("decord, GPU", gpu, clip)
    # decord may fall back to the CPU; its name tells.
    return finding if "GPU" in gpu.name.split(" (")[0] else Finding("decord, GPU", "missing", gpu.name)


def _check_decoder(name: str, images: Iterable[TimedImage], clip: SyntheticVideo) -> Finding:
    """Compare order, times, rotation and pixels of the decoded frames with `clip`."""
    difference = 0.0
    frames = 0
    try:
        for index, seconds, image in images:
            true = clip.image(frames)
            if image.shape != true.shape:
                return Finding(
                    name, "broken", f"frame {frames} is {image.shape}, not {true.shape}; wrong rotation"
                )
            if index != frames or read_number(image) != frames:
                return Finding(
                    name, "broken", f"frame {read_number(image)} has index {index}; expected {frames}"
                )
            if abs(seconds - clip.seconds[frames]) > 1e-3:
                return Finding(
                    name,
                    "broken",
                    f"frame {frames} has time {seconds:.3f} s, not {clip.seconds[frames]:.3f} s",
                )
            difference = max(difference, float(np.abs(image.astype(np.int16) - true).mean()))
            frames += 1
    except DecoderFailedError as error:
        return Finding(name, "broken", str(error))
    if frames != len(clip.seconds):
        return Finding(name, "broken", f"{frames} of {len(clip.seconds)} frames were read")
    if difference > _MAX_DIFFERENCE:
        return Finding(name, "broken", f"pixels are wrong by {difference:.0f} levels of 255 on average")
    return Finding(
        name, "ok", f"all {frames} frames correct, pixels within {difference:.1f} levels of 255 on average"
    )
