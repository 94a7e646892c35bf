"""Rows travel in blocks, and steps take the GPUs that they ask for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestration.runtime import ray_data
from orchestration.runtime.ray_data import RowWork, Step, map_rows
from posegen.io.storage import StorageFolder

READ, SEE, WRITE = Step(int), Step(int, gpus=0.25), Step(int)
ROOT = Path(__file__).parents[3]


def test_blocks_shrink_towards_the_end():
    rows = [{"key": number} for number in range(1000)]
    blocks = list(ray_data._blocks(rows, 8))
    assert [row for block in blocks for row in block] == rows
    sizes = [len(block) for block in blocks]
    assert sizes[:3] == [125, 110, 96] and sizes == sorted(sizes, reverse=True) and sizes[-2:] == [1, 1]
    assert max(map(len, ray_data._blocks(rows * 10, 8))) == 256
    assert list(ray_data._blocks([], 8)) == []


@pytest.mark.parametrize(
    ("steps", "gpus", "processes", "expected"),
    [
        ((READ, SEE, WRITE), 0, 16, [(3, 16, 0)]),  # without GPUs nothing is passed on
        ((READ, SEE, WRITE), 1, 16, [(1, 8, 0), (1, 4, 0.25), (1, 4, 0)]),
        ((READ, READ, SEE, SEE, WRITE), 1, 8, [(2, 4, 0), (2, 2, 0.25), (1, 2, 0)]),
        ((READ, SEE, WRITE), 1, 2, [(3, 2, 0.25)]),  # too few CPUs to share
        ((READ, Step(int, gpus=1.0), WRITE), 1, 16, [(1, 11, 0), (1, 1, 1), (1, 4, 0)]),
        ((SEE,), 1, 16, [(1, 4, 0.25)]),
        ((READ, WRITE), 4, 16, [(2, 16, 0)]),
    ],
)
def test_steps_with_gpus_have_their_own_processes(steps, gpus, processes, expected):
    stages = ray_data._stages(steps, gpus, processes)
    assert [(len(stage.steps), stage.num_processes, stage.gpus) for stage in stages] == expected


@dataclass
class Look:
    """Notes which GPUs a step sees, and in which process it runs."""

    name: str

    def __call__(self, row: dict[str, object]) -> dict[str, object]:
        return {**row, self.name: (os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid())}


def look_around(folder: str) -> None:
    """On a Ray with a GPU by name: each step sees the GPU that it asked for, or none."""
    from orchestration.runtime.ray_session import start_ray

    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    os.environ["RAY_ADDRESS"] = start_with_gpu()
    start_ray()
    work = RowWork((Step(Look, ("read",)), Step(Look, ("see",), gpus=0.5), Step(Look, ("write",))), key="key")
    rows = list(map_rows([{"key": number} for number in range(20)], work, out=StorageFolder(folder), workers=-1))
    assert sorted(row["key"] for row in rows) == list(range(20))
    assert {row[name][0] for row in rows for name in ("read", "write")} == {""}
    assert {row["see"][0] for row in rows} == {"0"}
    assert all(len({row[name][1] for name in ("read", "see", "write")}) == 3 for row in rows)


def start_with_gpu() -> str:
    import ray

    os.environ |= {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1", "RAY_AUTH_MODE": "disabled"}
    return ray.init("local", num_cpus=4, num_gpus=1, log_to_driver=False).address_info["gcs_address"]


def test_nothing_sees_a_gpu_that_it_did_not_ask_for(tmp_path):
    """In a process of its own, whose Ray has a GPU, and knows nothing of the Ray of other tests."""
    line = f"from tests.orchestration.runtime.test_ray_data import look_around; look_around({str(tmp_path)!r})"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["PYTHONPATH"] = str(ROOT)
    subprocess.run([sys.executable, "-c", line], cwd=ROOT, env=environment, check=True, timeout=300)


class Slow:
    """Takes a third of a second for each row, and dies of the last."""

    def __call__(self, row: dict[str, object]) -> dict[str, object]:
        time.sleep(0.3)
        if row["key"] == 5 and not (died := Path(str(row["folder"]), "died")).exists():
            died.touch()
            os._exit(9)
        return {"key": row["key"], "pid": os.getpid()}


@pytest.mark.ray
def test_what_a_process_told_before_it_died_is_not_done_again(ray_session, tmp_path, monkeypatch):
    """Results come while a block is worked on, and the one row that is lost is tried again by another process."""
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(ray_data, "_SHARE", 1)  # one block
    rows = [{"key": number, "folder": str(tmp_path)} for number in range(6)]
    heard: list[tuple[int, int]] = []
    work = RowWork((Step(Slow),), key="key")
    results = list(
        map_rows(rows, work, out=StorageFolder(tmp_path), workers=1, on_progress=lambda *count: heard.append(count))
    )
    assert sorted(result["key"] for result in results) == list(range(6)) and len(results) == 6
    pids = {result["key"]: result["pid"] for result in results}
    assert len({pids[key] for key in range(5)}) == 1 and pids[5] != pids[0]
    assert heard == [(number, 6) for number in range(1, 7)]
