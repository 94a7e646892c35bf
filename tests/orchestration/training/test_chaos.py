"""Training and preparation that are killed at random moments end as those that were left alone.

A few kills are tried with the other tests; ``make chaos`` tries twenty of each and prints what became of them.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest
from mlflow import MlflowClient

from orchestration.cli import main as cli
from orchestration.training.runs import history
from posegen.checkpoints.checkpoint import find_checkpoint, latest_checkpoint
from posegen.io.storage import StorageFolder
from posegen.synthetic.studio import RenderSettings, render_action, write_studio_clip

KILLS = int(os.environ.get("POSEGEN_KILLS", "2"))
SEED = int(os.environ.get("POSEGEN_CHAOS_SEED", "0"))
PATIENCE = 900.0  # seconds for a command, on a machine that has other work too
POSEGEN = Path(sys.executable).parent / "posegen"
NARROW = "--generator-width 4 --encoder-width 4 --discriminator-width 4 --batch-size 2"
LENGTH = "--epoch-size 16 --num-epochs 3 --checkpoint-steps 3 --cpus 1"
TRAIN = f"train color_encoder DATA --name run --preset tiny {NARROW} {LENGTH}"
PREPARE = "prepare VIDEOS data --size 96x64 --crop none --pose truth --edges truth --mask truth"
COLORIZE = "colorize data --scope frame --region upper --recolorings 12"

Victim = Literal["driver", "driver of Ray", "worker", "Ray"]
VICTIMS: tuple[Victim, ...] = ("driver", "driver", "driver", "worker", "Ray", "driver of Ray")
"""Who is killed, in turn; ``driver`` works without Ray, which takes a third of the time."""


@dataclass(frozen=True)
class Kill:
    """What became of a command that was killed."""

    victim: Victim
    where: str
    lost: float
    """Seconds: in training since the last checkpoint, in preparation to do the rest."""
    differs: list[str]
    """What is not as in the command that was left alone."""

    def __str__(self) -> str:
        end = f"NOT EQUAL: {', '.join(self.differs)}" if self.differs else "equal"
        return f"{self.victim:<14} {self.where:<34} {self.lost:6.1f} s  {end}"


class Command:
    """A command in a folder of its own, as a user gives it."""

    def __init__(self, words: str, place: Path, victim: Victim = "driver"):
        place.mkdir(parents=True, exist_ok=True)
        self.place, self.victim = place, victim
        self.words = [*words.split(), "--workers", "0" if victim == "driver" else "1"]
        self.store = f"sqlite:///{place}/mlflow.db"

    def start(self) -> subprocess.Popen[bytes]:
        known = {"MLFLOW_TRACKING_URI": self.store, "OMP_NUM_THREADS": "1"}
        with (self.place / "log").open("ab") as log:
            return subprocess.Popen(
                [POSEGEN, *self.words], cwd=self.place, env={**os.environ, **known}, stdout=log, stderr=log
            )

    def finish(self) -> None:
        """Give the command until it succeeds, as somebody would who finds it stopped."""
        if self.victim == "driver":  # alone, and left alone: it needs no process of its own
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(self.place)
                patch.setenv("MLFLOW_TRACKING_URI", self.store)
                cli.main(self.words)
            return
        for _ in range(3):
            if self.start().wait(PATIENCE) == 0:
                return
        raise AssertionError((self.place / "log").read_text()[-3000:])

    def kill(self, victim: Victim, begun: Callable[[], bool], delay: float) -> None:
        """Start it, wait until it works and some seconds more, and kill the victim."""
        driver = psutil.Process(self.start().pid)
        deadline = time.monotonic() + PATIENCE
        while not begun() and driver.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        try:
            family = driver.children(recursive=True)
            for process in [one for one in family if _is(one, victim)] or [driver]:
                process.send_signal(signal.SIGKILL)
            if victim in ("worker", "Ray"):
                driver.wait(PATIENCE)  # goes on with another worker, or says what is gone
        except psutil.NoSuchProcess:
            pass  # it was ready before
        gone = psutil.wait_procs(family, timeout=60)[1]
        for process in gone:
            process.kill()
        psutil.wait_procs([driver], timeout=60)


def _is(process: psutil.Process, victim: Victim) -> bool:
    try:
        name = " ".join(process.cmdline()[:1])
    except psutil.Error:
        return False
    if victim == "worker":
        return name.startswith(("ray::RayTrainWorker", "ray::MapWorker"))
    return victim == "Ray" and any(part in name for part in ("raylet", "gcs_server", "ray::"))


def victims() -> Iterator[tuple[int, Victim, random.Random]]:
    for number, victim in enumerate(islice(cycle(VICTIMS), KILLS)):
        yield number, victim, random.Random(f"{SEED}/{number}")


def show(kill: Kill, capsys: pytest.CaptureFixture[str]) -> Kill:
    """Print what became of a command while others are still to be tried."""
    with capsys.disabled():
        print(f"\n{kill}", end="", flush=True)
    return kill


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names whose values differ, or that only one side has."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


# ---- Training


def result_of(run: StorageFolder, place: Path) -> dict[str, Any]:
    """The last weights and optimizer state, and all values of every metric but those of clocks and machines."""
    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    experiments = [one.experiment_id for one in client.search_experiments()]
    key = run.read_json("tracking.json")["key"]
    [recorded] = client.search_runs(experiments, f"tags.`posegen.key` = '{key}'")
    run_id = recorded.info.run_id
    assert recorded.info.status == "FINISHED"
    names = [name for name in client.get_run(run_id).data.metrics if not name.startswith(("time/", "system/"))]
    record = {name: [(one.step, one.value) for one in client.get_metric_history(run_id, name)] for name in names}
    return {"weights": find_checkpoint(run).read("tensors.safetensors"), **record}


def saved_at(run: StorageFolder) -> tuple[str, float]:
    """The last checkpoint, and when it was there."""
    checkpoint = latest_checkpoint(run)
    if checkpoint is None:
        return "before the first checkpoint", Path(str(run), "run.json").stat().st_mtime
    return f"after {checkpoint.name}", Path(str(checkpoint), "checkpoint.json").stat().st_mtime


@pytest.mark.ray
def test_training_is_killed(noise_clips, tmp_path, capsys):
    words = TRAIN.replace("DATA", noise_clips)
    Command(words, tmp_path / "calm").finish()
    calm = StorageFolder(tmp_path / "calm" / "runs" / "run")
    expected = result_of(calm, tmp_path / "calm")
    assert {step for step, _ in expected["train/l1"]} == {1, 2, 3}
    seconds = sum(metrics["time/epoch_seconds"] for metrics in history(calm).values())

    kills = []
    for number, victim, rng in victims():
        place = tmp_path / f"kill-{number}"
        command, run = Command(words, place, victim), StorageFolder(place / "runs" / "run")
        sign = "run.json" if victim == "driver" else "checkpoints"  # Ray needs a while before anything is trained
        command.kill(victim, partial(run.exists, sign), rng.uniform(0, seconds))
        where, when = saved_at(run)
        lost = time.time() - when
        command.finish()
        kills.append(show(Kill(victim, where, lost, differences(result_of(run, place), expected)), capsys))
    assert not [kill for kill in kills if kill.differs]


# ---- Preparation


def person_of_clip(dataset: Path) -> dict[str, str]:
    """The hash of every file of a dataset."""
    files = [path for path in dataset.rglob("*") if path.is_file()]
    return {str(path.relative_to(dataset)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.ray
def test_preparation_is_killed(tmp_path, capsys):
    videos = tmp_path / "videos"
    for person, action in product(("ada", "bruno"), ("bow", "clap", "wave_one_hand")):
        write_studio_clip(render_action(person, action, 15, RenderSettings(size=(96, 64))), videos)
    (videos / "ada" / "broken.mp4").write_bytes(b"no video")
    kinds = [PREPARE.replace("VIDEOS", str(videos)), COLORIZE]
    seconds = []
    for words in kinds:
        begin = time.monotonic()
        Command(words, tmp_path / "calm").finish()
        seconds.append(time.monotonic() - begin)
    expected = person_of_clip(tmp_path / "calm" / "data")

    kills = []
    for number, victim, rng in victims():
        place = tmp_path / f"kill-{number}"
        first, second = (Command(words, place, victim) for words in kinds)
        in_colors = number % 2 == 1
        if in_colors:
            first.finish()
        killed, sign = (second, place / "data" / "colors") if in_colors else (first, place / "data")
        killed.kill(victim, sign.exists, rng.uniform(0, seconds[in_colors]))
        done = len(list(sign.rglob("*.parquet")))
        where = f"{'colorize' if in_colors else 'prepare'}, {done} clips done"
        begin = time.monotonic()
        first.finish()
        second.finish()
        lost = time.monotonic() - begin
        kills.append(show(Kill(victim, where, lost, differences(person_of_clip(place / "data"), expected)), capsys))
    assert not [kill for kill in kills if kill.differs]
