"""Commands that generate videos and measure runs."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.io.images import write_picture
from tests.support.command_line import refusals, refuse

test_bad_input_is_one_line_and_writes_nothing = refusals(
    ("evaluate nowhere", "no run in nowhere"),
    ("generate nowhere --content a --poses b --out c.mp4", "no run in nowhere"),
    ("generate nowhere --dataset d --content a --poses b --out c.avi", "written as .mp4, got 'c.avi'"),
    ("colorways nowhere.jpg --upper , --out a.png", "no colours given"),
    ("colorways nowhere.jpg --upper teal --out a.jpg", "the sheet is written as .png, got 'a.jpg'"),
    ("preview nowhere.jpg --out /dev/null/a.png", "/dev/null is no folder"),
    ("animate nowhere.jpg --action wave --out /dev/null/videos", "/dev/null is no folder"),
    ("animate nowhere.jpg --action wave --upper teal, black", "--upper takes one value, got teal, black; see"),
    (
        "animate nowhere.jpg --action wave, walk",
        "--action takes one value, got wave, walk; several are one word",
    ),
    ("compare a --out a.png", "the page is written as .html, got 'a.png'"),
    ("generate nowhere --content a --poses b --out c.mp4 --batch 0", "got batch 0, expected 1 or more"),
    ("animate nowhere --content a --action wave --out c.mp4", "no run in nowhere"),
    ("transfer nowhere --behavior a --posture b --out c.mp4", "nowhere"),
    ("export nowhere a.onnx", "nowhere"),
)


@pytest.mark.parametrize(
    "option",
    ["--encoders runs/upper", "--size 384x256", "--person 2", "--travel full", "--refiner runs/refiner"],
)
def test_a_run_does_not_ignore_what_photos_have(option, untrained_run, capsys, tmp_path):
    line = f"animate {untrained_run} --content grace/bow --action wave_one_hand --out {tmp_path}/a.mp4"
    name = option.split()[0]
    assert f"{name} is used with a photo, got a run: leave {name} out" in refuse(f"{line} {option}", capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "option",
    ["--content grace/bow", "--dataset clips", "--garments parser", "--exact-color", "--batch 2", "--precision bf16"],
)
def test_a_photo_does_not_ignore_what_runs_have(option, capsys, tmp_path):
    write_picture(tmp_path / "photo.png", np.zeros((96, 64, 3), np.uint8))
    name = option.split()[0]
    error = refuse(f"animate {tmp_path}/photo.png --action wave_one_hand --out {tmp_path}/a.mp4 {option}", capsys)
    assert f"{name} is used with a run, got a photo: leave {name} out" in error


@pytest.mark.parametrize("option", ["--poses a.mp4", "--travel full", "--refiner runs/refiner"])
@pytest.mark.parametrize("command", ["preview photo.jpg --out a.png", "colorways photo.jpg --upper red --out a.png"])
def test_a_still_picture_has_no_options_of_motion(command, option, capsys):
    assert option.split()[0] in refuse(f"{command} {option}", capsys)


def test_a_photo_is_measured_by_its_own_pipeline(tmp_path, capsys):
    (tmp_path / "ann.jpg").touch()
    assert f"posegen evaluate --pipeline photo {tmp_path}/ann.jpg" in refuse(f"evaluate {tmp_path}/ann.jpg", capsys)
