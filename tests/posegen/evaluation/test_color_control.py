"""Swapped codes, drawn by renderers that follow them, ignore them, or let them leak."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
import torch

from posegen.datasets.clip_files import RECOLORING_SCHEMA, Clip, ClipInfo, write_clip
from posegen.datasets.clips import ClipDataset, DatasetInfo, save_dataset_info
from posegen.datasets.frame_table import write_table
from posegen.evaluation.color_control import (
    ColorControlCase,
    match_target_colors,
    measure_excerpts,
    open_excerpts,
    prepare_swaps,
    summarize_swaps,
    swap_codes,
)
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import encode_png
from posegen.io.storage import StorageFolder
from posegen.metrics.image import ssim
from posegen.perception.garments import label_garments
from posegen.stages import VideoGenerator
from posegen.synthetic.studio import RenderSettings, render_action

SIZE = (96, 64)
NUM_FRAMES = 10
ACTION = "salute"
COLORS = [((200, 60, 60), (60, 60, 160)), ((190, 70, 70), (60, 140, 60)), ((60, 120, 190), (180, 150, 60))]
"""Upper and lower garment: a clip's own, and of two variants. The first one's upper garment is nearly the clip's."""


@cache
def rendered(upper: int, lower: int):
    """The clip with the upper garment of one colouring and the lower garment of another."""
    colors = {"upper_color": COLORS[upper][0], "lower_color": COLORS[lower][1]}
    return render_action("grace", ACTION, NUM_FRAMES, RenderSettings(size=SIZE, **colors))


def write_person(folder: StorageFolder, person: str, action: str = ACTION) -> None:
    truth = rendered(0, 0)
    info = ClipInfo(
        clip_id=f"{person}-{action}",
        person=person,
        action=action,
        fps=25.0,
        source="",
        source_sha256="",
        num_frames=NUM_FRAMES,
        size=SIZE,
    )
    clip = Clip(
        info=info,
        frames=np.arange(NUM_FRAMES, dtype=np.int32),
        times=np.arange(NUM_FRAMES) / 25,
        images=truth.images,
        keypoints=truth.keypoints,
        edges=truth.edges,
        masks=truth.masks,
    )
    write_clip(folder, clip)
    rows = [(frame, recoloring) for frame in range(NUM_FRAMES) for recoloring in range(3)]
    table = pa.table(
        {
            "frame": [frame for frame, _ in rows],
            "variant": [recoloring for _, recoloring in rows],
            "image": [encode_png(rendered(recoloring, recoloring).images[frame]) for frame, recoloring in rows],
            "upper_ab": [None for _ in rows],
            "lower_ab": [None for _ in rows],
            "seed": [0 for _ in rows],
        },
        schema=RECOLORING_SCHEMA,
    )
    write_table(folder / "colors" / "clip-both", f"{info.clip_id}.parquet", table)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> ClipDataset:
    folder = StorageFolder(tmp_path_factory.mktemp("data"))
    for person, action in (("ann", ACTION), ("ann", "wave"), ("bob", ACTION), ("cleo", ACTION)):
        write_person(folder, person, action)
    save_dataset_info(folder, DatasetInfo(SIZE, {}, {}, split_by="action", splits={"train": [], "test": [ACTION]}))
    return ClipDataset(folder)


@pytest.fixture(scope="module")
def case(data) -> ColorControlCase:
    file = data.split("test")[0]
    clip = file.read()
    labels = label_garments(clip.images, clip.keypoints, clip.masks)
    return prepare_swaps(file, clip, labels, data.recolorings("clip", "both", file), 2)


class Renderer:
    """Stands in for a synthesizer: a code is the numbers of the two colourings, which it knows from the picture."""

    size, device = SIZE, torch.device("cpu")

    def encode(self, image):
        known = [abs(image.astype(float) - rendered(n, n).images[0]).mean() for n in range(3)]
        return torch.full((2,), float(np.argmin(known)))

    def split(self, z):
        return z[:1], z[1:]

    def frames(self, content, poses, z=None):
        z = self.encode(content.image) if z is None else z
        return iter(self.draw(*map(int, z))[: len(poses)])

    def draw(self, upper: int, lower: int) -> np.ndarray:
        return rendered(upper, lower).images


class Deaf(Renderer):
    def draw(self, upper, lower):
        return rendered(0, 0).images


class Leaking(Renderer):
    """Colours both garments alike, and the room as well."""

    def draw(self, upper, lower):
        images = rendered(max(upper, lower), max(upper, lower)).images.copy()
        images[rendered(0, 0).masks == 0] //= 1 + max(upper, lower)
        return images


class Flat(Renderer):
    """Hits the colour and loses all folds."""

    def draw(self, upper, lower):
        images, garments = rendered(upper, lower).images.copy(), rendered(0, 0).garments
        for garment, changed in ((1, upper), (2, lower)):
            if changed:
                images[garments == garment] = images[garments == garment].mean(axis=0).astype(np.uint8)
        return images


def swap(renderer: Renderer, case: ColorControlCase) -> dict[str, float]:
    return summarize_swaps(swap_codes(renderer, case, renderer.draw(0, 0)))


def test_a_renderer_that_does_what_codes_say(case):
    scores = swap(Renderer(), case)
    assert scores.keys() == {
        *(f"{name}_{region}" for name in ("recolor", "hit", "texture") for region in ("upper", "lower")),
        *("leakage_other", "leakage_skin", "background_delta_e", "code_sensitivity"),
    }
    for region in ("upper", "lower"):
        assert scores[f"recolor_{region}"] == pytest.approx(1, abs=0.1)
        assert scores[f"hit_{region}"] < 3
        assert scores[f"texture_{region}"] > 0.7
    assert max(scores["leakage_other"], scores["leakage_skin"], scores["background_delta_e"]) < 2
    assert scores["code_sensitivity"] > 0.002


def test_a_renderer_that_ignores_codes(case):
    scores = swap(Deaf(), case)
    for region in ("upper", "lower"):
        assert scores[f"recolor_{region}"] == 0 and scores[f"hit_{region}"] > 15
        assert scores[f"texture_{region}"] == pytest.approx(1)
    assert scores["code_sensitivity"] == scores["leakage_other"] == scores["background_delta_e"] == 0


def test_colours_that_leak(case):
    scores = swap(Leaking(), case)
    assert scores["leakage_other"] > 10 and scores["background_delta_e"] > 10
    assert scores["recolor_upper"] == pytest.approx(1, abs=0.1)  # for all that, the garment has its colour


def test_folds_that_are_lost(case):
    scores = swap(Flat(), case)
    assert scores["texture_upper"] < 0.1 and scores["hit_upper"] < 3


def test_a_swap_of_like_colours_says_nothing(case):
    """Of both variants one has the clip's own upper colour, nearly."""
    regions = [recoloring.region for recoloring in swap_codes(Renderer(), case, rendered(0, 0).images)]
    assert [swap.region for swap in case.swaps] == ["upper", "lower"] * 2
    assert sorted(regions) == ["lower", "lower", "upper"]


def test_wishes_are_measured_as_swaps_are(case, monkeypatch):
    """The code that is found draws the second colouring, however far that is from the wish."""
    asked = []

    def find(synthesizer, content, z, wishes):
        ((region, (_lightness, a, b)),) = wishes.items()
        asked.append((region, (a, b)))
        return torch.where(torch.tensor([region == "upper", region == "lower"]), 2.0, z), {}

    monkeypatch.setattr("posegen.evaluation.color_control.match_colors", find)
    recolorings = match_target_colors(Renderer(), case, rendered(0, 0).images, count=2)
    assert [(recoloring.region, recoloring.target) for recoloring in recolorings] == asked
    assert [region for region, _ in asked] == ["upper"] * 2 + ["lower"] * 2 and len(set(asked)) == 4
    swapped = swap_codes(Renderer(), case, rendered(0, 0).images)
    ends = {recoloring.region: recoloring.end for recoloring in swapped}  # of the last colouring
    assert all(recoloring.end == ends[recoloring.region] for recoloring in recolorings)
    assert all(recoloring.leakage["other_garment"] < 2 for recoloring in recolorings)


def test_codes_that_are_equal_have_no_sensitivity(case):
    class Blind(Deaf):
        def encode(self, image):
            return torch.zeros(2)

    scores = swap(Blind(), case)
    assert "code_sensitivity" not in scores and scores["recolor_lower"] == 0


def test_what_a_clip_does_not_show_is_not_measured(case):
    legless = replace(case, labels=np.where(case.labels == 2, 0, case.labels), swaps=case.swaps[:3:2])
    scores = swap(Renderer(), legless)
    assert "leakage_other" not in scores and "recolor_lower" not in scores and "recolor_upper" in scores


def test_excerpts_are_short_and_swap_to_the_farthest_colour(data):
    excerpts = open_excerpts(data, "test", num_frames=4)
    assert [excerpt.clip.info.person for excerpt in excerpts] == ["ann", "bob"]
    for excerpt in excerpts:
        assert len(excerpt.clip) == len(excerpt.labels) == excerpt.clip.info.num_frames == 4
        upper, lower = excerpt.swaps
        assert (upper.region, lower.region) == ("upper", "lower")
        np.testing.assert_array_equal(upper.image, rendered(2, 2).images[0])


def test_excerpts_are_measured_like_whole_clips(data, case):
    excerpts = open_excerpts(data, "test", count=1, num_frames=NUM_FRAMES)
    scores = measure_excerpts(Renderer(), excerpts, {"ssim": ssim})
    assert 0 < scores.pop("flicker") < 0.05
    assert scores.pop("hit") == pytest.approx((scores["hit_upper"] + scores["hit_lower"]) / 2)
    assert (scores.pop("ssim"), scores.pop("ssim_masked")) == pytest.approx((1, 1))
    farthest = replace(case, swaps=excerpts[0].swaps)
    assert scores == pytest.approx(swap(Renderer(), farthest))


def test_a_real_synthesizer_is_measured(data):
    config = replace(VideoGenerator.presets["tiny"], generator_width=4, num_blocks=1, encoder_width=4)
    torch.manual_seed(0)
    synthesizer = VideoSynthesizer(VideoGenerator(config), SIZE, torch.device("cpu"))
    scores = measure_excerpts(synthesizer, open_excerpts(data, "test", count=1, num_frames=3), {})
    assert {"flicker", "recolor_upper", "hit_lower", "code_sensitivity"} <= scores.keys()
    assert np.isfinite(list(scores.values())).all()
