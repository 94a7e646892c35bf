"""The whole road on the built-in studio, in minutes on a CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from orchestration.data.colorize import ColorizeSettings, colorize
from orchestration.data.prepare import PrepareSettings, prepare
from orchestration.evaluation.records import EvaluationRecord
from orchestration.evaluation.video import EvaluateSettings, Perceptual, VideoBasis, evaluate_video
from orchestration.option_types import FrameSize
from orchestration.runtime.progress import ConsoleProgress, CountProgress
from orchestration.runtime.ray_session import start_ray
from orchestration.tracking import tracker as tracking
from orchestration.training.train import TrainSettings, train
from posegen.color.palette import parse_color
from posegen.color.recoloring import Region, Scope
from posegen.datasets.clips import ClipDataset
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.inference.person import person_of_clip, worn_color
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import enlarge, grid, write_picture
from posegen.io.storage import StorageFolder
from posegen.io.video_writer import write_video
from posegen.samples import REGIONS
from posegen.stages import STAGES
from posegen.synthetic.studio import ACTIONS, render_clip, write_studio_clip
from posegen.weights.registry import is_cached

EXPERIMENT = "posegen-demo"
SPLIT_SEED = 11  # of the first six actions it keeps two for the test that move the arms, and trains on the others
SHEET_COLORS = ("#c8372d", "#d8a31a", "#2f9e44", "#1c7ed6", "#9c36b5")


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """How large the demo is."""

    people: tuple[str, ...] = ("grace", "elena")
    """People of the studio."""
    actions: int = 6
    """Actions of the studio; a third of them are kept for the test."""
    frames: int = 28
    """Frames of each video."""
    size: FrameSize = (96, 64)
    """Height and width in pixels."""
    effort: float = 1.0
    """Share of the training that is done; less gives a rougher video sooner."""
    workers: int = -1
    """Training processes on Ray; 0 trains in this process. -1 takes one on Ray where the machine has four CPUs or a
    GPU, and none on a smaller one, on which Ray's own processes would take a good part of the time."""


def demo(out: Path, settings: DemoSettings, console: Console) -> None:
    """Render, prepare, colorize, train, evaluate and generate; see the command's help."""
    begin = time.monotonic()
    videos, dataset, runs = out / "videos", str(out / "dataset"), str(out / "runs")
    with timed(console, f"1/6 studio: {' and '.join(settings.people)}, {settings.actions} actions"):
        _render(videos, settings)
    with timed(console, "2/6 prepare: poses, edges and masks"), CountProgress(console, "preparing") as listener:
        truth = PrepareSettings(
            size=settings.size,
            pose="truth",
            edges="truth",
            mask="truth",
            train_fraction=2 / 3,
            crop="none",
            seed=SPLIT_SEED,
            workers=0,  # a dozen short clips is prepared sooner than Ray Data starts
        )
        console.print(str(prepare(videos, dataset, truth, on_progress=listener.update)))
    with timed(console, "3/6 colorize: random colours inside the garments"):
        _paint(dataset, console)
    parent = tracking.start_run("demo", experiment=EXPERIMENT, parameters=asdict(settings))
    with timed(console, "4/6 train: two colour encoders, then the video generator"):
        run = _train_all(dataset, runs, settings, parent, console)
    with timed(console, "5/6 evaluate"):
        # Nothing is fetched here: the perceptual distance is measured where its weights are at hand.
        perceptual: tuple[Perceptual, ...] = ("st_lpips",) if is_cached("st_lpips") else ()
        result = evaluate_video(str(run), dataset, EvaluateSettings(swaps=2, perceptual=perceptual))
        console.print("  ".join(f"{name} {score.mean:.3f}" for name, score in result.scores.items()))
        _say_how_colors_follow(console, result)
    with timed(console, "6/6 generate: one person, one action, all colours"):
        video, sheet = _sweep(str(run), dataset, out)
    parent.log_file(video)
    parent.log_file(sheet)
    parent.finish()
    example = f"{settings.people[0]}/{ACTIONS[0]}"
    _say_what_was_made(console, video, sheet, run, example, time.monotonic() - begin)


@contextmanager
def timed(console: Console, title: str) -> Iterator[None]:
    """Print a step's title, and at its end the seconds that it took."""
    console.print(f"[bold]{title}[/]")
    begin = time.monotonic()
    yield
    console.print(f"    [dim]{time.monotonic() - begin:.0f} s[/]")


def _render(videos: Path, settings: DemoSettings) -> None:
    for person in settings.people:
        for action in ACTIONS[: settings.actions]:
            write_studio_clip(render_clip(person, action, num_frames=settings.frames, size=settings.size), videos)


def _paint(dataset: str, console: Console) -> None:
    # A handful of clips has few colours: more variants keep the generator from learning pairs of them by heart.
    kinds: tuple[tuple[Scope, Region, int], ...] = (("frame", "upper", 3), ("frame", "lower", 3), ("clip", "both", 12))
    for scope, region, variants in kinds:
        console.print(
            str(colorize(dataset, ColorizeSettings(scope=scope, region=region, variants=variants, workers=0)))
        )


def _train_all(
    dataset: str, runs: str, settings: DemoSettings, parent: tracking.Tracker, console: Console
) -> StorageFolder:
    """Both encoders, on Ray side by side, then the generator, at their presets for small machines; the last run."""
    workers = settings.workers
    if workers == -1:
        workers = int((os.cpu_count() or 1) >= 4 or torch.cuda.is_available())
    with ConsoleProgress(console) as listener:

        def run(name: str, stage: str, cpus: int, **changes: Any) -> StorageFolder:
            preset = STAGES[stage].presets["tiny"]
            epoch_size = max(round(settings.effort * preset.epoch_size), preset.batch_size)
            config = replace(preset, epoch_size=epoch_size, **changes)
            how = TrainSettings(
                name=name, runs=runs, workers=workers, cpus=cpus, experiment=EXPERIMENT, loader_processes=0
            )
            return train(stage, config, dataset, how, listener=listener, parent=parent)

        if workers:
            start_ray()
        with ThreadPoolExecutor(max_workers=2 if workers else 1) as pool:
            encoders = {
                f"{region}_encoder": pool.submit(run, f"{region}-encoder", "color_encoder", 1, region=region)
                for region in REGIONS
            }
            trained = {name: str(encoder.result()) for name, encoder in encoders.items()}
        return run("video-generator", "video_generator", 0, **trained)


def _say_how_colors_follow(console: Console, result: EvaluationRecord[VideoBasis]) -> None:
    shares = "  ".join(
        f"{region} garment {100 * result.scores[f'recolor_{region}'].mean:.0f} %"
        for region in REGIONS
        if f"recolor_{region}" in result.scores
    )
    change = result.scores.get("background_delta_e")
    if change:
        console.print(f"    swapped codes: of the way to the other colour went {shares}")
        console.print(f"    meanwhile the background changed by {change.mean:.2f} ΔE2000 in the mean")


def _sweep(run: str, dataset: str, out: Path) -> tuple[Path, Path]:
    """A test action in colours that go once round the wheel, and a contact sheet of five fixed ones."""
    synthesizer, data = VideoSynthesizer.load(run), ClipDataset(dataset)
    clip = data.split("test")[0]
    content, poses = person_of_clip(clip), clip.keypoints
    own = synthesizer.encode(content.image)
    hues = np.linspace(0, 2 * np.pi, len(poses), endpoint=False)
    upper, lower = (worn_color(content, region)[0] for region in REGIONS)
    codes = [synthesizer.recolor(own, {"upper": wheel(hue, upper), "lower": wheel(hue + np.pi, lower)}) for hue in hues]
    frames = np.stack(list(synthesizer.frames(content, poses, torch.stack(codes))))
    video, sheet = out / "colors.mp4", out / "contact-sheet.png"
    loop = [enlarge(frame, max(1, 384 // frame.shape[0])) for frame in np.concatenate([frames] * 3)]
    write_video(video, np.stack(loop), fps=clip.info.fps)
    write_picture(sheet, _contact_sheet(synthesizer, data))
    return video, sheet


def wheel(hue: float, lightness: float, chroma: float = 45.0) -> tuple[float, float, float]:
    """L, a, b of a hue angle."""
    return lightness, chroma * np.cos(hue), chroma * np.sin(hue)


def _contact_sheet(synthesizer: VideoSynthesizer, data: ClipDataset, columns: int = 8) -> np.ndarray:
    """For a test clip of each person: poses, real frames, drawn frames, and drawn frames in other colours."""
    rows: list[list[np.ndarray]] = []
    clips = {clip.info.person: clip for clip in data.split("test")}
    for clip in clips.values():
        content, poses = person_of_clip(clip), clip.keypoints
        shown = np.linspace(0, len(poses) - 1, columns).round().astype(int)
        own = synthesizer.encode(content.image)
        lightness = worn_color(content, "upper")[0]
        wishes = [(lightness, *parse_color(color)[1:]) for color in SHEET_COLORS]
        codes = [own] + [synthesizer.recolor(own, {"upper": wish}) for wish in wishes]
        drawn = [list(synthesizer.frames(content, poses, z)) for z in codes]
        rows.append([rasterize_stick_figure(poses[row], synthesizer.size) for row in shown])
        rows.append([clip.image(int(row)) for row in shown])
        rows += [[frames[row] for row in shown] for frames in drawn]
    return enlarge(grid(rows), max(1, 144 // synthesizer.size[0]))


def _say_what_was_made(
    console: Console, video: Path, sheet: Path, run: StorageFolder, clip: str, seconds: float
) -> None:
    console.print(f"\n[bold green]Done in {seconds / 60:.1f} minutes.[/] What was made, and how to look at it:")
    console.print(f"  {video}  a person whose clothes go once round the colour wheel while the pose follows the action")
    console.print(f"  {sheet}  poses, real frames, drawn frames, and the same in {len(SHEET_COLORS)} colours")
    console.print(f"  {run}/evaluation  every test clip, real above drawn")
    console.print(f"  posegen ui  opens MLflow: every run, in the experiment {EXPERIMENT}")
    console.print("Ask for a colour of your own:")
    console.print(f"  posegen generate {run} --content {clip} --poses {clip} --upper '#2a6fdb' --out mine.mp4")
