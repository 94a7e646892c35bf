"""The methods that the paper compares, each as the runs that it takes.

Runs have fixed names, so that a report takes what is trained and trains what is missing. Runs that do not need each
other are trained side by side: small networks use one core better than two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Any, Literal

from orchestration.runtime.progress import ProgressListener
from orchestration.tracking import tracker as tracking
from orchestration.tracking.tracker import Tracker
from orchestration.training.train import TrainSettings, train
from posegen.io.storage import StorageFolder
from posegen.samples import REGIONS
from posegen.stages import STAGES, Stage

Method = Literal["proposed", "no_restoration", "no_augmentation", "end_to_end", "deformable_gan"]
TITLES: dict[Method, str] = {
    "proposed": "Proposed",
    "no_restoration": "No restoration of maps",
    "no_augmentation": "No colour augmentation",
    "end_to_end": "End to end",
    "deformable_gan": "Deformable GAN",
}


@dataclass(frozen=True)
class Training:
    """One run of one stage."""

    stage: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the preset."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Fields that name another run, and which."""

    def config(self, preset: str, runs: StorageFolder) -> Stage.Config:
        """The configuration, when the runs that it needs lie in `runs`."""
        others: dict[str, Any] = {name: str(runs / run) for name, run in self.needs.items()}
        return replace(STAGES[self.stage].presets[preset], **self.changes, **others)


def trainings(methods: Sequence[str]) -> dict[str, Training]:
    """Every run that these methods, or a stage alone, take, by name; the last one's name is the method's."""
    known = _all_trainings()
    taken: dict[str, Training] = {}
    missing = list(methods)
    while missing:
        name = missing.pop()
        taken[name] = known[name]
        missing += known[name].needs.values()
    return {name: known[name] for name in known if name in taken}


def _all_trainings() -> dict[str, Training]:
    plain = {"color_augmentation": False}
    encoders = {f"{region}_encoder": f"{region}_encoder" for region in REGIONS}
    plain_encoders = {f"{region}_encoder": f"{region}_encoder_plain" for region in REGIONS}
    restoration = {"restoration": "feature_restoration"}
    return {
        **{f"{region}_encoder": Training("color_encoder", {"region": region}) for region in REGIONS},
        **{f"{region}_encoder_plain": Training("color_encoder", {"region": region, **plain}) for region in REGIONS},
        "feature_restoration": Training("feature_restoration"),
        "proposed": Training("video_generator", needs={**encoders, **restoration}),
        "end_to_end": Training("end_to_end", needs=restoration),
        "no_restoration": Training("video_generator", needs=encoders),
        # With one colouring of each clip there are no two to be compared.
        "no_augmentation": Training(
            "video_generator",
            {**plain, "colorings": 1, "lambda_contrast": 0.0},
            {**plain_encoders, **restoration},
        ),
        "deformable_gan": Training("deformable_gan"),
        "actor": Training("actor"),
        "behavior": Training("behavior"),
        "behavior_flow": Training("behavior_flow", needs={"behavior": "behavior"}),
    }


def train_methods(
    dataset: str,
    methods: Sequence[Method],
    preset: str,
    settings: TrainSettings,
    *,
    parallel: int = 1,
    listener: ProgressListener | None = None,
    parent: Tracker = tracking.OFF,
) -> dict[Method, StorageFolder]:
    """Train what these methods still lack, `parallel` runs at a time, and return the run of each.

    Args:
        dataset: Folder of a clip dataset with all its colours.
        methods: Which.
        preset: Of every stage.
        settings: Of every run, but for its name.
        parallel: Runs at a time; each gets its share of the CPUs.
        listener: Hears of all runs.
        parent: MLflow run under which they are filed.

    Raises:
        PosegenError: As `train`; what other runs have learned until then is kept.
    """
    runs = StorageFolder(settings.runs)
    plan = trainings(methods)

    def run(name: str) -> None:
        config = plan[name].config(preset, runs)
        train(plan[name].stage, config, dataset, replace(settings, name=name), listener=listener, parent=parent)

    order = TopologicalSorter({name: training.needs.values() for name, training in plan.items()})
    if parallel == 1:
        for name in order.static_order():
            run(name)
    else:
        _run_side_by_side(order, list(plan), run, parallel)
    return {method: runs / method for method in methods}


def _run_side_by_side(
    order: TopologicalSorter[str], names: list[str], run: Callable[[str], None], parallel: int
) -> None:
    """Call `run` with every name when those that it needs are done: of several that could start, the first in `names`.

    Methods stand there with the longest first, so that no worker is left with a long one while others have none.
    """
    order.prepare()
    with ThreadPoolExecutor(parallel) as pool:
        pending: dict[Future[None], str] = {}
        ready: list[str] = []
        while order.is_active():
            ready = sorted([*ready, *order.get_ready()], key=names.index)
            while ready and len(pending) < parallel:
                name = ready.pop(0)
                pending[pool.submit(run, name)] = name
            finished, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                future.result()
                order.done(pending.pop(future))
