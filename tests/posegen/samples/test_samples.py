"""What the two stages of the method see of a clip, and of its colourings."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from orchestration.data.colorize import ColorizeSettings, recolor_dataset
from orchestration.data.prepare import PrepareSettings, prepare_videos
from posegen.color.garment_segmentation import LOWER, UPPER, garment_labels
from posegen.color.lab import rgb_to_lab
from posegen.color.recoloring import mean_lightness
from posegen.datasets.clip_files import ClipFile, RecoloringFile
from posegen.datasets.clips import ClipDataset
from posegen.errors import DatasetError
from posegen.features.appearance import Appearance
from posegen.features.feature_map import feature_map
from posegen.features.warp import estimate_affines
from posegen.perception.layered_frame import FrameContents, LayeredContent
from posegen.samples import (
    ColoredFrames,
    ColoredFrameSettings,
    FramePairs,
    FramePairSettings,
    HintedFrames,
    PosePairs,
    WarpedMaps,
    WarpedMapSettings,
    content_features,
    fixed_batch,
    to_network,
)
from posegen.samples.frame_plan import UsableFrames
from posegen.synthetic.studio import RenderSettings, render_action, write_studio_clip
from tests.support.features import estimate
from tests.support.samples import make_samples as collect

SIZE = (96, 64)
NUM_FRAMES = 6
NUM_VARIANTS = 3
MAPS = {"identity_share": 0.1, "disturbed_share": 0.5, "part_drop": 0.1, "part_jitter": 2.0}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> ClipDataset:
    """Clips of six frames, two for training, with three colourings of each clip and two of each frame."""
    videos, folder = tmp_path_factory.mktemp("studio"), tmp_path_factory.mktemp("prepared")
    for action in ("bow", "clap", "squat"):
        write_studio_clip(render_action("ada", action, NUM_FRAMES, RenderSettings(size=SIZE)), videos)
    prepare_videos(videos, folder, PrepareSettings(size=SIZE, pose="truth", edges="truth", mask="truth", workers=0))
    recolor_dataset(folder, ColorizeSettings(scope="clip", region="both", recolorings=NUM_VARIANTS, workers=0))
    recolor_dataset(folder, ColorizeSettings(scope="frame", region="upper", recolorings=2, workers=0))
    return ClipDataset(folder)


def frame_pairs(dataset: ClipDataset, **changes) -> FramePairs:
    settings = {"latent_dim": 8, "true_feature_share": 0.5, "epoch_size": 0, "seed": 0}
    return collect(FramePairs, FramePairSettings, dataset, "train", **settings | changes)


def colored_frames(dataset: ClipDataset, **changes) -> ColoredFrames:
    settings = {"region": "upper", "latent_dim": 4, "epoch_size": 0, "seed": 0}
    return collect(ColoredFrames, ColoredFrameSettings, dataset, "train", **settings | changes)


def test_pairs_have_the_documented_keys(dataset):
    (batch,) = fixed_batch(frame_pairs(dataset), 2, 2)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {
        "content": (2, 3, *SIZE),
        "images": (2, 2, 3, *SIZE),
        "features": (2, 2, 4, *SIZE),
        "regions": (2, 2, 2, *SIZE),
        "estimated": (2,),
        "lead": (2,),
        "support": (2, 2, 1, *SIZE),
        "lab": (2, 2, 3),
        "noise": (2, 8),
    }
    assert set(batch["support"].unique().tolist()) <= {0, 1}


@pytest.mark.parametrize(("true_share", "estimated"), [(1.0, False), (0.0, True)])
def test_features_are_true_or_estimated(dataset, true_share, estimated):
    samples = frame_pairs(dataset, true_feature_share=true_share)
    plan = samples.plan(0)
    sample = next(sample for sample in plan if sample.content not in (sample.row, sample.row + 1))
    clip, loaded = samples.clips[sample.clip], samples.load(sample)
    assert {sample.estimate for sample in plan} == {estimated} and loaded["estimated"] == estimated
    for frame, row in enumerate((sample.row, sample.row + 1)):
        pose = clip.keypoints[row]
        features, support = feature_map(pose, clip.edges(row)), np.full(SIZE, 255)
        if estimated:
            features, support = estimate(content_features(clip, sample.content), pose)
        np.testing.assert_array_equal(loaded["features"][frame], to_network(features))
        np.testing.assert_array_equal(loaded["support"][frame, 0], support / 255)


@pytest.mark.parametrize("true_share", [1.0, 0.0])
def test_appearance_tells_nothing_of_the_paint(dataset, true_share):
    """All colourings of a pair have that of the clothes' own colours."""
    samples = frame_pairs(dataset, true_feature_share=true_share, appearance="parts", rollout_len=3)
    sample = samples.plan(0)[0]
    clip = samples.clips[sample.clip]
    own, painted = (samples.load(replace(sample, recoloring=recoloring))["appearance"] for recoloring in (0, 1))
    np.testing.assert_array_equal(own, painted)
    assert own.shape == (3, 3, *SIZE)
    shown = clip.image(sample.row)
    if not true_share:
        pose = clip.keypoints[sample.content]
        appearance = Appearance(clip.image(sample.content), pose, clip.mask(sample.content))
        shown = appearance.warp(estimate_affines(pose, clip.keypoints[sample.row]))
    np.testing.assert_array_equal(own[-2], to_network(shown))


def layered_pairs(dataset: ClipDataset, **changes) -> FramePairs:
    settings = {"true_feature_share": 0.0, "appearance": "layered", "unchanged_share": 0.5, "rollout_len": 3}
    samples = frame_pairs(dataset, **settings | changes)
    samples.with_start = True
    return samples


def test_a_layered_person_is_shown_with_or_without_the_paint(dataset):
    """Own colours are to be changed for another code; colours that the code says are to be kept."""
    samples = layered_pairs(dataset)
    sample = replace(samples.plan(0)[0], recoloring=1)
    clip, recolorings = samples.clips[sample.clip], samples.recolorings[sample.clip]
    changed, kept = (samples.load(replace(sample, unchanged=unchanged)) for unchanged in (False, True))
    own = samples.load(replace(sample, recoloring=0, unchanged=True))
    frame = LayeredContent.of(clip.image(sample.content), clip.keypoints[sample.content], clip.mask(sample.content))
    painted = recolorings.image(sample.content, 1)
    pose = clip.keypoints[sample.row]
    np.testing.assert_array_equal(own["appearance"][-2], to_network(frame.show(pose)))
    np.testing.assert_array_equal(changed["appearance"], own["appearance"])
    np.testing.assert_array_equal(kept["appearance"][-2], to_network(frame.recolored(painted).show(pose)))
    np.testing.assert_array_equal(kept["start"], to_network(painted))
    assert (changed["start"] != kept["start"]).any() and changed["kept"].max() == 0
    np.testing.assert_array_equal(kept["kept"], own["kept"])
    shares = frame.show_garments(pose).astype(np.float32).sum(axis=-1) / 255
    np.testing.assert_allclose(own["kept"][-2, 0], shares.clip(0, 1), atol=1e-6)
    assert own["kept"].shape == (3, 1, *SIZE) and own["kept"].max() > 0.9


def test_frames_of_their_own_are_shown_with_or_without_the_paint(dataset):
    samples = layered_pairs(dataset, true_feature_share=1.0)
    sample = replace(samples.plan(0)[0], recoloring=1)
    for unchanged, recoloring in ((False, 0), (True, 1)):
        loaded = samples.load(replace(sample, unchanged=unchanged))
        shown = samples.recolorings[sample.clip].image(sample.row, recoloring)
        np.testing.assert_array_equal(loaded["appearance"][-2], to_network(shown))
        assert loaded["kept"].shape == (3, 1, *SIZE) and loaded["kept"].max() == 0


def test_own_colors_and_a_share_of_the_others_are_unchanged(dataset):
    plan = layered_pairs(dataset, epoch_size=4000).plan(0)
    assert all(sample.unchanged for sample in plan if sample.recoloring == 0)
    others = [sample.unchanged for sample in plan if sample.recoloring]
    assert np.mean(others) == pytest.approx(0.5, abs=0.03)
    parts = frame_pairs(dataset, appearance="parts", unchanged_share=0.5, epoch_size=100)
    assert not any(sample.unchanged for sample in parts.plan(0))


def test_a_content_frame_is_parsed_once_while_there_is_room(dataset, monkeypatch):
    seen = []

    def find_once(image, keypoints, mask):
        seen.append(1)
        return FrameContents(np.full((4 * SIZE[0], 4 * SIZE[1]), 3, np.uint8), image)

    monkeypatch.setattr("posegen.samples.frame_pairs.find_contents", find_once)
    monkeypatch.setattr("posegen.samples.frame_pairs.LayeredContent.of", lambda *frame: None)
    samples = layered_pairs(dataset)
    for row in (0, 1, 0, 1):
        samples._take_apart(0, row)
    assert len(seen) == 2
    crowded = layered_pairs(dataset)
    crowded._most_contents = 1
    for row in (0, 1, 1, 0):
        crowded._take_apart(0, row)
    assert len(seen) == 2 + 3 and len(crowded._contents) == 1


def test_the_lead_is_the_frames_before_the_pair(dataset):
    samples = frame_pairs(dataset, true_feature_share=1.0, rollout_len=5, epoch_size=60)
    seen = set()
    for sample in samples.plan(0):
        clip, loaded = samples.clips[sample.clip], samples.load(sample)
        assert loaded["lead"] == sample.lead <= min(sample.row, 3)
        seen.add(sample.lead)
        assert len(loaded["features"]) == len(loaded["regions"]) == len(loaded["support"]) == 5
        for place, row in enumerate(range(sample.row - sample.lead, sample.row + 2), start=3 - sample.lead):
            features = to_network(feature_map(clip.keypoints[row], clip.edges(row)))
            np.testing.assert_array_equal(loaded["features"][place], features)
    assert seen == {0, 1, 2, 3}


def test_no_lead_goes_over_a_frame_without_a_pose(dataset):
    samples = frame_pairs(dataset, rollout_len=5, epoch_size=200)
    samples._usable = UsableFrames([SimpleNamespace(usable_rows=np.array([0, 2, 3, 4, 5]))] * len(samples.clips))
    most = {row: max(sample.lead for sample in samples.plan(0) if sample.row == row) for row in (2, 3, 4)}
    assert most == {2: 0, 3: 1, 4: 2}


def test_share_of_true_features_is_kept(dataset):
    plan = frame_pairs(dataset, true_feature_share=0.2, epoch_size=4000).plan(0)
    assert np.mean([sample.estimate for sample in plan]) == pytest.approx(0.8, abs=0.03)


def test_lab_is_what_the_garments_were_painted(dataset):
    """Variant 0 keeps the clothes, the others paint both garments."""
    samples = frame_pairs(dataset, epoch_size=40)
    seen = set()
    for sample in samples.plan(0):
        clip, recolorings = samples.clips[sample.clip], samples.recolorings[sample.clip]
        lab = samples.load(sample)["lab"]
        assert np.isnan(lab).all(axis=1).tolist() == [sample.recoloring == 0] * 2
        labels = garment_labels(*(part[[sample.content]] for part in whole(clip)))[0]
        row = recolorings.rows[sample.content, sample.recoloring]
        image = recolorings.image(sample.content, sample.recoloring)
        for garment, label in enumerate((UPPER, LOWER) if sample.recoloring else ()):
            assert lab[garment, 1:] == pytest.approx(
                (recolorings.upper_ab, recolorings.lower_ab)[garment][row], abs=1e-4
            )
            assert lab[garment, 0] == pytest.approx(mean_lightness(image, labels == label), abs=4)
            off = np.abs(rgb_to_lab(image[labels == label])[:, 1:].mean(0) - lab[garment, 1:]).max()
            assert off < 3 + 0.1 * np.abs(lab[garment, 1:]).max()  # folds are too dark for the most vivid colours
        seen.add(sample.recoloring)
    assert seen == {0, 1, 2}


def whole(clip) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, keypoints and masks of all frames."""
    read = clip.read()
    return read.images, read.keypoints, read.masks


def test_content_and_frames_wear_the_same_colours(dataset):
    samples = frame_pairs(dataset)
    sample = next(sample for sample in samples.plan(0) if sample.recoloring == 2)
    recolorings, loaded = samples.recolorings[sample.clip], samples.load(sample)
    np.testing.assert_array_equal(loaded["content"], to_network(recolorings.image(sample.content, 2)))
    for frame in (0, 1):
        np.testing.assert_array_equal(loaded["images"][frame], to_network(recolorings.image(sample.row + frame, 2)))


def test_colourings_of_a_pair_stand_side_by_side(dataset):
    plan = frame_pairs(dataset, colors_per_pair=2).plan(0)
    assert len(plan) == 2 * 2 * (NUM_FRAMES - 1)  # clips, colourings, pairs
    for one, two in zip(plan[::2], plan[1::2], strict=True):
        assert one.recoloring != two.recoloring
        assert replace(one, recoloring=two.recoloring) == two  # with the same noise, too


def test_an_epoch_counts_colourings(dataset):
    assert len(frame_pairs(dataset, colors_per_pair=2, epoch_size=8).plan(0)) == 8


def test_too_few_colourings_are_refused(dataset):
    with pytest.raises(DatasetError, match=r"fewer than 4 recolourings: colorize them with more"):
        frame_pairs(dataset, colors_per_pair=4)


def test_the_start_is_the_content_frame_before_it_was_painted(dataset):
    pairs = frame_pairs(dataset, with_start=True)
    painted = 0
    for sample in pairs.plan(0):
        arrays, clip = pairs.load(sample), pairs.clips[sample.clip]
        np.testing.assert_array_equal(arrays["start"], to_network(clip.image(sample.content)))
        painted += int((arrays["content"] != arrays["start"]).any())
    assert painted


def test_only_the_first_recolourings_are_seen(dataset):
    pairs, frames = frame_pairs(dataset, num_recolorings=1), colored_frames(dataset, num_recolorings=1)
    assert {sample.recoloring for epoch in range(4) for sample in pairs.plan(epoch)} == {0, 1}  # 0 is the original
    assert {sample.recoloring for epoch in range(4) for sample in frames.plan(epoch)} == {0}
    assert {sample.recoloring for epoch in range(4) for sample in colored_frames(dataset).plan(epoch)} == {0, 1}


def test_planning_opens_no_file(dataset, monkeypatch):
    """The index says which frames are usable, and of recolorings how many there are."""
    again = ClipDataset(dataset.folder)
    for kind in (ClipFile, RecoloringFile):
        monkeypatch.setattr(kind, "_table", property(lambda file: pytest.fail(f"{file.clip_id} was opened")))
    assert frame_pairs(again, rollout_len=4, colors_per_pair=2).plan(0) == frame_pairs(
        dataset, rollout_len=4, colors_per_pair=2
    ).plan(0)
    assert len(colored_frames(again).plan(0)) == 2 * NUM_FRAMES
    maps = collect(WarpedMaps, WarpedMapSettings, again, "train", epoch_size=9, seed=0, **MAPS)
    assert len(maps.plan(0)) == len(PosePairs(again, "train", epoch_size=9, seed=0).plan(0)) == 9
    assert len(HintedFrames(again, "train", recolored_share=0, epoch_size=0, seed=0).plan(0)) == 2 * NUM_FRAMES


def test_half_of_the_content_is_the_first_frame(dataset):
    plan = frame_pairs(dataset, epoch_size=4000).plan(0)
    share = np.bincount([sample.content for sample in plan], minlength=NUM_FRAMES) / len(plan)
    np.testing.assert_allclose(share, [0.5 + 0.5 / NUM_FRAMES, *[0.5 / NUM_FRAMES] * (NUM_FRAMES - 1)], atol=0.03)


def test_every_pair_is_seen_once(dataset):
    plan = frame_pairs(dataset).plan(3)
    assert sorted((sample.clip, sample.row) for sample in plan) == [(c, r) for c in (0, 1) for r in range(5)]
    assert plan == frame_pairs(dataset).plan(3) != frame_pairs(dataset).plan(4)
    assert any(one.row != two.row - 1 for one, two in pairwise(plan))


def test_without_painting_pairs_are_the_true_clip(dataset):
    samples = frame_pairs(dataset, recolored=False, epoch_size=30)
    assert {sample.recoloring for sample in samples.plan(0)} == {0}
    sample = samples.plan(0)[0]
    loaded = samples.load(sample)
    np.testing.assert_array_equal(loaded["images"][0], to_network(samples.clips[sample.clip].image(sample.row)))
    assert np.isnan(loaded["lab"]).all()


def test_a_painted_frame_knows_its_colour(dataset):
    samples = colored_frames(dataset)
    sample = samples.plan(0)[0]
    clip, loaded = samples.clips[sample.clip], samples.load(sample)
    labels = garment_labels(*(part[[sample.row]] for part in whole(clip)))[0]
    image = samples.recolorings[sample.clip].image(sample.row, sample.recoloring)
    np.testing.assert_array_equal(loaded["image"], to_network(image))
    assert loaded["lightness"] == pytest.approx(mean_lightness(image, labels == UPPER), abs=2)
    np.testing.assert_allclose(loaded["ab"], rgb_to_lab(image[labels == UPPER])[:, 1:].mean(0), atol=3)
    assert loaded["region"].shape == (1, *SIZE) and loaded["region"].max() == 1


def test_without_painting_a_frame_is_itself(dataset):
    samples = colored_frames(dataset, recolored=False)
    for sample in samples.plan(0)[:3]:
        loaded = samples.load(sample)
        np.testing.assert_array_equal(loaded["image"], to_network(samples.clips[sample.clip].image(sample.row)))
        assert np.isnan(loaded["ab"]).all() and loaded["lightness"] == 50


def test_noise_belongs_to_the_sample(dataset):
    for samples in (frame_pairs(dataset), colored_frames(dataset)):
        one, two, *_ = samples.plan(0)
        np.testing.assert_array_equal(samples.load(one)["noise"], samples.load(one)["noise"])
        assert (samples.load(one)["noise"] != samples.load(two)["noise"]).any()
