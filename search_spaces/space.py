"""Declaration of a search space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

Value = str | int | float | bool
Distribution = CategoricalDistribution | FloatDistribution | IntDistribution


@dataclass(frozen=True)
class Switched:
    """The weight of a loss that is on or off: 0 where it is off, and searched where it is on."""

    weight: FloatDistribution


@dataclass(frozen=True)
class When:
    """A parameter that exists only while another one has certain values."""

    key: str
    """The other parameter."""
    values: tuple[Value, ...]
    """Its values with which this one is searched."""
    distribution: Distribution
    """Range while the condition holds."""
    otherwise: Value
    """Value of the field while the condition does not hold."""


Parameter = Distribution | Switched | When


@dataclass(frozen=True, kw_only=True)
class Space:
    """Search space.

    A key is ``STAGE.FIELD``, a field of that stage's configuration, and holds for every run of the stage that a
    trial needs: ``color_encoder.lambda_kl`` for both encoders.
    """

    summary: str
    """One line that says what is searched."""
    stage: str
    """The stage whose metrics are compared; what it needs is trained before it."""
    parameters: Mapping[str, Parameter]
    """Searched parameters, in order: a parameter that `When` names comes first."""
    settings: Mapping[str, Value] = field(default_factory=dict)
    """Fixed values that differ from the preset."""
    starts: tuple[Mapping[str, Value], ...] = ()
    """Points to try first, after the preset's own; a key that is not named keeps the preset's value."""
