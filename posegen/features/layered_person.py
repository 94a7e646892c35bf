"""A picture of a person, taken apart into layers that move with the bones, and put together again in other poses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from posegen.errors import ConfigError
from posegen.features.body_bones import BONES, BoneFrame, bone_maps, find_bones, has_trunk, trunk_length
from posegen.features.body_pose import BodyPoses
from posegen.features.mesh_warp import Mesh, grid_mesh, warp_texture
from posegen.features.person_classes import PersonClass
from posegen.skeletons import joint_indices

LAYERS: tuple[str, ...] = ("head", "torso", "right_arm", "left_arm", "right_leg", "left_leg")
"""What can lie before or behind something else."""
_HEAD, _TORSO, _RIGHT_ARM, _LEFT_ARM, _RIGHT_LEG, _LEFT_LEG = range(len(LAYERS))

# Usual half widths, in lengths of the trunk.
_HALF_WIDTHS = {"upper_arm": 0.12, "forearm": 0.09, "thigh": 0.18, "calf": 0.13, "foot": 0.1}
_HEAD_RADIUS, _TRUNK_MARGIN, _WITHIN_TRUNK = 0.3, 0.1, 0.8
_HAND = 0.35  # how far beyond the wrist an arm reaches, in lengths of the trunk
# How much less a class of pixels belongs to a layer than its place says, in half widths.
_NEVER = 50.0
_MISFITS = {
    #                      head   torso  arms   legs
    PersonClass.HAIR: (0.0, 1.5, 3.0, _NEVER),
    PersonClass.SKIN: (0.0, 0.8, 0.0, 0.0),
    PersonClass.UPPER: (1.5, 0.0, 0.0, 1.0),
    PersonClass.LOWER: (_NEVER, 0.3, 2.0, 0.0),
    PersonClass.ONE_PIECE: (1.5, 0.0, 0.3, 0.5),
    PersonClass.SHOES: (_NEVER, 8.0, 8.0, 0.0),
    PersonClass.CARRIED: (0.0, 0.0, 0.0, 0.5),
}
_SEAM = 0.1  # trunk lengths by which neighbouring layers overlap
_MESHES_ACROSS = 48  # squares of the mesh along the height of the picture
_STEPS_ACROSS = 96  # samples of the coarse map along the height of the target


@dataclass(frozen=True)
class Layer:
    """A part of the person that moves as one soft body."""

    name: str
    texture: np.ndarray
    """(H, W, 4) uint8 RGB and opacity, of the whole picture; colours go on beyond what is opaque."""
    mesh: Mesh
    weights: np.ndarray
    """(V, 13): how much each vertex follows each of `BONES`; rows sum to 1."""


class LayeredPerson:
    """A person of whom a picture is taken apart once, and shown in any number of poses.

    Args:
        image: (H, W, 3) uint8 RGB.
        pose: The person's pose in it.
        labels: (H, W) uint8 of `PersonClass`.
        background: (H, W, 3) uint8 without the person.

    Raises:
        ConfigError: The pose lacks a shoulder or a hip.
    """

    def __init__(self, image: np.ndarray, pose: BodyPoses, labels: np.ndarray, background: np.ndarray):
        if not has_trunk(pose):
            raise ConfigError("the person shows no shoulders or hips, expected both shoulders and both hips")
        self.image, self.pose, self.labels, self.background = image, pose, labels, background
        self.bones = find_bones(pose)
        self.size = image.shape[:2]
        self.layers = _take_apart(image, pose, self.bones, labels)

    def frame(self, pose: BodyPoses, scale: float = 1.0) -> np.ndarray:
        """Show the person in one pose: (H, W, 3) uint8.

        Args:
            pose: In pixels of the picture. One without a trunk shows the background alone.
            scale: How much larger the person is than in the picture.
        """
        canvas = self.background.copy()
        if not has_trunk(pose):
            return canvas
        target = find_bones(pose)
        maps = bone_maps(self.bones, target, scale)
        step = max(round(self.size[0] / _STEPS_ACROSS), 2)
        for index in depth_order(pose):
            layer = self.layers[index]
            if layer is not None:
                _lay_over(canvas, layer, maps, step)
        return canvas


def _lay_over(canvas: np.ndarray, layer: Layer, maps: np.ndarray, step: int) -> None:
    blended = np.tensordot(layer.weights, maps, axes=1)  # (V, 2, 3)
    moved = np.einsum("vij,vj->vi", blended[..., :2], layer.mesh.vertices) + blended[..., 2]
    warped = warp_texture(layer.texture, layer.mesh, moved, canvas.shape[:2], step)
    if warped is None:
        return
    part, (left, top) = warped
    region = canvas[top : top + part.shape[0], left : left + part.shape[1]]
    opacity = cv2.merge([part[..., 3]] * 3)
    shown = cv2.multiply(part[..., :3], opacity, scale=1 / 255)
    cv2.add(shown, cv2.multiply(region, 255 - opacity, scale=1 / 255), dst=region)


_WRISTS = joint_indices(["right_wrist", "left_wrist"])
_ELBOWS = joint_indices(["right_elbow", "left_elbow"])
_KNEES = joint_indices(["right_knee", "left_knee"])
_ANKLES = joint_indices(["right_ankle", "left_ankle"])
_NOSE = int(joint_indices(["nose"])[0])


def depth_order(pose: BodyPoses) -> list[int]:
    """Return the layers from back to front, by the pose's depths; where they are not known arms are in front."""
    trunk = trunk_length(pose)
    depths = np.nan_to_num(pose.depths) / max(trunk, 1e-9)
    known = np.isfinite(pose.depths).all()
    keys = np.zeros(len(LAYERS))
    keys[_TORSO], keys[_HEAD] = 0.0, 0.1
    for side in range(2):
        arm = (depths[_ELBOWS[side]] + 2 * depths[_WRISTS[side]]) / 3
        keys[_RIGHT_ARM + side] = 0.3 + 0.01 * side if not known or arm > -0.25 else -0.05
        leg = (depths[_KNEES[side]] + depths[_ANKLES[side]]) / 2
        lifted = known and depths[_KNEES[side]] > 0.5
        keys[_RIGHT_LEG + side] = (0.05 if lifted else -1.0) + 0.02 * np.tanh(leg) - 0.001 * side
    return np.argsort(keys, kind="stable").tolist()


# ---- Taking apart


def _take_apart(image: np.ndarray, pose: BodyPoses, bones: BoneFrame, labels: np.ndarray) -> list[Layer | None]:
    trunk = trunk_length(pose)
    person = labels > 0
    parts = _nearest_parts(pose, bones, labels, trunk)
    spacing = max(round(image.shape[0] / _MESHES_ACROSS), 2)
    layers: list[Layer | None] = []
    for index, name in enumerate(LAYERS):
        own = parts == index
        if own.sum() < 4:
            layers.append(None)
            continue
        region = own | _overlap_of(index, parts, labels, bones, pose, trunk)
        filled = region | _hidden_part(index, person, pose)
        opacity, sure = _matte(filled, person)
        texture = _texture(image, opacity, sure & region)
        mesh = grid_mesh(filled, spacing)
        layers.append(Layer(name, texture, mesh, _weights(index, mesh.vertices, bones, trunk)))
    return layers


def _nearest_parts(pose: BodyPoses, bones: BoneFrame, labels: np.ndarray, trunk: float) -> np.ndarray:
    """Number of the layer that each pixel of the person belongs to, (H, W) int8; -1 beside the person."""
    ys, xs = np.nonzero(labels)
    points = np.stack([xs, ys], axis=1).astype(np.float64)
    distances = np.full((len(LAYERS), len(points)), _NEVER * 2)
    distances[_TORSO] = _WITHIN_TRUNK + _hull_distance(pose, labels.shape)[ys, xs] / (_TRUNK_MARGIN * trunk)
    head = BONES.index("head")
    neck, up = bones.origins[head], bones.along[head]
    distances[_HEAD] = np.linalg.norm(points - neck - up, axis=1) / (_HEAD_RADIUS * trunk)
    for layer, chain in _CHAINS.items():
        for name in chain:
            bone = BONES.index(name)
            if not bones.seen[bone]:
                continue
            width = _HALF_WIDTHS[name.split("_", 1)[1]] * trunk
            beyond = _HAND * trunk if name.endswith("forearm") else 0.0
            along = _segment_distance(points, bones.origins[bone], bones.along[bone], beyond)
            distances[layer] = np.minimum(distances[layer], along / width)
    misfits = np.zeros((len(PersonClass), len(LAYERS)))
    for kind, (head_cost, torso, arms, legs) in _MISFITS.items():
        misfits[kind] = (head_cost, torso, arms, arms, legs, legs)
    distances += misfits[labels[ys, xs]].T
    parts = np.full(labels.shape, -1, np.int8)
    parts[ys, xs] = distances.argmin(axis=0)
    return parts


_CHAINS: dict[int, tuple[str, ...]] = {
    _RIGHT_ARM: ("right_upper_arm", "right_forearm"),
    _LEFT_ARM: ("left_upper_arm", "left_forearm"),
    _RIGHT_LEG: ("right_thigh", "right_calf", "right_foot"),
    _LEFT_LEG: ("left_thigh", "left_calf", "left_foot"),
}
_TRUNK_JOINTS = joint_indices(["right_shoulder", "left_shoulder", "left_hip", "right_hip"])


def _hull(pose: BodyPoses) -> np.ndarray:
    return cv2.convexHull(pose.keypoints[_TRUNK_JOINTS, :2].round().astype(np.int32))


def _hull_distance(pose: BodyPoses, size: tuple[int, ...]) -> np.ndarray:
    outside = cv2.fillConvexPoly(np.ones(size, np.uint8), _hull(pose), 0)
    return cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _segment_distance(points: np.ndarray, start: np.ndarray, vector: np.ndarray, beyond: float = 0.0) -> np.ndarray:
    """Distance of points (N, 2) from a segment that is prolonged at its end."""
    length = max(float(np.hypot(*vector)), 1e-6)
    t = np.clip((points - start) @ vector / length**2, 0, 1 + beyond / length)
    return np.linalg.norm(points - start - t[:, None] * vector, axis=1)


def _overlap_of(
    layer: int, parts: np.ndarray, labels: np.ndarray, bones: BoneFrame, pose: BodyPoses, trunk: float
) -> np.ndarray:
    """Pixels of the neighbouring layer that a layer shows as well, so that no gap opens where they meet."""
    if layer == _TORSO:
        return np.zeros(parts.shape, bool)
    first = "head" if layer == _HEAD else _CHAINS[layer][0]
    origin = bones.origins[BONES.index(first)]
    disk = np.zeros(parts.shape, np.uint8)
    radius = {_HEAD: 0.12, _RIGHT_ARM: 0.16, _LEFT_ARM: 0.16}.get(layer, 0.2) * trunk
    cv2.circle(disk, tuple(origin.round().astype(int).tolist()), round(radius), 1, -1)
    allowed = {_HEAD: (PersonClass.SKIN,)}.get(layer)
    if allowed is None and layer in (_RIGHT_LEG, _LEFT_LEG):
        allowed = (PersonClass.LOWER, PersonClass.SKIN)
    near = (disk > 0) & (parts == _TORSO)
    return near if allowed is None else near & np.isin(labels, allowed)


def _hidden_part(layer: int, person: np.ndarray, pose: BodyPoses) -> np.ndarray:
    """Where a layer goes on behind others: the trunk behind arms and hair."""
    hidden = np.zeros(person.shape, np.uint8)
    if layer == _TORSO:
        cv2.fillConvexPoly(hidden, _hull(pose), 1)
    return (hidden > 0) & person


def _matte(region: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Opacity (H, W) uint8 of a region, soft by a pixel, and where its colours are its own (H, W) bool."""
    hard = region.astype(np.uint8) * 255
    soft = cv2.GaussianBlur(cv2.dilate(hard, np.ones((2, 2), np.uint8)), (0, 0), 0.8)
    sure = cv2.erode(person.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return soft, sure & region


def _texture(image: np.ndarray, opacity: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Colours that go on from where they are sure, with an opacity: (H, W, 4) uint8."""
    if not sure.any():
        return np.dstack([image, opacity])
    needed = cv2.dilate(opacity, np.ones((5, 5), np.uint8)) > 0
    left, top, width, height = cv2.boundingRect(needed.astype(np.uint8))
    box = np.s_[top : top + height, left : left + width]
    holes = (needed & ~sure)[box].astype(np.uint8)
    known = np.where(sure[box][..., None], image[box], 0).astype(np.uint8)
    # Beyond what is needed nothing is known either, so that no colour of the background flows in.
    nearest = _nearest_colors(known, sure[box])
    filled = np.where(holes[..., None] > 0, nearest, known)
    texture = np.dstack([image, opacity])
    texture[box][..., :3] = filled
    return texture


def _nearest_colors(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = np.nonzero(known)
    colors = np.zeros((labels.max() + 1, 3), np.uint8)
    colors[labels[ys, xs]] = image[ys, xs]
    return colors[labels]


# ---- Weights


def _weights(layer: int, points: np.ndarray, bones: BoneFrame, trunk: float) -> np.ndarray:
    """How much vertices (V, 2) of a layer follow each bone, (V, 13)."""
    weights = np.zeros((len(points), len(BONES)))
    if layer == _HEAD:
        up = _share_along(points, bones, "head", 0.15, 0.6)
        weights[:, BONES.index("head")], weights[:, BONES.index("chest")] = up, 1 - up
        return weights
    if layer == _TORSO:
        return _torso_weights(points, bones, trunk)
    chain = [BONES.index(name) for name in _CHAINS[layer] if bones.seen[BONES.index(name)]]
    base = BONES.index("chest" if layer in (_RIGHT_ARM, _LEFT_ARM) else "pelvis")
    if not chain:
        weights[:, base] = 1
        return weights
    own = _share_along(points, bones, BONES[chain[0]], -0.1, 0.3)
    weights[:, base] = 1 - own
    rest = own
    for near, far in zip(chain[:-1], chain[1:], strict=True):
        if BONES[far].endswith("foot"):
            share = _share_along(points, bones, BONES[near], 0.9, 1.05)
        else:
            closer = _segment_distance(points, bones.origins[near], bones.along[near]) - _segment_distance(
                points, bones.origins[far], bones.along[far], trunk
            )
            share = _smoothstep(closer / (0.12 * trunk))
        weights[:, near] = rest * (1 - share)
        rest = rest * share
    weights[:, chain[-1]] = rest
    return weights


def _torso_weights(points: np.ndarray, bones: BoneFrame, trunk: float) -> np.ndarray:
    weights = np.zeros((len(points), len(BONES)))
    down = _share_along(points, bones, "chest", 0.25, 0.95)
    pulls = np.zeros((len(points), 0))
    pulled = []
    for name in ("right_upper_arm", "left_upper_arm", "right_thigh", "left_thigh"):
        bone = BONES.index(name)
        if not bones.seen[bone]:
            continue
        width = _HALF_WIDTHS[name.split("_", 1)[1]] * trunk
        distance = _segment_distance(points, bones.origins[bone], bones.along[bone])
        from_joint = np.linalg.norm(points - bones.origins[bone], axis=1)
        pull = _share_along(points, bones, name, -0.1, 0.3)
        pull = pull * np.clip(1.5 - distance / width, 0, 1)
        if name.endswith("arm"):
            pull = pull * np.clip(2 - from_joint / (0.15 * trunk), 0, 1)
        pulls = np.column_stack([pulls, pull])
        pulled.append(bone)
    total = pulls.sum(axis=1, keepdims=True)
    pulls = pulls / np.maximum(total, 1)
    weights[:, pulled] = pulls
    rest = 1 - pulls.sum(axis=1)
    weights[:, BONES.index("chest")] += rest * (1 - down)
    weights[:, BONES.index("pelvis")] += rest * down
    return weights


def _share_along(points: np.ndarray, bones: BoneFrame, name: str, start: float, stop: float) -> np.ndarray:
    """A soft step from 0 to 1 between two places along a bone, in its lengths."""
    index = BONES.index(name)
    vector = bones.along[index]
    t = (points - bones.origins[index]) @ vector / max(float(vector @ vector), 1e-9)
    return _smoothstep(2 * (t - start) / (stop - start) - 1)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below -1, 1 above 1, smooth between."""
    t = np.clip((x + 1) / 2, 0, 1)
    return t * t * (3 - 2 * t)
