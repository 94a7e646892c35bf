"""Checkpoints as the published code of behaviour-driven synthesis writes them, made of our own networks' weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from posegen.networks.behavior import BehaviorNet
from posegen.networks.flow import Flow
from posegen.networks.shape_posture import ShapePostureNetwork

Shapes = list[tuple[str, list[int]]]


def behavior_shapes(order: list[Any], latent_dim: int = 1024) -> Shapes:
    """Published names and shapes of a behaviour net with another size of its code."""
    sides = {1024: latent_dim, 4096: 4 * latent_dim}
    return [(name, [sides.get(side, side) for side in shape]) for name, shape in order]


def convolution_shapes(order: list[Any]) -> Shapes:
    """Published names and shapes of a network of convolutions, of which those of the weights are given."""
    shapes: Shapes = []
    for name, weight in order:
        channels = weight[0]
        shapes += [(f"{name}.beta", [1, channels, 1, 1]), (f"{name}.gamma", [1, channels, 1, 1])]
        shapes += [(f"{name}.conv.bias", [channels]), (f"{name}.conv.weight_g", [channels, 1, 1, 1])]
        shapes += [(f"{name}.conv.weight_v", weight)]
    return shapes


def flow_shapes(dim: int, hidden_dim: int, depth: int, num_blocks: int) -> Shapes:
    """Published names and shapes of a flow's parameters."""
    shapes: Shapes = []
    sides = [dim // 2, *[hidden_dim] * (depth + 1), dim // 2]
    for block in range(num_blocks):
        place = f"flow.sub_layers.{block}"
        shapes += [(f"{place}.norm_layer.{name}", [1, dim, 1, 1]) for name in ("loc", "scale")]
        for network in ("s.0", "s.1", "t.0", "t.1"):
            for index, (before, after) in enumerate(pairwise(sides)):
                layer = f"{place}.coupling.{network}.main.{2 * index}"
                shapes += [(f"{layer}.weight", [after, before]), (f"{layer}.bias", [after])]
    return shapes


def flow_buffers(permutations: list[Tensor]) -> dict[str, Tensor]:
    """What the published flow has beside its parameters."""
    buffers = {}
    for block, permutation in enumerate(permutations):
        place = f"flow.sub_layers.{block}"
        buffers[f"{place}.norm_layer.initialized"] = torch.tensor(1, dtype=torch.uint8)
        buffers[f"{place}.shuffle.forward_shuffle_idx"] = permutation
        buffers[f"{place}.shuffle.backward_shuffle_idx"] = permutation.argsort()
    return buffers


def with_scales(order: list[Any], num_scales: int, appearance_scales: int) -> list[Any]:
    """The convolutions of a shape-and-posture network that has fewer scales."""

    def belongs(name: str) -> bool:
        match = re.match(r"(eu|du|dd)\.(blocks|downs|ups)\.(\d+)", name)
        if match is None:
            return True
        scales = appearance_scales if match[1] == "eu" else num_scales
        return int(match[3]) < (2 * scales if match[2] == "blocks" else scales - 1)

    return [entry for entry in order if belongs(entry[0])]


def random_behavior(order: list[Any], latent_dim: int = 8) -> tuple[BehaviorNet, dict[str, Tensor]]:
    """A little behaviour net, and its parameters as published, whose order is ours."""
    torch.manual_seed(0)
    network = BehaviorNet(latent_dim=latent_dim)
    named = zip(behavior_shapes(order, latent_dim), network.parameters(), strict=True)
    return network, {name: parameter.detach().clone().reshape(shape) for (name, shape), parameter in named}


def random_flow(dim: int = 8, seed: int = 3) -> tuple[Flow, dict[str, Tensor]]:
    """A little flow, and its tensors as published, whose order is ours but for the couplings."""
    torch.manual_seed(seed)
    flow = Flow(dim, hidden_dim=6, depth=1, num_blocks=2, seed=seed)
    parameters: list[Tensor] = []
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    for block in flow.get_submodule("blocks").children():
        parameters += block.norm.parameters()
        couplings = (block.to_second, block.to_first)
        parameters += [x for coupling in couplings for x in coupling.log_scale.parameters()]
        parameters += [x for coupling in couplings for x in coupling.shift.parameters()]
    named = zip(flow_shapes(dim, 6, 1, 2), parameters, strict=True)
    state = {name: parameter.detach().clone().reshape(shape) for (name, shape), parameter in named}
    return flow, state | flow_buffers([block.permutation for block in flow.get_submodule("blocks").children()])


def random_shape_posture(order: list[Any], *, crops: bool = False) -> tuple[ShapePostureNetwork, dict[str, Tensor]]:
    """A little shape-and-posture network of whole pictures or of crops, and its parameters as published."""
    torch.manual_seed(0)
    channels, num_scales, appearance_scales = (30, 5, 4) if crops else (3, 5, 5)
    network = ShapePostureNetwork(channels, num_scales, appearance_scales, width=4, max_width=8)
    shapes = convolution_shapes(with_scales(order, num_scales, appearance_scales))
    named = zip(shapes, network.parameters(), strict=True)
    return network, {name: parameter.detach().clone() for (name, _), parameter in named}


def ways_to_save(state: dict[str, Tensor]) -> Iterator[Any]:
    """What there may be in a file: tensors alone, beside the optimizer's, and of a network on several GPUs."""
    parameters = [nn.Parameter(tensor.clone()) for tensor in state.values() if tensor.is_floating_point()]
    optimizer = Adam([{"params": parameters, "name": "all"}])
    sum(parameter.sum() for parameter in parameters).backward()  # type: ignore[union-attr]
    optimizer.step()
    optimizer.param_groups[0]["gamma"] = torch.tensor(0.5)
    yield state
    yield {"model": state, "optimizer": optimizer.state_dict()}
    yield {f"module.{name}": tensor for name, tensor in state.items()}


def save(content: Any, folder: Path, number: int = 1, settings: str = "", prefix: str = "reg_ckpt") -> Path:
    """Write a checkpoint, and the settings beside it."""
    folder.mkdir(exist_ok=True)
    if settings:
        (folder / "config.yaml").write_text(settings)
    file = folder / f"{prefix}_checkpoint_{number}.pth"
    torch.save(content, file)
    return file
