"""Skeletons by name: joints, bones, body parts and the tables that map one onto another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

OPENPOSE_18: tuple[str, ...] = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
"""Joints of OpenPose's COCO model, in its order. The neck is the middle of the shoulders."""

OPENPOSE_25: tuple[str, ...] = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "mid_hip",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)
"""Joints of OpenPose's BODY_25 model, in its order."""

COCO_17: tuple[str, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""Joints of COCO's annotations, in its order: those of MMPose and AlphaPose, and the first of COCO-WholeBody's 133."""

OPENPOSE_25B: tuple[str, ...] = (
    *COCO_17,
    "upper_neck",
    "head_top",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)
"""Joints of OpenPose's BODY_25B model, in its order. It has as many as BODY_25, and others."""

HALPE_26: tuple[str, ...] = (
    *COCO_17,
    "head_top",
    "neck",
    "mid_hip",
    "left_big_toe",
    "right_big_toe",
    "left_small_toe",
    "right_small_toe",
    "left_heel",
    "right_heel",
)
"""Joints of Halpe's annotations (AlphaPose), in its order."""

BLAZEPOSE_33: tuple[str, ...] = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)
"""Landmarks of BlazePose, in its order."""

SMPL_24: tuple[str, ...] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
"""Joints of SMPL (Loper et al., 2015), in its order. Its neck is the lowest of the cervical spine, not OpenPose's."""

SMPL_24_PARENTS: tuple[int, ...] = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
)  # fmt: skip
"""The joint that each joint of `SMPL_24` hangs on; -1 is none."""

H36M_17: tuple[str, ...] = (
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "pelvis",
    "spine",
    "neck_base",
    "nose",
    "head_top",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
)
"""Joints of Human3.6M as behaviour-driven synthesis orders them (Blattmann et al., 2021): one of three orders."""

H36M_17_INDICES: tuple[int, ...] = (1, 2, 3, 6, 7, 8, 11, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Indices of the joints of `H36M_17` among Human3.6M's 32."""

H36M_17_BONES: tuple[tuple[str, str], ...] = (
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("left_hip", "pelvis"),
    ("right_hip", "pelvis"),
    ("pelvis", "spine"),
    ("spine", "neck_base"),
    ("neck_base", "nose"),
    ("nose", "head_top"),
    ("neck_base", "left_shoulder"),
    ("neck_base", "right_shoulder"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
)
"""The 16 bones of `H36M_17`."""

_LSP_LEGS = ("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle")
_LSP_ARMS = ("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist")

VIBE_49: tuple[str, ...] = (
    *OPENPOSE_25,
    *(f"{name}_lsp" for name in (*_LSP_LEGS, *_LSP_ARMS, "neck")),
    "head_top",
    "pelvis_mpii",
    "thorax_mpii",
    "spine_h36m",
    "jaw_h36m",
    "head_h36m",
    "nose_coco",
    "left_eye_coco",
    "right_eye_coco",
    "left_ear_coco",
    "right_ear_coco",
)
"""Joints of VIBE and PARE, in their order: OpenPose's 25, then those of other data sets."""

A2M_18: tuple[str, ...] = (
    "mid_hip",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "nose",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "left_heel",
    "right_heel",
    "head_top",
)
"""Joints of NTU13 in Action2Motion (Guo et al., 2020), a selection of `VIBE_49`."""

LIMBS: tuple[tuple[str, str], ...] = (
    ("neck", "right_shoulder"),
    ("neck", "left_shoulder"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("neck", "right_hip"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
    ("neck", "left_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("neck", "nose"),
    ("nose", "right_eye"),
    ("right_eye", "right_ear"),
    ("nose", "left_eye"),
    ("left_eye", "left_ear"),
)
"""The 17 limbs that OpenPose draws, in its drawing order."""

PARTS: tuple[str, ...] = (
    "torso",
    "head",
    "right_thigh",
    "left_thigh",
    "right_calf",
    "left_calf",
    "right_upper_arm",
    "left_upper_arm",
    "right_forearm",
    "left_forearm",
)
"""The ten body parts of Deformable GAN (Siarohin et al., 2018), in its channel order."""

PART_LIMBS: dict[str, tuple[str, str]] = {
    "right_thigh": ("right_hip", "right_knee"),
    "left_thigh": ("left_hip", "left_knee"),
    "right_calf": ("right_knee", "right_ankle"),
    "left_calf": ("left_knee", "left_ankle"),
    "right_upper_arm": ("right_shoulder", "right_elbow"),
    "left_upper_arm": ("left_shoulder", "left_elbow"),
    "right_forearm": ("right_elbow", "right_wrist"),
    "left_forearm": ("left_elbow", "left_wrist"),
}
"""The bone, from near to far, that each limb-shaped part follows."""

UPPER_PARTS: tuple[str, ...] = ("torso", "right_upper_arm", "left_upper_arm", "right_forearm", "left_forearm")
"""Parts that the upper garment covers."""

LOWER_PARTS: tuple[str, ...] = ("right_thigh", "left_thigh", "right_calf", "left_calf")
"""Parts that the lower garment covers."""


def joint_indices(names: Sequence[str], skeleton: Sequence[str] = OPENPOSE_18) -> np.ndarray:
    """Return the positions of `names` in `skeleton`, as an int array that can index a joint axis."""
    return np.array([skeleton.index(name) for name in names])


def swap_left_right(name: str) -> str:
    """Return the mirrored joint or part: ``left_knee`` for ``right_knee``, the same name for a middle one."""
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


def convert_joints(keypoints: np.ndarray, source: Sequence[str], target: Sequence[str] = OPENPOSE_18) -> np.ndarray:
    """Reorder keypoints of shape (..., J, 3) from one skeleton to another by joint name.

    A joint that the source lacks is missing (0, 0, 0), except the neck, which is the middle of the shoulders
    with the lower of their confidences, as OpenPose defines it.
    """
    keypoints = np.asarray(keypoints)
    converted = np.zeros((*keypoints.shape[:-2], len(target), 3), keypoints.dtype)
    for index, name in enumerate(target):
        if name in source:
            converted[..., index, :] = keypoints[..., source.index(name), :]
        elif name == "neck":
            shoulders = keypoints[..., joint_indices(["left_shoulder", "right_shoulder"], source), :]
            middle = shoulders.mean(axis=-2)
            middle[..., 2] = shoulders[..., 2].min(axis=-1)
            converted[..., index, :] = middle
    converted[converted[..., 2] <= 0] = 0
    return converted
