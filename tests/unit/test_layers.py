"""The order of the layers, and what must not occur in the source, checked by parsing it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "facemorph"
EVERYWHERE = {"errors", "console", "config", "checkpoint", "runs", "overrides", "exits", "threads", "pretrained",
              "pickled_arrays"}
LEVEL = {
    "ops": 1,
    "faces": 2,
    "geometry": 2,
    "fields": 2,
    "networks": 2,
    "losses": 3,
    "metrics": 3,
    "systems": 4,
    "data": 4,
    "training": 4,
    "apps": 5,
    "launch": 5,
    "train": 6,
    "infer": 6, "dataset": 6,
    "commands": 6,
    "bench": 6,
    "cli": 7,
}
# The command is the same as the script, or shows the table.
MAY_ALSO = {("commands", "train"), ("commands", "infer"), ("commands", "dataset"), ("commands", "bench")}
FORBIDDEN_CALLS = {"eval", "exec", "print", "__import__", "compile"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_ATTRIBUTES = {("yaml", "load"), ("os", "system"), ("os", "popen")}


def modules():
    return sorted(SOURCE.rglob("*.py"))


def part_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(tree: ast.AST):
    """Parts of facemorph that a module imports, lazily too; not those only for annotations."""
    annotations = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
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
            parts = name.split(".")
            if parts[0] == "facemorph" and len(parts) > 1:
                yield parts[1], name, node.lineno


def upward(part: str, other: str) -> bool:
    """Whether `part` may not import `other`."""
    if other == part or other in EVERYWHERE or (part, other) in MAY_ALSO:
        return False
    if part in EVERYWHERE:
        return LEVEL.get(other, 0) > LEVEL["ops"]
    if other not in LEVEL or part not in LEVEL:
        return False
    return LEVEL[other] >= LEVEL[part]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downward(path):
    part = part_of(path)
    if part == "__init__":
        return  # the public API, imported lazily
    found = imports(ast.parse(path.read_text()))
    wrong = [f"line {line}: {part} imports {name}" for other, name, line in found if upward(part, other)]
    assert not wrong


def test_systems_do_not_import_one_another():
    names = {path.stem for path in (SOURCE / "systems").glob("*.py")} - {"__init__"}
    wrong = []
    for path in (SOURCE / "systems").glob("*.py"):
        for _, name, line in imports(ast.parse(path.read_text())):
            parts = name.split(".")
            if parts[1] == "systems" and len(parts) > 2 and parts[2] in names - {path.stem}:
                wrong.append(f"{path.name}:{line} imports {name}")
    assert not wrong


def test_every_part_has_a_level():
    parts = {part_of(path) for path in modules()} - {"__init__"}
    assert parts <= LEVEL.keys() | EVERYWHERE


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_forbidden(path):
    wrong = []
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"line {getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.Assert):
            wrong.append(f"{where}: assert")
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            wrong += [f"{where}: import {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            wrong.append(f"{where}: bare except")
        if isinstance(node, ast.Call):
            wrong += [f"{where}: {what}" for what in forbidden_call(node)]
    assert not wrong


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
    ("part", "other", "wrong"),
    [
        ("ops", "faces", True),
        ("faces", "fields", True),
        ("systems", "data", True),
        ("training", "data", True),
        ("systems", "training", True),
        ("losses", "metrics", True),
        ("apps", "commands", True),
        ("config", "faces", True),
        ("commands", "apps", False),
        ("systems", "fields", False),
        ("faces", "ops", False),
        ("ops", "errors", False),
        ("training", "checkpoint", False),
        ("bench", "commands", True),
        ("apps", "systems", False),
    ],
)
def test_the_rule_itself(part, other, wrong):
    assert upward(part, other) is wrong
