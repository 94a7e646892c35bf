"""VIBE's and PARE's files: the motion that was seen comes back, in whatever shape its poses are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest

from posegen.datasets.motion_formats import ImportOptions, detect, read
from posegen.datasets.motion_formats.estimators import read_tracks
from posegen.datasets.motion_formats.smpl_poses import read_pose
from posegen.datasets.motion_formats.tracks import overlap
from posegen.datasets.motion_formats.video_checks import check_video
from posegen.errors import MotionError
from tests.support.estimator_files import axis_angles, camera, matrices, seen_joints, vibe, walking

OPTIONS = ImportOptions(fps=25.0)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "clip.pkl"


def load(path, options=OPTIONS, **tracks):
    """The motion in a file of tracks 1, 2, …"""
    joblib.dump({int(name[1:]): track for name, track in tracks.items()}, path)
    (source,) = read(path, options)
    return source.load()


def about_root(motion):
    return motion.joints - motion.trans[:, None]


def test_a_track_is_the_motion_that_was_seen(path):
    truth = walking()
    motion = load(path, _1=vibe(truth))
    assert detect(path) == "vibe"
    np.testing.assert_allclose(about_root(motion), about_root(truth), atol=1e-4)
    np.testing.assert_allclose(motion.rot6d, truth.rot6d, atol=1e-5)
    np.testing.assert_allclose(motion.rest, truth.rest, atol=1e-4)
    assert motion.fps == 25 and motion.valid.all()
    assert motion.meta["rest_residual"] < 1e-4
    assert np.ptp(motion.trans, axis=0).max() == 0
    assert -0.02 < motion.joints[..., 1].min() < 0.02  # on the floor


def test_the_weak_camera_tells_where_the_root_goes(path):
    truth = walking("run")
    motion = load(path, ImportOptions(fps=25.0, root="weak-camera"), _1=vibe(truth, orig_cam=camera(truth, depth=40.0)))
    np.testing.assert_allclose(motion.trans - motion.trans[0], truth.trans - truth.trans[0], atol=1e-3)


def test_without_smpl_joints_the_body_is_posegens_own(path):
    motion = load(path, _1=vibe(walking(), joints3d=None))
    np.testing.assert_allclose(motion.rot6d, walking().rot6d, atol=1e-5)
    assert "rest_residual" not in motion.meta


@pytest.mark.parametrize("shape", ["axis-angles", "24x3", "matrices", "rows", "columns"])
def test_poses_are_told_apart_by_what_they_are(shape):
    truth = walking()
    local = matrices(truth)
    pose = {
        "axis-angles": axis_angles(truth).reshape(-1, 72),
        "24x3": axis_angles(truth),
        "matrices": local + 1e-4 * np.random.default_rng(0).normal(size=local.shape),
        "rows": local[..., :2, :].reshape(-1, 24, 6),
        "columns": local[..., :2].reshape(-1, 24, 6),
    }[shape]
    np.testing.assert_allclose(read_pose(pose.astype(np.float32), "f", "pose"), local, atol=2e-3)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (np.rad2deg(axis_angles(walking())).reshape(-1, 72), "expected radians, at most 2π: in degrees"),
        (seen_joints(walking()).reshape(-1, 72), "pose holds places of joints"),
        (walking().joints, "pose holds places of joints"),
        (walking().joints[:1], "pose holds places of joints"),
        (2 * matrices(walking()), "is off by 3 from orthonormal matrices"),
        (matrices(walking()) * [1, 1, -1], "pose has matrices that mirror"),
        (np.random.default_rng(0).normal(size=(4, 24, 6)), "neither two rows nor two columns"),
        (np.zeros((4, 69)), r"pose has shape \(4, 69\), expected \(n, 72\)"),
        (np.zeros((0, 72)), r"pose has shape \(0, 72\)"),
        (np.zeros(72), r"pose has shape \(72,\)"),
        (np.zeros((4, 72), "U1"), "pose has values of type <U1"),
        ([[0.0] * 72, [0.0] * 71], "pose has rows of unequal lengths"),
        (np.where(np.eye(4, 72, k=2), np.nan, 0.0), "pose has numbers that are not finite, first in row 0"),
        (np.zeros((200_000, 72), np.int8), "pose has 200,000 frames"),
    ],
)  # fmt: skip
def test_what_is_no_pose_is_refused(pose, message):
    with pytest.raises(MotionError, match=rf"^f: .*{message}"):
        read_pose(pose, "f", "pose")


@pytest.mark.parametrize("change", [{"bboxes": None}, {}])
def test_gaps_are_filled_and_not_valid(path, change):
    truth = walking()
    kept = np.r_[10:40, 43:80]
    motion = load(path, _1={k: v[kept] if v is not None else v for k, v in vibe(truth, **change).items()})
    assert len(motion) == 70
    assert np.flatnonzero(~motion.valid).tolist() == list(range(30, 33))
    np.testing.assert_allclose(about_root(motion), about_root(truth)[10:80], atol=0.06)
    np.testing.assert_allclose(about_root(motion)[motion.valid], about_root(truth)[10:80][motion.valid], atol=1e-4)


def part(track, start, stop, box):
    """Some frames of a track, in another place of the image."""
    rows = slice(start, stop)
    moved = {name: value if value is None else value[rows] for name, value in track.items()}
    return moved | {"bboxes": np.tile(np.float32([box, 200, 150, 150]), (stop - start, 1))}


def test_the_person_is_followed_by_the_nearest_box(path):
    truth, other = vibe(walking()), vibe(walking("idle"))
    tracks = {"_3": part(truth, 0, 30, 300), "_5": part(other, 30, 60, 100), "_4": part(truth, 32, 60, 310)}
    motion = load(path, **tracks)
    assert len(motion) == 60
    np.testing.assert_allclose(about_root(motion)[:30], about_root(walking())[:30], atol=0.01)
    np.testing.assert_allclose(about_root(motion)[32:], about_root(walking())[32:60], atol=0.01)
    assert overlap(read_tracks(path)) == 28


def test_pare_is_told_and_read(path):
    truth = walking()
    motion = load(path, _1=vibe(truth, pose=None, pred_pose=matrices(truth).astype(np.float32)))
    assert detect(path) == "pare"
    np.testing.assert_allclose(about_root(motion), about_root(truth), atol=1e-4)


def test_pare_folder_has_an_image_a_file(tmp_path):
    truth = walking()
    track = vibe(truth, pose=None, pred_pose=matrices(truth), frame_ids=None)
    empty = {"pred_pose": np.zeros((0, 24, 3, 3))}
    for frame in range(0, 20):
        people = {name: value[frame : frame + 1] for name, value in track.items() if value is not None}
        stranger = {name: value[-1:] for name, value in track.items() if value is not None}
        stranger["bboxes"] = np.float32([[50, 50, 40, 40]])
        both = {name: np.concatenate([stranger[name], people[name]]) for name in people}
        joblib.dump(empty if frame == 7 else both, tmp_path / f"image_{frame + 100:06}.pkl")
    assert detect(tmp_path) == "pare"
    (source,) = read(tmp_path, OPTIONS)
    motion = source.load()
    assert np.flatnonzero(~motion.valid).tolist() == [7]
    np.testing.assert_allclose(about_root(motion)[motion.valid], about_root(truth)[:20][motion.valid], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose": None}, "track 1: pose is missing, there are joints3d, joints2d, orig_cam"),
        ({"frame_ids": None}, "track 1: frame_ids is missing"),
        ({"frame_ids": np.zeros(len(walking()))}, "frame_ids are not whole numbers that increase"),
        ({"frame_ids": np.arange(3)}, r"frame_ids has shape \(3,\)"),
        ({"frame_ids": np.arange(len(walking())) * 2000}, "frame_ids spans"),
        ({"bboxes": np.zeros((len(walking()), 3))}, "bboxes has shape"),
        ({"joints3d": np.zeros((len(walking()), 17, 3))}, "joints3d has 17 joints, expected 24 or 49"),
        ({"orig_cam": np.full((len(walking()), 4), np.inf)}, "orig_cam has numbers that are not finite"),
        ({"orig_cam": -np.ones((len(walking()), 4))}, "orig_cam has a scale of -1"),
        ({"orig_cam": None}, "orig_cam is missing, which a root by weak-camera needs"),
    ],
)  # fmt: skip
def test_broken_tracks_are_one_line_with_file_and_field(path, change, message):
    with pytest.raises(MotionError, match=rf"clip\.pkl: .*{message}") as error:
        load(path, ImportOptions(fps=25.0, root="weak-camera"), _1=vibe(walking(), **change))
    assert "\n" not in str(error.value)


def test_the_frame_rate_is_never_guessed(path):
    with pytest.raises(MotionError, match=r"clip\.pkl: fps is not in such files.*--fps"):
        load(path, ImportOptions(), _1=vibe(walking()))


@pytest.mark.parametrize("content", [[], {}, {1: 3}, {"frames": np.zeros(3)}, 5])
def test_other_pickles_are_no_tracks(path, content):
    joblib.dump(content, path)
    with pytest.raises(MotionError, match=r"clip\.pkl is of no known format"):
        read(path, OPTIONS)
    (source,) = read(path, OPTIONS, "vibe")
    with pytest.raises(MotionError, match="expected tracks"):
        source.load()


@pytest.mark.parametrize("pan", [0.0, 1.5])
@pytest.mark.parametrize("action", ["walk", "idle", "squat", "kick"])
def test_feet_on_the_ground_tell_whether_the_camera_moves(path, action, pan):
    truth = walking(action)
    joblib.dump({1: vibe(truth, orig_cam=camera(truth, depth=20.0, pan=pan))}, path)
    checks = check_video(read_tracks(path), 25.0, "f")
    assert checks.camera_speed == pytest.approx(pan, abs=0.25)
    assert (checks.frames, checks.coverage, checks.together, checks.height) == (len(truth), 1.0, 0.0, 150.0)


def test_without_a_camera_nothing_is_said_of_it(path):
    joblib.dump({1: vibe(walking(), orig_cam=None, bboxes=None)}, path)
    checks = check_video(read_tracks(path), 25.0, "f")
    assert checks.camera_speed is None and checks.height is None


def test_a_file_keeps_the_name_of_its_video(tmp_path):
    (tmp_path / "video7").mkdir()
    file = tmp_path / "video7" / "vibe_output.pkl"
    load(file, _1=vibe(replace(walking(), label=None)))
    assert read(file, OPTIONS)[0].name == "video7"
