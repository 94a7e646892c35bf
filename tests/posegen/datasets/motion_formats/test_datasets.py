"""Datasets of motions as others publish them: HumanAct12, NTU13, UESTC, AMASS, and posegen's own."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest

from posegen.datasets.motion_build import NamedMotion, write_motions
from posegen.datasets.motion_formats import ImportOptions, detect, ntu13, read, uestc
from posegen.datasets.motion_formats.action_names import HUMANACT12
from posegen.datasets.motion_formats.fields import list_fields
from posegen.datasets.motion_formats.source import as_tensor
from posegen.errors import MotionError
from posegen.io.storage import StorageFolder
from posegen.motion import rotations
from posegen.motion.editing import find_rotations
from posegen.motion.motion import write_motion
from tests.support.estimator_files import axis_angles, camera, matrices, seen_joints, vibe, walking

OPTIONS = ImportOptions(fps=25.0)


def about_root(motion):
    return motion.joints - motion.trans[:, None]


# ---- HumanAct12


def write_poses(path: Path, **changes) -> Path:
    """ACTOR's pickle with two clips."""
    clips = [walking("walk"), walking("sit")]
    content = {
        "poses": [axis_angles(clip).reshape(-1, 72) for clip in clips],
        "joints3D": [seen_joints(clip) + np.float32([0, 0.2, 2.5]) for clip in clips],
        "y": [1, 6],
        "oldposes": [],
    }
    path.write_bytes(pickle.dumps(content | changes))
    return path


def test_humanact12_poses(tmp_path):
    path = write_poses(tmp_path / "humanact12poses.pkl")
    assert detect(path) == "humanact12"
    walk, sit = read(path, OPTIONS)
    assert (walk.action, sit.action) == ("walk", "sit")
    motion = sit.load()
    np.testing.assert_allclose(about_root(motion), about_root(walking("sit")), atol=1e-4)
    np.testing.assert_allclose(motion.rot6d, walking("sit").rot6d, atol=1e-5)
    assert (motion.label, motion.label_name) == (6, "sit")
    assert HUMANACT12[motion.label] == motion.label_name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": 5}, "y is int, expected a list with an entry a clip"),
        ({"y": [1, 12]}, "clip 1: label is 12, expected 0 to 11"),
        ({"y": [1, "sit"]}, "clip 1: label is 'sit', expected 0 to 11"),
        ({"y": [1]}, "its lists have .*'y': 1.* entries"),
        ({"poses": [np.zeros((3, 72)), np.zeros((0, 72))]}, r"clip 1: poses has shape \(0, 72\)"),
        ({"joints3D": [np.zeros((3, 24, 3)), np.zeros((3, 24, 3))]}, "clip 1: joints3D has shape"),
    ],
)
def test_broken_humanact12_is_one_line_with_file_and_field(tmp_path, change, message):
    path = write_poses(tmp_path / "h.pkl", **change)
    with pytest.raises(MotionError, match=rf"h\.pkl: {message}"):
        read(path, OPTIONS)[1].load()


def test_humanact12_joints_get_rotations(shared):
    path = shared / "data" / "motion" / "humanact12_joints24.npz"
    assert detect(path) == "humanact12"
    sources = read(path, ImportOptions(fps=20.0))
    assert len(sources) == 1191
    assert {source.person for source in sources} == {f"P{number:02}" for number in range(1, 13)}
    source = next(one for one in sources if one.name == "P01G01R01F0069T0143A0102")
    assert (source.person, source.action) == ("P01", "warm_up")
    motion = source.load()
    assert len(motion) == 75 and motion.rot6d is None
    assert motion.joints[:, 15, 1].min() > motion.joints[:, 0, 1].max()  # the head is above the pelvis
    found = find_rotations(motion)
    assert np.median(found.errors) < 2e-6
    # People face the camera or not, but their left is their left: it is to the left of where their toes point.
    across = motion.joints[:, 1] - motion.joints[:, 2]
    ahead = (motion.joints[:, 10:12] - motion.joints[:, 7:9]).sum(axis=1)
    assert np.median(np.cross(across, [0, 1, 0])[:, (0, 2)] @ ahead[:, (0, 2)].mean(axis=0)) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": np.array([3, 4])}, r"joints has shape \(6, 24, 3\), expected \(7, 24, 3\)"),
        ({"lengths": np.array([-1, 7])}, "lengths has shape"),
        ({"label": np.array([0])}, r"names has \(2,\), label \(1,\) entries"),
        ({"label": np.array([0, 40])}, "P02: label is .*40.*, expected 0 to 11"),
        ({"lengths": np.array([6, 0])}, "P02: joints has 0 frames"),
        ({"joints": np.full((6, 24, 3), np.nan)}, "P02: joints has numbers that are not finite"),
        ({"names": np.array(["P01", None])}, "names is damaged: Object arrays cannot be loaded"),
    ],
)
def test_broken_files_of_joints_are_one_line(tmp_path, change, message):
    arrays = {
        "joints": np.zeros((6, 24, 3)), "lengths": np.array([3, 3]), "names": np.array(["P01", "P02"]),
        "label": np.array([0, 1]),
    }  # fmt: skip
    path = tmp_path / "joints.npz"
    np.savez(path, **(arrays | change))
    with pytest.raises(MotionError, match=rf"joints\.npz: {message}"):
        read(path, OPTIONS)[1].load()


def test_arrays_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "joints.npz"
    np.savez_compressed(path, joints=np.zeros((9000, 24, 3)), lengths=[9000], names=["P01"], label=[0])
    monkeypatch.setattr("posegen.datasets.motion_formats.arrays.MAX_BYTES", 10**6)
    with pytest.raises(MotionError, match="unpack to more than 1,000,000 bytes"):
        read(path, OPTIONS)


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "joints.npz"
    np.savez(path, joints=np.zeros((90, 24, 3)), lengths=[90], names=["P01"], label=[0])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MotionError, match=r"joints\.npz is no \.npz file"):
        read(path, OPTIONS, "humanact12")
    with pytest.raises(MotionError, match=r"joints\.npz is cut off: the end of the archive is missing"):
        read(path, OPTIONS)
    content = bytearray(whole)
    content[200:400] = bytes(range(200))
    path.write_bytes(content)
    assert zipfile.is_zipfile(path)
    with pytest.raises(MotionError, match=r"joints\.npz: joints is damaged"):
        read(path, OPTIONS)


# ---- NTU13


def test_ntu13(tmp_path):
    names = ["S001C001P001R001A006.pkl", "deep/S001C001P017R002A102.pkl", "S001C001P002R001A050.pkl"]
    (tmp_path / "deep").mkdir()
    for name in names:
        joblib.dump({2: vibe(walking())}, tmp_path / name)
    (tmp_path / "ntu_vibe_list.txt").write_text("\n".join(names) + "\n")
    assert detect(tmp_path) == "ntu13"
    first, second, third = read(tmp_path, OPTIONS)
    assert (first.person, first.action, second.person, second.action) == ("P001", "pickup", "P017", "side_kick")
    motion = second.load()
    assert motion.label == 12
    np.testing.assert_allclose(about_root(motion), about_root(walking()), atol=1e-4)
    with pytest.raises(MotionError, match=r"A050\.pkl: its name's action is none of NTU13's, expected one of A006"):
        third.load()
    assert len(ntu13.NTU13_ACTIONS) == 13


@pytest.mark.parametrize(
    ("text", "message"), [("", "has no lines"), ("../a.pkl", "leads out of the folder"), ("/etc/A006", "leads out")]
)
def test_a_list_that_lies_is_refused(tmp_path, text, message):
    (tmp_path / "ntu_vibe_list.txt").write_text(text)
    with pytest.raises(MotionError, match=rf"ntu_vibe_list\.txt.*{message}"):
        read(tmp_path, OPTIONS)


# ---- UESTC


def write_uestc(folder: Path, names: list[str], frames: int = 50) -> Path:
    """A folder of clips that show the same walk, each as its view sees it."""
    truth = walking()
    (folder / "info").mkdir(parents=True)
    (folder / "info" / "names.txt").write_text("\n".join(names))
    (folder / "info" / "num_frames_min.txt").write_text("\n".join([str(frames)] * len(names)))
    (folder / "info" / "action_classes.txt").write_text("\n".join(f"Punching-{n} once" for n in range(40)))
    poses = []
    for name in names:
        _, view, _, side = (int(word[1:]) for word in name.split("_")[:4])
        angle = view * np.pi / 4 if side != 1 else 0.0
        turn = rotations.axis_angle_to_matrix(as_tensor(np.array([0, angle, 0]))).numpy()
        local = matrices(truth)
        local = np.concatenate([turn @ local[:, :1], local[:, 1:]], axis=1)
        poses.append(rotations.matrix_to_axis_angle(as_tensor(local)).numpy().reshape(-1, 72))
    cache = {
        "pose": poses,
        "joints3d": [np.random.default_rng(0).normal(size=(len(truth), 49, 3)) for _ in names],
        "orig_cam": [camera(truth, 10.0) for _ in names],
    }
    joblib.dump(cache, folder / "vibe_cache_refined.pkl")
    return folder


def test_uestc_views_are_turned_to_the_front(tmp_path):
    names = ["a3_d0_p001_c1_color.avi", "a3_d2_p003_c2_color.avi", "a39_d8_p002_c2_color.avi"]
    path = write_uestc(tmp_path / "uestc", names)
    assert detect(path) == "uestc"
    front, side, around = read(path, OPTIONS)
    assert (front.person, front.action, front.split) == ("p001", "punching_3_once", "train")
    assert (side.person, side.split, around.split) == ("p003", "test", "train")
    for source in (front, side):
        motion = source.load()
        assert len(motion) == 50 and motion.label == 3
        np.testing.assert_allclose(motion.rot6d, walking().rot6d[:50], atol=1e-5)
    with pytest.raises(MotionError, match="filmed from all around"):
        around.load()


def test_uestc_roots_turn_with_the_view(tmp_path):
    path = write_uestc(tmp_path / "uestc", ["a3_d0_p001_c1_color.avi", "a3_d4_p003_c2_color.avi"])
    front, back = (one.load() for one in read(path, ImportOptions(fps=25.0, root="weak-camera")))
    moved = front.trans - front.trans[0]
    np.testing.assert_allclose(moved, (walking().trans - walking().trans[0])[:50], atol=1e-3)
    np.testing.assert_allclose((back.trans - back.trans[0])[:, (0, 2)], -moved[:, (0, 2)], atol=1e-5)


def test_uestc_people_to_learn_from():
    assert len(uestc.TRAIN_PEOPLE) == 51 and max(uestc.TRAIN_PEOPLE) <= uestc.NUM_PEOPLE


def test_short_uestc_clips_are_not_learned_from(tmp_path):
    train, test = read(write_uestc(tmp_path / "u", ["a3_d0_p001_c1_color", "a3_d0_p003_c1_color"], frames=44), OPTIONS)
    assert len(test.load()) == 44
    with pytest.raises(MotionError, match="pose has 44 frames that count, expected at least 45"):
        train.load()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("names.txt", "wave.avi", "is no name of a video"),
        ("names.txt", "a40_d0_p001_c1_color.avi", "has an action, a view or a person"),
        ("names.txt", "a1_d0_p001_c1_color.avi\na2_d0_p001_c1_color.avi", "its lists have"),
        ("num_frames_min.txt", "many", "lines that are no numbers"),
        ("action_classes.txt", "wave", "has 1 lines, expected 40"),
    ],
)
def test_broken_uestc_lists_are_one_line(tmp_path, file, text, message):
    path = write_uestc(tmp_path / "uestc", ["a3_d0_p001_c1_color.avi"])
    (path / "info" / file).write_text(text)
    with pytest.raises(MotionError, match=message):
        read(path, OPTIONS)


# ---- AMASS


def write_amass(path: Path, **changes) -> Path:
    """A sequence of SMPL-H, z up."""
    truth = walking()
    local = matrices(truth)
    from_y_up = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    world = np.diag([1, -1, -1]) @ local[:, :1]
    body = rotations.matrix_to_axis_angle(
        as_tensor(np.concatenate([from_y_up @ world, local[:, 1:22]], axis=1))
    ).numpy()
    hands = np.random.default_rng(0).normal(size=(len(truth), 90))
    arrays = {
        "poses": np.concatenate([body.reshape(-1, 66), hands], axis=1), "trans": truth.trans @ from_y_up.T,
        "mocap_framerate": np.array(120.0), "gender": np.array("female"), "betas": np.zeros(16),
    }  # fmt: skip
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


def test_amass(tmp_path):
    (tmp_path / "s1").mkdir()
    path = write_amass(tmp_path / "s1" / "walk_poses.npz")
    assert detect(path) == "amass"
    (source,) = read(path, ImportOptions())
    assert (source.name, source.person) == ("walk_poses", "s1")
    motion = source.load()
    truth = walking()
    assert motion.fps == 120
    np.testing.assert_allclose(motion.rot6d[:, :22], truth.rot6d[:, :22], atol=1e-5)
    np.testing.assert_allclose(motion.trans - motion.trans[0], truth.trans - truth.trans[0], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mocap_framerate": None}, "fps is not in such files"),
        ({"mocap_framerate": np.array(-1.0)}, "mocap_framerate is -1.0"),
        ({"poses": np.zeros((4, 100))}, r"poses has shape \(4, 100\)"),
        ({"trans": np.zeros((3, 3))}, r"trans has shape \(3, 3\)"),
        ({"poses": np.full((len(walking()), 156), 90.0)}, ".*expected radians"),
        ({"poses": np.array([None])}, r"poses has shape \(1,\), expected \(n, 72\)"),
    ],
)
def test_broken_amass_is_one_line(tmp_path, change, message):
    path = write_amass(tmp_path / "a.npz", **change)
    with pytest.raises(MotionError, match=rf"a\.npz: {message}"):
        read(path, ImportOptions())[0].load()


# ---- posegen's own


def test_own_files_and_data_sets(tmp_path):
    motion = walking()
    write_motion(StorageFolder(tmp_path), "m.npz", motion)
    (source,) = read(tmp_path / "m.npz", ImportOptions())
    assert source.action == "walk" and source.load().joints.tolist() == motion.joints.tolist()
    (overruled,) = read(tmp_path / "m.npz", ImportOptions(fps=30.0))
    assert overruled.load().fps == 30
    (kept,) = read(tmp_path / "m.npz", ImportOptions(fps=30.0, overrule=False))
    assert kept.load().fps == 25 and "--fps is for files without a rate" in kept.load().notes[0]
    write_motions(StorageFolder(tmp_path / "set"), [NamedMotion(motion, "ann", "walk", "m.npz", "test")], settings={})
    assert detect(tmp_path / "set") == "dataset"
    (source,) = read(tmp_path / "set", ImportOptions())
    assert (source.person, source.action, source.split) == ("ann", "walk", "test")
    assert len(source.load()) == len(motion)


def test_other_files_are_of_no_format(tmp_path):
    for name, content in {"a.txt": b"hello", "b.bvh": b"", "c.npz": b"PK", "d": b"\x00" * 100}.items():
        (tmp_path / name).write_bytes(content)
        assert detect(tmp_path / name) is None
        reason = {"b.bvh": "is cut off: it is empty", "c.npz": "is cut off: the end of the archive is missing"}
        unknown = "is of no known format: expected one of motion, dataset, bvh"
        with pytest.raises(MotionError, match=rf"{name} {reason.get(name, unknown)}"):
            read(tmp_path / name, OPTIONS)
    assert detect(tmp_path) is None
    with pytest.raises(FileNotFoundError, match="no motion at"):
        detect(tmp_path / "nothing")
    with pytest.raises(MotionError, match="unknown format 'fbx'"):
        read(tmp_path / "a.txt", OPTIONS, "fbx")


def test_fields_are_listed_with_units(tmp_path):
    path = tmp_path / "clip.pkl"
    joblib.dump({1: vibe(walking())}, path)
    fields = {field.name: field for field in list_fields(path)}
    assert fields["1.pose"].unit == "rad" and fields["1.pose"].shape.endswith("72)")
    assert fields["1.joints2d"].type == "nothing" and fields["1.bboxes"].unit == "pixels"
    listed = {field.name: field for field in list_fields(write_poses(tmp_path / "h.pkl"))}
    assert listed["poses"].type == "list of ndarray" or listed["poses"].type.startswith("list of float")
    path = write_amass(tmp_path / "a.npz", extra=np.array([None]))
    listed = {field.name: field for field in list_fields(path)}
    assert (listed["mocap_framerate"].unit, listed["extra"].type) == ("1/s", "object")
    path.write_bytes(path.read_bytes().replace(b"NUMPY", b"NUMPI"))
    with pytest.raises(MotionError, match=r"a\.npz is damaged"):
        list_fields(path)
