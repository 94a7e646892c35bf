"""``posegen motion generate``: motions of an ACTOR, and the pictures, video and page that are made of any motions."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from orchestration.generation.code_plots import plot_action_map
from orchestration.generation.motion_page import write_motion_page
from orchestration.tracking.mirror import recorded
from posegen.checkpoints.run_record import dataset_of
from posegen.datasets.motions import MotionDataset
from posegen.errors import ConfigError
from posegen.inference.requested_motions import load_actor
from posegen.io.images import write_picture
from posegen.io.output_files import OverwriteSettings
from posegen.io.storage import StorageFolder
from posegen.motion.editing import with_rotations
from posegen.motion.motion import Motion, write_motion
from posegen.motion.rendering import GridLayout, render_strips, write_motion_video
from posegen.networks.actor import frame_mask
from posegen.samples import MotionCrops, Window, fixed_batch
from posegen.stages import Actor

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
    seed: int = 0
    """Seed of the codes."""

    def __post_init__(self) -> None:
        for name in ("frames", "samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


def generate_motions(run: str, out: Path, settings: GenerateMotionSettings) -> list[Motion]:
    """Generate motions and write them to a folder: ``ACTION-N.npz``, ``strips.png``, ``motions.mp4``, ``motions.html``.

    Raises PosegenError where there is no such run or action; nothing is written then.
    """
    stage = load_actor(run)
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


def _generate(stage: Actor, settings: GenerateMotionSettings) -> tuple[list[Motion], list[str]]:
    """Motions, and a caption for each."""
    actions = settings.actions or stage.config.actions
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


def _interpolate_actions(
    stage: Actor, start: str, end: str, settings: GenerateMotionSettings, generator: torch.Generator
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
    stage = load_actor(run)
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
def encode_training_motions(stage: Actor, data: MotionDataset) -> tuple[np.ndarray, list[str]]:
    """Return mean codes (N, Z) of real training motions, and the action of each."""
    window = Window(num_frames=stage.config.num_frames or stage.config.max_frames)
    samples = MotionCrops(data, "train", actions=stage.config.actions, window=window)
    codes, actions = [], []
    for batch in fixed_batch(samples, _PLOTTED_CODES, 64):
        batch = {key: x.to(stage.device) for key, x in batch.items()}
        mask = frame_mask(batch["length"], batch["motion"].shape[1])
        codes.append(stage.encoder(batch["motion"], batch["action"], mask)[0].cpu().numpy())
        actions += [stage.config.actions[label] for label in batch["action"].tolist()]
    return np.concatenate(codes), actions
