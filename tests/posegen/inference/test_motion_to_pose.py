"""Motions turned as the viewer is to see them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posegen.inference.motion_to_pose import face_viewer, turn_to_viewer
from posegen.motion.cameras import WeakCamera
from posegen.motion.editing import Placement, canonicalize, place, placement, resample
from posegen.synthetic.motions import make_subject, perform


def test_whoever_comes_from_elsewhere_faces_the_viewer():
    walk = perform("walk", make_subject(0))
    elsewhere = place(walk, Placement(5.0, -3.0, 2.0))
    for motion in (walk, elsewhere):
        np.testing.assert_allclose(face_viewer(motion).joints, face_viewer(walk).joints, atol=1e-4)


@pytest.mark.parametrize("fps", [12.5, 25.0, 30.0])
def test_turning_and_resampling_do_not_depend_on_their_order(fps):
    motion = place(perform("wave", make_subject(0), frames=51), Placement(5.0, -3.0, 2.0))
    facing = face_viewer(resample(motion, fps), 30.0)
    assert facing.fps == fps and len(facing) == int(2 * fps) + 1
    np.testing.assert_allclose(facing.joints, resample(face_viewer(motion, 30.0), fps).joints, atol=1e-4)


def test_a_cameras_orientation_is_kept_and_other_motions_face_the_viewer():
    walk = place(perform("walk", make_subject(1)), Placement(2.0, 1.0, 0.9))
    camera = WeakCamera(scale=1.0, tx=0.0, ty=0.0, canvas=(9, 9))
    kept = turn_to_viewer(walk, replace(walk, camera=camera))
    np.testing.assert_array_equal(kept.joints, walk.joints)
    facing = turn_to_viewer(walk, walk)
    np.testing.assert_allclose(facing.joints, canonicalize(walk)[0].joints, atol=1e-5)
    for start in (walk, replace(walk, camera=camera)):
        assert placement(turn_to_viewer(walk, start, yaw=30.0)).yaw == pytest.approx(np.radians(30), abs=1e-4)
