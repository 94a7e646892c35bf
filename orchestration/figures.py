"""Figures 2, 4 and 5 of the paper, from any dataset."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from orchestration import tracking
from orchestration.methods import Method
from orchestration.progress import Listener
from orchestration.report import EXPERIMENT, ReportSettings, take_runs
from posegen.clips import ClipDataset, ClipFile
from posegen.generate import VideoSynthesizer, content_of, interpolate
from posegen.latent_map import LatentMap, map_codes
from posegen.metrics.latent import principal_components
from posegen.samples import REGIONS, usable_rows
from posegen.stages.pictures import enlarge, grid, write_picture
from posegen.video import write_video

_MIN_HEIGHT = 192  # smaller frames are enlarged in figures


@dataclass(frozen=True, kw_only=True)
class Figure2Settings:
    """Which frames are shown."""

    clips: int = 4
    """Clips, one row each, of different people where there are so many."""
    variants: int = 3
    """Recolourings of each kind: the upper garment, the lower one, both."""
    seed: int = 0
    """Decides the frames."""
    out: Path = Path("report")
    """Folder for the figure."""


@dataclass(frozen=True, kw_only=True)
class Figure4Settings(ReportSettings):
    """Which videos are drawn."""

    run: str = ""
    """Run of the stage video_generator; by default that of the report's proposed method."""
    videos: int = 2
    """Test clips, of different people where there are so many."""
    key_frames: int = 10
    """Frames of each video in the figure."""
    seed: int = 0
    """Decides the two random codes of each video."""


@dataclass(frozen=True, kw_only=True)
class Figure5Settings(ReportSettings):
    """Which encoders are compared."""

    decoupled: str = ""
    """Run of the stage video_generator; by default that of the report's proposed method."""
    end_to_end: str = ""
    """Run of the stage end_to_end; by default that of the report."""
    codes: int = 7000
    """Painted training frames that are encoded."""
    seed: int = 0
    """Decides which."""


def figure2(dataset: str, settings: Figure2Settings) -> Path:
    """Show frames beside their recolourings: rows of original, upper, lower and both garments painted."""
    data = ClipDataset(dataset)
    rng = np.random.default_rng(settings.seed)
    rows = []
    for clip in _different_people(data.clips, settings.clips):
        frame = int(rng.choice(usable_rows(clip)))
        row = [clip.image(frame)]
        for scope, region in (("frame", "upper"), ("frame", "lower"), ("clip", "both")):
            painted = data.variants(scope, region, clip)
            numbers = range(painted.num_variants)[scope == "clip" :][: settings.variants]  # a clip's first is itself
            row += [painted.image(frame, number) for number in numbers]
        rows.append(row)
    settings.out.mkdir(parents=True, exist_ok=True)
    path = settings.out / "figure2.png"
    write_picture(path, _enlarged(grid(rows), data.info.size[0]))
    _record(path, {})
    return path


def figure4(dataset: str, settings: Figure4Settings, *, listener: Listener | None = None) -> tuple[Path, list[Path]]:
    """Draw videos whose colours go from one random code to another (Section 4.4): the figure and the videos."""
    data = ClipDataset(dataset)
    run = settings.run or str(take_runs(dataset, settings, ("proposed",), listener=listener)["proposed"])
    synthesizer = VideoSynthesizer.load(run)
    generator = torch.Generator().manual_seed(settings.seed)
    settings.out.mkdir(parents=True, exist_ok=True)
    rows, videos = [], []
    for number, clip in enumerate(_different_people(data.split("test"), settings.videos), start=1):
        ends = torch.cat([synthesizer.codebook(region).sample(2, generator) for region in REGIONS], dim=1)  # (2, Z)
        z = interpolate(ends[0], ends[1], len(clip.keypoints))
        frames = list(synthesizer.frames(content_of(clip), clip.keypoints, z))
        shown = np.linspace(0, len(frames) - 1, min(settings.key_frames, len(frames))).round().astype(int)
        rows.append([frames[row] for row in shown])
        videos.append(settings.out / f"figure4-{number}.mp4")
        write_video(videos[-1], frames, fps=clip.info.fps, times=clip.times)
    path = settings.out / "figure4.png"
    write_picture(path, _enlarged(grid(rows), synthesizer.size[0]))
    _record(path, {})
    return path, videos


@dataclass(frozen=True)
class LatentSummary:
    """What is written under a map of codes."""

    run: str
    num_codes: int
    num_clips: int
    probe_r2: float
    """R² of a linear probe from code to (a, b), on clips that it has not seen."""
    explained: tuple[float, float]
    """Shares of the variance that the two axes have."""


def figure5(
    dataset: str,
    settings: Figure5Settings,
    *,
    listener: Listener | None = None,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Path, dict[str, LatentSummary]]:
    """Map the upper encoders' codes of painted frames (Section 4.5): decoupled beside end-to-end, with a number each.

    Writes ``figure5.png`` and ``figure5.json`` to `settings.out`.
    """
    data = ClipDataset(dataset)
    named: dict[Method, str] = {"proposed": settings.decoupled, "end_to_end": settings.end_to_end}
    missing = tuple(method for method, run in named.items() if not run)
    taken = take_runs(dataset, settings, missing, listener=listener) if missing else {}
    runs = {method: run or str(taken[method]) for method, run in named.items()}
    maps, summaries = {}, {}
    for title, run in zip(("decoupled", "end to end"), runs.values(), strict=True):
        synthesizer = VideoSynthesizer.load(run)
        encoder = synthesizer.stage.encoders["upper"]
        maps[title] = map_codes(
            lambda images: encoder(images)[0],  # noqa: B023  called within this round
            data,
            count=settings.codes,
            seed=settings.seed,
            device=synthesizer.device,
            on_progress=on_clip,
        )
        summaries[title] = _summarize_map(run, maps[title])
    settings.out.mkdir(parents=True, exist_ok=True)
    path = settings.out / "figure5.png"
    draw_latent_maps(path, maps, summaries)
    facts = {title: asdict(summary) for title, summary in summaries.items()}
    (settings.out / "figure5.json").write_text(json.dumps(facts, indent=2))
    _record(path, {f"test/probe_r2/{title}": summary.probe_r2 for title, summary in summaries.items()})
    return path, summaries


def draw_latent_maps(path: Path, maps: dict[str, LatentMap], summaries: dict[str, LatentSummary]) -> None:
    """Write a picture of maps side by side, each dot in the colour that its garment was painted in."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(maps), 5.5), layout="constrained")
    for axes, (title, latent_map) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        coordinates, _ = principal_components(latent_map.codes)
        axes.scatter(*coordinates.T, c=latent_map.rgb, s=6, linewidths=0)
        summary = summaries[title]
        axes.set_title(title)
        axes.set_xlabel(
            f"linear probe to (a, b): R² = {summary.probe_r2:.3f} on unseen clips\n"
            f"{summary.num_codes:,} codes of {summary.num_clips} clips; "
            f"the axes have {100 * summary.explained[0]:.0f} and {100 * summary.explained[1]:.0f} % of the variance"
        )
        axes.set(xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
    figure.savefig(path, dpi=120)


def _summarize_map(run: str, latent_map: LatentMap) -> LatentSummary:
    _, explained = principal_components(latent_map.codes)
    num_clips = len(set(latent_map.clips.tolist()))
    return LatentSummary(
        run, len(latent_map.codes), num_clips, latent_map.probe_r2, (float(explained[0]), float(explained[1]))
    )


def _different_people(clips: list[ClipFile], count: int) -> list[ClipFile]:
    """The first clip of each person, then the second of each, and so on, up to a number of clips."""
    rank: dict[str, int] = {}
    ranks = []
    for clip in clips:
        rank[clip.info.person] = rank.get(clip.info.person, -1) + 1
        ranks.append(rank[clip.info.person])
    return [clips[number] for number in np.argsort(ranks, kind="stable")[:count]]


def _enlarged(picture: np.ndarray, frame_height: int) -> np.ndarray:
    return enlarge(picture, max(1, _MIN_HEIGHT // frame_height))


def _record(path: Path, metrics: dict[str, float]) -> None:
    """File a figure in MLflow."""
    tracker = tracking.start_run(path.stem, experiment=EXPERIMENT, parameters={})
    tracker.log_metrics(metrics, step=0)
    tracker.log_file(path)
    tracker.finish()
