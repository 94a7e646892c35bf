"""The shape-and-posture stage: its objective, its samples, and that a little training moves a person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from posegen.checkpoints.checkpoint import TrainingProgress, load_training_state, save_checkpoint
from posegen.datasets.clip_files import Clip, ClipInfo, write_clip
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.errors import CheckpointError, DatasetError
from posegen.features.part_crops import crop_body_parts
from posegen.features.spatial_augmentation import crop_to_person
from posegen.features.vunet_figure import FIGURES, H36M_FIGURE, find_joints, rasterize_posture
from posegen.inference.pose_transfer import PoseTransfer
from posegen.inference.renderers import load_renderer
from posegen.io.storage import StorageFolder
from posegen.losses import normalized_l1, perceptual
from posegen.networks.vgg import VGGFeatures
from posegen.samples import ShapePairs, ShapePairSettings, View, fixed_batch, to_image, to_network
from posegen.skeletons import H36M_17, joint_indices
from posegen.stages import STAGES, ShapePosture
from posegen.synthetic.studio import RenderSettings, render_action
from tests.support.samples import make_samples as collect

SIZE = (96, 64)
SMALL = replace(
    ShapePosture.presets["tiny"],
    spatial_size=SIZE,
    bottleneck_factor=3,
    width=4,
    max_width=8,
    batch_size=2,
    epoch_size=0,
    lambda_regressor=1.0,
    regressor_start=0,
)
NUM_FRAMES = {"ada": 6, "grace": 3}
PROGRESS = TrainingProgress(epoch=1, step=1, data_fingerprint="", size=SIZE)


@pytest.fixture(scope="module")
def drawn():
    """A clip of each of two people."""
    return {
        person: render_action(person, "jumping_jacks", count, RenderSettings(size=SIZE))
        for person, count in NUM_FRAMES.items()
    }


@pytest.fixture(scope="module")
def dataset(drawn, tmp_path_factory: pytest.TempPathFactory) -> ClipDataset:
    """Both clips for training; the first frame of one has no usable pose."""
    folder = StorageFolder(str(tmp_path_factory.mktemp("dataset")))
    for person, clip in drawn.items():
        count = NUM_FRAMES[person]
        facts = {"clip_id": person, "person": person, "action": "jumping_jacks", "fps": clip.fps}
        info = ClipInfo(**facts, source="", source_sha256="", num_frames=count, size=SIZE)
        frames = np.arange(count, dtype=np.int32)
        keypoints = clip.keypoints.copy()
        if person == "ada":
            keypoints[0, joint_indices(["left_hip"])] = 0
        write_clip(folder, Clip(info, frames, frames / clip.fps, clip.images, keypoints, clip.edges, clip.masks))
    save_dataset_info(folder, DatasetInfo(SIZE, {}, {}, "action", {"train": ["jumping_jacks"], "test": []}))
    return ClipDataset(folder)


def make_stage(**changes) -> ShapePosture:
    torch.manual_seed(0)
    return ShapePosture(replace(SMALL, **changes))


def make_samples(dataset, **changes) -> ShapePairs:
    settings = {"self_share": 0.5, "equal_people": False, "view": View(), "figure": "openpose18", "augment": True}
    settings |= {"num_others": 1, "epoch_size": 0, "seed": 0}
    return collect(ShapePairs, ShapePairSettings, dataset, "train", **settings | changes)


@pytest.fixture
def batch(dataset) -> dict[str, torch.Tensor]:
    """Two pairs of different frames."""
    (batch,) = fixed_batch(make_samples(dataset, self_share=0.0, epoch_size=2, seed=1), 2, 2)
    assert not batch["source"].equal(batch["target"])
    return batch


def test_stage_is_known_and_its_presets_are_the_published_ones():
    assert STAGES["shape_posture"] is ShapePosture
    assert list(ShapePosture.presets) == ["posegen", "h36m", "deepfashion", "market", "small", "tiny"]
    facts = {
        name: (config.inplane_normalize, config.spatial_size, config.num_scales, config.view.window)
        for name, config in ShapePosture.presets.items()
    }
    kinds = {name: ShapePosture.presets[name].augmentation for name in ("h36m", "deepfashion", "market")}
    assert kinds == {"h36m": "none", "deepfashion": "affine", "market": "rotation"}
    figures = {name: config.figure for name, config in ShapePosture.presets.items() if config.figure != "openpose18"}
    assert figures == {"h36m": "h36m17"}
    assert facts["h36m"] == (False, (256, 256), 7, None)
    assert facts["deepfashion"] == (True, (256, 256), 7, (64, 64))
    assert facts["market"] == (True, (128, 128), 7, (64, 64))


@pytest.mark.parametrize(
    ("preset", "network", "regressor"),
    [
        ("h36m", 14_601_516, 1_348_258),
        ("deepfashion", 13_714_572, 1_348_516),
        ("market", 14_158_476, 365_476),
    ],
)
def test_networks_of_presets_have_the_published_size(preset, network, regressor):
    with torch.device("meta"):
        stage = ShapePosture(ShapePosture.presets[preset])
    assert [sum(x.numel() for x in part.parameters()) for part in (stage.network, stage.regressor)] == [
        network,
        regressor,
    ]
    assert {group["betas"] for group in stage.optimizers["network"].param_groups} == {(0.5, 0.9)}
    stage.check_size(stage.config.spatial_size)


def test_losses_are_those_of_the_objective(batch):
    stage = make_stage(lambda_l1=2.0, lambda_vgg=0.5, noise_steps=0)
    vgg = VGGFeatures.untrained("vgg16-stlpips", convolution=2)
    stage.vgg.replace(vgg)
    with torch.no_grad():
        stage.gamma.fill_(1e-4)
        torch.manual_seed(1)
        code = stage.network.encode(batch["source_appearance"], noise=1.0)
        fake = stage.network.decode(code.z, batch["posture"])
        divergence = sum(
            (-s + ((2 * s).exp() + m.square()) / 2 - 0.5).sum() / 2 for m, s in zip(code.mean, code.logstd, strict=True)
        )
    torch.manual_seed(1)
    losses = stage.step(batch)
    torch.testing.assert_close(losses["divergence"], divergence / 2)
    torch.testing.assert_close(losses["kl"], 1e-4 * divergence / 2)
    torch.testing.assert_close(losses["l1"], 2 * normalized_l1(fake, batch["target"]))
    torch.testing.assert_close(losses["vgg"], 0.5 * perceptual(vgg.rescaled, fake, batch["target"], [1.0] * 5))
    torch.testing.assert_close(losses["adversary"], -losses["regressor"].clamp(max=1.2))
    assert losses.keys() == {"kl", "l1", "vgg", "adversary", "divergence", "gamma", "regressor"}


def test_noise_of_codes_grows_over_the_first_steps(batch):
    stage = make_stage(noise_steps=4, lambda_vgg=0.0)
    seen = []
    encode = stage.network.encode
    stage.network.encode = lambda appearance, noise=None: seen.append(noise) or encode(appearance, noise=noise)
    for step in range(6):
        seen.clear()
        stage.step(batch)
        assert seen[0].item() == pytest.approx(min(1.0, (step + 1) / 5))
    assert make_stage(noise_steps=0)._noise() == 1.0


def test_pixels_are_compared_in_imagenets_deviations():
    fake, real = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    fake[:, 0] = 2 * 0.229
    assert normalized_l1(fake, real).item() == pytest.approx(1 / 3)


def test_weight_of_the_divergence_follows_the_information(batch):
    divergence = make_stage().step(batch)["divergence"].item()
    stage = make_stage(information_max=divergence - 20, gamma_step=1e-5)
    stage.step(batch)
    assert stage.gamma.item() == pytest.approx(2e-4, rel=1e-3)
    stage._adapt_gamma(torch.tensor(divergence - 25))
    assert stage.gamma.item() == pytest.approx(1.5e-4, rel=1e-3)
    stage._adapt_gamma(torch.tensor(0.0))
    assert stage.gamma.item() == 0
    stage._adapt_gamma(torch.tensor(1e6))  # as fast up as it could have gone down
    assert stage.gamma.item() == pytest.approx(1e-5 * (divergence - 20), rel=1e-3)


def test_too_many_nats_are_given_up(batch):
    stage = make_stage(information_max=10.0, lambda_regressor=0.0, lr=1e-3)
    with torch.no_grad():
        stage.gamma.fill_(0.1)
    held = [stage.step(batch)["divergence"].item() for _ in range(12)]
    assert held[-1] < 0.7 * held[0]


def test_code_learns_to_hide_the_posture(batch):
    """The gradient of the regressor's error reaches the encoder, and the regressor's own weights get none of it."""
    stage = make_stage(lambda_l1=0.0, regressor_start=12, lr=1e-6)
    stage.optimizers["regressor"].param_groups[0]["lr"] = 1e-2
    taught = [stage.step(batch)["regressor"].item() for _ in range(12)]
    stage._teach_regressor = lambda batch, own: None
    stage.optimizers["network"].param_groups[0]["lr"] = 1e-3
    before = [x.detach().clone() for x in stage.regressor.parameters()]
    hidden = [stage.step(batch)["regressor"].item() for _ in range(10)]
    assert max(hidden) > 1.2 > 1.5 * taught[-1]  # up to the cap
    assert all(x.equal(old) for x, old in zip(stage.regressor.parameters(), before, strict=True))


def test_code_is_left_alone_until_the_regressor_has_learned(batch):
    stage = make_stage(regressor_start=2)
    terms = [stage.step(batch)["adversary"].item() for _ in range(4)]
    assert terms[:2] == [0, 0] and max(terms[2:]) < 0


def test_regressor_learns_to_read_postures_from_codes(batch):
    stage = make_stage(regressor_start=10**6, regressor_steps=2, lr=1e-6)
    stage.optimizers["regressor"].param_groups[0]["lr"] = 1e-2
    errors = [stage.step(batch)["regressor"].item() for _ in range(12)]
    assert errors[-1] < 0.3 * errors[0]


def test_joints_that_are_not_seen_are_no_errors(batch):
    stage = make_stage()
    code = stage.network.encode(batch["source_appearance"])
    nothing = torch.zeros_like(batch["source_joints"])
    assert stage._posture_error(code.mean, nothing).item() < 1e-5
    assert stage._posture_error(code.mean, batch["source_joints"]).item() > 0.1


def test_step_trains_every_part(batch):
    stage = make_stage(information_max=1.0)
    before = {name: tensor.clone() for name, tensor in stage.state_dict().items()}
    stage.step(batch)
    moved = {name.split(".")[0] for name, tensor in stage.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"network", "regressor", "gamma", "num_steps"}


def test_training_goes_on_from_a_checkpoint_as_if_nobody_had_stopped_it(batch, tmp_path):
    stage, resumed = (
        make_stage(information_max=1.0, regressor_start=2),
        make_stage(information_max=1.0, regressor_start=2),
    )

    def go_on(stage, first, last):
        for step in range(first, last):
            stage.start_epoch(step)
            torch.manual_seed(step)
            losses = stage.step(batch)
        return losses

    go_on(stage, 0, 2)
    save_checkpoint(StorageFolder(tmp_path), stage, PROGRESS)
    load_training_state(StorageFolder(tmp_path), resumed)
    losses, others = go_on(stage, 2, 4), go_on(resumed, 2, 4)
    assert {name: x.item() for name, x in losses.items()} == {name: x.item() for name, x in others.items()}
    assert losses["adversary"] < 0 < losses["gamma"]
    assert all(x.equal(resumed.state_dict()[name]) for name, x in stage.state_dict().items())


def test_a_little_training_moves_the_person(batch):
    """Two pairs, learned by heart: limbs come to where they should be."""
    stage = make_stage(width=8, max_width=16, lambda_regressor=0.0, lr=3e-3)
    for _ in range(30):
        stage.step(batch)
    source, target = batch["source"], batch["target"]
    moved = (source - target).abs().amax(dim=1) > 0.5  # (N, H, W)
    with torch.no_grad():
        error = (stage.network(batch["source_appearance"], batch["posture"]) - target).abs().mean(dim=1)
    assert 0.01 < moved.float().mean() < 0.2
    assert error[moved].mean() < 0.7 * (source - target).abs().mean(dim=1)[moved].mean()


def test_metrics_tell_transfer_from_reconstruction(batch):
    stage = make_stage(lambda_vgg=1.0)
    stage.vgg.replace(VGGFeatures.untrained("vgg16-stlpips", convolution=2))
    metrics = stage.evaluate(batch)
    names = {"ssim", "psnr", "perceptual", "box_ssim", "box_perceptual"}
    assert metrics.keys() == names | {f"self_{name}" for name in names} | {"divergence", "regressor"}
    same = stage.evaluate({**batch, "source_appearance": batch["target_appearance"]})
    assert all(same[name] == same[f"self_{name}"] == metrics[f"self_{name}"] for name in names)
    assert metrics["psnr"] != metrics["self_psnr"]
    stage.network.forward = lambda appearance, posture: batch["target"] + 1e-6
    perfect = stage.evaluate(batch)
    assert perfect["ssim"] > 0.9999 and perfect["psnr"] > 90 and perfect["perceptual"] < 1e-3
    assert perfect["box_ssim"] > 0.9999 and perfect["box_perceptual"] < 1e-3


def test_what_is_far_from_the_person_does_not_count_in_the_box(batch):
    stage = make_stage()
    pose = batch["target_pose"]
    pose[..., 0], pose[..., 1] = torch.linspace(10, 30, 18), torch.linspace(10, 40, 18)
    far, near = batch["target"].clone(), batch["target"].clone()
    far[..., 70:, :] *= -1
    near[..., 20:30, :] *= -1

    def measure(drawn):
        stage.network.forward = lambda appearance, posture: drawn
        return stage.evaluate(batch)

    assert measure(far)["ssim"] < 0.99 and measure(far)["box_ssim"] > 0.9999
    assert measure(near)["box_ssim"] < measure(near)["ssim"] < 0.99
    pose[..., :2] = 10 + pose[..., :2] / 1000  # too small a box for the window of SSIM
    assert measure(far)["box_ssim"] == pytest.approx(measure(far)["ssim"])


def test_random_shapes_are_drawn_in_a_posture(batch):
    stage = make_stage()
    posture = batch["posture"]
    first, again, other = (stage.sample(posture, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == posture.shape and first.abs().max() <= 1
    torch.testing.assert_close(first, again)
    assert (first - other).abs().max() > 1e-3
    z = [torch.zeros(2, stage.network.latent_dim, *size) for size in stage.network.latent_sizes(SIZE)]
    generator = torch.Generator().manual_seed(3)
    for scale in z:
        scale.copy_(torch.randn(scale.shape, generator=generator))
    with torch.no_grad():
        expected = stage.network.decode(z, posture).clamp(-1, 1)
    torch.testing.assert_close(stage.sample(posture, torch.Generator().manual_seed(3)), expected)


def test_shapes_go_over_from_one_person_to_another(batch):
    stage = make_stage()
    first = batch["source_appearance"][0]
    second = -first
    drawn = stage.interpolate(first, second, batch["posture"][0], 3)
    with torch.no_grad():
        ends = stage.network(torch.stack([first, second]), batch["posture"][:1].expand(2, -1, -1, -1)).clamp(-1, 1)
    torch.testing.assert_close(drawn[[0, 2]], ends)
    assert not torch.equal(drawn[1], drawn[0]) and not torch.equal(drawn[1], drawn[2])


def test_preview_has_four_rows(batch):
    pictures = make_stage().preview(batch)
    assert pictures["sampled"].shape == (2 * 118, 4 * 64 + 3 * 2, 3)  # a title above each row
    np.testing.assert_array_equal(pictures["sampled"][138:234, :64], to_image(batch["posture"][1]))
    assert pictures["interpolated"].shape == (118, 6 * 64 + 5 * 2, 3)
    picture = pictures["generated"]
    assert picture.shape == (4 * 118, 2 * 64 + 2, 3)
    np.testing.assert_array_equal(picture[20:116, :64], to_image(batch["source"][0]))
    np.testing.assert_array_equal(picture[138:234, :64], to_image(batch["posture"][0]))


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1.0), (10, 0.5), (19, 0.05)])
def test_learning_rate_of_the_network_alone_falls(epoch, factor):
    stage = make_stage(num_epochs=20, lr=1e-2)
    stage.start_epoch(epoch)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in stage.optimizers.items()}
    assert rates == {"network": pytest.approx(1e-2 * factor), "gamma": 1e-8, "regressor": 1e-3}


def test_settings_follow_the_dataset(dataset):
    config = ShapePosture.adapt(replace(SMALL, spatial_size=(0, 0)), dataset)
    assert config.spatial_size == SIZE and config.num_scales == 4
    with pytest.raises(DatasetError, match=r"has frames of 96×64 \(height × width\), expected 256×256: prepare it at"):
        ShapePosture.adapt(ShapePosture.presets["h36m"], dataset)
    with pytest.raises(ValueError, match="for frames of 96×64, got 192×128: set spatial_size"):
        make_stage().check_size((192, 128))
    with pytest.raises(ValueError, match="multiples of 8"):
        make_stage().check_size((100, 64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lambda_regressor": 5.0}, "lambda_regressor must be from 0 to 4, got 5"),
        ({"self_share": 1.5}, r"self_share must be in \[0, 1\], got 1.5"),
        ({"spatial_size": (0, 64)}, r"spatial_size must be a height and a width in pixels, got \(0, 64\)"),
        ({"bottleneck_factor": -1}, "bottleneck_factor must be 0 or more, got -1"),
        ({"regressor_steps": 0}, "regressor_steps must be at least 1, got 0"),
        ({"crop_person": True, "inplane_normalize": True}, "set one of them"),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_crops_may_not_be_too_small_for_their_path():
    with pytest.raises(ValueError, match="expected from 3 scales to the 4 of the posture, got 1 of the appearance"):
        make_stage(inplane_normalize=True, box_factor=3)


def test_sample_shows_one_frame_and_asks_for_another(dataset, drawn):
    samples = make_samples(dataset, view=View(window=(24, 16)))
    clip = drawn[dataset.clips[0].info.person]
    sample = replace(samples.plan(0)[0], clip=0, row=4, content=2)
    loaded = samples.load(sample)
    np.testing.assert_array_equal(loaded["source"], to_network(clip.images[2]))
    np.testing.assert_array_equal(loaded["target"], to_network(clip.images[4]))
    keypoints = dataset.clips[0].keypoints
    for name, row in (("source", 2), ("target", 4)):
        crops = crop_body_parts(clip.images[row], keypoints[row], (24, 16))
        np.testing.assert_array_equal(loaded[f"{name}_appearance"], to_network(crops))
    np.testing.assert_array_equal(loaded["posture"], to_network(rasterize_posture(keypoints[4], SIZE)))
    np.testing.assert_array_equal(loaded["source_joints"], keypoints[2])
    assert loaded["others"].shape == (1, 30, 24, 16) and loaded["other_joints"].shape == (1, 18, 3)
    assert all(np.array_equal(samples.load(sample)[name], array) for name, array in loaded.items())


def test_figures_have_the_joints_of_human36m_where_asked(dataset, tmp_path):
    samples = ShapePosture.open_samples(replace(SMALL, figure="h36m17", augmentation="affine"), dataset, "train")
    loaded = samples.load(replace(samples.plan(0)[0], clip=0, row=4, content=2))
    joints = find_joints(dataset.clips[0].keypoints[4].astype(np.float32), H36M_FIGURE)
    np.testing.assert_array_equal(loaded["posture"], to_network(rasterize_posture(joints, SIZE, H36M_FIGURE)))
    assert loaded["source_joints"].shape == (17, 3) and loaded["other_joints"].shape == (1, 17, 3)
    assert loaded["target_pose"].shape == (18, 3)
    hips = loaded["source_joints"][joint_indices(["left_hip", "right_hip"], H36M_17)]
    assert (hips[:, 2] > 0).all()
    pelvis = loaded["source_joints"][H36M_17.index("pelvis")]
    np.testing.assert_allclose(pelvis[:2], hips[:, :2].mean(axis=0), rtol=1e-6)  # where the moved appearance has it
    stage = make_stage(figure="h36m17")
    losses = stage.step(fixed_batch(samples, 2, 2)[0])
    assert losses["regressor"] > 0
    save_checkpoint(StorageFolder(tmp_path), stage, PROGRESS)
    load_training_state(StorageFolder(tmp_path), make_stage(figure="h36m17"))
    with pytest.raises(CheckpointError):
        load_training_state(StorageFolder(tmp_path), make_stage())


def test_the_person_is_shown_near_by(dataset, drawn):
    samples = make_samples(dataset, view=View(crop=True))
    clip, keypoints = drawn[dataset.clips[0].info.person], dataset.clips[0].keypoints
    loaded = samples.load(replace(samples.plan(0)[0], clip=0, row=4, content=2))
    image, pose = crop_to_person(clip.images[2], keypoints[2])
    np.testing.assert_array_equal(loaded["source_appearance"], to_network(image))
    np.testing.assert_array_equal(loaded["source_joints"], pose)
    np.testing.assert_array_equal(loaded["target"], to_network(clip.images[4]))
    np.testing.assert_array_equal(loaded["target_pose"], keypoints[4])


@pytest.mark.parametrize("kind", ["affine", "rotation"])
def test_training_moves_what_shows_a_person_and_measuring_does_not(kind, dataset):
    config = replace(SMALL, augmentation=kind)
    trained = ShapePosture.open_samples(config, dataset, "train")
    assert trained.augment and trained.view.augmentation == kind
    sample = trained.plan(0)[0]
    loaded, again, other = (trained.load(x) for x in (sample, sample, replace(sample, seed=(0, 0, 99))))
    still = make_samples(dataset, view=trained.view, augment=False).load(sample)
    for name in ("source_appearance", "source_joints", "others", "other_joints"):
        np.testing.assert_array_equal(loaded[name], again[name])
        assert not np.array_equal(loaded[name], other[name])
    for name in ("target", "target_appearance", "posture", "target_pose"):
        np.testing.assert_array_equal(loaded[name], still[name])
    np.testing.assert_array_equal(still["source_appearance"], still["source"])


def test_other_appearances_come_with_their_poses(dataset):
    samples = make_samples(dataset, num_others=3)
    loaded = samples.load(samples.plan(0)[0])
    poses = np.concatenate([clip.keypoints for clip in dataset.clips])
    images = [clip.image(row) for clip in dataset.clips for row in range(clip.info.num_frames)]
    for appearance, pose in zip(loaded["others"], loaded["other_joints"], strict=True):
        seen = [to_network(images[index]) for index in np.flatnonzero((poses == pose).all(axis=(1, 2)))]
        assert any(np.array_equal(appearance, image) for image in seen)
    assert "others" not in make_samples(dataset, num_others=0).load(samples.plan(0)[0])


def test_plan_takes_usable_frames_of_one_clip(dataset):
    samples = make_samples(dataset, epoch_size=4000, self_share=0.25)
    plan = samples.plan(1)
    assert plan == samples.plan(1) != samples.plan(2)
    assert not any(sample.clip == 0 and 0 in (sample.row, sample.content) for sample in plan)
    of_ada = [sample for sample in plan if sample.clip == 0]
    assert len(of_ada) / 4000 == pytest.approx(5 / 8, abs=0.03)
    same = np.mean([sample.row == sample.content for sample in of_ada])
    assert same == pytest.approx(0.25 + 0.75 / 5, abs=0.03)


def test_people_count_equally_where_asked(dataset):
    plan = make_samples(dataset, epoch_size=4000, equal_people=True).plan(0)
    assert np.mean([sample.clip for sample in plan]) == pytest.approx(0.5, abs=0.03)
    rows = np.bincount([sample.row for sample in plan if sample.clip == 0], minlength=6)
    np.testing.assert_allclose(rows / rows.sum(), [0, *[0.2] * 5], atol=0.03)


def test_an_epoch_of_all_takes_each_frame_once(dataset):
    plan = make_samples(dataset).plan(0)
    assert sorted((sample.clip, sample.row) for sample in plan) == [
        *((0, row) for row in range(1, 6)),
        *((1, row) for row in range(3)),
    ]


def test_what_is_measured_is_never_the_same_frame_on_purpose(dataset):
    train = ShapePosture.open_samples(replace(SMALL, self_share=1.0, regressor_steps=4), dataset, "train")
    assert train.settings.self_share == 1.0 and train.settings.num_others == 3
    assert all(sample.row == sample.content for sample in train.plan(0))
    with pytest.raises(DatasetError, match="no clips in the split 'test'"):
        ShapePosture.open_samples(SMALL, dataset, "test")


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": "affine"},
        {"crop_person": True, "figure": "h36m17"},
        {"inplane_normalize": True, "box_factor": 1, "bottleneck_factor": 1, "torso_crop": "neck"},
    ],
)
def test_a_run_draws_a_person_in_other_poses(changes, drawn, tmp_path):
    stage = make_stage(**changes).eval()
    save_checkpoint(StorageFolder(tmp_path / "checkpoints" / "epoch-0001"), stage, PROGRESS)
    renderer = load_renderer(tmp_path, device=torch.device("cpu"))
    assert isinstance(renderer, PoseTransfer) and renderer.size == SIZE
    clip = drawn["ada"]
    drawn_frames = list(renderer.stage.render(clip.images[0], clip.keypoints[0], clip.keypoints[1:3]))
    window = stage.config.view.window
    shown = clip.images[0] if window is None else crop_body_parts(clip.images[0], clip.keypoints[0], window, "neck")
    if stage.config.crop_person:
        shown, _ = crop_to_person(clip.images[0], clip.keypoints[0])
    layout = FIGURES[stage.config.figure]
    posture = to_network(rasterize_posture(find_joints(clip.keypoints[2], layout), SIZE, layout))
    with torch.no_grad():
        expected = stage.network(*(torch.from_numpy(x)[None] for x in (to_network(shown), posture)))[0]
    torch.testing.assert_close(drawn_frames[1], expected.clamp(-1, 1))
    assert F.l1_loss(*drawn_frames).item() > 0
