"""Muon's steps are orthogonal and of the right size."""

from __future__ import annotations

import pytest
import torch
from posetrack_detectors.networks.hrnet import COMPACT
from posetrack_detectors.networks.pose_hrnet import PoseHRNet
from posetrack_detectors.training.loop import build_optimizers
from posetrack_detectors.training.muon import STEP, Muon, orthogonal
from torch import nn


@pytest.mark.parametrize("shape", [(2, 8, 30), (2, 30, 8), (1, 5, 5)])
def test_orthogonal_keeps_singular_vectors_and_makes_their_values_close_to_one(
    shape: tuple[int, int, int],
) -> None:
    generator = torch.Generator().manual_seed(1)
    result = orthogonal(torch.randn(shape, generator=generator))
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    values = u.mT @ result @ v.mT
    diagonal = values.diagonal(dim1=1, dim2=2)
    assert diagonal.min() > 0.65
    assert diagonal.max() < 1.25
    assert (values - torch.diag_embed(diagonal)).abs().max() < 1e-3


def test_a_convolution_is_updated_as_a_matrix_with_weight_decay() -> None:
    weight = nn.Parameter(torch.full((4, 2, 3, 3), 2.0))
    gradient = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    weight.grad = gradient.clone()
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    moved = (weight.detach() - 2.0 * (1 - 0.1 * 0.5)).flatten(1)
    values = torch.linalg.svdvals(moved) / (0.1 * STEP * 18**0.5)
    assert values.min() > 0.65
    assert values.max() < 1.25
    assert (moved * gradient.flatten(1)).sum() < 0


def test_weights_without_a_gradient_do_not_change() -> None:
    weight = nn.Parameter(torch.ones(3, 3))
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(weight, torch.ones(3, 3))


def test_output_layers_norms_and_biases_go_to_adamw() -> None:
    network = PoseHRNet(COMPACT, 19)
    muon, adamw = build_optimizers(network, 1e-3)
    hidden = {id(w) for group in muon.param_groups for w in group["params"]}
    others = {id(w) for group in adamw.param_groups for w in group["params"]}
    for name, weight in network.named_parameters():
        assert (id(weight) in hidden) == (weight.ndim > 1 and not name.startswith("final_layer")), name
    assert len(hidden) + len(others) == len(list(network.parameters()))
