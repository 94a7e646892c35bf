"""A person of whom a clip is at hand: each part comes from the frame that shows it best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from posegen.features.body_bones import has_trunk, limb_lengths, shows_front
from posegen.features.body_layers import LAYERS
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson, draw_layers
from posegen.skeletons import OPENPOSE_18, joint_indices

_KEPT = 6  # views of a person
_STAYS = 0.15  # cost that another view must save before it takes over, against flicker
_OTHER_SIDE_COST = 2.0  # of showing the front for the back
_TURN_COST = 0.8  # of a trunk of other width, as a logarithm of both
_HIDDEN_COST = 3.0  # of a limb that a view does not show
_TRUNK = joint_indices(["right_shoulder", "left_shoulder", "right_hip", "left_hip"])
_CHAINS = {
    "right_arm": ("right_shoulder", "right_elbow", "right_wrist"),
    "left_arm": ("left_shoulder", "left_elbow", "left_wrist"),
    "right_leg": ("right_hip", "right_knee", "right_ankle"),
    "left_leg": ("left_hip", "left_knee", "left_ankle"),
}


def choose_views(poses: BodyPoses, count: int = _KEPT) -> list[int]:
    """Choose frames of a clip that show a person in postures as different as can be, the first usable one first.

    Args:
        poses: Of all frames.
        count: Frames at most.
    """
    usable = [index for index in range(len(poses)) if has_trunk(poses[index])]
    if not usable:
        return []
    descriptors = np.stack([_describe(poses[index]) for index in usable])
    chosen = [0]
    distances = np.abs(descriptors - descriptors[0]).mean(axis=1)
    while len(chosen) < min(count, len(usable)):
        farthest = int(distances.argmax())
        if distances[farthest] < 1e-3:
            break
        chosen.append(farthest)
        distances = np.minimum(distances, np.abs(descriptors - descriptors[farthest]).mean(axis=1))
    return [usable[index] for index in chosen]


class ClipPerson:
    """A person of whom several frames are taken apart.

    Args:
        views: The person in several frames of one clip, the first in the place where they are shown.
        background: (H, W, 3) uint8 without the person.
    """

    def __init__(self, views: Sequence[LayeredPerson], background: np.ndarray):
        self.views, self.background = list(views), background

    @property
    def pose(self) -> BodyPoses:
        """Pose and position of the person in the first view."""
        return self.views[0].pose

    def with_views(self, views: Sequence[LayeredPerson]) -> ClipPerson:
        """Return the person with other colours: the same views of recoloured frames."""
        return ClipPerson(views, self.background)

    def choose_views(self, poses: BodyPoses) -> Iterator[list[int]]:
        """Choose for each pose of a sequence, and each layer of `LAYERS`, the view that it is drawn from.

        A layer stays with its view until another one shows it clearly better.
        """
        shown, is_chosen = [0] * len(LAYERS), False
        for row in range(len(poses)):
            if len(self.views) > 1 and has_trunk(poses[row]):
                costs = np.array([[_cost(view, poses[row], name) for view in self.views] for name in LAYERS])
                if is_chosen:
                    costs[range(len(LAYERS)), shown] -= _STAYS
                shown, is_chosen = costs.argmin(axis=1).tolist(), True
            yield shown

    def frame(self, pose: BodyPoses, views: Sequence[int], scale: float = 1.0) -> np.ndarray:
        """Show the person in one pose: (H, W, 3) uint8.

        Args:
            pose: In pixels of the picture. One without a trunk shows the background alone.
            views: For each layer of `LAYERS` the number of its view, see `choose_views`.
            scale: How much larger the person is than in the picture.
        """
        canvas = self.background.copy()
        if has_trunk(pose):
            self.views[0].shadow.cast(canvas, pose)
            draw_layers(canvas, {index: self.views[view] for index, view in enumerate(views)}, pose, scale)
        return canvas


def _cost(view: LayeredPerson, pose: BodyPoses, name: str) -> float:
    """Return the cost of drawing a layer of one pose from a view; lower is better."""
    swapped = view.shows_other_side(pose)
    turn = abs(np.log(_width(pose) / _width(view.pose))) * _TURN_COST + _OTHER_SIDE_COST * swapped
    if name not in _CHAINS:
        return float(turn)
    lengths, own = limb_lengths(pose)[name], limb_lengths(view.pose)[_swap(name) if swapped else name]
    if not (own > 0).all():
        return float(turn + _HIDDEN_COST)
    stretch = np.abs(np.log(np.maximum(lengths, 1.0) / np.maximum(own, 1.0)))
    return float(0.5 * turn + stretch.mean())


def _swap(name: str) -> str:
    side, limb = name.split("_")
    return f"{'left' if side == 'right' else 'right'}_{limb}"


def _width(pose: BodyPoses) -> float:
    """Width of the trunk in the picture in its lengths, at least that of a trunk from the side."""
    right_shoulder, left_shoulder, right_hip, left_hip = pose.keypoints[_TRUNK, :2].astype(np.float64)
    length = float(np.linalg.norm((right_shoulder + left_shoulder - right_hip - left_hip) / 2))
    across = float(np.linalg.norm(left_shoulder - right_shoulder) + np.linalg.norm(left_hip - right_hip))
    return max(across / 2 / max(length, 1.0), 0.2)


def _describe(pose: BodyPoses) -> np.ndarray:
    """Describe a pose by the joints relative to the hips, in trunk lengths, and the direction that the trunk faces."""
    points = pose.keypoints[:, :2].astype(np.float64)
    hips = points[_TRUNK[2:]].mean(axis=0)
    length = max(float(np.linalg.norm(points[_TRUNK[:2]].mean(axis=0) - hips)), 1.0)
    places = np.where(pose.keypoints[:, 2:] > 0, (points - hips) / length, 0.0)
    side = 1.0 if shows_front(pose) else -1.0
    return np.append(places.ravel(), np.full(len(OPENPOSE_18), side * _width(pose)))
