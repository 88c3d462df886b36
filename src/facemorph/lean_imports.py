"""Lightning without two packages that it loads and hardly uses: most of its start-up.

Lightning imports ``torch._dynamo``, torch's compiler, for the class of compiled modules, and by way
of torchmetrics ``scipy.signal``, for the name of a window. While it is imported, stand-ins hold
their places; afterwards whoever imports them gets the packages. Training loads the compiler later,
at the first step of an optimizer; a command that only uses a trained model never does.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import FunctionType, ModuleType
from typing import Any

IMPORTERS = ("lightning", "torchmetrics")
COMPILER, SIGNAL = "torch._dynamo", "scipy.signal"


class StandIn(ModuleType):
    """A module in the place of another one, which is imported when more is asked of it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # as imports and tools ask of every module
            raise AttributeError(name)
        return getattr(_package(self.__name__), name)


class _Compiled(type):
    """The type of a class whose instances are those of torch's ``OptimizedModule``."""

    def __instancecheck__(cls, instance: object) -> bool:
        real = getattr(sys.modules.get(COMPILER), "OptimizedModule", cls)
        return real is not cls and isinstance(instance, real)


class _OptimizedModule(metaclass=_Compiled):
    """In the place of torch's."""


def _package(name: str) -> ModuleType:
    """A package itself, whether or not a stand-in is there."""
    found = sys.modules.get(name)
    if isinstance(found, StandIn):
        _take_away(found)
    return importlib.import_module(name)


def _disable(function: Any = None, recursive: bool = True, **more: Any) -> Any:
    """``torch._dynamo.disable``, which a function's first call loads."""
    if not isinstance(function, FunctionType):
        return _package(COMPILER).disable(function, recursive, **more)
    made: list[Any] = []

    @wraps(function)
    def disabled(*words: Any, **named: Any) -> Any:
        if not made:
            made.append(_package(COMPILER).disable(function, recursive, **more))
        return made[0](*words, **named)

    return disabled


@contextmanager
def stand_ins() -> Iterator[None]:
    """Stand-ins for the packages that are not loaded yet."""
    placed = []
    for name, content in (
        (COMPILER, {"OptimizedModule": _OptimizedModule, "disable": _disable}),
        (SIGNAL, {"hamming": None}),
    ):
        if name not in sys.modules:
            parent, _, child = name.rpartition(".")
            one = StandIn(name)
            vars(one).update(content)
            setattr(importlib.import_module(parent), child, one)
            sys.modules[name] = one
            placed.append(one)
    try:
        yield
    finally:
        for one in placed:
            _take_away(one)


def _take_away(one: StandIn) -> None:
    if sys.modules.get(one.__name__) is one:
        del sys.modules[one.__name__]
    parent, _, child = one.__name__.rpartition(".")
    if vars(sys.modules[parent]).get(child) is one:
        delattr(sys.modules[parent], child)


class _Loader(SourceFileLoader):
    """Imports a package from its file, with stand-ins."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the file.

        Raises:
            ModuleNotFoundError: It imports something that is not installed.
        """
        try:
            with stand_ins():
                super().exec_module(module)
        except ModuleNotFoundError as error:
            if not str(error.name).startswith((f"{COMPILER}.", f"{SIGNAL}.")):
                raise
            super().exec_module(module)  # another version, which needs the packages themselves


class LeanImports(MetaPathFinder):
    """Finds Lightning and torchmetrics, and has them imported with stand-ins."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where one of them is; None for all other modules, which are found as ever."""
        if name not in IMPORTERS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Have what is imported from now on lean."""
    if not any(isinstance(finder, LeanImports) for finder in sys.meta_path):
        sys.meta_path.insert(0, LeanImports())
