"""Scripts, recipes of images, compose files and IAM policies are checked as a cluster's own file is."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.cluster.check import check_cluster_file
from posegen.errors import ClusterError

SCRIPT = """#!/usr/bin/env bash
# ray start --dashboard-host=0.0.0.0 in a comment is nobody's port
export AWS_SECRET_ACCESS_KEY=abcdefgh
srun ray start --head \\
  --dashboard-host=0.0.0.0
pip install torch
"""
DOCKERFILE = """# an image
ARG RAY=2.1.0
FROM rayproject/ray:${RAY}-py311
FROM python
FROM --platform=linux/amd64 python:3.11-slim AS built
RUN pip install --no-deps . && pip install numpy
"""
SERVICES = """
services:
  store:
    image: postgres:latest
    ports: ["5432:5432", "127.0.0.1:9000:9000"]
    environment: {POSTGRES_PASSWORD: abcdefgh, OTHER_PASSWORD_FILE: /run/secrets/x}
  web: {image: "host:5000/web:1.2", ports: [{host_ip: 127.0.0.1, target: 80}, {published: 80, target: 80}]}
"""
POLICY = """{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::data/*"},
  {"Effect": "Allow", "Action": ["ec2:RunInstances"], "Resource": "*"},
  {"Effect": "Allow", "Action": ["ec2:DescribeInstances"], "Resource": "*"},
  {"Effect": "Deny", "Action": "*", "Resource": "*"}]}
"""


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "job.sh",
            SCRIPT,
            {("secret", "line 3"), ("open_port", "line 4"), ("unpinned", "line 6"), ("token_mode", "line 4")},
        ),
        ("Dockerfile", DOCKERFILE, {("ray_version", "line 3"), ("unpinned", "line 4"), ("unpinned", "line 6")}),
        (
            "compose.yaml",
            SERVICES,
            {
                ("unpinned", "services.store.image"),
                ("open_port", "services.store.ports"),
                ("open_port", "services.web.ports"),
                ("secret", "services.store.environment.POSTGRES_PASSWORD"),
            },
        ),
        ("policy.json", POLICY, {("rights", "Statement[0].Action"), ("rights", "Statement[1].Resource")}),
    ],
)
def test_what_would_hurt_is_found(name, text, expected, tmp_path: Path):
    (tmp_path / name).write_text(text)
    findings = check_cluster_file(tmp_path / name).findings
    assert {(finding.rule, finding.place) for finding in findings} == expected


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "services: [1]"), ("b.json", '{"Statement": {"Action": 1}}')])
def test_files_of_another_shape_are_refused(name, text, tmp_path: Path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ClusterError, match=name):
        check_cluster_file(tmp_path / name)
