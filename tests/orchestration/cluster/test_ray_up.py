"""A real cluster from `ray up` to `ray down`, by the file that is shipped: SSH, a token, and a machine that dies.

``make cluster-test`` prints what happens, with the seconds since the beginning.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from posegen.checkpoints.checkpoint import TrainingProgress, latest_checkpoint, load_progress, save_checkpoint
from posegen.io.storage import StorageFolder
from posegen.stages import ColorEncoder
from tests.support import machines, narrow
from tests.support.machines import NETWORK, USER, Lab, Machine

ROOT = Path(__file__).resolve().parents[3]
WORKERS = {"worker-1": 12, "worker-2": 13}
HOSTS = ("head", *WORKERS)
RAY = ("raylet", "gcs_server", "ray::", "ray/dashboard")
"""What the command lines of its processes have."""
DASHBOARD = "http://127.0.0.1:8265"
EPOCHS = 6
DATA, RUNS = "$POSEGEN_STORAGE/data", "$POSEGEN_STORAGE/runs"
NARROW = "--preset tiny --generator-width 4 --encoder-width 4 --discriminator-width 4 --batch-size 4"
LENGTH = f"--epoch-size 16 --num-epochs {EPOCHS} --checkpoint-steps 2"
ENCODERS = f"--upper-encoder {RUNS}/upper --lower-encoder {RUNS}/lower"
TRAIN = f"train video_generator {DATA} --runs {RUNS} --name video --workers 2 {NARROW} {LENGTH} {ENCODERS}"
ASK = """
import sys, urllib.request
address, token, body = sys.argv[1:]
request = urllib.request.Request(address, body.encode() or None, {"Authorization": "Bearer " + token} if token else {})
try:
    print(urllib.request.urlopen(request, timeout=10).read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
except OSError:
    print("nobody")
"""


@dataclass
class Site:
    """The machines, and what their operator does."""

    lab: Lab
    folder: Path
    storage: Path
    """What all of them mount at the same place."""
    say: Callable[[str], None]
    _count: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    @property
    def file(self) -> Path:
        """The cluster's."""
        return self.folder / "cluster.yaml"

    @property
    def hosts(self) -> dict[str, Machine]:
        """The machines of the cluster that are alive."""
        return {name: machine for name, machine in self.lab.machines.items() if name in HOSTS}

    def start(self, words: str | Sequence[str], log: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Begin a command of the operator's, in the checkout."""
        words = words.split() if isinstance(words, str) else words
        command = self.lab.operator.command(words, folder=ROOT, PYTHONPATH=str(ROOT), **variables)
        with log.open("ab") as file:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def run(self, words: str | Sequence[str], *, code: int = 0, **variables: str) -> str:
        """Give a command of the operator's, and return what it printed."""
        log = self.folder / f"command-{next(self._count)}.log"
        got = self.start(words, log, **variables).wait(300)
        printed = plain(log.read_text())
        assert got == code, f"{words} ended with {got}: {printed[-3000:]}"
        return printed.strip()

    def ask(self, address: str, token: str = "", body: str = "") -> str:
        """What a web address answers the operator: a text, the number of an error, or nobody."""
        return self.run([sys.executable, "-c", ASK, address, token, body])


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line with the seconds since the beginning."""
    begin = time.monotonic()

    def show(line: str) -> None:
        with capsys.disabled():
            print(f"{time.monotonic() - begin:6.1f} s  {line}", flush=True)

    with capsys.disabled():
        print()
    return show


@pytest.fixture
def site(noise_clips: str, tmp_path: Path, say: Callable[[str], None]) -> Iterator[Site]:
    """Machines with sshd, Python and nothing else, an operator's with the cluster's file, and a shared folder."""
    lacks = machines.missing()
    if lacks:
        pytest.skip(lacks)
    storage = tmp_path / "storage"
    shutil.copytree(noise_clips, storage / "data")
    for region in ("upper", "lower"):
        encoder = ColorEncoder(replace(narrow.CONFIG, region=region, latent_dim=4))
        checkpoint = StorageFolder(storage / "runs" / region) / "checkpoints" / "epoch-0001"
        save_checkpoint(checkpoint, encoder, TrainingProgress(epoch=1, step=1, data_fingerprint="", size=(64, 64)))
    with Lab(tmp_path / "lab", [Path(sys.prefix), Path(sys.base_prefix), ROOT, tmp_path]) as lab:
        site = Site(lab, tmp_path, storage, say)
        site.file.write_text(yaml.safe_dump(shipped(storage)))
        for name, number in {"head": 11, **WORKERS}.items():
            lab.start(name, number)
        say(f"{', '.join(HOSTS)} and the operator's machine are up")
        yield site
    assert lab.leftovers() == [] and str(tmp_path) not in Path("/proc/mounts").read_text()
    say("no process, mount or network is left of the machines")


def shipped(storage: Path) -> dict[str, Any]:
    """The cluster's file as it is shipped, with the addresses and names of these machines."""
    text = (ROOT / "docs" / "cluster-local.yaml").read_text()
    for example, own in {
        "192.0.2": NETWORK,
        "EXAMPLE-USER": USER,
        "/mnt/EXAMPLE/posegen": str(storage),
        "EXAMPLE-HOST": f"{NETWORK}.1",
    }.items():
        assert example in text
        text = text.replace(example, own)
    config = yaml.safe_load(text)
    config["provider"]["worker_ips"] = [f"{NETWORK}.{number}" for number in WORKERS.values()]
    return config | {"min_workers": len(WORKERS), "max_workers": len(WORKERS)}


def plain(text: str) -> str:
    """A text without the colours of a terminal."""
    return re.sub(r"\x1b\[\d+m", "", text)


def wait_until(happened: Callable[[], object], what: str, *, patience: float = 600, pause: float = 1) -> None:
    """Look again and again, with pauses of so many seconds."""
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {patience:.0f} s"
        time.sleep(pause)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_a_machine_dies_and_the_training_ends(site):
    token = bring_up(site)
    refuse_strangers(site, token)
    train_while_a_machine_dies(site)
    look_into_mlflow(site)
    take_down(site)


def bring_up(site: Site) -> str:
    """As the file says how; returns the cluster's token."""
    store = f"--backend-store-uri sqlite:///{site.storage}/mlflow.db --artifacts-destination {site.storage}/artifacts"
    site.start(f"mlflow server --host {NETWORK}.1 --port 5000 --workers 1 {store}", site.folder / "mlflow.log")
    site.run("ray get-auth-token --generate")
    checked = site.run(f"posegen cluster check {site.file}")
    assert "EXAMPLE" not in checked
    site.say(f"posegen cluster check: {checked.removeprefix(f'{site.file}: ')}")
    site.run(f"ray up --yes {site.file}", RAY_UP_enable_autoscaler_v2="0")
    site.say("ray up: the head runs")
    site.start(f"ray dashboard {site.file}", site.folder / "dashboard.log")
    token = site.run(["cat", site.lab.operator.home / ".ray" / "auth_token"])
    wait_until(lambda: len(nodes(site, token)) == len(HOSTS), "all nodes")
    site.say(f"Ray has {', '.join(nodes(site, token))}")
    return token


def nodes(site: Site, token: str) -> list[str]:
    """Which of the machines belong to the cluster, and their CPUs."""
    answer = site.ask(f"{DASHBOARD}/nodes?view=summary", token)
    if not answer.startswith("{"):
        return []  # neither the tunnel nor what is behind it is there from the beginning
    summary = json.loads(answer)["data"]["summary"]
    alive = [node for node in summary if node.get("raylet", {}).get("state") == "ALIVE"]
    return sorted(f"{node['hostname']} with {node['cpus'][0]} CPUs" for node in alive)


def refuse_strangers(site: Site, token: str) -> None:
    """Nobody without the token, and nobody who does not come by SSH."""
    job = json.dumps({"entrypoint": "touch /tmp/stranger"})
    without, wrong = (site.ask(f"{DASHBOARD}/api/jobs/", guess, job) for guess in ("", token[::-1]))
    assert (without, wrong) == ("401", "403")
    direct = site.ask(f"http://{NETWORK}.11:8265/api/jobs/", token, job)
    assert direct == "nobody"
    site.say(f"a job without a token: {without}, with a wrong one: {wrong}, not through the tunnel: {direct} answers")
    told = site.run("posegen submit -- weights list", code=2, HOME="/nowhere")
    assert "the cluster expects another token" in told
    site.say(f"posegen submit without a token: {told.splitlines()[-1]}")
    assert not (site.hosts["head"].folder / "tmp" / "stranger").exists()


def train_while_a_machine_dies(site: Site) -> None:
    """The operator sees a job that ends well; what it lost is what came after the last checkpoint."""
    log, run = site.folder / "job.log", StorageFolder(site.storage / "runs" / "video")
    job = site.start(["posegen", "submit", "--", *TRAIN.split()], log)
    site.say(f"posegen submit -- {TRAIN}")
    wait_until(lambda: within_an_epoch(run) or job.poll() is not None, "two epochs and a half", pause=0.2)
    assert job.poll() is None, log.read_text()[-3000:]
    before = trainers(site)
    assert len(before) == 2, before
    victim = next(name for name in before if name != "head")
    assert [name for name, host in site.hosts.items() if host.running("ray::_QueueActor")] == ["head"]
    site.say(f"{' and '.join(before)} train, one worker each; {within_an_epoch(run)} is saved")

    site.lab.pull_the_plug(site.lab.machines[victim])
    site.say(f"{victim} is dead")
    wait_until(lambda: len(trainers(site)) == 2 or job.poll() is not None, "two workers on what is left")
    after = trainers(site)
    site.say(f"{' and '.join(after)} train")
    assert job.wait(600) == 0, log.read_text()[-3000:]
    assert len(after) == 2 and victim not in after
    shown = plain(log.read_text())
    assert "Traceback" not in shown, shown
    assert [int(epoch) for epoch in re.findall(r"^video  epoch (\d+)/", shown, re.MULTILINE)] == [*range(1, EPOCHS + 1)]
    for line in shown.splitlines():
        if line.startswith(("video  epoch", "train-")) or "marked dead" in line:
            site.say(f"  job: {line[:110]}")


def within_an_epoch(run: StorageFolder) -> str:
    """The last checkpoint, if it is one from the middle of an epoch in the middle of a run."""
    checkpoint = latest_checkpoint(run)
    progress = load_progress(checkpoint) if checkpoint else None
    return checkpoint.name if progress and 2 <= progress.epoch < EPOCHS - 1 and progress.epoch_step else ""


def trainers(site: Site) -> list[str]:
    """The machines on which training workers are."""
    return [name for name, machine in site.hosts.items() if machine.running("ray::RayTrainWorker")]


def look_into_mlflow(site: Site) -> None:
    """One run, and every epoch in it once."""
    client = MlflowClient(f"sqlite:///{site.storage}/mlflow.db")
    experiment = client.get_experiment_by_name("posegen")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    rows = json.loads((site.storage / "runs" / "video" / "metrics.json").read_text())
    written = {epoch: row["values"] for epoch, row in rows.items()}
    names = {name for metrics in written.values() for name in metrics}
    recorded = {name: [one.step for one in client.get_metric_history(run.info.run_id, name)] for name in names}
    assert recorded["train/l1"] == [*range(1, EPOCHS + 1)]
    assert recorded == {name: [int(epoch) for epoch in written if name in written[epoch]] for name in names}
    site.say(f"MLflow has one run, {run.info.status}, with {len(names)} metrics of epochs {recorded['train/l1']}")
    page = ["--metric", "val/l1", "--out", site.folder / "comparison.html"]
    table = site.run(["posegen", "compare", "video", *page], MLFLOW_TRACKING_URI=f"http://{NETWORK}.1:5000")
    assert "video" in table and (site.folder / "comparison.html").exists()
    site.say("posegen compare video --metric val/l1\n" + table)


def take_down(site: Site) -> None:
    """`ray down` stops the head; the workers are stopped one by one, as the file says."""
    site.run(f"ray down --yes {site.file}")
    head = site.hosts["head"].running(*RAY)
    assert head == []
    left = {name: len(machine.running(*RAY)) for name, machine in site.hosts.items()}
    site.say(f"ray down: processes of Ray that are left: {left}")
    ssh = ["ssh", "-i", site.lab.operator.home / ".ssh" / "id_ed25519", "-o", "StrictHostKeyChecking=no"]
    for name, machine in site.hosts.items():
        if name != "head":
            site.run([*ssh, f"{USER}@{machine.address}", "bash -ic 'ray stop'"])
    left = {name: machine.running(*RAY) for name, machine in site.hosts.items()}
    assert not any(left.values()), left
    site.say(f"ray stop on the workers: none is left on {' and '.join(left)}")
