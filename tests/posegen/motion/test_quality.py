"""What is wrong with a motion, on motions of which it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posegen.motion.anatomy import REST, body_height
from posegen.motion.floor import floor_height
from posegen.motion.motion import Motion
from posegen.motion.quality import measure_quality

STANDING = np.repeat((REST + np.array([0, 0.955, 0]))[None], 40, axis=0).astype(np.float32)


def test_a_standing_body_has_no_faults():
    quality = measure_quality(Motion.from_joints(STANDING, 25.0))
    assert (quality.jitter, quality.foot_skate, quality.coverage) == (0, 0, 1)
    assert quality.limb_drift == pytest.approx(0, abs=1e-6)


def test_a_fall_accelerates_as_it_should_at_any_rate():
    for fps in (25.0, 50.0):
        time = np.arange(40) / fps
        fall = STANDING - np.float32(9.81 / 2 * time**2)[:, None, None] * np.float32([0, 1, 0])
        assert measure_quality(Motion.from_joints(fall, fps)).jitter == pytest.approx(9.81, rel=1e-2)


def test_a_sliding_body_skates_and_a_flying_one_does_not():
    slide = STANDING + np.linspace(0, 1, 40, dtype=np.float32)[:, None, None] * np.float32([1, 0, 0])
    speed = 25 / 39
    assert measure_quality(Motion.from_joints(slide, 25.0)).foot_skate == pytest.approx(speed, rel=1e-3)
    slide[10:30, :, 1] += 0.5
    slide[10:30, :, 0] *= 3
    assert measure_quality(Motion.from_joints(slide, 25.0)).foot_skate == pytest.approx(speed, rel=1e-3)


def test_limbs_that_breathe_drift():
    scale = 1 + 0.1 * np.sin(np.linspace(0, 4 * np.pi, 40, endpoint=False))
    breathing = (STANDING * scale[:, None, None]).astype(np.float32)
    assert measure_quality(Motion.from_joints(breathing, 25.0)).limb_drift == pytest.approx(0.1 / 2**0.5, rel=1e-3)


def test_gaps_count_for_nothing():
    broken = STANDING.copy()
    broken[20:25] += 3
    valid = np.ones(40, bool)
    valid[20:25] = False
    quality = measure_quality(replace(Motion.from_joints(broken, 25.0), valid=valid))
    assert (quality.jitter, quality.foot_skate) == (0, 0)
    assert quality.coverage == pytest.approx(35 / 40)


@pytest.mark.parametrize("frames", [1, 2])
def test_too_few_frames_have_no_figures(frames):
    quality = measure_quality(Motion.from_joints(STANDING[:frames], 25.0))
    assert np.isnan(quality.jitter)
    nothing = replace(Motion.from_joints(STANDING[:3], 25.0), valid=np.zeros(3, bool))
    assert np.isnan(measure_quality(nothing).limb_drift)


def test_the_height_of_a_body_does_not_depend_on_its_pose():
    assert body_height(STANDING) == pytest.approx(1.70)
    assert body_height(1.1 * STANDING) == pytest.approx(1.87)
    with pytest.raises(ValueError, match="no size"):
        body_height(0 * STANDING)


def test_the_floor_is_where_the_lower_foot_is():
    jumping = STANDING.copy()
    jumping[5:30, :, 1] += 1
    assert floor_height(jumping) == pytest.approx(0.015, abs=1e-6)
