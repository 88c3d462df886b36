"""The order of the rooms, and what must not occur in the source, checked by parsing it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from helpers import ROOT

from facemorph.cli import COMMANDS

SOURCE = ROOT / "src" / "facemorph"
# From the ground up: a room imports from those below it, never from those beside or above it.
ORDER = (
    {"errors", "console", "lean_imports"},
    {"config", "ops"},
    {"storage"},
    {"faces", "geometry", "fields", "networks", "training"},
    {"losses", "metrics", "data"},
    {"engine", "jobs"},
    {"systems"},
    {"apps"},
    {"entry", "bench"},
    {"cli", "train", "infer"},
    {"commands"},
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
APPS = (
    {"morphing", "attacks"},
    {"fitting"},
    {"heads", "implicit"},
    {"sets", "generation", "reenactment"},
    {"studio"},
)
APP_LEVEL = {room: level for level, rooms in enumerate(APPS) for room in rooms}
MOST_FILES = 16
FORBIDDEN_CALLS = {"eval", "exec", "print", "__import__", "compile"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_ATTRIBUTES = {("yaml", "load"), ("os", "system"), ("os", "popen")}


def modules():
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(("facemorph", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


MODULES = {name_of(path): path for path in modules()}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports_of(path: Path) -> list[tuple[str, int]]:
    return list(imports(tree_of(path)))


def imports(tree: ast.AST):
    """Modules of facemorph that a module imports, lazily too, with the line; not those only for
    annotations.
    """
    annotations = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in annotations:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f"relative import in line {node.lineno}")
        else:
            continue
        for name in names:
            module = name
            while module.startswith("facemorph.") and module not in MODULES:
                module = module.rpartition(".")[0]
            if module.startswith("facemorph."):
                yield module, node.lineno


def upward(module: str, other: str) -> bool:
    """Whether `module` may not import `other`, which lies beside or above it."""
    room, its_room = module.split(".")[1], other.split(".")[1]
    if room != its_room:
        return LEVEL[its_room] >= LEVEL[room]
    parts = [name.split(".")[2] if name.count(".") > 2 else "" for name in (module, other)]
    if parts[0] == parts[1] or not all(parts):
        return False
    if room == "apps":
        return APP_LEVEL[parts[1]] >= APP_LEVEL[parts[0]]
    return room == "systems"


each_folder = pytest.mark.parametrize(
    "folder", sorted({path.parent for path in modules()}), ids=lambda p: str(p.relative_to(SOURCE))
)


@each_folder
def test_imports_point_downward(folder):
    assert not [
        f"{path.name}, line {line}, imports {other}"
        for path in folder.glob("*.py")
        if path != SOURCE / "__init__.py"  # the public API, imported lazily
        for other, line in imports_of(path)
        if upward(name_of(path), other)
    ]


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of files that import each other, directly or by way of others (Tarjan)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(one: str) -> None:
        index[one] = lowest[one] = len(index)
        stack.append(one)
        for other in edges.get(one, ()):
            if other not in index:
                visit(other)
                lowest[one] = min(lowest[one], lowest[other])
            elif other in stack:
                lowest[one] = min(lowest[one], index[other])
        if lowest[one] == index[one]:
            group = [stack.pop()]
            while group[-1] != one:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for one in edges:
        if one not in index:
            visit(one)
    return found


def test_no_files_import_each_other():
    edges = {
        name: {other for other, _ in imports_of(path)}
        for name, path in MODULES.items()
        if name != "facemorph"
    }
    assert circles(edges) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


@each_folder
def test_no_folder_is_crowded(folder):
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= MOST_FILES


def test_every_room_has_its_place():
    assert {name.split(".")[1] for name in MODULES if name != "facemorph"} <= LEVEL.keys()
    assert {
        name.split(".")[2] for name in MODULES if name.startswith("facemorph.apps.")
    } <= APP_LEVEL.keys()


HEAVY = ("torch", "lightning", "scipy", "numba")
WITHOUT_HEAVY = """
import sys
from facemorph.cli import run
for words in {words!r}:
    run(words)
    loaded = [name for name in {heavy!r} if name in sys.modules]
    if loaded:
        sys.exit(f"facemorph {{' '.join(words)}} loads {{', '.join(loaded)}}")
"""


@pytest.mark.parametrize("start", range(4))
def test_help_is_light(start):
    """The help of a command loads nothing heavy; those that hand their words to Hydra explain its
    overrides.
    """
    words = [[one.name, "--help"] for one in COMMANDS if not one.pass_on][start::4]
    code = WITHOUT_HEAVY.format(words=[["--help"], *words], heavy=HEAVY)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@each_folder
def test_forbidden(folder):
    assert not [wrong for path in folder.glob("*.py") for wrong in forbidden(path)]


def forbidden(path: Path) -> list[str]:
    wrong = []
    for node in ast.walk(tree_of(path)):
        where = f"{path.name}, line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Assert):
            wrong.append(f"{where}: assert")
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
            wrong += [
                f"{where}: import {name}"
                for name in names
                if name.split(".")[0] in FORBIDDEN_MODULES
            ]
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            wrong.append(f"{where}: bare except")
        if isinstance(node, ast.Call):
            wrong += [f"{where}: {what}" for what in forbidden_call(node)]
    return wrong


def forbidden_call(node: ast.Call):
    name = ast.unparse(node.func)
    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
    if isinstance(node.func, ast.Name) and name in FORBIDDEN_CALLS:
        yield f"call of {name}"
    if any(name == f"{module}.{attribute}" for module, attribute in FORBIDDEN_ATTRIBUTES):
        yield f"call of {name}"
    if keywords.get("shell") == "True":
        yield "shell=True"
    if keywords.get("allow_pickle", "False") != "False":
        yield "allow_pickle"
    if name == "torch.load" and keywords.get("weights_only") != "True":
        yield "torch.load without weights_only=True"


@pytest.mark.parametrize(
    ("module", "other", "wrong"),
    [
        ("ops.jets", "faces.masks", True),
        ("faces.masks", "fields.siren", True),
        ("training.ema", "data.resumable", True),
        ("systems.imface.system", "systems.ifmorph.system", True),
        ("losses.adversarial", "metrics.frechet", True),
        ("apps.heads.fit", "commands.heads.fit", True),
        ("apps.morphing.morph", "apps.fitting.face_fitting", True),
        ("apps.fitting.face_fitting", "apps.morphing.morph", False),
        ("apps.heads.fit", "apps.implicit.sample", True),
        ("config.build", "faces.masks", True),
        ("commands.heads.fit", "apps.heads.fit", False),
        ("commands.tools.train", "train", False),
        ("systems.imface.system", "systems.imface.field", False),
        ("systems.imface.system", "fields.siren", False),
        ("faces.masks", "ops.jets", False),
        ("training.ema", "storage.checkpoint", False),
        ("bench.table", "commands.tools.bench", True),
    ],
)
def test_the_rule_itself(module, other, wrong):
    assert upward(f"facemorph.{module}", f"facemorph.{other}") is wrong


def test_tests_that_are_named_exist():
    """Docstrings and docs point to tests as evidence; a moved test takes them along."""
    named = {
        (str(path.relative_to(ROOT)), name)
        for folder, kind in ((SOURCE, "*.py"), (ROOT / "docs", "*.md"))
        for path in folder.rglob(kind)
        for name in re.findall(r"tests/[\w/]+\.py", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert not [pair for pair in named if not (ROOT / pair[1]).is_file()]
