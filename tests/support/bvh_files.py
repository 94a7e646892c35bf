"""BVH files of one walk as many programs would write it: names, units, axes, and what they lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from posegen.datasets.motion_formats.axes import TO_Y_UP
from posegen.motion import rotations
from posegen.motion.motion import Motion
from posegen.skeletons import SMPL_24, SMPL_24_PARENTS
from tests.support.estimator_files import walking

_LEG, _ARM = ("hip", "knee", "ankle", "foot"), ("collar", "shoulder", "elbow", "wrist", "hand")


def name_joints(trunk: str, legs: str, arms: str, sides: tuple[str, str] = ("Left", "Right")) -> dict[str, str]:
    """Names by SMPL-24's from those of pelvis, spine, neck and head, and of a leg and an arm with ``{}`` for the side.

    ``-`` is a joint that a file lacks.
    """
    names = dict(zip(("pelvis", "spine1", "spine2", "spine3", "neck", "head"), trunk.split(","), strict=True))
    for side, word in zip(("left", "right"), sides, strict=True):
        for joints, written in ((_LEG, legs), (_ARM, arms)):
            names |= {
                f"{side}_{joint}": name.format(word) for joint, name in zip(joints, written.split(","), strict=True)
            }
    return {joint: name for joint, name in names.items() if name != "-"}


_MIXAMO = ("{}UpLeg,{}Leg,{}Foot,{}ToeBase", "{}Shoulder,{}Arm,{}ForeArm,{}Hand,{}HandMiddle1")


def _prefixed(prefix: str, joint: str = "") -> dict[str, str]:
    names = name_joints("Hips,Spine,Spine1,Spine2,Neck,Head", *_MIXAMO)
    return {name: f"{prefix}{written}{joint}" for name, written in names.items()}


@dataclass(frozen=True)
class BvhStyle:
    """How a program writes a walk."""

    names: Mapping[str, str]
    """By SMPL-24's; joints that are not named are left out."""
    unit: float = 0.01
    """Metres."""
    up: str = "y"
    """The axis that is up, in the bones at rest too."""
    turned_root: str = "y"
    """The axis that is up because the root is turned; bones at rest stand on y."""
    frames: int = 40


STYLES: dict[str, BvhStyle] = {
    "smpl": BvhStyle({name: name for name in SMPL_24}),
    "smpl-short": BvhStyle(name_joints("Pelvis,Spine1,Spine2,Spine3,Neck,Head", "{}_Hip,{}_Knee,{}_Ankle,{}_Foot",
                                       "{}_Collar,{}_Shoulder,{}_Elbow,{}_Wrist,{}_Hand", ("L", "R")), unit=1.0),
    "bandai-namco": BvhStyle(name_joints("Hips,-,Spine,Chest,Neck,Head", "UpperLeg_{},LowerLeg_{},Foot_{},Toes_{}",
                                         "Shoulder_{},UpperArm_{},LowerArm_{},Hand_{},-", ("L", "R"))),
    "lafan1": BvhStyle(name_joints("Hips,Spine,Spine1,Spine2,Neck,Head", "{}UpLeg,{}Leg,{}Foot,{}Toe",
                                   "{}Shoulder,{}Arm,{}ForeArm,{}Hand,{}HandEnd")),
    "cmu": BvhStyle(name_joints("Hips,LowerBack,Spine,Spine1,Neck,Head", _MIXAMO[0],
                                "{}Shoulder,{}Arm,{}ForeArm,{}Hand,{}FingerBase"), unit=0.0254 / 0.45),
    "cmu-asf": BvhStyle(name_joints("root,lowerback,upperback,thorax,lowerneck,head", "{}femur,{}tibia,{}foot,{}toes",
                                    "{}clavicle,{}humerus,{}radius,{}wrist,{}hand", ("l", "r")), unit=0.0254),
    "poser": BvhStyle(name_joints("hip,-,abdomen,chest,neck,head", "{}Thigh,{}Shin,{}Foot,-",
                                  "{}Collar,{}Shldr,{}ForeArm,{}Hand,-", ("l", "r")), unit=0.0254),
    "xsens": BvhStyle(name_joints("Hips,Chest,Chest2,Chest3,Neck,Head", "{}Hip,{}Knee,{}Ankle,{}Toe",
                                  "{}Collar,{}Shoulder,{}Elbow,{}Wrist,-"), frames=30),
    "xsens-mvn": BvhStyle(name_joints("Pelvis,L5,L3,T12,Neck,Head", "{}UpperLeg,{}LowerLeg,{}Foot,{}Toe",
                                      "{}Shoulder,{}UpperArm,{}ForeArm,{}Hand,-"), up="z"),
    "biovision-without-collar": BvhStyle(name_joints("Hips,-,-,Chest,Neck,Head", "{}Hip,{}Knee,{}Ankle,-",
                                                     "-,{}Shoulder,{}Elbow,{}Wrist,-"), unit=0.1),
    "unreal": BvhStyle(name_joints("pelvis,spine_01,spine_02,spine_03,neck_01,head", "thigh_{},calf_{},foot_{},ball_{}",
                                   "clavicle_{},upperarm_{},lowerarm_{},hand_{},middle_01_{}", ("l", "r")), up="z"),
    "vrm": BvhStyle(name_joints("J_Bip_C_Hips,J_Bip_C_Spine,J_Bip_C_Chest,J_Bip_C_UpperChest,J_Bip_C_Neck,J_Bip_C_Head",
                                "J_Bip_{}_UpperLeg,J_Bip_{}_LowerLeg,J_Bip_{}_Foot,J_Bip_{}_ToeBase",
                                "J_Bip_{0}_Shoulder,J_Bip_{0}_UpperArm,J_Bip_{0}_LowerArm,J_Bip_{0}_Hand,-",
                                ("L", "R")), unit=1.0),
    "unity": BvhStyle(name_joints("Hips,Spine,Chest,UpperChest,Neck,Head", "{}UpperLeg,{}LowerLeg,{}Foot,{}Toes",
                                  "{}Shoulder,{}UpperArm,{}LowerArm,{}Hand,-"), turned_root="z"),
    "biped": BvhStyle(name_joints("Bip001 Pelvis,Bip001 Spine,Bip001 Spine1,Bip001 Spine2,Bip001 Neck,Bip001 Head",
                                  "Bip001 {} Thigh,Bip001 {} Calf,Bip001 {} Foot,Bip001 {} Toe0",
                                  "Bip001 {0} Clavicle,Bip001 {0} UpperArm,Bip001 {0} Forearm,Bip001 {0} Hand,-",
                                  ("L", "R")),
                      unit=0.0254, up="z"),
    "character": BvhStyle(_prefixed("Character1_")),
    "mixamo-9": BvhStyle(_prefixed("mixamorig9_")),
    "mixamo-namespace": BvhStyle(_prefixed("mixamorig:")),
    "blender-copies": BvhStyle(_prefixed("", ".001"), up="z", unit=1.0),
    "rigify": BvhStyle(name_joints("spine,spine.001,spine.002,spine.003,spine.004,spine.006",
                                   "DEF-thigh.{},DEF-shin.{},DEF-foot.{},DEF-toe.{}",
                                   "DEF-shoulder.{},DEF-upper_arm.{},DEF-forearm.{},DEF-hand.{},-", ("L", "R")),
                       up="z", unit=1.0),
    "optitrack": BvhStyle(name_joints("Hip,-,Ab,Chest,Neck,Head", "{}Thigh,{}Shin,{}Foot,{}Toe",
                                      "{}Shoulder,{}UArm,{}FArm,{}Hand,-", ("L", "R")), unit=0.001, up="x"),
    "knees-of-legs": BvhStyle(name_joints("Hips,-,Spine,Chest,Neck,Head", "{} leg,{} knee,{} ankle,{} toe",
                                          "{} shoulder,{} arm,{} elbow,{} wrist,-")),
    "maya": BvhStyle(name_joints("hip_jnt,spine1_jnt,spine2_jnt,spine3_jnt,neck_jnt,head_jnt",
                                 "{}_thigh_jnt,{}_knee_jnt,{}_ankle_jnt,{}_ball_jnt",
                                 "{}_clavicle_jnt,{}_shoulder_jnt,{}_elbow_jnt,{}_wrist_jnt,-", ("lf", "rt"))),
    "arm-below-shoulder": BvhStyle(name_joints("Root,spine3,spine2,spine1,neck,head",
                                               "upperleg.{},lowerleg.{},foot.{},toe.{}",
                                               "shoulder.{},upperarm.{},lowerarm.{},wrist.{},-", ("L", "R"))),
    "capitals": BvhStyle(name_joints("ROOT,LOWERBACK,-,CHEST,NECK,HEAD", "{}_THIGH,{}_SHIN,{}_FOOT,{}_TOES",
                                     "{}_CLAVICLE,{}_UPPERARM,{}_FOREARM,{}_HAND,-", ("LEFT", "RIGHT"))),
    "capitals-in-one": BvhStyle(name_joints("HIPS,LUMBAR,-,RIBS,NECK,HEAD", "{}THIGH,{}LEG,{}FOOT,-",
                                            "{}CLAV,{}UARM,{}FOREARM,{}HAND,-", ("L", "R"))),
    "auto-rig-pro": BvhStyle(name_joints("root.x,spine_01.x,spine_02.x,spine_03.x,neck.x,head.x",
                                         "thigh_stretch.{},leg_stretch.{},foot.{},toes_01.{}",
                                         "shoulder.{},arm_stretch.{},forearm_stretch.{},hand.{},-", ("l", "r")),
                             up="z", unit=1.0),
    "two-in-the-spine": BvhStyle(name_joints("hips,lower,-,upper,neck,head", *_MIXAMO)),
    "without-neck": BvhStyle(name_joints("Hips,Spine,Spine1,Spine2,-,Head", *_MIXAMO)),
}  # fmt: skip
"""Programs and data sets, and some files of nobody's."""


def write_style(style: BvhStyle) -> tuple[str, Motion]:
    """Return the file's text, and the walk that is in it."""
    motion = walking()
    frames = slice(0, style.frames)
    local = rotations.rot6d_rows_to_matrix(torch.from_numpy(motion.rot6d[frames]).double()).numpy()
    axes, root = TO_Y_UP[style.up].T, TO_Y_UP[style.turned_root].T  # from y up to the file's axes
    local = np.concatenate([root @ local[:, :1], local[:, 1:]], axis=1)
    angles = rotations.matrix_to_euler_zxy(torch.from_numpy(axes @ local @ axes.T)).numpy()
    rest = motion.rest @ axes.T / style.unit
    places = motion.trans[frames] @ (axes @ root).T / style.unit
    lines, order = _hierarchy(style, rest)
    values = np.concatenate([places, angles[:, order].reshape(len(places), -1)], axis=1)
    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in values)
    return "\n".join(["HIERARCHY", *lines, "MOTION", f"Frames: {len(values)}", "Frame Time: 0.04", rows, ""]), motion


def _hierarchy(style: BvhStyle, rest: np.ndarray) -> tuple[list[str], list[int]]:
    """Lines and the joints in the order of their channels; what hangs on a joint that is left out hangs on the next."""
    named = [index for index, name in enumerate(SMPL_24) if name in style.names]

    def above(joint: int) -> int:
        parent = SMPL_24_PARENTS[joint]
        return parent if parent < 0 or parent in named else above(parent)

    def write(joint: int, tab: str) -> tuple[list[str], list[int]]:
        parent = above(joint)
        offset = rest[joint] - rest[parent] if parent >= 0 else rest[joint] * 0
        channels = ("3" if parent >= 0 else "6 Xposition Yposition Zposition") + " Zrotation Xrotation Yrotation"
        lines = [f"{tab}{'JOINT' if parent >= 0 else 'ROOT'} {style.names[SMPL_24[joint]]}", f"{tab}{{"]
        lines += [f"{tab}\tOFFSET {' '.join(f'{x:.6f}' for x in offset)}", f"{tab}\tCHANNELS {channels}"]
        order = [joint]
        children = [child for child in named if above(child) == joint]
        for child in children:
            inside, below = write(child, tab + "\t")
            lines, order = lines + inside, order + below
        if not children:
            lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET 0 0 0", f"{tab}\t}}"]
        return [*lines, f"{tab}}}"], order

    return write(0, "")
