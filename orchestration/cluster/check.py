"""Checks a cluster file for what would hurt, before `ray up` spends money on it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from orchestration.cluster.kubernetes import API, check_kubernetes
from orchestration.cluster.other_files import (
    find_in_dockerfile,
    find_in_policy,
    find_in_script,
    find_in_services,
    is_dockerfile,
    is_script,
)
from orchestration.cluster.rules import RULES, Cluster, Finding, texts
from orchestration.cluster.tokens import find_open_places
from posegen.errors import ClusterError, first_line
from posegen.io.records import parse_partial
from posegen.io.storage import expand_home

_MAX_BYTES = 2**17


@dataclass(frozen=True)
class Checked:
    """Result of checking a cluster file before it is used."""

    findings: list[Finding]
    open: list[str]
    """Items left to the owner: values of the example, files that are missing."""


def check_cluster_file(path: Path) -> Checked:
    """Look a file of a cluster over, and ask no cloud: of `ray up`, KubeRay, compose or IAM, a Dockerfile, a script.

    Args:
        path: Its path. Folders in the file are looked up from the working directory.

    Raises:
        OSError: The file cannot be read.
        ClusterError: It is no YAML, has tags, or holds something else than a cluster.
    """
    text = _read_text(path)
    for is_kind, find in ((is_script, find_in_script), (is_dockerfile, find_in_dockerfile)):
        if is_kind(text):
            return Checked(_fold(find(text)), list(_examples({"text": text})))
    content = read_cluster_file(path)
    for key, find_in in (("services", find_in_services), ("Statement", find_in_policy)):
        if key in content:
            return Checked(_fold(find_in(content, str(path))), list(_examples(content)))
    if str(content.get("apiVersion", "")).startswith(API):
        return Checked(_fold(check_kubernetes(content, str(path))), list(_examples(content)))
    filled = {**_defaults(path, content), **content}
    cluster = parse_partial(Cluster, {**filled, "content": filled}, str(path), ClusterError)
    return Checked(_fold(finding for rule in RULES for finding in rule(cluster)), list(_still_open(cluster, content)))


def read_cluster_file(path: Path) -> dict[str, Any]:
    """Read a cluster file as plain data: a tag, which could name any Python object, is refused. Raises ClusterError."""
    import yaml

    text = _read_text(path)
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        _check_aliases(path, root)
        config = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ClusterError(f"{path}{line}: {error.problem}") from None
    except RecursionError:
        raise ClusterError(f"{path} is nested deeper than any cluster's file") from None
    except yaml.YAMLError as error:
        raise ClusterError(f"{path} is not YAML: {error}") from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:  # of a scalar that is tagged
        raise ClusterError(f"{path} is not YAML as it should be: {first_line(error)}") from None
    if not isinstance(config, dict):
        raise ClusterError(f"{path} holds {type(config).__name__}, expected a cluster: cluster_name, provider, …")
    return config


def _read_text(path: Path) -> str:
    """Read a file of at most 128 KiB. Raises OSError, and ClusterError where it is longer, or no text in UTF-8."""
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise _too_long(path)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ClusterError(f"{path} is not YAML: {error}") from None


def _check_aliases(path: Path, root: Any) -> None:
    """Raise ClusterError where aliases, each repeating what others repeat, stand for more than a file can hold."""
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


def _too_long(path: Path) -> ClusterError:
    return ClusterError(f"{path} is longer than {_MAX_BYTES:,} bytes, aliases written out, which no cluster's file is")


def _defaults(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return Ray's defaults for missing values of this provider."""
    import yaml

    provider = content.get("provider")
    kind = provider.get("type") if isinstance(provider, dict) else None
    if not isinstance(kind, str) or not re.fullmatch(r"\w+", kind):
        raise ClusterError(f"{path} names no provider, expected provider: {{type: aws}} or another of Ray's")
    file = resources.files("ray.autoscaler") / kind / "defaults.yaml"
    if not file.is_file():
        raise ClusterError(f"{path}: Ray has no provider {kind!r}, expected aws, local or another of Ray's")
    return yaml.safe_load(file.read_text())


def _fold(findings: Iterable[Finding]) -> list[Finding]:
    """Say once what holds in several places."""
    places: dict[Finding, list[str]] = {}
    for finding in findings:
        places.setdefault(replace(finding, place=""), []).append(finding.place)
    return [replace(finding, place=", ".join(where)) for finding, where in places.items()]


def _examples(content: dict[str, Any]) -> Iterator[str]:
    """The values of the example that are left."""
    seen = set()
    for place, text in texts(content):
        for value in re.findall(r"[^\s'\"=]+", text):
            is_example = re.search(r"EXAMPLE|\b192\.0\.2\.", value)
            if is_example and value not in seen:  # what stands in `metadata` is used elsewhere
                seen.add(value)
                yield f"{place}: {value} is the example's"


def _still_open(cluster: Cluster, content: dict[str, Any]) -> Iterator[str]:
    yield from _examples(content)
    for local in cluster.file_mounts.values():
        if not expand_home(local).exists():
            hint = ": `ray get-auth-token --generate` makes it" if ".ray" in local else ""
            yield f"file_mounts: {local} is not there{hint}"
        elif ".ray" in local:
            yield from (f"file_mounts: {place}" for place in find_open_places(expand_home(local)))
