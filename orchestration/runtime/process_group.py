"""Process group of Ray Train's workers. Imported only when Ray is in use anyway."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil
import ray.util
from ray.train.torch import TorchConfig


@dataclass
class NodeNetwork(TorchConfig):
    """PyTorch's process group, by the network that Ray's nodes are on.

    By itself gloo takes the interface of the machine's own name, which is 127.0.1.1 as Debian and Ubuntu are installed:
    workers on other machines would knock at their own door.
    """

    @property
    def backend_cls(self) -> type:
        """Backend class that sets the workers up."""
        return _Backend


class _Backend(TorchConfig().backend_cls):  # type: ignore[misc]  # Ray has no public name for it
    def on_start(self, worker_group, backend_config):  # type: ignore[no-untyped-def]
        worker_group.execute(name_interface)
        super().on_start(worker_group, backend_config)


def name_interface() -> None:
    """Set the network interface of gloo and NCCL to the one with this node's address, unless the environment does."""
    address = ray.util.get_node_ip_address()
    for name, addresses in psutil.net_if_addrs().items():
        if address in (one.address for one in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)
