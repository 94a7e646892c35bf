"""``posegen animate PHOTO``: the person of one photo in motion and in exact colours, without a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestration.generation.animate import MotionSettings, resolve_motions
from orchestration.generation.colors import ColorSettings, measure_cloth
from orchestration.generation.output import (
    GeneratedVideos,
    OutputSettings,
    PlannedVideo,
    PoseSequence,
    write_contact_sheet,
    write_frames,
)
from orchestration.generation.people import is_image
from posegen.color.garment_recoloring import Garment, GarmentPaint, Lab, require_separate
from posegen.color.lab import in_gamut
from posegen.color.palette import parse_color
from posegen.errors import ConfigError
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson
from posegen.inference.motion_to_pose import face_viewer
from posegen.inference.photo import Photo, frame_person, perceive_photo
from posegen.inference.pose_fitting import fit_motion
from posegen.inference.view_choice import choose_yaw
from posegen.io.video_reader import read_image
from posegen.motion.motion import Motion
from posegen.motion.rendering import MotionRenderer
from posegen.perception.body import find_body

_SMALLEST, _LARGEST = 64, 1024  # pixels of a side
_GARMENTS: tuple[Garment, ...] = ("upper", "lower")


@dataclass(frozen=True, kw_only=True)
class PhotoSettings:
    """How a photo is shown."""

    size: str = "384x256"
    """HEIGHTxWIDTH of the video in pixels, up to 1024 each; for a run, that of its dataset."""
    person: int = 1
    """Which of several people in the photo: 1 for the most prominent, 2 for the next."""

    def __post_init__(self) -> None:
        if self.person < 1:
            raise ConfigError(f"got person {self.person}, expected 1 or more")
        self.height_and_width  # noqa: B018 - raises ConfigError

    @property
    def height_and_width(self) -> tuple[int, int]:
        """The size in pixels."""
        match = re.fullmatch(r"(\d+)\s*[x×]\s*(\d+)", self.size)
        sides = tuple(map(int, match.groups())) if match else ()
        if len(sides) != 2 or not all(_SMALLEST <= side <= _LARGEST for side in sides):
            raise ConfigError(
                f"got size {self.size!r}, expected HEIGHTxWIDTH such as 384x256, {_SMALLEST} to {_LARGEST}"
            )
        return sides[0], sides[1]


def animate_photo(
    path: Path, *, moves: MotionSettings, output: OutputSettings, colors: ColorSettings, view: PhotoSettings
) -> GeneratedVideos:
    """Show the person of a photo in motions, in the colours given.

    Args:
        path: The photo.
        moves: The motions.
        output: Where the videos are written.
        colors: Colours of the clothes; a garment without one keeps the photo's pixels.
        view: Size of the video, and which person.

    Raises:
        PosegenError: A motion, the photo or a colour cannot be found or does not fit. Nothing is written then.
    """
    motions = resolve_motions(moves, moves.fps, colors.seed)
    output.require_place_for(len(motions))
    motions = {name: _turn(motion, moves.yaw) for name, motion in motions.items()}
    photo = _open_photo(path, view, motions)
    sequences = []
    for name, motion in motions.items():
        poses = fit_motion(motion, photo.pose, view.height_and_width)
        figure = MotionRenderer(motion, view.height_and_width) if moves.stick_figures else None
        sequences.append((PoseSequence(name, poses.keypoints, motion.fps, figure=figure), poses))
    painter = Painter(photo, colors)
    videos, sheets = [], []
    for sequence, poses in sequences:
        video = PlannedVideo(output.path(sequence.name), sequence)
        frames = ({0: frame} for frame in painter.frames(poses))
        sheets.append(write_contact_sheet(photo.image, [video], write_frames([video], frames)))
        videos.append(video)
    return GeneratedVideos.of(videos, sheets, painter.notes)


class Painter:
    """Shows the person of a photo in the colours that are asked for.

    Raises:
        PosegenError: A colour cannot be parsed, or its garment is not seen.
    """

    def __init__(self, photo: Photo, colors: ColorSettings):
        self._photo, self._person = photo, photo.layered()
        begin = {garment: getattr(colors, garment) for garment in _GARMENTS}
        end = {garment: getattr(colors, f"{garment}_to") for garment in _GARMENTS}
        self.notes: dict[str, str] = {}
        """For each garment that was given a colour, a note on it."""
        self._start = {garment: self._color_of(garment, text) for garment, text in begin.items() if text}
        self._stop = {garment: self._color_of(garment, text, "-to") for garment, text in end.items() if text}
        if fading := set(self._stop) - set(self._start):
            garment = sorted(fading)[0]
            raise ConfigError(f"--{garment}-to needs the colour of the first frame, --{garment}")
        require_separate(photo.labels, self._start)

    def frames(self, poses: BodyPoses) -> Iterator[np.ndarray]:
        """Show one uint8 frame (H, W, 3) per pose of a sequence."""
        last = max(len(poses) - 1, 1)
        person = self._person_in(0.0)
        for index in range(len(poses)):
            if index and self._stop:
                person = self._person_in(index / last)
            yield person.frame(poses[index])

    def _person_in(self, share: float) -> LayeredPerson:
        """The person in the colours at a share of the video."""
        if not self._start:
            return self._person
        image = self._photo.image
        for garment, begin in self._start.items():
            end = self._stop.get(garment, begin)
            lab = (1 - share) * np.array(begin) + share * np.array(end)
            image = GarmentPaint(image, self._photo.labels, garment).apply((lab[0], lab[1], lab[2]))
        return self._person.recolored(image)

    def _color_of(self, garment: str, text: str, suffix: str = "") -> Lab:
        color = measure_cloth(Path(text)) if is_image(text) else parse_color(text)
        shown = "" if in_gamut(np.array(color)) else "; no display shows it, so it is less colourful"
        name = garment if not suffix else f"{garment}, at the end"
        self.notes[name] = f"{text} is L, a, b = {color[0]:.0f}, {color[1]:.0f}, {color[2]:.0f}{shown}"
        return color


def _turn(motion: Motion, yaw: float | None) -> Motion:
    """A motion as it is seen: turned as asked for, or so that it is seen well."""
    return face_viewer(motion, choose_yaw(face_viewer(motion)) if yaw is None else yaw)


def _open_photo(path: Path, view: PhotoSettings, motions: dict[str, Motion]) -> Photo:
    """Read a photo, and frame the person so that the motions fit in."""
    image = read_image(path, size=None).images[0]
    found = find_body(image, view.person)
    movements = [fit_motion(motion, found.pose, image.shape[:2]) for motion in motions.values()]
    return perceive_photo(frame_person(image, found, view.height_and_width, movements))
