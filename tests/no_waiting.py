"""A check that code for a GPU never waits for it, on a machine without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails on operators that copy to the host, or whose output's size depends on values: both wait for the device."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "lift_fresh", "item")

    def __torch_dispatch__(self, operator: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operator.overloadpacket.__name__
        masks = args[1] if name in ("index", "index_put_") else ()
        by_mask = any(mask is not None and mask.dtype == torch.bool for mask in masks)
        assert name not in self.FORBIDDEN, f"{operator} waits for the device"
        assert not by_mask, f"{operator} with a mask waits for the device"
        return operator(*args, **(kwargs or {}))


def without_waiting(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The output; the first call may put constants onto the device."""
    function(*arguments, **options)
    with NoWaiting():  # type: ignore[no-untyped-call]
        return function(*arguments, **options)
