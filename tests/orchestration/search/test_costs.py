"""Costs from shapes alone, against networks small enough to count by hand, and against the real thing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from orchestration.search.costs import cost_of_run
from orchestration.search.plan import Capacity, Costs, check_point, find_capacity
from orchestration.search.settings import TuneSettings
from orchestration.search.space_binding import Search
from posegen.datasets.clips import ClipDataset
from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motions import MotionDataset
from posegen.errors import CapacityError
from posegen.io.storage import StorageFolder
from posegen.samples import fixed_batch
from posegen.stages import STAGES
from posegen.stages.stage import Stage
from posegen.synthetic.motions import make_subject, perform
from search_spaces.latent_sizes import SPACE


@pytest.fixture(scope="module")
def data(dataset) -> ClipDataset:
    return ClipDataset(dataset)


def tiny(stage: str, **changes) -> Stage.Config:
    return replace(STAGES[stage].presets["tiny"], **changes)


def test_arithmetic_is_that_of_a_real_step(data):
    """PyTorch's own counter sees the same operations while they are done."""
    config = tiny("feature_restoration", num_epochs=1, epoch_size=4, batch_size=4)
    stage = STAGES["feature_restoration"](config)
    (batch,) = fixed_batch(stage.open_samples(config, data, "train"), 4, 4)
    with FlopCounterMode(display=False) as counter:
        stage.step(batch)
    assert cost_of_run(config, data).flops == counter.get_total_flops()


@pytest.mark.parametrize(
    "stage", ["color_encoder", "feature_restoration", "video_generator", "deformable_gan", "shape_posture"]
)
def test_cost_grows_with_what_is_done(data, stage):
    config = tiny(stage, num_epochs=2, epoch_size=16)
    once, twice = (cost_of_run(replace(config, num_epochs=epochs), data) for epochs in (2, 4))
    assert twice.flops == pytest.approx(2 * once.flops)
    assert (twice.memory, twice.disk, twice.parameters) == (once.memory, once.disk, once.parameters)
    larger = cost_of_run(replace(config, batch_size=2 * config.batch_size), data)
    assert larger.memory > 1.3 * once.memory
    assert once.disk > 2 * 4 * once.parameters


def test_parameters_are_those_of_the_networks(data):
    config = tiny("video_generator", lambda_vgg=1.0)  # its perceptual network is not trained, and not kept
    stage = STAGES["video_generator"](config)
    assert cost_of_run(config, data).parameters == sum(p.numel() for p in stage.parameters())


@pytest.mark.parametrize(
    ("stage", "weight"),
    [("video_generator", "lambda_vgg"), ("shape_posture", "lambda_vgg"), ("deformable_gan", "lambda_nn")],
)
def test_networks_that_are_compared_with_cost_and_are_not_fetched(data, stage, weight, monkeypatch, tmp_path):
    monkeypatch.setenv("POSEGEN_CACHE", str(tmp_path / "cache"))
    without, with_network = (cost_of_run(tiny(stage, **{weight: value}), data) for value in (0.0, 0.01))
    assert with_network.flops > 1.5 * without.flops
    assert with_network.memory > without.memory
    assert (with_network.disk, with_network.parameters) == (without.disk, without.parameters)
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def resources(monkeypatch):
    """What machines there are."""
    found: dict[str, float] = {}
    monkeypatch.setattr("orchestration.search.plan.count_resources", lambda: found)
    return found


@pytest.mark.parametrize(("concurrency", "expected"), [(0, 3), (2, 2), (9, 3)])
def test_as_many_trials_at_a_time_as_fit(resources, monkeypatch, concurrency, expected):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    resources |= {"CPU": 7, "GPU": 0}
    assert find_capacity(TuneSettings(cpus_per_trial=2, concurrency=concurrency)).trials == expected


def test_a_cluster_starts_machines_for_those_that_are_asked_for(resources, monkeypatch):
    """It may have none at first; a Ray of one machine stays as it is."""
    wanted = TuneSettings(cpus_per_trial=4, gpus_per_trial=1, concurrency=3)
    with pytest.raises(ValueError, match="a trial needs 4 CPUs and 1 GPU, the cluster has 1 and 0"):
        find_capacity(wanted)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert find_capacity(wanted) == Capacity(3, math.inf)
    with pytest.raises(ValueError, match="say --concurrency"):
        find_capacity(replace(wanted, concurrency=0))


def test_what_takes_too_much_memory_is_not_tried(data):
    search = Search(SPACE, "tiny", "no_restoration", {})
    check_point(search, search.starts[0], Costs(data), Capacity(trials=1, memory=2**40))
    with pytest.raises(CapacityError, match=r"upper_encoder takes 0\.0 GiB of memory, a trial has 0\.0"):
        check_point(search, search.starts[0], Costs(data), Capacity(trials=1, memory=2**20))


@pytest.mark.parametrize(("stage", "preset"), [("motion_diffusion", "small"), ("behavior", "transfer")])
def test_a_step_that_reads_content_is_taken_with_content(stage, preset, tmp_path):
    motions = (
        NamedMotion(perform(action, make_subject(number)), f"s{number}", action, "corpus")
        for number in range(3)
        for action in ("walk", "wave")
    )
    write_motions(StorageFolder(tmp_path), motions, settings={})
    config = replace(STAGES[stage].presets[preset], batch_size=6, num_epochs=1)
    state = torch.get_rng_state()
    once, twice = (cost_of_run(replace(config, num_epochs=epochs), MotionDataset(str(tmp_path))) for epochs in (1, 2))
    assert twice.flops == pytest.approx(2 * once.flops) and once.flops > 0
    assert once.memory > once.disk / 2 > 0 and once.parameters > 1000
    assert torch.equal(torch.get_rng_state(), state)
