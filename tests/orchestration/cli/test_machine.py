"""`posegen doctor` and `posegen completion`."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from orchestration.cli import main as cli
from orchestration.cli.completion import completion_script
from orchestration.cli.doctor import diagnose


def findings() -> dict[str, tuple[str, str]]:
    return {finding.name: (finding.state, finding.found) for finding in diagnose()}


def test_doctor_names_what_is_here(capsys, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cli.main(["doctor"])
    out = capsys.readouterr().out
    for word in ("posegen", "torch", "memory", "disk here", "weights", "Ray", "MLflow"):
        assert word in out


def test_doctor_cuts_no_path(capsys, monkeypatch, tmp_path):
    """Paths of a narrow terminal are whole, to be copied."""
    monkeypatch.setenv("COLUMNS", "60")
    folder = tmp_path / ("a-long-name-of-a-folder-" * 3) / "below"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    cli.main(["doctor"])
    out = capsys.readouterr().out
    assert f"free in {folder}\n" in out and "…" not in out


def test_doctor_names_what_does_not_answer(capsys, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{port}")
    found = findings()
    assert found["Ray"][0] == found["MLflow"][0] == "bad" and f"127.0.0.1:{port} of RAY_ADDRESS" in found["Ray"][1]
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor"])
    assert stop.value.code == 1 and "secret" not in capsys.readouterr().out


def test_doctor_asks_for_space_and_shorter_folders(monkeypatch):
    monkeypatch.setattr("orchestration.cli.doctor._LITTLE_DISK", 1e18)
    monkeypatch.setenv("TMPDIR", "/tmp/" + "x" * 80)
    found = findings()
    assert found["disk here"][0] == "note" and found["TMPDIR"][0] == "bad"


def complete(words: list[str]) -> list[str]:
    """What bash proposes for the last of some words."""
    script = completion_script(cli.build_app(), "bash")
    quoted = " ".join(f"'{word}'" for word in words)
    line = f'COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _posegen; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return subprocess.run(
        ["bash", "-c", f"{script}\n{line}"], check=True, capture_output=True, text=True
    ).stdout.split()


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["posegen", "anim"], ["animate"]),
        (["posegen", "motion", "gen"], ["generate"]),
        (["posegen", "train", "video_generator", "data", "--lambda-con"], ["--lambda-contrast"]),
        (["posegen", "train", "video_generator", "--pres"], ["--preset"]),
    ],
)
def test_bash_completes(words, proposed):
    assert complete(words) == proposed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_read_by_their_shells(shell, capsys, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    cli.main(["completion", shell])
    script = tmp_path / "completion"
    script.write_text(capsys.readouterr().out)
    subprocess.run([shell, "-n", str(script)], check=True)
