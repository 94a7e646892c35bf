"""Checks a RayCluster or RayJob of KubeRay before `kubectl apply`: its fields, and what hurts on any cluster.

The fields are those of KubeRay's API reference (ray.io/v1). What is a pod's own is Kubernetes' to validate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import version
from typing import Any

from orchestration.cluster.rules import Finding, find_in_image, holds_secret, lacks_posegen, texts
from posegen.errors import ClusterError

API = "ray.io/"
"""Beginning of ``apiVersion`` in files of KubeRay."""
_CLUSTER = (
    "authOptions autoscalerOptions enableInTreeAutoscaling gcsFaultToleranceOptions headGroupSpec "
    "headServiceAnnotations managedBy rayVersion suspend upgradeStrategy workerGroupSpecs"
)
_JOB = (
    "activeDeadlineSeconds backoffLimit clusterSelector deletionStrategy entrypoint entrypointNumCpus "
    "entrypointNumGpus entrypointResources jobId managedBy metadata preRunningDeadlineSeconds rayClusterSpec "
    "runtimeEnvYAML schedule shutdownAfterJobFinishes submissionMode submitterConfig submitterPodTemplate suspend "
    "ttlSecondsAfterFinished"
)
_HEAD = "enableIngress headService labels rayStartParams resources serviceType template"
_WORKERS = (
    "groupName idleTimeoutSeconds labels maxReplicas minReplicas numOfHosts rayStartParams replicas resources "
    "scaleStrategy suspend template"
)
_OUTSIDE = ("NodePort", "LoadBalancer")  # types of services that are reached from outside
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NEEDED = {
    "POSEGEN_STORAGE": ("storage", "no shared storage is named, and runs are lost with their pods", "s3://…"),
    "MLFLOW_TRACKING_URI": ("tracking", "each pod would record to a file of its own", "http://…"),
}


def check_kubernetes(content: Mapping[str, Any], path: str) -> list[Finding]:
    """Look over a RayCluster or a RayJob.

    Args:
        content: The file.
        path: Its path, for messages.

    Raises:
        ClusterError: It is of another kind, or what must be a mapping or a list is none.
    """
    kind = content.get("kind")
    if kind not in ("RayCluster", "RayJob"):
        raise ClusterError(f"{path} is of the kind {kind}, expected RayCluster or RayJob")
    try:
        return list(_findings(content, is_job=kind == "RayJob"))
    except (AttributeError, LookupError, TypeError) as error:
        raise ClusterError(f"{path} is no {kind} as KubeRay has them: {type(error).__name__} {error}") from None


def _findings(content: Mapping[str, Any], is_job: bool) -> Iterator[Finding]:
    spec, place = content["spec"], "spec"
    if is_job:
        yield from _unknown_fields(spec, _JOB, place)
        spec, place = spec["rayClusterSpec"], "spec.rayClusterSpec"
    yield from _unknown_fields(spec, _CLUSTER, place)
    if (spec.get("authOptions") or {}).get("mode") != "token":
        problem = "no token is asked for: anyone who can reach a port of Ray can run code there"
        yield Finding("token_mode", f"{place}.authOptions", problem, "mode: token")
    if spec.get("rayVersion") not in (None, version("ray")):
        problem = f"Ray {spec['rayVersion']} is named, and posegen runs with {version('ray')} here"
        yield Finding("ray_version", f"{place}.rayVersion", problem, version("ray"))
    head = spec["headGroupSpec"]
    yield from _unknown_fields(head, _HEAD, f"{place}.headGroupSpec")
    yield from _open_head(head, f"{place}.headGroupSpec")
    if is_job and content["spec"].get("submissionMode", "K8sJobMode") != "InteractiveMode":
        yield from _unreachable(head, f"{place}.headGroupSpec.rayStartParams.dashboard-host")
    yield from _group(head, f"{place}.headGroupSpec")
    for number, workers in enumerate(spec.get("workerGroupSpecs") or []):
        where = f"{place}.workerGroupSpecs[{number}]"
        yield from _unknown_fields(workers, _WORKERS, where)
        yield from _group(workers, where)
    for where, text in texts(dict(content)):
        if holds_secret(where, text):
            yield _secret(where)


def _unknown_fields(given: Mapping[str, Any], known: str, place: str) -> Iterator[Finding]:
    for name in given:
        if name not in known.split():
            near = get_close_matches(name, known.split(), 1)
            problem = "is no field that KubeRay has, and Kubernetes drops it or refuses the file"
            yield Finding("field", f"{place}.{name}", problem, near[0] if near else "leave it out")


def _open_head(head: Mapping[str, Any], place: str) -> Iterator[Finding]:
    """Find settings that show the head's ports to those outside of the cluster."""
    if head.get("enableIngress"):
        yield Finding("open_port", f"{place}.enableIngress", "shows the dashboard outside", "kubectl port-forward")
    if head.get("serviceType") in _OUTSIDE:
        problem = f"{head['serviceType']} shows the head's ports outside"
        yield Finding("open_port", f"{place}.serviceType", problem, "ClusterIP, and kubectl port-forward")


def _unreachable(head: Mapping[str, Any], place: str) -> Iterator[Finding]:
    if (head.get("rayStartParams") or {}).get("dashboard-host") in _LOOPBACK:
        problem = "the pod that submits the job is another one, and does not reach the dashboard"
        yield Finding("dashboard", place, problem, '"0.0.0.0", where the token guards it')


def _group(group: Mapping[str, Any], place: str) -> Iterator[Finding]:
    """Look over the pods of a group."""
    for name, value in (group.get("rayStartParams") or {}).items():
        if not isinstance(value, str):
            problem = f"{value!r} is no text, which KubeRay's API asks for"
            yield Finding("field", f"{place}.rayStartParams.{name}", problem, f'"{value}"')
    container, where = group["template"]["spec"]["containers"][0], f"{place}.template.spec.containers[0]"
    image = str(container.get("image", ""))
    yield from find_in_image(f"{where}.image", image)
    if lacks_posegen(image):
        problem = f"{image or 'it'} has no posegen"
        yield Finding("image", f"{where}.image", problem, "an image of one's own, by docs/cluster/Dockerfile")
    environment = {one["name"]: one.get("value") for one in container.get("env") or []}
    for name, (rule, problem, value) in _NEEDED.items():
        if name not in environment:
            yield Finding(rule, f"{where}.env", problem, f"{name}: {value}")
    for name, value in environment.items():
        if isinstance(value, str) and re.search(r"(?i)password|secret|token|api_?key", name):
            yield _secret(f"{where}.env.{name}")
    resources = container.get("resources") or {}
    if not resources.get("limits") or resources.get("limits") != resources.get("requests"):
        problem = "Ray plans with the limits, and a pod is sure of its requests alone"
        yield Finding("resources", f"{where}.resources", problem, "limits and requests that are equal")


def _secret(place: str) -> Finding:
    return Finding(
        "secret", place, "holds a secret, readable by anyone who can read this file", "valueFrom: secretKeyRef"
    )
