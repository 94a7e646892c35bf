"""Motions on a page of their own, and codes on a map."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from orchestration.generation.code_plots import plot_action_map
from orchestration.generation.motion_page import make_motion_figure, write_motion_page
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24
from posegen.synthetic.motions import make_subject, perform

ROOT = Path(__file__).resolve().parents[3]


def short_motion(action, frames, fps=25.0):
    motion = perform(action, make_subject(1))
    return Motion.from_joints(motion.joints[:frames] + np.float32([3, 1, 0]), fps)


def bodies(frame):
    """Points (N, 3) of the lines of a frame of the figure."""
    points = [np.stack([trace.x, trace.y, trace.z], axis=-1) for trace in frame.data]
    shown = np.concatenate(points)
    return shown[~np.isnan(shown).any(axis=1)]


def test_everyone_stands_in_their_place_on_one_floor():
    first, second = short_motion("wave", 6), short_motion("sit", 3)
    figure = make_motion_figure([first, second], ["wave", "sit"])
    assert len(figure.frames) == 6 and [frame.name for frame in figure.frames][-1] == "0.20"
    shown = bodies(figure.frames[0])
    assert abs(shown[:, 2].min()) < 0.02 and 1.5 < shown[:, 2].max() < 2.1  # z is up
    assert np.ptp(shown[:, 0]) > 1.5 and abs(shown[shown[:, 0] < 0.75, 0].mean()) < 0.2
    np.testing.assert_array_equal(  # who has ended stays
        bodies(figure.frames[2])[bodies(figure.frames[2])[:, 0] > 0.75],
        bodies(figure.frames[5])[bodies(figure.frames[5])[:, 0] > 0.75],
    )
    [captions] = [trace for trace in figure.data if trace.mode == "text"]
    assert list(captions.text) == ["wave", "sit"]


def test_long_captions_of_many_are_numbers_with_a_legend():
    motions = [short_motion("wave", 1)] * 6
    captions = [f"random future {number} of jump-2 of the second net" for number in range(6)]
    figure = make_motion_figure(motions, captions)
    [labels] = [trace for trace in figure.data if trace.mode == "text"]
    assert list(labels.text) == ["1", "2", "3", "4", "5", "6"]
    [legend] = figure.layout.annotations
    assert legend.text.split("<br>")[1] == f"<b>2</b>  {captions[1]}"
    alone = make_motion_figure(motions[:1], captions[:1])
    assert alone.data[-1].text == (captions[0],) and not alone.layout.annotations
    two = make_motion_figure(motions[:2], captions[:2])
    assert two.data[-1].text[0] == "random future 0 of jump-2 of the<br>second net"


@pytest.mark.parametrize("count", [1, 2, 6, 12])
def test_everybody_is_in_the_picture_and_fills_it(count):
    scene = make_motion_figure([short_motion("walk", 90)] * count, ["walk"] * count).layout.scene
    eye = np.array([scene.camera.eye[name] for name in "xyz"])
    sides = np.array([scene.aspectratio[name] for name in "xyz"])
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, (0, 0, 1)) / np.linalg.norm(np.cross(forward, (0, 0, 1)))
    corners = np.array(list(product(*zip(-sides / 2, sides / 2, strict=True)))) - eye
    depth = corners @ forward
    across, up = corners @ right / depth / np.tan(np.pi / 8) / 1.5, corners @ np.cross(right, forward) / depth
    reach = max(np.abs(across).max(), np.abs(up).max() / np.tan(np.pi / 8))
    assert reach == pytest.approx(1)


def test_bones_keep_their_lengths_on_the_page():
    motion = short_motion("kick", 1)
    [frame] = make_motion_figure([motion], [""]).frames
    shins = [trace for trace in frame.data if trace.line.color == "rgb(8, 81, 156)"]  # left: knee, ankle, foot
    x, y, z = (np.array(values) for values in (shins[0].x, shins[0].y, shins[0].z))
    hip, knee = motion.joints[0, [SMPL_24.index("left_hip"), SMPL_24.index("left_knee")]]
    assert np.linalg.norm((x[1] - x[0], y[1] - y[0], z[1] - z[0])) == pytest.approx(
        np.linalg.norm(knee - hip), rel=1e-5
    )


def test_frames_that_are_not_valid_are_grey():
    motion = short_motion("wave", 2)
    figure = make_motion_figure([replace(motion, valid=np.array([True, False]))], [""])
    for frame, grey in zip(figure.frames, (False, True), strict=True):
        used = {trace.line.color for trace in frame.data if len(trace.x)}
        assert (used == {"rgb(200, 200, 200)"}) is grey


def test_long_motions_are_thinned_and_rates_brought_together(monkeypatch):
    monkeypatch.setattr("orchestration.generation.motion_page._MAX_FRAMES", 5)
    figure = make_motion_figure([short_motion("wave", 12), short_motion("wave", 6, fps=12.5)], ["", ""])
    assert [frame.name for frame in figure.frames] == ["0.00", "0.12", "0.24", "0.36"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's chromium")
def test_a_browser_renders_the_page(tmp_path):
    page = write_motion_page(tmp_path / "of" / "motions.html", [short_motion("wave", 3)], ["wave <1>"], "epoch 3")
    gpu = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    command = ["chromium", "--headless", "--no-sandbox", *gpu, "--enable-logging=stderr", "--v=0"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=10000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    assert "<canvas" in done.stdout and "epoch 3" in done.stdout and "pause" in done.stdout
    assert not re.findall(r"https?://(?!www\.w3\.org)[^\"' ]+\.js", page.read_text()[-200_000:])
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "error" in line.lower()]
    assert not errors


def test_codes_of_an_action_have_one_colour(tmp_path):
    codes = np.repeat(np.eye(3), 40, axis=0) + np.random.default_rng(0).normal(size=(120, 3)) / 50
    plot_action_map(tmp_path / "of" / "map.png", codes, ["wave"] * 40 + ["walk"] * 40 + ["sit"] * 40, "epoch 3")
    picture = cv2.imread(str(tmp_path / "of" / "map.png"))[..., ::-1]
    for color in ((0, 114, 178), (230, 159, 0), (0, 158, 115)):
        places = np.argwhere(np.abs(picture[:, :680].astype(int) - color).max(axis=-1) < 6)
        assert len(places) > 20 and np.ptp(places, axis=0).max() < 250  # a heap
    with pytest.raises(ValueError, match="got 120 codes and 1 actions, expected one each"):
        plot_action_map(tmp_path / "map.png", codes, ["wave"])
    plot_action_map(tmp_path / "many.png", codes, [f"action {number % 40}" for number in range(120)])
