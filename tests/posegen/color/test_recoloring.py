"""Recolouring: the right colour in the right place, and nothing else changed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posegen.color.garment_segmentation import LOWER, UPPER
from posegen.color.lab import rgb_to_lab
from posegen.color.palette import sample_ab
from posegen.color.recoloring import (
    RecoloringSettings,
    feather,
    mean_lightness,
    plan_clip,
    plan_recolorings,
    recolor,
    recolor_clip,
)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """A textured picture of moderate contrast, (120, 80, 3)."""
    noise = np.random.default_rng(0).normal(0, 60, (120, 80, 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 2) + np.array([130, 110, 100]), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def garments() -> np.ndarray:
    labels = np.zeros((120, 80), np.uint8)
    labels[20:60, 20:60] = UPPER
    labels[60:110, 25:40] = labels[60:110, 42:57] = LOWER
    return labels


def mean_ab(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    return rgb_to_lab(image[region])[:, 1:].mean(axis=0)


@pytest.mark.parametrize("target", [(40, 30), (-30, 25), (10, -45), (0, 0)])
def test_the_mean_becomes_the_target(picture, garments, target):
    region = garments == UPPER
    painted = recolor(picture, feather(region), target)
    assert mean_ab(painted, region) == pytest.approx(target, abs=1)


def test_sampled_targets_are_reached(picture, garments):
    region = garments == LOWER
    lightness = mean_lightness(picture, region)
    targets = [sample_ab(np.random.default_rng(seed), lightness) for seed in range(40)]
    errors = [np.abs(mean_ab(recolor(picture, feather(region), ab), region) - ab).max() for ab in targets]
    assert np.median(errors) < 1
    assert np.quantile(errors, 0.9) < 3


def test_lightness_and_texture_stay(picture, garments):
    region = garments == UPPER
    painted = recolor(picture, feather(region), (15, -20))
    before, after = rgb_to_lab(picture[region]), rgb_to_lab(painted[region])
    assert np.abs(after[:, 0] - before[:, 0]).max() < 1
    core = feather(region)[region] == 1
    shift = (after - before)[core, 1:]
    assert np.abs(shift - shift.mean(axis=0)).max() < 1.5  # all of the core moves alike


def test_colors_out_of_gamut_lose_chroma_but_not_hue(picture, garments):
    region = garments == UPPER
    before = rgb_to_lab(picture[region])
    after = rgb_to_lab(recolor(picture, region.astype(float), (0, -120))[region])
    assert np.abs(after[:, 0] - before[:, 0]).max() < 1
    assert (after[:, 2] < -20).all()


def test_all_else_is_byte_identical(picture, garments):
    region = garments == UPPER
    untouched = picture.copy()
    painted = recolor(picture, feather(region), (50, 40))
    assert (painted[~region] == picture[~region]).all()
    assert (painted[region] != picture[region]).any(axis=1).all()
    assert (picture == untouched).all()


def test_feather_is_inside_and_two_pixels_wide():
    region = np.zeros((20, 20), bool)
    region[5:15, 5:15] = True
    weights = feather(region)
    assert weights[10, 4:9].tolist() == [0, 0.75, 1, 1, 1]
    assert (weights[~region] == 0).all()


def test_recolor_errors(picture):
    with pytest.raises(ValueError, match="expected uint8"):
        recolor(picture / 255, np.ones((120, 80)), (0, 0))
    with pytest.raises(ValueError, match="expected uint8"):
        recolor(picture, np.ones((80, 120)), (0, 0))
    assert (recolor(picture, np.zeros((120, 80)), (50, 50)) == picture).all()


# ---- Plans


def plan(**changes):
    call = dict(num_frames=6, mean_l=(60.0, 40.0), clip_id="ada.wave-1")
    call |= {name: changes.pop(name) for name in call if name in changes}
    settings = dict(num_recolorings=4, scope="frame", region="both", seed=0) | changes
    return plan_recolorings(RecoloringSettings(**settings), **call)


def test_a_plan_does_not_depend_on_the_other_frames():
    assert plan(num_frames=3) == plan(num_frames=6)[:12]
    short = {(paint.frame, paint.recoloring): paint for paint in plan(num_recolorings=2)}
    assert short.items() <= {(paint.frame, paint.recoloring): paint for paint in plan()}.items()


@pytest.mark.parametrize("changes", [{"seed": 1}, {"clip_id": "ada.wave-2"}])
def test_seed_and_clip_change_all_colors(changes):
    ours, theirs = plan(), plan(**changes)
    assert not {paint.upper_ab for paint in ours} & {paint.upper_ab for paint in theirs}


def test_scope_frame_paints_every_frame_anew():
    colors = {paint.upper_ab for paint in plan()} | {paint.lower_ab for paint in plan()}
    assert len(colors) == 2 * 6 * 4
    assert len({paint.seed for paint in plan()}) == 6 * 4


def test_scope_clip_paints_all_frames_alike_and_keeps_the_original():
    paints = plan(scope="clip", num_recolorings=5)
    colors = [{(paint.upper_ab, paint.lower_ab) for paint in paints if paint.recoloring == k} for k in range(5)]
    assert colors[0] == {(None, None)}
    assert all(len(color) == 1 for color in colors)
    assert len(set.union(*colors)) == 5


def test_region_paints_that_garment_only():
    assert all(paint.lower_ab is None and paint.upper_ab is not None for paint in plan(region="upper"))
    assert all(paint.upper_ab is None and paint.lower_ab is not None for paint in plan(region="lower"))
    assert [paint.lower_ab for paint in plan(region="lower")] == [paint.lower_ab for paint in plan()]


def test_seeds_fit_the_data_set():
    assert all(0 <= paint.seed < 2**63 for paint in plan())


def test_unknown_choices():
    with pytest.raises(ValueError, match="unknown scope 'video'"):
        plan(scope="video")
    with pytest.raises(ValueError, match="unknown region 'shoes'"):
        plan(region="shoes")


# ---- Clips


def test_augment_clip_paints_what_it_designates(picture, garments):
    images, labels = np.stack([picture, picture[::-1]]), np.stack([garments, garments[::-1]])
    for region, other in (("upper", LOWER), ("lower", UPPER)):
        settings = RecoloringSettings(scope="frame", region=region, num_recolorings=3, seed=7)
        recolorings = list(recolor_clip(images, labels, plan_clip(images, labels, settings, "x")))
        assert [(v.frame, v.recoloring) for v in recolorings] == [(t, k) for t in (0, 1) for k in (0, 1, 2)]
        for recoloring in recolorings:
            own = labels[recoloring.frame] == (UPPER if region == "upper" else LOWER)
            designated = recoloring.upper_ab or recoloring.lower_ab
            assert mean_ab(recoloring.image, own) == pytest.approx(designated, abs=5)
            assert (recoloring.image[~own] == images[recoloring.frame][~own]).all()
            assert (labels[recoloring.frame][~own] == other).any()


def test_augment_clip_designates_nothing_where_a_garment_is_not_seen(picture, garments):
    labels = np.stack([garments, np.where(garments == LOWER, 0, garments).astype(np.uint8)])
    images = np.stack([picture] * 2)
    settings = RecoloringSettings(scope="clip", region="both", num_recolorings=2, seed=0)
    plan = plan_clip(images, labels, settings, "x")
    recolorings = list(recolor_clip(images, labels, plan))
    original, painted = recolorings[0], recolorings[3]
    assert (original.image == picture).all()
    assert painted.lower_ab is None and painted.upper_ab is not None
    assert (painted.image[labels[1] == 0] == picture[labels[1] == 0]).all()


def test_plan_needs_one_label_per_pixel(picture, garments):
    with pytest.raises(ValueError, match=r"garments of shape \(120, 80\)"):
        plan_clip(
            picture[None], garments, RecoloringSettings(scope="clip", region="both", num_recolorings=1, seed=0), ""
        )
