"""The built-in studio: its people, actions, renderer and labels."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from skimage.color import rgb2lab

from posegen.datasets.motion_formats.bvh import load_bvh, write_bvh
from posegen.datasets.motion_formats.source import ImportOptions
from posegen.io.storage import StorageFolder
from posegen.io.video_reader import read_video
from posegen.motion.anatomy import REST, body_height
from posegen.motion.cameras import PinholeCamera
from posegen.motion.editing import Placement, canonicalize, place
from posegen.motion.floor import floor_height
from posegen.motion.motion import Motion
from posegen.motion.pose_features import features_to_motion, motion_features
from posegen.skeletons import OPENPOSE_18, SMPL_24, joint_indices
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.actions.staged import STAGED
from posegen.synthetic.actions.take import SIDES
from posegen.synthetic.motions import make_subject, perform, perform_in_step
from posegen.synthetic.studio import (
    PEOPLE,
    RenderSettings,
    StudioClip,
    read_truth,
    render_action,
    render_clip,
    truth_path,
    write_studio_clip,
)
from posegen.synthetic.studio.labels import see_joints
from posegen.synthetic.studio.people import CAST
from posegen.synthetic.studio.raycast import Shapes, cast
from posegen.synthetic.studio.retarget import retarget
from posegen.synthetic.studio.room import DISTANCE, build_room, studio_camera
from posegen.synthetic.studio.skeleton import ANKLE, BONES, Skeleton, skeleton_of, sole_heights

SIZE = (96, 64)
SMALL = RenderSettings(size=SIZE)
IN_PLACE = [action for action in ACTIONS if action not in ("walk", "run", "lunge")]


def pose_person(person: str, action: str, num_frames: int) -> Skeleton:
    """The bones of a person who does an action, in the studio but not turned from the camera."""
    profile = CAST[person]
    return skeleton_of(retarget(perform_in_step(action, profile.rest, num_frames), profile), profile.height)


def joints_of(person: str, action: str, num_frames: int) -> np.ndarray:
    return pose_person(person, action, num_frames).joints(CAST[person].height)


@pytest.fixture(scope="module")
def clip():
    return render_action("bruno", "jumping_jacks", 12, SMALL)


def same(first, second):
    return all(np.array_equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(first))


# ---- Clips


def test_cast_and_repertoire():
    assert len(PEOPLE) == len(set(PEOPLE)) == 13
    assert all(name == name.lower() and " " not in name for name in (*PEOPLE, *ACTIONS))


@pytest.mark.parametrize("size", [(96, 64), (64, 64), (48, 80), (97, 65)])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_shapes_and_types(size, num_frames):
    motion = replace(perform_in_step("kick", CAST["mei"].rest, num_frames), fps=12)
    clip = render_clip("mei", motion, RenderSettings(size=size))
    assert clip.images.shape == (num_frames, *size, 3) and clip.images.dtype == np.uint8
    assert clip.keypoints.shape == (num_frames, 18, 3) and clip.keypoints.dtype == np.float32
    for labels in (clip.masks, clip.garments, clip.edges):
        assert labels.shape == (num_frames, *size) and labels.dtype == np.uint8
    assert set(np.unique(clip.masks)) == {0, 255}
    assert set(np.unique(clip.garments)) == {0, 1, 2}
    assert (clip.person, clip.action, clip.fps, clip.seed) == ("mei", "kick", 12, 0)


def test_same_arguments_give_the_same_bytes(clip):
    assert same(clip, render_action("bruno", "jumping_jacks", 12, SMALL))


def test_a_frame_does_not_depend_on_those_rendered_with_it():
    long = render_action("ada", "wave_one_hand", 40, SMALL)
    short = render_action("ada", "wave_one_hand", 8, SMALL)
    np.testing.assert_array_equal(long.keypoints[::5], short.keypoints)
    np.testing.assert_array_equal(long.masks[::5], short.masks)


def test_seed_changes_the_light_but_not_the_pose(clip):
    other = render_action("bruno", "jumping_jacks", 12, RenderSettings(size=SIZE, seed=1))
    assert not np.array_equal(clip.images, other.images)
    np.testing.assert_array_equal(clip.keypoints, other.keypoints)
    np.testing.assert_array_equal(clip.edges, other.edges)


def test_people_differ():
    clips = {name: render_action(name, "salute", 1, SMALL) for name in PEOPLE}
    masks = np.stack([clip.masks[0] > 0 for clip in clips.values()])
    for i in range(len(PEOPLE)):
        for j in range(i):
            assert (masks[i] ^ masks[j]).sum() > 20, (PEOPLE[i], PEOPLE[j])
    colors = np.array([clip.upper_lab + clip.lower_lab for clip in clips.values()])
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 100 * np.eye(13)
    assert distances.min() > 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"person": "nobody"}, "unknown person 'nobody', expected one of .*ada"),
        ({"action": "fly"}, "unknown action 'fly', expected one of .*kick"),
        ({"num_frames": 0}, "at least 1"),
    ],
)
def test_errors_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_action(**{"person": "ada", "action": "bow", "settings": SMALL, "num_frames": 1} | arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"size": (31, 64)}, "at least 32"), ({"upper_color": (0, 0, 300)}, "from 0 to 255")],
)
def test_settings_say_what_was_expected(settings, message):
    with pytest.raises(ValueError, match=message):
        RenderSettings(**settings)


# ---- Colours


def test_garment_color_changes_garments_alone(clip):
    red = render_action("bruno", "jumping_jacks", 12, RenderSettings(size=SIZE, upper_color=(200, 30, 30)))
    near_garment = np.stack([cv2.dilate((g == 1).astype(np.uint8), np.ones((3, 3))) for g in clip.garments]) > 0
    changed = (red.images != clip.images).any(axis=-1)
    assert not changed[~near_garment].any()
    assert changed[clip.garments == 1].mean() > 0.95
    for name in ("keypoints", "masks", "garments", "edges"):
        np.testing.assert_array_equal(getattr(red, name), getattr(clip, name))
    np.testing.assert_allclose(red.lower_lab, clip.lower_lab, atol=0.1)  # only the seam with the other garment
    assert red.upper_lab[1] > clip.upper_lab[1] + 20


@pytest.mark.parametrize("garment", ["upper", "lower"])
def test_recorded_lab_is_that_of_the_images(clip, garment):
    pixels = clip.images[clip.garments == {"upper": 1, "lower": 2}[garment]]
    np.testing.assert_allclose(getattr(clip, f"{garment}_lab"), rgb2lab(pixels).mean(axis=0), atol=0.2)


def test_plain_garments_look_like_the_color_asked_for():
    clip = render_action("ada", "wave_one_hand", 4, RenderSettings(size=SIZE, upper_color=(40, 90, 200)))
    wanted = rgb2lab(np.array([[[40, 90, 200]]], np.uint8))[0, 0]
    assert abs(np.arctan2(clip.upper_lab[2], clip.upper_lab[1]) - np.arctan2(wanted[2], wanted[1])) < 0.15
    assert np.linalg.norm(np.subtract(clip.upper_lab, wanted)) < 25


# ---- Labels


def test_garments_lie_on_the_person(clip):
    assert not (clip.garments[clip.masks == 0]).any()
    for label in (1, 2):
        assert ((clip.garments == label).sum(axis=(1, 2)) > 100).all()


@pytest.mark.parametrize("action", ACTIONS)
def test_visible_joints_lie_on_the_person(action):
    clip = render_action("imani", action, 10, RenderSettings(size=(192, 128)))
    for mask, keypoints in zip(clip.masks, clip.keypoints, strict=True):
        distance = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5)
        for name, (x, y, confidence) in zip(OPENPOSE_18, keypoints, strict=True):
            if confidence == 1:
                assert distance[round(float(y)), round(float(x))] <= 2, name


@pytest.mark.parametrize("action", ACTIONS)
def test_everybody_stays_in_the_image(action):
    height, width = SIZE
    for name, person in CAST.items():
        joints = joints_of(name, action, 50)
        room = build_room(joints, SIZE)
        x, y, _ = np.moveaxis(room.camera.project(joints), -1, 0)
        assert x.min() >= 1 and x.max() <= width - 2 and y.min() >= 1 and y.max() <= height - 2
        assert joints[..., 2].min() > room.wall + 0.3
        assert room.distance == DISTANCE or action not in IN_PLACE, person
    masks = render_action("jonas", action, 20, SMALL).masks  # the tallest
    border = np.concatenate([masks[:, [0, -1]].ravel(), masks[:, :, [0, -1]].ravel()])
    assert not border.any()


def test_hidden_joints_are_told_from_visible_ones():
    keypoints = render_action("ada", "bow", 4, RenderSettings(size=(192, 128))).keypoints[0]  # half turned to the left
    confidence = dict(zip(OPENPOSE_18, keypoints[:, 2], strict=True))
    assert confidence["left_ear"] == 0.5
    assert confidence["nose"] == confidence["right_ear"] == confidence["right_wrist"] == 1


def test_joints_out_of_the_image_are_missing():
    joints = np.array([[[0.0, 1.0, 0.0]] * 17 + [[9.0, 1.0, 0.0]]])
    keypoints = see_joints(joints, np.full((1, 192, 128), 100, np.float32), studio_camera(SIZE), (0, 0), 1.7)
    np.testing.assert_array_equal(keypoints[0, 17], 0)
    assert (keypoints[0, :17, 2] == 1).all()


def test_edges_run_along_the_silhouette_and_the_floor():
    clip = render_action("chloe", "stretch", 2, RenderSettings(size=(192, 128)))
    inner = np.stack([cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) for mask in clip.masks])
    outline = (clip.masks > 0) & (inner == 0)
    assert np.quantile(clip.edges[outline], 0.05) > 60 and np.median(clip.edges[outline]) > 150
    away = np.stack([cv2.dilate(mask, np.ones((7, 7))) for mask in clip.masks]) == 0
    assert 40 < clip.edges[away].max() <= 110  # the faint line between wall and floor
    assert (clip.edges[away] > 0).mean() < 0.05
    thickness = (clip.edges > 60).sum() / outline.sum()
    assert thickness < 4


# ---- Motion


def limb_directions(person, action):
    """Unit vectors (T, 8, 3) along a person's limbs, which joint angles alone decide."""
    joints = joints_of(person, action, 25)
    pairs = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    first, last = (
        joints[:, [OPENPOSE_18.index(f"{side}_{pair[end]}") for side in SIDES for pair in pairs]] for end in (0, 1)
    )
    return (last - first) / np.linalg.norm(last - first, axis=-1, keepdims=True)


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_are_synchronous_over_people(action):
    reference = limb_directions(PEOPLE[0], action)
    for person in PEOPLE[1:]:
        np.testing.assert_allclose(limb_directions(person, action), reference, atol=1e-5)


def test_every_action_moves_differently_and_smoothly():
    curves = {}
    for action in ACTIONS:
        joints = joints_of("luis", action, 100)
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1)
        assert (0.05 if action in STAGED else 0.002) < speed.max() < 0.36, action  # metres a frame: up to 9 m/s
        if action in IN_PLACE and action != "turn":
            assert np.abs(joints[0] - joints[-1]).max() < (0.02 if action in STAGED else 0.1), action
        curves[action] = joints
    for i, first in enumerate(curves):
        for second in list(curves)[:i]:
            assert np.abs(curves[first] - curves[second]).max() > 0.15, (first, second)


@pytest.mark.parametrize("action", [action for action in ACTIONS if action not in ("jumping_jacks", "jump", "run")])
def test_feet_stand_on_the_floor_without_sliding(action):
    height = CAST["farid"].height
    skeleton = pose_person("farid", action, 100)
    assert np.abs(sole_heights(skeleton, height)).max() < 1e-5
    sole = ANKLE * height
    ankles = np.stack([skeleton.points(f"{side}_foot") for side in SIDES])
    rise = {"walk": 0.045, "lunge": 0.1}.get(action, 0.01)  # heels rise
    assert np.abs(ankles[..., 1].min(axis=0) - sole).max() < rise
    if action == "walk":  # its feet swing low
        return
    step = np.linalg.norm(np.diff(ankles[..., [0, 2]], axis=1), axis=-1)
    standing = (ankles[:, 1:, 1] < sole + 1e-3) & (ankles[:, :-1, 1] < sole + 1e-3)
    assert (step * standing).max() < 0.02


# ---- Motions of other bodies


def shown(person: str, motion: Motion, clip: StudioClip) -> np.ndarray:
    """Pixels (T, J) between what the picture shows and a motion's joints, brought to a person's size by the camera."""
    body, _ = canonicalize(motion)
    joints = (body.joints - (0.0, floor_height(body.joints), 0.0)) * (CAST[person].height / body_height(body.joints))
    names = [name for name in OPENPOSE_18 if name in SMPL_24 and name != "neck"]
    wanted = studio_camera(clip.masks.shape[1:]).project(joints[:, joint_indices(names, SMPL_24)])[..., :2]
    return np.linalg.norm(clip.keypoints[:, joint_indices(names), :2] - wanted, axis=-1)


def bvh_motion(folder: Path) -> Motion:
    """What somebody of the corpus does, far from the origin, by way of a file."""
    performed = place(perform("punch", make_subject(5), frames=20), Placement(3.0, -2.0, 0.7))
    write_bvh(StorageFolder(folder), "punch.bvh", performed)
    return load_bvh(folder / "punch.bvh", ImportOptions())


def joints_alone(folder: Path) -> Motion:
    motion = bvh_motion(folder)
    return Motion.from_joints(motion.joints, motion.fps)


def generated_motion(folder: Path) -> Motion:
    """Of features as ACTOR gives them: six numbers that are no rows of a rotation, about the body of no one."""
    features = motion_features(perform("squat", make_subject(2), frames=20))
    rough = features + np.random.default_rng(0).normal(0, 0.01, features.shape).astype(np.float32)
    return features_to_motion(rough, REST, 20.0)


@pytest.mark.parametrize("make", [bvh_motion, joints_alone, generated_motion])
@pytest.mark.parametrize("person", ["ada", "jonas"])
def test_any_motion_is_rendered(make, person, tmp_path):
    motion = make(tmp_path)
    clip = render_clip(person, motion, RenderSettings(size=(288, 192)), name="own")
    assert (clip.action, clip.fps, len(clip.images)) == ("own", motion.fps, 20)
    pixels = shown(person, motion, clip)
    assert np.median(pixels) < 4 and pixels.max() < 12  # of 195 that the person is tall
    for mask, keypoints in zip(clip.masks, clip.keypoints, strict=True):
        distance = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5)
        seen = keypoints[keypoints[:, 2] == 1]
        assert max(distance[round(float(y)), round(float(x))] for x, y, _ in seen) <= 2


@pytest.mark.parametrize("action", ["walk", "side_step", "kick"])
def test_feet_of_other_bodies_stay_where_they_stand(action):
    """On a person of other proportions, no foot goes into the floor or slides more than in the motion."""
    motion, person = perform(action, make_subject(4), frames=60), CAST["ada"]
    skeleton = skeleton_of(retarget(motion, person), person.height)
    assert sole_heights(skeleton, person.height).min() > -1e-5
    ankles = skeleton.origins[:, [BONES.index(f"{side}_foot") for side in SIDES]]
    theirs = motion.joints[:, joint_indices([f"{side}_ankle" for side in SIDES], SMPL_24)]
    standing = (theirs[..., 1] < theirs[..., 1].min(axis=1, keepdims=True) + 0.005)[1:]
    slides = [np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1)[standing] for feet in (ankles, theirs)]
    assert slides[0].max() < 1.2 * slides[1].max() + 0.005


def test_the_camera_goes_back_from_motions_that_go_far():
    motion = perform("walk", make_subject(1), frames=100)
    clip = render_clip("hiro", motion, SMALL)
    assert (clip.keypoints[..., 2] > 0).all()
    near = render_clip("hiro", perform("idle", make_subject(1), frames=1), SMALL)
    assert clip.masks[0].sum() < 0.7 * near.masks[0].sum()


def test_people_turn_from_the_camera():
    motion = perform_in_step("salute", CAST["ada"].rest, 1)
    ears = [OPENPOSE_18.index(f"{side}_ear") for side in SIDES]
    for yaw, hidden in ((80.0, 0), (-80.0, 1)):
        confidence = render_clip("ada", motion, RenderSettings(size=(192, 128), yaw=yaw)).keypoints[0, ears, 2]
        assert confidence[hidden] == 0.5 and confidence[1 - hidden] == 1


# ---- Ray casting


def one_shape(start, length, radii, cut=np.inf, matrix=None):
    matrix = np.eye(3) if matrix is None else matrix
    return Shapes(
        to_camera=matrix[None], to_local=np.linalg.inv(matrix)[None], starts=np.array([start]),
        lengths=np.array([length]), radii=np.array([radii]), cuts=np.array([cut]),
    )  # fmt: skip


CAMERA = PinholeCamera(
    fx=120.0, fy=120.0, cx=31.0, cy=31.0, rotation=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    translation=(0.0, 0.0, 0.0), canvas=(64, 64),
)  # fmt: skip


def depth_image(shapes):
    surface = cast(shapes, len(shapes.lengths), CAMERA)
    image = np.full(CAMERA.canvas, np.inf)
    image.ravel()[surface.pixels] = surface.depths
    return image


def test_ball_has_the_depth_outline_and_normals_of_a_ball():
    shape = one_shape((0.0, 0.0, 4.0), 0.0, (0.5, 0.5))
    surface = cast(shape, 1, CAMERA)
    image = depth_image(shape)
    assert image[31, 31] == pytest.approx(3.5, abs=1e-5)
    silhouette = 120 * 0.5 / np.sqrt(16 - 0.25)  # radius of the outline's circle, in pixels
    assert np.isfinite(image).sum() == pytest.approx(np.pi * silhouette**2, rel=0.02)
    row, column = np.divmod(surface.pixels, 64)
    points = np.stack([(column - 31) / 120, (row - 31) / 120, np.ones(len(row))]) * surface.depths
    expected = (points - np.array([[0], [0], [4]])) / 0.5 * np.array([[1], [-1], [-1]])
    np.testing.assert_allclose(surface.normals, expected, atol=2e-3)


def march(matrix, start, length, radii):
    """Reference: sphere-trace the signed distance to the hull of many spheres along the axis, in local space."""
    row, column = np.mgrid[:64, :64].reshape(2, -1)
    rays = np.stack([(column - 31) / 120, (row - 31) / 120, np.ones(len(row))])
    inverse = np.linalg.inv(matrix)
    t = np.linspace(3.0, 5.5, 1500)
    share = np.linspace(0, 1, 200)
    centers, sizes = share * length, radii[0] + share * (radii[1] - radii[0])
    depth = np.full(64 * 64, np.inf)
    for i in range(0, 64 * 64, 7):
        points = inverse @ (rays[:, i : i + 1] * t - np.array(start)[:, None])
        across = points[0] ** 2 + points[2] ** 2
        inside = (across[:, None] + (points[1][:, None] - centers) ** 2 < sizes**2).any(axis=1)
        if inside.any():
            depth[i] = t[inside.argmax()]
    return depth[::7]


@pytest.mark.parametrize(("radii", "angle"), [((0.30, 0.12), 0.4), ((0.1, 0.28), -1.2), ((0.2, 0.2), 1.5)])
def test_round_cone_equals_brute_force(radii, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(0.6), -np.sin(0.6)], [0, np.sin(0.6), np.cos(0.6)]])
    matrix = turn @ tilt @ np.diag([1.2, 1.0, 0.7])
    start = (-0.1, -0.2, 4.2)
    reference = march(matrix, start, 0.5, radii)
    depth = depth_image(one_shape(start, 0.5, radii, matrix=matrix)).ravel()[::7]
    assert (np.isfinite(reference) != np.isfinite(depth)).sum() <= 3  # pixels on the outline
    both = np.isfinite(reference) & np.isfinite(depth)
    assert both.sum() > 30
    assert np.quantile(np.abs(reference[both] - depth[both]), 0.97) < 5e-3


def test_cut_opens_a_sleeve():
    whole = depth_image(one_shape((0.0, -0.5, 4.0), 1.0, (0.2, 0.2)))
    cut = depth_image(one_shape((0.0, -0.5, 4.0), 1.0, (0.2, 0.2), cut=0.6))
    rows = np.flatnonzero(np.isfinite(cut).any(axis=1))
    assert rows.max() == pytest.approx(31 + 120 * 0.1 / 3.8, abs=1)
    np.testing.assert_array_equal(cut[: rows.max() - 2], whole[: rows.max() - 2])


def test_nearer_shapes_hide_farther_ones():
    near, far = one_shape((0.0, 0.0, 3.0), 0.0, (0.2, 0.2)), one_shape((0.0, 0.0, 4.0), 0.0, (0.6, 0.6))
    both = Shapes(*(np.concatenate([getattr(shape, f.name) for shape in (far, near)]) for f in fields(Shapes)))
    np.testing.assert_array_equal(depth_image(both), np.minimum(depth_image(near), depth_image(far)))


# ---- Files


def test_written_clips_are_read_back(clip, tmp_path):
    video = write_studio_clip(clip, tmp_path)
    assert video == tmp_path / "bruno" / "jumping_jacks.mp4"
    assert sorted(path.name for path in video.parent.iterdir()) == [video.name, truth_path(video).name]
    truth = read_truth(truth_path(video))
    for name in ("keypoints", "masks", "garments", "edges", "upper_lab", "lower_lab"):
        np.testing.assert_array_equal(getattr(truth, name), getattr(clip, name))
    assert truth.size == SIZE
    images = read_video(video, size=None, crop="none").images
    assert images.shape == clip.images.shape
    assert np.abs(images.astype(int) - clip.images).mean() < 3
    upper = rgb2lab(images[clip.garments == 1]).mean(axis=0)
    np.testing.assert_allclose(upper, clip.upper_lab, atol=3)


def test_truth_is_plain_parquet(clip, tmp_path):
    file = pq.ParquetFile(truth_path(write_studio_clip(clip, tmp_path)))
    assert file.schema_arrow.names == ["frame", "keypoints", "mask", "garments", "edges"]
    assert file.metadata.num_rows == 12
    assert b'"person": "bruno"' in file.schema_arrow.metadata[b"posegen"]


def test_writing_again_replaces(clip, tmp_path):
    write_studio_clip(clip, tmp_path)
    video = write_studio_clip(replace(clip, keypoints=clip.keypoints + 1), tmp_path)
    np.testing.assert_array_equal(read_truth(truth_path(video)).keypoints, clip.keypoints + 1)


def test_other_parquet_files_are_refused(tmp_path):
    pq.write_table(pa.table({"frame": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="expected the truth about a studio video"):
        read_truth(tmp_path / "other.parquet")
