"""Checkpoints: safetensors for tensors, JSON for the rest, and no pickle anywhere.

A checkpoint is a folder with ``tensors.safetensors`` (networks and optimizers) and ``checkpoint.json`` (stage,
configuration, progress, data). The JSON is written last and names the tensors' size, so a folder without it, or
with another size, is not a checkpoint: a run that was killed while saving has the one before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from posegen.errors import CheckpointError
from posegen.io.records import check_size, parse_json
from posegen.io.storage import StorageFolder
from posegen.stages import STAGES
from posegen.stages.stage import Stage

S = TypeVar("S", bound=Stage)
_TENSORS = "tensors.safetensors"
_FACTS = "checkpoint.json"
_BEST = "best.json"
_log = logging.getLogger("posegen.checkpoints")
LAST, BEST = "last", "best"
"""Checkpoint of a run to use: the newest, or the best one."""
_choice: ContextVar[str] = ContextVar("checkpoint", default=LAST)
_ADAM_SLOTS = 2  # moments that Adam keeps of every parameter


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Progress of a run, and the data that it reads."""

    epoch: int
    """Epochs that are finished."""
    step: int
    """Steps taken since the run began."""
    data_fingerprint: str
    """Fingerprint of the dataset."""
    size: tuple[int, int] | None
    """Height and width of its frames; None where it has none."""
    epoch_step: int = 0
    """Steps taken of the epoch that is not finished."""
    losses: dict[str, float] = field(default_factory=dict)
    """Their losses, added up; mean over the workers."""


@dataclass(frozen=True, kw_only=True)
class BestEpoch:
    """The content of ``best.json``: the epoch of a run that is best by a metric of validation."""

    epoch: int
    metric: str
    value: float

    def is_beaten_by(self, value: float, *, is_raised: bool) -> bool:
        """Return True if a value is better."""
        return value > self.value if is_raised else value < self.value


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """The content of ``checkpoint.json``."""

    stage: str
    config: dict[str, Any]
    progress: TrainingProgress
    optimizers: dict[str, list[dict[str, Any]]]
    """Groups of parameters of each."""
    posegen: str
    torch: str
    tensor_bytes: int


@dataclass(frozen=True)
class Snapshot:
    """State that a checkpoint is written from."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    progress: TrainingProgress


def save_checkpoint(folder: StorageFolder, stage: Stage, progress: TrainingProgress) -> None:
    """Write a stage with all that its training needs to go on."""
    write_snapshot(folder, take_snapshot(stage, progress, copy=False))


def take_snapshot(stage: Stage, progress: TrainingProgress, *, copy: bool = True) -> Snapshot:
    """Take what `write_snapshot` needs, on the CPU; with `copy`, the stage may be trained further meanwhile."""
    tensors = {f"networks/{name}": tensor for name, tensor in stage.state_dict().items()}
    optimizers: dict[str, list[dict[str, Any]]] = {}
    for name, optimizer in stage.optimizers.items():
        state = optimizer.state_dict()
        optimizers[name] = state["param_groups"]
        for index, slots in state["state"].items():
            tensors |= {f"optimizers/{name}/{index}/{slot}": value for slot, value in slots.items()}
    facts = {
        "stage": stage.name,
        "config": asdict(stage.config),
        "progress": asdict(progress),
        "optimizers": deepcopy(optimizers) if copy else optimizers,
        "posegen": version("posegen"),
        "torch": torch.__version__,
    }
    on_cpu = {name: tensor.detach().to("cpu", copy=copy).contiguous() for name, tensor in tensors.items()}
    return Snapshot(on_cpu, facts, progress)


def write_snapshot(folder: StorageFolder, snapshot: Snapshot) -> None:
    """Write a checkpoint: the tensors, and then the facts, without which it does not count.

    Raises CheckpointError where it cannot be written, on a full disk for example.
    """
    content = save_tensors(snapshot.tensors)
    try:
        folder.write_bytes(_TENSORS, content)
        folder.write_json(_FACTS, {**snapshot.facts, "tensor_bytes": len(content)})
    except OSError as error:
        raise CheckpointError(f"the checkpoint {folder} cannot be written: {error}") from error


def checkpoint_bytes(stage: Stage) -> int:
    """Estimate the bytes of a checkpoint of a stage once it is trained; a stage on the meta device will do."""
    trained = {
        id(parameter)
        for optimizer in stage.optimizers.values()
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    return sum(x.nbytes * (1 + _ADAM_SLOTS * (id(x) in trained)) for x in (*stage.parameters(), *stage.buffers()))


def load_progress(folder: StorageFolder) -> TrainingProgress:
    """Read how far the checkpoint's run had come."""
    return _checked_progress(folder, _facts(folder))


def load_config(folder: StorageFolder) -> tuple[type[Stage], Stage.Config]:
    """Read which stage a checkpoint is of, and its configuration. Raises CheckpointError for one that is unknown."""
    return _read_config(folder, _facts(folder))


def load_stage(folder: StorageFolder, expected: type[S] = Stage) -> S:  # type: ignore[assignment]
    """Build the stage of a checkpoint with its weights, in evaluation mode on the CPU.

    Raises CheckpointError where there is none, or where its stage is neither `expected` nor a kind of it.
    """
    stage = _build_stage(folder, _facts(folder), (expected,))
    assert isinstance(stage, expected)
    return stage


def load_frame_stage(folder: StorageFolder, expected: tuple[type[Stage], ...]) -> tuple[Stage, tuple[int, int]]:
    """Build a stage as `load_stage` does, and read height and width of the frames that it was trained on.

    Raises CheckpointError where the stage is of none of the `expected` kinds, or was trained on data without frames.
    """
    facts = _facts(folder)
    stage = _build_stage(folder, facts, expected)
    size = _checked_progress(folder, facts).size
    if size is None:
        raise CheckpointError(f"{folder} was trained on data without frames")
    return stage, size


def load_training_state(folder: StorageFolder, stage: Stage) -> None:
    """Bring a stage of the same configuration to the state in which the checkpoint was written.

    Raises CheckpointError where the checkpoint is of something else; the stage is then as it was.
    """
    groups = _facts(folder).optimizers
    networks, slots = _load_tensors(folder)
    _check_shapes(folder, stage.state_dict(), networks)
    for name, optimizer in stage.optimizers.items():
        _check_optimizer(folder, name, optimizer, groups.get(name, []), slots.get(name, {}))
    stage.load_state_dict(networks)
    for name, optimizer in stage.optimizers.items():
        optimizer.load_state_dict({"state": slots.get(name, {}), "param_groups": groups[name]})
        _lay_out_as_parameters(optimizer)


def _lay_out_as_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer's state the memory layout of its parameters.

    Tensors are read one row after the other, and fused optimizers go through memory: those of a network whose channels
    lie last would be paired with other weights.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def latest_checkpoint(run: StorageFolder) -> StorageFolder | None:
    """Return the newest whole checkpoint of a run, None before the first."""
    checkpoints = run / "checkpoints"
    for name in reversed(checkpoints.folders()):
        if is_whole(checkpoints / name):
            return checkpoints / name
    return None


def epoch_folder(epoch: int) -> str:
    """Return the name of the checkpoint at the end of an epoch, counted from 1; names sort as epochs do."""
    return f"epoch-{epoch:04d}"


def find_best(run: StorageFolder) -> BestEpoch | None:
    """Return the recorded best epoch of a run; None without a record. Raises CheckpointError if the record is
    damaged."""
    if not run.exists(_BEST):
        return None
    return parse_json(BestEpoch, run.read(_BEST), f"{run}/{_BEST}", CheckpointError)


def save_best(run: StorageFolder, best: BestEpoch) -> None:
    """Note a run's best epoch."""
    run.write_json(_BEST, asdict(best))


@contextmanager
def choosing_checkpoint(choice: str) -> Iterator[None]:
    """Let runs stand for a certain checkpoint in this context, see `find_checkpoint`.

    Args:
        choice: ``last``, ``best`` by the metric of validation that ``best.json`` names, or the number of an epoch.

    Raises CheckpointError where it is none of these.
    """
    if choice not in (LAST, BEST) and not choice.isdecimal():
        raise CheckpointError(f"got the checkpoint {choice!r}, expected best, last or the number of an epoch")
    token = _choice.set(choice)
    try:
        yield
    finally:
        _choice.reset(token)


def _chosen(run: StorageFolder) -> StorageFolder | None:
    """The checkpoint of a run that is chosen in this context; the newest where no best one is noted."""
    choice = _choice.get()
    best = find_best(run) if choice == BEST else None
    if best is None and not choice.isdecimal():
        return latest_checkpoint(run)
    name = epoch_folder(best.epoch if best else int(choice))
    if is_whole(run / "checkpoints" / name):
        if best is not None:
            _tell_best(run.uri, best)
        return run / "checkpoints" / name
    if best is not None:
        return latest_checkpoint(run)
    raise CheckpointError(f"{run} has no {name}, but {', '.join((run / 'checkpoints').folders()) or 'nothing'}")


@cache
def _tell_best(run: str, best: BestEpoch) -> None:
    """Say once which epoch stands for a run."""
    name = StorageFolder(run).name
    _log.info("of %s epoch %d is taken, the best by %s (%.4g)", name, best.epoch, best.metric, best.value)


def find_checkpoint(place: StorageFolder | str) -> StorageFolder:
    """Return the checkpoint that a run folder stands for, see `choosing_checkpoint`, or a checkpoint folder itself.

    Without a choice it is the newest. Raises CheckpointError.
    """
    folder = StorageFolder(place)
    if folder.exists(_FACTS):
        return folder
    found = _chosen(folder)
    if found is None:
        raise CheckpointError(f"no checkpoint in {folder}; train one with `posegen train`")
    return found


def is_whole(folder: StorageFolder) -> bool:
    """Return whether a folder holds a complete checkpoint."""
    if not folder.exists(_FACTS) or not folder.exists(_TENSORS):
        return False
    filesystem, path = folder.resolve(_TENSORS)
    return filesystem.get_file_info(path).size == _facts(folder).tensor_bytes


def _facts(folder: StorageFolder) -> _Facts:
    if not folder.exists(_FACTS):
        raise CheckpointError(f"no checkpoint in {folder}")
    place = f"{folder}/{_FACTS}"
    content = parse_json(dict[str, Any], folder.read(_FACTS), place, CheckpointError)
    if isinstance(content.get("progress"), dict):
        content["progress"].pop("finished_at", None)  # which version 0.1 wrote
    return parse_json(_Facts, json.dumps(content), place, CheckpointError)


def _checked_progress(folder: StorageFolder, facts: _Facts) -> TrainingProgress:
    if facts.progress.size is not None:
        check_size(facts.progress.size, f"{folder}/{_FACTS}", CheckpointError)
    return facts.progress


def _read_config(folder: StorageFolder, facts: _Facts) -> tuple[type[Stage], Stage.Config]:
    """Look up the stage and parse its configuration. Raises CheckpointError for a stage that is unknown."""
    stage = STAGES.get(facts.stage)
    if stage is None:
        raise CheckpointError(f"{folder} is of the stage {facts.stage!r}, expected one of {sorted(STAGES)}")
    values = json.dumps(stage.Config.upgrade(facts.config))
    return stage, parse_json(stage.Config, values, f"config in {folder}/{_FACTS}", CheckpointError)


def _build_stage(folder: StorageFolder, facts: _Facts, expected: tuple[type[Stage], ...]) -> Stage:
    """Build a stage with its weights. Raises CheckpointError where it is of none of the `expected` kinds."""
    stage, config = _read_config(folder, facts)
    if not issubclass(stage, expected):
        fitting = [name for name, other in STAGES.items() if issubclass(other, expected)]
        raise CheckpointError(f"{folder} is of the stage {stage.name!r}, expected {' or '.join(map(repr, fitting))}")
    networks, _ = _load_tensors(folder)
    with torch.device("meta"):  # shapes alone: a configuration that lies may ask for more memory than there is
        _check_shapes(folder, stage(config).state_dict(), networks)
    loaded = stage(config)
    loaded.load_state_dict(networks)
    return loaded.eval()


def _load_tensors(folder: StorageFolder) -> tuple[dict[str, Tensor], dict[str, dict[int, dict[str, Tensor]]]]:
    """Read the file of tensors. Raises CheckpointError where it is none of a checkpoint."""
    try:
        return _split(load_tensors(folder.read(_TENSORS)))
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}/{_TENSORS} is damaged or not a checkpoint's: {error}") from error


def _split(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, dict[int, dict[str, Tensor]]]]:
    """Divide the file's tensors into the networks' state and the optimizers' slots, by name and parameter."""
    networks: dict[str, Tensor] = {}
    slots: dict[str, dict[int, dict[str, Tensor]]] = {}
    for name, tensor in tensors.items():
        match name.split("/"):
            case ["networks", rest]:
                networks[rest] = tensor
            case ["optimizers", optimizer, index, slot]:
                slots.setdefault(optimizer, {}).setdefault(int(index), {})[slot] = tensor
            case _:
                raise CheckpointError(f"it has a tensor {name!r}")
    return networks, slots


def _check_shapes(folder: StorageFolder, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError where tensors are not those of the stage."""
    wanted, got = ({name: (tensor.shape, tensor.dtype) for name, tensor in x.items()} for x in (own, given))
    differing = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
    if differing:
        name = differing[0]
        described = [f"{x[name][1]} {tuple(x[name][0])}" if name in x else "nothing" for x in (got, wanted)]
        raise CheckpointError(
            f"{folder} does not fit its own configuration: it has {described[0]} as {name}, expected {described[1]}"
            + (f", and {len(differing) - 1} more" if len(differing) > 1 else "")
        )


def _check_optimizer(
    folder: StorageFolder,
    name: str,
    optimizer: torch.optim.Optimizer,
    groups: list[dict[str, Any]],
    slots: dict[int, dict[str, Tensor]],
) -> None:
    """Raise CheckpointError where what an optimizer remembers is not of its parameters."""
    state = optimizer.state_dict()["param_groups"]
    fits = [(group.keys(), group["params"]) for group in state] == [(g.keys(), g.get("params")) for g in groups]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, of_parameter in slots.items():
        shapes = {tensor.shape for tensor in of_parameter.values()}
        fits = fits and index < len(parameters) and shapes <= {torch.Size(), parameters[index].shape}
    if not fits:
        raise CheckpointError(f"{folder} does not fit its own configuration: its optimizer {name!r} is another one")
