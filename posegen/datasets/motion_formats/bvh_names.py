"""What BVH files call the joints of SMPL-24: one table a family, and which of them a file belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from posegen.skeletons import SMPL_24, SMPL_24_PARENTS

INVENTED: dict[str, str] = {
    "spine1": "pelvis", "spine2": "spine3", "left_hand": "left_wrist", "right_hand": "right_wrist",
    "left_foot": "left_ankle", "right_foot": "right_ankle",
}  # fmt: skip
"""Joints that a file may lack, and the joint that they then go with."""


def _both_sides(left: str, right: str, names: Mapping[str, str]) -> dict[str, str]:
    """Names of both sides from a pattern with ``{}`` for the side."""
    return {
        f"{side}_{joint}": name.format(word)
        for joint, name in names.items()
        for side, word in (("left", left), ("right", right))
    }


_MIXAMO_LIMBS = {
    "hip": "{}UpLeg", "knee": "{}Leg", "ankle": "{}Foot", "foot": "{}ToeBase", "collar": "{}Shoulder",
    "shoulder": "{}Arm", "elbow": "{}ForeArm", "wrist": "{}Hand", "hand": "{}HandMiddle1",
}  # fmt: skip
_SMPL_LIMBS = {name: "{}_" + name for name in (
    "hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist", "hand"
)}  # fmt: skip
_SPINES = {"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head"}

_POSER_LIMBS = {
    "hip": "{}Thigh", "knee": "{}Shin", "ankle": "{}Foot", "collar": "{}Collar", "shoulder": "{}Shldr",
    "elbow": "{}ForeArm", "wrist": "{}Hand",
}  # fmt: skip

FAMILIES: dict[str, dict[str, str]] = {
    "smpl": {name: name for name in SMPL_24},
    "smpl-short": {
        **{name: name.capitalize() for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")},
        **_both_sides("L", "R", {joint: name.title() for joint, name in _SMPL_LIMBS.items()}),
    },
    "bandai-namco": {
        "pelvis": "Hips", "spine2": "Spine", "spine3": "Chest", "neck": "Neck", "head": "Head",
        **_both_sides("L", "R", {
            "hip": "UpperLeg_{}", "knee": "LowerLeg_{}", "ankle": "Foot_{}", "foot": "Toes_{}", "collar": "Shoulder_{}",
            "shoulder": "UpperArm_{}", "elbow": "LowerArm_{}", "wrist": "Hand_{}",
        }),
    },
    "mixamo": {**_SPINES, **_both_sides("Left", "Right", _MIXAMO_LIMBS)},
    "lafan1": {**_SPINES, **_both_sides("Left", "Right", _MIXAMO_LIMBS | {"foot": "{}Toe", "hand": "{}HandEnd"})},
    "cmu": {
        **_SPINES, "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1",
        **_both_sides("Left", "Right", _MIXAMO_LIMBS | {"hand": "{}FingerBase"}),
    },
    "poser": {
        "pelvis": "hip", "spine2": "abdomen", "spine3": "chest", "neck": "neck", "head": "head",
        **_both_sides("l", "r", _POSER_LIMBS),
    },
}  # fmt: skip
"""Names by family and SMPL-24 joint: SMPL's in full and short, those of Bandai-Namco's motion dataset, of Mixamo and
what is made alike, of LaFAN1, of CMU's in Biovision's names and of Poser's."""


@dataclass(frozen=True)
class Naming:
    """Which joint of a file each of SMPL-24 is."""

    family: str
    joints: dict[str, int]
    """Index in the file by SMPL-24 name; those of `INVENTED` may be missing."""


def understand(names: Sequence[str]) -> Naming | str:
    """Return what a file's joints are, or what was not understood, in one line."""
    plain = [_plain(name) for name in names]
    found = {family: _look_up(table, plain) for family, table in FAMILIES.items()}
    family = max(found, key=lambda name: len(found[name]))
    missing = [joint for joint in SMPL_24 if joint not in found[family] and joint not in INVENTED]
    if not missing:
        return Naming(family, found[family])
    known = set(found[family].values())
    strange = [name for index, name in enumerate(names) if index not in known]
    wanted = ", ".join(f"{FAMILIES[family][joint]} ({joint})" for joint in missing)
    return (
        f"its joints were not understood: {', '.join(strange) or 'none are left over'}; of a skeleton like "
        f"{family}'s, {wanted} are missing; expected names of {', '.join(FAMILIES)}"
    )


def _look_up(table: Mapping[str, str], plain: Sequence[str]) -> dict[str, int]:
    wanted = {joint: _plain(name) for joint, name in table.items()}
    return {joint: plain.index(name) for joint, name in wanted.items() if name in plain}


def _plain(name: str) -> str:
    """A name without its character's, ``mixamorig:Hips``, and as it is written: ``Left_Up-Leg`` is ``leftupleg``."""
    return re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].lower().removeprefix("mixamorig"))


def is_smpl_tree(naming: Naming, parents: Sequence[int]) -> bool:
    """Return whether a file's joints hang on each other as SMPL-24's do."""
    if len(naming.joints) < len(SMPL_24):
        return False
    order = [naming.joints[name] for name in SMPL_24]
    return all(
        parents[order[joint]] == (order[parent] if parent >= 0 else -1) for joint, parent in enumerate(SMPL_24_PARENTS)
    )
