"""The Ray that the product starts for itself."""

from __future__ import annotations

import os

import pytest

from orchestration.runtime import ray_session as module
from posegen.errors import ConfigError


@pytest.mark.ray
def test_its_processes_know_which_ray_is_theirs(ray_session):
    """Others may run on the same machine; this process is not tied to it."""
    import ray

    theirs = ray.get(ray.remote(lambda: os.environ["RAY_ADDRESS"]).remote())
    assert theirs.rpartition(":")[2] == ray.get_runtime_context().gcs_address.rpartition(":")[2]
    assert "RAY_ADDRESS" not in os.environ


@pytest.mark.ray
def test_ray_writes_nothing_on_the_console_of_actors_that_may_restart(ray_session, capfd):
    """As those of Ray Data's pools, whose arguments lie in its object store."""
    import ray

    class Named:
        def __init__(self, content: bytes):
            self.size = len(content)

        def read(self) -> int:
            return self.size

    actor = ray.remote(Named).options(max_restarts=1, num_cpus=0).remote(ray.put(b"x" * 200_000))
    assert ray.get(actor.read.remote()) == 200_000
    ray.kill(actor)
    assert "core_worker.cc" not in capfd.readouterr().err


def test_only_the_note_on_the_log_level_is_left_out(capfd):
    with module._without_native_notes():
        os.write(2, b"[logging.cc:303: Set ray log level from environment variable X to 3\nwarning: full\n")
        os.write(2, b"gcs_client.cc:210: Failed to get cluster ID from GCS server: RpcError: RPC error\n")
    with pytest.raises(KeyError), module._without_native_notes():
        os.write(2, b"last words\n")
        raise KeyError
    assert capfd.readouterr().err == "warning: full\nlast words\n"


def test_a_ray_that_gives_up_is_one_line(monkeypatch):
    import ray

    def give_up(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup.\nMore of it.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", give_up)
    with pytest.raises(
        ConfigError, match=r"Ray did not start \(The current node timed out during startup\.\)"
    ) as error:
        module.start_ray()
    assert "\n" not in str(error.value)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(ConfigError, match=r"^no cluster answers at auto, which RAY_ADDRESS names \(The current"):
        module.start_ray()
