"""The whole road on the built-in studio, in about ten minutes on two CPU cores."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from orchestration.data.colorize import ColorizeSettings, recolor_dataset
from orchestration.data.prepare import PrepareSettings, prepare_videos
from orchestration.evaluation.records import EvaluationRecord
from orchestration.evaluation.video import EvaluateSettings, Perceptual, VideoBasis, evaluate_video
from orchestration.option_types import FrameSize
from orchestration.reports.demo_photo import PhotoDemo, demonstrate_photo
from orchestration.runtime.progress import ProgressCallback, ProgressListener
from orchestration.runtime.ray_session import start_ray
from orchestration.tracking.mirror import settle, sync
from orchestration.tracking.run_log import RunLog
from orchestration.training.job import TrainSettings
from orchestration.training.recipes import make_runs, recipe
from orchestration.training.train import Recording, train
from posegen.color.palette import parse_color
from posegen.color.recoloring import GarmentRegion, Scope
from posegen.datasets.clips import ClipDataset
from posegen.errors import ConfigError, WeightsError, counted
from posegen.features.stick_figure import rasterize_stick_figure
from posegen.inference.person import person_of_clip, worn_color
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer
from posegen.io.images import enlarge, titled_grid, write_picture
from posegen.io.storage import StorageFolder
from posegen.io.video_writer import write_video
from posegen.samples import REGIONS
from posegen.synthetic.actions import ACTIONS
from posegen.synthetic.studio import RenderSettings, render_action, write_studio_clip
from posegen.weights.registry import is_cached

DEMO_EXPERIMENT = "posegen-demo"
_NOTE = "demo.json"
SPLIT_SEED = 11  # of the first six actions it keeps two for the test that move the arms, and trains on the others
_RUN_NAMES = {"upper_encoder": "upper-encoder", "lower_encoder": "lower-encoder", "no_restoration": "video-generator"}
SHEET_COLORS = ("#c8372d", "#d8a31a", "#2f9e44", "#1c7ed6", "#9c36b5")


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """Size of the demo."""

    people: tuple[str, ...] = ("grace", "elena")
    """People of the studio."""
    actions: int = 6
    """Actions of the studio; a third of them are kept for the test."""
    frames: int = 28
    """Frames of each video."""
    size: FrameSize = (96, 64)
    """Height and width in pixels."""
    photo_frames: int = 75
    """Frames of each action that the person of the photo does."""
    effort: float = 1.0
    """Share of the training that is done; less gives a rougher video sooner."""
    workers: int = -1
    """Training processes on Ray; 0 trains in this process. -1 takes one on Ray where the machine has four CPUs or a
    GPU, and none on a smaller one, on which Ray's own processes would take a good part of the time."""


class DemoOutput(Protocol):
    """Output of the demo: text and progress."""

    def print(self, text: str) -> None:
        """Print a line, which may have rich's markup."""

    def training(self) -> AbstractContextManager[ProgressListener]:
        """Show the progress of runs."""

    def counting(self, what: str) -> AbstractContextManager[ProgressCallback]:
        """Show how many things are done."""


def demo(out: Path, settings: DemoSettings, output: DemoOutput) -> None:
    """Animate a photo; then render, prepare, colorize, train, evaluate and generate. See the command's help."""
    begin = time.monotonic()
    _require_own_folder(out)
    output.print("[dim]seven steps, about ten minutes on two cores; training takes most of them[/]")
    videos, dataset, runs = out / "videos", str(out / "dataset"), str(out / "runs")
    with timed(output, "1/7 photo: one person, three actions, eight outfits, without training"):
        photo = _animate_photo(out, settings, output)
    with timed(output, f"2/7 studio: {' and '.join(settings.people)}, {counted(settings.actions, 'action')}"):
        _render(videos, settings, output)
    with timed(output, "3/7 prepare: poses, edges and masks"), output.counting("preparing") as on_progress:
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
        output.print(str(prepare_videos(videos, dataset, truth, on_progress=on_progress)))
    with timed(output, "4/7 colorize: random colours inside the garments"):
        _recolor(dataset, output)
    log = RunLog(StorageFolder(runs) / "demo")
    log.open(experiment=DEMO_EXPERIMENT, parameters=asdict(settings))
    sync(log.folder)  # before the runs that are filed under it
    with timed(output, "5/7 train: two colour encoders, then the video generator"):
        run = _train_all(dataset, runs, settings, log, output)
    with timed(output, "6/7 evaluate"), output.counting("clips") as on_progress:
        # Nothing is fetched here: the perceptual distance is measured where its weights are at hand.
        perceptual: tuple[Perceptual, ...] = ("st_lpips",) if is_cached("st_lpips") else ()
        measures = EvaluateSettings(swaps=2, perceptual=perceptual)
        result = evaluate_video(run, dataset, measures, on_progress=on_progress)
        output.print("  ".join(f"{name} {score.mean:.3f}" for name, score in result.scores.items()))
        _print_how_colors_follow(output, result)
    with timed(output, "7/7 generate: one person, one action, all colours"):
        video, sheet = _sweep(run, dataset, out)
    for file in (*((photo.photo, photo.video, photo.sheet) if photo else ()), video, sheet):
        log.log_file(file)
    log.finish()
    settle(log.folder)
    example = f"{settings.people[0]}/{next(iter(ACTIONS))}"
    _print_results(output, video, sheet, run, example)
    if photo:
        _print_photo(output, photo)
    output.print(f"[dim]{(time.monotonic() - begin) / 60:.1f} minutes in all[/]")


def _require_own_folder(out: Path) -> None:
    """Take a folder that is new or that a demo made. Raises ConfigError for others: their files might be replaced."""
    folder = StorageFolder(out)
    is_own = folder.exists(_NOTE) or folder.exists("runs/demo")
    if not is_own and (folder.files() or folder.folders()):
        raise ConfigError(f"{out} has files that are not the demo's: name a new folder")
    folder.write_json(_NOTE, {"made by": "posegen demo"})


@contextmanager
def timed(output: DemoOutput, title: str) -> Iterator[None]:
    """Print a step's title, and at its end the seconds that it took."""
    output.print(f"[bold]{title}[/]")
    begin = time.monotonic()
    yield
    output.print(f"    [dim]{time.monotonic() - begin:.0f} s[/]")


def _animate_photo(out: Path, settings: DemoSettings, output: DemoOutput) -> PhotoDemo | None:
    """The photo's files; None where BlazePose, which finds the person, cannot be had."""
    try:
        with output.counting("frames") as on_progress:
            made = demonstrate_photo(out, frames=settings.photo_frames, on_progress=on_progress)
    except WeightsError as error:
        output.print(f"    left out, because the pose network is missing: {error}")
        return None
    output.print(f"    ready to be watched: {made.video}")
    output.print(f"    as a picture: {made.sheet}; from one photo: {made.photo}")
    return made


def _render(videos: Path, settings: DemoSettings, output: DemoOutput) -> None:
    clips = list(product(settings.people, list(ACTIONS)[: settings.actions]))
    with output.counting("videos") as on_progress:
        for number, (person, action) in enumerate(clips, 1):
            clip = render_action(person, action, settings.frames, RenderSettings(size=settings.size))
            write_studio_clip(clip, videos)
            on_progress(number, len(clips))


def _recolor(dataset: str, output: DemoOutput) -> None:
    # A handful of clips has few colours: more recolorings keep the generator from learning pairs of them by heart.
    kinds: tuple[tuple[Scope, GarmentRegion, int], ...] = (
        ("frame", "upper", 3),
        ("frame", "lower", 3),
        ("clip", "both", 12),
    )
    for scope, region, recolorings in kinds:
        settings = ColorizeSettings(scope=scope, region=region, recolorings=recolorings, workers=0)
        output.print(str(recolor_dataset(dataset, settings)))


def _train_all(dataset: str, runs: str, settings: DemoSettings, parent: RunLog, output: DemoOutput) -> str:
    """Train both encoders, on Ray side by side, then the generator, with presets for small machines; the last run."""
    workers = settings.workers
    if workers == -1:
        workers = int((os.cpu_count() or 1) >= 4 or torch.cuda.is_available())
    graph = recipe(["no_restoration"])
    with output.training() as listener:

        def make(name: str, places: Mapping[str, str]) -> str:
            preset = graph[name].config("tiny")
            epoch_size = max(round(settings.effort * preset.epoch_size), preset.batch_size)
            config = graph[name].with_runs(replace(preset, epoch_size=epoch_size), places)
            how = TrainSettings(
                name=_RUN_NAMES[name],
                runs=runs,
                workers=workers,
                cpus=1 if graph[name].stage.name == "color_encoder" else 0,
                experiment=DEMO_EXPERIMENT,
                loader_processes=0,
            )
            return str(train(config, dataset, how, listener=listener, recording=Recording(parent=parent)))

        if workers:
            start_ray()
        return make_runs(graph, make, parallel=2 if workers else 1)["no_restoration"]


def _print_how_colors_follow(output: DemoOutput, result: EvaluationRecord[VideoBasis]) -> None:
    shares = "  ".join(
        f"{region} garment {100 * result.scores[f'recolor_{region}'].mean:.0f} %"
        for region in REGIONS
        if f"recolor_{region}" in result.scores
    )
    change = result.scores.get("background_delta_e")
    if change:
        output.print(f"    swapped codes: of the way to the other colour went {shares}")
        output.print(f"    meanwhile the background changed by {change.mean:.2f} ΔE2000 in the mean")


def _sweep(run: str, dataset: str, out: Path) -> tuple[Path, Path]:
    """A test action in colours that go once round the wheel, and a contact sheet of five fixed ones."""
    synthesizer, data = load_renderer(run, VideoSynthesizer), ClipDataset(dataset)
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
    """For a test clip of each person: poses, real frames, generated frames, and generated frames in other colours."""
    rows: dict[str, list[np.ndarray]] = {}
    clips = {clip.info.person: clip for clip in data.split("test")}
    for clip in clips.values():
        content, poses = person_of_clip(clip), clip.keypoints
        shown = np.linspace(0, len(poses) - 1, columns).round().astype(int)
        own = synthesizer.encode(content.image)
        lightness = worn_color(content, "upper")[0]
        targets = [(lightness, *parse_color(color)[1:]) for color in SHEET_COLORS]
        codes = [own] + [synthesizer.recolor(own, {"upper": target}) for target in targets]
        generated = [list(synthesizer.frames(content, poses, z)) for z in codes]
        name = f"{clip.info.person}, {clip.info.action.replace('_', ' ')}"
        rows[f"{name}: poses"] = [rasterize_stick_figure(poses[row], synthesizer.size) for row in shown]
        rows[f"{name}: real"] = [clip.image(int(row)) for row in shown]
        for color, frames in zip(("own colours", *SHEET_COLORS), generated, strict=True):
            rows[f"{name}: generated, {color}"] = [frames[row] for row in shown]
    factor = max(1, 144 // synthesizer.size[0])
    return titled_grid([[enlarge(picture, factor) for picture in row] for row in rows.values()], list(rows))


def _print_results(output: DemoOutput, video: Path, sheet: Path, run: str, clip: str) -> None:
    output.print("\n[bold green]Done.[/] What was made, and how to look at it:")
    output.print(f"  {video}  a person whose clothes go once round the colour wheel while the pose follows the action")
    output.print(f"  {sheet}  poses, real frames, generated frames, and the same in {len(SHEET_COLORS)} colours")
    output.print(f"  {run}/evaluation  every test clip, real above generated")
    output.print(f"  posegen ui  opens MLflow: every run, in the experiment {DEMO_EXPERIMENT}")
    output.print("Ask for a colour of your own:")
    output.print(f"  posegen generate {run} --content {clip} --poses {clip} --upper '#2a6fdb' --out mine.mp4")


def _print_photo(output: DemoOutput, photo: PhotoDemo) -> None:
    output.print("Or of one photo, without a run:")
    output.print(f"  posegen animate {photo.photo} --action wave --upper '#2a6fdb' --lower black --out wave.mp4")
