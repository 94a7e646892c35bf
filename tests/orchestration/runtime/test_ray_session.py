"""The Ray that the product starts for itself."""

from __future__ import annotations

import os

import pytest


@pytest.mark.ray
def test_its_processes_know_which_ray_is_theirs(ray_session):
    """Others may run on the same machine; this process is not tied to it."""
    import ray

    theirs = ray.get(ray.remote(lambda: os.environ["RAY_ADDRESS"]).remote())
    assert theirs.rpartition(":")[2] == ray.get_runtime_context().gcs_address.rpartition(":")[2]
    assert "RAY_ADDRESS" not in os.environ
