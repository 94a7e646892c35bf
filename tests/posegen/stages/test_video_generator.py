"""Stage II: the two-frame step, and what its encoders are taken from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from posegen.losses import feature_matching, last, lsgan
from posegen.stages import ColorEncoder, FeatureRestoration, VideoGenerator

SMALL = replace(
    VideoGenerator.presets["tiny"],
    appearance="none",
    encoder_width=4,
    generator_width=4,
    num_blocks=1,
    num_local_blocks=1,
    discriminator_width=4,
    batch_size=2,
    colors_per_pair=1,
    lambda_contrast=0.0,
)


def make_stage(**changes) -> VideoGenerator:
    torch.manual_seed(0)
    return VideoGenerator(replace(SMALL, **changes))


def make_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {
        "content": (2, 3, 64, 64),
        "start": (2, 3, 64, 64),
        "images": (2, 2, 3, 64, 64),
        "features": (2, 2, 4, 64, 64),
        "regions": (2, 2, 2, 64, 64),
        "noise": (2, 8),
    }
    batch = {name: torch.randn(shape, generator=generator).clamp(-1, 1) for name, shape in shapes.items()}
    support = (torch.rand(2, 2, 1, 64, 64, generator=generator) > 0.5).float()
    estimated = torch.tensor([True, False])
    return batch | {"regions": (batch["regions"] > 0).float(), "support": support, "estimated": estimated}


def test_losses_are_those_of_the_objective():
    """Equation 2, recomputed from the parts with the weights of before the step."""
    stage, batch = make_stage(lambda_l1=0.0, lambda_gan=1.0, lambda_fm=10.0), make_batch()
    with torch.no_grad():
        z = stage.encode(batch["content"], batch["noise"])
        fake = stage.roll_out(batch["features"], z, batch["regions"], batch["start"])
        fake_scores = stage.discriminate(batch["features"], fake)
        real_scores = stage.discriminate(batch["features"], batch["images"])
    losses = stage.step(batch)
    torch.testing.assert_close(losses["gan"], lsgan(last(fake_scores), real=True))
    torch.testing.assert_close(losses["fm"], 10 * feature_matching(fake_scores, real_scores))
    expected = (lsgan(last(fake_scores), real=False) + lsgan(last(real_scores), real=True)) / 2
    torch.testing.assert_close(losses["discriminator"], expected)
    assert losses.keys() == {"gan", "fm", "discriminator"}


def test_each_pair_is_drawn_after_its_own_lead():
    """Of three frames before the pair the first sample has one and the second all; none gets a gradient."""
    stage, batch = make_stage(), make_batch()
    z, features = stage.encode(batch["content"]), torch.randn(2, 5, 4, 64, 64, generator=torch.manual_seed(0))
    batch |= {"regions": batch["regions"][:, :1].expand(-1, 5, -1, -1, -1), "lead": torch.tensor([1, 3])}
    pair = stage.generate_pair(batch, features, z)
    for number, first in enumerate((2, 0)):
        one = slice(number, number + 1)
        whole = stage.roll_out(features[one, first:], z[one], batch["regions"][one, first:], batch["start"][one])
        torch.testing.assert_close(pair[one], whole[:, -2:])
    features.requires_grad_()
    stage.generate_pair(batch, features, z).sum().backward()
    assert features.grad[:, :3].count_nonzero() == 0 and (features.grad[:, 3:].abs().amax((2, 3, 4)) > 0).all()


def test_second_frame_depends_on_the_first():
    stage, batch = make_stage(), make_batch()
    z = stage.encode(batch["content"])
    frames = stage.roll_out(batch["features"], z, batch["regions"], batch["start"])
    other = batch["features"].clone()
    other[:, 0] = -other[:, 0]
    changed = stage.roll_out(other, z, batch["regions"], batch["start"])
    assert (changed[:, 1] - frames[:, 1]).abs().mean() > 1e-5


@pytest.mark.parametrize(("v0", "begins_with"), [("black", "black"), ("content", "start")])
def test_first_frame_is_drawn_from_v0(v0, begins_with):
    stage, batch = make_stage(v0=v0), make_batch()
    batch["black"] = torch.full((2, 3, 64, 64), -1.0)
    torch.testing.assert_close(stage.start_of(batch), batch[begins_with])


def test_step_trains_generator_and_discriminator_and_nothing_else():
    stage = make_stage()
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    stage.step(make_batch())
    moved = {name.split(".")[0] for name, tensor in stage.state_dict().items() if not equal(tensor, before[name])}
    assert moved == {"generator", "discriminator"}


def equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)


def trained_encoder(region: str, **changes) -> ColorEncoder:
    torch.manual_seed({"upper": 1, "lower": 2}[region])
    config = replace(ColorEncoder.presets["tiny"], region=region, encoder_width=4, **changes)
    return ColorEncoder(config)


def test_encoders_are_taken_over():
    runs = {region: trained_encoder(region) for region in ("upper", "lower")}
    stage = make_stage(upper_encoder="upper", lower_encoder="lower")
    stage.initialize(lambda run: runs[Path(run).name])
    image = torch.rand(1, 3, 64, 64)
    expected = torch.cat([runs[region].encoder(image)[0] for region in ("upper", "lower")], dim=1)
    torch.testing.assert_close(stage.encode(image), expected)


def test_encoders_that_do_not_fit_are_refused():
    runs = {"upper": trained_encoder("upper"), "small": trained_encoder("lower", latent_dim=3)}
    with pytest.raises(ValueError, match=r"upper_encoder is missing: name a run of .*--region upper"):
        make_stage().initialize(lambda run: runs[Path(run).name])
    with pytest.raises(ValueError, match=r"/upper has region 'upper', expected region 'lower'"):
        make_stage(upper_encoder="upper", lower_encoder="upper").initialize(lambda run: runs[Path(run).name])
    with pytest.raises(ValueError, match=r"/small has latent_dim 3, expected latent_dim 4"):
        make_stage(upper_encoder="upper", lower_encoder="small").initialize(lambda run: runs[Path(run).name])


@pytest.mark.parametrize(("epoch", "factor"), [(99, 1.0), (100, 1.0), (101, 0.99), (199, 0.01)])
def test_learning_rate_falls_as_in_pix2pixhd(epoch, factor):
    stage = make_stage(num_epochs=200, decay_epochs=100, lr=2e-4)
    stage.start_epoch(epoch)
    assert stage.optimizers["generator"].param_groups[0]["lr"] == pytest.approx(2e-4 * factor)


@pytest.mark.parametrize("z_inject", ["tile_nonorm_stem", "tile_masked", "adain", "spade"])
def test_code_changes_the_picture(z_inject):
    stage, batch = make_stage(z_inject=z_inject), make_batch()
    z = torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(3))
    one, two = (stage.roll_out(batch["features"], codes, batch["regions"], batch["start"]) for codes in z)
    assert (one - two).abs().mean() > 1e-3


def test_appearance_is_seen_beside_restored_maps():
    """By the generator and by the discriminator, behind the four channels that the restorer completes."""
    stage = make_stage(appearance="parts", restoration="restored", restorer_width=4, restorer_blocks=1)
    batch = make_batch()
    batch["appearance"] = torch.linspace(-1, 1, 64).expand(2, 2, 3, 64, 64)
    for parameter in stage.restorer.parameters():  # which changes nothing as yet
        torch.nn.init.normal_(parameter, std=0.1)
    conditions = stage.conditions(batch)
    torch.testing.assert_close(conditions[:, :, 4:], batch["appearance"])
    assert (conditions[0, :, :4] != batch["features"][0]).any()
    torch.testing.assert_close(conditions[1, :, :4], batch["features"][1])
    assert stage.step(batch).keys() >= {"gan", "discriminator"}
    z = stage.encode(batch["content"])
    with torch.no_grad():
        drawn, inverted = (
            stage.roll_out(torch.cat([conditions[:, :, :4], shown], dim=2), z, batch["regions"], batch["start"])
            for shown in (batch["appearance"], -batch["appearance"])
        )
    assert (drawn - inverted).abs().mean() > 1e-3


def test_what_is_kept_is_shown_as_it_is():
    """By the generator, which the step trains around it; other colours than a sample's own keep nothing."""
    stage, batch = make_stage(appearance="layered"), make_batch()
    batch["appearance"] = torch.linspace(-1, 1, 64).expand(2, 2, 3, 64, 64)
    batch["kept"] = torch.zeros(2, 2, 1, 64, 64)
    batch["kept"][0, :, :, :32] = 1
    conditions = stage.conditions(batch)
    torch.testing.assert_close(conditions[:, :, 4:5], 2 * batch["kept"] - 1)
    torch.testing.assert_close(conditions[:, :, 5:], batch["appearance"])
    with torch.no_grad():
        z = stage.encode(batch["content"])
        frames = stage.roll_out(conditions, z, batch["regions"], batch["start"])
        others = stage.roll_out(stage.other_conditions(batch), z, batch["regions"], batch["start"])
    torch.testing.assert_close(frames[0, :, :, :32], batch["appearance"][0, :, :, :32], atol=0, rtol=0)
    for free in (frames[0, :, :, 32:] - batch["appearance"][0, :, :, 32:], frames[1] - batch["appearance"][1]):
        assert free.abs().mean() > 1e-3
    assert (others[0] - batch["appearance"][0]).abs().mean() > 1e-3
    assert stage.step(batch).keys() >= {"gan", "discriminator"}
    batch |= {"lead": torch.tensor([0, 0])}
    assert stage.evaluate(batch)["sensitivity"] > 0 and stage.preview(batch)["generated"].ndim == 3


@pytest.mark.parametrize(("earlier", "appearance"), [(True, "parts"), (False, "none")])
def test_earlier_configurations_say_whether_there_is_an_appearance(earlier, appearance):
    upgraded = VideoGenerator.Config.upgrade({"with_appearance": earlier, "color_variants": 3})
    assert upgraded == {"appearance": appearance, "recolorings": 3}
    assert VideoGenerator.Config.upgrade({"appearance": "layered"}) == {"appearance": "layered"}


def test_a_share_is_a_share():
    with pytest.raises(ValueError, match=r"unchanged_share must be in \[0, 1\], got 1.5"):
        make_stage(unchanged_share=1.5)


@pytest.mark.parametrize("size", [(192, 128), (384, 256)])
def test_medium_takes_larger_frames(size):
    with torch.device("meta"):
        VideoGenerator(VideoGenerator.presets["medium"]).check_size(size)


def test_paper_preset_has_the_papers_networks():
    with torch.device("meta"):
        stage = VideoGenerator(VideoGenerator.presets["paper"])
    assert sum(parameter.numel() for parameter in stage.generator.parameters()) == 182_833_539
    assert sum(parameter.numel() for parameter in stage.discriminator.parameters()) == 8_328_003


CONTRAST = {"colors_per_pair": 2, "lambda_contrast": 20.0, "lambda_l1": 0.0, "lambda_gan": 0.0, "lambda_fm": 0.0}


@pytest.mark.parametrize("share", [1.0, 0.25, 0.0])
def test_contrast_compares_the_difference_of_two_colourings(share):
    """Frames that differ by a share of the true difference, whatever else is wrong with them."""
    stage, batch = make_stage(**CONTRAST), make_batch()
    real = batch["images"]
    drawn = stage.roll_out
    stage.roll_out = lambda *inputs: 0 * drawn(*inputs) + share * real + 0.3
    losses = stage.step(batch)
    expected = 20 * (1 - share) * (real[0] - real[1]).abs().mean()
    torch.testing.assert_close(losses["contrast"], expected, atol=1e-5, rtol=1e-5)


def test_contrast_moves_the_generator():
    stage, batch = make_stage(**CONTRAST), make_batch()
    stage.step(batch)
    gradients = [parameter.grad for parameter in stage.generator.parameters()]
    assert max(gradient.abs().max() for gradient in gradients) > 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_rollout_len": 1}, "train_rollout_len must be 2 or more, got 1"),
        ({"colors_per_pair": 3, "batch_size": 3}, "colors_per_pair must be 1 or 2 and divide batch_size, got 3"),
        ({"colors_per_pair": 2, "batch_size": 3}, "colors_per_pair must be 1 or 2 and divide batch_size, got 2"),
        ({"lambda_contrast": 1.0}, "lambda_contrast compares two recolourings of a pair: set colors_per_pair to 2"),
        ({"colors_per_pair": 2, "recolored": False}, "colors_per_pair 2 needs recolored"),
    ],
)
def test_impossible_colourings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def trained_restorer(**changes) -> FeatureRestoration:
    """A restorer that changes what it is given, as one does not before it was trained."""
    torch.manual_seed(3)
    stage = FeatureRestoration(replace(FeatureRestoration.presets["tiny"], width=4, num_blocks=2, **changes))
    torch.nn.init.constant_(stage.restorer.output.bias, 0.5)
    return stage


def with_restorer(**changes) -> VideoGenerator:
    """A stage that took its encoders and its restorer over."""
    runs = {region: trained_encoder(region) for region in ("upper", "lower")} | {"mended": trained_restorer()}
    settings = {"restoration": "mended", "restorer_width": 4, "restorer_blocks": 2}
    stage = make_stage(upper_encoder="upper", lower_encoder="lower", **settings | changes)
    stage.initialize(lambda run: runs[Path(run).name])
    return stage


def test_estimated_maps_alone_are_restored():
    stage, batch = with_restorer(), make_batch()
    seen = stage.conditions(batch)
    mended = trained_restorer().restorer(batch["features"][0], batch["support"][0])
    torch.testing.assert_close(seen[0], mended)
    assert (seen[0] - batch["features"][0]).abs().max() > 0.1
    assert torch.equal(seen[1], batch["features"][1])


def test_without_a_restorer_maps_stay_as_they_are():
    stage, batch = make_stage(), make_batch()
    assert torch.equal(stage.conditions(batch), batch["features"])
    assert torch.equal(stage.restore(batch["features"][0], batch["support"][0]), batch["features"][0])


def test_restorer_is_frozen_and_part_of_the_checkpoint():
    stage = with_restorer()
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items() if name.startswith("restorer.")}
    stage.step(make_batch())
    assert before and all(torch.equal(stage.state_dict()[name], tensor) for name, tensor in before.items())


def test_restorers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"/mended has width 4, expected width 8"):
        with_restorer(restorer_width=8)
    encoders = {"upper_encoder": "upper", "lower_encoder": "lower"}
    runs = {name: trained_encoder(name) for name in ("upper", "lower")}
    with pytest.raises(
        ValueError, match=r"/upper is a run of the stage 'color_encoder', expected 'feature_restoration'"
    ):
        make_stage(restoration="upper", **encoders).initialize(lambda run: runs[Path(run).name])
