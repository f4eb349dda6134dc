"""Targets and loss of pose networks, and a tiny network that learns with them."""

from __future__ import annotations

import torch
from posetrack_detectors.networks.hrnet import TrunkSize, initialise
from posetrack_detectors.networks.pose_hrnet import PoseHRNet
from posetrack_detectors.training.pose_task import draw_targets, heatmap_loss


def test_targets_peak_at_the_keypoint_between_cells() -> None:
    (target,) = draw_targets(torch.tensor([[[3.5, 2.0]]]), (8, 10), sigma=1.0)[0]
    assert target.shape == (8, 10)
    assert target[2, 3] == target[2, 4] == target.max()
    torch.testing.assert_close(target[2, 3], torch.exp(torch.tensor(-0.125)))


def test_unlabelled_keypoints_do_not_change_the_loss() -> None:
    heatmaps, targets = torch.rand(2, 3, 8, 6), torch.rand(2, 3, 8, 6)
    weights = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    loss = heatmap_loss(heatmaps, targets, weights, foreground=3.0)
    heatmaps[0, 1] += 9
    heatmaps[1] += 9
    assert heatmap_loss(heatmaps, targets, weights, foreground=3.0) == loss
    heatmaps[0, 2] += 9
    assert heatmap_loss(heatmaps, targets, weights, foreground=3.0) > loss


def test_a_tiny_network_overfits_two_people() -> None:
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
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
