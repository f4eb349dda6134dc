"""The HRNet trunk with fewer exchanges between branches: the ablation in table 6 of Sun et al., CVPR 2019."""

from __future__ import annotations

from typing import Literal

from posetrack_detectors.networks.hrnet import ExchangeModule, HRNetTrunk, TrunkSize
from torch import Tensor, nn

Exchange = Literal["within", "across", "final"]
"""Which modules exchange features: all, the last of every stage, or only the last of the network."""


class AblatedTrunk(HRNetTrunk):
    """An HRNet trunk in which only some modules exchange features."""

    def __init__(self, size: TrunkSize, exchange: Exchange) -> None:
        super().__init__(size)
        for stage in (self.stage2, self.stage3, self.stage4):
            last = len(stage) - 1
            for i, module in enumerate(stage):
                assert isinstance(module, ExchangeModule)
                keeps = exchange == "within" or (i == last and (exchange == "across" or stage is self.stage4))
                if not keeps:
                    stage[i] = SeparateBranches(module.branches)


class SeparateBranches(nn.Module):
    """Residual blocks in every branch, without an exchange."""

    def __init__(self, branches: nn.ModuleList) -> None:
        super().__init__()
        self.branches = branches

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        return [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
