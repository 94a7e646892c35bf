"""The device on which networks run, and how they run there."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from posegen.errors import ConfigError

Precision = Literal["fp32", "bf16"]
"""Numbers of 32 bits, or of 16 with the exponent of 32 in the passes through networks; weights have 32 in either."""
_CPU_INFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def default_device() -> torch.device:
    """Return a GPU if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def require_precision(precision: Precision, device: torch.device) -> None:
    """Raise ConfigError where a device has no arithmetic of this precision, and would emulate it."""
    if precision == "fp32":
        return
    if device.type == "cuda":
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ConfigError(f"{torch.cuda.get_device_name(device)} has no bf16 arithmetic: set precision to fp32")
    elif not _cpu_has_bf16():
        raise ConfigError(
            "this processor has no bf16 arithmetic (AVX512-BF16 or AMX), and would be some 20 times as slow: "
            "set precision to fp32"
        )


@cache
def _cpu_has_bf16() -> bool:
    """Return True if the processor has instructions for bf16, as Linux lists them."""
    if not _CPU_INFO.exists():
        return False
    flags = re.search(r"^flags\s*:(.*)$", _CPU_INFO.read_text(), re.MULTILINE)
    return bool(flags and _BF16_FLAGS & set(flags[1].split()))


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which networks run in this precision."""
    if device.type not in ("cpu", "cuda"):  # shapes alone, which have none
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def fit_to_device(network: nn.Module, device: torch.device) -> None:
    """Move a network to a device, and let it run there as is fastest.

    On GPUs, convolutions have their channels last and matrices TF32, which has fp32's range and 10 bits of mantissa;
    on a CPU, channels last would cost a tenth.
    """
    network.to(device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True  # sizes are always the same
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # of four dimensions alone
