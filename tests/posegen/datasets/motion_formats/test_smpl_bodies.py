"""SMPL's bodies under other programs' names, and joints in arrays: the walk comes back, upright, whoever wrote it."""

from __future__ import annotations

import pickle
from collections import defaultdict
from functools import partial

import joblib
import numpy as np
import pytest
import torch

from posegen.datasets.motion_formats import ImportOptions, detect, read
from posegen.datasets.motion_formats.axes import TO_Y_UP, tell_up
from posegen.datasets.motion_formats.fields import list_fields
from posegen.datasets.motion_formats.humanml3d import joints_of_features
from posegen.datasets.motion_formats.source import CAMERA_TO_WORLD, as_tensor
from posegen.errors import MotionError
from posegen.motion import rotations
from posegen.motion.to_openpose import h36m_joints
from posegen.skeletons import H36M_17
from tests.support.estimator_files import matrices, walking

OPTIONS = ImportOptions(fps=25.0)
TRUTH = walking()
FRAMES = len(TRUTH)


def local(up: str) -> np.ndarray:
    """Rotations (T, 24, 3, 3) in axes in which something else is up."""
    found = matrices(TRUTH)
    return np.concatenate([TO_Y_UP[up].T @ CAMERA_TO_WORLD @ found[:, :1], found[:, 1:]], axis=1)


def angles(up: str, joints: slice = slice(None)) -> np.ndarray:
    """Axis-angles (T, 3 J)."""
    return (
        rotations.matrix_to_axis_angle(as_tensor(local(up)[:, joints])).numpy().reshape(FRAMES, -1).astype(np.float32)
    )


def trans(up: str) -> np.ndarray:
    return (TRUTH.trans @ TO_Y_UP[up]).astype(np.float32)


def parts(up: str, **names: str) -> dict[str, np.ndarray]:
    """A body of SMPL-X in three fields."""
    return {names["root"]: angles(up, slice(0, 1)), names["body"]: angles(up, slice(1, 22)), names["trans"]: trans(up)}


SMPLX = partial(parts, root="global_orient", body="body_pose", trans="transl")
HUMOR = partial(parts, root="root_orient", body="pose_body", trans="trans")
HANDS = np.zeros((FRAMES, 90), np.float32)
AMASS = {"poses": np.concatenate([angles("z", slice(0, 22)), HANDS], axis=1), "trans": trans("z")}
WHAM = {"pose": angles("-y"), "trans": 0 * trans("y"), "pose_world": angles("y"), "trans_world": trans("y"),
        "frame_ids": np.arange(FRAMES), "verts": np.zeros((FRAMES, 5, 3))}  # fmt: skip
CONTENTS = {
    "amass, gender as an object": AMASS | {"gender": np.array("male", object)},
    "amass, y up": {"poses": angles("y"), "trans": trans("y")},
    "humor": HUMOR("z"),
    "smplx, camera": SMPLX("-y"),
    "smplx, y up": SMPLX("y"),
    "smplx, x up": SMPLX("x"),
    "smplx, matrices": {"global_orient": local("-y")[:, 0], "body_pose": local("-y")[:, 1:],
                        "transl": trans("-y")[:, None]},
    "smplx, columns": {"global_orient": local("y")[:, :1, :, :2].reshape(FRAMES, 1, 6),
                       "body_pose": local("y")[:, 1:22, :, :2].reshape(FRAMES, 21, 6), "transl": trans("y")},
    "gvhmr": {"smpl_params_global": SMPLX("y"), "smpl_params_incam": SMPLX("-y"), "K_fullimg": np.eye(3)},
    "aist": {"smpl_poses": angles("y"), "smpl_trans": 90 * trans("y"), "smpl_scaling": np.array([90.0]),
             "smpl_loss": 1.0},
    "wham": {0: WHAM},
    "tram": {"pred_rotmat": local("-y"), "pred_trans": trans("-y")[:, None], "pred_cam": np.zeros((FRAMES, 3))},
    "inside": {"results": {"smpl": HUMOR("y")}},
    "a turn more": AMASS | {"poses": AMASS["poses"] + np.eye(FRAMES, 156, k=100, dtype=np.float32) * 6.4},
}  # fmt: skip


def check(motion, moves: bool = True) -> None:
    np.testing.assert_allclose(motion.rot6d[:, :22], TRUTH.rot6d[:, :22], atol=1e-4)
    if moves:
        np.testing.assert_allclose(motion.trans - motion.trans[0], TRUTH.trans - TRUTH.trans[0], atol=1e-4)
    assert -0.05 < motion.joints[..., 1].min() < 0.05


@pytest.mark.parametrize("name", CONTENTS)
def test_bodies_are_read_whatever_their_fields_are_called(tmp_path, name):
    (path,) = [tmp_path / "walk.pkl"]
    joblib.dump(CONTENTS[name], path)
    assert detect(path) == ("wham" if name == "wham" else "smpl")
    (source,) = read(path, OPTIONS)
    motion = source.load()
    check(motion)
    assert "up" in motion.meta and motion.fps == 25


@pytest.mark.parametrize("suffix", ["npz", "pt", "npy", "pkl", "pickle-0", "joblib"])
def test_bodies_are_read_whatever_they_are_packed_in(tmp_path, suffix):
    path, content = tmp_path / f"walk.{suffix}", SMPLX("y")
    if suffix == "npz":
        np.savez(path, **content, gender=np.array("male", object), meta=np.array({"a": [1, None]}, object))
    elif suffix == "pt":
        torch.save({"smpl_params_global": {name: torch.from_numpy(value) for name, value in content.items()}}, path)
    elif suffix == "npy":
        np.save(path, np.array(content, object), allow_pickle=True)
    else:
        nested = defaultdict(partial(defaultdict, dict), {"person": defaultdict(list, content)})
        path = path.with_suffix(".pkl")
        path.write_bytes(pickle.dumps(nested, 0 if suffix == "pickle-0" else 4))
        if suffix == "joblib":
            joblib.dump(defaultdict(dict, content | {"names": np.array(["a", None], object)}), path, compress=3)
    (source,) = read(path, OPTIONS)
    check(source.load())
    assert any("body_pose" in field.name for field in list_fields(path)) or suffix == "joblib"


class Runs:
    """What would run something when it is unpickled."""

    def __reduce__(self):
        return (print, ("run",))


@pytest.mark.parametrize("suffix", ["npz", "npy", "pt", "pkl"])
def test_nothing_in_a_file_is_run(tmp_path, suffix, capsys):
    path, content = tmp_path / f"walk.{suffix}", {"global_orient": Runs(), "body_pose": Runs()}
    if suffix == "npz":
        np.savez(path, global_orient=np.array(Runs(), object), body_pose=np.array(Runs(), object))
    elif suffix == "npy":
        np.save(path, np.array(content, object), allow_pickle=True)
    elif suffix == "pt":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(MotionError, match=rf"walk\.{suffix}.* would run") as error:
        read(path, OPTIONS)
    assert "\n" not in str(error.value) and "run\n" not in capsys.readouterr().out


def test_gaps_of_frames_are_filled_and_several_people_are_several_motions(tmp_path):
    kept = np.r_[0:30, 33:FRAMES]
    content = {name: {key: value[kept] for key, value in WHAM.items()} for name in (0, 4)}
    joblib.dump(content, tmp_path / "wham_output.pkl")
    first, second = read(tmp_path / "wham_output.pkl", OPTIONS)
    assert (first.name, second.name) == (f"{tmp_path.name}-0", f"{tmp_path.name}-4")
    motion = first.load()
    assert len(motion) == FRAMES and np.flatnonzero(~motion.valid).tolist() == [30, 31, 32]
    together = {name: np.stack([value, value]) for name, value in HUMOR("z").items()}
    np.savez(tmp_path / "world_results.npz", **together)
    for source in read(tmp_path / "world_results.npz", OPTIONS):
        check(source.load())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"body_pose": np.zeros((FRAMES, 60))}, r"body_pose has shape \(122, 60\)"),
        ({"body_pose": np.zeros((3, 63))}, "global_orient and body_pose are .* expected the same frames"),
        ({"transl": np.zeros((3, 3))}, r"transl has shape \(3, 3\)"),
        ({"body_pose": np.full((FRAMES, 63), 90.0)}, "in degrees"),
        ({"body_pose": np.zeros((FRAMES, 12, 3))}, "body_pose has rotations of 13 joints, expected 22 or more"),
    ],
)
def test_broken_bodies_are_one_line(tmp_path, change, message):
    joblib.dump(SMPLX("y") | change, tmp_path / "a.pkl")
    with pytest.raises(MotionError, match=rf"a\.pkl: .*{message}") as error:
        read(tmp_path / "a.pkl", OPTIONS)[0].load()
    assert "\n" not in str(error.value)


def test_phalps_people(tmp_path):
    """Its matrices are a camera's, its boxes begin with their corner, and pictures may show nobody."""
    content = {}
    for frame in range(40):
        here = {"global_orient": local("-y")[frame, :1], "body_pose": local("-y")[frame, 1:], "betas": np.zeros(10)}
        content[f"img/{frame:06}.jpg"] = {
            "time": frame, "tid": [] if frame == 7 else [3], "smpl": [] if frame == 7 else [here],
            "bbox": [] if frame == 7 else [np.array([100.0, 50, 40, 90])], "pose": [np.zeros(229)],
        }  # fmt: skip
    joblib.dump(content, tmp_path / "demo_v.pkl")
    assert detect(tmp_path / "demo_v.pkl") == "phalp"
    motion = read(tmp_path / "demo_v.pkl", OPTIONS)[0].load()
    assert len(motion) == 40 and np.flatnonzero(~motion.valid).tolist() == [7]
    np.testing.assert_allclose(motion.rot6d[motion.valid], TRUTH.rot6d[:40][motion.valid], atol=1e-4)
    assert "stays at one place" in motion.notes[0]


# ---- Joints


MOTIONBERT = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "neck_base",
    "nose", "head_top", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip


def test_humanml3ds_joints_and_mdms_results(tmp_path):
    np.save(tmp_path / "new_joints.npy", TRUTH.joints[:, :22])
    (source,) = read(tmp_path / "new_joints.npy", OPTIONS)
    np.testing.assert_allclose(source.load().joints[:, :22], TRUTH.joints[:, :22], atol=0.02)
    batch = np.stack([TRUTH.joints[:, :22]] * 2).transpose(0, 2, 3, 1)
    results = {"motion": batch, "text": ["walk", "walk"], "lengths": np.array([FRAMES, 60]), "num_samples": 2}
    np.save(tmp_path / "results.npy", np.array(results, object), allow_pickle=True)
    assert detect(tmp_path / "results.npy") == "joints"
    assert [len(source.load()) for source in read(tmp_path / "results.npy", OPTIONS)] == [FRAMES, 60]


def test_action2motions_and_motionberts_joints(tmp_path):
    np.save(tmp_path / "P01.npy", TRUTH.joints @ CAMERA_TO_WORLD)
    motion = read(tmp_path / "P01.npy", OPTIONS)[0].load()
    np.testing.assert_allclose(motion.joints - motion.joints[0, 0], TRUTH.joints - TRUTH.joints[0, 0], atol=1e-5)
    seen = h36m_joints(TRUTH)[:, [H36M_17.index(name) for name in MOTIONBERT]] @ CAMERA_TO_WORLD
    np.save(tmp_path / "X3D.npy", seen)
    motion = read(tmp_path / "X3D.npy", OPTIONS)[0].load()
    wrists = motion.joints[:, 20:22] - motion.joints[:, :1]
    np.testing.assert_allclose(wrists, TRUTH.joints[:, 20:22] - TRUTH.joints[:, :1], atol=0.02)
    np.save(tmp_path / "X3D.npy", seen / 2.6)
    with pytest.raises(MotionError, match=r"X3D\.npy: the joints span a body of .*--height 1\.7"):
        read(tmp_path / "X3D.npy", OPTIONS)[0].load()
    assert len(read(tmp_path / "X3D.npy", ImportOptions(fps=25.0, height=1.7))[0].load()) == FRAMES


def test_humanml3ds_features(tmp_path):
    """A body that turns about y by 0.2 a frame and walks along its own z by 0.05."""
    features = np.zeros((10, 263))
    features[:, 0], features[:, 2], features[:, 3] = 0.1, 0.05, 0.92
    features[:, 4:67] = (TRUTH.joints[0, 1:22] - TRUTH.joints[0, 0] * (1, 0, 1)).ravel()
    joints = joints_of_features(features)
    steps = np.diff(joints[:, 0], axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 0.05, atol=1e-9)
    across = joints[:, 1] - joints[:, 2]
    heading = np.unwrap(np.arctan2(across[:, 2], across[:, 0]))
    np.testing.assert_allclose(np.abs(np.diff(heading)), 0.2, atol=1e-9)
    turned = np.unwrap(np.arctan2(steps[:, 2], steps[:, 0]))
    np.testing.assert_allclose(np.diff(turned), np.diff(heading)[0], atol=1e-9)
    np.save(tmp_path / "M000000.npy", features)
    assert len(read(tmp_path / "M000000.npy", OPTIONS)[0].load()) == 10
    np.save(tmp_path / "normalised.npy", features - features.mean(axis=0))
    with pytest.raises(MotionError, match="its features are normalised"):
        read(tmp_path / "normalised.npy", OPTIONS)[0].load()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("kit.npy", np.zeros((9, 251)), "is not read: it is KIT-ML's 251 features: make joints of them"),
        ("ntu.npy", np.zeros((9, 18, 3)), "is not read: it is Action2Motion's 18 joints"),
        (
            "odd.npy",
            np.zeros((9, 5)),
            r"is of no known format, with an array of shape \(9, 5\): expected one of motion",
        ),
        ("odd.pkl", {"meshes": np.zeros(3)}, "is of no known format, with the fields meshes: expected"),
        ("a.fbx", b"Kaydara FBX Binary  \0", "is not read: it is an FBX file: export it as BVH"),
        ("a.npz", b"PK\3\4" + b"0" * 50, "is cut off: the end of the archive is missing"),
        ("a.bvh", b"", "is cut off: it is empty"),
    ],
)
def test_what_is_not_read_is_refused_by_name(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif name.endswith(".npy"):
        np.save(path, content)
    else:
        joblib.dump(content, path)
    with pytest.raises(MotionError, match=rf"{name} {message}") as error:
        read(path, OPTIONS)
    assert ("cut off" in str(error.value)) == ("cut off" in message)


def test_bones_at_rest_tell_up_where_the_body_stands_along_no_axis():
    lying = TRUTH.joints @ np.array([[1, 0, 0], [0, 0.7071, -0.7071], [0, 0.7071, 0.7071]])
    rest = TRUTH.rest @ TO_Y_UP["z"]
    assert tell_up(lying, "y").axis == "y"
    assert tell_up(lying, "y", rest=rest).axis == "z"
    assert tell_up(TRUTH.joints @ TO_Y_UP["z"], "y", "z").axis == "z"
    assert tell_up(TRUTH.joints @ TO_Y_UP["-y"], "y", "y").axis == "-y"  # the axis is said, and the body tells its sign


def test_tensors_in_a_pickle_are_refused_with_what_to_do(tmp_path):
    joblib.dump({"body_pose": torch.zeros(3, 63)}, tmp_path / "a.pkl")
    with pytest.raises(
        MotionError, match=r"a\.pkl would run torch.*PyTorch's tensors are read as NumPy's arrays, or of a \.pt"
    ):
        read(tmp_path / "a.pkl", OPTIONS)
