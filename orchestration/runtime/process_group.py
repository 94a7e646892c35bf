"""How the workers of Ray Train find each other. Imported where Ray is in use anyway."""

from __future__ import annotations

import os
import platform
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

    Raises ConfigError where a worker has a GPU that its PyTorch cannot use. By itself gloo takes the interface of the machine's own name, which is 127.0.1.1 as Debian and Ubuntu are installed:
    workers on other machines would knock at their own door.
    """

    @property
    def backend_cls(self) -> type:
        """What sets the workers up."""
        return _Backend


class _Backend(TorchConfig().backend_cls):  # type: ignore[misc]  # Ray has no public name for it
    def on_start(self, worker_group, backend_config):  # type: ignore[no-untyped-def]
        worker_group.execute(name_interface)
        if backend_config.backend is None:
            reasons = worker_group.execute(find_unusable_gpu)
            if any(reasons):
                raise ConfigError(next(filter(None, reasons)))
        super().on_start(worker_group, backend_config)


def name_interface() -> None:
    """Set the network interface of gloo and NCCL to the one with this node's address, unless the environment does."""
    address = ray.util.get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if address in (one.address for one in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def find_unusable_gpu() -> str:
    """Say so where this worker has a GPU that its PyTorch cannot use; nothing otherwise."""
    gpus = ray.get_runtime_context().get_assigned_resources().get("GPU", 0)
    if not gpus or torch.cuda.is_available():
        return ""
    return (
        f"the worker on {platform.node()} has {gpus:g} GPUs, but PyTorch {torch.__version__} there can use none: "
        "install a build with CUDA and a driver that it knows, or train without GPUs"
    )
