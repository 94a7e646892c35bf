"""From videos to three dimensions: landmarks that are known, rendered people, and real ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import roma
import torch

from posegen.errors import VideoError
from posegen.io.video_writer import write_video
from posegen.motion.anatomy import bone_lengths
from posegen.motion.editing import Placement, canonicalize, place
from posegen.motion.floor import floor_height
from posegen.motion.to_openpose import h36m_joints, openpose_body, smpl_head_axes
from posegen.perception import lifting
from posegen.perception.blazepose import BlazeposeNetworks, Region, Sighting, follow_both_ways
from posegen.perception.lifting import h36m_landmarks, lift, lift_video
from posegen.skeletons import BLAZEPOSE_33, H36M_17, OPENPOSE_18, SMPL_24, joint_indices
from posegen.synthetic.motions import make_subject, perform, perform_in_step
from posegen.synthetic.studio import RenderSettings, render_action
from posegen.synthetic.studio.people import find_person
from posegen.synthetic.studio.retarget import retarget
from posegen.synthetic.studio.skeleton import skeleton_of

LIMBS = [
    f"{side}_{name}" for side in ("left", "right") for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]
CANVAS = (400, 300)
SCALE = 150.0  # pixels per metre


def landmarks_of(motion) -> np.ndarray:
    """What BlazePose would find of a motion: (T, 33, 3) metres in the world."""
    found = np.zeros((len(motion), len(BLAZEPOSE_33), 3))
    body = openpose_body(motion.joints, SMPL_24, smpl_head_axes(motion)).joints
    known = [name for name in OPENPOSE_18 if name in BLAZEPOSE_33]
    found[:, joint_indices(known, BLAZEPOSE_33)] = body[:, joint_indices(known)]
    for side in ("left", "right"):
        found[:, BLAZEPOSE_33.index(f"{side}_foot_index")] = motion.joints[:, SMPL_24.index(f"{side}_foot")]
    return found


class Seer(BlazeposeNetworks):
    """Sees a motion from the front; a frame's first pixel is its number. Frames that are `blind` show nobody."""

    def __init__(self, motion, blind=(), swapped=()):
        world = landmarks_of(motion)
        self.image = np.stack([150 + SCALE * world[..., 0], 350 - SCALE * world[..., 1], np.ones(world.shape[:2])], -1)
        hips = world[:, joint_indices(["left_hip", "right_hip"], BLAZEPOSE_33)].mean(axis=1, keepdims=True)
        self.world = (world - hips) * (1.0, -1.0, -1.0)
        for frame in swapped:
            self.image[frame], self.world[frame] = (x[frame][lifting._MIRROR] for x in (self.image, self.world))
        self.blind = blind

    def detect(self, image):
        return [Region(150.0, 200.0, 300.0, 0.0)]

    def look(self, image, region):
        number = int(image[0, 0, 0])
        fill = np.zeros((6, 3))
        score = 0.0 if number in self.blind else 0.9
        landmarks = np.concatenate([self.image[number], fill])
        landmarks[33:35, :2] = (150, 200), (150, 60)
        mask = np.zeros((256, 256), np.uint8)
        return Sighting(landmarks, np.concatenate([self.world[number], fill]), score, mask, region)


def see(motion, monkeypatch, **how):
    """Lift what `Seer` sees."""
    monkeypatch.setattr(lifting, "BlazeposeNetworks", lambda: Seer(motion, **how))
    monkeypatch.setattr(lifting, "fit_networks", lambda frame: frame)
    frames = np.zeros((len(motion), *CANVAS, 3), np.uint8)
    frames[:, 0, 0, 0] = np.arange(len(motion))
    return lift(frames, motion.fps)


@pytest.fixture
def squat():
    """Somebody who squats, half turned to the viewer."""
    return place(canonicalize(perform("squat", make_subject(4)))[0], Placement(0.4, 0.0, 0.7))


def limbs(joints, skeleton=SMPL_24):
    return joints[:, joint_indices(LIMBS, skeleton)]


def test_joints_of_human36m_are_found_among_the_landmarks(squat):
    expected, found = h36m_joints(squat), h36m_landmarks(landmarks_of(squat))
    far = np.linalg.norm(found - expected, axis=-1).max(axis=0)  # (17,)
    assert far[joint_indices(LIMBS, H36M_17)].max() < 1e-5
    assert dict(zip(H36M_17, far, strict=True))["head_top"] < 0.03
    assert far.max() < 0.04, dict(zip(H36M_17, far, strict=True))  # pelvis, spine and neck, which BlazePose has not


def test_a_known_motion_is_found_again(squat, monkeypatch):
    found = see(squat, monkeypatch)
    assert len(found) == len(squat) and found.fps == squat.fps and found.valid.all()
    moved = found.joints + (squat.trans[0] - found.trans[0]) * (1, 0, 1)
    assert np.linalg.norm(limbs(moved) - limbs(squat.joints), axis=-1).mean() < 0.03
    assert np.ptp(found.trans[:, 1]) == pytest.approx(np.ptp(squat.trans[:, 1]), rel=0.1)  # by the picture
    assert floor_height(found.joints) == pytest.approx(0, abs=1e-6)
    assert abs(found.trans[0, 0]) < 0.02 and np.ptp(found.trans[:, 2]) < 0.02
    np.testing.assert_allclose(bone_lengths(found.joints).std(axis=0), 0, atol=1e-5)


def test_camera_shows_the_motion_where_it_was_seen(squat, monkeypatch):
    found = see(squat, monkeypatch)
    assert found.camera.scale == pytest.approx(SCALE, rel=1e-3) and found.camera.canvas == CANVAS
    seen = limbs(Seer(squat).image, BLAZEPOSE_33)
    off = np.linalg.norm(limbs(found.camera.project(found.joints))[..., :2] - seen[..., :2], axis=-1)
    assert off.mean() < 5  # pixels, 3 cm


def test_gaps_are_filled_and_said(squat, monkeypatch):
    found = see(squat, monkeypatch, blind=(0, 20, 21))
    assert np.flatnonzero(~found.valid).tolist() == [0, 20, 21]
    whole = see(squat, monkeypatch)
    assert np.abs(found.joints - whole.joints).max() < 0.05


def test_frames_that_take_left_for_right_are_turned_back(squat, monkeypatch):
    found, whole = see(squat, monkeypatch, swapped=(30, 31, 32)), see(squat, monkeypatch)
    np.testing.assert_allclose(found.joints, whole.joints, atol=1e-4)


def test_nobody_is_nobody(squat, monkeypatch):
    with pytest.raises(ValueError, match=r"^no person is found in the video$"):
        see(squat, monkeypatch, blind=range(len(squat)))


def test_landmarks_in_space_turn_with_the_square():
    turned = Region(0.0, 0.0, 1.0, np.pi / 2).to_frame_axes(np.array([[0.0, -1.0, 0.5]]))
    np.testing.assert_allclose(turned, [[1.0, 0.0, 0.5]], atol=1e-12)  # up in a square that lies to the right


def aligned_error(found: np.ndarray, true: np.ndarray) -> float:
    """Metres between points (T, J, 3) when one similarity brings all of the first to the second."""
    source, target = (torch.from_numpy(points.reshape(-1, 3)).double() for points in (found, true))
    turn, shift, scale = roma.rigid_points_registration(source, target, compute_scaling=True)
    return (scale * source @ turn.T + shift - target).norm(dim=-1).mean().item()


@pytest.mark.parametrize(("person", "action"), [("ada", "wave_one_hand"), ("luis", "jumping_jacks")])
def test_rendered_people_are_lifted(person, action, networks, monkeypatch, record_property):
    """The studio knows where their joints are."""
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    clip = render_action(person, action, 40, RenderSettings(size=(288, 192)))
    found = lift(clip.images, clip.fps)
    profile = find_person(person)
    performed = retarget(perform_in_step(action, profile.rest, 40), profile)
    true = limbs(skeleton_of(performed, profile.height).joints(profile.height), OPENPOSE_18)
    error = aligned_error(limbs(found.joints), true)
    record_property("metres", error)
    print(f"{person} {action}: {100 * error:.1f} cm a joint after similarity alignment")
    assert error < 0.09 and found.valid.all()


def test_real_people_stand_and_wave(shared, networks, monkeypatch):
    """64×64 pixels, feet cut off; the detector's first square is three times too large."""
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    found = lift_video(shared / "data" / "weizmann" / "person1_jack.mp4", seconds=1.0)
    assert len(found) == 26 and found.fps == pytest.approx(25)
    heights = found.joints[:, joint_indices(["left_wrist", "head", "pelvis", "left_ankle"], SMPL_24), 1]
    assert (heights[0, 0] > heights[0, 1]) and (heights[15, 0] < heights[15, 1])  # a hand above the head, and below
    assert (heights[:, 2] - heights[:, 3] > 0.5).all()


def test_first_seconds_are_looked_at(networks, monkeypatch, tmp_path):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    write_video(
        tmp_path / "x.mp4",
        render_action("mei", "clap", 12, RenderSettings(size=(256, 176))).images,
        fps=10,
    )
    assert len(lift_video(tmp_path / "x.mp4", seconds=0.45)) == 5
    with pytest.raises(VideoError, match=r"x.mp4: 1 frame in 0.05 s, expected at least two"):
        lift_video(tmp_path / "x.mp4", seconds=0.05)


def test_frames_before_the_first_detection_are_found_from_behind(squat):
    class Late(Seer):
        def detect(self, image):
            return super().detect(image) if image[0, 0, 0] >= 3 else []

    frames = np.zeros((6, 40, 30, 3), np.uint8)
    frames[:, 0, 0, 0] = np.arange(6)
    assert all(follow_both_ways(Late(squat), list(frames)))
    assert cv2.countNonZero(frames[..., 0].reshape(6, -1)) == 5
