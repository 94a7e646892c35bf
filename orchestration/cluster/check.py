"""Checks a cluster file for what would hurt, before `ray up` spends money on it."""

from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestration.cluster.rules import RULES, Config, Finding, texts
from posegen.errors import ClusterError, first_line
from posegen.io.storage import expand_home

_MAX_BYTES = 2**17


@dataclass(frozen=True)
class Checked:
    """What a cluster file looks like before it is used."""

    findings: list[Finding]
    open: list[str]
    """What its owner still has to see to: values of the example, files that are not there yet."""


def check(path: Path) -> Checked:
    """Look a cluster file over, without asking any cloud. Folders in it are looked up from the working directory.

    Raises:
        OSError: The file cannot be read.
        PosegenError: It is no YAML, has tags, or holds something else than a cluster.
    """
    config = load(path)
    try:
        prepared = prepare(config)
    except Exception as error:  # Ray's, jsonschema's and those of any provider
        return Checked([_misfit(error)], [])
    return Checked(_fold(finding for rule in RULES for finding in rule(prepared)), list(_still_open(config)))


def load(path: Path) -> Config:
    """Read a cluster file as plain data: a tag, which could name any Python object, is refused. Raises ClusterError."""
    import yaml

    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise _too_long(path)
    try:
        loader = yaml.SafeLoader(content.decode())
        root = loader.get_single_node()
        _check_aliases(path, root)
        config = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ClusterError(f"{path}{line}: {error.problem}") from None
    except RecursionError:
        raise ClusterError(f"{path} is nested deeper than any cluster's file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ClusterError(f"{path} is not YAML: {error}") from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:  # of a scalar that is tagged
        raise ClusterError(f"{path} is not YAML as it should be: {first_line(error)}") from None
    if not isinstance(config, dict):
        raise ClusterError(f"{path} holds {type(config).__name__}, expected a cluster: cluster_name, provider, …")
    return config


def _check_aliases(path: Path, root: Any) -> None:
    """Raise PosegenError where aliases, each repeating what others repeat, stand for more than a file can hold."""
    sizes: dict[int, float] = {}

    def size(node: Any) -> float:
        if id(node) not in sizes:
            sizes[id(node)] = math.inf  # until it is known: a node inside itself has no end
            children = node.value if isinstance(node.value, list) else []  # a scalar's is text
            flat = (part for child in children for part in (child if isinstance(child, tuple) else (child,)))
            sizes[id(node)] = 1 + sum(map(size, flat))
        return sizes[id(node)]

    if root is not None and size(root) > _MAX_BYTES:
        raise _too_long(path)


def _too_long(path: Path) -> ValueError:
    return ValueError(f"{path} is longer than {_MAX_BYTES:,} bytes, aliases written out, which no cluster's file is")


def prepare(config: Config) -> Config:
    """Complete a cluster file with the defaults of its provider, as `ray up` does, and hold it against Ray's schema.

    Raises whatever Ray raises, and PosegenError for what its schema lets pass and its launcher stumbles over.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # Ray's launcher prints what it also raises
        from ray.autoscaler._private.util import prepare_config, validate_config

        prepared = prepare_config(deepcopy(config))
        validate_config(prepared)
    _require_text(prepared)
    return prepared


def _require_text(config: Config) -> None:
    docker = config.get("docker", {})
    values = {"file_mounts": list(config.get("file_mounts", {}).values())}
    values |= {key: config[key] for key in ("rsync_exclude", "rsync_filter")}
    values |= {f"docker.{key}": docker[key] for key in docker if key.endswith("run_options")}
    for name, node in config.get("available_node_types", {}).items():
        values[f"available_node_types.{name}.node_config"] = [node["node_config"].get("InstanceType", "")]
    for place, found in values.items():
        for value in found:
            if not isinstance(value, str):
                raise ClusterError(f"{place} holds {value!r}, expected text")


def _fold(findings: Iterable[Finding]) -> list[Finding]:
    """Say once what holds in several places."""
    places: dict[Finding, list[str]] = {}
    for finding in findings:
        places.setdefault(replace(finding, place=""), []).append(finding.place)
    return [replace(finding, place=", ".join(where)) for finding, where in places.items()]


def _misfit(error: Exception) -> Finding:
    """What Ray's schema, or its launcher, has against the file."""
    problem = str(getattr(error, "message", None) or error)
    place = str(getattr(error, "json_path", "$")).removeprefix("$").removeprefix(".") or "the file"
    if isinstance(error, KeyError):
        problem = f"the key {problem} is missing"
    elif isinstance(error, AttributeError | TypeError):
        problem = f"a value is of another kind than it expects ({problem})"
    fix = "spell keys and values as in Ray's reference, docs.ray.io: Cluster YAML configuration options"
    return Finding("schema", place, f"Ray refuses it: {problem}", fix)


def _still_open(config: Config) -> Iterator[str]:
    seen = set()
    for place, text in texts(config):
        for value in re.findall(r"[^\s'\"=]+", text):
            is_example = re.search(r"EXAMPLE|\b192\.0\.2\.", value)
            if is_example and value not in seen:  # what stands in `metadata` is used elsewhere
                seen.add(value)
                yield f"{place}: {value} is the example's"
    for local in config.get("file_mounts", {}).values():
        if not expand_home(local).exists():
            hint = ": `ray get-auth-token --generate` makes it" if ".ray" in local else ""
            yield f"file_mounts: {local} is not there{hint}"
