"""What would hurt on a cluster is found in its file, and the files that are shipped have nothing of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.cli import main as cli
from orchestration.cluster.check import check_cluster_file, read_cluster_file
from orchestration.cluster.rules import RULES
from posegen.errors import ClusterError

ROOT = Path(__file__).resolve().parents[3]
AWS, LOCAL, KUBERAY = "cluster.yaml", "docs/cluster-local.yaml", "docs/cluster/raycluster.yaml"
Config = dict[str, Any]


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout with the files that a cluster's file is about, as working directory; its home has a token."""
    folder, home = tmp_path / "checkout", tmp_path / "home"
    (folder / "docs").mkdir(parents=True)
    for name in (AWS, LOCAL, "constraints.txt", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_bytes(b"history")
    home.mkdir(parents=True, exist_ok=True)
    (home / ".ray").mkdir(mode=0o700)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    return folder


@pytest.fixture
def found() -> Callable[..., dict[str, str]]:
    """Rules that find something in a shipped file after a change to it, with their lines."""

    def find(change: Callable[[Config], object] = lambda config: None, file: str = AWS) -> dict[str, str]:
        config = deepcopy(read_cluster_file(ROOT / file))
        change(config)
        Path("changed.yaml").write_text(yaml.safe_dump(config))
        return {finding.rule: str(finding) for finding in check_cluster_file(Path("changed.yaml")).findings}

    return find


@pytest.mark.parametrize("file", [AWS, LOCAL])
def test_shipped_files_have_nothing_that_hurts(file, found):
    assert found(file=file) == {}


def test_the_head_trains_nothing_and_workers_come_and_go():
    types = read_cluster_file(ROOT / AWS)["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    spot = [name for name, node in types.items() if "InstanceMarketOptions" in node["node_config"]]
    assert spot == ["gpu_spot"] and types["gpu_spot"]["priority"] > types["gpu"]["priority"]
    assert all(node.get("min_workers", 0) == 0 for node in types.values())


def set_environment(old: str, new: str) -> Callable[[Config], None]:
    """A change of the containers' environment."""

    def change(config: Config) -> None:
        options = [option.replace(old, new) for option in config["docker"]["run_options"]]
        config["docker"]["run_options"] = [option for option in options if option != "--env "]

    return change


def replace_in(key: str, old: str, new: str) -> Callable[[Config], None]:
    """A change of the commands under a key."""

    def change(config: Config) -> None:
        assert any(old in command for command in config[key])
        config[key] = [command.replace(old, new) for command in config[key]]

    return change


def set_key(*keys: str, value: object) -> Callable[[Config], None]:
    """A change of one value; `...` takes it away."""

    def change(config: Config) -> None:
        for key in keys[:-1]:
            config = config[key]
        if value is ...:
            del config[keys[-1]]
        else:
            config[keys[-1]] = value

    return change


GPU = ("available_node_types", "gpu_spot", "node_config")
EVERYONE = [{"FromPort": 8265, "ToPort": 8265, "IpProtocol": "tcp", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
CASES = [
    ("token_mode", set_environment("RAY_AUTH_MODE=token", ""), "not set .*head_start.*|head_start.* not set"),
    ("token_mode", set_environment("RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"), "RAY_AUTH_MODE is disabled"),
    (
        "token_mode",
        replace_in("worker_start_ray_commands", "ulimit", "export RAY_AUTH_MODE=disabled; ulimit"),
        "^worker_start_ray_commands: RAY_AUTH_MODE is disabled and token",
    ),
    ("token_file", set_key("file_mounts", "/home/ray/.ray", value=...), "/home/ray/.ray: ~/.ray$"),
    ("open_port", replace_in("head_start_ray_commands", "127.0.0.1", "0.0.0.0"), "--dashboard-host=127.0.0.1"),
    (
        "open_port",
        lambda config: config["head_start_ray_commands"].append("mlflow server --host 0.0.0.0"),
        "--host 0.0.0.0 listens on every interface",
    ),
    ("open_group", set_key("provider", "security_group", value={"IpPermissions": EVERYONE}), "whole internet"),
    ("open_group", set_key(*GPU, "SecurityGroupIds", value=...), "gpu_spot.*SSH from the whole internet"),
    ("secret", set_environment("http://EXAMPLE-HOST", "http://me:hunter2@host"), "^docker.run_options: holds a secret"),
    ("secret", set_environment("s3://EXAMPLE", "AWS_SECRET_ACCESS_KEY=abc"), "instance profile"),
    ("secret", set_key("metadata", "key", value="AKIA" + 16 * "A"), "^metadata.key: holds a secret"),
    ("secret", replace_in("setup_commands", "pip", "export RAY_AUTH_TOKEN=abc; pip"), "^setup_commands"),
    ("unpinned", set_key("docker", "worker_image", value="rayproject/ray:latest-gpu"), "ray:2.60.0-py311-gpu$"),
    ("unpinned", set_key("docker", "head_image", value="rayproject/ray"), "^docker.head_image"),
    ("image", set_key("setup_commands", value=[]), "has no posegen, and no command installs it"),
    ("unpinned", set_key("docker", "head_image", value="host:5000/rayproject/ray"), "host:5000/rayproject/ray:2.60.0"),
    (
        "unpinned",
        replace_in("head_setup_commands", "boto3==", "boto3>="),
        r"pip chooses the version of boto3>=.* → boto3==VERSION$",
    ),
    (
        "unpinned",
        lambda config: config["setup_commands"].append("pip install -U posegen[export] && pip install -r more.txt"),
        r"version of posegen\[export\]",
    ),
    (
        "ray_version",
        set_key("docker", "worker_image", value="rayproject/ray:2.59.0-py311-gpu"),
        "has Ray 2.59.0, and posegen runs with .* → rayproject/ray:2.60.0-py311-gpu$",
    ),
    ("constraints", set_key("file_mounts", value={"/home/ray/.ray": "~/.ray"}), "constraints.txt will not be there"),
    ("storage", set_environment("POSEGEN_STORAGE=s3://EXAMPLE-BUCKET/posegen", ""), "--env POSEGEN_STORAGE=s3"),
    ("tracking", set_environment("MLFLOW_TRACKING_URI=http://EXAMPLE-HOST:5000", ""), "--env MLFLOW_TRACKING_URI="),
]


@pytest.mark.parametrize(("rule", "change", "line"), CASES)
def test_each_change_for_the_worse_is_found_alone(rule, change, line, found):
    lines = found(change)
    assert list(lines) == [rule]
    assert re.search(line, lines[rule]), lines[rule]
    assert "\n" not in lines[rule] and " → " in lines[rule]
    assert "hunter2" not in lines[rule] and "AKIAA" not in lines[rule]


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("token_mode", replace_in("setup_commands", "RAY_AUTH_MODE=token", "")),
        ("token_file", set_key("file_mounts", value={"~/posegen": "."})),
        ("storage", replace_in("setup_commands", "POSEGEN_STORAGE=", "STORAGE=")),
        ("tracking", replace_in("setup_commands", "MLFLOW_TRACKING_URI=", "MLFLOW=")),
    ],
)
def test_so_it_is_on_machines_of_ones_own(rule, change, found):
    assert list(found(change, file=LOCAL)) == [rule]


def test_the_token_may_lie_elsewhere(found):
    def move(config: Config) -> None:
        config["file_mounts"]["/home/ray/token"] = config["file_mounts"].pop("/home/ray/.ray")
        config["docker"]["run_options"].append("--env RAY_AUTH_TOKEN_PATH=/home/ray/token/auth_token")

    assert found(move) == {}


def test_what_a_file_leaves_to_ray_is_looked_at_too(found):
    """Ray's own commands install a nightly build and open the dashboard."""
    lines = found(lambda config: [config.pop(key) for key in ("setup_commands", "head_start_ray_commands")])
    assert {"open_port", "unpinned", "image"} == set(lines) and "ray-wheels" in lines["unpinned"]


def test_constraints_that_do_not_exist(checkout, found):
    (checkout / "constraints.txt").unlink()
    assert list(found()) == ["constraints"]


def test_every_rule_has_a_change_that_it_finds():
    """A rule that nothing triggers could as well be gone."""
    named = {rule for rule, _, _ in CASES}
    source = (ROOT / "orchestration/cluster/rules.py").read_text()
    assert named == set(re.findall(r'Finding\(\s*"(\w+)"', source)) | {"storage", "tracking"}
    assert len(RULES) == len(re.findall(r"(?m)^def [a-z]\w*\(cluster: Cluster\)", source))


@pytest.mark.parametrize("file", [AWS, LOCAL])
def test_what_is_left_to_fill_in_is_said(file, capsys):
    cli.main(["cluster", "check", file])
    out = capsys.readouterr().out
    assert f"{file}: no mistakes found" in out and "~/.ray" not in out
    todo = [line for line in out.splitlines() if line.startswith("to do before it starts: ")]
    assert len(todo) >= 5 and all("is the example's" in line for line in todo)


def test_a_token_that_is_not_there_is_to_be_made(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        "file_mounts: ~/.ray is not there: `ray get-auth-token --generate` makes it"
        in check_cluster_file(Path(AWS)).open
    )


def places(value: object, place: tuple = ()) -> Iterator[tuple]:
    """Keys and indices that lead to everything in a file."""
    if place:
        yield place
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*place, key))


@pytest.mark.parametrize("file", [AWS, LOCAL, KUBERAY])
@pytest.mark.parametrize("odd", [None, 3, [3], {"a": 3}], ids=str)
def test_no_value_whatever_makes_it_stumble(file, odd):
    """It answers, in lines, or the file is not a cluster's."""
    config = read_cluster_file(ROOT / file)
    for place in places({key: value for key, value in config.items() if key != "metadata"}):
        changed = deepcopy(config)
        set_key(*place, value=odd)(changed)
        Path("odd.yaml").write_text(yaml.safe_dump(changed))
        try:
            lines = map(str, check_cluster_file(Path("odd.yaml")).findings)
        except ClusterError as error:
            lines = [str(error)]
        assert all("\n" not in line for line in lines)


def test_findings_end_with_1(checkout, capsys):
    (checkout / AWS).write_text(
        (checkout / AWS).read_text().replace("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0")
    )
    with pytest.raises(SystemExit) as stop:
        cli.main(["cluster", "check", AWS])
    assert stop.value.code == 1
    assert "cluster.yaml: head_start_ray_commands: --dashboard-host 0.0.0.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("a: [1, 2", "line 1: expected ',' or ']'"),
        ("a: 1\nb: !!python/object/apply:os.system [echo]", "line 2: could not determine a constructor for the tag"),
        ("a: !include other.yaml", "line 1: could not determine a constructor for the tag '!include'"),
        ("- a\n- b", "holds list, expected a cluster"),
        ("", "holds NoneType"),
        ("cluster_name: mine", "names no provider, expected provider: {type: aws}"),
        ("provider: aws", "names no provider"),
        ("provider: {type: ../aws}", "names no provider"),
        ("provider: {type: clouds}", "Ray has no provider 'clouds'"),
        ("provider: {type: aws}\nfile_mounts: {/a: 3}", "file_mounts → /a → Input should be a valid string"),
        (b"\xff\xfe\x00", "is not YAML"),
    ],
)
def test_files_that_cannot_be_read_end_with_2(text, message, capsys):
    file = Path("broken.yaml")
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SystemExit) as stop:
        cli.main(["cluster", "check", str(file)])
    err = capsys.readouterr().err
    assert stop.value.code == 2 and message in err and err.count("\n") == 1


def test_a_token_that_others_can_read_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir(mode=0o700)
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    (tmp_path / ".ray" / "auth_token").chmod(0o640)
    place = tmp_path / ".ray" / "auth_token"
    assert f"file_mounts: others can read {place}: `chmod 600 {place}`" in check_cluster_file(Path(AWS)).open
