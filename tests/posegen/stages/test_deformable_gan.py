"""Deformable GAN's step and samples, and that a little training moves a person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from posegen.datasets.clip_files import RECOLORING_SCHEMA, Clip, ClipInfo, write_clip
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.datasets.frame_table import write_table
from posegen.errors import DatasetError
from posegen.features.parts import part_shapes
from posegen.features.warp import estimate_affines
from posegen.io.images import encode_png
from posegen.io.storage import StorageFolder
from posegen.losses import log_loss, nearest_neighbor
from posegen.networks.vgg import VGGFeatures
from posegen.samples import PosePairs, to_network, transfer_inputs
from posegen.skeletons import joint_indices
from posegen.stages import STAGES, DeformableGAN
from posegen.synthetic.studio import RenderSettings, render_action

SMALL = replace(DeformableGAN.presets["tiny"], width=4, discriminator_width=4, batch_size=2)
NUM_FRAMES = 6
SIZE = (96, 64)


@pytest.fixture(scope="module")
def drawn():
    return render_action("ada", "jumping_jacks", NUM_FRAMES, RenderSettings(size=SIZE))


@pytest.fixture(scope="module")
def dataset(drawn, tmp_path_factory: pytest.TempPathFactory) -> ClipDataset:
    """One clip for training whose first frame has no usable pose, and of two colourings: its own, and inverted."""
    folder = StorageFolder(str(tmp_path_factory.mktemp("dataset")))
    facts = {"clip_id": "clip", "person": "ada", "action": "jumping_jacks", "fps": drawn.fps}
    info = ClipInfo(**facts, source="", source_sha256="", num_frames=NUM_FRAMES, size=SIZE)
    frames = np.arange(NUM_FRAMES, dtype=np.int32)
    keypoints = drawn.keypoints.copy()
    keypoints[0, joint_indices(["left_hip"])] = 0
    write_clip(folder, Clip(info, frames, frames / drawn.fps, drawn.images, keypoints, drawn.edges, drawn.masks))
    rows = [
        {"frame": frame, "variant": recoloring, "image": encode_png(image), "seed": 0}
        for frame, own in enumerate(drawn.images)
        for recoloring, image in enumerate([own, 255 - own])
    ]
    write_table(folder / "colors" / "clip-both", "clip.parquet", pa.Table.from_pylist(rows, RECOLORING_SCHEMA))
    save_dataset_info(folder, DatasetInfo(SIZE, {}, {}, "action", {"train": ["jumping_jacks"], "test": []}))
    return ClipDataset(folder)


def make_stage(**changes) -> DeformableGAN:
    torch.manual_seed(0)
    return DeformableGAN(replace(SMALL, **changes))


@pytest.fixture
def batch(drawn) -> dict[str, torch.Tensor]:
    """Two pairs of frames."""
    pairs = [
        transfer_inputs(drawn.images[i], drawn.keypoints[i], drawn.keypoints[j])
        | {"target": to_network(drawn.images[j])}
        for i, j in ((0, 3), (4, 1))
    ]
    return torch.utils.data.default_collate(pairs)


def test_stage_is_known():
    assert STAGES["deformable_gan"] is DeformableGAN and set(DeformableGAN.presets) == {
        "medium",
        "paper",
        "small",
        "tiny",
    }


def test_losses_are_those_of_the_objective(batch):
    stage = make_stage(lambda_gan=0.5, lambda_l1=20.0, change_weight=3.0)
    with torch.no_grad():
        fake = stage.generate(batch)
        fake_score, real_score = stage.discriminate(batch, fake), stage.discriminate(batch, batch["target"])
    losses = stage.step(batch)
    weight = 1 + 3 * (batch["source"] - batch["target"]).abs().mean(dim=1, keepdim=True)
    torch.testing.assert_close(losses["gan"], -0.5 * (fake_score + 1e-7).log().mean())
    torch.testing.assert_close(losses["l1"], 20 * (weight * (fake - batch["target"]).abs()).mean())
    expected = -(real_score + 1e-7).log().mean() - (1 - fake_score + 1e-7).log().mean()
    torch.testing.assert_close(losses["discriminator"], expected)
    assert losses.keys() == {"gan", "l1", "discriminator"}


def test_log_loss_is_finite_at_certainty():
    assert log_loss(torch.zeros(2, 3)).item() == pytest.approx(16.118, abs=1e-3)
    assert log_loss(torch.ones(2, 3)).item() == pytest.approx(0, abs=1e-6)


def test_nearest_neighbor_compares_the_second_activations(batch):
    stage = make_stage(lambda_nn=0.01, lambda_l1=0.0, nn_window=3)
    torch.manual_seed(3)
    vgg = VGGFeatures("vgg16")
    stage.vgg.replace(vgg)
    with torch.no_grad():
        fake = vgg.relu1_2(stage.generate(batch))
    expected = 0.01 * nearest_neighbor(fake, vgg.relu1_2(batch["target"]), 3)
    losses = stage.step(batch)
    torch.testing.assert_close(losses["nn"], expected)
    assert losses.keys() == {"gan", "nn", "discriminator"}


def test_second_activations_are_in_grey_levels():
    """Of networks of equal weights the one that expects images in [-1, 1] needs 127.5 times as much."""
    torch.manual_seed(0)
    plain = VGGFeatures("vgg16", "none")
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    first, second = plain.blocks[0]
    expected = torch.relu(second(torch.relu(first(image))))
    torch.testing.assert_close(plain.relu1_2(image), 127.5 * expected)
    assert VGGFeatures("vgg16", "caffe").relu1_2(image).shape == (1, 64, 16, 16)


def test_step_trains_both_networks(batch):
    stage = make_stage()
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    stage.step(batch)
    moved = {name.split(".")[0] for name, tensor in stage.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"generator", "discriminator"}


def test_a_little_training_moves_the_person(batch):
    """Two pairs, learned by heart: limbs leave where they were and come to where they should be."""
    stage = make_stage(width=8, change_weight=10.0, lr=3e-3, lambda_gan=0.0)
    for _ in range(40):
        stage.step(batch)
    source, target = batch["source"], batch["target"]
    moved = (source - target).abs().amax(dim=1) > 0.5  # (N, H, W)
    with torch.no_grad():
        error = (stage.eval().generate(batch) - target).abs().mean(dim=1)
    assert 0.01 < moved.float().mean() < 0.2
    assert error[moved].mean() < 0.5 * (source - target).abs().mean(dim=1)[moved].mean()


def test_metrics_of_a_perfect_frame(batch):
    stage = make_stage()
    stage.generate = lambda batch: batch["target"] + 1e-6
    metrics = stage.evaluate(batch)
    assert metrics["l1"] < 1e-5 and metrics["ssim"] > 0.9999 and metrics["psnr"] > 90


def test_preview_has_four_rows(batch):
    picture = make_stage().eval().preview(batch)["generated"]
    assert picture.shape == (4 * (20 + 96 + 2), 2 * 64 + 2, 3)


def test_sample_is_a_pair_of_frames_in_equal_colours(dataset, drawn):
    samples = PosePairs(dataset, "train", epoch_size=0, seed=0)
    sample = replace(samples.plan(0)[0], row=4, content=2, recoloring=1)
    loaded = samples.load(sample)
    np.testing.assert_array_equal(loaded["source"], to_network(255 - drawn.images[2]))
    np.testing.assert_array_equal(loaded["target"], to_network(255 - drawn.images[4]))
    np.testing.assert_array_equal(loaded["source_pose"], drawn.keypoints[2].astype(np.float32))
    np.testing.assert_array_equal(loaded["target_pose"], drawn.keypoints[4].astype(np.float32))


def test_inputs_describe_the_target(drawn):
    source, target = drawn.keypoints[0], drawn.keypoints[3].copy()
    target[joint_indices(["left_wrist"])] = 0
    inputs = transfer_inputs(drawn.images[0], source, target)
    affines = estimate_affines(source, target)
    assert affines.valid.sum() == 9
    np.testing.assert_allclose(inputs["affines"], affines.matrices, rtol=1e-6)
    np.testing.assert_array_equal(inputs["masks"], part_shapes(target, SIZE, torso="full"))
    assert inputs["masks"][0].all() and not inputs["masks"][-1].any()


def test_parts_that_the_source_lacks_have_no_mask(drawn):
    source = drawn.keypoints[0].copy()
    source[joint_indices(["left_wrist", "right_wrist"])] = 0
    masks = transfer_inputs(drawn.images[0], source, drawn.keypoints[3])["masks"]
    assert not masks[8:].any() and masks[:8].any(axis=(1, 2)).all()


def test_plan_takes_usable_frames_and_half_its_sources_are_the_first(dataset):
    samples = PosePairs(dataset, "train", epoch_size=4000, seed=0)
    plan = samples.plan(1)
    assert plan == samples.plan(1) != samples.plan(2)
    rows, sources = (np.bincount(values, minlength=NUM_FRAMES) / 4000 for values in zip(*map(pair, plan), strict=True))
    np.testing.assert_allclose(rows, [0, *[0.2] * 5], atol=0.02)
    np.testing.assert_allclose(sources, [0, 0.6, *[0.1] * 4], atol=0.03)
    assert np.mean([sample.recoloring for sample in plan]) == pytest.approx(0.5, abs=0.03)


def pair(sample) -> tuple[int, int]:
    return sample.row, sample.content


def test_an_epoch_of_all_takes_each_frame_once(dataset):
    plan = PosePairs(dataset, "train", epoch_size=0, seed=0).plan(0)
    assert sorted(sample.row for sample in plan) == [1, 2, 3, 4, 5]


def test_clips_must_be_coloured(dataset, tmp_path):
    bare = StorageFolder(str(tmp_path))
    write_clip(bare, dataset.clips[0].read())
    save_dataset_info(bare, dataset.info)
    with pytest.raises(DatasetError, match=r"posegen colorize .* --scope clip --region both"):
        DeformableGAN.open_samples(SMALL, ClipDataset(bare), "train")


def test_paper_preset_is_the_papers():
    with torch.device("meta"):
        stage = DeformableGAN(DeformableGAN.presets["paper"])
    config = stage.config
    assert sum(parameter.numel() for parameter in stage.generator.parameters()) == 82_080_611
    assert (config.num_epochs, config.epoch_size // config.batch_size) == (90, 1000)
    assert (config.lambda_gan, config.lambda_nn, config.lambda_l1, config.vgg) == (1.0, 0.01, 0.0, "vgg19")
    assert {group["betas"] for o in stage.optimizers.values() for group in o.param_groups} == {(0.5, 0.999)}
    stage.check_size((384, 256))
    with pytest.raises(ValueError, match="multiples of 64 and at least 64, got 96×64"):
        stage.check_size(SIZE)


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1.0), (10, 1.0), (15, 0.5)])
def test_learning_rate_falls_at_the_end(epoch, factor):
    assert make_stage(num_epochs=20, decay_epochs=10).lr_factor(epoch) == pytest.approx(factor)
    assert make_stage(num_epochs=20, decay_epochs=0).lr_factor(epoch) == 1.0


def test_window_needs_a_middle():
    with pytest.raises(ValueError, match="nn_window must be odd and at least 1, got 4"):
        replace(SMALL, nn_window=4)
