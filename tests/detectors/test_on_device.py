"""The batched tensor code equals the NumPy code, and never waits for the device.

The CPU runs both here; the operators are the same on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from golden.reference.pose_targets import dark_targets, udp_targets
from numpy.typing import NDArray
from posetrack_detectors.decoding import dark_udp, heatmaps, on_device
from posetrack_detectors.decoding.crops import to_frame
from torch.utils._python_dispatch import TorchDispatchMode

SIZE, INPUT = (48, 64), (192, 256)
MIRRORED = (0, 2, 1, 4, 3)


class NoWaiting(TorchDispatchMode):
    """Fails on operators that copy to the host, or whose output's size depends on values: both wait for the device."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "lift_fresh", "item")

    def __torch_dispatch__(self, operator: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator.overloadpacket.__name__
        masks = args[1] if name in ("index", "index_put_") else ()
        by_mask = any(mask is not None and mask.dtype == torch.bool for mask in masks)
        assert name not in self.FORBIDDEN, f"{operator} waits for the device"
        assert not by_mask, f"{operator} with a mask waits for the device"
        return operator(*args, **(kwargs or {}))


def test_the_check_for_waiting_works() -> None:
    x = torch.arange(3)
    waiting: list[Callable[[], Any]] = [
        lambda: x.max().item(), lambda: x.nonzero(), lambda: x[x > 1], lambda: torch.tensor([1.0])
    ]  # fmt: skip
    for one in waiting:
        with pytest.raises(AssertionError, match="waits"), NoWaiting():
            one()


def without_waiting(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The output; the first call may put constants onto the device."""
    function(*arguments, **options)
    with NoWaiting():
        return function(*arguments, **options)


def blobs(people: int = 4, seed: int = 0) -> NDArray[np.float32]:
    """Heatmaps (N, 5, 64, 48) as a network draws them: bumps with noise; some at the border, one of no height."""
    random = np.random.default_rng(seed)
    maps = []
    for _ in range(people):
        keypoints = random.uniform((-4, -4), (196, 260), (5, 2))
        targets, _ = dark_targets(keypoints, np.ones(5), SIZE, INPUT, 2)
        maps.append(targets * random.uniform(0.2, 1.0, (5, 1, 1)) + random.uniform(0, 0.02, targets.shape))
    maps[0][0] = -0.1
    return np.array(maps, dtype=np.float32)


def offsets(people: int = 4) -> NDArray[np.float32]:
    random = np.random.default_rng(3)
    outputs = np.empty((people, 5, 3, 64, 48), np.float32)
    outputs[:, :, 0] = blobs(people)
    outputs[:, :, 1:] = random.uniform(-1, 1, (people, 5, 2, 64, 48))
    return outputs.reshape(people, 15, 64, 48)


SAME: list[Any] = [
    ("dark", dark_udp.decode_dark, 11),
    ("dark", dark_udp.decode_dark, 17),
    ("dark-smoothed", dark_udp.decode_dark_smoothed, 7),
    ("dark-smoothed", dark_udp.decode_dark_smoothed, 11),
    ("udp", dark_udp.decode_udp, 11),
    ("udp-offsets", dark_udp.decode_udp_offsets, 11),
]


@pytest.mark.parametrize(("name", "decode", "kernel"), SAME)
def test_sub_cell_decoding(name: str, decode: Any, kernel: int) -> None:
    maps = offsets() if name == "udp-offsets" else blobs()
    expected, heights = decode(maps, INPUT, kernel)
    points, found_heights = without_waiting(on_device.DECODERS[name], torch.from_numpy(maps), INPUT, kernel)
    positive = heights > 0  # of a map without a peak, UDP reads cells of another map
    assert positive.sum() > 15
    assert np.abs(points.numpy() - expected)[positive].max() < 1e-4
    assert np.abs(found_heights.numpy() - heights).max() < 1e-6


@pytest.mark.parametrize("name", on_device.DECODERS)
def test_a_map_without_a_peak_decodes_to_finite_numbers(name: str) -> None:
    points, heights = on_device.DECODERS[name](torch.zeros(1, 3, 64, 48), INPUT, 11)
    assert torch.isfinite(points).all()
    assert (heights == 0).all()


def test_quarter_decoding() -> None:
    """In pixels of the frame, where the NumPy decoder gives them."""
    maps, random = blobs(20, seed=5), np.random.default_rng(6)
    centres = random.uniform(0, 1000, (20, 2)).astype(np.float32)
    widths = random.uniform(0.2, 4, 20)
    scales = np.stack([widths, widths * INPUT[1] / INPUT[0]], axis=1).astype(np.float32)
    expected, heights = heatmaps.decode_heatmaps(maps, centres, scales)
    points, found_heights = without_waiting(on_device.DECODERS["quarter"], torch.from_numpy(maps), INPUT, 0)
    found = to_frame(points.numpy(), centres, scales, INPUT)
    # The affine map of the NumPy decoder is solved from float32 points: that is 1e-4 pixels at x = 1000.
    assert np.abs(found - expected).max() < 3e-4
    assert np.array_equal(found_heights.numpy(), heights)


@pytest.mark.parametrize("shift", [0.0, 0.75, 1.0])
def test_flip_back(shift: float) -> None:
    maps = blobs()
    expected = heatmaps.flip_back(maps, MIRRORED, shift=shift)
    found = without_waiting(on_device.flip_back, torch.from_numpy(maps), MIRRORED, shift=shift)
    assert np.abs(found.numpy() - expected).max() < 1e-7


def test_flip_back_offsets() -> None:
    maps = offsets()
    found = without_waiting(on_device.flip_back_offsets, torch.from_numpy(maps), MIRRORED)
    assert np.array_equal(found.numpy(), heatmaps.flip_back_offsets(maps, MIRRORED))


def test_udp_targets_are_found() -> None:
    keypoints = np.random.default_rng(1).uniform((30, 30), (160, 220), (17, 2))
    maps, _ = udp_targets(keypoints, np.ones(17), SIZE, INPUT, 2)
    points, _ = on_device.decode_udp(torch.from_numpy(maps[None].astype(np.float32)), INPUT)
    assert np.abs(points[0].numpy() * (np.array(INPUT) - 1) / INPUT - keypoints).max() < 0.7
