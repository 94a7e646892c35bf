"""Draws videos from names: of clips, image files and colours. What is done by `generate` and by `animate` is here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from posegen.color.lab import rgb_to_lab
from posegen.color.palette import parse_color
from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clips import ClipDataset, DatasetInfo
from posegen.errors import ConfigError, DatasetError
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.inference.color_matching import match_colors
from posegen.inference.person import Person, person_of_clip, worn_color
from posegen.inference.video_synthesizer import VideoSynthesizer, interpolate
from posegen.io.images import grid, write_picture
from posegen.io.video_reader import Footage, read_image
from posegen.io.video_writer import VideoWriter
from posegen.motion.rendering import MotionRenderer
from posegen.perception import BACKENDS, EDGE_DETECTORS, POSE_ESTIMATORS, SEGMENTERS
from posegen.samples import REGIONS

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
_FILE_BACKENDS = {"truth", "openpose_json"}  # read what lies beside a video, and see nothing in a photo
_STRIP = 10  # frames in the contact sheet, as in the paper's Figure 4


@dataclass(frozen=True, kw_only=True)
class ColorSettings:
    """Which colours the clothes take. A garment without a wish keeps its own, or with --sample takes a random one."""

    upper: str = ""
    """Colour of the upper garment: #rrggbb, a CSS name, lab(L a b), or a photo of somebody who wears it or of cloth."""
    lower: str = ""
    """Colour of the lower garment, likewise."""
    upper_to: str = ""
    """Colour that the upper garment has in the last frame, evenly reached from the first one."""
    lower_to: str = ""
    """The same for the lower garment."""
    exact_color: bool = False
    """Correct the codes until the drawn garments have the wished colours; takes some seconds."""
    sample: Literal["none", "fitted", "prior"] = "none"
    """Draw random colours: as the training's are spread (fitted), or from N(0, I) as the paper writes (prior)."""
    samples: int = 4
    """How many videos with random colours of each pose sequence."""
    seed: int = 0
    """Decides the random colours, and the motion that is made for an action."""


@dataclass(frozen=True)
class Generated:
    """What was drawn."""

    videos: list[Path]
    sheets: list[Path]
    """One for each pose sequence: the content, the poses, and a row for each video."""
    num_frames: int
    """Of all videos together."""
    colors: dict[str, str] = field(default_factory=dict)
    """What each asked colour became, in words."""


@dataclass(frozen=True)
class PoseSequence:
    """What the person does in a video."""

    name: str
    """Of its files, where there are several."""
    keypoints: np.ndarray
    """(T, 18, 3) in pixels of the frames."""
    fps: float
    times: np.ndarray | None = None
    """(T,) seconds, where frames come at a rate that varies."""
    figure: MotionRenderer | None = None
    """What is shown beside the person, frame by frame."""

    @property
    def shown(self) -> list[int]:
        """Rows of the frames in the contact sheet."""
        length = len(self.keypoints)
        return np.linspace(0, length - 1, min(_STRIP, length)).round().astype(int).tolist()


@dataclass(frozen=True)
class Video:
    """One video to draw."""

    out: Path
    poses: PoseSequence


@dataclass(frozen=True)
class _Job(Video):
    """One video to draw in colours."""

    z: Tensor
    """(Z,) or (T, Z)."""


def generate(
    run: str,
    dataset: str,
    *,
    content: str,
    poses: Sequence[str],
    out: Path,
    batch: int = 4,
    colors: ColorSettings = ColorSettings(),
) -> Generated:
    """Draw `content`, moving like the clips `poses`, in the colours asked for; see the command's help.

    Raises PosegenError (DatasetError, CheckpointError, VideoError) where something is not there or does not fit.
    """
    check_output_options(out, batch, colors)
    synthesizer, data = open_run(run, dataset)
    targets = find_clips(data, poses)
    check_place(out, len(targets), colors)
    person = find_person(data, content)
    sequences = [PoseSequence(clip.clip_id, clip.keypoints, clip.info.fps, clip.times) for clip in targets]
    return render_videos(synthesizer, data.info, person, sequences, out, batch, colors)


def check_output_options(out: Path, batch: int, colors: ColorSettings) -> None:
    """Raise ConfigError where no video could be drawn, whatever it shows."""
    if batch < 1 or colors.samples < 1:
        raise ConfigError(f"got batch {batch} and samples {colors.samples}, expected 1 or more of each")
    if out.suffix.lower() not in ("", ".mp4"):
        raise ConfigError(f"the video is written as .mp4, got {out.name!r}")


def check_place(out: Path, num_sequences: int, colors: ColorSettings) -> None:
    """Raise ConfigError where so many pose sequences want a folder for their videos, or a file for the only one."""
    num_videos = num_sequences * _count(colors)
    if num_videos == 1 and not out.suffix:
        raise ConfigError(f"one video is written as .mp4, got {out.name!r}")
    if num_videos > 1 and out.suffix:
        raise ConfigError(f"{num_videos} videos are written to a folder, got {out.name!r}")


def _count(colors: ColorSettings) -> int:
    """Videos of each pose sequence."""
    return 1 if colors.sample == "none" else colors.samples


def open_run(run: str, dataset: str) -> tuple[VideoSynthesizer, ClipDataset]:
    """Open what draws and a dataset for it. Raises ConfigError where the frames are of another size."""
    synthesizer, data = VideoSynthesizer.load(run), ClipDataset(dataset)
    if data.info.size != synthesizer.size:
        raise ConfigError(f"{dataset} has frames of {data.info.size}, the run was trained at {synthesizer.size}")
    return synthesizer, data


def find_person(data: ClipDataset, content: str) -> Person:
    """The person in an image file, or in the first usable frame of a clip."""
    return see_image(Path(content), data.info) if is_image(content) else person_of_clip(data.find(content))


def render_videos(
    synthesizer: VideoSynthesizer,
    info: DatasetInfo,
    person: Person,
    sequences: Sequence[PoseSequence],
    out: Path,
    batch: int,
    colors: ColorSettings,
) -> Generated:
    """Draw a person in each pose sequence, in the colours asked for: videos, and a contact sheet for each sequence."""
    codes, notes = choose_codes(synthesizer, person, info, colors)
    jobs, count = plan(sequences, codes, out), len(codes)
    strips = [
        strip
        for start in range(0, len(jobs), batch)
        for strip in render_batch(synthesizer, person, jobs[start : start + batch])
    ]
    sheets = [
        write_sheet(person.image, jobs[start : start + count], strips[start : start + count])
        for start in range(0, len(jobs), count)
    ]
    return Generated([job.out for job in jobs], sheets, sum(len(job.poses.keypoints) for job in jobs), notes)


def find_clips(data: ClipDataset, names: Sequence[str]) -> list[ClipFile]:
    """The clips of these names; one with ``*`` or ``?`` stands for all whose PERSON/ACTION it matches."""
    found: dict[str, ClipFile] = {}
    for name in names:
        if set(name) & set("*?["):
            matches = [clip for clip in data.clips if fnmatch(f"{clip.info.person}/{clip.info.action}", name)]
            if not matches:
                raise DatasetError(f"no PERSON/ACTION in {data.folder} matches {name!r}")
        else:
            matches = [data.find(name)]
        found |= {clip.clip_id: clip for clip in matches}
    return list(found.values())


# ---- Colours


def choose_codes(
    synthesizer: VideoSynthesizer, person: Person, info: DatasetInfo, colors: ColorSettings
) -> tuple[list[tuple[Tensor, Tensor]], dict[str, str]]:
    """The codes (Z,) of the first and the last frame of each video, and what became of each wish in words."""
    own = synthesizer.encode(person.image)
    begin, end = {"upper": colors.upper, "lower": colors.lower}, {"upper": colors.upper_to, "lower": colors.lower_to}
    start, notes = color(synthesizer, person, info, own, begin, exact=colors.exact_color)
    stop, more = color(synthesizer, person, info, start, end, exact=colors.exact_color)
    notes |= {f"{region}, at the end": note for region, note in more.items()}
    if colors.sample == "none":
        return [(start, stop)], notes
    generator = torch.Generator().manual_seed(colors.seed)
    drawn = [
        synthesizer.codebook(region).sample(colors.samples, generator, prior=colors.sample == "prior")
        for region in REGIONS
    ]
    codes = []
    for number in range(colors.samples):
        random = {region: parts[number] for region, parts in zip(REGIONS, drawn, strict=True)}
        free = {region: code for region, code in random.items() if not begin[region]}
        fixed_at_end = {region: code for region, code in free.items() if not end[region]}
        codes.append((_replaced(synthesizer, start, free), _replaced(synthesizer, stop, fixed_at_end)))
    return codes, notes


def color(
    synthesizer: VideoSynthesizer,
    person: Person,
    info: DatasetInfo,
    z: Tensor,
    targets: dict[str, str],
    *,
    exact: bool,
) -> tuple[Tensor, dict[str, str]]:
    """Replace the codes of the garments for which a colour or a photo is given; say what became of each wish.

    The lightness stays that of the person's own garment, since codes change a and b.
    """
    asked: dict[str, tuple[float, float]] = {}
    notes = {}
    for region, wish in targets.items():
        if not wish:
            continue
        if is_image(wish) and shows_person(Path(wish), info):
            photo = read_image(Path(wish), size=synthesizer.size).images[0]
            seen = synthesizer.split(synthesizer.encode(photo))[REGIONS.index(region)]
            z = _replaced(synthesizer, z, {region: seen})
            notes[region] = f"as in {wish}"
            continue
        _, a, b = swatch(Path(wish)) if is_image(wish) else parse_color(wish)
        asked[region] = a, b
        notes[region] = f"{wish} is (a, b) = ({a:.0f}, {b:.0f})"
    if exact and asked:
        z, matches = match_colors(synthesizer, person, z, asked)
        for region, match in matches.items():
            notes[region] += f"; drawn ΔE2000 {match.after:.1f} from it, {match.before:.1f} before the correction"
        return z, notes
    lightness = {region: worn_color(person, region)[0] for region in asked}
    return synthesizer.recolor(z, {region: (lightness[region], *ab) for region, ab in asked.items()}), notes


def swatch(path: Path) -> tuple[float, float, float]:
    """Mean L, a, b of a picture of cloth: of its central half in each direction, where a background seldom is."""
    image = read_image(path, size=None).images[0]
    height, width = image.shape[:2]
    lightness, a, b = rgb_to_lab(image[height // 4 : -(height // 4), width // 4 : -(width // 4)]).mean((0, 1)).tolist()
    return lightness, a, b


def shows_person(path: Path, info: DatasetInfo) -> bool:
    """Whether the dataset's pose estimator sees a person in a photo.

    Where the poses came from files nothing can look, and the photo is taken for one like those of the dataset, which
    show a person.
    """
    name = _backend_name(info, "pose")
    if name in _FILE_BACKENDS:
        return True
    return bool(POSE_ESTIMATORS[name].make()(read_image(path, size=info.size, crop="none")).scores[0] > 0)


def _backend_name(info: DatasetInfo, kind: str) -> str:
    """The backend that saw the dataset's ``pose``, ``edges`` or ``mask``. Raises DatasetError where there is none."""
    name = str(info.backends.get(kind, {}).get("name", ""))
    if name not in BACKENDS[kind]:
        raise DatasetError(f"the dataset's {kind} is of {name!r}, expected one of {sorted(BACKENDS[kind])}")
    return name


def _replaced(synthesizer: VideoSynthesizer, z: Tensor, parts: dict[str, Tensor]) -> Tensor:
    """A code (Z,) in which these garments' parts are others."""
    own = zip(REGIONS, synthesizer.split(z), strict=True)
    return torch.cat([parts.get(region, part) for region, part in own])


# ---- Drawing


def plan(sequences: Sequence[PoseSequence], codes: Sequence[tuple[Tensor, Tensor]], out: Path) -> list[_Job]:
    """A video for each pose sequence and pair of codes, in this order; several lie in a folder."""
    jobs = []
    for poses in sequences:
        for number, (start, stop) in enumerate(codes):
            z = start if start is stop or torch.equal(start, stop) else interpolate(start, stop, len(poses.keypoints))
            name = poses.name + (f"-{number + 1}" if len(codes) > 1 else "")
            path = out if len(sequences) * len(codes) == 1 else out / f"{name}.mp4"
            jobs.append(_Job(path, poses, z))
    return jobs


def render_batch(synthesizer: VideoSynthesizer, person: Person, jobs: Sequence[_Job]) -> list[list[np.ndarray]]:
    """Draw videos as one batch, each frame straight to its file. Returns the frames for the contact sheets."""
    drawn = synthesizer.clips(person, [job.poses.keypoints for job in jobs], [job.z for job in jobs])
    return write_frames(jobs, drawn)


def write_frames(videos: Sequence[Video], drawn: Iterable[Mapping[int, np.ndarray]]) -> list[list[np.ndarray]]:
    """Write videos that grow together, each with its figure beside it. Returns the frames for the contact sheets.

    Args:
        videos: What is written.
        drawn: The next frame (H, W, 3) uint8 of each video that has not ended, by its number.
    """
    strips: list[list[np.ndarray]] = [[] for _ in videos]
    shown = [set(video.poses.shown) for video in videos]
    with ExitStack() as stack:
        writers = []
        for video in videos:
            video.out.parent.mkdir(parents=True, exist_ok=True)
            writers.append(stack.enter_context(VideoWriter(video.out, fps=video.poses.fps, times=video.poses.times)))
        for row, frames in enumerate(drawn):
            for number, frame in frames.items():
                figure = videos[number].poses.figure
                writers[number].write(frame if figure is None else np.hstack([figure.frame(row), frame]))
                if row in shown[number]:
                    strips[number].append(frame)
    return strips


def contact_sheet(content: np.ndarray, poses: np.ndarray, strips: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The content image, below it the poses (K, 18, 3), and below them the K frames drawn for them in each video."""
    sticks = [rasterize_stick_figure(pose, content.shape[:2]) for pose in poses]
    return grid([[content], sticks, *strips])


def write_sheet(content: np.ndarray, videos: Sequence[Video], strips: Sequence[Sequence[np.ndarray]]) -> Path:
    """Write the contact sheet of the videos of one pose sequence beside the first of them."""
    first = videos[0]
    name = first.out.stem if len(videos) == 1 else first.poses.name
    path = first.out.with_name(f"{name}.png")
    write_picture(path, contact_sheet(content, first.poses.keypoints[first.poses.shown], strips))
    return path


# ---- Photos


def is_image(name: str) -> bool:
    """Whether a name is that of an image file."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def see_image(path: Path, info: DatasetInfo) -> Person:
    """See a person in an image with the backends that saw the dataset."""
    names = {kind: _backend_name(info, kind) for kind in BACKENDS}
    if set(names.values()) & _FILE_BACKENDS:
        names = {"pose": "blazepose", "edges": "hed", "mask": "blazepose"}  # an image has no file of facts beside it
    # A person may stand anywhere in a photo: the whole of it is kept.
    footage: Footage = read_image(path, size=info.size, crop="none")
    poses = POSE_ESTIMATORS[names["pose"]].make()(footage)
    mask = SEGMENTERS[names["mask"]].make()(footage, poses)
    edges = EDGE_DETECTORS[names["edges"]].make()(footage)
    if not poses.scores[0] > 0:
        raise ConfigError(f"no person is seen in {path}")
    return Person(footage.images[0], poses.keypoints[0], edges[0], mask[0])
