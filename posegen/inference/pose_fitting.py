"""Fits poses of any source to the person of a picture.

The target is walked from mid-hips out: each bone has the direction that the source's bone has in three dimensions, or
in the picture its share of the longest that it is seen there, and the length of the person's own. So foreshortening is
the source's and size is the person's. The head is rigid: the person's face, turned as the source's head is. The feet
tell where the body is: the foot that stands moves as the source's, in legs of the person's length, and the lower foot
is as far above the person's ground as the source's is above its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from posegen.features.body_points import (
    ANKLES,
    BODY_21,
    BODY_BONES,
    FACE_POINTS,
    MID_HIP,
    NECK,
    TOES,
    USUAL_LENGTHS,
    USUAL_NECK,
    bone_vectors,
    points_of_poses,
)
from posegen.features.body_pose import BodyPoses
from posegen.inference.body_measures import BodyMeasures, measure_body, measure_points
from posegen.inference.head_pose import find_head
from posegen.motion.anatomy import FACE, body_height
from posegen.motion.cameras import WeakCamera
from posegen.motion.floor import floor_height
from posegen.motion.motion import Motion
from posegen.motion.to_openpose import OpenPoseBody, openpose_body, project_body, smpl_head_axes
from posegen.skeletons import OPENPOSE_18, SMPL_24, joint_indices

_STANDS = 0.02  # metres of a usual body: a foot so much higher carries less of the weight by a factor of e
_STANDING = 0.85  # share of the frames about one in which a source's lower foot is on the ground or above it
_AROUND_FRAME = 20  # frames on each side of what changes slowly: the distance of a person, and so size and ground
_LONGEST = 0.93  # quantile of a bone's lengths that is its whole length: single joints may be wrong
_AROUND = {"top": 0.2, "hand": 0.12, "foot": 0.03}  # metres beyond head joint, wrists and toes, of a usual body
_SMPL_FEET = joint_indices(["right_foot", "left_foot"], SMPL_24)
_SMPL_ANKLES = joint_indices(["right_ankle", "left_ankle"], SMPL_24)
_WRISTS = joint_indices(["right_wrist", "left_wrist"], BODY_21)
_NO_ARMS = np.array([index for index, name in enumerate(BODY_21) if "elbow" not in name and "wrist" not in name])
_SIZING = ("trunk", "upper_arm", "thigh", "calf")  # bones that tell how large a person is seen
_CALM = 0.12  # of the size: a person who moves less to and from the camera is of one size


@dataclass(frozen=True)
class Margins:
    """Pixels of a picture's borders."""

    top: float
    right: float
    bottom: float
    left: float

    @property
    def largest(self) -> float:
        """The largest of the four."""
        return max(self.top, self.right, self.bottom, self.left)


@dataclass(frozen=True)
class _Source:
    """Inputs of the fit from any source: T frames in the viewer's axes."""

    directions: np.ndarray
    """(T, B, 3): of each bone, as long as its share of the whole length that is seen: 1 with depth. z may be NaN."""
    necks: np.ndarray
    """(T, 3): the same from the neck to the head joint."""
    head_axes: np.ndarray | None
    """(T, 3, 3) columns left, up, forward; None where depths are not known."""
    faces: np.ndarray | None
    """(T, 5, 2): without axes, points of the face from the neck in necks of the source; NaN where they are missing."""
    ankles: np.ndarray
    """(T, 2, 2): x and y of right and left, the ground at y = 0, in units of the source."""
    hips: np.ndarray
    """(T, 2): x and y of mid-hips, likewise."""
    leg: float
    """Length of a leg in units of the source."""
    has_feet: bool = True
    """False where no ankle is ever seen: the feet stay where the person's are."""


def fit_motion(
    motion: Motion, person: BodyPoses, size: tuple[int, int], measures: BodyMeasures | None = None
) -> BodyPoses:
    """Fit a motion in three dimensions to the person of a picture.

    Args:
        motion: Seen from the front, along -z, see `posegen.inference.motion_to_pose.face_viewer`. Frames that are not
            valid are fitted as they were filled in.
        person: One pose, in pixels of the picture; or several of them, of which the first says where the person is.
        size: Height and width of the picture.
        measures: Of the person; by default measured from `person`.

    Returns:
        T poses with depths and feet. Missing is what a head that looks away does not show, and what is more than the
        picture's size outside of it.

    Raises:
        ConfigError: The person shows no two shoulders, or has no size.
        MotionError: The motion's body has no size.
    """
    measures = measures or measure_body(person)
    body = openpose_body(motion.joints.astype(float), SMPL_24, smpl_head_axes(motion))
    points = np.full((len(motion), len(BODY_21), 3), np.nan)
    points[:, : len(OPENPOSE_18)] = body.joints
    points[:, MID_HIP] = body.joints[:, joint_indices(["left_hip", "right_hip"])].mean(axis=1)
    ankles, balls = motion.joints[:, _SMPL_ANKLES], motion.joints[:, _SMPL_FEET]
    points[:, TOES] = ankles + _pitched(balls - ankles, measures.pitch)
    height = float(body_height(motion.joints))
    ground = floor_height(motion.joints)
    offset = np.median(ankles[..., 1].min(axis=1) - balls[..., 1].min(axis=1))
    floor = np.array((0.0, ground + offset))
    vectors = bone_vectors(points)
    lengths = np.linalg.norm(vectors, axis=-1)
    head = motion.joints[:, SMPL_24.index("head")] - points[:, NECK]
    thigh_and_calf = [column for column, bone in enumerate(BODY_BONES) if bone.name in ("thigh", "calf")]
    source = _Source(
        vectors / np.maximum(lengths, 1e-6 * height)[..., None],
        head / np.maximum(np.linalg.norm(head, axis=-1, keepdims=True), 1e-9),
        body.axes,
        None,
        ankles[..., :2] - floor,
        points[:, MID_HIP, :2] - floor,
        float(np.median(lengths[:, thigh_and_calf].sum(axis=1))) / 2,
    )
    return _fit(source, measures, size)


def fit_poses(
    poses: BodyPoses | np.ndarray, person: BodyPoses, size: tuple[int, int], measures: BodyMeasures | None = None
) -> BodyPoses:
    """Fit the poses of another picture's person, frame by frame, to the person of a picture.

    Joints that are missing in some frames are interpolated; limbs that are never seen stay as the person holds them.

    Args:
        poses: In pixels of any size, with or without depths and feet; or OpenPose keypoints (T, 18, 3).
        person: As for `fit_motion`.
        size: As for `fit_motion`.
        measures: As for `fit_motion`.

    Returns:
        T poses; depths are NaN where the source has none.

    Raises:
        ConfigError: The person shows no two shoulders or has no size, or no frame of the poses shows trunk and limbs.
    """
    measures = measures or measure_body(person)
    given = poses if isinstance(poses, BodyPoses) else BodyPoses.from_keypoints(poses)
    own = points_of_poses(person)
    return _fit(_source_of_poses(points_of_poses(given), own[0] if own.ndim == 3 else own), measures, size)


def required_margins(poses: BodyPoses, size: tuple[int, int]) -> Margins:
    """Return by how much a picture must grow for all poses to fit in, with hands, feet and the top of the head.

    Args:
        poses: Of a sequence.
        size: Height and width of the picture.
    """
    points = points_of_poses(poses)
    trunk = np.linalg.norm(points[..., NECK, :2] - points[..., MID_HIP, :2], axis=-1)
    metre = _quantile(trunk, _LONGEST) / USUAL_LENGTHS["trunk"]
    beyond = np.zeros(len(BODY_21))
    beyond[FACE_POINTS], beyond[_WRISTS], beyond[TOES] = (metre * _AROUND[name] for name in ("top", "hand", "foot"))
    x, y = points[..., 0], -points[..., 1]
    edges = (beyond - y, x + beyond - (size[1] - 1), y + beyond - (size[0] - 1), beyond - x)
    edges[2][..., FACE_POINTS] -= beyond[FACE_POINTS]  # below a face is the neck
    return Margins(*(max(0.0, float(np.nanmax(edge, initial=0.0))) for edge in edges))


# ---- Sources in pixels


def _source_of_poses(points: np.ndarray, own: np.ndarray) -> _Source:
    """A source of points (T, 21, 3); `own` (21, 3) are the person's, for limbs that are never seen."""
    points = points * _steady_size(points)[:, None, None]
    measures = measure_points(points)
    whole = measures.bone_lengths()
    directions = _bone_directions(points, own, whole)
    filled = _walk(directions, whole)[..., :2]
    hips = _interpolated(points[:, MID_HIP, :2])
    if hips is None:
        neck = _interpolated(points[:, NECK, :2])
        hips = np.zeros((len(points), 2)) if neck is None else neck - filled[:, NECK]
    ankles = np.where(np.isfinite(points[:, ANKLES, :2]), points[:, ANKLES, :2], filled[:, ANKLES] + hips[:, None])
    floor = np.stack([np.zeros(len(points)), _ground(ankles[..., 1].min(axis=1))], axis=1)
    axes, necks, faces = _heads(points, measures)
    has_feet = bool(np.isfinite(points[:, ANKLES, 0]).any())
    return _Source(directions, necks, axes, faces, ankles - floor[:, None], hips - floor, measures.leg, has_feet)


def _steady_size(points: np.ndarray) -> np.ndarray:
    """Factors (T,) that make a person who comes nearer or goes away as large as in the median frame.

    In each frame the trunk and limbs that are the least foreshortened tell the size.
    """
    lengths = np.linalg.norm(bone_vectors(points[..., :2]), axis=-1)
    columns = [column for column, bone in enumerate(BODY_BONES) if bone.name in _SIZING]
    lengths = lengths[:, columns]
    usual = np.array([_quantile(lengths[:, column], _LONGEST) for column in range(lengths.shape[1])])
    shares = np.where(np.isfinite(lengths) & (usual > 0), lengths / np.where(usual > 0, usual, 1), np.nan)
    known = np.isfinite(shares).sum(axis=1) >= 3
    if known.sum() < 2:
        return np.ones(len(points))
    largest = np.array([np.nanquantile(row, 0.7) if ok else np.nan for row, ok in zip(shares, known, strict=True)])
    frames = np.arange(len(points))
    sizes = np.interp(frames, frames[known], largest[known])
    # Sizes go on beyond both ends as they go inside of them.
    beyond = np.exp(np.pad(np.log(sizes), _AROUND_FRAME, mode="reflect", reflect_type="odd"))
    slow = _slow_quantile(beyond, 0.75)[_AROUND_FRAME:-_AROUND_FRAME]
    middle = float(np.median(slow))
    if np.abs(slow / middle - 1).max() < _CALM:
        return np.ones(len(points))
    return middle / slow


def _ground(low: np.ndarray) -> np.ndarray:
    """The height (T,) of the ground under the lower foot, whose heights (T,) are given.

    It changes slowly: whoever comes nearer to a camera stands lower in the picture, and whoever jumps does not stand.
    """
    return _slow_quantile(low, 1 - _STANDING)


def _slow_quantile(values: np.ndarray, share: float) -> np.ndarray:
    """A quantile of values (T,) over a second or two about each frame, without jumps."""
    frames, reach = np.arange(len(values)), _AROUND_FRAME
    slow = np.array([np.quantile(values[max(t - reach, 0) : t + reach + 1], share) for t in frames])
    kernel = np.hanning(2 * reach + 3)[1:-1]
    return np.convolve(np.pad(slow, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def _bone_directions(points: np.ndarray, own: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The directions (T, B, 3) as `_Source` has them, without gaps."""
    vectors = bone_vectors(points)
    flat = vectors[..., :2] / whole[:, None]
    share = np.linalg.norm(flat, axis=-1, keepdims=True)
    flat /= np.maximum(share, 1)
    found = np.concatenate([flat, vectors[..., 2:]], axis=-1)
    for column, bone in enumerate(BODY_BONES):
        known = _interpolated(found[:, column, :2])
        if known is None:
            found[:, column] = _held_by_person(own, bone.near, bone.far)
            continue
        depth = _interpolated(found[:, column, 2:])
        found[:, column, :2] = known
        # What the picture does not show of a bone's length goes to the viewer, or away.
        found[:, column, 2:] = np.nan if depth is None else np.sign(depth) * _rest_of(known)
    return found


def _rest_of(flat: np.ndarray) -> np.ndarray:
    """Return the depth part (T, 1) of unit directions, given their parts (T, 2) in the picture plane."""
    return np.sqrt(np.maximum(1 - (flat**2).sum(axis=-1, keepdims=True), 0))


def _held_by_person(own: np.ndarray, near: int, far: int) -> np.ndarray:
    """The direction (3,) of a bone of the person; down where it is not seen, and to its side for hips."""
    vector = own[far] - own[near]
    if np.isfinite(vector).all() and np.linalg.norm(vector) > 0:
        return vector / np.linalg.norm(vector)
    side = -1.0 if BODY_21[far].startswith("right") else 1.0
    if BODY_21[near] in ("mid_hip", "neck") and far != NECK:
        return np.array((side, 0.0, 0.0))
    if far in TOES:
        return np.array((0.3 * side, -0.7, 0.65))
    return np.array((0.0, 1.0 if far == NECK else -1.0, 0.0))


def _interpolated(values: np.ndarray) -> np.ndarray | None:
    """Values (T, D) with gaps filled linearly, and held at both ends; None where no frame knows them."""
    rows = np.flatnonzero(np.isfinite(values).all(axis=1))
    if not len(rows):
        return None
    frames = np.arange(len(values))
    return np.stack([np.interp(frames, rows, values[rows, column]) for column in range(values.shape[1])], axis=1)


def _heads(points: np.ndarray, measures: BodyMeasures) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
    """Axes (T, 3, 3), directions of the neck (T, 3) and faces (T, 5, 2) as `_Source` has them."""
    frames = len(points)
    upright = np.tile((0.0, 1.0, 0.0), (frames, 1))
    if np.isfinite(points[:, FACE_POINTS, 2]).any():
        found = [find_head(face) for face in points[:, FACE_POINTS]]
        axes = _interpolated(np.array([np.full(9, np.nan) if head is None else head.axes.ravel() for head in found]))
        origins = np.array([np.full(3, np.nan) if head is None else head.origin for head in found])
        necks = _interpolated(origins - points[:, NECK])
        if axes is None or necks is None:
            return np.tile(np.eye(3), (frames, 1, 1)), upright, None
        left, _, right = np.linalg.svd(axes.reshape(frames, 3, 3))
        return left @ right, necks / np.linalg.norm(necks, axis=-1, keepdims=True), None
    faces = points[:, FACE_POINTS, :2] - points[:, NECK, None, :2]  # (T, 5, 2)
    shown = np.linalg.norm(faces[:, :1], axis=-1)
    unit = _quantile(shown[:, 0], 0.8)
    if not unit > 0:
        unit = measures.scale * (USUAL_NECK + FACE["nose"][1])
    return None, upright, faces / unit


def _quantile(lengths: np.ndarray, share: float) -> float:
    known = lengths[np.isfinite(lengths)]
    return float(np.quantile(known, share)) if len(known) else float("nan")


# ---- The person


def _fit(source: _Source, measures: BodyMeasures, size: tuple[int, int]) -> BodyPoses:
    """Give the source's directions the person's lengths, and put them on the person's ground."""
    points = _walk(source.directions, measures.bone_lengths())  # (T, 21, 3), mid-hips at the origin
    hips = _place(source, points, measures)
    hips[:, 0] = _keep_inside(hips[:, 0], points, size)
    _set_face(points, source, measures)
    points[..., :2] += hips[:, None]
    return _to_poses(points, source.head_axes, size)


def _walk(directions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Points (T, 21, 3) of bones of directions (T, B, 3) and lengths (B,), mid-hips at the origin; no face."""
    points = np.zeros((len(directions), len(BODY_21), 3))
    for column, bone in enumerate(BODY_BONES):
        points[:, bone.far] = points[:, bone.near] + lengths[column] * directions[:, column]
    points[:, FACE_POINTS] = np.nan
    return points


def _place(source: _Source, points: np.ndarray, measures: BodyMeasures) -> np.ndarray:
    """Compute mid-hip positions (T, 2) for which the standing foot moves as the source's does."""
    pixels = measures.leg / source.leg
    ankles = points[:, ANKLES, :2]  # of the person, from mid-hips
    if source.has_feet:
        height = source.ankles[..., 1] - source.ankles[..., 1].min(axis=1, keepdims=True)  # (T, 2)
        weights = np.exp(-height * pixels / (_STANDS * measures.scale))
        places = pixels * source.ankles
    else:
        weights = np.exp(-(ankles[..., 1] - ankles[..., 1].min(axis=1, keepdims=True)) / (_STANDS * measures.scale))
        places = np.zeros_like(ankles)
        places[..., 0] = (pixels * (source.hips[:, 0] - source.hips[0, 0]))[:, None]
        places[..., 0] += ankles[0, :, 0]
    weights /= weights.sum(axis=1, keepdims=True)
    hips = (weights[..., None] * (places - ankles)).sum(axis=1)
    return hips + np.array((measures.hips[0] - hips[0, 0], measures.ground))


def _keep_inside(hips: np.ndarray, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Compute mid-hip x positions (T,), scaling a path that leaves the picture just enough to stay inside."""
    body = points[:, _NO_ARMS, 0]
    left, right = np.nanmin(body, axis=1), np.nanmax(body, axis=1)
    way = hips - hips[0]
    share = 1.0
    for room, there in ((size[1] - 1 - hips[0] - right, way > 0), (hips[0] + left, way < 0)):
        possible = there & (room > 0)
        if possible.any():
            share = min(share, float((room[possible] / np.abs(way[possible])).min()))
    return hips[0] + share * way


def _set_face(points: np.ndarray, source: _Source, measures: BodyMeasures) -> None:
    """Put the person's face, in place, on points (T, 21, 3)."""
    neck = points[:, NECK]
    if source.head_axes is not None:
        head = neck + measures.neck * source.necks
        points[:, FACE_POINTS] = head[:, None] + measures.face @ source.head_axes.swapaxes(1, 2)
    elif source.faces is not None:
        nose = measures.face[list(FACE).index("nose")] + (0.0, measures.neck, 0.0)
        points[:, FACE_POINTS, :2] = neck[:, None, :2] + np.linalg.norm(nose[:2]) * source.faces


def _to_poses(points: np.ndarray, head_axes: np.ndarray | None, size: tuple[int, int]) -> BodyPoses:
    """Poses of points (T, 21, 3) in pixels."""
    camera = WeakCamera(scale=1.0, tx=0.0, ty=0.0, canvas=size)
    body = points[:, : len(OPENPOSE_18)]
    missing = ~np.isfinite(body[..., :2]).all(axis=-1)
    facing = np.tile(np.eye(3), (len(points), 1, 1)) if head_axes is None else head_axes
    keypoints = project_body(OpenPoseBody(np.nan_to_num(body), facing), camera)
    keypoints[missing] = 0
    seen = keypoints[..., 2] > 0
    toes = np.stack([points[:, TOES, 0], -points[:, TOES, 1], np.ones((len(points), 2))], axis=-1)
    toes[~np.isfinite(toes).all(axis=-1)] = 0
    return BodyPoses(keypoints, np.where(seen, body[..., 2], np.nan).astype(np.float32), toes.astype(np.float32))


def _pitched(vectors: np.ndarray, pitch: float) -> np.ndarray:
    """Vectors (..., 3) as a camera sees them that looks down by so many radians."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack([x, y * np.cos(pitch) - z * np.sin(pitch), y * np.sin(pitch) + z * np.cos(pitch)], axis=-1)
