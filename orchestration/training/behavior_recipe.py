"""Trains the flow of behaviour codes: from a run of the behaviour net, or with one that is trained before it."""

from __future__ import annotations

from dataclasses import fields, replace

from orchestration.runtime.progress import ProgressListener
from orchestration.training.runs import find_record
from orchestration.training.train import TrainSettings, check, named, open_dataset, train
from posegen.io.storage import StorageFolder
from posegen.stages import Behavior, BehaviorFlow
from posegen.stages.behavior_stage import BehaviorStage

_OWN = ("num_epochs", "lr")  # of each stage: how long and how fast it learns


def train_flow(
    config: BehaviorFlow.Config,
    dataset: str,
    settings: TrainSettings,
    preset: str,
    *,
    listener: ProgressListener | None = None,
) -> StorageFolder:
    """Train the flow and return the folder of its run.

    Where the configuration names no run of the behaviour net, that of the flow's run goes on to be used; a new one
    gets its own, trained before it as ``NAME-behavior`` with the preset's settings and those of the flow that both
    stages have.

    Args:
        config: Of the flow.
        dataset: Folder of a dataset of motions.
        settings: How to train both.
        preset: Of the behaviour net, where one is trained.
        listener: Hears of the progress.

    Raises:
        PosegenError: As `train`; before the behaviour net is trained if the flow could not be.
    """
    settings = named(BehaviorFlow.name, settings)
    if not config.behavior:
        known = find_record(StorageFolder(settings.runs) / settings.name)
        if known is None:
            check(BehaviorFlow.name, config, open_dataset(BehaviorFlow.name, dataset), workers=settings.workers)
            before = replace(settings, name=f"{settings.name}-behavior")
            behavior = str(train(Behavior.name, _behavior_config(config, preset), dataset, before, listener=listener))
        else:
            behavior = known.config.get("behavior", "")
        config = replace(config, behavior=behavior)
    return train(BehaviorFlow.name, config, dataset, settings, listener=listener)


def _behavior_config(flow: BehaviorFlow.Config, preset: str) -> Behavior.Config:
    """The preset of the behaviour net, with what the flow's configuration says of both."""
    shared = {field.name: getattr(flow, field.name) for field in fields(BehaviorStage.Config)}
    config = Behavior.presets[preset]
    assert isinstance(config, Behavior.Config)
    return replace(config, **{name: value for name, value in shared.items() if name not in _OWN})
