"""Progress on a console that is no terminal, and on one that is."""

from __future__ import annotations

import io

from rich.console import Console

from orchestration.cli.progress import ConsoleProgress, CountProgress
from orchestration.runtime.progress import TrainingStep


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_count_is_a_line_each_tenth():
    console = Console(file=io.StringIO(), width=80)
    with CountProgress(console, "preparing") as progress:
        for done in range(101):
            progress.update(done, 100)
    assert printed(console).splitlines() == [f"preparing {done}/100" for done in range(10, 101, 10)]


def test_few_things_are_a_line_each():
    console = Console(file=io.StringIO(), width=80)
    with CountProgress(console, "preparing") as progress:
        progress.update(1, 2)
        progress.update(2, 2)
    assert printed(console) == "preparing 1/2\npreparing 2/2\n"


def test_epochs_are_lines_without_times_of_the_system():
    console = Console(file=io.StringIO(), width=200)
    metrics = {"train/l1": 0.123456, "time/epoch_seconds": 2.04, "system/cpu": 9.0}
    with ConsoleProgress(console) as progress:
        progress.on_step(TrainingStep(run="a", epoch=0, num_epochs=2, step=1, num_steps=4))
        progress.on_epoch("a", 1, 2, metrics)
        progress.on_warning("a", 1, "losses are infinite")
        progress.on_warning("a", None, "no GPU")
    assert printed(console).splitlines() == [
        "a  epoch 1/2  2.0 s, 2 s left  train/l1 0.1235",
        "a  warning: epoch 1: losses are infinite",
        "a  warning: no GPU",
    ]


def test_an_epoch_has_six_figures_of_validation_first():
    console = Console(file=io.StringIO(), width=300)
    metrics = {f"train/loss_{number}": 1.0 for number in range(9)}
    metrics |= {"val/sensitivity": 0.5, "val/l1": 0.1, "val/psnr": 30.0, "val/ssim": 0.9, "time/epoch_seconds": 600.0}
    with ConsoleProgress(console) as progress:
        progress.on_epoch("b", 2, 20, metrics)
        progress.on_epoch("b", 20, 20, metrics)
    first, last = printed(console).splitlines()
    assert first.startswith("b  epoch 2/20  600.0 s, 3.0 h left  val/") and "left" not in last
    assert first.count("val/") == 4 and first.count("train/") == 2 and "train/loss_8" not in first


def test_a_terminal_shows_a_bar():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with CountProgress(console, "preparing") as progress:
        progress.update(3, 7)
    assert "3/7" in printed(console)
