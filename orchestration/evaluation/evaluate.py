"""Measures a run of any stage, by the protocol that the stage names."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any

from orchestration.evaluation.batches import evaluate_batches
from orchestration.evaluation.behavior import BehaviorBasis, evaluate_behavior
from orchestration.evaluation.motion import MotionBasis, MotionEvaluateSettings, evaluate_motion
from orchestration.evaluation.records import EvaluationRecord
from orchestration.evaluation.video import EvaluateSettings, evaluate_video
from posegen.checkpoints.checkpoint import find_checkpoint, load_config
from posegen.checkpoints.run_record import dataset_of
from posegen.errors import EvaluationError
from posegen.evaluation.behavior import BehaviorProtocol


def evaluate_run(
    run: str,
    dataset: str = "",
    settings: EvaluateSettings | None = None,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationRecord[Any]:
    """Measure a run by its stage's protocol, see `posegen.stages.Stage.protocol`, and save the record.

    Args:
        run: Run of any stage.
        dataset: What the stage reads; by default the dataset that the run was trained on.
        settings: Of the protocol ``video``, by default `EvaluateSettings`. ``batches`` takes the split of them;
            ``motion`` and ``behavior`` are measured with the defaults of their own commands.
        on_progress: Called with the number of parts that are done and the number of all.

    Raises:
        EvaluationError: A setting was changed that the run's protocol does not have.
        PosegenError: As the functions of the protocols.
    """
    settings = settings or EvaluateSettings()
    dataset = dataset or dataset_of(run)
    stage, _ = load_config(find_checkpoint(run))
    match stage.protocol:
        case "video":
            return evaluate_video(run, dataset, settings, on_progress=on_progress)
        case "batches":
            _refuse_changes(settings, run, f"{stage.name} is measured with --split alone", except_for=("split",))
            return evaluate_batches(run, dataset, settings.split, on_progress=on_progress)
        case "motion":
            _refuse_changes(settings, run, f"see `{MotionBasis.command} --help` for those of {stage.name}")
            return evaluate_motion(run, MotionEvaluateSettings(), dataset=dataset, on_progress=on_progress)
        case "behavior":
            _refuse_changes(settings, run, f"see `{BehaviorBasis.command} --help` for those of {stage.name}")
            return evaluate_behavior(run, BehaviorProtocol(), dataset=dataset, on_progress=on_progress)


def _refuse_changes(settings: EvaluateSettings, run: str, remedy: str, except_for: Collection[str] = ()) -> None:
    """Raise EvaluationError for a setting of videos that was changed for a run that renders none."""
    defaults = EvaluateSettings()
    for field in fields(settings):
        if field.name not in except_for and getattr(settings, field.name) != getattr(defaults, field.name):
            option = f"--{field.name.replace('_', '-')}"
            raise EvaluationError(f"{option} is an option of runs that render videos, which {run} does not: {remedy}")
