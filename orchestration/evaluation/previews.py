"""Pictures and videos of a run, made by the protocol of its stage."""

from __future__ import annotations

from collections.abc import Callable

from orchestration.evaluation.video import EvaluateSettings, evaluate_video
from orchestration.generation.motions import show_motions
from posegen.checkpoints.checkpoint import find_checkpoint, load_config
from posegen.stages.stage import Protocol


def preview_run(run: str, dataset: str) -> None:
    """Generate with a run a few videos, or motions, and record them in its folder.

    Runs that are measured by batches, and those of behaviour, have pictures of every epoch already.
    """
    stage, _ = load_config(find_checkpoint(run))
    preview = _PREVIEWS.get(stage.protocol)
    if preview is not None:
        preview(run, dataset)


def _preview_videos(run: str, dataset: str) -> None:
    evaluate_video(run, dataset, EvaluateSettings(max_clips=2, swaps=1, perceptual=()))


def _preview_motions(run: str, dataset: str) -> None:
    show_motions(run)


_PREVIEWS: dict[Protocol, Callable[[str, str], None]] = {"video": _preview_videos, "motion": _preview_motions}
