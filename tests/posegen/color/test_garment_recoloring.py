"""Garments of known albedo and shading: the colour is reached, texture and folds stay, and nothing else changes."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from posegen.color.garment_recoloring import GarmentPaint, paint_garments
from posegen.color.garment_regions import garment_region, require_separate
from posegen.color.lab import delta_e_2000, lab_to_linear_rgb, rgb_to_lab, shown_color
from posegen.color.palette import parse_color
from posegen.errors import ColorError, ConfigError
from posegen.person_classes import PersonClass

HEIGHT, WIDTH = 160, 120
SKIN, WALL = (205, 160, 135), (176, 182, 190)
COLORS = {
    name: parse_color(name)
    for name in ("black", "white", "navy", "#ffd1dc", "#d62020", "teal", "#2a6fdb", "#f2d22e", "#2e7d32", "#808080")
}


def folds(seed: int = 0) -> np.ndarray:
    """Shading (H, W) in linear light about 1: folds, and a light from one side."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH)), (0, 0), 4)
    side = np.linspace(-0.2, 0.2, WIDTH)[None]
    return np.exp(0.22 * noise / noise.std() + side)


def encode(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear) * 255


def labels_of_person() -> np.ndarray:
    """A garment with an arm across it, skin above it, and a wall around."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[15:40, 45:75] = PersonClass.SKIN
    labels[5:15, 45:75] = PersonClass.HAIR
    labels[40:130, 25:95] = PersonClass.UPPER
    labels[90:100, 25:70] = PersonClass.SKIN
    return labels


def render(albedo: np.ndarray, shading: np.ndarray | None = None, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A person in a garment of albedo (3,) or (H, W, 3) in L, a, b, with mixed pixels at its outline, and labels."""
    labels = labels_of_person()
    shading = folds() if shading is None else shading
    garment = encode(lab_to_linear_rgb(np.broadcast_to(albedo, (HEIGHT, WIDTH, 3))) * shading[..., None])
    others = np.empty_like(garment)
    others[:] = WALL
    others[labels == PersonClass.SKIN] = SKIN
    others[labels == PersonClass.HAIR] = (60, 42, 30)
    opacity = cv2.GaussianBlur((labels == PersonClass.UPPER).astype(np.float64), (0, 0), 0.7)[..., None]
    image = opacity * garment + (1 - opacity) * others
    image += np.random.default_rng(1).normal(0, noise, image.shape) if noise else 0
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels


def stripes(first: tuple[float, float, float], second: tuple[float, float, float], width: int = 6) -> np.ndarray:
    """Albedo (H, W, 3) of stripes, the first color twice as wide."""
    rows = (np.arange(HEIGHT) // width % 3 == 2)[:, None, None]
    return np.broadcast_to(np.where(rows, np.array(second), np.array(first)), (HEIGHT, WIDTH, 3))


def inner(labels: np.ndarray, by: int = 4) -> np.ndarray:
    region = (labels == PersonClass.UPPER).astype(np.uint8)
    return cv2.erode(region, np.ones((2 * by + 1, 2 * by + 1))) > 0


@pytest.mark.parametrize("own", ["#2a6fdb", "black", "white", "#8a8f5a", "#301010"])
@pytest.mark.parametrize("target", COLORS)
def test_the_median_is_the_colour(own, target):
    albedo = np.array(parse_color(own))
    albedo[0] = np.clip(albedo[0], 9, 88)  # clothes in photos are neither black nor white
    image, labels = render(albedo, noise=1.5)
    painted = rgb_to_lab(GarmentPaint(image, labels, "upper").apply(COLORS[target])[inner(labels)])
    assert delta_e_2000(np.median(painted, axis=0), np.array(COLORS[target])) < 1.5


def log_shading(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    return np.log(rgb_to_lab(image[region])[:, 0] + 16)


@pytest.mark.parametrize("target", ["#d62020", "teal", "#808080"])
def test_folds_keep_their_ratio(target):
    image, labels = render((60.0, 10.0, -30.0))
    region = inner(labels)
    painted = GarmentPaint(image, labels, "upper").apply(parse_color(target))
    before, after = log_shading(image, region), log_shading(painted, region)
    assert np.corrcoef(before, after)[0, 1] > 0.97
    lower = before < np.median(before)
    assert np.std(after[lower]) == pytest.approx(np.std(before[lower]), rel=0.25)


def test_white_becomes_black_with_folds():
    image, labels = render((88.0, 0.0, 1.0), shading=np.minimum(folds(), 1.15))
    region = inner(labels)
    painted = GarmentPaint(image, labels, "upper").apply(parse_color("black"))
    lightness = rgb_to_lab(painted[region])[:, 0]
    assert np.median(lightness) < 2.6
    assert 4 < np.quantile(lightness, 0.95) < 20
    assert np.corrcoef(lightness, rgb_to_lab(image[region])[:, 0])[0, 1] > 0.6


def test_black_becomes_white_with_folds_and_without_blotches():
    shading = folds()
    image, labels = render((11.0, 0.0, 0.0), shading, noise=3.0)
    region = inner(labels)
    content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    image = cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1].copy()
    painted = rgb_to_lab(GarmentPaint(image, labels, "upper").apply(parse_color("white")))
    lightness = painted[..., 0]
    assert np.median(lightness[region]) > 97
    assert 70 < np.quantile(lightness[region], 0.05) < 96
    assert np.corrcoef(lightness[region], np.minimum(shading, 1)[region])[0, 1] > 0.7
    rough = lightness - cv2.GaussianBlur(lightness, (0, 0), 2)
    assert np.std(rough[region]) < 1.2
    assert np.quantile(np.hypot(painted[..., 1], painted[..., 2])[region], 0.95) < 4


@pytest.mark.parametrize("crushed", [0.35, 0.5])
def test_light_on_black_is_no_second_colour(crushed):
    """A camera has crushed the middle of a black shirt and shows its sides, which are many times as bright."""
    away = np.abs(np.linspace(-1.7, 1.7, WIDTH))
    light = np.clip((away - crushed) / (1 - crushed), 0, 1) ** 2 + 0.002
    image, labels = render((16.0, 4.0, -8.0), np.tile(light, (HEIGHT, 1)), noise=4.0)
    painted = rgb_to_lab(GarmentPaint(image, labels, "upper").apply(COLORS["teal"]))
    first, last = np.quantile(painted[..., 0][inner(labels, 1)], [0.25, 0.75])
    assert last - first < 7.0


@pytest.mark.parametrize("target", ["#d62020", "navy", "white", "black", "#ffd1dc"])
@pytest.mark.parametrize("pair", [((85.0, 0.0, 0.0), (35.0, 0.0, 0.0)), ((20.0, 4.0, -12.0), (80.0, 0.0, 0.0))])
def test_stripes_stay_stripes(target, pair):
    image, labels = render(stripes(*pair))
    region, second = inner(labels), np.broadcast_to((np.arange(HEIGHT) // 6 % 3 == 2)[:, None], (HEIGHT, WIDTH))
    paint = GarmentPaint(image, labels, "upper")
    painted = rgb_to_lab(paint.apply(parse_color(target)))
    ground = np.median(painted[region & ~second], axis=0)
    assert delta_e_2000(ground, np.array(parse_color(target))) < 2.5
    assert delta_e_2000(np.median(painted[region & second], axis=0), ground) > 8
    assert (paint.cloth & second & region).sum() < 0.2 * (second & region).sum()


def test_stripes_of_the_same_hue_become_tones_of_the_new_one():
    image, labels = render(stripes((60.0, 5.0, -40.0), (35.0, 5.0, -40.0)))
    region, second = inner(labels), np.broadcast_to((np.arange(HEIGHT) // 6 % 3 == 2)[:, None], (HEIGHT, WIDTH))
    painted = rgb_to_lab(GarmentPaint(image, labels, "upper").apply((60.0, 45.0, 25.0)))
    stripe = np.median(painted[region & second], axis=0)
    assert np.degrees(np.arctan2(stripe[2], stripe[1])) == pytest.approx(np.degrees(np.arctan2(25, 45)), abs=12)
    assert stripe[0] < 50


def test_a_large_piece_of_another_colour_keeps_its_pixels():
    albedo = np.broadcast_to(np.array([25.0, 3.0, -20.0]), (HEIGHT, WIDTH, 3)).copy()
    albedo[40:130, 50:70] = 85.0, 0.0, 2.0  # a shirt under a jacket
    image, labels = render(albedo)
    painted = GarmentPaint(image, labels, "upper").apply(parse_color("#d62020"))
    shirt = np.zeros((HEIGHT, WIDTH), bool)
    shirt[46:84, 55:65] = True
    assert (painted[shirt] == image[shirt]).all()


@pytest.mark.parametrize("dark", [(25, 1, -1), (34, 1, -1)])
def test_white_sleeves_beside_a_dark_vest_keep_their_pixels(dark):
    """The cloth of the vest was followed onto them, as if they were the vest in the sun."""
    albedo = np.empty((HEIGHT, WIDTH, 3))
    albedo[:], albedo[:, 72:] = dark, (92, 0, -2)
    image, labels = render(albedo)
    painted = GarmentPaint(image, labels, "upper").apply(COLORS["#d62020"], image)
    sleeve = np.zeros_like(labels, bool)
    sleeve[48:82, 80:90] = True
    assert np.abs(painted[sleeve].astype(int) - image[sleeve]).max() <= 3
    vest = rgb_to_lab(painted[45:85, 30:65]).reshape(-1, 3)
    assert delta_e_2000(np.median(vest, axis=0), COLORS["#d62020"]) < 3


def test_a_darker_tone_of_the_cloths_hue_is_the_cloth():
    """Jeans that are washed out above and not below."""
    albedo = np.broadcast_to(np.array([45.0, 2.0, -26.0]), (HEIGHT, WIDTH, 3)).copy()
    albedo[110:] = 10.0, 12.0, -26.0
    image, labels = render(albedo)
    paint = GarmentPaint(image, labels, "upper")
    painted = paint.apply(parse_color("#d62020"))
    below = paint.region & (np.arange(HEIGHT)[:, None] > 115)
    assert (painted[below] != image[below]).any(axis=-1).mean() > 0.99
    assert (rgb_to_lab(painted)[below][:, 1] > 10).mean() > 0.99
    assert np.linalg.norm(rgb_to_lab(paint.apply(parse_color("white")))[below][:, 1:], axis=-1).mean() < 6
    above = paint.region & (np.arange(HEIGHT)[:, None] < 105)
    navy = rgb_to_lab(paint.apply(parse_color("navy")))[..., 0]
    assert np.median(navy[below]) < np.median(navy[above])


@pytest.mark.parametrize("own", [(12.0, 0.0, 0.0), (88.0, 0.0, 0.0), (45.0, 50.0, 30.0)])
def test_skin_hair_and_background_stay(own):
    image, labels = render(own, noise=1.0)
    paint = GarmentPaint(image, labels, "upper")
    bare = np.isin(labels, (PersonClass.SKIN, PersonClass.HAIR))
    far = cv2.dilate(paint.region.astype(np.uint8), np.ones((13, 13))) == 0
    for target in COLORS.values():
        painted = paint.apply(target)
        assert (painted[far] == image[far]).all()
        beside = cv2.dilate(paint.region.astype(np.uint8), np.ones((3, 3))) == 0
        assert (painted[bare & beside] == image[bare & beside]).all()


@pytest.mark.parametrize(("own", "target"), [((12.0, 0.0, 0.0), "white"), ((88.0, 0.0, 0.0), "navy")])
def test_no_rim_of_the_old_colour_is_left(own, target):
    """Mixed pixels become the mixtures that a garment of the new colour would have."""
    flat = np.ones((HEIGHT, WIDTH))
    image, labels = render(own, flat)
    truth, _ = render(shown_color(parse_color(target)), flat)
    painted = GarmentPaint(image, labels, "upper").apply(parse_color(target))
    beside = (labels == PersonClass.UPPER) | (labels == PersonClass.BACKGROUND)
    rim = beside & (cv2.dilate((labels == PersonClass.SKIN).astype(np.uint8), np.ones((9, 9))) == 0)
    away = delta_e_2000(rgb_to_lab(painted[rim]), rgb_to_lab(truth[rim]))
    assert np.quantile(away, 0.99) < 4


def test_a_light_along_the_outline_is_cloth():
    """Where the sun meets the side of a sleeve, cloth goes on beyond what is as bright as the wall."""
    image, labels = render(parse_color("#8a8f5a"), np.ones((HEIGHT, WIDTH)))
    image[50:85, 26] = WALL
    painted = GarmentPaint(image, labels, "upper").apply(parse_color("navy"))
    away = delta_e_2000(rgb_to_lab(painted[52:83, 26]), np.array(parse_color("navy")))
    assert np.median(away) < 15


def test_without_colours_every_pixel_stays():
    image, labels = render((40.0, 20.0, 20.0))
    assert paint_garments(image, labels, {}) is image


def test_two_garments_meet_without_their_old_colours():
    image, labels = render((20.0, 0.0, 0.0), np.ones((HEIGHT, WIDTH)))
    labels[85:130][labels[85:130] == PersonClass.UPPER] = PersonClass.LOWER
    image[105:130, 25:95] = (90, 90, 210)
    labels[85:105][labels[85:105] == PersonClass.LOWER] = PersonClass.UPPER
    wanted = {"upper": parse_color("#f2d22e"), "lower": parse_color("#f2d22e")}
    painted = rgb_to_lab(paint_garments(image, labels, wanted))
    seam = painted[101:109, 35:85].reshape(-1, 3)
    assert np.quantile(delta_e_2000(seam, np.array(wanted["upper"])), 0.95) < 6


def test_a_dress_is_both_garments():
    labels = np.full((20, 20), PersonClass.ONE_PIECE, np.uint8)
    assert garment_region(labels, "upper").all() and garment_region(labels, "lower").all()
    require_separate(labels, {"upper": (50, 0, 0), "lower": (50, 0, 0)})
    with pytest.raises(ColorError, match="a one-piece: give it one colour"):
        require_separate(labels, {"upper": (50, 0, 0), "lower": (60, 0, 0)})
    labels[:6] = PersonClass.UPPER  # a jacket over it
    assert garment_region(labels, "upper").sum() == 120
    require_separate(labels, {"upper": (50, 0, 0), "lower": (60, 0, 0)})


def test_bad_input_is_named():
    image, labels = render((40.0, 20.0, 20.0))
    with pytest.raises(ColorError, match="no lower garment is seen"):
        GarmentPaint(image, labels, "lower")
    with pytest.raises(ConfigError, match="expected uint8"):
        GarmentPaint(image, labels[:-1], "upper")
    with pytest.raises(ConfigError, match="unknown garment 'hat'"):
        garment_region(labels, "hat")


@pytest.mark.parametrize("lab", [(60.0, 120.0, 0.0), (95.0, 60.0, 60.0)])
def test_colours_out_of_gamut_keep_lightness_and_hue(lab):
    shown = shown_color(lab)
    assert shown[0] == lab[0]
    assert np.arctan2(shown[2], shown[1]) == pytest.approx(np.arctan2(lab[2], lab[1]))
    image, labels = render((40.0, 20.0, 20.0))
    painted = rgb_to_lab(GarmentPaint(image, labels, "upper").apply(lab)[inner(labels)])
    assert delta_e_2000(np.median(painted, axis=0), shown) < 1.5


def test_a_colour_takes_milliseconds():
    image, labels = render((40.0, 20.0, 20.0))
    image, labels = (cv2.resize(part, (256, 384), interpolation=cv2.INTER_NEAREST) for part in (image, labels))
    paint = GarmentPaint(image, labels, "upper")
    times = []
    for lightness in range(20, 80, 5):
        start = time.process_time()
        paint.apply((lightness, 20.0, 10.0))
        times.append(time.process_time() - start)
    assert np.median(times) < 0.05  # 6 ms on an idle machine
