"""What `import facemorph` offers, and the examples in all docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import facemorph

MODULES = sorted(module.name for module in pkgutil.walk_packages(facemorph.__path__, "facemorph."))


def test_names():
    assert sorted(facemorph.__all__) == list(facemorph.__all__)
    assert len(facemorph.__all__) <= 14
    assert set(facemorph.__all__) == set(facemorph._WHERE)
    for name in facemorph.__all__:
        thing = getattr(facemorph, name)
        assert callable(thing)
        assert thing.__doc__
        assert thing.__module__ == facemorph._WHERE[name]
        assert thing is getattr(facemorph, name)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'morf'"):
        facemorph.morf  # noqa: B018
    with pytest.raises(ImportError):
        from facemorph import morf  # noqa: F401


def test_import_is_light():
    code = (
        "import sys, facemorph; sys.exit(any(name in sys.modules for name in ('torch', "
        "'numpy', 'lightning')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_function_and_not_its_module():
    from facemorph import morph

    assert callable(morph)
    assert importlib.import_module("facemorph.apps.morphing.morph").morph is morph


def has_examples(module) -> bool:
    return ">>>" in Path(module.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("package", sorted({name.rpartition(".")[0] for name in MODULES}))
def test_doctests(package):
    for name in MODULES:
        if name.rpartition(".")[0] != package:
            continue
        module = importlib.import_module(name)
        assert module.__doc__, f"{name} has no text"
        if has_examples(module):  # looking through every object for none takes long
            assert doctest.testmod(module).failed == 0, name


def test_there_are_doctests():
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(name) for name in MODULES]
    found = [finder.find(module) for module in modules if has_examples(module)]
    assert sum(len(test.examples) for tests in found for test in tests) >= 5
