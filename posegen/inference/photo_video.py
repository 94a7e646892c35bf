"""Videos of the person of a photo: in motions, and in exact colours, without a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from posegen.color.garment_regions import Garment
from posegen.errors import ConfigError
from posegen.features.body_pose import BodyPoses
from posegen.inference.action_fit import needed_limb
from posegen.inference.movements import Movement, open_poses
from posegen.inference.photo_report import warn_of_action
from posegen.inference.refined_person import load_refiner
from posegen.inference.requested_codes import ColorSettings
from posegen.inference.requested_colors import ColorPath, RequestedColors
from posegen.inference.requested_motions import MotionSettings, resolve_motions
from posegen.inference.shown_person import (
    Painter,
    PhotoSettings,
    PhotoSubject,
    ShownPerson,
    find_subject,
    find_window,
    open_person,
)
from posegen.io.media import is_video_source
from posegen.io.video_writer import even_size_notes
from posegen.motion.editing import shorten_travel
from posegen.motion.motion import Motion

_LEAST_SIZE = 0.8  # of a person whose action goes somewhere, as a share of the size on the spot
_SHARES = (1.0, 0.7, 0.5, 0.35, 0.2, 0.1, 0.0)  # of the way that an action goes


@dataclass(frozen=True)
class PhotoVideo:
    """One video of the person, which is drawn as its frames are asked for."""

    name: str
    movement: Movement
    poses: BodyPoses
    """Pose of each frame, in pixels of the frame."""
    colors: dict[Garment, ColorPath]
    """Of the garments that do not keep their own."""
    painter: Painter

    def frames(self) -> Iterator[np.ndarray]:
        """Show one uint8 frame (H, W, 3) RGB per pose."""
        return self.painter.frames(self.poses, self.colors)


@dataclass(frozen=True)
class PreparedPerson:
    """A person, framed for what they are to do: what no colour changes."""

    shown: ShownPerson
    movements: list[Movement]
    poses: list[BodyPoses]
    """Of each movement those of its frames, in their pixels."""
    findings: list[str]
    """Problems of the photo, and changes and guesses made, one line each."""


@dataclass(frozen=True)
class PhotoVideos:
    """The videos of one photo."""

    image: np.ndarray
    """(H, W, 3) uint8 RGB: the photo in the frame of the videos."""
    videos: list[PhotoVideo]
    """Of each motion one in each of its colours, motion by motion."""
    color_notes: dict[str, str]
    """For each garment that was given a colour, a note on it."""
    findings: list[str]
    """Problems of the photo, and changes and guesses made, one line each."""


def plan_photo_videos(path: Path, moves: MotionSettings, colors: ColorSettings, view: PhotoSettings) -> PhotoVideos:
    """Find the person of a photo, or of a video, and plan videos of them; no frame is drawn yet.

    Args:
        path: The photo, or a video of the person, of which each part is shown as the frame that suits best shows it.
        moves: The motions; none where the view has poses.
        colors: Colours of the clothes; a garment without one keeps the photo's pixels.
        view: Size of the videos, which person, and a driving video.

    Raises:
        PosegenError: A motion, the photo or a colour cannot be found or does not fit.
    """
    if view.refiner and is_video_source(path):
        raise ConfigError(f"--refiner corrects frames of a photo, got the video {path}")
    requested = RequestedColors(colors, view.encoders)
    refiner = load_refiner(view.refiner) if view.refiner else None
    subject = None if is_video_source(path) else find_subject(path, view)
    prepared = prepare_person(path, moves, view, colors.seed, subject)
    chosen = requested.choose(prepared.shown.photo.labels)
    painter = Painter(prepared.shown, chosen.garments, refiner)
    videos = [
        PhotoVideo(name, movement, poses, of_video, painter)
        for movement, poses in zip(prepared.movements, prepared.poses, strict=True)
        for name, of_video in zip(_video_names(movement, colors), chosen.videos, strict=True)
    ]
    findings = [*prepared.findings, *even_size_notes(view.height_and_width)]
    return PhotoVideos(prepared.shown.photo.image, videos, chosen.notes, findings)


def prepare_person(
    path: Path, moves: MotionSettings, view: PhotoSettings, seed: int, subject: PhotoSubject | None
) -> PreparedPerson:
    """Frame the person of a photo, or of a video, for what they are to do, whatever the colours.

    Args:
        path: The photo or video.
        moves: The motions; none where the view has poses.
        view: Size of the videos, which person, and a driving video.
        seed: Seed of motions of actions.
        subject: The person of the photo; None for a video.

    Raises:
        PosegenError: A motion cannot be found, or the photo cannot be read or does not fit.
    """
    movements = find_movements(moves, view, seed, subject)
    shown = open_person(path, view, movements, subject)
    fitted = [movement.fit(shown.photo.pose, view.height_and_width, shown.measures) for movement in movements]
    findings = [
        *shown.findings,
        *(note for movement in movements for note in movement.notes),
        *_judge_movements(shown, movements, fitted),
    ]
    return PreparedPerson(shown, movements, fitted, findings)


def find_movements(
    moves: MotionSettings, view: PhotoSettings, seed: int, subject: PhotoSubject | None
) -> list[Movement]:
    """Find what the person is to do: motions, or the poses of a driving video."""
    if view.poses is not None:
        moves.require_no_motion()
        return [open_poses(view.poses, moves.fps).beginning(moves.frames)]
    motions = resolve_motions(moves, moves.fps, seed, subject.found.pose if subject else None)
    found = [Movement(name, motion, motion.fps, notes=motion.notes) for name, motion in motions.items()]
    return [_keep_large(one, subject, view) for one in found] if subject and view.travel == "fit" else found


def _video_names(movement: Movement, colors: ColorSettings) -> list[str]:
    """Stems of the videos of a movement: one, or one in each of several random colours."""
    if colors.num_videos == 1:
        return [movement.name]
    return [f"{movement.name}-{number + 1}" for number in range(colors.num_videos)]


def _judge_movements(shown: ShownPerson, movements: Sequence[Movement], fitted: Sequence[BodyPoses]) -> Iterator[str]:
    """Note what a photo does not suit. Raises ConfigError where it does not show the limbs that an action needs."""
    for movement, poses in zip(movements, fitted, strict=True):
        limb, is_action = needed_limb(shown.seen, poses), isinstance(movement.source, Motion)
        if limb and is_action:
            raise ConfigError(
                f"{movement.name} needs {limb}s, which the photo does not show: "
                "choose a photo of the whole person, or an action that `posegen preview` calls good"
            )
        if limb:
            yield f"{movement.name} moves {limb}s, which the photo does not show: they are left out"
        elif is_action and len(shown.photos) == 1:
            yield from warn_of_action(movement.name, shown.body, poses, shown.photo.labels.shape[:2])


def _keep_large(movement: Movement, subject: PhotoSubject, view: PhotoSettings) -> Movement:
    """Shorten the way that a motion goes until the person has nearly the size of somebody who stays on the spot."""
    motion, picture = movement.source, subject.image.shape[:2]
    if not isinstance(motion, Motion):
        return movement

    def go(share: float) -> Movement:
        return movement if share == 1 else replace(movement, source=shorten_travel(motion, share))

    least = _LEAST_SIZE * find_window(subject.found, picture, view, [go(0.0)]).scale
    share = next(one for one in _SHARES if find_window(subject.found, picture, view, [go(one)]).scale >= least)
    if share == 1:
        return movement
    way = float(np.linalg.norm(np.ptp(motion.trans[:, [0, 2]], axis=0)))
    gone = (
        f"covers {share * way:.1f} m instead of {way:.1f} m" if share else f"stays on the spot instead of {way:.1f} m"
    )
    note = (
        f"{movement.name} {gone}, so that the person stays large in the picture: "
        "--travel full shows the whole way, with a smaller person"
    )
    return replace(go(share), notes=(*movement.notes, note))
