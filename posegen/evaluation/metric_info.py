"""Description of a metric: its title, unit and direction, and the comparison of its values."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from posegen.errors import ConfigError, EvaluationError

Direction = Literal["up", "down", "target", "none"]


@dataclass(frozen=True)
class MetricInfo:
    """Description of a metric: title, printed unit and direction.

    Raises ConfigError for a target without the direction ``target``.
    """

    name: str
    title: str
    unit: str = ""
    """Of printed values, which are `scale` times the logged ones."""
    direction: Direction = "none"
    """Direction of better values: higher (``up``), lower (``down``) or nearest to `target` (``target``)."""
    _: KW_ONLY
    target: float | None = None
    """The best logged value; None with the direction ``target`` stands for the value of real data, which differs from
    dataset to dataset, so that values by themselves cannot be ranked."""
    scale: float = 1.0
    digits: int | None = None
    """Decimal places of printed values; None prints four significant digits."""
    source: str = ""
    """Paper with section or equation, library, or the function that computes it."""
    group: str = ""
    """Heading under which tables list it."""

    def __post_init__(self) -> None:
        if self.target is not None and self.direction != "target":
            raise ConfigError(f"{self.name} has the target {self.target:g} and the direction {self.direction!r}")

    @property
    def is_ranked(self) -> bool:
        """True if one of two values can be called better."""
        return self.direction in ("up", "down") or self.target is not None

    @property
    def arrow(self) -> str:
        """The direction as a sign, with the target in printed units: ``↑``, ``↓``, ``→ 1``, ``→ real`` or nothing."""
        if self.direction == "target":
            return "→ real" if self.target is None else f"→ {self.scale * self.target:g}"
        return {"up": "↑", "down": "↓", "none": ""}[self.direction]

    @property
    def heading(self) -> str:
        """Title, unit and direction, for the head of a column or a row."""
        return f"{', '.join(filter(None, (self.title, self.unit)))} {self.arrow}".rstrip()

    @property
    def order(self) -> str:
        """Direction of better values in words: ``lowest``, ``highest``, ``nearest to 1``; empty without a direction."""
        if self.target is not None:
            return f"nearest to {self.scale * self.target:g}"
        return {"up": "highest", "down": "lowest"}.get(self.direction, "")

    @property
    def mode(self) -> Literal["min", "max"]:
        """Direction of the optimizer. Raises ConfigError for a metric that is neither up nor down."""
        if self.direction not in ("up", "down"):
            raise ConfigError(f"{self.name} is neither to be raised nor lowered and cannot be an objective")
        return "max" if self.direction == "up" else "min"

    def distance_to_goal(self, value: float) -> float:
        """Return a number that is smaller for better values: the sort key of every ranking.

        Raises EvaluationError for a metric that is not ranked.
        """
        match self.direction:
            case "up":
                return -value
            case "down":
                return value
            case "target" if self.target is not None:
                return abs(value - self.target)
        raise EvaluationError(f"{self.name} has no direction: its values cannot be ranked")

    def format(self, value: float, *, unit: bool = False) -> str:
        """Print a logged value, scaled and rounded, and its unit where asked for."""
        digits = f"{self.scale * value:.4g}" if self.digits is None else f"{self.scale * value:.{self.digits}f}"
        return f"{digits} {self.unit}" if unit and self.unit else digits
