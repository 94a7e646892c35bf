"""The restorer's step and samples, and that a little training helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen.datasets.clip_files import Clip, ClipInfo, write_clip
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.features.feature_map import ContentFeatures
from posegen.io.storage import StorageFolder
from posegen.losses import feature_matching, last, lsgan
from posegen.samples import WarpedMaps, WarpedMapSettings, to_network
from posegen.stages import FeatureRestoration
from posegen.stages.feature_restoration import edge_error
from posegen.synthetic.studio import RenderSettings, render_action
from tests.support.features import estimate
from tests.support.samples import make_samples as collect

SMALL = replace(FeatureRestoration.presets["tiny"], width=4, num_blocks=2, discriminator_width=4, batch_size=2)
NUM_FRAMES = 8


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ClipDataset:
    """One clip of the studio for training and one for testing, without colour variants."""
    folder = StorageFolder(str(tmp_path_factory.mktemp("dataset")))
    splits = {"train": ["squat"], "test": ["bow"]}
    for (action,) in splits.values():
        write_clip(folder, studio_clip(action))
    save_dataset_info(folder, DatasetInfo((96, 64), {}, {}, "action", splits))
    return ClipDataset(folder)


def studio_clip(action: str) -> Clip:
    drawn = render_action("ada", action, NUM_FRAMES, RenderSettings(size=(96, 64)))
    info = ClipInfo(
        clip_id=action,
        person="ada",
        action=action,
        fps=drawn.fps,
        source="",
        source_sha256="",
        num_frames=NUM_FRAMES,
        size=(96, 64),
    )
    frames = np.arange(NUM_FRAMES, dtype=np.int32)
    return Clip(info, frames, frames / drawn.fps, drawn.images, drawn.keypoints, drawn.edges, drawn.masks)


def make_samples(dataset: ClipDataset, **changes) -> WarpedMaps:
    settings = {
        "identity_share": 0.0,
        "disturbed_share": 1.0,
        "part_drop": 0.0,
        "part_jitter": 0.0,
        "epoch_size": 0,
        "seed": 0,
    }
    return collect(WarpedMaps, WarpedMapSettings, dataset, "train", **settings | changes)


def make_stage(**changes) -> FeatureRestoration:
    torch.manual_seed(0)
    return FeatureRestoration(replace(SMALL, **changes))


def make_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    warped, target = torch.rand(2, 2, 4, 32, 32, generator=generator) * 2 - 1
    support, hole = (torch.rand(2, 2, 1, 32, 32, generator=generator) > 0.5).float()
    return {"warped": warped, "target": target, "support": support, "hole": hole}


def test_losses_are_those_of_the_objective():
    stage, batch = make_stage(lambda_gan=1.0, lambda_fm=10.0, lambda_l1=100.0, hole_weight=5.0), make_batch()
    with torch.no_grad():
        restored = stage.restorer(batch["warped"], batch["support"])
        fake, real = stage.discriminator(restored), stage.discriminator(batch["target"])
    weight = torch.where(batch["hole"] > 0, 5.0, 1.0)
    error = (restored[:, 3:] - batch["target"][:, 3:]).abs() / 2
    losses = stage.step(batch)
    torch.testing.assert_close(losses["gan"], lsgan(last(fake), real=True))
    torch.testing.assert_close(losses["fm"], 10 * feature_matching(fake, real))
    torch.testing.assert_close(losses["l1"], 100 * (weight * error).mean())
    torch.testing.assert_close(losses["discriminator"], (lsgan(last(fake), False) + lsgan(last(real), True)) / 2)


def test_step_trains_both_networks():
    stage = make_stage()
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    stage.step(make_batch())
    moved = {name.split(".")[0] for name, tensor in stage.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"restorer", "discriminator"}


def test_untrained_restorer_changes_no_error():
    metrics, batch = make_stage().evaluate(make_batch()), make_batch()
    error = edge_error(batch["warped"], batch["target"])
    assert metrics["l1"] == pytest.approx(error.mean().item())
    assert metrics["hole_l1"] == pytest.approx(error[batch["hole"] > 0].mean().item())
    assert (metrics["l1_warped"], metrics["hole_l1_warped"]) == pytest.approx((metrics["l1"], metrics["hole_l1"]))


def test_metrics_tell_whether_restoring_helps():
    stage, batch = make_stage(), make_batch()
    perfect = batch | {"warped": batch["target"]}
    torch.nn.init.constant_(stage.restorer.output.bias, 0.5)
    metrics = stage.evaluate(perfect)
    assert metrics["l1_warped"] == 0 and metrics["l1"] > 0.1


def test_preview_has_three_rows():
    picture = make_stage().preview(make_batch())["restored"]
    assert picture.shape == (3 * (20 + 32 + 2), 2 * 32 + 2, 3)


def test_sample_is_the_estimate_from_the_content_frame(dataset):
    samples = make_samples(dataset)
    sample = samples.plan(0)[0]
    clip, loaded = samples.clips[sample.clip], samples.load(sample)
    content = ContentFeatures(clip.keypoints[sample.content], clip.edges(sample.content), clip.mask(sample.content))
    warped, support = estimate(content, clip.keypoints[sample.row])
    np.testing.assert_array_equal(loaded["warped"], to_network(warped))
    np.testing.assert_array_equal(loaded["support"][0] > 0, support > 0)
    np.testing.assert_array_equal(loaded["target"][:3], loaded["warped"][:3])
    person = clip.mask(sample.row) > 0
    edges = (loaded["target"][3] + 1) * 127.5
    np.testing.assert_allclose(edges[person], clip.edges(sample.row)[person], atol=1e-4)
    assert not edges[~person].any() and clip.edges(sample.row)[~person].any()


def test_distances_are_uniform_and_some_pairs_are_identities(dataset):
    plan = make_samples(dataset, identity_share=0.1, epoch_size=8000).plan(0)
    distances = np.bincount([abs(sample.row - sample.content) for sample in plan], minlength=NUM_FRAMES) / len(plan)
    np.testing.assert_allclose(distances, [0.1, *[0.9 / 7] * 7], atol=0.02)


def test_plan_and_disturbance_follow_seed_and_epoch(dataset):
    samples = make_samples(dataset, part_drop=0.3, part_jitter=2.0)
    sample, *_ = plan = samples.plan(1)
    assert plan == samples.plan(1) != samples.plan(2)
    first, again, other = (samples.load(replace(sample, seed=seed)) for seed in (sample.seed, sample.seed, (7,)))
    np.testing.assert_array_equal(first["warped"], again["warped"])
    assert (first["warped"] != other["warped"]).any()


def test_dropped_parts_leave_everything_open(dataset):
    samples = make_samples(dataset, part_drop=1.0)
    loaded = samples.load(samples.plan(0)[0])
    assert not loaded["support"].any() and (loaded["warped"][3] == -1).all()
    assert loaded["hole"].mean() > 0.05


def test_only_training_pairs_are_disturbed(dataset):
    config = replace(FeatureRestoration.presets["paper"], epoch_size=100)
    train, test = (FeatureRestoration.open_samples(config, dataset, split) for split in ("train", "test"))
    assert isinstance(train, WarpedMaps) and isinstance(test, WarpedMaps)
    assert (train.settings.identity_share, train.settings.disturbed_share) == (0.1, 0.5)
    assert (train.settings.part_drop, train.settings.part_jitter) == (0.05, 2.0)
    assert (test.settings.identity_share, test.settings.disturbed_share) == (0.0, 0.0)


@pytest.mark.parametrize("changes", [{"identity_share": 1.0}, {"disturbed_share": 0.0}])
def test_identities_and_the_undisturbed_keep_all_their_parts(changes, dataset):
    spoilt, whole = (make_samples(dataset, part_drop=drop, **changes) for drop in (1.0, 0.0))
    sample = spoilt.plan(0)[0]
    np.testing.assert_array_equal(spoilt.load(sample)["warped"], whole.load(sample)["warped"])


@pytest.mark.parametrize(
    ("field", "value"), [("identity_share", 1.5), ("disturbed_share", 2.0), ("part_drop", -0.1), ("part_jitter", -1.0)]
)
def test_refuses_settings(field, value):
    with pytest.raises(ValueError, match=f"{field} must be .*, got {value}"):
        replace(SMALL, **{field: value})


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1.0), (10, 1.0), (15, 0.5)])
def test_learning_rate_falls_at_the_end(epoch, factor):
    assert make_stage(num_epochs=20, decay_epochs=10).lr_factor(epoch) == pytest.approx(factor)
    assert make_stage(num_epochs=20, decay_epochs=0).lr_factor(epoch) == 1.0


def test_a_little_training_fills_a_hole():
    """One batch whose right half was lost, learned by heart."""
    stage, batch = make_stage(lambda_gan=0.0, lambda_fm=0.0, width=8, lr=3e-3), make_batch()
    batch["target"][:, 3] = torch.where(torch.arange(32) % 8 < 4, 1.0, -1.0)
    batch["warped"] = batch["target"].clone()
    batch["warped"][:, 3, :, 16:] = -1
    batch["hole"] = (torch.arange(32) >= 16).float().expand_as(batch["hole"]).clone()
    for _ in range(60):
        stage.step(batch)
    metrics = stage.evaluate(batch)
    assert metrics["l1"] < 0.5 * metrics["l1_warped"] and metrics["hole_l1"] < 0.5 * metrics["hole_l1_warped"]
