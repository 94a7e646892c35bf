"""What would hurt on Kubernetes is found in a RayCluster or RayJob."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestration.cli import main as cli
from orchestration.cluster.check import check_cluster_file
from posegen.errors import ClusterError

FILES = Path(__file__).resolve().parents[3] / "docs" / "cluster"
Config = dict[str, Any]


def find(change: Callable[[Config], object], folder: Path, name: str) -> dict[str, str]:
    """Rules that find something in a shipped file after a change to it, with their lines."""
    content = deepcopy(yaml.safe_load((FILES / name).read_text()))
    change(content)
    (folder / "changed.yaml").write_text(yaml.safe_dump(content))
    return {finding.rule: str(finding) for finding in check_cluster_file(folder / "changed.yaml").findings}


def cluster(content: Config) -> Config:
    return content["spec"].get("rayClusterSpec", content["spec"])


def head(content: Config) -> Config:
    return cluster(content)["headGroupSpec"]


def container(content: Config) -> Config:
    return cluster(content)["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
@pytest.mark.parametrize(
    ("rule", "change", "line"),
    [
        ("token_mode", lambda one: cluster(one).pop("authOptions"), "→ mode: token"),
        ("ray_version", lambda one: cluster(one).update(rayVersion="2.9.0"), "Ray 2.9.0 is named"),
        ("field", lambda one: cluster(one).update(workerGroupSpec=[]), "workerGroupSpec: .* → workerGroupSpecs"),
        ("field", lambda one: head(one)["rayStartParams"].update({"num-cpus": 0}), 'num-cpus: 0 is no text.* → "0"'),
        ("open_port", lambda one: head(one).update(serviceType="LoadBalancer"), "shows the head's ports outside"),
        ("open_port", lambda one: head(one).update(enableIngress=True), "enableIngress"),
        ("image", lambda one: container(one).update(image="rayproject/ray:2.60.0-py311-cpu"), "has no posegen"),
        ("unpinned", lambda one: container(one).update(image="here/posegen:latest"), "another image tomorrow"),
        ("storage", lambda one: container(one).update(env=[]), "POSEGEN_STORAGE"),
        ("secret", lambda one: container(one)["env"].append({"name": "MLFLOW_TRACKING_PASSWORD", "value": "x"}), "env"),
        ("secret", lambda one: container(one)["env"].append({"name": "X", "value": "AKIA" + 16 * "A"}), "secretKeyRef"),
        ("resources", lambda one: container(one)["resources"]["requests"].update(cpu="1"), "equal"),
    ],
)
def test_what_hurts_is_found_with_its_cure(name, rule, change, line, tmp_path):
    found = find(change, tmp_path, name)
    assert rule in found and re.search(line, found[rule]), found


def test_a_job_must_reach_the_dashboard(tmp_path):
    def change(content):
        head(content)["rayStartParams"]["dashboard-host"] = "127.0.0.1"

    assert "does not reach the dashboard" in find(change, tmp_path, "rayjob.yaml")["dashboard"]
    assert not find(change, tmp_path, "raycluster.yaml")


def test_a_field_of_a_job_is_known(tmp_path):
    found = find(lambda one: one["spec"].update(entryPoint="posegen"), tmp_path, "rayjob.yaml")
    assert "spec.entryPoint" in found["field"] and "→ entrypoint" in found["field"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("apiVersion: ray.io/v1\nkind: RayService\n", "of the kind RayService, expected RayCluster or RayJob"),
        ("apiVersion: ray.io/v1\nkind: RayCluster\n", "is no RayCluster as KubeRay has them: KeyError 'spec'"),
        ("apiVersion: ray.io/v1\nkind: RayJob\nspec: 3\n", "is no RayJob as KubeRay has them"),
        (
            "apiVersion: ray.io/v1\nkind: RayCluster\nspec: {headGroupSpec: {template: {}}}\n",
            "is no RayCluster",
        ),
    ],
)
def test_others_are_refused(text, message, tmp_path):
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(ClusterError, match=message):
        check_cluster_file(tmp_path / "file.yaml")


def test_the_command_lists_what_is_left_to_fill_in(capsys):
    cli.main(["cluster", "check", str(FILES / "raycluster.yaml")])
    out = capsys.readouterr().out
    assert "no mistakes found" in out and "EXAMPLE-REGISTRY" in out
