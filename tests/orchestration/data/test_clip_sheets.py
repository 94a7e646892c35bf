"""Sheets of prepared clips say what their rows show."""

from __future__ import annotations

import numpy as np
import pytest

from orchestration.data import clip_sheets
from orchestration.data.clip_sheets import draw_clip, draw_frames
from posegen.datasets.clip_files import Clip, ClipInfo

FRAMES = 16


@pytest.fixture
def titles(monkeypatch) -> list[str]:
    """Titles of the sheets that are drawn."""
    found: list[str] = []
    draw = clip_sheets.titled_grid
    monkeypatch.setattr(clip_sheets, "titled_grid", lambda rows, titles: found.extend(titles) or draw(rows, titles))
    return found


def test_rows_of_a_clip_have_titles_with_seconds(titles):
    info = ClipInfo(
        clip_id="id",
        person="ann",
        action="wave",
        source="wave.mp4",
        source_sha256="",
        fps=10.0,
        num_frames=FRAMES,
        size=(40, 30),
    )
    clip = Clip(
        info=info,
        frames=np.arange(FRAMES),
        times=5 + np.arange(FRAMES) / 10,
        images=np.full((FRAMES, 40, 30, 3), 90, np.uint8),
        keypoints=np.zeros((FRAMES, 18, 3), np.float32),
        edges=np.zeros((FRAMES, 40, 30), np.uint8),
        masks=np.zeros((FRAMES, 40, 30), np.uint8),
    )
    sheet = draw_clip(clip)
    assert titles[0].startswith("stick figure and outline of the mask, at 0.0 · 0.2 · 0.4 ·")
    assert titles[0].endswith("· 1.5 s") and titles[1:] == ["edges"]
    assert (sheet[:20] < 100).any() and (sheet[:20] == 255).any()  # ink on white


def test_frames_of_a_rejected_video_have_a_title(titles):
    images = np.zeros((3, 40, 30, 3), np.uint8)
    draw_frames(images, (40, 30), None)
    draw_frames(images, (40, 30), np.zeros((3, 18, 3), np.float32))
    assert titles == ["frames 0 · 1 · 2, without a pose", "frames 0 · 1 · 2, with the pose that was found"]
