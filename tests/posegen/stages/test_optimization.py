"""Gradients of several workers: in buckets, during the backward pass, and whatever layers a worker leaves out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from posegen.stages import optimization
from posegen.stages.optimization import GradientAveraging

WORKERS = 2


def on_workers(work: Callable[[int], object], folder: Path) -> list[object]:
    """What a function returns on each of two workers that gloo connects."""
    context = mp.get_context("fork")  # what is imported need not be imported again
    workers = [context.Process(target=_work, args=(work, rank, folder)) for rank in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORKERS)]


def _work(work: Callable[[int], object], rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORKERS)
    torch.save(work(rank), folder / f"{rank}.pt")
    dist.destroy_process_group()


def make_network(width: int = 12) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [layer for _ in range(4) for layer in (nn.Linear(width, width), nn.Tanh())]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def data() -> torch.Tensor:
    return torch.randn(8, 12, generator=torch.Generator().manual_seed(1))


def gradients(network: nn.Module) -> list[torch.Tensor | None]:
    return [parameter.grad for parameter in network.parameters()]


def averaged(rank: int, bucket_bytes: int) -> list[torch.Tensor | None]:
    network, share = make_network(), data().chunk(WORKERS)[rank]
    parameters = list(network.parameters())
    with GradientAveraging(parameters, bucket_bytes):
        network(share).square().mean().backward(inputs=parameters)
    return gradients(network)


@pytest.mark.parametrize("bucket_bytes", [1, 700, 2**20], ids=["a bucket each", "several", "a single one"])
def test_buckets_give_what_one_message_and_one_process_give(bucket_bytes, tmp_path):
    network = make_network()
    network(data()).square().mean().backward()
    for found in on_workers(lambda rank: averaged(rank, bucket_bytes), tmp_path):
        for mean, alone in zip(found, gradients(network), strict=True):
            torch.testing.assert_close(mean, alone, rtol=0, atol=1e-6)


def with_layers_left_out(rank: int) -> list[torch.Tensor | None]:
    """The first worker lacks the last layer, the second the first one, and both the middle one."""
    network = make_network()
    layers = [network[0], network[4], network[8]]
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    with GradientAveraging(parameters, bucket_bytes=1):
        layers[2 * rank](torch.full((3, 12), 1.0 + rank)).sum().backward(inputs=parameters)
    return [parameter.grad for parameter in parameters]


def test_workers_may_lack_different_gradients(tmp_path):
    """Averaged by position, those of different layers would be mixed, or would not fit."""
    for first, _, middle, _, last, bias in on_workers(with_layers_left_out, tmp_path):
        torch.testing.assert_close(first, torch.full((12, 12), 3.0 / 2))
        assert middle is None  # so that Adam's moments do not decay where nobody learned
        torch.testing.assert_close(last, torch.full((1, 12), 2.0 * 3 / 2))
        torch.testing.assert_close(bias, torch.full((1,), 3.0 / 2))


def timeline(rank: int) -> list[tuple[str, float]]:
    """When messages go out, and when the backward pass ends."""
    network, events = make_network(256), []
    parameters, all_reduce = list(network.parameters()), dist.all_reduce

    def note(*arguments, **options):
        events.append(("send", time.perf_counter()))
        return all_reduce(*arguments, **options)

    optimization.dist.all_reduce = note
    with GradientAveraging(parameters, bucket_bytes=256 * 256 * 4):
        network(torch.randn(512, 256)).square().mean().backward(inputs=parameters)
        events.append(("end", time.perf_counter()))
    return events


def test_messages_go_out_while_the_backward_pass_goes_on(tmp_path):
    for events in on_workers(timeline, tmp_path):
        names = [name for name, _ in events]
        assert names.index("end") >= 3 and names[-1] == "end"  # the first layer's is whole just before the end
        assert events[0][1] < events[-1][1]


def test_one_process_sends_nothing(monkeypatch):
    monkeypatch.setattr(dist, "all_reduce", lambda *arguments, **options: pytest.fail("something was sent"))
    network = make_network()
    with GradientAveraging(list(network.parameters())):
        network(data()).sum().backward()
    assert all(gradient is not None for gradient in gradients(network))


def passed_twice(rank: int) -> str:
    network = make_network()
    parameters = list(network.parameters())
    try:
        with GradientAveraging(parameters, bucket_bytes=1):
            for _ in range(2):
                network(data()).sum().backward(inputs=parameters)
    except RuntimeError as error:
        return str(error)
    return ""


def test_two_backward_passes_are_not_taken_for_one(tmp_path):
    assert all("came twice" in message for message in on_workers(passed_twice, tmp_path))
