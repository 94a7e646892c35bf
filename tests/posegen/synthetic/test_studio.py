"""The built-in studio: its people, actions, renderer and labels."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from skimage.color import rgb2lab

from posegen.io.video_reader import read_video
from posegen.skeletons import OPENPOSE_18
from posegen.synthetic.studio import ACTIONS, PEOPLE, read_truth, render_clip, truth_path, write_studio_clip
from posegen.synthetic.studio.actions import joint_angles
from posegen.synthetic.studio.camera import Camera
from posegen.synthetic.studio.kinematics import SIDES
from posegen.synthetic.studio.labels import see_joints
from posegen.synthetic.studio.people import CAST
from posegen.synthetic.studio.raycast import Shapes, cast
from posegen.synthetic.studio.render import pose_person

SIZE = (96, 64)


@pytest.fixture(scope="module")
def clip():
    return render_clip("bruno", "jumping_jacks", num_frames=12, size=SIZE)


def same(first, second):
    return all(np.array_equal(getattr(first, f.name), getattr(second, f.name)) for f in fields(first))


# ---- Clips


def test_cast_and_repertoire():
    assert len(PEOPLE) == len(set(PEOPLE)) == 13
    assert len(ACTIONS) == len(set(ACTIONS)) == 16
    assert all(name == name.lower() and " " not in name for name in PEOPLE + ACTIONS)


@pytest.mark.parametrize("size", [(96, 64), (64, 64), (48, 80), (97, 65)])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_shapes_and_types(size, num_frames):
    clip = render_clip("mei", "kick", num_frames=num_frames, size=size, fps=12)
    assert clip.images.shape == (num_frames, *size, 3) and clip.images.dtype == np.uint8
    assert clip.keypoints.shape == (num_frames, 18, 3) and clip.keypoints.dtype == np.float32
    for labels in (clip.masks, clip.garments, clip.edges):
        assert labels.shape == (num_frames, *size) and labels.dtype == np.uint8
    assert set(np.unique(clip.masks)) == {0, 255}
    assert set(np.unique(clip.garments)) == {0, 1, 2}
    assert (clip.person, clip.action, clip.fps, clip.seed) == ("mei", "kick", 12, 0)


def test_same_arguments_give_the_same_bytes(clip):
    assert same(clip, render_clip("bruno", "jumping_jacks", num_frames=12, size=SIZE))


def test_a_frame_does_not_depend_on_those_rendered_with_it():
    long = render_clip("ada", "wave_one_hand", num_frames=40, size=SIZE)
    short = render_clip("ada", "wave_one_hand", num_frames=8, size=SIZE)
    np.testing.assert_array_equal(long.keypoints[::5], short.keypoints)
    np.testing.assert_array_equal(long.masks[::5], short.masks)


def test_seed_changes_the_light_but_not_the_pose(clip):
    other = render_clip("bruno", "jumping_jacks", num_frames=12, size=SIZE, seed=1)
    assert not np.array_equal(clip.images, other.images)
    np.testing.assert_array_equal(clip.keypoints, other.keypoints)
    np.testing.assert_array_equal(clip.edges, other.edges)


def test_people_differ():
    clips = {name: render_clip(name, "salute", num_frames=1, size=SIZE) for name in PEOPLE}
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
        ({"size": (31, 64)}, "at least 32"),
        ({"num_frames": 0}, "at least 1"),
        ({"upper_color": (0, 0, 300)}, "from 0 to 255"),
    ],
)
def test_errors_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        render_clip(**{"person": "ada", "action": "bow", "size": SIZE, "num_frames": 1} | arguments)


# ---- Colours


def test_garment_color_changes_garments_alone(clip):
    red = render_clip("bruno", "jumping_jacks", num_frames=12, size=SIZE, upper_color=(200, 30, 30))
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
    clip = render_clip("ada", "wave_one_hand", num_frames=4, size=SIZE, upper_color=(40, 90, 200))
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
    clip = render_clip("imani", action, num_frames=10, size=(192, 128))
    for mask, keypoints in zip(clip.masks, clip.keypoints, strict=True):
        distance = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 5)
        for name, (x, y, confidence) in zip(OPENPOSE_18, keypoints, strict=True):
            if confidence == 1:
                assert distance[round(float(y)), round(float(x))] <= 2, name


@pytest.mark.parametrize("action", ACTIONS)
def test_everybody_stays_in_the_image(action):
    height, width = SIZE
    for person in CAST.values():
        joints = pose_person(person, action, 50).joints(person.height)
        x, y, _ = np.moveaxis(Camera.of(SIZE).project(joints), -1, 0)
        assert x.min() >= 1 and x.max() <= width - 2 and y.min() >= 1 and y.max() <= height - 2
    masks = render_clip("jonas", action, num_frames=20, size=SIZE).masks  # the tallest
    border = np.concatenate([masks[:, [0, -1]].ravel(), masks[:, :, [0, -1]].ravel()])
    assert not border.any()


def test_hidden_joints_are_told_from_visible_ones():
    keypoints = render_clip("ada", "bow", num_frames=4, size=(192, 128)).keypoints[0]  # half turned to the left
    confidence = dict(zip(OPENPOSE_18, keypoints[:, 2], strict=True))
    assert confidence["left_ear"] == 0.5
    assert confidence["nose"] == confidence["right_ear"] == confidence["right_wrist"] == 1


def test_joints_out_of_the_image_are_missing():
    joints = np.array([[[0.0, 1.0, 0.0]] * 17 + [[9.0, 1.0, 0.0]]])
    keypoints = see_joints(joints, np.full((1, 192, 128), 100, np.float32), Camera.of(SIZE), (0, 0), 1.7)
    np.testing.assert_array_equal(keypoints[0, 17], 0)
    assert (keypoints[0, :17, 2] == 1).all()


def test_edges_run_along_the_silhouette_and_the_floor():
    clip = render_clip("chloe", "stretch", num_frames=2, size=(192, 128))
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
    joints = pose_person(CAST[person], action, 25).joints(CAST[person].height)
    pairs = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    first, last = (
        joints[:, [OPENPOSE_18.index(f"{side}_{pair[end]}") for side in SIDES for pair in pairs]] for end in (0, 1)
    )
    return (last - first) / np.linalg.norm(last - first, axis=-1, keepdims=True)


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_are_synchronous_over_people(action):
    reference = limb_directions(PEOPLE[0], action)
    for person in PEOPLE[1:]:
        np.testing.assert_allclose(limb_directions(person, action), reference, atol=1e-9)


def test_every_action_moves_differently_and_smoothly():
    curves = {}
    for action in ACTIONS:
        joints = pose_person(CAST["luis"], action, 100).joints(CAST["luis"].height)
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1)
        assert 0.05 < speed.max() < 0.35, action  # metres per frame: at 25 fps up to 9 m/s
        assert np.abs(joints[0] - joints[-1]).max() < 0.02, action
        curves[action] = joints
    for i, first in enumerate(ACTIONS):
        for second in ACTIONS[:i]:
            assert np.abs(curves[first] - curves[second]).max() > 0.15, (first, second)


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "jumping_jacks"])
def test_feet_stand_on_the_floor_without_sliding(action):
    person = CAST["farid"]
    skeleton = pose_person(person, action, 100)
    sole = 0.04 * person.height
    ankles = np.stack([skeleton.points(f"{side}_foot") for side in SIDES])
    assert np.abs(ankles[..., 1].min(axis=0) - sole).max() < 0.01
    step = np.linalg.norm(np.diff(ankles[..., [0, 2]], axis=1), axis=-1)
    standing = (ankles[:, 1:, 1] < sole + 1e-3) & (ankles[:, :-1, 1] < sole + 1e-3)
    assert (step * standing).max() < 0.02


def test_unknown_action_has_no_curves():
    with pytest.raises(ValueError, match="unknown action 'sleep'"):
        joint_angles("sleep", 10)


# ---- Ray casting


def one_shape(start, length, radii, cut=np.inf, matrix=None):
    matrix = np.eye(3) if matrix is None else matrix
    return Shapes(
        to_camera=matrix[None], to_local=np.linalg.inv(matrix)[None], starts=np.array([start]),
        lengths=np.array([length]), radii=np.array([radii]), cuts=np.array([cut]),
    )  # fmt: skip


CAMERA = Camera(120.0, (31.0, 31.0), (64, 64))


def depth_image(shapes):
    surface = cast(shapes, len(shapes.lengths), CAMERA)
    image = np.full(CAMERA.size, np.inf)
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
