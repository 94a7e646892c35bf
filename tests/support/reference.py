"""Independent versions of what is tested: closed-form weights and inputs, and the numbers that networks gave with them.

The parity numbers come from the published code of each network, run in float64 with weights and inputs from a
pseudo-random sequence that needs no generator: for j = 0, 1, … and an integer t,

    r = (31 j² + 7919 j + 104729 t) mod 65537,    u = 2 r / 65537 − 1.

An input of a given shape is u, in C order, times a scale. A weight is u · sqrt(3 / fan), where fan is its size over
its output channels; a bias is 0.1 u. With the variant S every tensor has t = 0; with N the i-th tensor of the
published state dict has t = i, which tells layers of equal shape apart.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

RecoloredFrame = Literal["S", "N"]
N = TypeVar("N", bound=nn.Module)

_PERIOD = 65537


def sequence(count: int, t: int) -> np.ndarray:
    """The first `count` values u, float64 in [-1, 1). They repeat after 65537, which is prime."""
    j = np.arange(_PERIOD, dtype=np.int64)
    u = 2.0 * ((31 * j * j + 7919 * j + 104729 * t) % _PERIOD) / _PERIOD - 1.0
    return np.resize(u, count)


def closed_form(shape: Sequence[int], t: int, scale: float = 1.0, offset: float = 0.0) -> Tensor:
    """An input, float64."""
    return torch.from_numpy(sequence(int(np.prod(shape)), t)).reshape(tuple(shape)) * scale + offset


@torch.no_grad()
def fill(networks: Iterable[nn.Module], variant: RecoloredFrame = "N") -> None:
    """Make the networks float64 with closed-form weights; the order is the one of the published state dict."""
    ordinal = 0
    for network in networks:
        for layer in network.double().modules():
            for kind, tensor in layer.state_dict().items():
                if "." in kind or kind not in _VALUES:
                    continue
                u = closed_form(tensor.shape, ordinal if variant == "N" else 0)
                tensor.copy_(_VALUES[kind](layer, u))
                ordinal += 1


def _weight(layer: nn.Module, u: Tensor) -> Tensor:
    if u.dim() == 1:  # of a norm
        return 1 + 0.1 * u
    fan = u.numel() / u.shape[1 if isinstance(layer, nn.ConvTranspose2d) else 0]
    return u * (3 / fan) ** 0.5


_VALUES = {
    "weight": _weight,
    "bias": lambda _, u: 0.1 * u,
    "running_mean": lambda _, u: 0.1 * u,
    "running_var": lambda _, u: 1 + 0.1 * u.abs(),
}


def load_json(folder: Path, name: str) -> Any:
    """A file of numbers."""
    return json.loads((folder / f"{name}.json").read_text())


def forward_parity(folder: Path, name: str) -> tuple[list[Tensor], dict[RecoloredFrame, list[dict[str, Any]]]]:
    """Inputs of one network, and what the published code made of them with either variant of weights."""
    entry = next(entry for entry in load_json(folder, "forward_parity") if entry["name"] == name)
    return [closed_form(**given) for given in entry["inputs"]], entry["variants"]


def assert_matches(output: Tensor, expected: dict[str, Any], tolerance: float = 1e-9) -> None:
    """Check shape, moments, extremes and eight samples of an output."""
    if "shape" in expected:
        assert list(output.shape) == expected["shape"]
    flat = output.detach().double().flatten()
    positions = [k * (len(flat) - 1) // 7 for k in range(8)]
    got = {
        "mean": flat.mean(),
        "std": flat.std(unbiased=False),
        "absmean": flat.abs().mean(),
        "min": flat.min(),
        "max": flat.max(),
        "samples": flat[positions],
    }
    for name, value in got.items():
        wanted = torch.tensor(expected[name], dtype=torch.float64)
        torch.testing.assert_close(value, wanted, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def sine(shape: Sequence[int], frequency: float, phase: float, scale: float = 1.0) -> Tensor:
    """scale · sin(frequency · k + phase) of k = 0, 1, … in C order, float64: the inputs of motion networks."""
    k = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return scale * (frequency * k + phase).sin().reshape(tuple(shape))


_GAINS = ("gamma", "length")
"""Names of parameters that scale channels, and of the lengths of weight normalization."""


@torch.no_grad()
def fill_sines(network: N) -> N:
    """Make a motion network float64 with its own closed-form weights, rounded to float32. Returns the network.

    A weight of n elements is sin(0.37 k + 0.011 (n mod 997) + 1 + m / 2), where m counts the parameters of its shape
    before it, times sqrt(2 / fan-in). Gains are 1 + 0.1 of that, tables of actions 0.5, biases and shifts 0.1.
    """
    seen: Counter[torch.Size] = Counter()
    for name, parameter in network.named_parameters():
        n = parameter.numel()
        v = sine(parameter.shape, 0.37, 0.011 * (n % 997) + 1.0 + 0.5 * seen[parameter.shape])
        seen[parameter.shape] += 1
        layer, _, kind = name.rpartition(".")
        if kind in _GAINS or (isinstance(network.get_submodule(layer), nn.LayerNorm) and kind == "weight"):
            v = 1 + 0.1 * v
        elif kind == "beta":  # a shift, although it has four dimensions
            v = 0.1 * v
        elif "." not in name:  # a table of actions
            v = 0.5 * v
        elif v.dim() > 1:
            v = v * (2 * len(v) / n) ** 0.5
        else:
            v = 0.1 * v
        parameter.copy_(v)
    return network.double()


@torch.no_grad()
def fill_listed(parameters: Iterable[tuple[nn.Parameter, str, Sequence[int]]], weight_gain: float = 1.0) -> None:
    """Fill parameters in float32 like `fill_sines`, each by the name and the shape that it has in the published code.

    Gains are ``gamma``, ``scale`` and ``weight_g``; weights, which `weight_gain` multiplies, have two or more
    dimensions, but ``beta`` and ``loc`` are biases all the same.
    """
    seen: Counter[tuple[int, ...]] = Counter()
    for parameter, name, shape in parameters:
        n, kind = parameter.numel(), name.rpartition(".")[2]
        assert n == np.prod(shape), name
        v = sine(parameter.shape, 0.37, 0.011 * (n % 997) + 1.0 + 0.5 * seen[tuple(shape)])
        seen[tuple(shape)] += 1
        if kind in ("gamma", "scale", "weight_g"):
            v = 1 + 0.1 * v
        elif len(shape) > 1 and kind not in ("beta", "loc"):
            v = v * (2 * shape[0] / n) ** 0.5 * weight_gain
        else:
            v = 0.1 * v
        parameter.copy_(v)


def assert_statistics(output: Tensor, expected: dict[str, Any], tolerance: float) -> None:
    """Check shape, moments, extremes, norm and ends of what a motion network gave."""
    assert list(output.shape) == expected["shape"]
    flat = output.detach().double().flatten()
    got = {
        "mean": flat.mean(),
        "std_population": flat.std(unbiased=False),
        "abs_mean": flat.abs().mean(),
        "min": flat.min(),
        "max": flat.max(),
        "l2": flat.norm(),
        "first8": flat[:8],
        "last4": flat[-4:],
    }
    for name, value in got.items():
        wanted = torch.tensor(expected[name], dtype=torch.float64)
        torch.testing.assert_close(value, wanted, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def gradient_norm(network: nn.Module) -> float:
    """The Euclidean norm of all gradients of a network."""
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return float(torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt())


def parameter_sums(network: nn.Module) -> list[float]:
    """Sum and sum of squares of all parameters."""
    flat = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    return [float(flat.sum()), float(flat.square().sum())]


def count_parameters(network: nn.Module) -> int:
    """Number of trained and frozen scalars."""
    return sum(parameter.numel() for parameter in network.parameters())


def encoder_layers(encoder: nn.Module) -> list[nn.Module]:
    """BicycleGAN's encoder in published order, in which the two heads come first."""
    return [encoder.get_submodule(name) for name in ("mean", "logvar", "stem", "blocks")]


def fill_bicyclegan(
    generator: nn.Module, encoder: nn.Module, discriminator: nn.Module, prior_discriminator: nn.Module
) -> None:
    """Weights of the published one-step numbers: variant N each, the second discriminator's times 0.9."""
    fill([generator])
    fill(encoder_layers(encoder))
    fill([discriminator])
    fill([prior_discriminator])
    with torch.no_grad():
        for parameter in prior_discriminator.parameters():
            parameter.mul_(0.9)


def bicyclegan_batch() -> dict[str, Tensor]:
    """Inputs of the published one-step numbers: the first half is reconstructed, noise is for it alone."""
    return {
        "features": closed_form((4, 4, 256, 256), t=21),
        "image": closed_form((4, 3, 256, 256), t=22),
        "noise": closed_form((2, 4), t=23, scale=1.5),
        "z_random": closed_form((2, 4), t=24, scale=1.5),
    }
