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
from posegen.datasets.motion_formats.bvh_names import FAMILIES
from posegen.errors import MotionError
from posegen.io.storage import StorageFolder
from posegen.motion.anatomy import body_height
from posegen.motion.editing import find_rotations
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS
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
        assert motion.fps == 30 and motion.meta["skeleton"] == "bandai-namco" and motion.meta["unit"] == 0.01
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


def rename(text: str, family: str) -> str:
    """The file of another skeleton: joints that it does not name are called otherwise."""
    names = FAMILIES[family]
    return re.sub(r"(ROOT|JOINT) (\w+)", lambda match: f"{match[1]} {names.get(match[2], f'extra_{match[2]}')}", text)


@pytest.fixture
def text(tmp_path) -> str:
    write_bvh(StorageFolder(tmp_path), "source.bvh", walking())
    return (tmp_path / "source.bvh").read_text()


@pytest.mark.parametrize("family", FAMILIES)
def test_skeletons_are_understood_by_their_names(tmp_path, text, family):
    path = tmp_path / "m.bvh"
    path.write_text(rename(text, family).replace("JOINT Left", "JOINT mixamorig:Left"))
    motion = load(path)
    known = [joint for joint, name in enumerate(SMPL_24) if name in FAMILIES[family]]
    np.testing.assert_allclose(motion.joints[:, known], walking().joints[:, known], atol=1e-5)
    np.testing.assert_allclose(motion.joints, walking().joints, atol=0.06)  # those that are invented
    found = find_rotations(motion)
    assert np.median(found.errors) < 1e-3


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
    path.write_text(scaled(text, 0.1))
    with pytest.raises(MotionError, match=r"m\.bvh: OFFSET makes a body of .* units, .*\(--unit\)"):
        load(path)
    np.testing.assert_allclose(load(path, unit=0.1).joints, walking().joints, atol=1e-4)


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
        (lambda text: text.replace("left_knee", "knee.l").replace("head", "top"),
         r"its joints were not understood: .*knee\.l.*; .*left_knee \(left_knee\), head \(head\) are missing"),
        (lambda text: re.sub(r"(JOINT|ROOT) \w+", r"\1 bone", text), "its joints were not understood: bone, bone"),
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
