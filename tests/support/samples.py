"""Samples of a dataset with settings in one call, as tests want them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from posegen.datasets.dataset import Dataset, Split


def make_samples(kind: Any, settings: Any, dataset: Dataset, split: Split, **options: Any) -> Any:
    """Samples of a kind: those of the options that are fields of the class `settings` go there, the others beside."""
    own = {field.name for field in fields(settings)}
    inner = {name: value for name, value in options.items() if name in own}
    outer = {name: value for name, value in options.items() if name not in own}
    return kind(dataset, split, settings(**inner), **outer)
