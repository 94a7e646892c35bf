"""Pairs of pictures of one person, made of a photo or of frames of a clip, to train a refiner or to adapt one."""

from __future__ import annotations

import cv2
import numpy as np

from posegen.datasets.refinement import RefinementPair, pair_of_frame
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.photo import Photo
from posegen.inference.pose_fitting import fit_motion
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.motions import make_subject, perform

_FRAMES = 40  # of a motion that poses are taken from
_TURN = 15.0  # degrees: standard deviation of the views
_OPAQUE = 250  # of 255
_HALF = 127


def draw_pose(person: BodyPoses, size: tuple[int, int], rng: np.random.Generator) -> BodyPoses:
    """Draw a pose of an action at random, fitted to a person.

    Args:
        person: Their pose.
        size: Height and width of the picture.
        rng: Decides the action, the moment and the view.
    """
    action = str(rng.choice(list(ACTIONS)))
    motion = perform(action, make_subject(int(rng.integers(30))), int(rng.integers(100)), frames=_FRAMES)
    yaw = float(_TURN * rng.standard_normal())
    poses = fit_motion(face_viewer(motion, yaw), person, size)
    return poses[int(rng.integers(len(poses)))]


def there_and_back(photo: Photo, pose: BodyPoses) -> RefinementPair | None:
    """Move the person of a photo to another pose, take that picture apart, and move them back.

    The photo is the target; both poses are exact. What the first move hides or stretches is a hole of the second.

    Args:
        photo: The photo.
        pose: One pose with a trunk, in pixels of the photo.

    Returns:
        The pair; None where the person is not in the picture in that pose.
    """
    there = photo.layered().frame_with_map(pose)
    person = there.opacity > _HALF
    if not person.any():
        return None
    nearest = cv2.INTER_NEAREST
    classes = cv2.remap(photo.labels, there.positions, None, nearest, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    classes = np.where(person, classes, 0).astype(np.uint8)
    if not classes.any():
        return None
    matte = there.opacity.astype(np.float32) / 255
    back = LayeredPerson.take_apart(there.image, pose, classes, matte, photo.background).frame_with_map(photo.pose)
    truth, known = _invert(there.positions, there.sure & (there.opacity > _OPAQUE))
    return RefinementPair(
        **pair_of_frame(there.image, classes, photo.background, back),
        target=photo.image,
        mask=(photo.matte * 255).round().astype(np.uint8),
        visible=known.astype(np.uint8),
        truth=truth,
        poses=stack_poses(pose, photo.pose),
    )


def pair_of_photos(source: Photo, target: Photo) -> RefinementPair:
    """Show the person of one picture in the pose of another one of the same camera, which is the target.

    Where pixels come from is not known.
    """
    frame = source.layered().frame_with_map(target.pose)
    size = frame.opacity.shape
    return RefinementPair(
        **pair_of_frame(source.image, source.labels, source.background, frame),
        target=target.image,
        mask=(target.matte * 255).round().astype(np.uint8),
        visible=np.zeros(size, np.uint8),
        truth=np.full((*size, 2), np.nan, np.float32),
        poses=stack_poses(source.pose, target.pose),
    )


def stack_poses(first: BodyPoses, second: BodyPoses) -> BodyPoses:
    """Return two poses as a sequence (2,)."""
    return BodyPoses(
        np.stack([first.keypoints, second.keypoints]),
        np.stack([first.depths, second.depths]),
        np.stack([first.toes, second.toes]),
    )


def _invert(positions: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Invert a map of pixel positions: return the target position of each source pixel.

    Args:
        positions: (H, W, 2): where each pixel comes from.
        where: (H, W) bool: of which that is so.

    Returns:
        (H, W, 2) float32, NaN where it is not known; and (H, W) bool, where it is.
    """
    height, width = where.shape
    ys, xs = np.nonzero(where)
    came = positions[ys, xs]
    to = came.round().astype(int)
    inside = (to >= 0).all(axis=1) & (to[:, 0] < width) & (to[:, 1] < height)
    ys, xs, to, rest = ys[inside], xs[inside], to[inside], (came - to)[inside]
    truth = np.full((height, width, 2), np.nan, np.float32)
    truth[to[:, 1], to[:, 0]] = np.stack([xs, ys], axis=1) - rest  # a pixel there is about a pixel here
    return truth, np.isfinite(truth[..., 0])
