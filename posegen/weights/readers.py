"""Reads weights as they are published: pickles of PyTorch, HDF5 of Keras, ONNX; and gives tensors our networks' names.

Each function takes a file and returns tensors by name. A file that it cannot read raises whatever its format's
library does; `posegen.weights.download` says so in one line.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from posegen.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_VGG_DEPTHS = (2, 2, 3, 3, 3)  # convolutions of VGG-16's five blocks


def read_torch(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a PyTorch pickle. Raises WeightsError for other content, which may be code."""
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError:  # torch's own advice is to run what is in there
        raise WeightsError("it is no pickle of PyTorch, or holds more than tensors, which may be code") from None


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """Return the network's tensors in a file that may be a whole checkpoint, or of a network that ran on several
    GPUs."""
    content: dict[str, Any] = read_torch(file)
    return {name.removeprefix("module."): tensor for name, tensor in content.get("state_dict", content).items()}


def read_torchvision_trunk(file: Path) -> dict[str, Tensor]:
    """Convolutions alone: the classifier is six sevenths of VGG-19's file and no perceptual loss needs it."""
    return {name: tensor for name, tensor in read_torch(file).items() if name.startswith("features.")}


def read_keras_hed(file: Path) -> dict[str, Tensor]:
    """Rename ``block1/layers/conv2d_1`` to ``blocks.0.1``; turn Keras' (H, W, in, out) kernels to torch's."""
    import h5py
    import torch

    layers = {f"dsn.{side}": f"dsn{side + 1}" for side in range(5)} | {"fuse": "fuse"}
    for block, depth in enumerate(_VGG_DEPTHS):
        for conv in range(depth):
            suffix = f"_{conv}" if conv else ""
            layers[f"blocks.{block}.{conv}"] = f"block{block + 1}/layers/conv2d{suffix}"
    tensors = {}
    with h5py.File(file) as h5:
        for name, layer in layers.items():
            kernel, bias = (torch.from_numpy(h5[f"{layer}/vars/{index}"][()]) for index in (0, 1))
            tensors[f"{name}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
            tensors[f"{name}.bias"] = bias
    return tensors


def read_rcf(file: Path) -> dict[str, Tensor]:
    """Rename ``conv1_1`` to ``blocks.0.0``, in the names of any of the published conversions.

    Kernels that enlarge are left out: the network has its own, also of the fifth block, where one conversion, which
    pools four times, has a larger one. Raises WeightsError where tensors are missing.
    """
    names = {"score_fuse": "fuse", "score_final": "fuse", "new-score-weighting": "fuse"}
    for block, depth in enumerate(_VGG_DEPTHS):
        names |= {f"score{sign}dsn{block + 1}": f"scores.{block}" for sign in "_-"}
        for conv in range(depth):
            names[f"conv{block + 1}_{conv + 1}"] = f"blocks.{block}.{conv}"
            names[f"conv{block + 1}_{conv + 1}_down"] = f"downs.{block}.{conv}"
    tensors = {}
    for name, tensor in read_state_dict(file).items():
        layer, _, kind = name.rpartition(".")
        if layer in names:
            tensors[f"{names[layer]}.{kind}"] = tensor
    missing = {f"{layer}.{kind}" for layer in names.values() for kind in ("weight", "bias")} - tensors.keys()
    if missing:
        raise WeightsError(f"it lacks {len(missing)} of RCF's 64 tensors, such as {min(missing)}")
    return tensors


def read_siggraph17(file: Path, mask_cent: float) -> dict[str, Tensor]:
    """Keep what the weights expect of a mask with them: `mask_cent` is taken off it."""
    import torch

    return read_state_dict(file) | {"mask_cent": torch.tensor(mask_cent)}


def read_openpose(file: Path) -> dict[str, Tensor]:
    """Return the network's tensors; an ONNX file becomes one tensor of its bytes, so that either is the same weight."""
    import torch

    if file.suffix == ".onnx":
        return {"onnx": torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)}
    return read_torch(file)


def read_gru_recognizer(file: Path, num_actions: int) -> dict[str, Tensor]:
    """Return the network's tensors; the published files hold them beside the optimizer's.

    Raises WeightsError where they tell another number of actions: there are several files of nearly one name.
    """
    content: dict[str, Any] = read_torch(file)
    tensors = content.get("model", content)
    if "linear2.bias" not in tensors:
        raise WeightsError("it lacks linear2.bias, expected the weights of a recogniser")
    if len(tensors["linear2.bias"]) != num_actions:
        raise WeightsError(f"it distinguishes {len(tensors['linear2.bias'])} actions, expected {num_actions}")
    return tensors
