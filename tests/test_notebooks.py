"""The notebooks of the documentation: they run, and are stored with small outputs."""

from __future__ import annotations

import nbformat
import pytest

from tests.support.notebooks import NOTEBOOKS, execute

_LARGEST = 2_000_000  # bytes of all notebooks


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(notebook: nbformat.NotebookNode) -> str:
    """What cells print."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs)


def test_notebooks_are_small():
    assert {path.stem for path in NOTEBOOKS} == {"photo", "search", "training"}
    assert sum(path.stat().st_size for path in NOTEBOOKS) < _LARGEST


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_as_they_were_executed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert [output for output in outputs if {"image/png", "text/html"} & output.get("data", {}).keys()]
    assert "/home/" not in text_of(notebook) and "/tmp/" not in text_of(notebook)


def test_the_notebook_of_a_photo_runs(networks, tmp_path, monkeypatch):
    monkeypatch.setenv("POSEGEN_CACHE", str(networks))
    [path] = [path for path in NOTEBOOKS if path.stem == "photo"]
    assert text_of(execute(path, tmp_path)) == text_of(nbformat.read(path, as_version=4))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != "photo"], ids=lambda path: path.stem)
def test_other_notebooks_run(path, tmp_path):
    execute(path, tmp_path)
    assert (tmp_path / "runs").is_dir()
