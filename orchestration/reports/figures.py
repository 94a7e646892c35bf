"""Figures 2, 4 and 5 of the paper, from any dataset."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from orchestration.generation.code_plots import scatter_codes
from orchestration.reports.table1 import ReportSettings, ensure_methods, recorded_report
from orchestration.runtime.progress import ProgressListener
from orchestration.tracking.run_log import RunLog
from orchestration.training.recipes import MethodName
from posegen.datasets.clip_files import ClipFile
from posegen.datasets.clips import ClipDataset
from posegen.errors import counted
from posegen.evaluation.color_codes import CodeMap, FrameSampling, map_color_codes
from posegen.evaluation.metric_registry import metric_info
from posegen.inference.person import person_of_clip
from posegen.inference.renderers import load_renderer
from posegen.inference.video_synthesizer import VideoSynthesizer, interpolate_codes
from posegen.io.images import enlarge, titled_grid, write_picture
from posegen.io.video_writer import write_video
from posegen.metrics.latent import principal_components
from posegen.samples import REGIONS, usable_rows

_MIN_HEIGHT = 192  # smaller frames are enlarged in figures


@dataclass(frozen=True, kw_only=True)
class Figure2Settings:
    """Frames of Figure 2."""

    clips: int = 4
    """Clips, one row each, of different people where there are so many."""
    recolorings: int = 3
    """Recolorings of each kind: the upper garment, the lower one, both."""
    seed: int = 0
    """Seed of the choice of frames."""
    out: Path = Path("runs/report")
    """Folder for the figure."""


@dataclass(frozen=True, kw_only=True)
class Figure4Settings(ReportSettings):
    """Videos of Figure 4."""

    videos: int = 2
    """Test clips, of different people where there are so many."""
    key_frames: int = 10
    """Frames of each video in the figure."""
    seed: int = 0
    """Seed of the two random codes of each video."""


@dataclass(frozen=True, kw_only=True)
class Figure5Settings(ReportSettings):
    """Encoders that Figure 5 compares."""

    decoupled: str = ""
    """Run of the stage video_generator; by default that of the report's proposed method."""
    end_to_end: str = ""
    """Run of the stage end_to_end; by default that of the report."""
    codes: int = 7000
    """Recoloured training frames to encode."""
    seed: int = 0
    """Seed of the choice of frames."""


def figure2(dataset: str, settings: Figure2Settings) -> Path:
    """Make Figure 2: frames beside recolourings of the upper garment, the lower one and both. Returns its path."""
    data = ClipDataset(dataset)
    rng = np.random.default_rng(settings.seed)
    rows, titles = [], []
    for clip in _different_people(data.clips, settings.clips):
        frame = int(rng.choice(usable_rows(clip)))
        row = [clip.image(frame)]
        for scope, region in (("frame", "upper"), ("frame", "lower"), ("clip", "both")):
            recolored = data.recolorings(scope, region, clip)
            first = 1 if scope == "clip" else 0  # recoloring 0 of a clip is itself
            numbers = range(recolored.num_recolorings)[first:][: settings.recolorings]
            row += [recolored.image(frame, number) for number in numbers]
        rows.append(row)
        titles.append(f"{_name(clip)}: frame; upper garment, lower garment, both recoloured")
    path = settings.out / "figure2.png"
    with recorded_report("figure2", settings.out, settings) as log:
        write_picture(path, _enlarged(rows, titles))
        log.log_file(path)
    return path


def figure4(
    dataset: str,
    settings: Figure4Settings,
    *,
    run: str = "",
    listener: ProgressListener | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Path, list[Path]]:
    """Render videos whose colours change from one code to another (Section 4.4). Returns the figure and the videos.

    Args:
        dataset: Folder of a clip dataset.
        settings: Which videos, and where they go: ``figure4.png``, ``figure4-1.mp4``, …
        run: Run of a stage with colour codes; by default that of the report's proposed method.
        listener: Called with the progress of training, where that run is missing.
        on_progress: Called with the number of videos that are rendered and the number of all.
    """
    data, generator = ClipDataset(dataset), torch.Generator().manual_seed(settings.seed)
    clips = _different_people(data.split("test"), settings.videos)
    with recorded_report("figure4", settings.folder, settings) as log:
        taken = run or ensure_methods(dataset, settings, ["proposed"], listener=listener, parent=log)["proposed"]
        synthesizer = load_renderer(taken, VideoSynthesizer)
        rows, titles, videos = [], [], []
        for done, clip in enumerate(clips):
            on_progress(done, len(clips))
            frames = _change_color(synthesizer, clip, generator)
            shown = np.linspace(0, len(frames) - 1, min(settings.key_frames, len(frames))).round().astype(int)
            rows.append([frames[row] for row in shown])
            titles.append(f"{_name(clip)}: from one random colour code to another")
            videos.append(settings.folder / f"figure4-{done + 1}.mp4")
            videos[-1].parent.mkdir(parents=True, exist_ok=True)
            write_video(videos[-1], frames, fps=clip.info.fps, times=clip.times)
        on_progress(len(clips), len(clips))
        path = settings.folder / "figure4.png"
        write_picture(path, _enlarged(rows, titles))
        for file in (path, *videos):
            log.log_file(file)
    return path, videos


def _change_color(synthesizer: VideoSynthesizer, clip: ClipFile, generator: torch.Generator) -> list[np.ndarray]:
    """Render a clip with codes between two random ones, sampled as training codes: frames (H, W, 3)."""
    ends = torch.cat([synthesizer.codebook(region).sample(2, generator) for region in REGIONS], dim=1)  # (2, Z)
    z = interpolate_codes(ends[0], ends[1], len(clip.keypoints))
    return list(synthesizer.frames(person_of_clip(clip), clip.keypoints, z))


@dataclass(frozen=True)
class LatentSummary:
    """Facts under a map of codes."""

    run: str
    num_codes: int
    num_clips: int
    probe_r2: float
    """R² of a linear probe from code to (a, b), on clips that it was not fitted on."""
    explained: tuple[float, float]
    """Shares of the variance along the two axes."""


def figure5(
    dataset: str,
    settings: Figure5Settings,
    *,
    listener: ProgressListener | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Path, dict[str, LatentSummary]]:
    """Map the upper encoders' codes of recoloured frames (Section 4.5): decoupled beside end-to-end.

    Writes ``figure5.png`` and ``figure5.json`` to the settings' folder.
    """
    data = ClipDataset(dataset)
    with recorded_report("figure5", settings.folder, settings) as log:
        runs = _compared_runs(dataset, settings, listener, log)
        maps = {title: _map_upper(run, data, settings, on_progress) for title, run in runs.items()}
        summaries = {title: _summarize_map(runs[title], latent_map) for title, latent_map in maps.items()}
        picture, facts = settings.folder / "figure5.png", settings.folder / "figure5.json"
        settings.folder.mkdir(parents=True, exist_ok=True)
        plot_latent_maps(picture, maps, summaries)
        facts.write_text(json.dumps({title: asdict(summary) for title, summary in summaries.items()}, indent=2))
        probes = {f"test/{title}/probe_r2": summary.probe_r2 for title, summary in summaries.items()}
        log.log_metrics(probes, step=0, group="test")
        for file in (picture, facts):
            log.log_file(file)
    return picture, summaries


def _compared_runs(
    dataset: str, settings: Figure5Settings, listener: ProgressListener | None, parent: RunLog
) -> dict[str, str]:
    """Return the compared runs; those that were not named are the report's."""
    named: dict[MethodName, str] = {"proposed": settings.decoupled, "end_to_end": settings.end_to_end}
    missing = tuple(method for method, run in named.items() if not run)
    taken = ensure_methods(dataset, settings, missing, listener=listener, parent=parent) if missing else {}
    runs = [run or str(taken[method]) for method, run in named.items()]
    return dict(zip(("decoupled", "end to end"), runs, strict=True))


def _map_upper(
    run: str, data: ClipDataset, settings: Figure5Settings, on_progress: Callable[[int, int], None]
) -> CodeMap:
    """Map the codes of a run's upper encoder."""
    synthesizer = load_renderer(run, VideoSynthesizer)
    encoder = synthesizer.stage.encoders["upper"]
    return map_color_codes(
        lambda images: encoder(images.to(synthesizer.device))[0],
        data,
        FrameSampling(count=settings.codes, seed=settings.seed),
        on_progress=on_progress,
    )


def plot_latent_maps(path: Path, maps: dict[str, CodeMap], summaries: dict[str, LatentSummary]) -> None:
    """Plot maps side by side, each dot in the colour of its garment."""
    from matplotlib.figure import Figure

    probe = metric_info("probe_r2")
    figure = Figure(figsize=(5.5 * len(maps), 5.5), layout="constrained")
    for axes, (title, latent_map) in zip(figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True):
        scatter_codes(axes, latent_map.codes, latent_map.rgb)
        summary = summaries[title]
        axes.set_title(title)
        axes.set_xlabel(
            f"linear probe to (a, b): R² = {probe.format(summary.probe_r2)} on held-out clips\n"
            f"{counted(summary.num_codes, 'code')} of {counted(summary.num_clips, 'clip')}; "
            f"the axes have {100 * summary.explained[0]:.0f} and {100 * summary.explained[1]:.0f} % of the variance"
        )
    figure.savefig(path, dpi=120)


def _summarize_map(run: str, latent_map: CodeMap) -> LatentSummary:
    _, explained = principal_components(latent_map.codes)
    num_clips = len(set(latent_map.clips.tolist()))
    return LatentSummary(
        run, len(latent_map.codes), num_clips, latent_map.probe_r2, (float(explained[0]), float(explained[1]))
    )


def _different_people(clips: list[ClipFile], count: int) -> list[ClipFile]:
    """Choose the first clip of each person, then the second of each, and so on, up to a number of clips."""
    rank: dict[str, int] = {}
    ranks = []
    for clip in clips:
        rank[clip.info.person] = rank.get(clip.info.person, -1) + 1
        ranks.append(rank[clip.info.person])
    return [clips[number] for number in np.argsort(ranks, kind="stable")[:count]]


def _enlarged(rows: list[list[np.ndarray]], titles: list[str]) -> np.ndarray:
    """Lay frames out in titled rows; small frames are enlarged, the letters are not."""
    factor = max(1, _MIN_HEIGHT // rows[0][0].shape[0])
    return titled_grid([[enlarge(frame, factor) for frame in row] for row in rows], titles)


def _name(clip: ClipFile) -> str:
    return f"{clip.info.person}, {clip.info.action.replace('_', ' ')}"
