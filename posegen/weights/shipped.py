"""Weights that come with the package: small networks trained by posegen's own stages, each with a model card.

They lie in ``posegen/pretrained`` as safetensors in half precision. `docs/models` says what each was trained on, and
which command trains it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from posegen.errors import WeightsError, first_line
from posegen.weights.registry import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"
"""The folder of the files."""
SHIPPED: dict[str, str] = {
    "motion": "7cea4bb52a90d1bc7b2290517365734b7f4757b32c4d55580c00ba01bc77aa8b",
    "person_parser": "818ab0211c7f9ad9ca6f679d15105c5512ee32d45a050439f6a54cb5253e4ecb",
}
"""sha256 of each file by the name of what it is for."""


def shipped_file(name: str) -> Path:
    """Return the file of shipped weights. Raises WeightsError for an unknown name."""
    if name not in SHIPPED:
        raise WeightsError(f"no weights of {name!r} come with posegen, expected one of {', '.join(SHIPPED)}")
    return PRETRAINED / f"{name}.safetensors"


def shipped_sha256(name: str) -> str:
    """Return the sha256 of shipped weights, for the record of what was made with them. Raises WeightsError."""
    shipped_file(name)
    return SHIPPED[name]


def load_shipped(name: str) -> dict[str, Tensor]:
    """Read shipped weights, floating-point numbers in single precision.

    Raises WeightsError where they are unknown, missing, or not those that were shipped.
    """
    from safetensors.torch import load_file

    file = shipped_file(name)
    try:
        found = sha256_of(file)
    except OSError as error:
        raise WeightsError(f"{file} cannot be read ({first_line(error)}): install posegen again") from error
    if found != SHIPPED[name]:
        raise WeightsError(f"{file} has sha256 {found[:12]}…, expected {SHIPPED[name][:12]}…: install posegen again")
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in load_file(file).items()}


def pack_shipped(tensors: dict[str, Tensor], file: Path) -> str:
    """Write weights as they are shipped, in half precision, and return the file's sha256."""
    import torch
    from safetensors.torch import save_file

    halves = {
        key: (tensor.half() if tensor.is_floating_point() else tensor)
        .detach()
        .cpu()
        .contiguous(memory_format=torch.contiguous_format)
        for key, tensor in tensors.items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(halves, file)
    return sha256_of(file)
