"""``posegen motion generate``: motions of a trained run, and what shows any motions: pictures, a video, a page."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from orchestration.generation.code_plots import plot_action_map
from orchestration.generation.given_frames import given_frames
from orchestration.generation.motion_page import write_motion_page
from orchestration.tracking.mirror import recorded
from posegen.checkpoints.run_record import dataset_of
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError
from posegen.inference.requested_motions import load_generator
from posegen.io.images import write_picture
from posegen.io.output_files import OverwriteSettings
from posegen.io.storage import StorageFolder
from posegen.motion.editing import with_rotations
from posegen.motion.motion import Motion, write_motion
from posegen.motion.rendering import GridLayout, render_strips, write_motion_video
from posegen.samples import fixed_batch
from posegen.stages import MotionGenerator

_PLOTTED_CODES = 1000
_ON_PAGE = 6  # motions beside each other that can still be distinguished


@dataclass(frozen=True, kw_only=True)
class GenerateMotionSettings(OverwriteSettings):
    """Actions, lengths and codes of the motions to generate."""

    actions: tuple[str, ...] = ()
    """Actions; by default all that the run was trained on."""
    frames: int = 60
    """Frames of each motion."""
    samples: int = 3
    """Motions of each action, from random codes."""
    to_action: str = ""
    """Instead of samples, motions of one code whose action is interpolated from the first action to this one."""
    between_codes: bool = False
    """Instead of random codes, codes interpolated between two of them, the same for all actions."""
    then: tuple[str, ...] = ()
    """Actions that follow in the same motion without a seam, each of so many frames; one motion for each of the
    actions. Runs of motion_diffusion."""
    keep: str = ""
    """Motion of which frames are kept, such as kick.npz; what is between and behind them is generated. Runs of
    motion_diffusion."""
    keep_frames: tuple[str, ...] = ()
    """Frames that are kept, such as 0:20 40:60, counted from 0, the last one not among them; by default all of them."""
    path: tuple[str, ...] = ()
    """Way of the root over the ground, points X,Z in metres that are passed at one speed: 0,0 0,2 1,3. Runs of
    motion_diffusion."""
    guidance: float | None = None
    """Strength of the guidance towards the action; by default as the run is configured. Runs of motion_diffusion."""
    seed: int = 0
    """Seed of the codes."""

    def __post_init__(self) -> None:
        for name in ("frames", "samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.keep_frames and not self.keep:
            raise ConfigError("--keep-frames selects frames of --keep MOTION, which is missing")
        if self.is_composed and (self.to_action or self.between_codes):
            raise ConfigError("--then, --keep and --path make one motion, --to-action and --between-codes several")

    @property
    def is_composed(self) -> bool:
        """True if the request has more than single actions from nothing."""
        return bool(self.then or self.keep or self.path)


def generate_motions(run: str, out: Path, settings: GenerateMotionSettings) -> list[Motion]:
    """Generate motions and write them to a folder: ``ACTION-N.npz``, ``strips.png``, ``motions.mp4``, ``motions.html``.

    Raises PosegenError where there is no such run or action; nothing is written then.
    """
    stage = load_generator(run)
    motions, captions = _generate(stage, settings)
    counts: dict[str, int] = {}
    files = []
    for motion in motions:
        name = str(motion.label_name)
        counts[name] = counts.get(name, 0) + 1
        files.append(f"{name}-{counts[name]}.npz")
    settings.require_writable([*(out / file for file in files), *picture_files(out)])
    meta = {"source": str(StorageFolder(run)), "seed": settings.seed}
    for motion, file in zip(motions, files, strict=True):
        write_motion(StorageFolder(out), file, replace(motion, meta=meta))
    write_pictures(out, motions, captions, title=StorageFolder(run).name)
    return motions


def _generate(stage: MotionGenerator, settings: GenerateMotionSettings) -> tuple[list[Motion], list[str]]:
    """Motions, and a caption for each."""
    actions = settings.actions or stage.config.actions
    if settings.guidance is not None:
        stage.set_guidance(settings.guidance)
    if settings.is_composed:
        return _compose(stage, actions, settings)
    count, generator = settings.samples, torch.Generator().manual_seed(settings.seed)
    if settings.to_action:
        return _interpolate_actions(stage, actions[0], settings.to_action, settings, generator)
    if settings.between_codes:
        ends = stage.sample_codes(2, generator)
        codes = torch.lerp(ends[:1], ends[1:], torch.linspace(0, 1, count)[:, None]).repeat(len(actions), 1)
    else:
        codes = stage.sample_codes(count * len(actions), generator)
    names = [action for action in actions for _ in range(count)]
    motions = stage.generate(names, [settings.frames] * len(names), z=codes)
    return motions, [f"{name} {1 + index % count}" for index, name in enumerate(names)]


def _compose(
    stage: MotionGenerator, actions: Sequence[str], settings: GenerateMotionSettings
) -> tuple[list[Motion], list[str]]:
    """Motions of several actions in a row, with frames and a path that are given."""
    frames = [settings.frames] * (1 + len(settings.then))
    given = given_frames(settings.keep, settings.keep_frames, settings.path, sum(frames), stage.config.fps)
    motions, captions = [], []
    for number, action in enumerate(actions):
        parts = [action, *settings.then]
        for sample in range(settings.samples):
            seed = settings.seed + number * settings.samples + sample
            motion = stage.compose(parts, frames, given=given, seed=seed)
            motions.append(motion if motion.label_name else replace(motion, label_name="-".join(parts)))
            captions.append(f"{', '.join(parts)} {1 + sample}")
    return motions, captions


def _interpolate_actions(
    stage: MotionGenerator, start: str, end: str, settings: GenerateMotionSettings, generator: torch.Generator
) -> tuple[list[Motion], list[str]]:
    """Motions of one code, with action weights from one action to another."""
    shares = torch.linspace(0, 1, max(settings.samples, 2))
    weights = torch.zeros(len(shares), len(stage.config.actions))
    weights[:, stage.label(start)] += 1 - shares
    weights[:, stage.label(end)] += shares
    z = stage.sample_codes(1, generator).expand(len(shares), -1)
    lengths = torch.full((len(shares),), settings.frames)
    decoded = stage.decode(weights.to(stage.device), lengths.to(stage.device), z.to(stage.device))
    nearer = [start if share < 0.5 else end for share in shares.tolist()]
    motions = [stage.to_motion(features, name) for features, name in zip(decoded, nearer, strict=True)]
    return motions, [f"{100 * share:.0f} % {end}" for share in shares.tolist()]


def picture_files(out: Path) -> list[Path]:
    """Return the paths of what `write_pictures` writes."""
    return [out / name for name in ("strips.png", "motions.mp4", "motions.html")]


def write_pictures(
    out: Path, motions: Sequence[Motion], captions: Sequence[str], title: str, *, columns: int = 4
) -> None:
    """Write ``strips.png``, ``motions.mp4`` and ``motions.html``.

    Args:
        out: Folder for the files; it is made where it does not exist.
        motions: The motions; the page shows the first six.
        captions: One for each motion.
        title: Title of the page.
        columns: Motions in a row of the video.
    """
    out.mkdir(parents=True, exist_ok=True)
    motions = [with_rotations(motion) for motion in motions]  # once for strips and video
    strips, video, page = picture_files(out)
    write_picture(strips, render_strips(motions, captions))
    write_motion_video(video, motions, captions, GridLayout(columns=columns))
    write_motion_page(page, motions[:_ON_PAGE], captions[:_ON_PAGE], title=title)


def show_motions(run: str) -> str:
    """Write pictures of motions that a run generates, and a plot of training codes, to ``RUN/motions`` and MLflow.

    Returns the folder.
    """
    stage = load_generator(run)
    folder = StorageFolder(run) / "motions"
    with tempfile.TemporaryDirectory() as name:
        local = Path(name)
        motions, captions = _generate(stage, GenerateMotionSettings(samples=2))
        write_pictures(local, motions, captions, title=StorageFolder(run).name)
        codes, actions = encode_training_motions(stage, MotionDataset(dataset_of(run)))
        plot_action_map(local / "codes.png", codes, actions, title="codes of training motions")
        folder.upload(local)
    with recorded(run) as log:
        log.log_own_files("motions")
    return str(folder)


@torch.no_grad()
def encode_training_motions(stage: MotionGenerator, data: MotionDataset) -> tuple[np.ndarray, list[str]]:
    """Return mean codes (N, Z) of real training motions, and the action of each."""
    samples = stage.open_samples(stage.config, data, "train")
    codes, actions = [], []
    for batch in fixed_batch(samples, _PLOTTED_CODES, 64):
        codes.append(stage.encode({key: x.to(stage.device) for key, x in batch.items()}).cpu().numpy())
        actions += [stage.config.actions[label] for label in batch["action"].tolist()]
    return np.concatenate(codes), actions
