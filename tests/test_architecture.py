"""The house rules that a reader relies on: who imports whom, and that what is documented exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from itertools import pairwise
from pathlib import Path

import pytest

from posegen.perception.openpose import OnnxMaps
from posegen.stages import STAGES, Stage

ROOT = Path(__file__).resolve().parents[1]
LAYERS = {
    "posegen": {"orchestration", "search_spaces", "tests", "ray", "mlflow", "optuna", "tyro", "rich"},
    "search_spaces": {"orchestration", "posegen", "tests"},
    "orchestration": {"tests"},
}
# In the order of imports: a room may import those before it and none after it. A name that ends in .py is a file that
# lies beside the rooms, since it has none.
ROOMS = {
    "posegen": (
        "errors.py",
        "parallel.py",
        "person_classes.py",
        "skeletons.py",
        "losses.py",
        "io",
        "weights",
        "networks",
        "motion",
        "features",
        "color",
        "datasets",
        "synthetic",
        "perception",
        "samples",
        "metrics",
        "stages",
        "checkpoints",
        "inference",
        "api.py",
        "evaluation",
    ),
    "orchestration": (
        "errors.py",
        "option_types.py",
        "runtime",
        "tracking",
        "data",
        "training",
        "generation",
        "evaluation",
        "search",
        "reports",
        "cluster",
        "app",
        "serving",
        "cli",
    ),
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree of a file, which several rules look at."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> set[str]:
    """Full names of all modules that a file imports, at its top or anywhere inside."""
    names = set()
    for node in ast.walk(parse(path)):
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


def room_of(name: str, package: str) -> str:
    """The room of a module of a package by its full name: a folder, or the file that lies beside the folders."""
    first = name.split(".")[1]
    return first if (ROOT / package / first).is_dir() else f"{first}.py"


@pytest.mark.parametrize("package", ROOMS)
def test_every_file_lies_in_a_room(package):
    found = {path.relative_to(ROOT / package).parts[0] for path in modules(package)} - {"__init__.py"}
    assert found == set(ROOMS[package])


@pytest.mark.parametrize(("package", "room"), [(package, room) for package, rooms in ROOMS.items() for room in rooms])
def test_rooms_import_only_rooms_before_them(package, room):
    rooms = ROOMS[package]
    place = ROOT / package / room
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in ([place] if place.is_file() else sorted(place.rglob("*.py")))
        for name in imports(path)
        if name.startswith(f"{package}.") and rooms.index(room_of(name, package)) > rooms.index(room)
    }
    assert not wrong


@pytest.mark.parametrize(
    "folder", sorted({path.parent for package in ROOMS for path in modules(package)}), ids=lambda path: path.name
)
def test_every_room_says_what_belongs_there(folder):
    assert ast.get_docstring(parse(folder / "__init__.py"))


def test_only_tracking_imports_mlflow():
    users = {path for path in modules("orchestration") if any(name.split(".")[0] == "mlflow" for name in imports(path))}
    assert {path.parent.name for path in users} == {"tracking"}


_NAMED_TUPLES = {"_asdict", "_replace", "_fields"}  # public, in spite of their names
_DOCUMENTED = {"from torch.utils._python_dispatch import TorchDispatchMode"}  # "Extending PyTorch" says so


def private_names(path: Path) -> list[str]:
    """What a file uses of other libraries, or of other objects, whose name begins with an underscore."""
    found = []
    for node in ast.walk(parse(path)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name) if re.match(r"_[a-zA-Z]", name) and name not in _NAMED_TUPLES:
                found.append(ast.unparse(node))
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                whole = [getattr(node, "module", None) or "", *(alias.name for alias in names)]
                parts = {part for name in whole for part in name.split(".")} - {"__future__"}
                own = whole[0].split(".")[0] in LAYERS and whole[0].split(".")[-1].startswith("_")
                allowed = own or ast.unparse(node) in _DOCUMENTED
                found += [ast.unparse(node)] * (any(part.startswith("_") for part in parts) and not allowed)
    return [f"{path.relative_to(ROOT)}: {name}" for name in found]


@pytest.mark.parametrize("package", LAYERS)
def test_private_names_of_other_libraries_are_not_used(package):
    """They change without notice."""
    assert not [name for path in modules(package) for name in private_names(path)]


def public_names(path: Path) -> set[str]:
    """The public functions, classes and values that a file defines."""
    found = set()
    for node in parse(path).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets):
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return {name for name in found if not name.startswith("_")}


def test_no_public_name_is_defined_in_two_files():
    """Of two things with one name, a reader takes one for the other."""
    places = [
        (name, path)
        for package in ("posegen", "orchestration")
        for path in modules(package)
        for name in public_names(path)
    ]
    twice = [name for name, count in Counter(name for name, _ in places).items() if count > 1]
    assert not {name: [str(path.relative_to(ROOT)) for other, path in places if other == name] for name in twice}


def parameters(node: ast.FunctionDef) -> list[str]:
    """The names of a function's parameters, without the object that it is called on."""
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [one.arg for one in every if one.arg not in ("self", "cls")]


@pytest.mark.parametrize("package", LAYERS)
def test_functions_have_six_parameters_at_most(package):
    functions = [
        (path, node) for path in modules(package) for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef)
    ]
    assert not [f"{path.relative_to(ROOT)}: {node.name}" for path, node in functions if len(parameters(node)) > 6]


def test_no_command_depends_on_the_kind_of_a_stage():
    """What differs between stages is asked of the stage."""
    kinds = {kind.__name__ for stage in STAGES.values() for kind in stage.mro() if issubclass(kind, Stage)}
    wrong = [
        f"{path.relative_to(ROOT)}: {ast.unparse(node)}"
        for path in modules("orchestration")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("isinstance", "issubclass")
        and {one.id for one in ast.walk(node.args[1]) if isinstance(one, ast.Name)} & kinds
    ]
    assert not wrong


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
    known = declared(["dashboard", "debug", "export", "h36m", "openpose", "serve"])
    assert not {name for name in wanted if not known & {plain_name(found) for found in distributions.get(name, [])}}


def test_optional_packages_are_asked_for_by_extras_that_exist():
    files = [ROOT / "README.md", *(path for package in LAYERS for path in modules(package))]
    named = {extra for file in files for extra in re.findall(r"posegen\[(\w+)\]", file.read_text())}
    assert named == {"dashboard", "debug", "export", "h36m", "openpose", "serve"}
    assert named <= tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()


def test_openpose_asks_for_onnxruntime_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"^OpenPose's ONNX file needs onnxruntime: .*'posegen\[openpose\]'`$"):
        OnnxMaps(b"")


def test_every_dependency_is_pinned():
    pinned = {plain_name(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().split()}
    assert (
        declared(["dashboard", "debug", "docs", "export", "h36m", "openpose", "publish", "serve", "test"]) - {"posegen"}
        <= pinned
    )


def test_importing_posegen_loads_neither_ray_nor_mlflow():
    code = (
        "import sys, posegen.stages, posegen.inference.video_synthesizer, posegen.datasets.clips, posegen.perception;"
        "print({'ray', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_public_names_are_documented():
    bare = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for package in LAYERS
        for path in modules(package)
        for node in parse(path).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not bare


_RIDDLES = {"what", "that", "those", "whether", "who", "whose", "how", "where", "when", "which", "why", "as", "by"}


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Docstrings of modules, classes, functions and fields, with their lines."""
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text
        if isinstance(node, ast.Module | ast.ClassDef):
            for before, after in pairwise(node.body):
                is_field = isinstance(before, ast.Assign | ast.AnnAssign)
                if is_field and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    yield after.lineno, str(after.value.value)


def test_docstrings_begin_with_a_verb_or_the_thing():
    """No relative clause stands for a thing: "Length of the bones", not "How long the bones are"."""
    riddles = [
        f"{path.relative_to(ROOT)}:{line} begins with {text.split()[0]!r}"
        for package in LAYERS
        for path in modules(package)
        for line, text in docstrings(parse(path))
        if text.split()[0].strip(",.:;").lower() in _RIDDLES
    ]
    assert not riddles


_RIDDLE = re.compile(
    r"\b(say (which|what|how|who)|nobody|whoever|hears|is told)\b|\bwants? (to|another)\b", re.IGNORECASE
)


def test_messages_state_what_is_expected():
    """ "no runs given, expected one or more", not "say which"; and programs want and hear nothing."""
    found = []
    for path in (path for package in LAYERS for path in modules(package)):
        documents = {id(node.value) for node in ast.walk(parse(path)) if isinstance(node, ast.Expr)}
        texts = (node for node in ast.walk(parse(path)) if isinstance(node, ast.Constant) and id(node) not in documents)
        for node in texts:
            if isinstance(node.value, str) and (match := _RIDDLE.search(node.value)):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {match[0]!r} in {node.value[:80]!r}")
    assert not found


_ARTICLES = {"the", "a", "an", "of", "all", "every", "some", "each", "from", "it", "this"}


def public_functions(node: ast.AST, is_public: bool = True) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions and methods of a file that others may call; properties are things, not actions."""
    for child in getattr(node, "body", []):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            is_own = is_public and not child.name.startswith("_")
            is_property = any("property" in ast.unparse(one) for one in child.decorator_list)
            if is_own and not is_property and not isinstance(child, ast.ClassDef):
                yield child
            yield from public_functions(child, is_own)


def test_docstrings_of_public_functions_begin_with_a_verb():
    """ "Return the split of a clip", not "The split of a clip": a function does something."""
    nouns = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}: {text.splitlines()[0]}"
        for package in LAYERS
        for path in modules(package)
        for function in public_functions(parse(path))
        if (text := ast.get_docstring(function)) and text.split()[0].strip(",.:;").lower() in _ARTICLES
    ]
    assert not nouns


def test_every_config_field_has_its_sentence():
    """tyro shows the docstring under a field as its help."""
    bare = []
    for package in ("posegen/stages", "orchestration"):
        for path in modules(package):
            for node in ast.walk(parse(path)):
                if isinstance(node, ast.ClassDef) and node.name.endswith(("Config", "Settings")):
                    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                        is_field = isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation)
                        if is_field and not isinstance(after, ast.Expr):
                            bare.append(f"{path.name}: {node.name}.{ast.unparse(field.target)}")
    assert not bare


COUNTED = re.compile(
    r" (?:(?:more|new|held-out|test|labelled) )?"
    r"(clip|frame|video|picture|motion|pair|file|action|run|trial|photo|window)s\b(?!/| (?:a|per) second| are more)"
)
COUNTING_ROOMS = (
    "orchestration/cli",
    "orchestration/data",
    "orchestration/evaluation",
    "posegen/inference",
    "posegen/io",
)


def test_counts_are_in_words_of_their_number():
    """No message speaks of "1 clips": what counts things says `counted(number, "clip")`."""
    wrong = []
    for path in [file for room in COUNTING_ROOMS for file in sorted((ROOT / room).rglob("*.py"))]:
        for text in ast.walk(ast.parse(path.read_text())):
            if not isinstance(text, ast.JoinedStr):
                continue
            for value, after in pairwise(text.values):
                is_noun = isinstance(after, ast.Constant) and COUNTED.match(str(after.value))
                if is_noun and isinstance(value, ast.FormattedValue) and _may_be_one(value):
                    wrong.append(
                        f"{path.relative_to(ROOT)}:{value.lineno} {ast.unparse(value.value)}{str(after.value)[:20]}"
                    )
    assert not wrong


def _may_be_one(value: ast.FormattedValue) -> bool:
    """A number that is not known beforehand, of which there may be one."""
    spec = ast.unparse(value.format_spec) if value.format_spec else ""
    is_known = isinstance(value.value, ast.Name) and value.value.id.isupper()
    return not is_known and "g" not in spec and "f" not in spec
