"""The person in one picture."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.inference.photo import find_frame
from posegen.perception import body as module
from posegen.perception.body import find_body
from posegen.synthetic.studio import RenderSettings, render_action


@pytest.fixture
def picture(networks, monkeypatch) -> np.ndarray:
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    return render_action("bruno", "wave_one_hand", 2, RenderSettings(size=(384, 256))).images[0]


def test_person_whose_square_is_known_is_found_without_a_search(picture, monkeypatch):
    first = find_body(picture)
    window = find_frame(first, picture.shape[:2], (192, 128))
    framed, _ = window.cut(picture)
    monkeypatch.setattr(module.BlazeposeNetworks, "detect", None)
    monkeypatch.setattr(module.BlazeposeNetworks, "__init__", None)  # the networks are loaded once
    again = find_body(framed, region=window.move_region(first.region))
    expected = window.move(first.pose)
    assert np.abs(again.pose.keypoints[:14, :2] - expected.keypoints[:14, :2]).max() < 3
    assert again.mask.shape == framed.shape[:2] and (again.mask > 127).sum() > 1000
