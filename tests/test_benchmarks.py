"""Benchmarks start with the command that each documents."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = sorted((ROOT / "tests" / "benchmarks").glob("bench_*.py"))
IMPORT_ALL = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_documents_its_command(path):
    documented = re.findall(r"python\s+(-m\s+[\w.]+|\S+\.py)", ast.get_docstring(ast.parse(path.read_text())) or "")
    assert documented, "its docstring gives no command"
    assert {" ".join(command.split()) for command in documented} == {f"-m {module(path)}"}


def test_every_benchmark_starts_as_documented():
    """In a process that finds modules as `python -m` does, in the folder of the repository and nowhere else."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", IMPORT_ALL, *map(module, BENCHMARKS)]
    started = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert started.returncode == 0, started.stderr[-2000:]
