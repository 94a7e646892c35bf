"""From a video to a motion in three dimensions: BlazePose's landmarks in space, and where its weak camera has them.

The network sees one frame at a time and guesses depth from what bodies look like. Where the camera is level, up is up;
the distance of the person is unknown, so motion towards or away from the camera is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import median_filter

from posegen.datasets.clip_files import ClipFile
from posegen.errors import PerceptionError, VideoError, counted
from posegen.io.video_reader import iterate_frames
from posegen.motion import rotations
from posegen.motion.anatomy import FACE, HEAD_TOP, HEIGHT, REST, body_height, head_axes
from posegen.motion.cameras import WeakCamera
from posegen.motion.editing import find_rotations, stand_at
from posegen.motion.filters import savitzky_golay
from posegen.motion.motion import Motion
from posegen.motion.to_h36m import smpl_joints
from posegen.perception.blazepose import BlazeposeNetworks, Sighting, follow_both_ways, is_person
from posegen.perception.person_box import fit_networks
from posegen.perception.smoothing import swapped_frames
from posegen.skeletons import BLAZEPOSE_33, H36M_17, SMPL_24, convert_joints, joint_indices, swap_left_right

_MIRROR = joint_indices([swap_left_right(name) for name in BLAZEPOSE_33], BLAZEPOSE_33)
_TO_WORLD = (1.0, -1.0, -1.0)  # x right, y up, z towards the camera
_MEDIAN, _WINDOW = 3, 7  # frames; nine would halve quick jumps


def _at_rest(name: str) -> np.ndarray:
    return REST[SMPL_24.index(name)]


_NECK = _at_rest("neck") - (_at_rest("left_shoulder") + _at_rest("right_shoulder")) / 2
_PELVIS = -(_at_rest("left_hip") + _at_rest("right_hip")) / 2
"""Metres from the middle of shoulders and of hips, in the trunk's axes, of a body of `HEIGHT`."""
_FOOT = float(np.linalg.norm(_at_rest("left_foot") - _at_rest("left_ankle")))
"""Metres from an ankle to the ball of the foot, of a body of `HEIGHT`."""
_SPINE = float(_at_rest("spine2")[1] / _at_rest("neck")[1])
"""Height of the middle spine joint, as a share of the neck's."""
_FACE = np.array(list(FACE.values()))
_FACE_LANDMARKS = joint_indices(list(FACE), BLAZEPOSE_33)


class Landmarks(NamedTuple):
    """Landmarks that the network predicts for each frame."""

    world: np.ndarray
    """(T, 33, 3) metres from the middle of the hips, y up."""
    image: np.ndarray
    """(T, 33, 3) x and y in pixels, visibility."""
    seen: np.ndarray
    """(T,) bool: False where they are filled in."""
    canvas: tuple[int, int]
    """Height and width of the frames."""


def lift(frames: Iterable[np.ndarray], fps: float, source: str = "the video") -> Motion:
    """Find the motion of the person in frames (H, W, 3) uint8 RGB of one size.

    x is to the right of the picture and z towards the camera; the person begins at x = 0, stays at z = 0 and stands on
    the ground. Frames that do not show them are filled in and not valid. `Motion.camera` is the weak camera by which
    the motion was found, in pixels of the frames as the network saw them.

    Args:
        frames: In order.
        fps: How many of them there are in a second.
        source: What they are of, for the message.

    Raises:
        PosegenError: No frame shows a person.
    """
    landmarks = find_landmarks(frames, source)
    scale, origins = _fit_camera(landmarks)
    roots = np.stack([origins[:, 0] - origins[0, 0], -origins[:, 1], np.zeros(len(origins))], axis=-1) / scale
    body = smpl_joints(h36m_landmarks(landmarks.world))
    _set_feet(body, landmarks.world)
    motion = replace(Motion.from_joints((body + roots[:, None]).astype(np.float32), fps), valid=landmarks.seen)
    posed = find_rotations(savitzky_golay(motion, _WINDOW)).motion  # the bones of one body
    camera = WeakCamera(scale=scale, tx=float(origins[0, 0]), ty=0.0, canvas=landmarks.canvas)
    return stand_at(replace(posed, camera=camera), 0.0)


def lift_video(path: Path, seconds: float = 60.0) -> Motion:
    """Find the motion of the person in a video, or in its first seconds; see `lift`.

    Raises:
        VideoError: Nobody is seen in it.
        VideoError: It is not a readable video of at least two frames.
    """
    frames, times = [], []
    for _, time, frame in iterate_frames(path):
        if time > seconds:
            break
        frames.append(fit_networks(frame))  # what is seen of large frames fits into memory
        times.append(time)
    if len(frames) < 2:
        raise VideoError(f"{path}: {counted(len(frames), 'frame')} in {seconds:g} s, expected at least two")
    return lift(frames, (len(times) - 1) / times[-1], str(path))


def lift_clip(clip: ClipFile, seconds: float = 60.0) -> Motion:
    """Find the motion of the person in a clip, or in its first seconds; see `lift`. Raises PosegenError as `lift`."""
    rows = np.flatnonzero(clip.times <= seconds).tolist()
    return lift(map(clip.image, rows), clip.info.fps, f"the clip {clip.clip_id}")


def h36m_landmarks(world: np.ndarray) -> np.ndarray:
    """Return the joints (T, 17, 3) of `H36M_17` that go with landmarks (T, 33, 3) of BlazePose, in metres with y up.

    Hips, legs, shoulders, arms and nose are taken as they are. Pelvis, spine and neck are to hips and shoulders as
    SMPL's at rest, and the top of the head to the face.
    """
    points = {name: world[:, index] for index, name in enumerate(BLAZEPOSE_33)}
    scale = body_height(world, BLAZEPOSE_33) / HEIGHT
    shoulders = points["left_shoulder"], points["right_shoulder"]
    middle = np.mean(shoulders, axis=0)
    hips = (points["left_hip"] + points["right_hip"]) / 2
    chest = head_axes(hips, middle, *shoulders)  # it is upright as a head is
    points["pelvis"] = hips + scale * (head_axes(hips, middle, points["left_hip"], points["right_hip"]) @ _PELVIS)
    points["neck_base"] = middle + scale * (chest @ _NECK)
    points["spine"] = points["pelvis"] + _SPINE * (points["neck_base"] - points["pelvis"])
    face = world[:, _FACE_LANDMARKS]  # (T, 5, 3)
    center = face.mean(axis=1)
    turn = _turn_of_face(face - center[:, None])
    points["head_top"] = center + scale * (turn @ (np.array((0.0, HEAD_TOP, 0.0)) - _FACE.mean(axis=0)))
    return np.stack([points[name] for name in H36M_17], axis=1)


def _set_feet(joints: np.ndarray, world: np.ndarray) -> None:
    """Let the feet of SMPL-24 joints (T, 24, 3), in place, point to the toes of landmarks (T, 33, 3)."""
    scale = body_height(world, BLAZEPOSE_33) / HEIGHT
    for side in ("left", "right"):
        ankle = joints[:, SMPL_24.index(f"{side}_ankle")]
        along = world[:, BLAZEPOSE_33.index(f"{side}_foot_index")] - ankle
        length = np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
        joints[:, SMPL_24.index(f"{side}_foot")] = ankle + scale * _FOOT * along / length


def _turn_of_face(face: np.ndarray) -> np.ndarray:
    """The rotations (T, 3, 3) from a head's axes to the world's of faces (T, 5, 3) about their middle."""
    seen = torch.from_numpy(face)
    rest = torch.from_numpy(_FACE - _FACE.mean(axis=0))
    return rotations.registration(rest.expand_as(seen), seen).numpy()


def find_landmarks(frames: Iterable[np.ndarray], source: str) -> Landmarks:
    """Follow the person through frames (H, W, 3) uint8 RGB; between those that show them all is filled in linearly.

    Raises PerceptionError, naming the source of the frames, where none shows a person.
    """
    images = [fit_networks(frame) for frame in frames]
    networks = BlazeposeNetworks()
    sightings = follow_both_ways(networks, images)
    _look_back(networks, images, sightings)
    rows = [row for row, sighting in enumerate(sightings) if sighting is not None]
    found = [sighting for sighting in sightings if sighting is not None]
    if not found:
        raise PerceptionError(f"no person is found in {source}")
    count = len(BLAZEPOSE_33)
    image = np.stack([sighting.landmarks[:count] for sighting in found])
    world = np.stack([sighting.world[:count] for sighting in found]) * _TO_WORLD
    swapped = swapped_frames(convert_joints(image, BLAZEPOSE_33))[:, None, None]
    image, world = (np.where(swapped, x[:, _MIRROR], x) for x in (image, world))

    def fill(values: np.ndarray) -> np.ndarray:
        """Values of all frames from those of the frames that show the person, without single frames that jump."""
        steady = median_filter(values, size=(_MEDIAN, *[1] * (values.ndim - 1)), mode="nearest")
        return np.apply_along_axis(lambda curve: np.interp(np.arange(len(images)), rows, curve), 0, steady)

    seen = np.isin(np.arange(len(images)), rows)
    height, width = images[0].shape[:2]
    return Landmarks(fill(world), fill(image), seen, (height, width))


def _look_back(networks: BlazeposeNetworks, images: Sequence[np.ndarray], sightings: list[Sighting | None]) -> None:
    """Look at the first half of the frames again, from the middle back.

    The detector's square may be far too large for a person of whom the feet are cut off. It takes a dozen frames to
    become right, and the motion begins in the first.
    """
    for frame in reversed(range(len(images) // 2)):
        later = sightings[frame + 1]
        sighting = networks.look(images[frame], later.next_region()) if later else None
        sightings[frame] = sighting if is_person(sighting) else sightings[frame]


def _fit_camera(landmarks: Landmarks) -> tuple[float, np.ndarray]:
    """The pixels (T, 2) at which a weak camera has the middle of the hips, and its pixels per metre, the same for all.

    Landmarks count as much as they are visible.
    """
    scales, middle, center = _fit_frames(landmarks)
    scale = float(np.median(scales[landmarks.seen]))
    return scale, center - scale * middle


def camera_scales(landmarks: Landmarks) -> np.ndarray:
    """Return the pixels per metre (T,) of a weak camera that is fitted to each frame by itself."""
    return _fit_frames(landmarks)[0]


def _fit_frames(landmarks: Landmarks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels per metre (T,) of each frame, and the weighted means (T, 2) of landmarks in metres and in pixels."""
    weights = landmarks.image[..., 2:] / landmarks.image[..., 2:].sum(axis=1, keepdims=True)  # (T, 33, 1)
    flat = landmarks.world[..., :2] * (1.0, -1.0)  # as the picture has them: y down
    pixels = landmarks.image[..., :2]
    middle, center = ((weights * x).sum(axis=1) for x in (flat, pixels))  # (T, 2)
    about, seen = flat - middle[:, None], pixels - center[:, None]
    scales = (weights * about * seen).sum(axis=(1, 2)) / (weights * about**2).sum(axis=(1, 2))  # (T,)
    return scales, middle, center
