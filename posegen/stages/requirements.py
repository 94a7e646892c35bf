"""What a stage needs of other runs, declared once: which stage, and which settings must agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from posegen.errors import ConfigError

if TYPE_CHECKING:
    from posegen.stages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A trained run that a stage begins with, named by a field of the stage's configuration."""

    stage: str
    """Stage of that run."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the run was trained with."""
    agree: Mapping[str, str] = field(default_factory=dict)
    """Settings that must be equal: a field of the requiring stage, and the field of the required run."""
    optional: bool = False
    """Whether the stage can be trained without it."""
    trained_first: bool = False
    """Whether `posegen train` trains such a run itself where none is named."""

    def check(self, config: Stage.Config, name: str, run: str, other: Stage.Config) -> None:
        """Raise ConfigError where a run is not what a configuration requires.

        Args:
            config: The requiring stage's.
            name: Its field that names the run.
            run: The run.
            other: The run's configuration.
        """
        if other.stage.name != self.stage:
            raise ConfigError(f"{name}: {run} is a run of the stage {other.stage.name!r}, expected {self.stage!r}")
        expected = {**self.settings, **{theirs: config.value_of(own) for own, theirs in self.agree.items()}}
        wrong = {theirs: value for theirs, value in expected.items() if other.value_of(theirs) != value}
        if wrong:
            got = {theirs: other.value_of(theirs) for theirs in wrong}
            raise ConfigError(f"{name}: {run} has {_describe(got)}, expected {_describe(wrong)}")

    def describe_missing(self, name: str) -> str:
        """Say that a run is missing, and which command trains one."""
        options = "".join(f" --{key.replace('_', '-')} {value}" for key, value in self.settings.items())
        return f"{name} is missing: name a run of `posegen train {self.stage}{options}`"


def _describe(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in settings.items())
