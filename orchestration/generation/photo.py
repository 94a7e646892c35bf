"""``posegen animate PHOTO``: the person of one photo, or of a video, in motion and in exact colours, without a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestration.generation.animate import MotionSettings, resolve_motions
from orchestration.generation.colors import ColorSettings, read_color
from orchestration.generation.output import (
    GeneratedVideos,
    OutputSettings,
    PlannedVideo,
    PoseSequence,
    write_contact_sheet,
    write_frames,
)
from orchestration.generation.pose_sources import Movement, open_poses
from posegen.color.garment_recoloring import Garment, GarmentPaint, Lab, require_separate
from posegen.errors import ConfigError
from posegen.features.background import median_background
from posegen.features.body_bones import has_trunk
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson
from posegen.inference.body_measures import BodyMeasures, measure_body
from posegen.inference.clip_person import ClipPerson, choose_views
from posegen.inference.photo import Photo, PhotoFrame, find_frame, perceive_photo
from posegen.inference.photo_report import find_hidden_hands, find_weaknesses, needed_limb
from posegen.inference.refined_person import RefinedPerson, load_refiner
from posegen.io.images import shrink
from posegen.io.media import is_video_source
from posegen.io.video_reader import describe_source, iterate_frames, read_image
from posegen.metrics.garment_color import gamut_note
from posegen.motion.motion import Motion
from posegen.motion.rendering import MotionRenderer
from posegen.perception.body import FoundBody, find_body
from posegen.perception.body_tracking import track_video
from posegen.stages import Refiner

_SMALLEST, _LARGEST = 64, 1024  # pixels of a side
_GARMENTS: tuple[Garment, ...] = ("upper", "lower")
_LONGEST = 4096  # pixels of a picture's longer side: larger ones are made smaller first
_BACKGROUND_FRAMES = 24  # of a clip, of which the background is the median


@dataclass(frozen=True, kw_only=True)
class PhotoSettings:
    """How the person of a photo is shown."""

    poses: Path | None = None
    """A video whose person leads, or a folder of OpenPose's JSON files (with --fps): the photo's person does the same.
    Instead of an action or a motion file."""
    size: str = "384x256"
    """HEIGHTxWIDTH of the video in pixels, up to 1024 each."""
    person: int = 1
    """Which of several people in the photo: 1 for the most prominent, 2 for the next."""
    refiner: str = ""
    """Run of the stage refiner that corrects the frames of a photo, for example one of `posegen adapt`."""

    def __post_init__(self) -> None:
        if self.person < 1:
            raise ConfigError(f"got person {self.person}, expected 1 or more")
        if not self.height_and_width:
            raise ConfigError(
                f"got size {self.size!r}, expected HEIGHTxWIDTH such as 384x256, {_SMALLEST} to {_LARGEST} pixels each"
            )

    @property
    def height_and_width(self) -> tuple[int, int]:
        """The size in pixels; empty where it is none."""
        match = re.fullmatch(r"(\d+)\s*[x×]\s*(\d+)", self.size)
        sides = tuple(map(int, match.groups())) if match else ()
        return sides if all(_SMALLEST <= side <= _LARGEST for side in sides) else ()  # type: ignore[return-value]


@dataclass(frozen=True)
class ShownPerson:
    """The person to show, from one photo or from several frames of a video."""

    photos: list[Photo]
    """The first shows the person where they are shown; all are of one size and of one camera."""
    background: np.ndarray
    """(H, W, 3) uint8 without the person."""
    measures: BodyMeasures
    seen: BodyPoses
    """The first one's pose as the whole picture shows it, in pixels of the photo: one pose."""
    findings: list[str]
    """What is seen badly, or had to be changed or guessed, one line each."""

    @property
    def photo(self) -> Photo:
        """The first."""
        return self.photos[0]


def animate_photo(
    path: Path, *, moves: MotionSettings, output: OutputSettings, colors: ColorSettings, view: PhotoSettings
) -> GeneratedVideos:
    """Show the person of a photo, or of a video, in motions and in the colours given.

    Args:
        path: The photo, or a video of the person, of which each part is shown as the frame that suits best shows it.
        moves: The motions; none where the view has poses.
        output: Where the videos are written.
        colors: Colours of the clothes; a garment without one keeps the photo's pixels.
        view: Size of the video, which person, and a driving video.

    Raises:
        PosegenError: A motion, the photo or a colour cannot be found or does not fit. Nothing is written then.
    """
    inputs = [path, *(one for one in (view.poses, moves.motion) if one), *colors.files]
    if output.out.suffix:
        output.require_writable([output.out.stem], inputs)
    if view.refiner and is_video_source(path):
        raise ConfigError(f"--refiner corrects frames of a photo, got the video {path}")
    refiner = load_refiner(view.refiner) if view.refiner else None
    subject = None if is_video_source(path) else find_subject(path, view)
    movements = _find_movements(moves, view, colors.seed, subject)
    output.require_place_for(len(movements))
    output.require_writable([movement.name for movement in movements], inputs)
    shown = open_person(path, view, movements, subject)
    fitted = [movement.fit(shown.photo.pose, view.height_and_width, shown.measures) for movement in movements]
    findings = [*shown.findings, *_judge_movements(shown.seen, movements, fitted)]
    painter = Painter(shown, colors, refiner)
    videos, sheets = [], []
    for movement, poses in zip(movements, fitted, strict=True):
        figure = None
        if moves.stick_figures and isinstance(movement.source, Motion):
            figure = MotionRenderer(movement.source, view.height_and_width)
        sequence = PoseSequence(movement.name, poses.keypoints, movement.fps, movement.times, figure)
        video = PlannedVideo(output.path(movement.name), sequence)
        frames = ({0: frame} for frame in painter.frames(poses))
        sheets.append(write_contact_sheet(shown.photo.image, [video], write_frames([video], frames)))
        videos.append(video)
    return GeneratedVideos.of(videos, sheets, painter.notes, findings)


@dataclass(frozen=True)
class PhotoSubject:
    """The person of a picture, as they are seen at first."""

    image: np.ndarray
    """(H, W, 3) uint8: the whole picture, no larger than anything that is shown needs."""
    found: FoundBody
    """Where the person is in it."""
    notes: tuple[str, ...]
    """What had to be changed or guessed to read the file."""


def find_subject(path: Path, view: PhotoSettings) -> PhotoSubject:
    """Read a picture and find the person in it.

    Raises:
        PosegenError: It cannot be read, or shows no such person.
    """
    footage = read_image(path, size=None)
    image = shrink(footage.images[0], _LONGEST)
    return PhotoSubject(image, find_body(image, view.person), footage.notes)


def open_person(
    path: Path, view: PhotoSettings, movements: Sequence[Movement] = (), subject: PhotoSubject | None = None
) -> ShownPerson:
    """Read a photo or a video of a person, framed so that movements fit in.

    Args:
        path: The photo or video.
        view: Size of the frame, and which person.
        movements: What there has to be room for.
        subject: The person of the photo, where it has been read already.

    Raises:
        PosegenError: It cannot be read, or shows no such person.
    """
    if is_video_source(path):
        return _open_clip(path, view, movements)
    subject = subject or find_subject(path, view)
    found = subject.found
    if not has_trunk(found.pose):
        raise ConfigError("the photo does not show the trunk: choose one that shows shoulders and hips")
    window = _find_frame(found, subject.image.shape[:2], view, movements)
    framed, known = window.cut(subject.image)
    seen = window.move(found.pose)
    photo = perceive_photo(framed, known=known, region=window.move_region(found.region))
    findings = [
        *subject.notes,
        *find_weaknesses(found.pose, found.others),
        *find_hidden_hands(photo.pose, photo.labels),
    ]
    return ShownPerson([photo], photo.background, measure_body(photo.pose), seen, findings)


def _judge_movements(person: BodyPoses, movements: Sequence[Movement], fitted: Sequence[BodyPoses]) -> Iterator[str]:
    """Note which limbs are missing that other people's poses move. Raises ConfigError where an action needs them."""
    for movement, poses in zip(movements, fitted, strict=True):
        limb = needed_limb(person, poses)
        if limb and isinstance(movement.source, Motion):
            raise ConfigError(
                f"{movement.name} needs {limb}s, which the photo does not show: "
                "choose a photo of the whole person, or an action that `posegen preview` calls good"
            )
        if limb:
            yield f"{movement.name} moves {limb}s, which the photo does not show: they are left out"


def _open_clip(path: Path, view: PhotoSettings, movements: Sequence[Movement]) -> ShownPerson:
    """Take the frames of a video that show a person in different postures; the camera is taken to stand still."""
    tracked = track_video(path)
    chosen = choose_views(tracked.poses)
    spread = np.linspace(0, len(tracked.poses) - 1, _BACKGROUND_FRAMES).round().astype(int).tolist()
    frames = {
        index: frame
        for index, _, frame in iterate_frames(path)
        if index in {*chosen, *spread} and index < len(tracked.poses)
    }
    first = frames[chosen[0]]
    found_first = find_body(first, view.person)
    window = _find_frame(found_first, first.shape[:2], view, movements)
    cut = {index: window.cut(frame)[0] for index, frame in frames.items()}
    found = {index: perceive_photo(image) for index, image in cut.items() if index in chosen}
    masks = [find_body(cut[index]).mask for index in sorted(cut)]
    background = median_background([cut[index] for index in sorted(cut)], masks)
    measures = measure_body(window.move(tracked.poses))
    findings = [*describe_source(path), *find_weaknesses(found_first.pose, found_first.others)]
    return ShownPerson(
        [found[index] for index in chosen], background, measures, window.move(found_first.pose), findings
    )


def _find_frame(
    found: FoundBody, picture: tuple[int, int], view: PhotoSettings, movements: Sequence[Movement]
) -> PhotoFrame:
    fitted = [movement.fit(found.pose, picture) for movement in movements]
    return find_frame(found, picture, view.height_and_width, fitted)


def _find_movements(
    moves: MotionSettings, view: PhotoSettings, seed: int, subject: PhotoSubject | None
) -> list[Movement]:
    """What the person is to do: motions, or the poses of a driving video."""
    if view.poses is not None:
        if moves.is_given:
            raise ConfigError("got --poses and a motion, expected one of them")
        return [open_poses(view.poses, moves.fps)]
    motions = resolve_motions(moves, moves.fps, seed, subject.found.pose if subject else None)
    return [Movement(name, motion, motion.fps) for name, motion in motions.items()]


class Painter:
    """Shows a person in the colours that are asked for.

    Raises:
        PosegenError: A colour cannot be parsed, or its garment is not seen.
    """

    def __init__(self, shown: ShownPerson, colors: ColorSettings, refiner: Refiner | None = None):
        self._subject, self._refiner = shown, refiner
        self._person = ClipPerson([photo.layered() for photo in shown.photos], shown.background)
        begin = {garment: getattr(colors, garment) for garment in _GARMENTS}
        end = {garment: getattr(colors, f"{garment}_to") for garment in _GARMENTS}
        self.notes: dict[str, str] = {}
        """For each garment that was given a colour, a note on it."""
        self._start = {garment: self._color_of(garment, text) for garment, text in begin.items() if text}
        self._stop = {garment: self._color_of(f"{garment}, at the end", text) for garment, text in end.items() if text}
        if unbegun := sorted(set(self._stop) - set(self._start)):
            raise ConfigError(f"--{unbegun[0]}-to fades from --{unbegun[0]}, which is missing")
        require_separate(shown.photo.labels, self._start)
        self._paints = {
            garment: [GarmentPaint(photo.image, photo.labels, garment) for photo in shown.photos]
            for garment in self._start
        }

    def frames(self, poses: BodyPoses) -> Iterator[np.ndarray]:
        """Show one uint8 frame (H, W, 3) per pose of a sequence."""
        last = max(len(poses) - 1, 1)
        person = self._person_in(0.0)
        for index in range(len(poses)):
            if index and self._stop:
                person = self._person_in(index / last)
            if self._refiner is None:
                yield person.frame(poses[index])
            else:
                yield RefinedPerson(person.views[0], self._refiner).frame(poses[index])

    def _person_in(self, share: float) -> ClipPerson:
        """The person in the colours at a share of the video."""
        if not self._start:
            return self._person
        views = []
        for number, (photo, view) in enumerate(zip(self._subject.photos, self._person.views, strict=True)):
            views.append(self._paint(view, photo, number, share))
        return self._person.with_views(views)

    def _paint(self, view: LayeredPerson, photo: Photo, number: int, share: float) -> LayeredPerson:
        image = photo.image
        for garment, begin in self._start.items():
            end = self._stop.get(garment, begin)
            first, second, third = (1 - share) * np.array(begin) + share * np.array(end)
            image = self._paints[garment][number].apply((first, second, third), image)
        return view.recolored(image)

    def _color_of(self, name: str, text: str) -> Lab:
        color = read_color(text)
        note = gamut_note(color)
        values = ", ".join(f"{value:.0f}" for value in color)
        self.notes[name] = f"{text} is L, a, b = {values}" + (f"; {note}" if note else "")
        return color
