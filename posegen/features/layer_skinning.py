"""Skinning weights of a layer's vertices: smooth over joints, and with cloth hanging from them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from posegen.features.body_bones import SOFT_BONES, BoneFrame, distance_to_bone, place_at_bone, step_along_bone
from posegen.features.body_layers import ARMS, LEGS, LIMB_CHAINS, OTHER_SIDE, USUAL_HALF_WIDTHS, BodyLayer
from posegen.features.mesh_warp import Mesh
from posegen.features.smoothstep import smoothstep

_CROTCH = 0.3  # of a thigh by which the inner side follows it later than the outer side
_CHIN = (0.55, 0.9)  # of the way from the ears to the shoulders: the chin, and where the neck follows the chest
_CHIN_CURVE = 0.7  # of that way, by which a jaw ends higher one such way beside the chin
_LOOSE = 0.75  # usual half widths of an arm beside its bone, beyond which a sleeve folds as the arm is lowered
_FOLDED = 0.85  # of what lies beyond, by which it does
_ARMPIT = 0.35  # of an upper arm by which the side of the armpit follows it later than the outer side


class LayerSkinning:
    """Binds the layers of a picture to bones."""

    def __init__(self, bones: BoneFrame, trunk: float):
        """Take the bones of the picture, and the length of the trunk in pixels."""
        self.bones, self.trunk = bones, trunk

    def bind(self, index: int, mesh: Mesh) -> tuple[Mesh, np.ndarray, np.ndarray]:
        """Bind a layer to the bones.

        Args:
            index: Its number.
            mesh: Over its part of the picture.

        Returns:
            The mesh with what lies in front where it folds last (a face before the neck); weights (V, 15) and pivots
            (V, 2) as a `Layer` has them.
        """
        weights = self._weights(index, mesh.vertices)
        # Bones are in order along a chain.
        distance = (weights @ np.arange(len(SOFT_BONES)))[mesh.triangles].mean(axis=1)
        order = np.argsort(-distance if index in (BodyLayer.TORSO, *LEGS) else distance, kind="stable")
        return mesh._replace(triangles=mesh.triangles[order]), weights, self._pivots(index, mesh.vertices, weights)

    def _weights(self, index: int, points: np.ndarray) -> np.ndarray:
        """Compute the skinning weights of vertices (V, 2) of a layer, (V, 15)."""
        weights = np.zeros((len(points), len(SOFT_BONES)))
        if index == BodyLayer.HEAD:
            return self._head_weights(points)
        if index == BodyLayer.TORSO:
            return self._torso_weights(points)
        if index == BodyLayer.SKIRT:
            return self._skirt_weights(points)
        chain = [SOFT_BONES.index(name) for name in LIMB_CHAINS[index] if self.bones.seen[SOFT_BONES.index(name)]]
        base = SOFT_BONES.index("chest" if index in ARMS else "pelvis")
        if not chain:
            weights[:, base] = 1
            return weights
        later = (
            _CROTCH * self._between_legs(points, index) if index in LEGS else _ARMPIT * self._at_armpit(points, index)
        )
        rest = step_along_bone(self.bones, SOFT_BONES[chain[0]], points, -0.1 + later, 0.3 + later)
        weights[:, base] = 1 - rest
        for near, far in pairwise(chain):
            if SOFT_BONES[far].endswith(("foot", "hand")):
                share = step_along_bone(self.bones, SOFT_BONES[near], points, 0.9, 1.05)
            else:
                closer = distance_to_bone(self.bones, near, points) - distance_to_bone(
                    self.bones, far, points, self.trunk
                )
                share = smoothstep(closer / (0.12 * self.trunk), -1, 1)
            weights[:, near] = rest * (1 - share)
            rest = rest * share
        weights[:, chain[-1]] = rest
        return weights

    def _pivots(self, index: int, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Joints (V, 2) around which vertices bend: those of a limb's bones between which they lie."""
        if index not in LIMB_CHAINS:
            return points
        joints = np.zeros((len(points), 2))
        shares = np.zeros((len(points), 1))
        near = SOFT_BONES.index("chest" if index in ARMS else "pelvis")
        for far in (SOFT_BONES.index(name) for name in LIMB_CHAINS[index]):
            if self.bones.seen[far]:
                share = (weights[:, near] * weights[:, far])[:, None]
                joints, shares, near = joints + share * self.bones.origins[far], shares + share, far
        joints = np.where(shares > 1e-6, joints / np.maximum(shares, 1e-6), points)
        if index in ARMS:  # cloth at the armpit is pulled together where that at the shoulder is stretched
            inner = self._at_armpit(points, index)[:, None]
            joints = inner * points + (1 - inner) * joints
        return joints

    def slack(self, index: int, points: np.ndarray) -> np.ndarray:
        """Return by how much the vertices (V, 2) of a layer move as an arm is lowered to the trunk, (V, 2) pixels.

        A sleeve hangs from an arm that is held away from the trunk; beside the trunk there is no room for it.
        """
        if index not in ARMS:
            return np.zeros_like(points)
        across, side = self._towards_armpit(points, index)
        beyond = np.maximum(across - _LOOSE * USUAL_HALF_WIDTHS["upper_arm"] * self.trunk, 0)
        return np.asarray(-_FOLDED * beyond[:, None] * side)

    def _head_weights(self, points: np.ndarray) -> np.ndarray:
        """The head down to the chin, whose curve is seen where it comes before the chest, and the chest below."""
        weights = np.zeros((len(points), len(SOFT_BONES)))
        head = SOFT_BONES.index("head")
        along, aside, _ = place_at_bone(self.bones, head, points.T[::-1])
        aside = aside / max(np.hypot(*self.bones.along[head]), 1e-9)
        neck = smoothstep(np.maximum(1 - along, 0) + np.minimum(_CHIN_CURVE * aside**2, _CHIN[0]), *_CHIN)
        weights[:, head], weights[:, SOFT_BONES.index("chest")] = 1 - neck, neck
        return weights

    def _torso_weights(self, points: np.ndarray) -> np.ndarray:
        """Chest above, pelvis below; near shoulders and hips the limbs pull."""
        weights = np.zeros((len(points), len(SOFT_BONES)))
        for name in ("right_upper_arm", "left_upper_arm", "right_thigh", "left_thigh"):
            bone = SOFT_BONES.index(name)
            if self.bones.seen[bone]:
                width = USUAL_HALF_WIDTHS[name.split("_", 1)[1]] * self.trunk
                pull = step_along_bone(self.bones, name, points, -0.1, 0.3)
                pull *= np.clip(1.5 - distance_to_bone(self.bones, bone, points) / width, 0, 1)
                if name.endswith("arm"):
                    from_joint = np.linalg.norm(points - self.bones.origins[bone], axis=1)
                    pull *= np.clip(2 - from_joint / (0.15 * self.trunk), 0, 1)
                weights[:, bone] = pull
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
        rest = 1 - weights.sum(axis=1)
        down = step_along_bone(self.bones, "chest", points, 0.25, 0.95)
        weights[:, SOFT_BONES.index("chest")] += rest * (1 - down)
        weights[:, SOFT_BONES.index("pelvis")] += rest * down
        return weights

    def _skirt_weights(self, points: np.ndarray) -> np.ndarray:
        """The pelvis at the hips, and further down both thighs, the nearer one more."""
        weights = np.zeros((len(points), len(SOFT_BONES)))
        right, left = SOFT_BONES.index("right_thigh"), SOFT_BONES.index("left_thigh")
        from_right, from_left = (distance_to_bone(self.bones, one, points, self.trunk) for one in (right, left))
        side = (from_right - from_left) / np.maximum(from_right + from_left, 1e-6)  # -1 at the right thigh
        on_left = smoothstep(1.2 * side, -1, 1)
        down = 0.85 * np.maximum(
            *(
                step_along_bone(self.bones, SOFT_BONES[one], points, -0.1, 0.7) * self.bones.seen[one]
                for one in (right, left)
            )
        )
        weights[:, right], weights[:, left] = down * (1 - on_left), down * on_left
        weights[:, SOFT_BONES.index("pelvis")] = 1 - down
        return weights

    def _between_legs(self, points: np.ndarray, leg: int) -> np.ndarray:
        """Measure the position of points (N, 2) from a leg's bone towards the other leg, 0 to 1 where the two meet."""
        own, other = (self.bones.origins[SOFT_BONES.index(LIMB_CHAINS[one][0])] for one in (leg, OTHER_SIDE[leg]))
        inwards = (other - own) / 2
        return np.clip((points - own) @ inwards / max(float(inwards @ inwards), 1e-9), 0, 1)

    def _at_armpit(self, points: np.ndarray, arm: int) -> np.ndarray:
        """Measure the position of points (N, 2) from an arm's bone towards the armpit, 0 to 1 at the arm's edge."""
        across, _ = self._towards_armpit(points, arm)
        bone, chest = SOFT_BONES.index(LIMB_CHAINS[arm][0]), SOFT_BONES.index("chest")
        along, down = _unit(self.bones.along[bone]), _unit(self.bones.along[chest])
        hanging = np.clip(2 * (1 + along @ down), 0, 1)  # a raised arm has it elsewhere
        return np.clip(hanging * across / (USUAL_HALF_WIDTHS["upper_arm"] * self.trunk), 0, 1)

    def _towards_armpit(self, points: np.ndarray, arm: int) -> tuple[np.ndarray, np.ndarray]:
        """Return how far points (N, 2) lie beside an upper arm on the side of the armpit, (N,) pixels, and its unit
        vector (2,)."""
        bone, chest = SOFT_BONES.index(LIMB_CHAINS[arm][0]), SOFT_BONES.index("chest")
        along = _unit(self.bones.along[bone])
        side = _unit(self.bones.along[chest]) + 0.5 * _unit(self.bones.origins[chest] - self.bones.origins[bone])
        side = _unit(side - (side @ along) * along)
        return (points - self.bones.origins[bone]) @ side, side


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / max(np.hypot(*vector), 1e-9))
