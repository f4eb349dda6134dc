"""The training of the pose net: targets, loss and variations mean what they say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from posetrack_detectors.hrnet import TrunkSize, initialise
from posetrack_detectors.pose_hrnet import PoseHRNet
from train_pose import Requests, draw_targets, heatmap_loss
from training_data import Person, PersonCrops

FLIP = [0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17]


def test_targets_peak_between_cells_where_the_keypoint_is() -> None:
    (target,) = draw_targets(torch.tensor([[[3.5, 2.0]]]), (8, 10), sigma=1.0)[0]
    assert target.shape == (8, 10)
    assert target[2, 3] == target[2, 4] == target.max()
    torch.testing.assert_close(target[2, 3], torch.exp(torch.tensor(-0.125)))


def test_unlabelled_keypoints_cost_nothing() -> None:
    heatmaps, targets = torch.rand(2, 3, 8, 6), torch.rand(2, 3, 8, 6)
    weights = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    loss = heatmap_loss(heatmaps, targets, weights, foreground=3.0)
    heatmaps[0, 1] += 9
    heatmaps[1] += 9
    assert heatmap_loss(heatmaps, targets, weights, foreground=3.0) == loss
    heatmaps[0, 2] += 9
    assert heatmap_loss(heatmaps, targets, weights, foreground=3.0) > loss


def _person_with_a_dot() -> tuple[Any, Person, np.ndarray]:
    """Every keypoint is at the white dot of a black picture."""
    image = np.zeros((200, 200, 3), np.uint8)
    image[96:105, 116:125] = 255
    store = SimpleNamespace(flip=FLIP, image=lambda picture: image)
    keypoints = np.tile([120.0, 100.0], (19, 1))
    box = np.array([50.0, 40.0, 150.0, 160.0])
    return store, Person(0, "lspet", box, keypoints, np.ones(19), np.ones(19, bool)), image


def test_keypoints_move_with_the_crop() -> None:
    store, person, _ = _person_with_a_dot()
    crops = PersonCrops(store, [person], (96, 128), seed=1)
    for draw in range(40):
        crop, points, weights = crops[(draw, 0)]
        if not weights[0]:
            continue
        x, y = np.clip((points[0] * 4).round().astype(int), 0, [95, 127])
        lit = crop.astype(int).sum(axis=2)
        assert lit[y, x] > np.median(lit) or draw in _hidden(crop, x, y), draw


def _hidden(crop: np.ndarray, x: int, y: int) -> range:
    """All draws if a one-coloured patch lies over the place, else none."""
    around = crop[max(y - 6, 0) : y + 7, max(x - 6, 0) : x + 7].reshape(-1, 3)
    return range(40) if len(np.unique(around, axis=0)) == 1 else range(0)


def test_the_same_draw_gives_the_same_crop() -> None:
    store, person, _ = _person_with_a_dot()
    crops = PersonCrops(store, [person], (96, 128), seed=1)
    np.testing.assert_array_equal(crops[(3, 0)][0], crops[(3, 0)][0])
    assert not np.array_equal(crops[(3, 0)][1], crops[(4, 0)][1])


def test_processes_share_the_draws() -> None:
    shares = np.array([1.0, 0.0, 2.0])
    whole = [request for request, _ in zip(Requests(shares, 1, 0, 0, 1), range(20), strict=False)]
    halves = [
        request
        for rank in (0, 1)
        for request, _ in zip(Requests(shares, 1, 0, rank, 2), range(10), strict=False)
    ]
    assert sorted(halves) == whole
    assert {person for _, person in whole} == {0, 2}


def test_a_tiny_network_learns_a_person_by_heart() -> None:
    torch.manual_seed(0)
    network = PoseHRNet(TrunkSize(8, (1, 1, 1), 1, 8, 8, 1), 2)
    initialise(network)
    crops = torch.randn(2, 3, 64, 64)
    targets = draw_targets(
        torch.tensor([[[4.0, 5.0], [10.0, 9.0]], [[11.0, 3.0], [2.0, 12.0]]]), (16, 16), 1.5
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss = heatmap_loss(network(crops), targets, torch.ones(2, 2), foreground=5.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
