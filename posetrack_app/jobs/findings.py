"""One line of `posetrack doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True)
class Finding:
    """One fact about this machine. posetrack works without what is "missing", but not with what is "broken"."""

    part: str
    state: State
    detail: str
