"""Frames of one video in several processes are those of one."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from posegen import parallel
from posegen.color.garment_recoloring import GarmentPaint
from posegen.inference import frame_drawing
from posegen.inference.clip_person import ClipPerson
from posegen.inference.frame_drawing import draw_video
from posegen.inference.painted_person import Moment, PaintedPerson
from tests.posegen.inference.test_clip_person import ARM_UP, from_behind, stacked
from tests.support.drawn_person import draw_person, make_pose

NUM_FRAMES = 14


@pytest.fixture(scope="module")
def painted():
    """A person who is seen from the front and from behind, and whose shirt has colours."""
    views = [draw_person(), from_behind()]
    paints = {"upper": [GarmentPaint(view.image, view.labels, "upper") for view in views]}
    return PaintedPerson(ClipPerson([view.layered() for view in views], views[0].background), paints)


def fading(painted: PaintedPerson) -> list[Moment]:
    """An arm that is raised while the shirt fades from dark to bright."""
    shares = np.linspace(0, 1, NUM_FRAMES)
    raised = [{name: (x, 76 - share * (76 - y)) for name, (x, y) in ARM_UP.items()} for share in shares]
    poses = stacked([make_pose(joints) for joints in raised])
    views = painted.person.choose_views(poses)
    return [
        Moment(poses[row], chosen, {"upper": (20 + 60 * float(shares[row]), 10.0, -30.0)})
        for row, chosen in enumerate(views)
    ]


def test_frames_are_the_same_in_any_number_of_processes(painted, monkeypatch):
    moments, asked = fading(painted), []

    def two(items: int, seconds: float, start: float) -> int:
        asked.append((items, seconds > 0, start))
        return 2

    alone = list(map(painted.frame, moments))
    monkeypatch.setattr(frame_drawing, "num_processes", two)
    pooled = list(draw_video(painted.frame, iter(moments), NUM_FRAMES))
    assert asked == [(NUM_FRAMES - 2, True, parallel.LIGHT_START_SECONDS)]
    assert len({frame.tobytes() for frame in alone}) == NUM_FRAMES
    assert [frame.tobytes() for frame in pooled] == [frame.tobytes() for frame in alone]


def test_a_single_frame_asks_for_no_process(painted, monkeypatch):
    monkeypatch.setattr(frame_drawing, "map_in_processes", None)
    moments = fading(painted)
    assert (next(draw_video(painted.frame, moments[:1], 1)) == painted.frame(moments[0])).all()
    assert len(list(draw_video(painted.frame, moments, NUM_FRAMES))) == NUM_FRAMES  # too little to do


def test_a_process_that_draws_imports_no_pytorch():
    """So it has started long before the networks of another could be imported."""
    code = "import sys, posegen.parallel, posegen.inference.painted_person; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
