"""Every decoding, from a box to keypoints in the image, with fake networks that return given heatmaps."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from golden.reference.pose_targets import dark_targets, gaussian_targets, udp_targets
from no_waiting import without_waiting
from posetrack_detectors.decoding.crops import apply_affine, centre_and_scale, crop_affine, udp_affine
from posetrack_detectors.decoding.dark_udp import OFFSET_REACH
from posetrack_detectors.pose_estimator import Decoding, PoseEstimator
from torch import Tensor, nn

SIZE, SMALL = (192, 256), (48, 64)
BOX = np.array([100.0, 40.0, 220.0, 260.0])
MIRRORED = (0, 2, 1)
POINTS = np.array([[161.3, 70.9], [130.4, 120.2], [191.7, 190.6]])
TARGETS = {
    "quarter": gaussian_targets,
    "dark": dark_targets,
    "dark-smoothed": dark_targets,
    "udp": udp_targets,
}


def udp_offset_targets(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(3K, H, W): 1 near a point, and the offset to it in units of the reach."""
    reach = OFFSET_REACH * SMALL[1]
    y, x = np.mgrid[: SMALL[1], : SMALL[0]]
    cells = points * (np.array(SMALL) - 1) / (np.array(size) - 1)
    maps = []
    for cx, cy in cells:
        away = np.stack([cx - x, cy - y]) / reach
        near = np.square(away).sum(axis=0) <= 1
        maps += [near.astype(np.float32), away[0] * near, away[1] * near]
    return np.stack(maps).astype(np.float32)


class FakeNetwork(nn.Module):
    """Returns given heatmaps for plain and for flipped crops, which it recognises by their brighter half."""

    def __init__(self, plain: np.ndarray, flipped: np.ndarray) -> None:
        super().__init__()
        self.maps = [torch.from_numpy(plain).float(), torch.from_numpy(flipped).float()]

    def forward(self, crops: Tensor) -> Tensor:
        half = crops.shape[3] // 2
        flipped = crops[:, 1, :, :half].mean(dim=(1, 2)) > crops[:, 1, :, half:].mean(dim=(1, 2))
        return torch.stack([self.maps[int(f)] for f in flipped])


def heatmaps_of(points: np.ndarray, decoding: Decoding) -> np.ndarray:
    if decoding == "udp-offsets":
        return udp_offset_targets(points, SIZE)
    return TARGETS[decoding](points, np.ones(len(points)), SMALL, SIZE, 2)[0]


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize(
    ("decoding", "within"),
    [("quarter", 2.5), ("dark", 1.0), ("dark-smoothed", 0.05), ("udp", 0.5), ("udp-offsets", 0.8)],
)
def test_keypoints_are_in_image_pixels(decoding: Decoding, within: float, flip_test: bool) -> None:
    centre, scale = centre_and_scale(BOX, SIZE[0] / SIZE[1])
    udp = decoding.startswith("udp")
    affine = udp_affine(centre, scale, 0.0, SIZE) if udp else crop_affine(centre, scale, 0.0, SIZE)
    points = apply_affine(POINTS, affine)
    # The keypoints in the flipped crop: left and right exchanged, x from the other side.
    flipped = np.stack([SIZE[0] - 1 - points[:, 0], points[:, 1]], axis=1)[list(MIRRORED)]
    image = np.zeros((300, 320, 3), np.uint8)
    image[:, 160:] = 200
    estimate = PoseEstimator(
        FakeNetwork(heatmaps_of(points, decoding), heatmaps_of(flipped, decoding)),
        size=SIZE,
        keypoints=3,
        decoding=decoding,
        mirrored=MIRRORED if flip_test else None,
    )
    keypoints, scores, appearance = estimate([image, image], [BOX, BOX])
    assert keypoints.dtype == np.float32
    assert np.abs(keypoints - POINTS).max() < within
    assert (scores > 0.3).all()  # the blurred disc of UDP offsets peaks at 0.35
    assert appearance.shape == (2, 0)


@pytest.mark.parametrize("flip_test", [False, True])
@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize("decoding", ["quarter", "dark", "dark-smoothed", "udp", "udp-offsets"])
def test_the_path_on_a_device_gives_the_same(decoding: Decoding, bgr: bool, flip_test: bool) -> None:
    """On the CPU here; two people of one frame, one of another with another size."""
    torch.manual_seed(0)
    network = _Bumps(9 if decoding == "udp-offsets" else 3)
    estimate = PoseEstimator(
        network, size=(96, 128), keypoints=3, decoding=decoding, bgr=bgr, appearance=True,
        mirrored=MIRRORED if flip_test else None,
    )  # fmt: skip
    random = np.random.default_rng(1)
    first, second = (
        np.asarray(cv2.resize(random.integers(0, 255, (12, 9, 3), np.uint8), size), np.uint8)
        for size in ((320, 300), (200, 400))
    )
    images = [first, second, first]
    boxes = [BOX, np.array([20.0, 10, 180, 390]), np.array([-10.0, 100, 90, 290])]
    expected = estimate(images, boxes)
    estimate.on_device = True
    found = estimate(images, boxes)
    for name, got, wanted in zip(("keypoints", "scores", "appearance"), found, expected, strict=True):
        assert got.dtype == wanted.dtype, name
        assert got.flags.owndata, name
        # A crop differs by one grey level in a few pixels. A keypoint on the border of two cells may take its
        # appearance from either.
        same = np.abs(got - wanted).reshape(3, -1).max(axis=1) < 0.02
        assert same.sum() >= (2 if name == "appearance" else 3), name


class _Bumps(nn.Module):
    """Smooth heatmaps of random colour filters, on a pixel grid of a quarter."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.final_layer = nn.Conv2d(3, maps, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(pixels, 16, 4, padding=6)
        return cast(Tensor, self.final_layer(x)).exp()


def test_the_path_on_a_device_waits_once_per_batch() -> None:
    estimate = PoseEstimator(
        _Bumps(3), size=(96, 128), keypoints=3, decoding="dark", mirrored=MIRRORED, appearance=True
    )
    crops = torch.randint(0, 255, (4, 3, 128, 96), dtype=torch.uint8)
    with torch.inference_mode():
        assert without_waiting(estimate._points_on_device, crops).shape == (4, 3 * 3 + 3)


@pytest.mark.parametrize("decoding", ["quarter", "dark", "dark-smoothed", "udp", "udp-offsets"])
def test_no_people(decoding: Decoding) -> None:
    columns = PoseEstimator(nn.Identity(), size=SIZE, keypoints=3, decoding=decoding)([], [])
    assert [column.shape for column in columns] == [(0, 3, 2), (0, 3), (0, 0)]


class _Colours(torch.nn.Module):
    """One heatmap, highest where the image is brightest; its features are mean colours of 4 x 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.final_layer = torch.nn.Conv2d(3, 1, 1)
        torch.nn.init.ones_(self.final_layer.weight)
        torch.nn.init.zeros_(cast(torch.Tensor, self.final_layer.bias))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.final_layer(torch.nn.functional.avg_pool2d(pixels, 4)))


@pytest.mark.parametrize("mirrored", [None, (0,)])
def test_appearance_is_the_feature_at_the_keypoint(mirrored: tuple[int, ...] | None) -> None:
    image = np.zeros((128, 256, 3), np.uint8)
    image[60:72, 90:102], image[60:72, 200:212] = (250, 140, 140), (140, 140, 250)
    boxes = [np.array([70.0, 32, 118, 96]), np.array([180.0, 32, 228, 96])]
    settings: dict[str, Any] = {"size": (48, 64), "keypoints": 1, "mirrored": mirrored}
    estimate = PoseEstimator(_Colours(), **settings, appearance=True)
    keypoints, scores, appearance = estimate([image] * 2, boxes)
    assert appearance.shape == (2, 3)
    assert appearance[0].argmax() == 0
    assert appearance[1].argmax() == 2
    plain = PoseEstimator(_Colours(), **settings)([image] * 2, boxes)
    np.testing.assert_array_equal(plain[0], keypoints)
    np.testing.assert_array_equal(plain[1], scores)
    assert plain[2].shape == (2, 0)
    assert [column.shape for column in estimate([], [])] == [(0, 1, 2), (0, 1), (0, 3)]
