"""What hurts on a cluster, each rule a function from a cluster file to its findings.

Rules read a file that Ray's schema accepts and that is completed with its provider's defaults: what is left out of a
file is Ray's choice, and Ray's choices (an open dashboard, a nightly build) hurt as well.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posegen.io.storage import expand_home

Config = dict[str, Any]

MAX_MOUNT = 100 * 2**20
"""Bytes of a file mount above which it is likely to carry data along. Every node waits for them."""
SAFE_MLFLOW = (3, 11)
"""Below it strangers read files of the server (CVE-2026-2614), pass its login (-2652) and overwrite the artifacts of
others (-2651), and users of the same machine change models that are being loaded (-4137)."""
_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
_EVERYWHERE = ("0.0.0.0", "::", "[::]", "*")
_PIP_OPTIONS_WITH_VALUE = ("-c", "--constraint", "-r", "--requirement", "-i", "--index-url", "--extra-index-url", "-f")
_SECRETS = (
    r"AKIA[0-9A-Z]{16}",
    r"(?i)(secret_access_key|secret_key|password|passwd|auth_token|api_key|tracking_token)\s*[=:]\s*['\"]?[^\s$'\"]",
    r"://[^/\s:@]+:[^/\s@]+@",
    r"PRIVATE KEY",
)


@dataclass(frozen=True)
class Finding:
    """Something that would hurt, and what to do about it."""

    rule: str
    place: str
    """Where in the file: keys with dots between."""
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem} → {self.fix}"


def nodes_without_token_mode(config: Config) -> Iterator[Finding]:
    """Without a token, whoever reaches a port of Ray runs code there."""
    fix = (
        'docker.run_options: ["--env RAY_AUTH_MODE=token"]'
        if config.get("docker")
        else "export RAY_AUTH_MODE=token in setup_commands, to ~/.bashrc"
    )
    for role in ("head", "worker"):
        modes = set(re.findall(r"RAY_AUTH_MODE=['\"]?(\w+)", _environment(config, role)))
        if modes != {"token"}:
            got = f"RAY_AUTH_MODE is {' and '.join(sorted(modes))}" if modes else "RAY_AUTH_MODE is not set"
            problem = f"{got} where Ray starts, so whoever reaches its ports runs code there"
            yield Finding("token_mode", f"{role}_start_ray_commands", problem, fix)


def nodes_without_token(config: Config) -> Iterator[Finding]:
    """Token mode alone starts nothing: each node needs the token."""
    targets = [remote.rstrip("/") for remote in config.get("file_mounts", {})]
    is_mounted = any(target.endswith((".ray", ".ray/auth_token")) for target in targets)
    if not is_mounted and "RAY_AUTH_TOKEN_PATH=" not in _environment(config, ""):
        home = "/home/ray" if config.get("docker") else "~"
        problem = "no node gets the token, and Ray does not start without it in token mode"
        yield Finding("token_file", "file_mounts", problem, f"{home}/.ray: ~/.ray")


def nodes_that_miss_a_variable(config: Config) -> Iterator[Finding]:
    """What all nodes have to agree on."""
    for rule, name, problem, value in (
        ("storage", "POSEGEN_STORAGE", "no shared storage is named, and runs are lost with their nodes", "s3://…"),
        ("tracking", "MLFLOW_TRACKING_URI", "each node would record to a file of its own", "http://…"),
    ):
        if not all(f"{name}=" in _environment(config, role) for role in ("head", "worker")):
            where = "docker.run_options" if config.get("docker") else "setup_commands"
            how = f"--env {name}={value}" if config.get("docker") else f"export {name}={value} to ~/.bashrc"
            yield Finding(rule, where, problem, how)


def open_ports(config: Config) -> Iterator[Finding]:
    """Servers that listen on every interface of a node."""
    for place, command in _commands(config):
        for option, address in re.findall(r"(?<![\w-])--([\w-]*(?:host|ip|bind))[= ]+['\"]?([^\s;'\"]+)", command):
            if address in _EVERYWHERE:
                fix = f"--{option}=127.0.0.1, and `ray dashboard` or `ray attach --port-forward` to reach it"
                yield Finding("open_port", place, f"--{option} {address} listens on every interface", fix)


def open_security_groups(config: Config) -> Iterator[Finding]:
    """Who may knock at an AWS node at all."""
    if config["provider"]["type"] != "aws":
        return
    rules = config["provider"].get("security_group", {}).get("IpPermissions", [])
    if any(address in str(rules) for address in ("0.0.0.0/0", "::/0")):
        place = "provider.security_group.IpPermissions"
        yield Finding("open_group", place, "admits the whole internet", "your own address, such as 203.0.113.7/32")
    for name, node in _node_types(config):
        chosen = {"SecurityGroupIds", "NetworkInterfaces", "LaunchTemplate"}
        if not chosen & node["node_config"].keys():
            problem = "Ray makes a security group that admits SSH from the whole internet"
            fix = "SecurityGroupIds: [sg-…] of one that admits SSH from your address, and all from itself"
            yield Finding("open_group", f"available_node_types.{name}.node_config", problem, fix)


def secrets_in_the_file(config: Config) -> Iterator[Finding]:
    """A cluster file is committed, and lies on every head."""
    for place, text in texts(config):
        named = f"{place.rpartition('.')[2]}={text}"
        if not place.startswith("file_mounts.") and any(re.search(secret, named) for secret in _SECRETS):
            fix = "an instance profile, or a file outside the checkout in file_mounts"
            yield Finding("secret", place, "holds a secret, which whoever reads this file then has", fix)


def unpinned_images(config: Config) -> Iterator[Finding]:
    """An image that changes under its name makes nodes that do not understand each other."""
    wanted = _pins(config).get("ray", "")
    for place, image in _images(config):
        name = re.sub(r":[^/:]*$", "", image)
        release = re.match(r":(\d+\.\d+\.\d+)(?:$|-)", image.removeprefix(name))
        if "@sha256:" in image:
            continue
        if not release:
            fix = f"{name}:{wanted or '2.60.0'}-py311-gpu"
            yield Finding("unpinned", place, f"{image} is another image tomorrow", fix)
        elif name.endswith("rayproject/ray"):
            yield from _misfits_of_ray_image(place, image, release[1], wanted)


def _misfits_of_ray_image(place: str, image: str, release: str, wanted: str) -> Iterator[Finding]:
    if wanted and release != wanted:
        problem = f"{image} has Ray {release}, but constraints.txt installs {wanted} over it"
        yield Finding("ray_version", place, problem, image.replace(release, wanted, 1))
    python = re.search(r"-py3(\d+)", image)
    if not python or int(python[1]) < 11:
        version = f"Python 3.{python[1]}" if python else "whatever Python Ray takes by default"
        fix = image.replace(python[0], "-py311") if python else image.replace(release, f"{release}-py311", 1)
        yield Finding("python", place, f"{image} has {version}, and posegen needs 3.11", fix)


def gpus_without_cuda(config: Config) -> Iterator[Finding]:
    """A GPU that its container does not see is paid for all the same."""
    for name, node in _node_types(config):
        has_gpu = "GPU" in node["resources"] or re.match(r"[gp]\d", node["node_config"].get("InstanceType", ""))
        docker = config.get("docker", {}) | node.get("docker", {})
        image = docker.get("worker_image") or docker.get("image", "")
        if has_gpu and "rayproject/ray:" in image and not re.search(r"-(gpu|cu\d+)", image):
            problem = f"{image} does not see the GPU"
            fix = f"docker: {{worker_image: {re.sub('-cpu$', '', image)}-gpu}}"
            yield Finding("no_cuda", f"available_node_types.{name}", problem, fix)


def unpinned_packages(config: Config) -> Iterator[Finding]:
    """What pip chooses by itself is another version on a node that starts tomorrow."""
    for place, command in _commands(config):
        for words in _pip_installs(command):
            if any(word.startswith(("-c", "--constraint")) for word in words):
                continue
            for requirement in _requirements(words):
                if not re.search(r"==|@[0-9a-f]{40}", requirement):
                    is_path = "/" in requirement or requirement.startswith(".")
                    fix = (
                        "pip install -c constraints.txt …"
                        if is_path
                        else f"{re.split('[<>=!~@ ]', requirement)[0]}==VERSION"
                    )
                    yield Finding("unpinned", place, f"pip chooses the version of {requirement}", fix)


def missing_constraints(config: Config) -> Iterator[Finding]:
    """Constraints that are not on the node stop its set-up, with the machine running."""
    for place, remote in _constraint_files(config):
        local = _local_path(config, remote)
        if local is None or not local.is_file():
            problem = f"{remote} will not be there" if local is None else f"{remote} is {local}, which does not exist"
            yield Finding("constraints", place, problem, "mount the checkout, and name the file where it then lies")


def mlflow_with_holes(config: Config) -> Iterator[Finding]:
    """An MLflow whose holes are published."""
    found = [("constraints.txt", _pins(config).get("mlflow", ""))]
    found += [(place, version) for place, text in _commands(config) for version in re.findall(r"mlflow==(\S+)", text)]
    safe = ".".join(map(str, SAFE_MLFLOW))
    for place, version in found:
        numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
        if numbers and numbers < SAFE_MLFLOW:
            yield Finding("mlflow", place, f"MLflow {version} has holes that are published", f"mlflow>={safe}")


def heavy_mounts(config: Config) -> Iterator[Finding]:
    """History and data that every node would wait for."""
    for remote, local in config.get("file_mounts", {}).items():
        folder = expand_home(local)
        if not folder.is_dir():
            continue
        sent = list(_sent(folder, config["rsync_exclude"], config["rsync_filter"]))
        place = f"file_mounts.{remote}"
        if any(".git" in path.relative_to(folder).parts for path in sent):
            fix = 'rsync_exclude: ["**/.git", "**/.git/**"]'
            yield Finding("git", place, f"{local} carries .git, all history with it, to every node", fix)
            sent = [path for path in sent if ".git" not in path.relative_to(folder).parts]
        sizes = {path.relative_to(folder): path.lstat().st_size for path in sent}
        if sum(sizes.values()) > MAX_MOUNT:
            largest = ", ".join(str(path) for path in sorted(sizes, key=lambda path: -sizes[path])[:3])
            problem = f"{sum(sizes.values()) / 2**20:.0f} MiB go to every node, most of it {largest}"
            yield Finding(
                "data", place, problem, "rsync_exclude, or .gitignore in rsync_filter; data goes to the storage"
            )


def costly_habits(config: Config) -> Iterator[Finding]:
    """Choices of Ray's on AWS that cost money, or fail with the machine running."""
    if config["provider"]["type"] != "aws":
        return
    if config["provider"].get("cache_stopped_nodes", True):
        problem = "nodes that are not needed are only stopped, and their disks go on costing"
        yield Finding("stopped_nodes", "provider.cache_stopped_nodes", problem, "cache_stopped_nodes: false")
    head = config["head_node_type"]
    for name, node in _node_types(config):
        place = f"available_node_types.{name}"
        if name == head and node["resources"].get("CPU") != 0:
            problem = "work lands on the head, and the cluster dies when it takes the memory"
            yield Finding("busy_head", f"{place}.resources", problem, 'resources: {"CPU": 0}')
        if "ImageId" not in node["node_config"] and "LaunchTemplate" not in node["node_config"]:
            problem = "Ray's default machine image is Ubuntu 18.04, whose driver knows no CUDA above 11.2"
            yield Finding("old_image", f"{place}.node_config", problem, "ImageId: ami-… of a recent one, with Docker")
        if name != head and "IamInstanceProfile" not in node["node_config"] and "s3://" in _environment(config, ""):
            problem = "workers have no right to read or write s3"
            yield Finding("no_rights", f"{place}.node_config", problem, "IamInstanceProfile: {Name: …}")


RULES: Sequence[Callable[[Config], Iterable[Finding]]] = (
    nodes_without_token_mode,
    nodes_without_token,
    open_ports,
    open_security_groups,
    secrets_in_the_file,
    unpinned_images,
    gpus_without_cuda,
    unpinned_packages,
    missing_constraints,
    mlflow_with_holes,
    heavy_mounts,
    costly_habits,
    nodes_that_miss_a_variable,
)


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a file with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner, place)


def _node_types(config: Config) -> Iterable[tuple[str, Config]]:
    return config.get("available_node_types", {}).items()


def _commands(config: Config) -> Iterator[tuple[str, str]]:
    """Every shell command once, with its place: Ray's defaults repeat common ones among a role's."""
    seen = set()
    levels = [("", config), *((f"available_node_types.{name}.", node) for name, node in _node_types(config))]
    for prefix, level in levels:
        for key in _COMMANDS:
            for command in level.get(key, []):
                if command not in seen:
                    seen.add(command)
                    yield prefix + key, command


def _environment(config: Config, role: str) -> str:
    """All that sets variables where Ray starts, or on every node for the role ""."""
    docker = config.get("docker", {})
    lines = [*docker.get("run_options", []), *config["setup_commands"]]
    if role:
        lines += docker.get(f"{role}_run_options", [])
        lines += [*config[f"{role}_setup_commands"], *config[f"{role}_start_ray_commands"]]
    return "\n".join(lines)


def _images(config: Config) -> Iterator[tuple[str, str]]:
    levels = [("docker", config.get("docker", {}))]
    levels += [(f"available_node_types.{name}.docker", node.get("docker", {})) for name, node in _node_types(config)]
    for place, docker in levels:
        for key in ("image", "head_image", "worker_image"):
            if key in docker:
                yield f"{place}.{key}", docker[key]


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


def _constraint_files(config: Config) -> Iterator[tuple[str, str]]:
    for place, command in _commands(config):
        for words in _pip_installs(command):
            for file in re.findall(r"(?:^| )(?:-c|--constraint)[ =](\S+)", " ".join(words)):
                yield place, file


def _local_path(config: Config, remote: str) -> Path | None:
    """Where a file of the nodes lies here; None where no mount brings it."""
    for target, local in config.get("file_mounts", {}).items():
        folder = target.rstrip("/")
        if remote.startswith(f"{folder}/"):
            return expand_home(local) / remote.removeprefix(f"{folder}/")
    return None


def _pins(config: Config) -> dict[str, str]:
    """Versions that the constraints of the nodes fix."""
    files = (_local_path(config, remote) for _, remote in _constraint_files(config))
    lines = [line for file in files if file and file.is_file() for line in file.read_text().splitlines()]
    return {name.strip().lower(): version.strip() for name, _, version in (line.partition("==") for line in lines)}


def _sent(folder: Path, excluded: Sequence[str], filters: Sequence[str]) -> Iterator[Path]:
    """The files that rsync would copy. Its patterns are git's, near enough."""
    from pathspec import GitIgnoreSpec

    def walk(here: Path, rules: tuple[tuple[Path, GitIgnoreSpec], ...]) -> Iterator[Path]:
        own = (here / name for name in filters)
        rules += tuple(
            (here, GitIgnoreSpec.from_lines(file.read_text().splitlines())) for file in own if file.is_file()
        )
        for entry in sorted(here.iterdir()):
            is_folder = entry.is_dir() and not entry.is_symlink()
            slash = "/" if is_folder else ""
            if any(spec.match_file(entry.relative_to(base).as_posix() + slash) for base, spec in rules):
                continue
            if is_folder:
                yield from walk(entry, rules)
            else:
                yield entry

    return walk(folder, ((folder, GitIgnoreSpec.from_lines(excluded)),))
