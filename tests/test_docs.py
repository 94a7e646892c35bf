"""The documentation: links lead somewhere, the picture of the packages names them all, the README stays short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import posegen as pg

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
LONGEST = 120  # lines of the README


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("package", ["posegen", "orchestration"])
def test_the_architecture_names_every_package(package):
    drawn, listed = (ROOT / "docs" / "rooms.svg").read_text(), (ROOT / "docs" / "architecture.md").read_text()
    rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert rooms and not [room for room in rooms if room not in drawn or f"{room}/" not in listed]


def test_every_page_is_in_the_table_of_contents():
    index = (ROOT / "docs" / "index.md").read_text()
    listed = set(re.findall(r"^([\w/-]+)$", index, flags=re.MULTILINE))
    files = [page for ending in ("md", "ipynb") for page in (ROOT / "docs").rglob(f"*.{ending}")]
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in files if "_build" not in page.parts}
    assert pages - {"index"} <= listed


def python_blocks() -> list[str]:
    return [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)]


@pytest.mark.parametrize("block", python_blocks())
def test_python_examples_import_what_exists(block):
    """Examples are whole programs for files that the reader has: their imports and names are checked here."""
    tree = ast.parse(block)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), "documentation", "exec"), {})
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pg":
            assert hasattr(pg, node.attr)
