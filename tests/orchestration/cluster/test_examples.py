"""Examples for operators: they parse, hold no secret, and open nothing to the world."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from orchestration.cluster.check import check_cluster_file

ROOT = Path(__file__).resolve().parents[3]
FILES = ROOT / "docs" / "cluster"
RAY = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)[1]


def pods(content: dict) -> list[dict]:
    """The groups of pods of a RayCluster or RayJob."""
    spec = content["spec"].get("rayClusterSpec", content["spec"])
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def test_the_cluster_on_google_cloud_is_checked():
    checked = check_cluster_file(FILES / "gcp.yaml")
    assert not checked.findings and any("EXAMPLE" in line for line in checked.open)


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_kubernetes_files_ask_for_a_token(name):
    content = yaml.safe_load((FILES / name).read_text())
    spec = content["spec"].get("rayClusterSpec", content["spec"])
    assert content["apiVersion"] == "ray.io/v1" and content["kind"] in ("RayCluster", "RayJob")
    assert spec["authOptions"] == {"mode": "token"} and spec["rayVersion"] == RAY
    head = spec["headGroupSpec"]["rayStartParams"]
    # A job is submitted from a pod of its own.
    assert head["num-cpus"] == "0" and head["dashboard-host"] == ("0.0.0.0" if "job" in name else "127.0.0.1")
    checked = check_cluster_file(FILES / name)
    assert not checked.findings and any("EXAMPLE-REGISTRY" in line for line in checked.open)
    for group in pods(content):
        [container] = group["template"]["spec"]["containers"]
        assert re.fullmatch(r"EXAMPLE-REGISTRY/posegen:[\d.]+-(cpu|gpu)", container["image"])
        limits, requests = container["resources"]["limits"], container["resources"]["requests"]
        assert limits == requests  # Ray plans with what a pod is sure to have
        assert ("nvidia.com/gpu" in limits) == container["image"].endswith("-gpu")


def test_a_job_runs_a_command_that_is_understood(monkeypatch):
    from orchestration.cli.main import build_app

    content = yaml.safe_load((FILES / "rayjob.yaml").read_text())
    words = content["spec"]["entrypoint"].split()
    assert words[0] == "posegen"
    build_app().parse("posegen", [word.replace("$POSEGEN_STORAGE", "s3://bucket") for word in words[1:]])


def test_services_listen_on_this_machine_and_read_passwords_from_files():
    content = yaml.safe_load((FILES / "compose.yaml").read_text())
    for service in content["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert ":latest" not in service["image"]
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or name.endswith("_FILE"), value
    assert "secrets/" in (ROOT / ".gitignore").read_text()


@pytest.mark.parametrize("name", ["iam-head.json", "iam-worker.json", "compose.yaml", "Dockerfile", "slurm.sh"])
def test_the_other_examples_are_checked_too(name):
    checked = check_cluster_file(FILES / name)
    assert not checked.findings and bool(checked.open) == name.startswith("iam")


def test_the_image_has_the_pinned_ray_and_all_packages():
    text = (FILES / "Dockerfile").read_text()
    assert f"ARG RAY={RAY}" in text and "RAY_AUTH_MODE=token" in text
    for package in ("posegen", "orchestration", "search_spaces"):
        assert f"COPY --chown=ray:users {package} {package}" in text
    copied = re.search(r"COPY --chown=ray:users (constraints.+?) \./", text)[1].split()
    assert all((ROOT / name).is_file() for name in copied)


def test_the_slurm_script_is_a_script_and_shows_no_token():
    script = FILES / "slurm.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text()
    assert "RAY_AUTH_MODE=token" in text and "umask 077" in text and "--dashboard-host=127.0.0.1" in text
