"""Bones of a person in a picture, and the affine map of each bone to another pose.

A bone carries what is around it rigidly across, and foreshortens it along its own direction alone: an affine map with
bounded anisotropy, where a least-squares fit (Yang et al., 2020, Section 2.3) blows up a torso that is seen from the
side or a limb that points to the viewer. The trunk has two such maps, of chest and pelvis, which agree on the spine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from posegen.features.body_pose import BodyPoses
from posegen.features.smoothstep import smoothstep
from posegen.skeletons import OPENPOSE_18, joint_indices, swap_left_right

SOFT_BONES: tuple[str, ...] = (
    "chest",
    "pelvis",
    "head",
    "right_upper_arm",
    "right_forearm",
    "right_hand",
    "left_upper_arm",
    "left_forearm",
    "left_hand",
    "right_thigh",
    "right_calf",
    "right_foot",
    "left_thigh",
    "left_calf",
    "left_foot",
)
"""Bones and other parts that move independently."""

PARENTS: dict[int, int] = {
    SOFT_BONES.index(name): SOFT_BONES.index("chest" if name.endswith("upper_arm") else "pelvis")
    if name.endswith(("upper_arm", "thigh"))
    else SOFT_BONES.index(name) - 1
    for name in SOFT_BONES[3:]
}
"""For each bone of a limb, by number, that of the one that it hangs from, which comes before it."""
_MIRROR = joint_indices([swap_left_right(name) for name in OPENPOSE_18])
JOINTS_OF_FACE = joint_indices(["nose", "right_eye", "left_eye", "right_ear", "left_ear"])
"""Joints of OpenPose-18 that are in the face."""
_NOSE_AND_EYES = JOINTS_OF_FACE[:3]
_EYES_AND_EARS = (joint_indices(["right_eye", "left_eye"]), joint_indices(["right_ear", "left_ear"]))
_NECK = int(joint_indices(["neck"])[0])
_SHOULDERS = joint_indices(["right_shoulder", "left_shoulder"])
_HIPS = joint_indices(["right_hip", "left_hip"])
_LIMBS = {
    f"{side}_{bone}": joint_indices([f"{side}_{near}", f"{side}_{far}"])
    for side in ("right", "left")
    for bone, near, far in (
        ("upper_arm", "shoulder", "elbow"),
        ("forearm", "elbow", "wrist"),
        ("thigh", "hip", "knee"),
        ("calf", "knee", "ankle"),
    )
}
_ANKLES = joint_indices(["right_ankle", "left_ankle"])
_TRUNK_DEPTH = 0.55  # of a trunk's width, front to back
_SHORTEST, _LONGEST = 0.2, 2.0  # along a bone, relative to the picture
_NARROWEST, _WIDEST = 0.55, 1.45  # across the trunk
_LEAST_LENGTH = 2.0  # pixels; a bone that points to the viewer has no direction
_MOST_SHEAR = 0.35  # of the trunk by shoulders or hips that tilt, as a tangent
_MOST_TURN = np.radians(50.0)  # of the head, relative to the trunk
_BEFORE_EARS = 0.2  # of the way from the ears to nose and eyes: the middle of a head
_EARS_PER_EYES = 2.35  # how much farther ears are apart than eyes
_FACE_WINDOW = 5  # frames, of which most show a face or most do not
_FOOT_LENGTH = 0.28  # of the trunk's
_STANDING = (0.3, 0.6)  # sine of the angle by which a foot points down in a picture, of one that may stand
_MOST_ASIDE = 0.5  # of its height, by which the toes of a standing foot move to a side
_WIDER = 0.4  # by which it is wider, for each of its heights by which its toes are farther to a side than before
_STRETCHED_FOOT = (0.8, 1.25)  # width and height of a standing foot, relative to the picture


class BoneFrame(NamedTuple):
    """Bones in one pose."""

    origins: np.ndarray
    """(15, 2) pixels: the joint that a bone hangs from."""
    along: np.ndarray
    """(15, 2) pixels: from the origin to the end of the bone."""
    across: np.ndarray
    """(15, 2) pixels: across the bone; half the width for chest and pelvis, of the bone's length for the others."""
    seen: np.ndarray
    """(15,) bool: both joints of the bone are known."""
    face: np.ndarray
    """(2,) pixels: the middle of the head, between the ears."""
    features: np.ndarray
    """(2,) pixels: the middle of nose and eyes; NaN where they are not all seen."""


def trunk_length(pose: BodyPoses) -> float:
    """Return the length in pixels from the middle of the shoulders to that of the hips, undoing foreshortening."""
    spine = pose.keypoints[_SHOULDERS, :2].mean(axis=0) - pose.keypoints[_HIPS, :2].mean(axis=0)
    depth = float(pose.depths[_SHOULDERS].mean() - pose.depths[_HIPS].mean())
    return float(np.hypot(np.hypot(*spine), np.nan_to_num(depth)))


def has_trunk(pose: BodyPoses) -> bool:
    """Return whether both shoulders and both hips are known, without which nothing can be moved."""
    return bool((pose.keypoints[np.concatenate([_SHOULDERS, _HIPS]), 2] > 0).all())


def foreshortening(pose: BodyPoses, bone: str) -> float:
    """Return which share of a limb's length one pose shows, in [0, 1]; 1 where depths are not known."""
    near, far = _LIMBS[bone]
    seen = float(np.hypot(*(pose.keypoints[far, :2] - pose.keypoints[near, :2])))
    depth = float(np.nan_to_num(pose.depths[far] - pose.depths[near]))
    return seen / max(np.hypot(seen, depth), 1e-9)


def limb_lengths(pose: BodyPoses) -> dict[str, np.ndarray]:
    """Return the lengths (2,) in pixels of both bones of each limb of one pose, by name; 0 where a joint is missing."""
    lengths = {}
    for side in ("right", "left"):
        for limb, bones in (("arm", ("upper_arm", "forearm")), ("leg", ("thigh", "calf"))):
            ends = pose.keypoints[[_LIMBS[f"{side}_{bone}"] for bone in bones]]  # (2, 2, 3)
            known = (ends[..., 2] > 0).all(axis=1)
            lengths[f"{side}_{limb}"] = np.linalg.norm(ends[:, 1, :2] - ends[:, 0, :2], axis=-1) * known
    return lengths


def shows_front(pose: BodyPoses) -> bool:
    """Return whether the person's right side is on the left of an upright trunk, as from the front."""
    points = pose.keypoints[:, :2].astype(np.float64)
    spine = points[_HIPS].mean(axis=0) - points[_SHOULDERS].mean(axis=0)
    across = sum((points[left] - points[right] for right, left in (_SHOULDERS, _HIPS)), np.zeros(2))
    return float(across @ _perpendicular(spine)) >= 0


def shows_face(pose: BodyPoses) -> bool:
    """Return True if the nose or the eyes are seen; estimators guess them on the back of a head, behind the ears."""
    depth = float(np.mean(pose.depths[_NOSE_AND_EYES]) - np.mean(pose.depths[JOINTS_OF_FACE[3:]]))
    behind = np.isfinite(depth) and depth < 0 and not shows_front(pose)
    return bool((pose.keypoints[_NOSE_AND_EYES, 2] > 0).any()) and not behind


def drop_hidden_faces(poses: BodyPoses) -> np.ndarray:
    """Return keypoints (T, 18, 3) of a sequence without the noses and eyes that are guessed on the back of a head.

    Ears are seen from behind, too. Frames are taken with the two before and after, against flicker.
    """
    hidden = np.array([not shows_face(poses[row]) for row in range(len(poses))])
    near = np.convolve(np.pad(hidden, _FACE_WINDOW // 2, mode="edge"), np.ones(_FACE_WINDOW), mode="valid")
    keypoints = poses.keypoints.copy()
    keypoints[np.ix_(near > _FACE_WINDOW / 2, _NOSE_AND_EYES)] = 0
    return keypoints


def swap_sides(pose: BodyPoses) -> BodyPoses:
    """Return one pose with the names of right and left joints exchanged."""
    return BodyPoses(pose.keypoints[_MIRROR], pose.depths[_MIRROR], pose.toes[::-1])


def mirror_pose(pose: BodyPoses, width: int) -> BodyPoses:
    """Return one pose as a mirrored picture of a width in pixels shows it: right is left."""
    swapped = swap_sides(pose)
    keypoints, toes = swapped.keypoints.copy(), swapped.toes.copy()
    for joints in (keypoints, toes):
        joints[:, 0] = np.where(joints[:, 2] > 0, width - 1 - joints[:, 0], 0)
    return BodyPoses(keypoints, swapped.depths, toes)


def find_bones(pose: BodyPoses) -> BoneFrame:
    """Find the bones of one pose that has a trunk, see `has_trunk`."""
    keypoints = pose.keypoints.astype(np.float64)
    points, known = keypoints[:, :2], keypoints[:, 2] > 0
    shoulders, hips = points[_SHOULDERS].mean(axis=0), points[_HIPS].mean(axis=0)
    spine = hips - shoulders
    origins, along, across = (
        np.zeros((len(SOFT_BONES), 2)),
        np.zeros((len(SOFT_BONES), 2)),
        np.zeros((len(SOFT_BONES), 2)),
    )
    seen = np.ones(len(SOFT_BONES), bool)
    trunk = trunk_length(pose)

    def put(name: str, origin: np.ndarray, vector: np.ndarray, width: np.ndarray) -> None:
        index = SOFT_BONES.index(name)
        origins[index], along[index], across[index] = origin, vector, width

    put("chest", shoulders, spine, _trunk_width(pose, _SHOULDERS, spine))
    put("pelvis", hips, -spine, _trunk_width(pose, _HIPS, spine))
    features = points[_NOSE_AND_EYES].mean(axis=0) if known[_NOSE_AND_EYES].all() else np.full(2, np.nan)
    middle = _head_middle(points, known, features, shoulders - 0.4 * spine)
    up = _head_up(points, known, shoulders, middle, spine)
    put("head", shoulders, up, _perpendicular(up))
    for name, (near, far) in _LIMBS.items():
        seen[SOFT_BONES.index(name)] = known[near] and known[far]
        vector = points[far] - points[near] if known[near] and known[far] else spine / 2
        put(name, points[near], vector, _perpendicular(vector))
    for forearm in (SOFT_BONES.index("right_forearm"), SOFT_BONES.index("left_forearm")):
        seen[forearm + 1] = seen[forearm]
        put(SOFT_BONES[forearm + 1], origins[forearm] + along[forearm], along[forearm], across[forearm])
    for side, (ankle, toe) in enumerate(zip(_ANKLES, pose.toes, strict=True)):
        name = ("right_foot", "left_foot")[side]
        seen[SOFT_BONES.index(name)] = known[ankle] and toe[2] > 0
        vector = toe[:2] - points[ankle] if toe[2] > 0 else np.array([0.0, _FOOT_LENGTH * trunk])
        put(name, points[ankle], vector.astype(np.float64), _perpendicular(vector))
    return BoneFrame(origins, along, across, seen, middle, features)


def bone_maps(source: BoneFrame, target: BoneFrame, scale: float = 1.0) -> np.ndarray:
    """Return how pixels of the source move with each bone to the target: (15, 2, 3) float64 affine maps.

    Args:
        source: Of the picture.
        target: Of the pose to show.
        scale: How much larger the person is in the target than in the source.
    """
    maps = np.zeros((len(SOFT_BONES), 2, 3))
    for index, name in enumerate(SOFT_BONES):
        from_along, to_along = source.along[index], target.along[index]
        if name in ("chest", "pelvis"):
            linear = _trunk_map(from_along, to_along, source.across[index], target.across[index], scale)
        elif name.endswith("foot"):
            linear = _foot_map(from_along, to_along, scale)
        elif name == "head" or name.endswith("hand"):  # rigid: a hand keeps its shape, and so does a ball
            linear = scale * _rotation(_angle(to_along) - _angle(from_along))
        else:
            ratio = np.hypot(*to_along) / max(np.hypot(*from_along), _LEAST_LENGTH)
            stretch = scale * np.clip(ratio / scale, _SHORTEST, _LONGEST)
            linear = _along_and_across(from_along, to_along, stretch, scale)
        maps[index, :, :2] = linear
        fixed = (source.face, target.face) if name == "head" else (source.origins[index], target.origins[index])
        maps[index, :, 2] = fixed[1] - linear @ fixed[0]
        if not target.seen[index]:  # what is not to be seen goes along with what it hangs from
            maps[index] = maps[PARENTS[index]]
    return maps


def place_at_bone(bones: BoneFrame, bone: int, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find where pixels are at a bone.

    Args:
        bones: Of one pose.
        bone: Its number.
        pixels: (2, ...) rows and columns.

    Returns:
        How far along the bone they are, 0 to 1 at its ends; how far beside it, in pixels; and the unit vector (2,) to
        the side that counts as positive.
    """
    origin, vector = bones.origins[bone], bones.along[bone]
    length = max(float(np.hypot(*vector)), 1e-6)
    normal = np.array([vector[1], -vector[0]]) / length
    rows, columns = pixels
    along = ((columns - origin[0]) * vector[0] + (rows - origin[1]) * vector[1]) / length**2
    return along, (columns - origin[0]) * normal[0] + (rows - origin[1]) * normal[1], normal


def distance_to_bone(bones: BoneFrame, bone: int, points: np.ndarray, beyond: float = 0.0) -> np.ndarray:
    """Return the distance (N,) in pixels of points (N, 2) from a bone that is prolonged at its end by some pixels."""
    start, vector = bones.origins[bone], bones.along[bone]
    length = max(float(np.hypot(*vector)), 1e-6)
    t = np.clip((points - start) @ vector / length**2, 0, 1 + beyond / length)
    return np.linalg.norm(points - start - t[:, None] * vector, axis=1)


def step_along_bone(
    bones: BoneFrame, name: str, points: np.ndarray, start: float | np.ndarray, stop: float | np.ndarray
) -> np.ndarray:
    """Return a soft step (N,) from 0 to 1 for points (N, 2) between two places along a bone, in its lengths."""
    index = SOFT_BONES.index(name)
    vector = bones.along[index]
    t = (points - bones.origins[index]) @ vector / max(float(vector @ vector), 1e-9)
    return smoothstep(t, start, stop)


def _trunk_width(pose: BodyPoses, pair: np.ndarray, spine: np.ndarray) -> np.ndarray:
    """Half of the vector from the right to the left of two joints, as wide as the body looks there.

    A trunk is an ellipse from above: seen from the side it is as wide as it is deep, not a line.
    """
    right, left = pose.keypoints[pair, :2].astype(np.float64)
    vector = left - right
    normal = _perpendicular(spine)
    normal /= max(np.hypot(*normal), 1e-9)
    projected = float(vector @ normal)
    depth = float(np.nan_to_num(pose.depths[pair[1]] - pose.depths[pair[0]]))
    full = max(np.hypot(np.hypot(*vector), depth), 0.5 * np.hypot(*spine))
    cosine = np.clip(abs(projected) / full, 0, 1)
    looks = full * np.sqrt(cosine**2 + _TRUNK_DEPTH**2 * (1 - cosine**2))
    sign = 1.0 if projected >= 0 else -1.0
    direction = spine / max(np.hypot(*spine), 1e-9)
    slope = float(vector @ direction) / max(abs(projected), 0.25 * full)
    return sign * looks / 2 * (normal + sign * np.clip(slope, -_MOST_SHEAR, _MOST_SHEAR) * direction)


def _trunk_map(
    from_spine: np.ndarray, to_spine: np.ndarray, from_half: np.ndarray, to_half: np.ndarray, scale: float
) -> np.ndarray:
    """The linear part that takes the spine to the spine and, within bounds, half the width to half the width."""
    ratio = np.hypot(*to_half) / max(np.hypot(*from_half), _LEAST_LENGTH)
    bounded = to_half * scale * np.clip(ratio / scale, _NARROWEST, _WIDEST) / max(ratio, 1e-9)
    lengths = np.hypot(*to_spine) / max(np.hypot(*from_spine), _LEAST_LENGTH)
    spine = to_spine * scale * np.clip(lengths / scale, _SHORTEST, _LONGEST) / max(lengths, 1e-9)
    return np.column_stack([spine, bounded]) @ np.linalg.inv(np.column_stack([from_spine, from_half]))


def _foot_map(source: np.ndarray, target: np.ndarray, scale: float) -> np.ndarray:
    """The linear part (2, 2) that takes a foot to another direction, each from the ankle to the toes in the picture.

    A foot that stands turns on the floor: its toes move to the side, and what is level stays level. Turned in the
    picture, it would stand on its toes. A foot in the air turns as one.
    """
    turned = scale * _rotation(_angle(target) - _angle(source))
    down = min(float(one[1]) / max(np.hypot(*one), 1e-9) for one in (source, target))
    stands = float(smoothstep(np.array(down), *_STANDING))
    if not stands:
        return turned
    aside, lower = (target / scale - source) / source[1]
    longer = (abs(target[0]) / scale - abs(source[0])) / source[1]
    wider, lower = np.clip((1 + _WIDER * longer, 1 + lower), *_STRETCHED_FOOT)
    level = scale * np.array([[wider, np.clip(aside, -_MOST_ASIDE, _MOST_ASIDE)], [0.0, lower]])
    return stands * level + (1 - stands) * turned


def _head_middle(points: np.ndarray, known: np.ndarray, features: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Find the middle of a head (2,), around which it turns: one that followed its face would hang beside its neck.

    It is a little before the point between the ears. The ear that a profile hides is as far from the other as eyes are
    from each other, in a head's proportions.
    """
    (right_eye, left_eye), (right_ear, left_ear) = _EYES_AND_EARS
    shows_features = bool(np.isfinite(features).all())
    half = _EARS_PER_EYES * (points[left_eye] - points[right_eye]) / 2
    if known[[right_ear, left_ear]].all():
        ears = points[[right_ear, left_ear]].mean(axis=0)
    elif shows_features and known[[right_ear, left_ear]].any():
        ears = points[right_ear] + half if known[right_ear] else points[left_ear] - half
    else:
        seen = points[JOINTS_OF_FACE][known[JOINTS_OF_FACE]]
        return np.asarray(seen.mean(axis=0)) if len(seen) else otherwise
    return np.asarray((1 - _BEFORE_EARS) * ears + _BEFORE_EARS * features if shows_features else ears)


def _head_up(
    points: np.ndarray, known: np.ndarray, shoulders: np.ndarray, middle: np.ndarray, spine: np.ndarray
) -> np.ndarray:
    """Direction in which the head is up: across eyes and ears where they are seen, otherwise away from the neck."""
    votes = []
    for right, left in _EYES_AND_EARS:
        if known[right] and known[left]:
            vector = points[left] - points[right]
            votes.append(_perpendicular(vector if vector[0] >= 0 else -vector))
    neck = middle - shoulders
    length = max(np.hypot(*neck), 1.0)
    up = sum(votes, np.zeros(2)) if votes else neck
    if np.hypot(*up) < 0.15 * length:
        up = neck
    turn = (_angle(up) - _angle(-spine) + np.pi) % (2 * np.pi) - np.pi
    bounded = _angle(-spine) + float(np.clip(turn, -_MOST_TURN, _MOST_TURN))
    return length * np.array([np.cos(bounded), np.sin(bounded)])


def _along_and_across(from_along: np.ndarray, to_along: np.ndarray, along: float, across: float) -> np.ndarray:
    turn = _rotation(_angle(to_along) - _angle(from_along))
    axis = from_along / max(np.hypot(*from_along), 1e-9)
    return turn @ (across * np.eye(2) + (along - across) * np.outer(axis, axis))


def _perpendicular(vector: np.ndarray) -> np.ndarray:
    """The vector turned by a quarter, so that up becomes right and down becomes left... in pixels with y down."""
    return np.array([vector[1], -vector[0]])


def _angle(vector: np.ndarray) -> float:
    return float(np.arctan2(vector[1], vector[0]))


def _rotation(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])
