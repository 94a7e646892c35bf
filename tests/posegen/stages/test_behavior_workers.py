"""Two workers that see different motions keep one network, and one weight of what its codes carry."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from posegen.stages import Behavior

CONFIG = Behavior.Config(latent_dim=8, num_frames=3, information_max=1e-3, gamma_init=0.5, gamma_rate=0.1)


def work(rank: int, folder: Path) -> None:
    """Take a step as one of two workers and write down what came of it."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    stage = Behavior(CONFIG)
    torch.manual_seed(rank + 1)
    losses = stage.step({"motion": torch.randn(4, 4, 17, 3)})
    torch.save({"losses": losses, "state": stage.state_dict()}, folder / f"worker-{rank}.pt")
    dist.destroy_process_group()


def test_two_workers_agree(tmp_path):
    context = mp.get_context("fork")  # what is imported need not be imported again
    processes = [context.Process(target=work, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    first, second = (torch.load(tmp_path / f"worker-{rank}.pt", weights_only=True) for rank in range(2))
    told = [worker["losses"]["information"].double() for worker in (first, second)]
    assert told[0] != told[1]
    expected = 0.5 + 0.1 * (sum(told) / 2 - 1e-3)
    torch.testing.assert_close(first["state"]["gamma"], expected, rtol=1e-6, atol=0)
    for name, tensor in first["state"].items():
        assert torch.equal(tensor, second["state"][name]), name
