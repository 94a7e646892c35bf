"""A step in parts: the same as on the whole batch, in less memory."""

from __future__ import annotations

import pytest
import torch

from posegen.samples import Batch
from posegen.stages import STAGES, Behavior, ShapePosture
from posegen.stages.stage import Stage
from tests.posegen.stages import test_color_encoder, test_video_generator

_LARGE = 1e4


def four_of(batch: Batch) -> Batch:
    """A batch of two samples and two more, which differ from them."""
    return {name: torch.cat([x, x.flip(0) if x.dtype == torch.bool else 0.9 * x.flip(0)]) for name, x in batch.items()}


def stepped(stage: Stage, batch: Batch, num_parts: int) -> tuple[Stage, dict[str, torch.Tensor]]:
    """A stage after a plain step in so many parts: Adam's would magnify the rounding of small gradients."""
    for name, optimizer in stage.optimizers.items():
        stage.optimizers[name] = torch.optim.SGD(optimizer.param_groups[0]["params"], lr=0.05)
    return stage, stage.step(batch) if num_parts == 1 else stage.step_in_parts(batch, num_parts)


def step_stage(kind: str, num_parts: int) -> tuple[Stage, dict[str, torch.Tensor]]:
    if kind == "video_generator":
        stage = test_video_generator.make_stage(batch_size=4, lambda_vgg=0.0)
        return stepped(stage, four_of(test_video_generator.make_batch()), num_parts)
    batch = test_color_encoder.make_batch()
    if kind == "both" and num_parts == 2:
        # Each part reconstructs its first half: these are the frames of the whole batch's first half.
        batch = {name: x[[0, 2, 1, 3]] for name, x in batch.items()}
    # Of an untrained encoder the divergence is next to nothing: with a large weight it is seen.
    return stepped(test_color_encoder.make_stage(latent_reg=kind, lambda_kl=_LARGE), batch, num_parts)


@pytest.mark.parametrize("kind", ["video_generator", "reconstruction", "both"])
def test_a_step_in_parts_is_the_step(kind):
    (whole, losses), (parted, others) = (step_stage(kind, num_parts) for num_parts in (1, 2))
    assert losses.keys() == others.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(others[name], loss, rtol=1e-5, atol=1e-6, msg=name)
    parameters = dict(parted.named_parameters())
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(parameters[name], parameter, rtol=0, atol=1e-6, msg=name)


def test_optimizers_step_with_the_last_part_alone(monkeypatch):
    stage, steps = test_video_generator.make_stage(lambda_vgg=0.0), []
    for name, optimizer in stage.optimizers.items():
        monkeypatch.setattr(optimizer, "step", lambda name=name: steps.append((stage._part, name)))
    stage.step_in_parts(test_video_generator.make_batch(), 2)
    assert steps == [(1, "generator"), (1, "discriminator")]
    stage.step(test_video_generator.make_batch())
    assert steps[2:] == [(0, "generator"), (0, "discriminator")]


def test_stages_whose_optimizers_step_several_times_say_so():
    assert {name for name, stage in STAGES.items() if not stage.accumulates} == {Behavior.name, ShapePosture.name}
