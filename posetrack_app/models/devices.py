"""The device and the precision for this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from posetrack_detectors.int8 import int8_works
from posetrack_detectors.weights.activation_ranges import Ranges

from posetrack_app.core.errors import InputError
from posetrack_app.core.words import counted

SMALL_NETWORKS = {
    "faster-rcnn-compact", "faster-rcnn-compact-deep", "hrnet-compact", "hrnet-compact-deep"
}  # fmt: skip
"""Networks small enough to process several images in parallel on the CPU."""


def choose_device(wanted: str) -> str:
    """`wanted`, or for "auto" CUDA, else Apple's MPS, else the CPU; InputError if this machine does not have it.

    "cuda" is the first card, "cuda:1" the second.
    """
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    kind, _, card = wanted.partition(":")
    if kind not in available or (":" in wanted and not (kind == "cuda" and card.isdecimal())):
        raise InputError(
            f"unknown device '{wanted}'; choose auto, cpu, cuda, cuda:1 (the second card) or mps",
            option="device",
        )
    if not available[kind]:
        raise InputError(f"PyTorch finds no {kind} device on this machine; choose cpu", option="device")
    if card and int(card) >= (count := torch.cuda.device_count()):
        raise InputError(
            f"{wanted}: this machine has {counted(count, 'card')}, cuda:0 to cuda:{count - 1}",
            option="device",
        )
    return wanted


def all_devices() -> list[str]:
    """What this machine has for "auto": every CUDA card, else Apple's GPU, else the CPU."""
    device = choose_device("auto")
    return [f"cuda:{card}" for card in range(torch.cuda.device_count())] if device == "cuda" else [device]


def choose_precision(wanted: str, device: str, ranges: Ranges | None = None) -> str:
    """`wanted`, or for "auto" the fastest precision that keeps the accuracy.

    "auto" is int8 on CPUs with AVX2 for weights with activation `ranges`; else bfloat16 where that is faster; else
    float32. bfloat16 is faster on CUDA from Ampere on, on CPUs with AMX, and on AMD CPUs with AVX512-BF16. Intel CPUs
    without AMX (a virtual machine may hide it) multiply bfloat16 at half the rate of float32. int8 on ARM is correct but
    slow.

    InputError if int8 is wanted and not supported.
    """
    if wanted == "int8":
        if device != "cpu":
            raise InputError(f"precision = 'int8' runs on the CPU only; use 'auto' on {device}")
        if not int8_works():
            raise InputError(
                "precision = 'int8': this processor or PyTorch version does not support int8; use 'auto'"
            )
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    if device == "cpu":
        # PyTorch before 2.11 has no get_capabilities.
        able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        if ranges is not None and able.get("avx2") and int8_works():
            return "int8"
        is_intel = "Intel" in str(able.get("cpu_name"))
        is_faster = able.get("amx_bf16") or (able.get("avx512_bf16") and not is_intel)
        return "bfloat16" if is_faster else "float32"
    return "float32"
