"""`make mutants` tries what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.fault)
def test_every_mutant_changes_the_program_as_it_is(mutant: Mutant, tmp_path: Path):
    file = tmp_path / mutant.file
    file.parent.mkdir(parents=True)
    shutil.copy(ROOT / mutant.file, file)
    mutant.apply(tmp_path)
    assert file.read_text() != (ROOT / mutant.file).read_text()
    compile(file.read_text(), mutant.file, "exec")
    assert all((ROOT / suite).exists() for suite in mutant.suites())


def test_there_are_thirty():
    assert len({(mutant.file, mutant.old) for mutant in MUTANTS}) == len(MUTANTS) == 30
