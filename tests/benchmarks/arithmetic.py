"""Floating-point operations of a training step."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Arithmetic(TorchDispatchMode):
    """Counts floating-point operations; `FlopCounterMode` cannot follow a step that asks for gradients in parts."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        formula = flop_registry.get(operation.overloadpacket)
        if formula is not None:
            self.count += formula(*args, **(kwargs or {}), out_val=result)
        return result


def arithmetic(step: Callable[[], object]) -> int:
    """Floating-point operations of a step."""
    with Arithmetic() as counter:
        step()
    return counter.count
