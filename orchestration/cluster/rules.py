"""Security rules of a cluster, each a function from a cluster file to its findings: token, ports, storage, secrets and
pinned versions.

What a file leaves out is Ray's choice, and Ray's choices (an open dashboard, a nightly build) hurt as well: rules read
a file that is completed with its provider's defaults. Whether the rest of it is right, `ray up` says.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from posegen.io.storage import expand_home

_EVERYWHERE = ("0.0.0.0", "::", "[::]", "*")
_PIP_OPTIONS_WITH_VALUE = ("-c", "--constraint", "-r", "--requirement", "-i", "--index-url", "--extra-index-url", "-f")
_INSTALLS = re.compile(r"\bpip3? install\b.*(?:posegen|\s['\"]?\.|-e\s)")
_SECRETS = (
    r"AKIA[0-9A-Z]{16}",
    r"(?i)(secret_access_key|secret_key|password|passwd|auth_token|api_key|tracking_token)\s*[=:]\s*['\"]?[^\s$'\"]",
    r"://[^/\s:@]+:[^/\s@]+@",
    r"PRIVATE KEY",
)


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Shell commands of a cluster file, or of one of its types of nodes."""

    initialization_commands: list[str] = field(default_factory=list)
    setup_commands: list[str] = field(default_factory=list)
    head_setup_commands: list[str] = field(default_factory=list)
    worker_setup_commands: list[str] = field(default_factory=list)
    head_start_ray_commands: list[str] = field(default_factory=list)
    worker_start_ray_commands: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Docker:
    """Containers of nodes."""

    image: str = ""
    head_image: str = ""
    worker_image: str = ""
    run_options: list[str] = field(default_factory=list)
    head_run_options: list[str] = field(default_factory=list)
    worker_run_options: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Provider of nodes."""

    type: str
    security_group: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NodeType(Commands):
    """A type of nodes."""

    docker: Docker = field(default_factory=Docker)
    node_config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Cluster(Commands):
    """Parts of a cluster file that the rules read."""

    provider: Provider
    docker: Docker = field(default_factory=Docker)
    file_mounts: dict[str, str] = field(default_factory=dict)
    """Local path of each mounted file, by its path on the nodes."""
    available_node_types: dict[str, NodeType] = field(default_factory=dict)
    content: dict[str, Any]
    """The whole file."""

    def environment(self, *roles: str) -> str:
        """Return all that sets variables on every node, and where Ray starts on nodes of these roles, ``head``,
        ``worker``."""
        lines = [*self.docker.run_options, *self.setup_commands]
        for role in roles:
            lines += getattr(self.docker, f"{role}_run_options")
            lines += [*getattr(self, f"{role}_setup_commands"), *getattr(self, f"{role}_start_ray_commands")]
        return "\n".join(lines)


@dataclass(frozen=True)
class Finding:
    """Something that would hurt, and what to do about it."""

    rule: str
    place: str
    """Location in the file: keys with dots between."""
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem} → {self.fix}"


def nodes_without_token_mode(cluster: Cluster) -> Iterator[Finding]:
    """Without a token, whoever reaches a port of Ray runs code there."""
    fix = _variable(cluster, "RAY_AUTH_MODE=token")
    for role in ("head", "worker"):
        modes = set(re.findall(r"RAY_AUTH_MODE=['\"]?(\w+)", cluster.environment(role)))
        if modes != {"token"}:
            got = f"RAY_AUTH_MODE is {' and '.join(sorted(modes))}" if modes else "RAY_AUTH_MODE is not set"
            problem = f"{got} where Ray starts, so anyone who reaches its ports can run code there"
            yield Finding("token_mode", f"{role}_start_ray_commands", problem, fix)


def nodes_without_token(cluster: Cluster) -> Iterator[Finding]:
    """Token mode alone starts nothing: each node needs the token."""
    is_mounted = any(target.rstrip("/").endswith((".ray", ".ray/auth_token")) for target in cluster.file_mounts)
    if not is_mounted and "RAY_AUTH_TOKEN_PATH=" not in cluster.environment():
        problem = "no node gets the token, and Ray does not start without it in token mode"
        home = "/home/ray" if _has_docker(cluster) else "~"
        yield Finding("token_file", "file_mounts", problem, f"{home}/.ray: ~/.ray")


def nodes_without_storage(cluster: Cluster) -> Iterator[Finding]:
    """Places that all nodes have to agree on, or what they write is lost with them."""
    for rule, name, problem, value in (
        ("storage", "POSEGEN_STORAGE", "no shared storage is named, and runs are lost with their nodes", "s3://…"),
        ("tracking", "MLFLOW_TRACKING_URI", "each node would record to a file of its own", "http://…"),
    ):
        if not all(f"{name}=" in cluster.environment(role) for role in ("head", "worker")):
            place = "docker.run_options" if _has_docker(cluster) else "setup_commands"
            yield Finding(rule, place, problem, _variable(cluster, f"{name}={value}"))


def open_ports(cluster: Cluster) -> Iterator[Finding]:
    """Servers that listen on every interface of a node."""
    for place, command in _commands(cluster):
        for option, address in re.findall(r"(?<![\w-])--([\w-]*(?:host|ip|bind))[= ]+['\"]?([^\s;'\"]+)", command):
            if address in _EVERYWHERE:
                fix = f"--{option}=127.0.0.1, and `ray dashboard` or `ray attach --port-forward` to reach it"
                yield Finding("open_port", place, f"--{option} {address} listens on every interface", fix)


def open_security_groups(cluster: Cluster) -> Iterator[Finding]:
    """Find security groups that open an AWS node to everyone."""
    if cluster.provider.type != "aws":
        return
    rules = str(cluster.provider.security_group.get("IpPermissions", []))
    if "0.0.0.0/0" in rules or "::/0" in rules:
        place = "provider.security_group.IpPermissions"
        yield Finding("open_group", place, "admits the whole internet", "your own address, such as 203.0.113.7/32")
    for name, node in cluster.available_node_types.items():
        if not {"SecurityGroupIds", "NetworkInterfaces", "LaunchTemplate"} & node.node_config.keys():
            problem = "Ray makes a security group that admits SSH from the whole internet"
            fix = "SecurityGroupIds: [sg-…] of one that admits SSH from your address, and all from itself"
            yield Finding("open_group", f"available_node_types.{name}.node_config", problem, fix)


def secrets_in_the_file(cluster: Cluster) -> Iterator[Finding]:
    """Find secrets: a cluster file is committed, and lies on every head."""
    for place, text in texts(cluster.content):
        if not place.startswith("file_mounts.") and holds_secret(place, text):
            fix = "an instance profile, or a file outside the checkout in file_mounts"
            yield Finding("secret", place, "holds a secret, readable by anyone who can read this file", fix)


def unpinned_images(cluster: Cluster) -> Iterator[Finding]:
    """Find images that change under their names, or have another Ray: such nodes do not understand each other."""
    for place, image in _images(cluster):
        yield from find_in_image(place, image)


def images_without_posegen(cluster: Cluster) -> Iterator[Finding]:
    """Find images without posegen: a command that is sent to their nodes fails there, with the machines running."""
    roles = {"head": ("head",), "worker": ("worker",)}
    for place, image in _images(cluster):
        if not lacks_posegen(image):
            continue
        key = place.rpartition(".")[2].partition("_")[0]
        for role in roles.get(key, ("head", "worker")):
            commands = [*cluster.setup_commands, *getattr(cluster, f"{role}_setup_commands")]
            commands += [command for node in cluster.available_node_types.values() for command in node.setup_commands]
            if not any(_INSTALLS.search(command) for command in commands):
                fix = "an image of docs/cluster/Dockerfile, or pip install of the checkout in setup_commands"
                yield Finding("image", place, f"{image} has no posegen, and no command installs it", fix)
                break


def find_in_image(place: str, image: str) -> Iterator[Finding]:
    """Find fault with the name of an image: no version, or another one of Ray."""
    ray = version("ray")
    name = re.sub(r":[^/:]*$", "", image)
    release = re.match(r":(\d+\.\d+\.\d+)(?:$|-)", image.removeprefix(name))
    if "@sha256:" in image:
        return
    if not release:
        yield Finding("unpinned", place, f"{image} is another image tomorrow", f"{name}:{ray}-py311-gpu")
    elif name.endswith("rayproject/ray") and release[1] != ray:
        problem = f"{image} has Ray {release[1]}, and posegen runs with {ray} here"
        yield Finding("ray_version", place, problem, image.replace(release[1], ray, 1))


def lacks_posegen(image: str) -> bool:
    """Return True for Ray's own images: what others hold, their names do not say."""
    return "rayproject/ray" in image or not image


def holds_secret(place: str, text: str) -> bool:
    """Return True if a string, at a place in a file, looks like a secret."""
    named = f"{place.rpartition('.')[2]}={text}"
    return any(re.search(secret, named) for secret in _SECRETS)


def unpinned_packages(cluster: Cluster) -> Iterator[Finding]:
    """Find packages without a version: pip would install another one on a node that starts tomorrow."""
    for place, command in _commands(cluster):
        for words in _pip_installs(command):
            if any(word.startswith(("-c", "--constraint")) for word in words):
                continue
            for requirement in _requirements(words):
                if not re.search(r"==|@[0-9a-f]{40}", requirement):
                    is_path = "/" in requirement or requirement.startswith(".")
                    if is_path and "--no-deps" in words:
                        continue
                    package = re.split("[<>=!~@ ]", requirement)[0]
                    fix = "pip install -c constraints.txt …" if is_path else f"{package}==VERSION"
                    yield Finding("unpinned", place, f"pip chooses the version of {requirement}", fix)


def missing_constraints(cluster: Cluster) -> Iterator[Finding]:
    """Constraints that are not on the node stop its set-up, with the machine running."""
    for place, command in _commands(cluster):
        for words in _pip_installs(command):
            for remote in re.findall(r"(?:^| )(?:-c|--constraint)[ =](\S+)", " ".join(words)):
                local = _local_path(cluster.file_mounts, remote)
                if local is None or not local.is_file():
                    problem = f"{remote} is {local}, which does not exist" if local else f"{remote} will not be there"
                    fix = "mount the checkout, and name the file where it then lies"
                    yield Finding("constraints", place, problem, fix)


RULES: Sequence[Callable[[Cluster], Iterable[Finding]]] = (
    nodes_without_token_mode,
    nodes_without_token,
    open_ports,
    open_security_groups,
    secrets_in_the_file,
    unpinned_images,
    images_without_posegen,
    unpinned_packages,
    missing_constraints,
    nodes_without_storage,
)


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Return every string of a file with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, place)


def _has_docker(cluster: Cluster) -> bool:
    return cluster.docker != Docker()


def _variable(cluster: Cluster, setting: str) -> str:
    """Return the command with which a file sets a variable on all nodes."""
    if _has_docker(cluster):
        return f'docker.run_options: ["--env {setting}"]'
    return f"export {setting} in setup_commands, to ~/.bashrc"


def _commands(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Every shell command, with its place."""
    nodes = cluster.available_node_types.items()
    for prefix, level in [("", cluster), *((f"available_node_types.{name}.", node) for name, node in nodes)]:
        for key in Commands.__dataclass_fields__:
            for command in getattr(level, key):
                yield prefix + key, command


def _images(cluster: Cluster) -> Iterator[tuple[str, str]]:
    nodes = cluster.available_node_types.items()
    levels = [
        ("docker", cluster.docker),
        *((f"available_node_types.{name}.docker", node.docker) for name, node in nodes),
    ]
    for place, docker in levels:
        for key in ("image", "head_image", "worker_image"):
            if image := getattr(docker, key):
                yield f"{place}.{key}", image


def _pip_installs(command: str) -> Iterator[list[str]]:
    """The words after each ``pip install`` of a shell command."""
    for arguments in re.findall(r"\bpip3? install\s+([^;&|]+)", command):
        try:
            yield shlex.split(arguments, comments=True)
        except ValueError:  # a quotation that ends elsewhere
            yield arguments.split()


def _requirements(words: Sequence[str]) -> Iterator[str]:
    takes_value = False
    for word in words:
        if not takes_value and not word.startswith("-"):
            yield word
        takes_value = word in _PIP_OPTIONS_WITH_VALUE


def _local_path(mounts: Mapping[str, str], remote: str) -> Path | None:
    """Return the local path of a file of the nodes; None if no mount brings it."""
    for target, local in mounts.items():
        folder = target.rstrip("/")
        if remote.startswith(f"{folder}/"):
            return expand_home(local) / remote.removeprefix(f"{folder}/")
    return None
