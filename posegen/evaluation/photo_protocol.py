"""The protocol of the photo pipeline: what is rendered of each photo, and what is measured of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from posegen.color.garment_regions import Garment
from posegen.color.palette import parse_color
from posegen.errors import ColorError, PerceptionError
from posegen.evaluation.photo_look import COLORS, ShownPhoto, evenly, own_look, score_color, score_wholeness
from posegen.evaluation.photo_pipeline import WHOLE_PIPELINE, PhotoPipeline
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.photo import Photo, find_frame
from posegen.inference.pose_fitting import fit_motion
from posegen.inference.view_choice import choose_yaw
from posegen.metrics.pose import measure_pck
from posegen.motion.motion import Motion
from posegen.perception.body import find_body
from posegen.perception.body_footage import perceive_footage
from posegen.synthetic.motions import make_subject, perform

PHOTO_ACTIONS: tuple[str, ...] = ("wave", "kick", "squat", "jumping_jacks")
"""Actions of the protocol."""
PHOTO_FRAMES = 48
"""Frames of each action."""
_LOOKED_AT = 6  # of them, in which colours and limbs are measured
_COLORED = 3  # of them, for each of the many colours
_GARMENTS: tuple[Garment, ...] = ("upper", "lower")


@dataclass
class PhotoScores:
    """Scores of one photo."""

    name: str
    scores: dict[str, float] = field(default_factory=dict)
    """``look_garments``, ``look_hair``, ``look_skin``; ``leak``; ``pck``; ``ghosts``, ``smears``, ``whole_limbs``;
    seconds of ``preview``, frames a second as ``speed``, both of one CPU, whatever else the machine does."""
    color_distances: dict[str, list[float]] = field(default_factory=dict)
    """Colour errors by garment and colour, CIEDE2000 in each frame."""
    pck_by_action: dict[str, float] = field(default_factory=dict)


def protocol_motions(actions: Iterable[str] = PHOTO_ACTIONS) -> dict[str, Motion]:
    """Return the motions of the protocol, seen from where they are seen best."""
    found = {}
    for action in actions:
        motion = face_viewer(perform(action, make_subject(0), frames=PHOTO_FRAMES))
        found[action] = face_viewer(motion, choose_yaw(motion))
    return found


def frame_photo(
    image: np.ndarray, size: tuple[int, int], motions: Mapping[str, Motion]
) -> tuple[np.ndarray, np.ndarray]:
    """Frame the person of a picture so that all motions fit.

    Returns:
        (H, W, 3) uint8, and where the picture reaches in it, (H, W) bool.

    Raises:
        PerceptionError: The picture shows nobody.
    """
    found = find_body(image)
    picture = image.shape[0], image.shape[1]
    return find_frame(
        found, picture, size, [fit_motion(motion, found.pose, picture) for motion in motions.values()]
    ).cut(image)


def score_photo(
    name: str,
    image: np.ndarray,
    size: tuple[int, int],
    motions: Mapping[str, Motion],
    pipeline: PhotoPipeline = WHOLE_PIPELINE,
) -> tuple[PhotoScores, np.ndarray]:
    """Show the person of a picture in all motions, and measure what is seen.

    Args:
        name: Of the photo.
        image: (H, W, 3) uint8 RGB.
        size: Height and width of the frames.
        motions: What the person does, by name.
        pipeline: What shows them.

    Returns:
        The scores, and a picture of the photo, its background and the frames that were looked at, a row per motion.

    Raises:
        PerceptionError: The picture shows nobody.
        ConfigError: The person's shoulders or hips are not seen.
    """
    result = PhotoScores(name)
    framed, known = frame_photo(image, size, motions)
    photo, result.scores["preview"] = _time_preview(framed, known, motions, pipeline)
    looks, whole, rows = [], [], []
    found: list[np.ndarray] = []
    asked: list[np.ndarray] = []
    seconds, first = 0.0, None
    for action, motion in motions.items():
        poses = fit_motion(motion, photo.pose, size)
        start = time.process_time()
        person = pipeline.refine(photo.layered())
        frames = np.stack([person.frame(poses[row]) for row in range(len(poses))])
        seconds += time.process_time() - start
        found.append(_find_poses(frames))
        asked.append(poses.keypoints)
        result.pck_by_action[action] = measure_pck(found[-1], asked[-1], size).overall
        shown = ShownPhoto.of(photo, evenly(poses, _LOOKED_AT), pipeline)
        first = first or shown
        looks.append(own_look(shown))
        whole.append(score_wholeness(shown))
        rows.append(np.concatenate([photo.image, photo.background, *shown.frames], axis=1))
    result.scores["speed"] = PHOTO_FRAMES * len(motions) / max(seconds, 1e-9)
    result.scores["pck"] = measure_pck(np.concatenate(found), np.concatenate(asked), size).overall
    for kind in sorted({kind for look in looks for kind in look}):
        result.scores[f"look_{kind}"] = float(np.mean([look[kind] for look in looks if kind in look]))
    result.scores["ghosts"] = float(np.mean([one.ghosts for one in whole]))
    result.scores["smears"] = float(np.mean([one.smears for one in whole]))
    result.scores["whole_limbs"] = float(np.nanmean([one.whole_limbs for one in whole]))
    if first is not None:
        _score_colors(result, ShownPhoto.of(photo, evenly(first.poses, _COLORED), pipeline))
    return result, np.concatenate(rows)


def _time_preview(
    image: np.ndarray, known: np.ndarray, motions: Mapping[str, Motion], pipeline: PhotoPipeline
) -> tuple[Photo, float]:
    """Perceive a photo and show it in the first pose: the photo, and the seconds that this takes."""
    start = time.process_time()
    photo = pipeline.perceive(image, known)
    poses = fit_motion(next(iter(motions.values())), photo.pose, known.shape)
    pipeline.refine(photo.layered()).frame(poses[0])
    return photo, time.process_time() - start


def _find_poses(frames: np.ndarray) -> np.ndarray:
    """Keypoints (T, 18, 3) that BlazePose finds in frames; none where nobody is seen."""
    try:
        return perceive_footage(frames).poses.keypoints
    except PerceptionError:
        return np.zeros((len(frames), 18, 3), np.float32)


def _score_colors(result: PhotoScores, shown: ShownPhoto) -> None:
    leaks = []
    for garment in _GARMENTS:
        for color in COLORS:
            try:
                scores = score_color(shown, garment, parse_color(color))
            except ColorError:  # the garment is not seen
                break
            result.color_distances[f"{garment} {color}"] = [float(x) for x in scores.distances if np.isfinite(x)]
            leaks.append(scores.leak)
    if leaks and np.isfinite(leaks).any():
        result.scores["leak"] = float(np.nanmean(leaks))
