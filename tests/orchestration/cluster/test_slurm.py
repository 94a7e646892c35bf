"""The script for Slurm on a real Slurm: two machines of a job train together, are stopped, queued again and go on.

Needs root and Debian's `slurm-wlm` and `munge`; ``make cluster-test`` prints what happens.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ray_cluster import free_port

ROOT = Path(__file__).resolve().parents[3]
DAEMONS = ("munged", "slurmctld", "slurmd")
EPOCHS = 40  # more than workers finish while their driver stops
NARROW = (
    "--workers 2 --cpus 1 --preset tiny --generator-width 4 --encoder-width 4 --discriminator-width 4 --batch-size 2"
)
LENGTH = f"--epoch-size 16 --num-epochs {EPOCHS} --checkpoint-steps 3"
PATIENCE = 900.0  # seconds, of which Slurm waits 120 before it starts a job again

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, DAEMONS)), reason="needs root, slurm-wlm and munge"
    ),
]
CONFIG = """
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/%n.log
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=main Nodes=ALL Default=YES State=UP
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Run a command of a Slurm with two nodes, both of which are this machine; returns what it prints."""
    place = tmp_path / "slurm"
    (place / "state").mkdir(parents=True)
    config, key = place / "slurm.conf", place / "munge.key"
    ports = [free_port() for _ in range(3)]
    config.write_text(CONFIG.format(place=place, host=socket.gethostname(), ports=ports))
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    environment = {**os.environ, "SLURM_CONF": str(config)}
    daemons = [
        [
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={place}/munge.socket",
            f"--pid-file={place}/munge.pid", f"--log-file={place}/munge.log", f"--seed-file={place}/munge.seed",
        ],
        ["slurmctld", "-D"], ["slurmd", "-D", "-N", "one"], ["slurmd", "-D", "-N", "two"],
    ]  # fmt: skip
    running = []
    for daemon in daemons:
        running.append(subprocess.Popen(daemon, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        time.sleep(1)

    def run(*command: str) -> str:
        variables = {**os.environ, "SLURM_CONF": str(config)}
        return subprocess.run(command, env=variables, check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    yield run
    subprocess.run(["scancel", "--full", "--user=root"], env=environment, check=False)
    time.sleep(1)
    for process in reversed(running):
        process.terminate()
        process.wait(30)


def wait_for(text: str, read: Callable[[], str]) -> str:
    """Wait until a text is in what is read, and return all of it."""
    end = time.monotonic() + PATIENCE
    while text not in (got := read()):
        assert time.monotonic() < end and "JobState=FAILED" not in got, got
        time.sleep(1)
    return got


@pytest.mark.timeout(3 * PATIENCE)
def test_a_job_that_is_stopped_goes_on(slurm, noise_clips, tmp_path: Path, monkeypatch):
    for name, value in {
        "POSEGEN_VENV": str(Path(sys.executable).parents[1]),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    log = tmp_path / "log"
    machines = "--nodes=2 --gpus-per-node=0 --cpus-per-task=2 --parsable"
    train = (
        f"train color_encoder {noise_clips} --name run --runs {tmp_path}/runs --workers 2 --cpus 1 {NARROW} {LENGTH}"
    )
    script = str(ROOT / "docs" / "cluster" / "slurm.sh")
    job = slurm("sbatch", *machines.split(), f"--output={log}", script, *train.split()).strip()

    def state() -> str:
        """What Slurm says of the job, and the job's own log."""
        return slurm("scontrol", "show", "job", job) + (log.read_text() if log.is_file() else "")

    wait_for(f"epoch 2/{EPOCHS}", state)
    slurm("scancel", "--signal=TERM", "--batch", job)  # as Slurm does two minutes before the end
    stopped = wait_for("the same command goes on", state)
    wait_for("run is trained", state)
    assert "ExitCode=0:0" in wait_for("JobState=COMPLETED", state)
    assert f"epoch {EPOCHS}/{EPOCHS}" not in stopped and f"epoch {EPOCHS}/{EPOCHS}" in log.read_text()
    assert log.read_text().count(f"epoch 1/{EPOCHS}") == 1  # it was not begun anew
    assert not list(tmp_path.glob(".ray-token-*"))
