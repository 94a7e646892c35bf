"""Tests that share the Ray of the fixture `ray_session`, which takes ten seconds of a core to start."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

FIXTURE = "ray_session"


def uses_ray(item: pytest.Item) -> bool:
    """Whether a test runs on the Ray that tests share."""
    return isinstance(item, pytest.Function) and FIXTURE in item.fixturenames


@cache
def functions_on_ray(file: Path) -> frozenset[str]:
    """Names of a file's functions that use the fixture: by arguments, also of fixtures that they use, or by marks."""
    text = file.read_text(encoding="utf-8")
    if FIXTURE not in text:
        return frozenset()
    tree = ast.parse(text)
    users = {FIXTURE}
    for scope in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        if any(FIXTURE in ast.dump(mark) for mark in scope.decorator_list):
            users |= {node.name for node in scope.body if isinstance(node, ast.FunctionDef)}
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    if any(isinstance(node, ast.Assign) and FIXTURE in ast.dump(node) for node in tree.body):  # pytestmark
        return frozenset(function.name for function in functions)
    while True:
        found = {
            function.name
            for function in functions
            if users & {argument.arg for argument in function.args.args}
            or any(FIXTURE in ast.dump(mark) for mark in function.decorator_list)
        }
        if found <= users:
            return frozenset(users)
        users |= found


def make_scheduler(config: pytest.Config, log: object) -> object:
    """A scheduler of pytest-xdist that gives all tests on Ray to one process, and others by file to any."""
    from xdist.scheduler import LoadFileScheduling

    class RayIsOneFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            name = nodeid.partition("[")[0].rpartition("::")[2]
            return FIXTURE if name in functions_on_ray(config.rootpath / file) else file

    return RayIsOneFile(config, log)
