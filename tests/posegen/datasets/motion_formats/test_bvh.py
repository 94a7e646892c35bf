"""BVH: places of joints are the file's, whatever its skeleton is called, and what is written is read."""

from __future__ import annotations

import re
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posegen.datasets.motion_formats import ImportOptions, detect, read
from posegen.datasets.motion_formats.bvh import pose, read_bvh, write_bvh
from posegen.datasets.motion_formats.bvh_names import understand
from posegen.errors import MotionError
from posegen.io.storage import StorageFolder
from posegen.motion.anatomy import REST, body_height
from posegen.motion.editing import find_rotations
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS
from tests.support.bvh_files import STYLES, write_style
from tests.support.estimator_files import walking

SAMPLES = ("dataset-1_bow_active_001.bvh", "dataset-1_walk-left_tired_001.bvh", "dataset-1_punch_normal_002.bvh")


@pytest.fixture(scope="module")
def captured(shared, tmp_path_factory) -> list[Path]:
    """Some of Bandai-Namco's files."""
    folder = tmp_path_factory.mktemp("bvh")
    with tarfile.open(shared / "data" / "motion" / "bandai_namco_motion1_bvh_174.tar.xz") as archive:
        for member in archive:
            if Path(member.name).name in SAMPLES:
                archive.extract(member, folder, filter="data")
    return sorted(folder.rglob("*.bvh"))


def load(path, **options):
    (source,) = read(path, ImportOptions(**options))
    return source.load()


def test_captured_motions_keep_their_places_through_inverse_kinematics(captured):
    assert len(captured) == len(SAMPLES)
    for path in captured:
        assert detect(path) == "bvh"
        motion = load(path)
        assert motion.fps == 30 and motion.meta["unit"] == 0.01 and motion.meta["up"].startswith("y")
        assert 1.4 < body_height(motion.joints) < 2.0
        assert -0.1 < motion.joints[:, 10:12, 1].min() < 0.1  # on the floor
        found = find_rotations(motion)
        assert np.median(found.errors) < 1e-6 and found.errors.max() < 1e-3


def test_places_of_captured_joints_are_the_files(captured):
    """Of the first frame of a file, computed by bvhio 1.5.4 (single precision, centimetres)."""
    path = next(path for path in captured if "bow_active" in path.name)
    bvh = read_bvh(path)
    places = dict(zip([joint.name for joint in bvh.joints], pose(bvh).places[0], strict=True))
    for name, expected in BVHIO.items():
        np.testing.assert_allclose(places[name], expected, atol=1e-3)


BVHIO: dict[str, tuple[float, float, float]] = {
    "Hips": (-0.534, 93.523, -9.02), "Head": (0.456, 141.009, -10.059), "Hand_L": (25.095, 90.031, 4.116),
    "Toes_R": (-13.158, 5.467, -3.415),
}  # fmt: skip


@pytest.mark.parametrize("fps", [25, 30, 49, 12.5, 29.97, 30000 / 1001, 24000 / 1001, 1000 / 7, 120])
def test_what_is_written_is_read(tmp_path, fps):
    motion = replace(walking("kick"), fps=fps)
    write_bvh(StorageFolder(tmp_path), "m.bvh", motion)
    again = load(tmp_path / "m.bvh")
    assert again.fps == fps
    np.testing.assert_allclose(again.joints, motion.joints, atol=1e-5)
    np.testing.assert_allclose(again.rot6d, motion.rot6d, atol=1e-5)
    np.testing.assert_allclose(again.rest, motion.rest, atol=1e-6)


def test_a_motion_without_rotations_is_not_written(tmp_path):
    with pytest.raises(MotionError, match="rot6d or rest is missing"):
        write_bvh(StorageFolder(tmp_path), "m.bvh", Motion.from_joints(walking().joints, 25))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def text(tmp_path) -> str:
    write_bvh(StorageFolder(tmp_path), "source.bvh", walking())
    return (tmp_path / "source.bvh").read_text()


@pytest.mark.parametrize("name", STYLES)
def test_files_of_other_programs_are_the_same_walk(tmp_path, name):
    """Whatever its joints are called, its unit is and its axes are, and whichever joints it lacks."""
    style = STYLES[name]
    text, truth = write_style(style)
    (tmp_path / "m.bvh").write_text(text)
    motion = load(tmp_path / "m.bvh")
    assert motion.meta["unit"] == pytest.approx(style.unit)
    known = [joint for joint, name in enumerate(SMPL_24) if name in style.names]
    atol = (
        1e-4 if {"spine1", "spine2", "spine3", "neck", "left_collar"} <= style.names.keys() else 0.03
    )  # they turn, too
    np.testing.assert_allclose(motion.joints[:, known], truth.joints[: style.frames, known], atol=atol)
    np.testing.assert_allclose(motion.joints, truth.joints[: style.frames], atol=0.1)  # those that are invented
    assert sorted(motion.meta["invented_joints"]) == sorted(name for name in SMPL_24 if name not in style.names)
    if len(known) == len(SMPL_24):
        np.testing.assert_allclose(motion.rot6d, truth.rot6d[: style.frames], atol=1e-4)
    axis = style.up if style.up != "y" else style.turned_root
    assert motion.meta["up"] == f"{axis}, as the body stands"
    assert any("is up" in note for note in motion.notes) == (axis != "y")


@pytest.mark.parametrize(
    ("below", "name", "share"),
    [
        ("spine2", "Chest", 0.3),  # the middle one of a spine of many is the nearest to SMPL's
        ("spine2", "Chest", 0.9),
        ("neck", "T8", 0.3),  # the spine goes on above the arms
        ("neck", "neck_0", 0.05),  # as CMU's, where the chest ends
        ("head", "neck_2", 0.5),
        ("left_shoulder", "left_shoulder_0", 0.6),
        ("left_knee", "left_thigh_2", 0.5),
        ("left_elbow", "left_upperarm_2", 0.5),
    ],
)
def test_a_joint_more_changes_none(tmp_path, below, name, share):
    """Programs split bones in two, or begin the neck below where it is one."""
    style = STYLES["arm-below-shoulder"]
    text, truth = write_style(style)
    text = text.replace(f" {style.names['left_shoulder']}\n", " left_upperarm\n")
    written = {"left_shoulder": "left_upperarm"}.get(below, style.names[below])
    (tmp_path / "m.bvh").write_text(with_joint_above(text, written, name, share))
    known = [joint for joint, each in enumerate(SMPL_24) if each in style.names]
    found = load(tmp_path / "m.bvh").joints
    np.testing.assert_allclose(found[:, known], truth.joints[: len(found), known], atol=1e-4)


@pytest.mark.parametrize("missing", [{"neck"}, {"head"}, {"neck", "head"}, set()])
@pytest.mark.parametrize("spine", ["spine1", "spine2", "spine3", "spine1 spine2", "spine1 spine3", "spine2 spine3"])
def test_a_short_spine_is_told_by_where_it_is(spine, missing):
    """Whatever its joints are called; where the trunk has no end, they are taken for the upper ones."""
    left_out = ({"spine1", "spine2", "spine3"} - set(spine.split())) | missing
    kept = [joint for joint, name in enumerate(SMPL_24) if name not in left_out]
    parents, offsets = [], []
    for joint in kept:
        above = SMPL_24_PARENTS[joint]
        while above >= 0 and above not in kept:
            above = SMPL_24_PARENTS[above]
        parents.append(kept.index(above) if above >= 0 else -1)
        offsets.append(REST[joint] - (REST[above] if above >= 0 else 0))
    names = [{"spine1": "a", "spine2": "b", "spine3": "c"}.get(SMPL_24[joint], SMPL_24[joint]) for joint in kept]
    found = understand(names, parents, np.array(offsets), {}).joints
    expected = spine if missing != {"neck", "head"} else " ".join(("spine2", "spine3")[-len(spine.split()) :])
    assert [name for name in SMPL_24 if name.startswith("spine") and name in found] == expected.split()
    assert all(found[SMPL_24[joint]] == index for index, joint in enumerate(kept) if names[index] == SMPL_24[joint])


def with_joint_above(text: str, below: str, name: str, share: float) -> str:
    """A file with a joint more, which does not turn, at a share of the way to another one."""
    head, values = text.split("MOTION\n")
    before, _, behind = head.partition(f"JOINT {below}\n")
    place = before.count("CHANNELS 3") * 3 + 6  # values of the joints before it: the root has 6
    tab = before.rpartition("\n")[2]
    x, y, z = (float(n) for n in re.search(r"OFFSET (\S+) (\S+) (\S+)", behind).groups())
    offset = "OFFSET " + " ".join(f"{share * n:.6f}" for n in (x, y, z))
    depths = np.cumsum([{"{": 1, "}": -1}.get(char, 0) for char in behind])
    end = behind.index("{") + int(np.argmin(depths[behind.index("{") :] > 0))
    rest = "OFFSET " + " ".join(f"{(1 - share) * n:.6f}" for n in (x, y, z))
    body = re.sub(r"OFFSET \S+ \S+ \S+", rest, behind[: end + 1], count=1)
    channels = "CHANNELS 3 Zrotation Xrotation Yrotation"
    more = f"JOINT {name}\n{tab}{{\n{offset}\n{channels}\n{tab}JOINT {below}\n{body}\n{tab}}}"
    titles, rows = values.split("Frame Time: 0.04\n")
    still = [" ".join([*row.split()[:place], "0", "0", "0", *row.split()[place:]]) for row in rows.splitlines()]
    return f"{before}{more}{behind[end + 1 :]}MOTION\n{titles}Frame Time: 0.04\n" + "\n".join(still) + "\n"


def test_joints_can_be_named(tmp_path, text):
    path = tmp_path / "m.bvh"
    path.write_text(text.replace("left_knee", "K1").replace("left_elbow", "A1"))
    with pytest.raises(
        MotionError, match=r"m\.bvh: its joints were not understood: left_knee, left_elbow missing .*--joints"
    ):
        load(path)
    motion = load(path, joints={"left_knee": "K1", "A1": "left_elbow"})
    np.testing.assert_allclose(motion.joints, walking().joints, atol=1e-5)
    with pytest.raises(MotionError, match=r"--joints names 'K2', expected a joint of the file: pelvis, "):
        load(path, joints={"left_knee": "K2"})
    with pytest.raises(MotionError, match=r"--joints names 'knee' and 'K1', expected one of pelvis, "):
        load(path, joints={"knee": "K1"})


def lying(text: str) -> str:
    """The file of a body that lies on its back on the floor, the head towards +z, for the whole motion."""
    head, values = text.rsplit("Frame Time", 1)
    time, *rows = values.splitlines()
    turned = []
    for row in rows:
        numbers = row.split()
        numbers[:6] = ["0", "10", "0", "0", "90", "0"]
        turned.append(" ".join(numbers))
    return "\n".join([f"{head}Frame Time{time}", *turned, ""])


def test_who_lies_is_not_set_up_and_the_user_has_the_last_word(tmp_path, text):
    path = tmp_path / "m.bvh"
    path.write_text(lying(text))
    motion = load(path)
    assert np.ptp(motion.joints[..., 1], axis=1).max() < 0.9  # a leg is up
    assert motion.notes[0].startswith("up: the body lies along z for the whole motion")
    stood = load(path, up="z")
    assert stood.meta["up"] == "z, --up says so" and not stood.notes
    assert np.median(stood.joints[:, SMPL_24.index("head"), 1] - stood.joints[:, 0, 1]) > 0.4


@pytest.mark.parametrize(("scale", "unit"), [(1.0, 0.01), (0.01, 1.0), (10.0, 0.001)])
def test_the_unit_is_told_by_the_bodys_height(tmp_path, text, scale, unit):
    path = tmp_path / "m.bvh"
    path.write_text(scaled(text, scale))
    motion = load(path)
    assert motion.meta["unit"] == unit
    np.testing.assert_allclose(motion.joints, walking().joints, atol=1e-4)


def scaled(text: str, scale: float) -> str:
    """The file in another unit."""
    hierarchy, motion = text.split("MOTION")
    hierarchy = re.sub(
        r"OFFSET (\S+) (\S+) (\S+)",
        lambda m: "OFFSET " + " ".join(str(float(n) * scale) for n in m.groups()),
        hierarchy,
    )
    *head, values = motion.split("\n", 3)
    rows = np.array([row.split() for row in values.splitlines()], float)
    rows[:, :3] *= scale
    return "MOTION".join([hierarchy, "\n".join([*head, *(" ".join(map(repr, row.tolist())) for row in rows)])])


def test_a_unit_of_ones_own(tmp_path, text):
    path = tmp_path / "m.bvh"
    path.write_text(scaled(text, 0.3))
    with pytest.raises(
        MotionError, match=r"m\.bvh: the joints span a body of .* units, .*\(--unit\), .*\(--height 1\.7\)"
    ):
        load(path)
    np.testing.assert_allclose(load(path, unit=0.01 / 0.3).joints, walking().joints, atol=1e-4)
    height = body_height(walking().joints)
    np.testing.assert_allclose(load(path, height=height).joints, walking().joints, atol=1e-4)
    looked_at = load(path, guess_height=True)
    assert body_height(looked_at.joints) == pytest.approx(1.7) and any(
        "scaled to 1.70 m" in note for note in looked_at.notes
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.decode().encode("utf-16"),
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.replace(b"\n", b"\r"),
        lambda content: content.replace(b"JOINT left_knee", "JOINT left_knee ".encode("latin1")),
    ],
)
def test_marks_of_encodings_and_ends_of_lines(tmp_path, text, change):
    path = tmp_path / "m.bvh"
    path.write_bytes(change(text.encode()))
    assert detect(path) == "bvh"
    np.testing.assert_allclose(load(path).joints, walking().joints, atol=1e-5)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_number_of_frames_that_is_off_by_one(tmp_path, text, off):
    path = tmp_path / "m.bvh"
    count = len(walking())
    path.write_text(text.replace(f"Frames: {count}", f"Frames: {count + off}"))
    motion = load(path)
    assert len(motion) == count and motion.notes == (f"Frames is {count + off}, and there are {count}: all are taken",)


@pytest.mark.parametrize(
    ("time", "fps", "note"),
    [
        ("33.3333", 30, "taken for milliseconds, 30 frames a second"),
        ("8.333333", 120, "taken for milliseconds, 120"),
        ("40", 25, "taken for milliseconds, 25"),
        ("30", 30, "taken for frames a second, 30"),
        ("120.0", 120, "taken for frames a second"),
        ("0.033", 1 / 0.033, "where 30 is meant, say --fps 30"),
        ("0.0083", 1 / 0.0083, "where 120 is meant, say --fps 120"),
        ("0.0333333", 30, None),
        ("0.02", 50, None),
    ],
)
def test_frame_times_that_are_no_seconds(tmp_path, text, time, fps, note):
    path = tmp_path / "m.bvh"
    path.write_text(re.sub(r"Frame Time: \S+", f"Frame Time: {time}", text))
    motion = load(path)
    assert motion.fps == pytest.approx(fps, rel=1e-5)
    assert len(motion.notes) == (note is not None) and (note is None or note in motion.notes[0])
    overruled = load(path, fps=24.0)
    assert overruled.fps == 24 and any("--fps 24 overrules it" in note for note in overruled.notes)
    kept = load(path, fps=24.0, overrule=False)
    assert kept.fps == motion.fps and any("--fps is for files without a rate" in note for note in kept.notes)


def test_a_t_pose_is_known_by_its_bones(tmp_path, text):
    """Where bones at rest point elsewhere, rotations are about them and not SMPL's: they are left out."""
    path = tmp_path / "m.bvh"
    path.write_text(re.sub(r"(JOINT left_elbow\s*\{\s*OFFSET) (\S+) (\S+) (\S+)", r"\1 \3 -\2 \4", text))
    assert load(path).rot6d is None


def cut(text: str, share: float) -> str:
    return text[: int(len(text) * share)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("MOTION", "NOTION"), "MOTION is missing"),
        (lambda text: cut(text, 0.9), r"MOTION has .* numbers, expected .* frames of 75: is it cut off\?"),
        (lambda text: text.replace("}\nMOTION", "MOTION"), "HIERARCHY is cut off: brackets are open"),
        (lambda text: text.replace("JOINT left_knee", "BONE left_knee"), "HIERARCHY has 'BONE'"),
        (lambda text: text.replace("left_knee", "bend"),
         "its joints were not understood: left_knee missing among .*bend"),
        (lambda text: re.sub(r"(JOINT|ROOT) \w+", r"\1 bone", text),
         "its joints were not understood: left_hip, .* bone"),
        (lambda text: text.replace("Zrotation", "Wrotation", 1), "CHANNELS has 'Wrotation'"),
        (lambda text: re.sub(r"OFFSET \S+", "OFFSET x", text, count=1), "OFFSET has 'x', expected a number"),
        (lambda text: re.sub(r"Frames: \d+", "Frames: 0", text), "Frames is 0, expected 1 to"),
        (lambda text: re.sub(r"Frames: \d+", "Frames: 1e99", text), "Frames is 1e99"),
        (lambda text: re.sub(r"Frame Time: \S+", "Frame Time: 0", text), "Frame Time is 0"),
        (lambda text: re.sub(r"Frame Time: \S+", "", text), "Frames or Frame Time is missing"),
        (lambda text: re.sub(r"\S+\n$", "nan\n", text), "MOTION has numbers that are not finite, first in frame"),
        (lambda text: re.sub(r"\S+\n$", "x\n", text), "MOTION has something else than numbers"),
        (lambda text: re.sub(r"OFFSET .*", "OFFSET 0 0 0", text), "the body has no size"),
        (lambda text: text.replace("ROOT", "ROOT a { OFFSET 0 0 0 } ROOT"), "HIERARCHY has .* 2 roots"),
    ],
)  # fmt: skip
def test_broken_files_are_one_line_with_file_and_field(tmp_path, text, change, message):
    path = tmp_path / "m.bvh"
    path.write_text(change(text))
    with pytest.raises(MotionError, match=rf"m\.bvh: {message}") as error:
        load(path)
    assert "\n" not in str(error.value)


def test_the_hierarchy_that_is_written_is_smpls(tmp_path, text):
    bvh = read_bvh(tmp_path / "source.bvh")
    names = [joint.name for joint in bvh.joints]
    for joint, parent in enumerate(SMPL_24_PARENTS):
        above = bvh.parents[names.index(SMPL_24[joint])]
        assert above == (names.index(SMPL_24[parent]) if parent >= 0 else -1)
