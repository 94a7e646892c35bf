"""The motion file: what is written is read, and what anyone else wrote is read or refused in one line."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch

from posegen.errors import MotionError
from posegen.io.storage import StorageFolder
from posegen.motion import rotations
from posegen.motion.anatomy import REST
from posegen.motion.cameras import PinholeCamera, WeakCamera
from posegen.motion.motion import MAX_FRAMES, Motion, read_array_header, read_motion, write_motion

WEAK = WeakCamera(scale=100.0, tx=128.0, ty=300.0, canvas=(384, 256))
PINHOLE = PinholeCamera(
    fx=500.0, fy=500.0, cx=127.5, cy=191.5,
    rotation=((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)), translation=(0.0, 1.0, 4.0), canvas=(384, 256),
)  # fmt: skip


def make_motion(frames=5, **others):
    """A motion with rotations, and with whatever else is given."""
    axis_angle = 0.3 * torch.randn(frames, 24, 3, generator=torch.Generator().manual_seed(0))
    rows = rotations.matrix_to_rot6d_rows(rotations.axis_angle_to_matrix(axis_angle)).numpy()
    trans = np.linspace((0, 0.9, 0), (1, 0.9, 0.5), frames).astype(np.float32)
    motion = Motion.from_rotations(rows, trans, REST.astype(np.float32), 25.0)
    return Motion(**(vars(motion) | others))


def fields(motion):
    """What a file of the motion holds, by field."""
    return {
        "joints": motion.joints, "valid": motion.valid, "fps": np.float64(motion.fps), "trans": motion.trans,
        "rot6d": motion.rot6d, "rest": motion.rest, "meta": np.array("{}"),
    }  # fmt: skip


def save(folder, **arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    folder.write_bytes("m.npz", content.getvalue())


@pytest.fixture
def folder(tmp_path):
    return StorageFolder(tmp_path)


@pytest.mark.parametrize("camera", [None, WEAK, PINHOLE])
def test_a_file_holds_all_of_a_motion(folder, camera):
    valid = np.array([True, True, False, True, True])
    motion = make_motion(valid=valid, label=3, label_name="wäve", camera=camera, meta={"seed": 1, "source": "a.mp4"})
    write_motion(folder, "m.npz", motion)
    again = read_motion(folder, "m.npz")
    for name, value in vars(motion).items():
        np.testing.assert_array_equal(getattr(again, name), value, err_msg=name, strict=isinstance(value, np.ndarray))
    first = folder.read("m.npz")
    write_motion(folder, "m.npz", again)
    assert folder.read("m.npz") == first
    with np.load(io.BytesIO(first), allow_pickle=False) as plain:
        assert plain["trans"].shape == (5, 3)


def test_a_motion_of_joints_alone_has_no_more(folder):
    write_motion(folder, "m.npz", Motion.from_joints(make_motion().joints, 30))
    motion = read_motion(folder, "m.npz")
    assert (motion.rot6d, motion.rest, motion.label, motion.label_name, motion.camera) == (None,) * 5
    assert motion.valid.all()


def test_what_others_write_in_other_types_is_read(folder):
    motion = make_motion(1)
    arrays = fields(motion) | {"joints": np.asfortranarray(motion.joints, ">f8"), "fps": np.array(30)}
    save(folder, **arrays)
    again = read_motion(folder, "m.npz")
    assert again.joints.dtype == np.float32
    assert again.joints.tolist() == motion.joints.tolist()
    assert again.fps == 30.0


def test_numbers_that_are_no_rotation_become_one():
    rough = np.random.default_rng(0).normal(size=(2, 24, 6)).astype(np.float32)
    motion = Motion.from_rotations(rough, np.zeros((2, 3), np.float32), REST, 25)
    first, second = motion.rot6d[..., :3], motion.rot6d[..., 3:]
    np.testing.assert_allclose((first * second).sum(-1), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": np.zeros((5, 22, 3), np.float32)}, r"joints has shape \(5, 22, 3\), expected \(5, 24, 3\)"),
        ({"joints": np.zeros((0, 24, 3), np.float32)}, "joints has 0 frames"),
        ({"joints": np.float32(1)}, "joints has 0 frames"),
        ({"joints": np.full((5, 24, 3), np.nan, np.float32)}, "joints has rows, the first is 0, with numbers"),
        ({"joints": np.full((5, 24, 3), 1e30, np.float32)}, "joints has rows"),
        ({"joints": np.zeros((5, 24, 3), int)}, "joints has values of type int64"),
        ({"joints": np.zeros((5, 24, 3), "m8[s]")}, "joints has values of type"),
        ({"joints": np.array([None] * 5)}, "joints has values of type object"),
        ({"joints": np.zeros(5, [("x", "f4")])}, "joints has values of type"),
        ({"valid": np.ones(4, bool)}, r"valid has shape \(4,\), expected \(5,\)"),
        ({"valid": np.ones(5)}, "valid has values of type float64"),
        ({"fps": None}, "fps is missing"),
        ({"fps": np.float64("nan")}, "fps is nan"),
        ({"fps": np.float64(0)}, "fps is 0.0"),
        ({"fps": np.array([25.0, 30.0])}, r"fps has shape \(2,\), expected one value"),
        ({"fps": np.array("25")}, "fps has values of type"),
        ({"trans": np.ones((5, 3), np.float32)}, "trans is not where the root joint is"),
        ({"trans": np.zeros((4, 3), np.float32)}, "trans is not where the root joint is"),
        ({"rot6d": np.ones((5, 24, 6), np.float32)}, "rot6d is off by 3 from two rows"),
        ({"rot6d": np.ones((5, 24, 9), np.float32)}, "rot6d has shape"),
        ({"rest": np.zeros((24, 2), np.float32)}, "rest has shape"),
        ({"label": np.array(-1)}, "label is -1"),
        ({"label": np.array("wave")}, "label has values of type"),
        ({"meta": None}, "meta is missing"),
        ({"meta": np.array("[1]")}, "meta is damaged"),
        ({"meta": np.array("{")}, "meta is damaged"),
        ({"camera": np.array('{"kind": "fisheye"}')}, "camera is of kind 'fisheye'"),
        ({"camera": np.array('{"kind": "weak", "scale": 1.0}')}, "camera is damaged.* tx → Field required"),
        ({"camera": np.array('{"kind":"weak","scale":0.0,"tx":0.0,"ty":0.0,"canvas":[4,4]}')}, "camera is damaged"),
        ({"pose": np.zeros(72)}, "'pose' is no field of a motion"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(folder, change, message):
    arrays = fields(make_motion()) | change
    save(folder, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(MotionError, match=rf"m\.npz: {message}") as error:
        read_motion(folder, "m.npz")
    assert "\n" not in str(error.value)


def claiming(shape, content=b""):
    """An array's file with a header and whatever comes after it."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


def pack(joints):
    """A motion's file with these bytes as its joints."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in fields(make_motion()).items():
            with archive.open(f"{name}.npy", "w") as stream:
                if name == "joints":
                    stream.write(joints)
                else:
                    np.lib.format.write_array(stream, value)
    return content.getvalue()


def damaged_files():
    """Bytes that are no motion, by what is wrong with them."""
    whole = pack(claiming((5, 24, 3), make_motion().joints.tobytes()))
    rotten = bytearray(whole)
    rotten[200:260] = bytes(60)
    huge = claiming((MAX_FRAMES * 1000, 24, 3), bytes(1000))
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    return {
        "empty": b"",
        "text": b"nothing",
        "an array": array.getvalue(),
        "half": whole[: len(whole) // 2],
        "rotten": bytes(rotten),
        "huge": pack(huge),
        "negative": pack(huge.replace(b"(1", b"(-")),
        "short": pack(claiming((5, 24, 3))),
        "no header": pack(b"nothing"),
        "a zip": pack(claiming((5, 24, 3))).replace(b"joints", b"points"),
    }


@pytest.mark.parametrize("content", damaged_files().values(), ids=damaged_files())
def test_damaged_and_hostile_files_are_refused(folder, content):
    folder.write_bytes("m.npz", content)
    with pytest.raises(MotionError, match=r"m\.npz: ") as error:
        read_motion(folder, "m.npz")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_missing(folder):
    with pytest.raises(FileNotFoundError):
        read_motion(folder, "m.npz")


def test_no_code_in_a_file_runs(folder, tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    content = io.BytesIO()
    np.savez(content, **(fields(make_motion()) | {"meta": np.array([Harm()], dtype=object)}))
    folder.write_bytes("m.npz", content.getvalue())
    (tmp_path / "harm").unlink(missing_ok=True)
    with pytest.raises(MotionError, match="meta has values of type object"):
        read_motion(folder, "m.npz")
    assert not (tmp_path / "harm").exists()


def test_meta_is_what_json_can_hold(folder):
    with pytest.raises(TypeError):
        write_motion(folder, "m.npz", make_motion(meta={"path": object()}))
    assert not folder.exists("m.npz")


def test_an_array_whose_header_stays_open_is_damaged():
    header = b"{'descr': '<f4', 'shape': (3, "
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with pytest.raises(MotionError, match="its header is damaged"):
        read_array_header(io.BytesIO(content))
