"""Later frames of a real clip, rendered from its first one by methods that need no training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch

from posegen.errors import PosegenError, VideoError, counted
from posegen.evaluation.photo_pipeline import WHOLE_PIPELINE, PhotoPipeline
from posegen.evaluation.reconstruction import Measure
from posegen.features.appearance import Appearance
from posegen.features.body_bones import has_trunk, trunk_length
from posegen.features.body_pose import BodyPoses
from posegen.features.parts import is_usable
from posegen.features.warp import PartAffines, estimate_affines
from posegen.inference.clip_person import ClipPerson, choose_views
from posegen.inference.photo import Photo, perceive_photo
from posegen.io.lettering import draw_text
from posegen.io.video_reader import iterate_frames, read_video
from posegen.metrics.image import masked
from posegen.metrics.person import grow_masks, wrong_share
from posegen.perception.body_footage import BodyFootage, perceive_footage
from posegen.perception.camera_motion import follow_camera, undo_camera
from posegen.perception.person_box import person_box

FRAMES = 14
"""Frames of a clip that are compared, spread evenly over it."""
MARGIN = 0.03
"""Share of the height by which a person's mask is dilated before it is measured in."""
_EVERY = 6  # frames of a clip, from one that the background is taken from to the next
_LETTERS = 13  # pixels
_LOOKS = 12  # frames in which the person is searched for the crop


@dataclass(frozen=True)
class RealClip:
    """A clip of a real person, with what perception finds in it."""

    name: str
    images: np.ndarray
    """(T, H, W, 3) uint8."""
    footage: BodyFootage
    fps: float

    @cached_property
    def cameras(self) -> np.ndarray:
        """(N, 2, 3) maps of the background from the source frame to each of the rows."""
        return follow_camera(self.images, self.footage.masks, self.source, self.rows)

    @property
    def source(self) -> int:
        """Row of the frame that is taken as the photo: the first usable one."""
        return int(self._usable[0])

    @property
    def rows(self) -> np.ndarray:
        """Rows that are compared: `FRAMES` usable ones after the source, spread evenly."""
        later = self._usable[1:]
        return later[np.unique(np.linspace(0, len(later) - 1, FRAMES + 1).round().astype(int)[1:])]

    @property
    def _usable(self) -> np.ndarray:
        found = np.flatnonzero(is_usable(self.footage.poses.keypoints) & self.footage.masks.any(axis=(1, 2)))
        if len(found) < 2:
            raise VideoError(f"{self.name}: {len(found)} frames show shoulders and hips, expected two or more")
        return found


def read_real_clip(path: Path, size: tuple[int, int]) -> RealClip:
    """Read a clip at a size (H, W), cropped around the person unless it has that size already, and perceive it.

    Raises PosegenError where it cannot be read, or shows nobody.
    """
    frames = [frame for _, _, frame in iterate_frames(path)]
    if len(frames) < 2:
        raise VideoError(f"{path}: {counted(len(frames), 'frame')}, expected at least two")
    box = (0.0, 0.0, float(frames[0].shape[1]), float(frames[0].shape[0]))
    if frames[0].shape[:2] != size:
        rows = np.linspace(0, len(frames) - 1, _LOOKS).round().astype(int)
        found = person_box(frames[row] for row in rows)
        if found is None:
            raise VideoError(f"{path}: no person is found in it")
        box = found
    del frames
    video = read_video(path, size=size, crop=box)
    return RealClip(path.stem, video.images, perceive_footage(video.images), video.fps)


def copy_frames(clip: RealClip) -> np.ndarray:
    """Return the source frame for each of the clip's rows, (N, H, W, 3)."""
    return np.repeat(clip.images[clip.source][None], len(clip.rows), axis=0)


def part_frames(clip: RealClip) -> np.ndarray:
    """Warp ten parts of the source frame to each of the clip's rows, (N, H, W, 3)."""
    keypoints = clip.footage.poses.keypoints
    appearance = Appearance(clip.images[clip.source], keypoints[clip.source], clip.footage.masks[clip.source])
    affines = estimate_affines(keypoints[clip.source], keypoints[clip.rows])
    return np.stack([appearance.warp(PartAffines(*(one[row] for one in affines))) for row in range(len(clip.rows))])


def layer_frames(clip: RealClip, pipeline: PhotoPipeline = WHOLE_PIPELINE) -> np.ndarray:
    """Show the layered person of the source frame in each pose of the clip's rows, (N, H, W, 3)."""
    return layer_frames_of(pipeline.perceive(clip.images[clip.source]), clip, pipeline)


def layer_frames_of(photo: Photo, clip: RealClip, pipeline: PhotoPipeline = WHOLE_PIPELINE) -> np.ndarray:
    """Show the layered person of a photo that stands like the source frame, (N, H, W, 3)."""
    person = pipeline.refine(photo.layered())
    scale = relative_size(clip.footage.poses, photo.pose)
    return np.stack([person.frame(clip.footage.poses[int(row)], scale) for row in clip.rows])


def relative_size(poses: BodyPoses, source: BodyPoses) -> float:
    """Measure the size of a person in poses relative to one pose: the median ratio of the trunks' lengths."""
    lengths = [trunk_length(poses[row]) for row in range(len(poses)) if has_trunk(poses[row])]
    return float(np.median(lengths)) / max(trunk_length(source), 1.0)


def layer_frames_before_truth(clip: RealClip) -> np.ndarray:
    """Do the same before the clip's own background, where the clip ever shows it: what is lost by the background."""
    photo = perceive_photo(clip.images[clip.source])
    return layer_frames_of(replace(photo, background=seen_background(clip, clip.rows, photo.background)), clip)


def clip_frames(clip: RealClip) -> np.ndarray:
    """Show the person of several frames of the clip's first half, in each pose of its rows, (N, H, W, 3)."""
    half = slice(clip.source, (clip.source + len(clip.images)) // 2)
    views = []
    for row in choose_views(clip.footage.poses[half]):
        try:
            views.append(perceive_photo(clip.images[clip.source + row]).layered())
        except PosegenError:  # the frame by itself does not show the trunk
            continue
    seen = np.arange(half.start + 1, half.stop, _EVERY)
    photo = perceive_photo(clip.images[clip.source])
    person = ClipPerson([photo.layered(), *views[1:]], seen_background(clip, seen, photo.background))
    scale = relative_size(clip.footage.poses, photo.pose)
    poses = clip.footage.poses[clip.rows]
    chosen = enumerate(person.choose_views(poses))
    return np.stack([person.frame(poses[row], views, scale) for row, views in chosen])


def seen_background(clip: RealClip, rows: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return the median of what rows of a clip show beside the person, by the source's camera: (H, W, 3) uint8.

    Args:
        clip: The clip.
        rows: (N,) in ascending order, after the source.
        otherwise: (H, W, 3) uint8, for pixels before which the person always is.
    """
    same = np.array_equal(rows, clip.rows)
    cameras = clip.cameras if same else follow_camera(clip.images, clip.footage.masks, clip.source, rows)
    images, reach = undo_camera(clip.images[rows], cameras)
    masks, _ = undo_camera(clip.footage.masks[rows], cameras)
    hidden = ~reach | grow_masks(masks, MARGIN)
    covered = np.repeat(hidden[..., None], 3, axis=-1)
    with np.errstate(all="ignore"):
        median = np.ma.median(np.ma.masked_array(images, covered), axis=0)
    return np.where(np.ma.getmaskarray(median), otherwise, np.ma.getdata(median)).round().astype(np.uint8)


BEFORE: Mapping[str, Callable[[RealClip], np.ndarray]] = {"copy": copy_frames, "parts": part_frames}
"""Earlier methods that rendered the later frames of a clip from its first one, by name."""
ABLATIONS: Mapping[str, Callable[[RealClip], np.ndarray]] = {
    "layers, true background": layer_frames_before_truth,
    "layers of a clip": clip_frames,
}
"""Ablations: pipelines that are given more than the first frame, by name."""


def score_motion(clip: RealClip, frames: np.ndarray, measures: Mapping[str, Measure]) -> dict[str, np.ndarray]:
    """Compare rendered frames with the clip's own.

    Args:
        clip: The clip.
        frames: (N, H, W, 3) uint8, one for each of the clip's rows.
        measures: Metrics of two pictures, by name; taken with both black outside the dilated mask of the person.

    Returns:
        By name (N,): the measures; ``wrong_inside``, the share of wrong pixels inside the dilated mask; and
        ``wrong_outside``, beside it. Methods show the photo's camera, so the truth is shown by that, too, for the
        latter.
    """
    real = clip.images[clip.rows]
    regions = grow_masks(clip.footage.masks[clip.rows], MARGIN)
    images = [torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 for x in (frames, real)]
    inside = masked(images[0], images[1], torch.from_numpy(regions)[:, None])
    scores = {name: measure(*inside).numpy() for name, measure in measures.items()}
    scores["wrong_inside"] = wrong_share(frames, real, regions)
    still, reach = undo_camera(real, clip.cameras)
    moved, _ = undo_camera(clip.footage.masks[clip.rows], clip.cameras)
    scores["wrong_outside"] = wrong_share(frames, still, reach & ~regions & ~grow_masks(moved, MARGIN))
    return scores


def side_by_side(clip: RealClip, frames: Mapping[str, np.ndarray], scale: int = 1) -> np.ndarray:
    """Return a picture with a row for each of the clip's rows: first frame, truth, then each method, with titles."""
    heads = ("first frame", "truth", *frames)
    lines = []
    for index, row in enumerate(clip.rows):
        columns = [clip.images[clip.source], clip.images[row], *(of_method[index] for of_method in frames.values())]
        line = np.concatenate(columns, axis=1)
        if scale > 1:
            line = cv2.resize(line, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        line = np.ascontiguousarray(line)
        for column, head in enumerate(heads):
            left = column * line.shape[1] // len(heads) + 4
            text = f"{head} {row}" if head == "truth" else head
            for x, y in product((-1, 0, 1), repeat=2):  # light edges, so that it is read on anything
                draw_text(line, text, (left + x, 14 + y), _LETTERS, color=(255, 255, 255))
            draw_text(line, text, (left, 14), _LETTERS)
        lines.append(line)
    return np.concatenate(lines)
