"""Draws a video from names: of clips, image files and colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posegen.clips import ClipDataset, DatasetInfo
from posegen.color.lab import rgb_to_lab
from posegen.color.palette import parse_color
from posegen.features.stick_figure import draw_stick_figure
from posegen.generate import Content, VideoSynthesizer, content_of
from posegen.perception import EDGE_DETECTORS, POSE_ESTIMATORS, SEGMENTERS
from posegen.samples import REGIONS
from posegen.stages.pictures import grid, write_picture
from posegen.video import Footage, read_image, write_video

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
_STRIP = 10  # frames in the contact sheet, as in the paper's Figure 4


@dataclass(frozen=True)
class Generated:
    """What was drawn."""

    video: Path
    sheet: Path
    num_frames: int
    colors: dict[str, str] = field(default_factory=dict)
    """What each asked colour became, in words."""


def generate(
    run: str, dataset: str, *, content: str, poses: str, out: Path, upper: str = "", lower: str = ""
) -> Generated:
    """Draw `content`, moving like the clip `poses`, in the colours asked for; see the command's help.

    Raises ValueError (DatasetError, CheckpointError, VideoError) where something is not there or does not fit.
    """
    if out.suffix.lower() != ".mp4":
        raise ValueError(f"the video is written as .mp4, got {out.name!r}")
    synthesizer, data = VideoSynthesizer.load(run), ClipDataset(dataset)
    if data.info.size != synthesizer.size:
        raise ValueError(f"{dataset} has frames of {data.info.size}, the run was trained at {synthesizer.size}")
    target = data.find(poses)
    person = see_image(Path(content), data.info) if is_image(content) else content_of(data.find(content))
    z, colors = choose_colors(synthesizer, synthesizer.encode(person.image), {"upper": upper, "lower": lower})
    frames = np.stack(list(synthesizer.frames(person, target.keypoints, z)))
    write_video(out, frames, fps=target.info.fps, times=target.times)
    sheet = out.with_suffix(".png")
    write_picture(sheet, contact_sheet(person.image, target.keypoints, frames))
    return Generated(out, sheet, len(frames), colors)


def choose_colors(synthesizer: VideoSynthesizer, z: Tensor, wishes: dict[str, str]) -> tuple[Tensor, dict[str, str]]:
    """Replace the codes of the garments for which a colour or a photo is given; say what became of each wish."""
    notes = {}
    for index, region in enumerate(REGIONS):
        wish = wishes.get(region, "")
        if not wish:
            continue
        if is_image(wish):
            photo = read_image(Path(wish), size=synthesizer.size).images[0]
            parts = list(synthesizer.split(z))
            parts[index] = synthesizer.split(synthesizer.encode(photo))[index]
            z = torch.cat(parts)
            notes[region] = f"as in {wish}"
        else:
            rgb = parse_color(wish)
            z = synthesizer.recolor(z, {region: rgb})
            asked, found = rgb_to_lab(np.array(rgb) / 255.0)[1:], synthesizer.nearest_color(region, rgb)
            notes[region] = (
                f"{wish} is (a, b) = ({asked[0]:.0f}, {asked[1]:.0f}); "
                f"the nearest training colour is ({found[0]:.0f}, {found[1]:.0f})"
            )
    return z, notes


def is_image(name: str) -> bool:
    """Whether a name is that of an image file."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def see_image(path: Path, info: DatasetInfo) -> Content:
    """See a person in an image with the backends that saw the dataset."""
    names = {kind: backend["name"] for kind, backend in info.backends.items()}
    if "truth" in names.values() or "openpose_json" in names.values():
        names = {"pose": "blazepose", "edges": "hed", "mask": "blazepose"}  # an image has no file of facts beside it
    # A person may stand anywhere in a photo: the whole of it is kept.
    footage: Footage = read_image(path, size=info.size, crop="none")
    poses = POSE_ESTIMATORS[names["pose"]].make()(footage)
    mask = SEGMENTERS[names["mask"]].make()(footage, poses)
    edges = EDGE_DETECTORS[names["edges"]].make()(footage)
    if not poses.scores[0] > 0:
        raise ValueError(f"no person is seen in {path}")
    return Content(footage.images[0], poses.keypoints[0], edges[0], mask[0])


def contact_sheet(content: np.ndarray, keypoints: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """The content image, and below it ten poses of the sequence over the frames drawn for them."""
    rows = np.linspace(0, len(frames) - 1, min(_STRIP, len(frames))).round().astype(int)
    sticks = [draw_stick_figure(keypoints[row], frames.shape[1:3]) for row in rows]
    return grid([[content], sticks, [frames[row] for row in rows]])
