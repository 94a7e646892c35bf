"""The demo's first step: files of the promised sizes and colours, and none where the pose network is missing."""

from __future__ import annotations

from io import StringIO

import numpy as np
from rich.console import Console

from orchestration.cli.report import ConsoleOutput
from orchestration.reports import demo as demo_module
from orchestration.reports.demo import DemoSettings
from orchestration.reports.demo_photo import demonstrate_photo
from posegen.color.lab import delta_e_2000, rgb_to_lab
from posegen.color.palette import parse_color
from posegen.errors import WeightsError
from posegen.io.video_reader import read_image, read_video


def test_photo_is_shown_in_labelled_actions_and_colours(networks, monkeypatch, tmp_path):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    drawn = []
    made = demonstrate_photo(
        tmp_path,
        ("wave", "jumping_jacks"),
        frames=2,
        size=(192, 128),
        outfits=(("white", "teal"), ("black", "gold")),
        on_progress=lambda done, total: drawn.append((done, total)),
    )
    assert drawn == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert read_image(made.photo, size=None).images.shape == (1, 576, 384, 3)
    images = read_video(made.video, size=None).images
    assert len(images) == 4 and images.shape[1] >= 192 and images.shape[2] >= 3 * 128
    sheet = read_image(made.sheet, size=None, crop="none").images[0]
    assert sheet.shape[0] > 3 * 192 and sheet.shape[1] == 3 * 128 + 2 * 2
    columns = [sheet[:, left : left + 128] for left in (0, 130, 260)]
    for color, column in (("teal", 1), ("gold", 2)):
        near = [(delta_e_2000(rgb_to_lab(one), np.array(parse_color(color))) < 8).sum() for one in columns]
        assert near[column] > 3 * 300 > 3 * max(near[:column] + near[column + 1 :])


def test_without_the_pose_network_the_demo_goes_on(monkeypatch, tmp_path):
    def fail(*_: object, **__: object) -> None:
        raise WeightsError("no network")

    monkeypatch.setattr(demo_module, "demonstrate_photo", fail)
    output = StringIO()
    console = ConsoleOutput(Console(file=output, width=200))
    assert demo_module._animate_photo(tmp_path, DemoSettings(), console) is None
    assert "left out, because the pose network is missing: no network" in output.getvalue()
