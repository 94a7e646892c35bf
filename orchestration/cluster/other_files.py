"""Checks the files beside a cluster's own: scripts, such as a Slurm job's, Dockerfiles, compose files, IAM policies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from orchestration.cluster.rules import (
    Cluster,
    Finding,
    Provider,
    find_in_image,
    holds_secret,
    open_ports,
    secrets_in_the_file,
    texts,
    unpinned_packages,
)
from posegen.errors import ClusterError

_OWN = ("127.0.0.1:", "localhost:", "[::1]:")


def is_script(text: str) -> bool:
    """Return True for a shell script."""
    return bool(re.match(r"#!.*\b(ba|da|z)?sh\b", text))


def is_dockerfile(text: str) -> bool:
    """Return True for the recipe of an image: its first instruction is FROM, or an ARG before it."""
    first = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    return bool(re.match(r"\s*(FROM|ARG)\s+\S", first, flags=re.IGNORECASE))


def find_in_script(text: str) -> Iterator[Finding]:
    """Find secrets, open ports, packages without versions, and a Ray without a token in a shell script."""
    yield from _find_in_lines(text)
    starts = next((number for number, line in _lines(text) if re.search(r"\bray start\b", line)), 0)
    if starts and "RAY_AUTH_MODE=token" not in text:
        problem = "RAY_AUTH_MODE is not set where Ray starts, so anyone who reaches its ports can run code there"
        yield Finding("token_mode", f"line {starts}", problem, "export RAY_AUTH_MODE=token")


def find_in_dockerfile(text: str) -> Iterator[Finding]:
    """Find secrets, open ports, packages and images without versions in the recipe of an image."""
    yield from _find_in_lines(text)
    given = dict(re.findall(r"^ARG\s+(\w+)=(\S+)", text, flags=re.MULTILINE))
    for number, line in _lines(text):
        if match := re.match(r"\s*FROM\s+(?:--\S+\s+)*(\S+)", line, flags=re.IGNORECASE):
            image = re.sub(r"\$\{?(\w+)\}?", lambda name: given.get(name[1], name[0]), match[1])
            if "rayproject/" in image:
                yield from find_in_image(f"line {number}", image)
            else:
                yield from _find_moving(f"line {number}", image)


def find_in_services(content: Mapping[str, Any], path: str) -> Iterator[Finding]:
    """Find secrets, open ports and images without versions in a compose file. Raises ClusterError where it is none."""
    services = content["services"]
    if not isinstance(services, dict) or not all(isinstance(service, dict) for service in services.values()):
        raise ClusterError(f"{path}: services is no mapping from names to what runs under them")
    for name, service in services.items():
        place = f"services.{name}"
        if "image" in service:
            yield from _find_moving(f"{place}.image", str(service["image"]))
        for port in service.get("ports") or []:
            shown = f"{port['host_ip']}:" if isinstance(port, dict) and "host_ip" in port else str(port)
            if not shown.startswith(_OWN):
                problem = f"{port} is reached from every machine that reaches this one"
                yield Finding("open_port", f"{place}.ports", problem, f'"127.0.0.1:{port}", and a proxy with passwords')
    for place, text in texts(dict(content)):
        if holds_secret(place, text):
            problem = "holds a secret, readable by anyone who can read this file"
            yield Finding("secret", place, problem, "a file that git ignores, named under secrets")


def find_in_policy(content: Mapping[str, Any], path: str) -> Iterator[Finding]:
    """Find rights in an IAM policy that a cluster does not need. Raises ClusterError where it is none."""
    statements = content["Statement"]
    if not isinstance(statements, list) or not all(isinstance(statement, dict) for statement in statements):
        raise ClusterError(f"{path}: Statement is no list of what is allowed")
    for number, statement in enumerate(statements):
        place = f"Statement[{number}]"
        actions = statement.get("Action", "*")
        actions = actions if isinstance(actions, list) else [actions]
        if statement.get("Effect") != "Allow":
            continue
        for action in actions:
            if str(action).endswith("*"):
                yield Finding("rights", f"{place}.Action", f"{action} allows more than is used", "each action by name")
        only_reads = all(re.match(r"\w+:(Describe|List|Get)", str(action)) for action in actions)
        if statement.get("Resource") == "*" and not only_reads and "Condition" not in statement:
            problem = f"allows {', '.join(map(str, actions))} on everything in the account"
            yield Finding("rights", f"{place}.Resource", problem, "its ARN, or a Condition on tags")


def _find_moving(place: str, image: str) -> Iterator[Finding]:
    """Find fault with an image whose tag moves on."""
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest"):
        yield Finding(
            "unpinned", place, f"{image} is another image tomorrow", f"{image.removesuffix(':latest')}:VERSION"
        )


def _find_in_lines(text: str) -> Iterator[Finding]:
    """Look each line over by the rules for the shell commands of a cluster."""
    for number, line in _lines(text):
        cluster = Cluster(provider=Provider(type="local"), setup_commands=[line], content={"line": line})
        for rule in (open_ports, secrets_in_the_file, unpinned_packages):
            yield from (replace(finding, place=f"line {number}") for finding in rule(cluster))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Return each command with the number of its first line; a backslash at the end of a line joins the next."""
    begun, number = "", 0
    for here, line in enumerate(text.splitlines(), 1):
        number = number if begun else here
        if line.endswith("\\"):
            begun += line[:-1] + " "
        elif begun or not line.lstrip().startswith("#"):
            yield number, begun + line
            begun = ""
