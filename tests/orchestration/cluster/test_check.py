"""What would hurt on a cluster is found in its file, and the files that are shipped have nothing of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from orchestration.cli import main as cli
from orchestration.cluster.check import check, load, prepare
from orchestration.cluster.rules import MAX_MOUNT, RULES, Config

ROOT = Path(__file__).resolve().parents[3]
AWS, LOCAL = "cluster.yaml", "docs/cluster-local.yaml"


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout with the files that a cluster's file is about, as working directory; its home has a token."""
    folder, home = tmp_path / "checkout", tmp_path / "home"
    (folder / "docs").mkdir(parents=True)
    for name in (AWS, LOCAL, "constraints.txt", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".git").mkdir()
    (folder / ".git" / "index").write_bytes(b"history")
    (home / ".ray").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    return folder


@pytest.fixture
def found() -> Callable[..., dict[str, str]]:
    """Rules that find something in a shipped file after a change to it, with their lines."""

    def find(change: Callable[[Config], object] = lambda config: None, file: str = AWS) -> dict[str, str]:
        config = deepcopy(load(ROOT / file))
        change(config)
        Path("changed.yaml").write_text(yaml.safe_dump(config))
        return {finding.rule: str(finding) for finding in check(Path("changed.yaml")).findings}

    return find


@pytest.mark.parametrize("file", [AWS, LOCAL])
def test_shipped_files_fit_rays_schema(file):
    config = load(ROOT / file)
    prepared = prepare(config)
    assert prepared["cluster_name"] == "posegen"
    with pytest.raises(Exception, match="head_node_typ"):
        prepare(config | {"head_node_typ": "head"})


@pytest.mark.parametrize("file", [AWS, LOCAL])
def test_shipped_files_have_nothing_that_hurts(file, found):
    assert found(file=file) == {}


def test_the_head_trains_nothing_and_workers_come_and_go():
    types = load(ROOT / AWS)["available_node_types"]
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
    ("schema", set_key("head_node_typ", value="head"), "'head_node_typ' was unexpected"),
    ("schema", set_key("max_workers", value="eight"), "max_workers: .*'eight' is not of type 'integer'"),
    ("schema", set_key("head_node_type", value="boss"), "must be one of `available_node_types`"),
    ("schema", set_key("provider", value={"region": "us-west-2"}), "the key 'type' is missing"),
    ("schema", set_key("provider", "type", value="clouds"), "Unsupported node provider: clouds"),
    ("schema", set_key("docker", "container_name", value=...), "container & image name"),
    ("schema", set_key("rsync_filter", value=[3]), "rsync_filter holds 3, expected text"),
    ("schema", set_key("provider", value="aws"), "of another kind"),
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
    ("secret", replace_in("setup_commands", "sudo", "export RAY_AUTH_TOKEN=abc; sudo"), "^setup_commands"),
    ("unpinned", set_key("docker", "worker_image", value="rayproject/ray:latest-gpu"), "ray:2.60.0-py311-gpu$"),
    ("unpinned", set_key("docker", "head_image", value="rayproject/ray"), "^docker.head_image"),
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
        "installs 2.60.0 over it → rayproject/ray:2.60.0-py311-gpu$",
    ),
    ("python", set_key("docker", "head_image", value="rayproject/ray:2.60.0"), "→ rayproject/ray:2.60.0-py311$"),
    ("python", set_key("docker", "head_image", value="rayproject/ray:2.60.0-py310-cpu"), "Python 3.10"),
    ("no_cuda", set_key("docker", "worker_image", value="rayproject/ray:2.60.0-py311-cpu"), "gpu_spot.*py311-gpu}$"),
    ("constraints", set_key("file_mounts", value={"/home/ray/.ray": "~/.ray"}), "constraints.txt will not be there"),
    ("stopped_nodes", set_key("provider", "cache_stopped_nodes", value=...), "cache_stopped_nodes: false$"),
    ("busy_head", set_key("available_node_types", "head", "resources", value={}), '"CPU": 0'),
    ("old_image", set_key(*GPU, "ImageId", value=...), "gpu_spot.*Ubuntu 18.04.*ImageId"),
    ("no_rights", set_key(*GPU, "IamInstanceProfile", value=...), "gpu_spot.*IamInstanceProfile"),
    ("storage", set_environment("POSEGEN_STORAGE=s3://EXAMPLE-BUCKET/posegen", ""), "--env POSEGEN_STORAGE=s3"),
    ("tracking", set_environment("MLFLOW_TRACKING_URI=http://EXAMPLE-HOST:5000", ""), "--env MLFLOW_TRACKING_URI="),
    ("git", set_key("rsync_exclude", value=[]), r"rsync_exclude: \[.*\.git"),
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
        ("schema", set_key("provider", "head_ip", value=...)),
        ("schema", set_key("available_node_types", value={"head": {}})),
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
    assert {"open_port", "unpinned"} == set(lines) and "ray-wheels" in lines["unpinned"]


def test_mounts_that_carry_data(checkout, found):
    (checkout / "data").mkdir()
    with (checkout / "data" / "clips.parquet").open("wb") as file:
        file.truncate(MAX_MOUNT + 1)  # sparse
    assert "data/clips.parquet" in found()["data"]
    with (checkout / ".gitignore").open("a") as ignored:
        ignored.write("/data/\n")
    assert found() == {}
    assert list(found(set_key("rsync_filter", value=[]))) == ["data"]
    assert found(lambda config: config.update(rsync_filter=[], rsync_exclude=["**/.git", "/data/*.parquet"])) == {}


@pytest.mark.parametrize(("version", "holes"), [("2.22.4", True), ("3.10.1", True), ("3.11.0", False), ("4.0", False)])
def test_mlflow_with_known_holes(version, holes, checkout, found):
    constraints = checkout / "constraints.txt"
    constraints.write_text(re.sub(r"(?m)^mlflow==.*", f"mlflow=={version}", constraints.read_text()))
    lines = found()
    assert list(lines) == (["mlflow"] if holes else [])
    assert not holes or lines["mlflow"].endswith("→ mlflow>=3.11")


def test_constraints_that_do_not_exist(checkout, found):
    (checkout / "constraints.txt").unlink()
    assert list(found()) == ["constraints"]


def test_every_rule_has_a_change_that_it_finds():
    """A rule that nothing triggers could as well be gone."""
    named = {rule for rule, _, _ in CASES} | {"data", "mlflow"}
    source = "".join((ROOT / f"orchestration/cluster/{name}.py").read_text() for name in ("rules", "check"))
    assert named == set(re.findall(r'Finding\(\s*"(\w+)"', source)) | {"storage", "tracking"}
    assert len(RULES) == len(re.findall(r"(?m)^def (?!_|texts).*\(config: Config\)", source)) - 1  # without prepare


@pytest.mark.parametrize("file", [AWS, LOCAL])
def test_what_is_left_to_fill_in_is_said(file, capsys):
    cli.main(["cluster", "check", file])
    out = capsys.readouterr().out
    assert f"{file}: nothing found that would hurt" in out and "~/.ray" not in out
    todo = [line for line in out.splitlines() if line.startswith("to do before ray up: ")]
    assert len(todo) >= 5 and all("is the example's" in line for line in todo)


def test_a_token_that_is_not_there_is_to_be_made(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "file_mounts: ~/.ray is not there: `ray get-auth-token --generate` makes it" in check(Path(AWS)).open


def places(value: object, place: tuple = ()) -> Iterator[tuple]:
    """Keys and indices that lead to everything in a file."""
    if place:
        yield place
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from places(inner, (*place, key))


@pytest.mark.parametrize("file", [AWS, LOCAL])
@pytest.mark.parametrize("odd", [None, 3, [3], {"a": 3}], ids=str)
def test_no_value_whatever_makes_it_stumble(file, odd):
    """It answers, in lines, or the file is not a cluster's."""
    config = load(ROOT / file)
    for place in places({key: value for key, value in config.items() if key != "metadata"}):
        changed = deepcopy(config)
        set_key(*place, value=odd)(changed)
        Path("odd.yaml").write_text(yaml.safe_dump(changed))
        assert all("\n" not in str(finding) for finding in check(Path("odd.yaml")).findings)


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
