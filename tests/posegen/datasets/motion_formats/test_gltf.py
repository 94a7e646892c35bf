"""glTF files: the skeleton and the clip that are in them are the motion's."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posegen.datasets.motion_formats.gltf import write_glb
from posegen.errors import MotionError
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24
from posegen.synthetic.motions import make_subject, perform

WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
TYPES = {5126: np.float32, 5121: np.uint8, 5123: np.uint16}


@pytest.fixture(scope="module")
def motion() -> Motion:
    return perform("turn", make_subject(2), frames=60)


@pytest.fixture(scope="module")
def opened(motion, tmp_path_factory):
    """The JSON of a file, and what reads an array of it."""
    folder = tmp_path_factory.mktemp("glb")
    write_glb(StorageFolder(folder), "turn.glb", motion)
    data = (folder / "turn.glb").read_bytes()
    magic, version, length, size, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON") and length % 4 == 0
    content = json.loads(data[20 : 20 + size])
    assert data[24 + size : 28 + size] == b"BIN\0"
    numbers = data[28 + size :]

    def array(accessor: int) -> np.ndarray:
        found = content["accessors"][accessor]
        view = content["bufferViews"][found["bufferView"]]
        values = np.frombuffer(
            numbers, TYPES[found["componentType"]], found["count"] * WIDTHS[found["type"]], view["byteOffset"]
        )
        return values.reshape(found["count"], -1)

    return content, array


def test_frames_pose_the_nodes_as_the_motion_has_its_joints(motion, opened):
    content, array = opened
    nodes, [clip] = content["nodes"], content["animations"]
    assert [node["name"] for node in nodes[:24]] == list(SMPL_24) and clip["name"] == "turn"
    curves = {(c["target"]["node"], c["target"]["path"]): clip["samplers"][c["sampler"]] for c in clip["channels"]}
    np.testing.assert_allclose(array(curves[0, "translation"]["input"])[:, 0], np.arange(60) / 25, atol=1e-6)
    places = {0: array(curves[0, "translation"]["output"])}
    turns = {}
    for joint in range(24):
        own = Rotation.from_quat(array(curves[joint, "rotation"]["output"]))
        above = next((index for index in range(24) if joint in nodes[index].get("children", ())), None)
        turns[joint] = own if above is None else turns[above] * own
        if above is not None:
            places[joint] = places[above] + turns[above].apply(nodes[joint]["translation"])
    np.testing.assert_allclose(np.stack([places[joint] for joint in range(24)], axis=1), motion.joints, atol=1e-3)


def test_rotations_go_the_short_way_between_frames(opened):
    content, array = opened
    for sampler in content["animations"][0]["samplers"][1:]:
        turns = array(sampler["output"])
        assert (turns[1:] * turns[:-1]).sum(axis=1).min() > 0


def test_the_body_is_bound_to_the_joints_where_they_are_at_rest(motion, opened):
    content, array = opened
    back = array(content["skins"][0]["inverseBindMatrices"]).reshape(24, 4, 4)
    np.testing.assert_allclose(back[:, 3, :3], -motion.rest, atol=1e-6)
    parts = content["meshes"][0]["primitives"][0]
    places, bound = array(parts["attributes"]["POSITION"]), array(parts["attributes"]["JOINTS_0"])
    assert array(parts["indices"]).max() < len(places) == len(bound) and set(bound[:, 0]) == set(range(24))
    np.testing.assert_allclose(places.min(axis=0), content["accessors"][parts["attributes"]["POSITION"]]["min"])


def test_a_motion_without_rotations_is_refused(motion, tmp_path):
    bare = Motion(joints=motion.joints, valid=motion.valid, fps=25.0)
    with pytest.raises(MotionError, match="rot6d or rest is missing, which glTF needs"):
        write_glb(StorageFolder(tmp_path), "bare.glb", bare)
