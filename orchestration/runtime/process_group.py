"""How the workers of Ray Train find each other. Imported where Ray is in use anyway."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass

import psutil
import ray
import ray.util
import torch
from ray.train.torch import TorchConfig

from posegen.errors import ConfigError


@dataclass
class NodeNetwork(TorchConfig):
    """PyTorch's process group, by the network that Ray's nodes are on.

    By itself gloo takes the interface of the machine's own name, which is 127.0.1.1 as Debian and Ubuntu are installed:
    workers on other machines would knock at their own door.

    Raises ConfigError, when workers start, where one has a GPU that its PyTorch cannot use.
    """

    @property
    def backend_cls(self) -> type:
        """What sets the workers up."""
        return _Backend


class _Backend(TorchConfig().backend_cls):  # type: ignore[misc]  # Ray has no public name for it
    def on_start(self, worker_group, backend_config):  # type: ignore[no-untyped-def]
        worker_group.execute(name_interface)
        if backend_config.backend is None and worker_group.get_resources_per_worker().get("GPU", 0):
            _require_gpus(worker_group.execute(describe_gpu))
        super().on_start(worker_group, backend_config)


def name_interface() -> None:
    """Set the network interface of gloo and NCCL to the one with this node's address, unless the environment does."""
    address = ray.util.get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if address in (one.address for one in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def describe_gpu() -> tuple[bool, str]:
    """Whether this worker's PyTorch can use a GPU, and which PyTorch that is, and where."""
    return torch.cuda.is_available(), f"PyTorch {torch.__version__} on {platform.node()}"


def _require_gpus(found: Iterable[tuple[bool, str]]) -> None:
    for usable, where in found:
        if not usable:
            raise ConfigError(
                f"{where} can use no GPU, though a worker there has one: install a build with CUDA and a driver that "
                "it knows, or train without GPUs"
            )
