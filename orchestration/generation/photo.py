"""``posegen animate PHOTO``: the person of one photo, or of a video, in motion and in exact colours, without a run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from orchestration.generation.animate import MotionSettings, resolve_motions
from orchestration.generation.colors import ColorSettings
from orchestration.generation.output import (
    GeneratedVideos,
    OutputSettings,
    PlannedVideo,
    PoseSequence,
    write_contact_sheet,
    write_frames,
)
from orchestration.generation.photo_colors import ColorPath, RequestedColors
from orchestration.generation.pose_sources import Movement, open_poses
from orchestration.option_types import PHOTO, used_with
from posegen.color.garment_recoloring import Garment, GarmentPaint
from posegen.errors import ConfigError
from posegen.features.background import median_background
from posegen.features.body_bones import has_trunk
from posegen.features.body_pose import BodyPoses
from posegen.inference.body_measures import BodyMeasures, measure_body
from posegen.inference.clip_person import ClipPerson, choose_views
from posegen.inference.photo import Photo, PhotoFrame, find_frame, perceive_photo
from posegen.inference.photo_report import find_hidden_hands, find_weaknesses, needed_limb
from posegen.inference.refined_person import RefinedPerson, load_refiner
from posegen.io.images import shrink
from posegen.io.media import is_video_source
from posegen.io.video_reader import describe_source, iterate_frames, read_image
from posegen.motion.editing import shorten_travel
from posegen.motion.motion import Motion
from posegen.motion.rendering import MotionRenderer
from posegen.perception.body import FoundBody, find_body
from posegen.perception.body_tracking import track_video
from posegen.stages import Refiner

_SIZE = "384x256"  # where none is given
_SMALLEST, _LARGEST = 64, 1024  # pixels of a side
_LONGEST = 4096  # pixels of a picture's longer side: larger ones are made smaller first
_LEAST_SIZE = 0.8  # of a person whose action goes somewhere, as a share of the size on the spot
_SHARES = (1.0, 0.7, 0.5, 0.35, 0.2, 0.1, 0.0)  # of the way that an action goes
_BACKGROUND_FRAMES = 24  # of a clip, of which the background is the median


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Who of a photo is shown, and how large."""

    size: str = field(default="", metadata=used_with(PHOTO))
    """HEIGHTxWIDTH of the video in pixels, up to 1024 each; by default 384x256."""
    person: int = field(default=1, metadata=used_with(PHOTO))
    """Which of several people in the photo: 1 for the most prominent, 2 for the next."""

    def __post_init__(self) -> None:
        if self.person < 1:
            raise ConfigError(f"got person {self.person}, expected 1 or more")
        if not self.height_and_width:
            raise ConfigError(
                f"got size {self.size!r}, expected HEIGHTxWIDTH such as {_SIZE}, {_SMALLEST} to {_LARGEST} pixels each"
            )

    @property
    def height_and_width(self) -> tuple[int, int]:
        """The size in pixels; empty where it is none."""
        match = re.fullmatch(r"(\d+)\s*[x×]\s*(\d+)", self.size or _SIZE)
        sides = tuple(map(int, match.groups())) if match else ()
        return sides if all(_SMALLEST <= side <= _LARGEST for side in sides) else ()  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class CodedViewSettings(ViewSettings):
    """How a photo is shown in colours that runs have codes of."""

    encoders: tuple[str, ...] = field(default=(), metadata=used_with(PHOTO))
    """With a photo, runs whose colour codes --sample draws from, and colours go through that change: color_encoder's of
    the upper and of the lower garment, or one of video_generator or end_to_end."""


@dataclass(frozen=True, kw_only=True)
class PhotoSettings(CodedViewSettings):
    """How the person of a photo is shown."""

    poses: Path | None = None
    """A video whose person leads, or a folder of OpenPose's JSON files (with --fps): the photo's person does the same.
    Instead of an action or a motion file."""
    travel: Literal["fit", "full"] = field(default="fit", metadata=used_with(PHOTO))
    """How far actions go over the ground: as far as the person stays large in the picture, or all the way, with the
    person as small as that takes."""
    refiner: str = field(default="", metadata=used_with(PHOTO))
    """Run of the stage refiner that corrects the frames of a photo, for example one of `posegen adapt`."""


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
    inputs = path, view, moves, colors
    if output.out.suffix:
        output.require_videos([output.out], *inputs)
    if view.refiner and is_video_source(path):
        raise ConfigError(f"--refiner corrects frames of a photo, got the video {path}")
    requested = RequestedColors(colors, view.encoders)
    refiner = load_refiner(view.refiner) if view.refiner else None
    subject = None if is_video_source(path) else find_subject(path, view)
    movements = _find_movements(moves, view, colors.seed, subject)
    output.require_place_for(len(movements) * colors.num_videos)
    output.require_videos([output.path(name) for one in movements for name in _video_names(one, colors)], *inputs)
    shown = open_person(path, view, movements, subject)
    fitted = [movement.fit(shown.photo.pose, view.height_and_width, shown.measures) for movement in movements]
    findings = [
        *shown.findings,
        *(note for movement in movements for note in movement.notes),
        *_judge_movements(shown.seen, movements, fitted),
    ]
    chosen = requested.choose(shown.photo.labels)
    painter = Painter(shown, chosen.garments, refiner)
    videos, sheets = [], []
    for movement, poses in zip(movements, fitted, strict=True):
        figure = None
        if moves.stick_figures and isinstance(movement.source, Motion):
            figure = MotionRenderer(movement.source, view.height_and_width)
        sequence = PoseSequence(movement.name, poses.keypoints, movement.fps, movement.times, figure)
        made, strips = [], []
        for name, of_video in zip(_video_names(movement, colors), chosen.videos, strict=True):
            made.append(PlannedVideo(output.path(name), sequence))
            frames = ({0: frame} for frame in painter.frames(poses, of_video))
            strips += write_frames(made[-1:], frames)
        sheets.append(write_contact_sheet(shown.photo.image, made, strips))
        videos += made
    return GeneratedVideos.of(videos, sheets, chosen.notes, findings)


def _video_names(movement: Movement, colors: ColorSettings) -> list[str]:
    """Stems of the videos of a movement: one, or one in each of several random colours."""
    if colors.num_videos == 1:
        return [movement.name]
    return [f"{movement.name}-{number + 1}" for number in range(colors.num_videos)]


@dataclass(frozen=True)
class PhotoSubject:
    """The person of a picture, as they are seen at first."""

    image: np.ndarray
    """(H, W, 3) uint8: the whole picture, no larger than anything that is shown needs."""
    found: FoundBody
    """Where the person is in it."""
    notes: tuple[str, ...]
    """What had to be changed or guessed to read the file."""


def find_subject(path: Path, view: ViewSettings) -> PhotoSubject:
    """Read a picture and find the person in it.

    Raises:
        PosegenError: It cannot be read, or shows no such person.
    """
    footage = read_image(path, size=None)
    image = shrink(footage.images[0], _LONGEST)
    return PhotoSubject(image, find_body(image, view.person), footage.notes)


def open_person(
    path: Path, view: ViewSettings, movements: Sequence[Movement] = (), subject: PhotoSubject | None = None
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


def _open_clip(path: Path, view: ViewSettings, movements: Sequence[Movement]) -> ShownPerson:
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
    found: FoundBody, picture: tuple[int, int], view: ViewSettings, movements: Sequence[Movement]
) -> PhotoFrame:
    fitted = [movement.fit(found.pose, picture) for movement in movements]
    return find_frame(found, picture, view.height_and_width, fitted)


def _keep_large(movement: Movement, subject: PhotoSubject, view: PhotoSettings) -> Movement:
    """Shorten the way that a motion goes until the person has nearly the size of somebody who stays on the spot."""
    motion, picture = movement.source, subject.image.shape[:2]
    if not isinstance(motion, Motion):
        return movement

    def go(share: float) -> Movement:
        return movement if share == 1 else replace(movement, source=shorten_travel(motion, share))

    least = _LEAST_SIZE * _find_frame(subject.found, picture, view, [go(0.0)]).scale
    share = next(one for one in _SHARES if _find_frame(subject.found, picture, view, [go(one)]).scale >= least)
    if share == 1:
        return movement
    way = float(np.linalg.norm(np.ptp(motion.trans[:, [0, 2]], axis=0)))
    gone = "stays on the spot" if share == 0 else f"goes {share:.0%} of its {way:.1f} m"
    note = f"{movement.name} {gone}, so that the person stays large: --travel full shows all of it"
    return replace(go(share), notes=(*movement.notes, note))


def _find_movements(
    moves: MotionSettings, view: PhotoSettings, seed: int, subject: PhotoSubject | None
) -> list[Movement]:
    """What the person is to do: motions, or the poses of a driving video."""
    if view.poses is not None:
        if moves.is_given:
            raise ConfigError("got --poses and a motion, expected one of them")
        return [open_poses(view.poses, moves.fps)]
    motions = resolve_motions(moves, moves.fps, seed, subject.found.pose if subject else None)
    found = [Movement(name, motion, motion.fps, notes=motion.notes) for name, motion in motions.items()]
    return [_keep_large(one, subject, view) for one in found] if subject and view.travel == "fit" else found


class Painter:
    """Shows a person in any colours.

    Args:
        shown: The person.
        garments: What is given colours.
        refiner: What corrects each frame, if anything does.

    Raises:
        ColorError: A garment is not seen.
    """

    def __init__(self, shown: ShownPerson, garments: Iterable[Garment], refiner: Refiner | None = None):
        self._subject, self._refiner = shown, refiner
        self._person = ClipPerson([photo.layered() for photo in shown.photos], shown.background)
        self._paints = {
            garment: [GarmentPaint(photo.image, photo.labels, garment) for photo in shown.photos]
            for garment in garments
        }

    def frames(self, poses: BodyPoses, colors: Mapping[Garment, ColorPath]) -> Iterator[np.ndarray]:
        """Show one uint8 frame (H, W, 3) per pose of a sequence.

        Args:
            poses: The poses.
            colors: Those of the garments that do not keep their own.
        """
        of_frames = {garment: path.colors(len(poses)) for garment, path in colors.items()}
        person = self._person
        for index in range(len(poses)):
            if any(index == 0 or (of_frame[index] != of_frame[index - 1]).any() for of_frame in of_frames.values()):
                person = self._person_in({garment: of_frame[index] for garment, of_frame in of_frames.items()})
            if self._refiner is None:
                yield person.frame(poses[index])
            else:
                yield RefinedPerson(person.views[0], self._refiner).frame(poses[index])

    def _person_in(self, colors: Mapping[Garment, np.ndarray]) -> ClipPerson:
        """The person with garments in colours, L, a, b each."""
        views = []
        for number, (photo, view) in enumerate(zip(self._subject.photos, self._person.views, strict=True)):
            image = photo.image
            for garment, (lightness, a, b) in colors.items():
                image = self._paints[garment][number].apply((lightness, a, b), image)
            views.append(view.recolored(image))
        return self._person.with_views(views)
