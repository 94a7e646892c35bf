"""``posegen data pairs``: pairs of pictures with exact correspondence, of the studio and of photos that are moved there
and back, to train the refiner.

What is there is not made again.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from orchestration.data.motion_files import ReadSettings, find_motions
from orchestration.errors import reason_of
from orchestration.option_types import FrameSize
from orchestration.runtime.progress import ProgressCallback, ignore_progress
from orchestration.runtime.ray_data import Row, RowWork, Step, map_rows
from posegen.datasets.dataset import Split
from posegen.datasets.refinement import (
    PairEntry,
    RefinementInfo,
    RefinementPair,
    pair_of_frame,
    write_pair,
    write_refinement_manifest,
)
from posegen.errors import ConfigError, DatasetError, PerceptionError, counted
from posegen.features.background import fill_background
from posegen.features.body_bones import has_trunk, trunk_length
from posegen.features.body_pose import BodyPoses
from posegen.features.layered_person import LayeredPerson
from posegen.features.matte import soft_matte
from posegen.inference.adaptation_pairs import draw_pose, stack_poses, there_and_back
from posegen.inference.photo import Photo
from posegen.inference.shown_person import ViewSettings, open_person
from posegen.io.picture_reader import PICTURE_SUFFIXES
from posegen.io.storage import StorageFolder
from posegen.motion.motion import Motion
from posegen.perception.body import find_body
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.motions import make_subject, perform
from posegen.synthetic.studio.pairs import StudioPair, facing, pair_motion, render_pair, vary_person
from posegen.synthetic.studio.people import StudioPerson
from posegen.synthetic.studio.render import RenderSettings
from posegen.synthetic.studio.retarget import retarget

_VERSION = 1
_PAIRS_OF_PERSON = 4
_FILLS = (1.05, 1.5)  # by how much the rendering is larger than the pictures, which are cut around the person
_STILL = 0.25  # share of the pairs in which both pictures have one view
_FACES = 100.0  # degrees from the viewer up to which a picture A is taken
_TURNED = 65.0  # the same of B, relative to the motion's own direction
_POSE_NOISE, _DEPTH_NOISE = 0.012, 0.06  # lengths of the trunk: what estimators are off by
_FARTHEST = (
    0.15  # lengths of the trunk: mean distance of joints found from the true ones; beyond it another body is seen
)
_MOTION_FRAMES = 75


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """Content of the pairs."""

    pairs: int = 2000
    """Number of pairs of the studio."""
    photos: Path | None = None
    """Folder of photos of people, whose pairs are added: each person is moved to poses of actions, and back."""
    poses_of_photo: int = 4
    """Pairs of each photo."""
    size: FrameSize = (224, 160)
    """Height and width in pixels."""
    motion: tuple[Path, ...] = ()
    """Motions beside those of the actions: files or folders of any kind that `posegen motion inspect` reads."""
    poses: Literal["studio", "blazepose"] = "studio"
    """Poses that the layers are moved by: the true ones, disturbed a little, or those that BlazePose finds in the
    pictures. The correspondence is the true one in both cases."""
    held_out: float = 0.1
    """Share of the people that is held out."""
    seed: int = 0
    """Decides people, motions, views and noise."""
    workers: int = -1
    """Processes that render; -1 takes all CPUs of the cluster, 0 works in this process, without Ray."""

    def __post_init__(self) -> None:
        if self.pairs < (0 if self.photos else 1):
            raise ConfigError(f"pairs is {self.pairs}, expected at least 1, or 0 with --photos")
        if self.poses_of_photo < 1:
            raise ConfigError(f"poses_of_photo is {self.poses_of_photo}, expected at least 1")
        if not 0 <= self.held_out < 1:
            raise ConfigError(f"held_out must be at least 0 and less than 1, got {self.held_out}")
        if min(self.size) < 96:
            raise ConfigError(f"size is {self.size[0]}×{self.size[1]}, expected sides of at least 96 pixels")


@dataclass(frozen=True)
class MadePairs:
    """A dataset of pairs that was made."""

    folder: StorageFolder
    info: RefinementInfo
    num_new: int
    rejections: list[str]

    def __str__(self) -> str:
        held_out = sum(entry.split == "test" for entry in self.info.pairs)
        text = f"{counted(len(self.info.pairs), 'pair')} in {self.folder}, {self.num_new:,} new, {held_out:,} held out"
        return f"{text}; {len(self.rejections):,} left out: {self.rejections[0]}" if self.rejections else text


def make_pairs(
    out: StorageFolder | str,
    settings: PairSettings,
    reading: ReadSettings | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> MadePairs:
    """Render pairs of the studio, and move photos there and back. Equal settings give equal pairs, and more of them
    begin with the same.

    Args:
        out: Folder of the dataset.
        settings: What they show.
        reading: How files of motions are read, by default as `ReadSettings`.
        on_progress: Called after every pair.

    Raises:
        PosegenError: A motion is broken, there are no photos, no pair can be made, or `out` is a dataset of something
            else.
    """
    folder = StorageFolder(out)
    if folder.exists("dataset.json") or folder.exists("motions.json"):
        raise DatasetError(f"{folder} is a dataset of another kind: choose another folder")
    motions = _read_motions(settings.motion, reading or ReadSettings())
    making = {
        "version": _VERSION,
        "size": list(settings.size),
        "seed": settings.seed,
        "motions": sorted(motions),
        "poses": settings.poses,
        "held_out": settings.held_out,
    }
    digest = hashlib.sha256(json.dumps(making, sort_keys=True).encode()).hexdigest()[:8]
    planned = {
        f"studio-{number:06}-{digest}": _Plan(f"{number // _PAIRS_OF_PERSON:05}", number)
        for number in range(settings.pairs)
    }
    planned |= _plan_photos(settings)
    there = {name.removesuffix(".parquet") for name in (folder / "pairs").files(".parquet")}
    rows = [
        {"pair_id": pair_id, "number": plan.number, "photo": plan.photo}
        for pair_id, plan in planned.items()
        if pair_id not in there
    ]
    made = [pair_id for pair_id in planned if pair_id in there]
    num_known = len(made)
    work = RowWork((Step(_PairMaker, (folder, settings, motions)),), key="pair_id")
    rejections = []
    for result in map_rows(rows, work, out=folder, workers=settings.workers, on_progress=on_progress):
        if result.get("reason"):
            rejections.append(f"{planned[result['pair_id']].photo or result['pair_id']}: {result['reason']}")
        else:
            made.append(result["pair_id"])
    if not made:
        raise DatasetError(f"none of the pairs could be made: {rejections[0]}")
    entries = [_entry(pair_id, planned[pair_id], settings) for pair_id in made]
    if settings.photos:
        making |= {"photos": str(settings.photos), "poses_of_photo": settings.poses_of_photo}
    info = write_refinement_manifest(folder, entries, making)
    return MadePairs(folder, info, len(made) - num_known, rejections)


def _read_motions(paths: tuple[Path, ...], reading: ReadSettings) -> dict[str, Motion]:
    if not paths:
        return {}
    found = find_motions(paths, reading)
    return {one.motion.name: one.motion.load() for one in found.motions}


@dataclass(frozen=True)
class _Plan:
    """Content of a pair."""

    subject: str
    number: int
    """Of the pair, or of a photo's pose."""
    photo: str = ""
    """File of the photo; empty for the studio."""


def _plan_photos(settings: PairSettings) -> dict[str, _Plan]:
    """Return what pairs of photos show, by their id: it says what is in the file, and not its name."""
    if settings.photos is None:
        return {}
    files = sorted(settings.photos.iterdir()) if settings.photos.is_dir() else []
    files = [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES]
    if not files:
        raise DatasetError(f"no photos in {settings.photos}: expected a folder of pictures")
    height, width = settings.size
    plans = {}
    for file in files:
        subject = f"photo{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
        for number in range(settings.poses_of_photo):
            plans[f"{subject}-{number}-{height}x{width}-{settings.seed}"] = _Plan(subject, number, str(file))
    return plans


def _entry(pair_id: str, plan: _Plan, settings: PairSettings) -> PairEntry:
    split = _split_of(plan.subject if plan.photo else str(int(plan.subject)), settings)
    return PairEntry(pair_id=pair_id, subject=plan.subject, split=split, size=settings.size)


class _PairMaker:
    """Makes one pair after the other."""

    def __init__(self, folder: StorageFolder, settings: PairSettings, motions: dict[str, Motion]):
        self.folder, self.settings = folder, settings
        self.motions = sorted(motions.items())
        self._photo: tuple[str, int, Photo] | None = None  # the last one, its checksum: its pairs follow one another

    def __call__(self, row: Row) -> Row:
        """Make a pair; why it cannot be made is its ``reason``."""
        try:
            number = row["number"]
            pair = self._move(row["photo"], number) if row["photo"] else self._make(number // _PAIRS_OF_PERSON, number)
            write_pair(self.folder, row["pair_id"], pair)
            return {"pair_id": row["pair_id"], "reason": ""}
        except Exception as error:
            return {"pair_id": row["pair_id"], "reason": reason_of(error)}

    def _move(self, file: str, number: int) -> RefinementPair:
        """Move the person of a photo to a pose and back. Raises PosegenError where that is not possible."""
        height, width = self.settings.size
        if self._photo is None or self._photo[0] != file:
            shown = open_person(Path(file), ViewSettings(size=f"{height}x{width}"))
            self._photo = file, zlib.crc32(Path(file).read_bytes()), shown.photo
        _, checksum, photo = self._photo
        rng = np.random.default_rng([self.settings.seed, 3, number, checksum])
        pair = there_and_back(photo, draw_pose(photo.pose, self.settings.size, rng))
        if pair is None:
            raise DatasetError("the person is not in the picture in the pose drawn")
        return pair

    def _make(self, subject: int, number: int) -> RefinementPair:
        seed = self.settings.seed
        person = vary_person(np.random.default_rng([seed, 1, subject]))
        rng = np.random.default_rng([seed, 2, number])
        motion = self._motion(person, rng)
        height, width = (round(side * rng.uniform(*_FILLS)) for side in self.settings.size)
        view = RenderSettings(
            size=(max(height, self.settings.size[0]), max(width, self.settings.size[1])),
            seed=int(rng.integers(1 << 16)),
            fists=bool(rng.random() < 0.2),
        )
        pair = _cut_out(render_pair(person, motion, view), self.settings.size)
        if self.settings.poses == "blazepose":
            return show_layers(_with_found_poses(pair))
        return show_layers(pair, rng)

    def _motion(self, person: StudioPerson, rng: np.random.Generator) -> Motion:
        """Two frames of a motion, in two views."""
        if self.motions and rng.random() < 0.5:
            motion = self.motions[int(rng.integers(len(self.motions)))][1]
        else:
            action = str(rng.choice(list(ACTIONS)))
            motion = perform(action, make_subject(int(rng.integers(30))), int(rng.integers(100)), frames=_MOTION_FRAMES)
        motion = retarget(motion, person)
        turned = facing(motion)
        first = rng.choice(np.flatnonzero(np.abs(turned) < _FACES))
        second = rng.choice(np.flatnonzero(np.abs(turned) < _FACES))
        yaw = float(np.clip(15 * rng.standard_normal(), -40, 40))
        other = yaw if rng.random() < _STILL else float(np.clip(yaw + 25 * rng.standard_normal(), -_TURNED, _TURNED))
        return pair_motion(motion, (int(first), int(second)), (yaw, other))


def show_layers(pair: StudioPair, rng: np.random.Generator | None = None) -> RefinementPair:
    """Take picture A of a pair apart and show its layers in the pose of B.

    Args:
        pair: From the studio.
        rng: Where poses are disturbed as estimators disturb them.
    """
    poses = pair.poses if rng is None else _disturb(pair.poses, rng)
    image, mask = pair.images[0], pair.masks[0]
    background = fill_background(image, mask, poses[0])
    person = LayeredPerson.take_apart(image, poses[0], pair.classes[0], soft_matte(image, mask), background)
    return RefinementPair(
        **pair_of_frame(image, pair.classes[0], background, person.frame_with_map(poses[1])),
        target=pair.images[1],
        mask=cv2.GaussianBlur(pair.masks[1], (0, 0), 0.6),
        visible=pair.visible.astype(np.uint8),
        truth=pair.source,
        poses=poses,
    )


def _cut_out(pair: StudioPair, size: tuple[int, int]) -> StudioPair:
    """The part of a size (H, W) of both pictures that holds the person best."""
    ys, xs = np.nonzero(pair.masks.any(axis=0))
    if not len(ys):
        raise DatasetError("no person is found")
    corner = []
    for places, side, whole in ((ys, size[0], pair.masks.shape[1]), (xs, size[1], pair.masks.shape[2])):
        corner.append(int(np.clip((places.min() + places.max() - side) // 2, 0, whole - side)))
    top, left = corner
    window = (slice(None), slice(top, top + size[0]), slice(left, left + size[1]))
    shift = np.array([left, top], np.float32)
    keypoints, toes = pair.poses.keypoints.copy(), pair.poses.toes.copy()
    for joints in (keypoints, toes):
        joints[..., :2] = np.where(joints[..., 2:] > 0, joints[..., :2] - shift, 0)
    return StudioPair(
        images=pair.images[window],
        albedo=pair.albedo[window],
        masks=pair.masks[window],
        classes=pair.classes[window],
        depths=pair.depths[window],
        poses=BodyPoses(keypoints, pair.poses.depths, toes),
        source=pair.source[window[1:]] - shift,
        visible=pair.visible[window[1:]],
    )


def _with_found_poses(pair: StudioPair) -> StudioPair:
    """The same pictures with the poses that BlazePose finds in them. Raises DatasetError where it finds others."""
    try:
        found = stack_poses(*(find_body(image).pose for image in pair.images))
    except PerceptionError as error:
        raise DatasetError("BlazePose finds no person") from error
    for index in range(2):
        seen, true = found[index].keypoints, pair.poses[index].keypoints
        both = (seen[:, 2] > 0) & (true[:, 2] > 0)
        distance = np.linalg.norm(seen[both, :2] - true[both, :2], axis=1).mean()
        if not has_trunk(found[index]) or distance > _FARTHEST * trunk_length(pair.poses[index]):
            raise DatasetError("BlazePose sees another pose")
    return replace(pair, poses=found)


def _disturb(poses: BodyPoses, rng: np.random.Generator) -> BodyPoses:
    """Move joints, toes and depths a little, as estimators do."""
    trunk = trunk_length(poses[0])
    keypoints, toes = poses.keypoints.copy(), poses.toes.copy()
    for joints in (keypoints, toes):
        noise = _POSE_NOISE * trunk * rng.standard_normal((*joints.shape[:-1], 2))
        joints[..., :2] += np.where(joints[..., 2:] > 0, noise, 0)
    depths = poses.depths + _DEPTH_NOISE * trunk * rng.standard_normal(poses.depths.shape)
    return BodyPoses(keypoints, depths.astype(np.float32), toes)


def _split_of(subject: str, settings: PairSettings) -> Split:
    digest = hashlib.sha256(f"{settings.seed}/{subject}".encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") / 2**64 < settings.held_out else "train"
