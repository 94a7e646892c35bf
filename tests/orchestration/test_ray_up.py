"""A real cluster, from `ray up` to `ray down`: the shipped file, SSH, a token, and a machine that dies.

``make cluster-test`` runs it and prints what happens.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import machines
import narrow
import pytest
import yaml
from machines import NETWORK, USER, Lab, Machine
from mlflow import MlflowClient

from posegen.checkpoint import Progress, find_checkpoint, latest_checkpoint, load_progress, save_checkpoint
from posegen.stages import ColorEncoder
from posegen.storage import Folder

ROOT = Path(__file__).resolve().parents[2]
WORKERS = {"worker-1": 12, "worker-2": 13}
EPOCHS = 6
NARROW = "--preset tiny --generator-width 4 --encoder-width 4 --discriminator-width 4 --batch-size 4"
LENGTH = f"--epoch-size 80 --num-epochs {EPOCHS} --checkpoint-steps 5"
STORAGE = "$POSEGEN_STORAGE"
TRAIN = f"train video_generator {STORAGE}/data --runs {STORAGE}/runs --name NAME --workers 2 {NARROW} {LENGTH}"
ENCODERS = f"--upper-encoder {STORAGE}/runs/upper --lower-encoder {STORAGE}/runs/lower"
ASK = """
import sys, urllib.request
request = urllib.request.Request("http://127.0.0.1:8265" + sys.argv[1], sys.argv[3].encode() or None)
if sys.argv[2]:
    request.add_header("Authorization", "Bearer " + sys.argv[2])
try:
    print(urllib.request.urlopen(request, timeout=10).read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
"""
"""What asks a dashboard: path, token, what is sent."""

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.cluster, pytest.mark.timeout(1800)]


@dataclass
class Site:
    """A lab with what its operator knows of it."""

    lab: Lab
    storage: Path
    file: Path
    tell: Callable[[str], None]

    def start(self, words: str | Sequence[str], log: str, **variables: str) -> subprocess.Popen[bytes]:
        """Begin a command of the operator's, in the checkout."""
        words = words.split() if isinstance(words, str) else words
        command = self.lab.operator.command(words, folder=ROOT, PYTHONPATH=str(ROOT), **variables)
        with (self.lab.folder / log).open("ab") as file:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def run(self, words: str | Sequence[str], *, code: int = 0, timeout: float = 300, **variables: str) -> str:
        """Give a command of the operator's, and return what it printed."""
        log = f"{secrets.token_hex(4)}.log"
        got = self.start(words, log, **variables).wait(timeout)
        printed = (self.lab.folder / log).read_text()
        assert got == code, f"{words} ended with {got}: {printed[-3000:]}"
        return printed

    def ask(self, path: str, token: str = "", body: str = "") -> str:
        """What the dashboard answers, by the tunnel that `ray dashboard` left open."""
        return self.run([sys.executable, "-c", ASK, path, token, body])

    def told(self, log: str) -> str:
        """What a command has printed until now."""
        return (self.lab.folder / log).read_text()

    @property
    def token(self) -> str:
        return self.run(["cat", str(self.lab.operator.home / ".ray/auth_token")]).strip()


@pytest.fixture
def tell(capsys) -> Callable[[str], None]:
    """Prints a line with the seconds since the beginning."""
    begin = time.monotonic()

    def say(line: str) -> None:
        with capsys.disabled():
            print(f"{time.monotonic() - begin:7.1f} s  {line}", flush=True)

    with capsys.disabled():
        print()
    return say


@pytest.fixture
def site(tmp_path, noise_clips, tell) -> Iterator[Site]:
    """Three machines with sshd and nothing else on them, an operator's with the shipped file, and a shared folder."""
    lacks = machines.missing()
    if lacks:
        pytest.skip(lacks)
    storage = Path(shutil.copytree(noise_clips, tmp_path / "storage" / "data")).parent
    seen = [Path(sys.prefix), Path(sys.base_prefix), ROOT, tmp_path]
    with Lab(tmp_path / "lab", seen) as lab:
        for name, number in {"head": 11, **WORKERS}.items():
            lab.start(name, number)
        file = tmp_path / "cluster.yaml"
        file.write_text(yaml.safe_dump(shipped(storage)))
        yield Site(lab, storage, file, tell)
    assert lab.leftovers() == []


def shipped(storage: Path) -> dict:
    """The cluster's file as it is shipped, with the addresses and names of these machines."""
    text = (ROOT / "docs" / "cluster-local.yaml").read_text()
    own = {"192.0.2": NETWORK, "EXAMPLE-USER": USER, "/mnt/EXAMPLE/posegen": str(storage), "EXAMPLE-HOST": f"{NETWORK}.1"}
    for example, value in own.items():
        assert example in text
        text = text.replace(example, value)
    config = yaml.safe_load(text)
    config["provider"]["worker_ips"] = [f"{NETWORK}.{number}" for number in WORKERS.values()]
    return config | {"min_workers": len(WORKERS), "max_workers": len(WORKERS)}


def wait_until(happened: Callable[[], object], what: str, patience: float = 300, pause: float = 1.0) -> None:
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {patience:.0f} s"
        time.sleep(pause)


def test_it(site):
    tell = site.tell
    for region in ("upper", "lower"):
        encoder = ColorEncoder(replace(narrow.CONFIG, region=region, latent_dim=4))
        progress = Progress(epoch=1, step=1, data_fingerprint="", size=(64, 64))
        save_checkpoint(Folder(site.storage / "runs" / region / "checkpoints" / "epoch-0001"), encoder, progress)
    server = f"mlflow server --host {NETWORK}.1 --port 5000 --workers 1 --backend-store-uri sqlite:///{site.storage}/mlflow.db --artifacts-destination {site.storage}/artifacts"
    site.start(server, "mlflow.log")
    site.run("ray get-auth-token --generate")
    tell(site.run(f"posegen cluster check {site.file}"))
    up = site.run(f"ray up --yes {site.file}", RAY_UP_enable_autoscaler_v2="0")
    tell("ray up\n" + up[-500:])
    site.start(f"ray dashboard {site.file}", "dashboard.log")
    wait_until(lambda: all(m.running("raylet/raylet") for m in site.lab.machines.values() if m.name != "operator"), "workers")
    tell("raylets everywhere")
    tell(site.run("ray exec {} 'tail -n 200 /tmp/ray/session_latest/logs/monitor.log; cat /tmp/ray/session_latest/logs/monitor.out'".format(site.file))[-3000:])
    tell(site.ask("/nodes?view=summary", site.token)[:200])
    tell(site.ask("/api/jobs/", "", "{}"))
    tell(site.ask("/api/jobs/", "f" * 64, "{}"))
    tell(site.run("posegen submit -- weights list", code=2, HOME="/nowhere"))
    words = [*f"posegen submit -- {TRAIN} {ENCODERS}".replace("NAME", "video").split()]
    job = site.start(words, "job.log")
    run = Folder(site.storage / "runs" / "video")
    def at():
        checkpoint = latest_checkpoint(run)
        return load_progress(checkpoint).epoch if checkpoint else 0
    wait_until(lambda: at() >= 2 or job.poll() is not None, "two epochs", 300)
    tell(site.told("job.log"))
    assert job.poll() is None
    where = [m.name for m in site.lab.machines.values() if m.running("ray::RayTrainWorker")]
    tell(f"workers: {where}")
    victim = site.lab.machines[[name for name in where if name != "head"][0]]
    site.lab.pull_the_plug(victim)
    tell(f"{victim.name} is dead: {latest_checkpoint(run).name}")
    wait_until(lambda: job.poll() is not None, "the end", 600)
    tell(site.told("job.log"))
    assert job.poll() == 0
