"""Evaluation records: the scores of a run by one protocol, in the run's folder and in MLflow.

Every protocol writes the same ``RUN/evaluation/evaluation.json``; what differs is its `Basis`, which says what the
scores depend on. Records of two runs compare where their bases agree.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from orchestration.tracking.mirror import recorded
from posegen.checkpoints.checkpoint import find_checkpoint, load_config
from posegen.errors import EvaluationError
from posegen.io.records import parse_json
from posegen.io.storage import StorageFolder
from posegen.metrics.motion import repeated
from posegen.metrics.statistics import bootstrap_interval
from posegen.stages.stage import Protocol

RECORD_FILE = "evaluation.json"
_PHASES: dict[Protocol, str] = {"batches": "test", "video": "test", "motion": "motion", "behavior": "behavior"}
"""Phase under which MLflow has a protocol's scores."""


@dataclass(frozen=True)
class Score:
    """The value of a metric: a mean and how certain it is."""

    mean: float
    interval: tuple[float, float] | None = None
    """95 % confidence interval of the mean; None for a single value."""
    published_interval: float | None = None
    """1.96 times the variance over seeds, which ACTOR's tables print behind ±; None where there are no seeds."""

    @classmethod
    def of_clips(cls, values: Sequence[float]) -> Score:
        """Average over clips, with a bootstrap interval; one clip has none."""
        return cls(float(np.mean(values)), bootstrap_interval(np.array(values)) if len(values) > 1 else None)

    @classmethod
    def of_seeds(cls, values: Sequence[float]) -> Score:
        """Average over repeats with different seeds, with the interval mean ± 1.96 s/√n."""
        found = repeated(np.array(values))
        interval = (found.mean - found.confidence, found.mean + found.confidence)
        return cls(found.mean, interval, found.published_interval)


@dataclass(frozen=True, kw_only=True)
class Basis(ABC):
    """Settings that the scores of a protocol depend on, besides the run and its data. A subclass adds the fields."""

    kind: ClassVar[Protocol]
    command: ClassVar[str] = "posegen evaluate"
    """The command that writes such records."""
    subject: ClassVar[str]
    """Subject of the measurement, for messages."""
    must_agree: ClassVar[Mapping[str, str]]
    """Fields that are equal in records that compare, and what differs where they are not."""
    old_file: ClassVar[str] = ""
    """Name of the records that older versions of posegen wrote."""

    @abstractmethod
    def describe(self, data: str) -> list[str]:
        """Say in sentences what the scores depend on; `data` is the fingerprint of the dataset."""

    @property
    def tags(self) -> dict[str, str]:
        """Facts that MLflow has beside the scores."""
        return {}


_B = TypeVar("_B", bound=Basis)


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord(Generic[_B]):
    """The scores of a run by one protocol, and what they depend on: the content of ``evaluation.json``."""

    run: str
    stage: str
    dataset: str
    data_fingerprint: str
    basis: _B
    scores: dict[str, Score]
    """Scores by metric, with the names of `posegen.evaluation.metric_registry`."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Metrics that were not measured, with the reason."""
    details: dict[str, Any] = field(default_factory=dict)
    """Values of single clips and the like, as plain data."""

    @property
    def folder(self) -> str:
        """Folder of the record, and of pictures that belong to it."""
        return str(StorageFolder(self.run) / "evaluation")

    @property
    def phase(self) -> str:
        """Phase under which MLflow has the scores: ``test`` for ``test/ssim``."""
        return _PHASES[self.basis.kind]

    @property
    def notes(self) -> list[str]:
        """Remarks on the scores, in sentences."""
        left_out = [f"{name} was not measured: {reason}" for name, reason in self.left_out.items()]
        return [*self.basis.describe(self.data_fingerprint), *left_out]

    def logged(self) -> dict[str, float]:
        """Return the scores and the ends of their intervals, as MLflow has them: ``test/ssim``, ``test/ssim.low``, …"""
        means = {f"{self.phase}/{name}": score.mean for name, score in self.scores.items()}
        intervals = {f"{self.phase}/{name}": score.interval for name, score in self.scores.items() if score.interval}
        ends = {
            f"{name}.{end}": x for name, both in intervals.items() for end, x in zip(("low", "high"), both, strict=True)
        }
        return means | ends


def score_name(source: str, metric: str) -> str:
    """Name a metric of a source of motions: ``transfer_accuracy``; generated motions, the usual ones, are not named."""
    return metric if source == "generated" else f"{source}_{metric}"


def scores_of_seeds(values: Mapping[Any, Mapping[str, Sequence[float]]]) -> dict[str, Score]:
    """Average values that were measured with several seeds, by source and metric."""
    return {
        score_name(source, metric): Score.of_seeds(of_metric)
        for source, metrics in values.items()
        for metric, of_metric in metrics.items()
    }


def check_protocol(run: str, kind: Protocol) -> None:
    """Raise EvaluationError for a run whose stage is measured by another protocol."""
    stage, _ = load_config(find_checkpoint(run))
    if stage.protocol != kind:
        raise EvaluationError(f"{run} is of the stage {stage.name!r}: measure it with `posegen evaluate {run}`")


def save_evaluation(record: EvaluationRecord[Any]) -> None:
    """Write a record to its run's folder, with the folder's pictures among the artifacts, and update MLflow."""
    StorageFolder(record.folder).write_json(RECORD_FILE, {"protocol": record.basis.kind, **asdict(record)})
    with recorded(record.run) as log:
        log.log_metrics(record.logged(), step=0, group=record.phase)
        log.set_tags(record.basis.tags)
        log.log_own_files("evaluation")


def read_evaluation(run: str, basis: type[_B]) -> EvaluationRecord[_B]:
    """Read the record of a run by the protocol of a basis.

    Raises EvaluationError where there is none, or where it is damaged.
    """
    folder = StorageFolder(run) / "evaluation"
    content = folder.read_json(RECORD_FILE) if folder.exists(RECORD_FILE) else None
    if isinstance(content, dict) and content.pop("protocol", None) == basis.kind:
        name = RECORD_FILE
    elif basis.old_file and folder.exists(basis.old_file):
        name = basis.old_file
        content = _convert_old(folder.read_json(name), basis, f"{folder}/{name}")
    else:
        raise EvaluationError(f"{run} has no scores of {basis.subject}: measure it with `{basis.command} {run}`")
    kind: Any = EvaluationRecord[basis]  # type: ignore[valid-type]
    record: EvaluationRecord[_B] = parse_json(kind, json.dumps(content), f"{folder}/{name}", EvaluationError)
    return record


def _convert_old(content: Any, basis: type[Basis], place: str) -> dict[str, Any]:
    """Bring the content of an older version's record into today's form. Raises EvaluationError where it is none."""
    try:
        scores = {
            score_name(source, metric): {
                "mean": score["mean"],
                "interval": [score["mean"] - score["confidence"], score["mean"] + score["confidence"]],
                "published_interval": score["published_interval"],
            }
            for source, metrics in content["scores"].items()
            for metric, score in metrics.items()
        }
        return {
            **{name: content[name] for name in ("run", "dataset", "data_fingerprint")},
            "stage": content.get("stage", "actor"),  # records of motions did not name it
            "basis": {
                one.name: content[one.name] for one in fields(basis) if one.name in content or one.default is MISSING
            },
            "scores": scores,
        }
    except (KeyError, TypeError, AttributeError):
        raise EvaluationError(f"{place} is damaged or was not written by posegen: measure the run again") from None


def check_comparable(records: Sequence[EvaluationRecord[_B]], only: Collection[str] = ()) -> None:
    """Raise EvaluationError where scores depend on different data or protocols.

    Args:
        records: Of one protocol.
        only: Fields of the basis that must agree; by default all that the basis names, and the data.
    """
    first = records[0]
    wanted = {"data_fingerprint": "different data", **first.basis.must_agree}
    for other in records[1:]:
        for name, what in wanted.items():
            ours, theirs = (getattr(one if name == "data_fingerprint" else one.basis, name) for one in (first, other))
            if ours != theirs and (name in only or not only):
                raise EvaluationError(
                    f"scores of {first.run} and {other.run} do not compare: they rest on {what} "
                    f"({_difference(ours, theirs)}): measure both alike"
                )


def _difference(ours: object, theirs: object) -> str:
    """Both values, or, of dataclasses, the first setting in which they differ."""
    if is_dataclass(ours) and is_dataclass(theirs):
        pairs = ((one.name, getattr(ours, one.name), getattr(theirs, one.name)) for one in fields(ours))
        return next(f"{name} {own}, {other}" for name, own, other in pairs if own != other)
    return f"{ours}, {theirs}"
