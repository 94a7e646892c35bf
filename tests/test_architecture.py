"""The house rules that a reader relies on: who imports whom, and that what is documented exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from posegen.perception.openpose import OnnxMaps

ROOT = Path(__file__).resolve().parents[1]
LAYERS = {
    "posegen": {"orchestration", "search_spaces", "tests", "ray", "mlflow", "optuna", "tyro", "rich"},
    "search_spaces": {"orchestration", "posegen", "tests"},
    "orchestration": {"tests"},
}
# Inside posegen, from the top down: a package may import those after it and none before it.
ORDER = (
    "generate",
    "stages",
    "samples",
    "metrics",
    "losses",
    "networks",
    "color",
    "archives",
    "motion",
    "features",
    "skeletons",
)


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Full names of all modules that a file imports, at its top or anywhere inside."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_one_way(package):
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path)
        if name.split(".")[0] in LAYERS[package]
    }
    assert not wrong


@pytest.mark.parametrize(("lower", "uppers"), [(name, ORDER[:i]) for i, name in enumerate(ORDER)][1:])
def test_layers_of_posegen_import_downwards(lower, uppers):
    paths = modules(f"posegen/{lower}") or [ROOT / "posegen" / f"{lower}.py"]
    forbidden = {f"posegen.{upper}" for upper in uppers}
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in imports(path)
        if ".".join(name.split(".")[:2]) in forbidden
    }
    assert not wrong


def test_only_tracking_imports_mlflow():
    users = {
        path.name for path in modules("orchestration") if any(name.split(".")[0] == "mlflow" for name in imports(path))
    }
    assert users == {"tracking.py"}


def declared(extras: Iterable[str] = ()) -> set[str]:
    """Names, in lower case and with dashes, of the packages that pyproject asks for, and those of some extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {plain_name(re.split(r"[\[<>=!~; ]", line)[0]) for line in wanted}


def plain_name(package: str) -> str:
    return package.lower().replace("_", "-")


@pytest.mark.parametrize("package", LAYERS)
def test_what_is_imported_is_declared(package):
    """A package that only comes along with another one is gone when that one no longer wants it."""
    distributions = packages_distributions()
    own = set(sys.stdlib_module_names) | set(LAYERS)
    wanted = {name.split(".")[0] for path in modules(package) for name in imports(path)} - own
    known = declared(["export", "openpose"])
    assert not {name for name in wanted if not known & {plain_name(found) for found in distributions.get(name, [])}}


def test_optional_packages_are_asked_for_by_extras_that_exist():
    files = [ROOT / "README.md", *(path for package in LAYERS for path in modules(package))]
    named = {extra for file in files for extra in re.findall(r"posegen\[(\w+)\]", file.read_text())}
    assert named == {"export", "openpose"}
    for extra in named:
        assert declared([extra]) > declared()


def test_openpose_asks_for_onnxruntime_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"^OpenPose's ONNX file needs onnxruntime: .*'posegen\[openpose\]'`$"):
        OnnxMaps(b"")


def test_every_dependency_is_pinned():
    pinned = {plain_name(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().split()}
    assert declared(["export", "openpose", "test"]) - {"posegen"} <= pinned


def test_importing_posegen_loads_neither_ray_nor_mlflow():
    code = (
        "import sys, posegen.stages, posegen.generate, posegen.clips, posegen.perception;"
        "print({'ray', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_public_names_are_documented():
    bare = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for package in LAYERS
        for path in modules(package)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not bare


def test_every_config_field_has_its_sentence():
    """tyro shows the docstring under a field as its help."""
    bare = []
    for package in ("posegen/stages", "orchestration"):
        for path in modules(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and node.name.endswith(("Config", "Settings")):
                    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                        if isinstance(field, ast.AnnAssign) and not isinstance(after, ast.Expr):
                            bare.append(f"{path.name}: {node.name}.{ast.unparse(field.target)}")
    assert not bare
