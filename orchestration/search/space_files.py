"""Search spaces in files of one's own: Python with a ``SPACE`` in it, or YAML."""

from __future__ import annotations

import runpy
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from posegen.errors import SearchError, first_line
from search_spaces.space import Parameter, Space, Switched, When

SPACE_SUFFIXES = (".py", ".yaml", ".yml")
"""Of files that are spaces."""

_KEYS = {"summary", "stage", "parameters", "settings", "starts"}
_RANGE_KEYS = {"low", "high", "log", "step", "switched", "choices", "when", "values", "otherwise"}


def read_space_file(file: Path) -> Space:
    """Read a space.

    Args:
        file: ``.py`` with a `Space` called ``SPACE``, whose code is executed; or ``.yaml``::

            stage: video_generator
            summary: one line
            parameters:
              video_generator.upper_latent_dim: [2, 4, 8]                          # one of these
              video_generator.lambda_fm: {low: 0.05, high: 100, log: true}         # a range
              video_generator.lambda_vgg: {low: 0.1, high: 100, log: true, switched: true}   # or off
            settings:                                                              # fixed, and not the preset's
              video_generator.num_epochs: 4

    Raises:
        SearchError: There is no such file, or it is no space; the message has its line.
    """
    if not file.is_file():
        raise SearchError(f"there is no search space {file}")
    return _run(file) if file.suffix == ".py" else _parse(file)


def _run(file: Path) -> Space:
    try:
        found = runpy.run_path(str(file)).get("SPACE")
    except SyntaxError as error:
        raise SearchError(f"{file}, line {error.lineno}: {error.msg}") from None
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f", line {lines[-1]}" if lines else ""
        raise SearchError(f"{file}{where}: {type(error).__name__}: {first_line(error)}") from None
    if not isinstance(found, Space):
        raise SearchError(f"{file} has no SPACE, expected SPACE = search_spaces.space.Space(…)")
    return found


def _parse(file: Path) -> Space:
    try:
        text = file.read_text(encoding="utf-8")
        node, content = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SearchError(f"{file}{where}: {getattr(error, 'problem', '') or first_line(error)}") from None
    document = _Document(file, node)
    if not isinstance(content, dict):
        raise SearchError(f"{file}: got {type(content).__name__}, expected stage and parameters")
    document.check_keys(content, _KEYS)
    missing = [name for name in ("stage", "parameters") if not content.get(name)]
    if missing or not isinstance(content["parameters"], dict):
        raise SearchError(f"{file} has no {missing[0] if missing else 'mapping of parameters'}")
    parameters = {str(key): document.parameter(str(key), x) for key, x in content["parameters"].items()}
    return Space(
        summary=str(content.get("summary", file.stem)),
        stage=str(content["stage"]),
        parameters=parameters,
        settings=dict(content.get("settings") or {}),
        starts=tuple(content.get("starts") or ()),
    )


class _Document:
    """A YAML file with the lines of its keys."""

    def __init__(self, file: Path, node: Any):
        self._file = file
        self._lines: dict[str, int] = {}
        self._note_lines(node)

    def check_keys(self, content: Mapping[Any, Any], known: set[str], of: str = "") -> None:
        """Raise SearchError for a key that is not known."""
        for key in content:
            if key not in known:
                raise self.error(str(key), f"{of}unknown key {key!r}, expected {', '.join(sorted(known))}")

    def parameter(self, key: str, value: Any) -> Parameter:
        """Read what a parameter is searched in."""
        if isinstance(value, list):
            return CategoricalDistribution(tuple(value))
        if not isinstance(value, dict):
            raise self.error(key, f"{key}: got {value!r}, expected a list of choices, or low and high")
        self.check_keys(value, _RANGE_KEYS, f"{key}: ")
        rest = dict(value)
        switched, when = rest.pop("switched", False), rest.pop("when", "")
        values, otherwise = rest.pop("values", ()), rest.pop("otherwise", None)
        distribution = self._distribution(key, rest)
        if switched:
            if not isinstance(distribution, FloatDistribution):
                raise self.error(key, f"{key}: only a range of numbers with a decimal point can be switched off")
            return Switched(distribution)
        if when:
            return When(when, tuple(values), distribution, otherwise)
        return distribution

    def error(self, key: str, message: str) -> SearchError:
        """The error, with the line of a key."""
        line = self._lines.get(key)
        return SearchError(f"{self._file}{f', line {line}' if line else ''}: {message}")

    def _distribution(
        self, key: str, rest: dict[str, Any]
    ) -> CategoricalDistribution | FloatDistribution | IntDistribution:
        try:
            if "choices" in rest:
                return CategoricalDistribution(tuple(rest["choices"]))
            whole = all(isinstance(rest[name], int) for name in ("low", "high"))
            if whole and not rest.get("log") and isinstance(rest.get("step", 1), int):
                return IntDistribution(**rest)
            return FloatDistribution(**rest)
        except KeyError as error:
            raise self.error(key, f"{key}: {error.args[0]} is missing") from None
        except (TypeError, ValueError) as error:
            raise self.error(key, f"{key}: {first_line(error)}") from None

    def _note_lines(self, node: Any) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._lines[str(key.value)] = key.start_mark.line + 1
                self._note_lines(value)
