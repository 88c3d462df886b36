"""Lightning, trimesh and numba without packages that they hardly use: most of their start-up.

Lightning imports ``torch._dynamo``, torch's compiler, for the class of compiled modules, and by way
of torchmetrics ``scipy.signal``, for the name of a window; trimesh imports ``networkx`` and half of
SciPy, which files need not; numba ``scipy.linalg``, to see that it could multiply matrices. While
they are imported, stand-ins hold these packages' places; afterwards whoever imports them gets the
packages. Training loads the compiler later, at the first step of an optimizer; a command that only
uses a trained model never does.
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

TRAINERS, MESHES, KERNELS = ("lightning", "torchmetrics"), ("trimesh",), ("numba.np.arraymath",)
COMPILER, SIGNAL = "torch._dynamo", "scipy.signal"
GRAPHS = "networkx"
CALLED = {  # functions and classes of SciPy that trimesh only calls
    "scipy.optimize": ("leastsq",),
    "scipy.spatial": ("cKDTree", "ConvexHull"),
    "scipy.sparse": ("coo_matrix", "eye"),
    "scipy.sparse.linalg": ("spsolve",),
    "scipy.ndimage": (),
}


class StandIn(ModuleType):
    """A module in the place of another one, which is imported when more is asked of it.

    Args:
        name: Of the module.
        content: What it has itself, as long as it is in its place.
    """

    def __init__(self, name: str, content: dict[str, Any]) -> None:
        super().__init__(name)
        self._content = tuple(content)
        vars(self).update(content)

    def take_away(self) -> None:
        """Make room for the module, which is asked for everything from now on."""
        name = self.__name__
        if sys.modules.get(name) is self:
            del sys.modules[name]
        parent, _, child = name.rpartition(".")
        if parent and vars(sys.modules[parent]).get(child) is self:
            delattr(sys.modules[parent], child)
        for one in self._content:
            vars(self).pop(one, None)

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
        found.take_away()
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


def _later(package: str, name: str) -> Any:
    """A function or class of a package, which its first call loads."""

    def called(*words: Any, **named: Any) -> Any:
        return getattr(_package(package), name)(*words, **named)

    return called


def _names_of(importer: str) -> dict[str, dict[str, Any]]:
    """The packages that have stand-ins, and what is asked of each."""
    if importer in MESHES:
        called = {
            package: {name: _later(package, name) for name in names}
            for package, names in CALLED.items()
        }
        called["scipy.spatial"]["QhullError"] = RuntimeError  # its base, for who catches it
        called["scipy.sparse"]["csgraph"] = StandIn("scipy.sparse.csgraph", {})
        return {GRAPHS: {"Graph": object}, **called}
    if importer in KERNELS:
        return {"scipy.linalg": {}, "scipy.linalg.cython_blas": {}}
    return {
        COMPILER: {"OptimizedModule": _OptimizedModule, "disable": _disable},
        SIGNAL: {"hamming": None},
    }


@contextmanager
def stand_ins(importer: str) -> Iterator[None]:
    """Stand-ins for the packages of an importer that are not loaded yet."""
    placed = []
    for name, content in _names_of(importer).items():
        if name not in sys.modules:
            parent, _, child = name.rpartition(".")
            one = StandIn(name, content)
            if parent:
                setattr(importlib.import_module(parent), child, one)
            sys.modules[name] = one
            placed.append(one)
    try:
        yield
    finally:
        for one in reversed(placed):
            one.take_away()


class _Loader(SourceFileLoader):
    """Imports a package from its file, with stand-ins."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the file.

        Raises:
            ModuleNotFoundError: It imports something that is not installed.
        """
        try:
            with stand_ins(self.name):
                super().exec_module(module)
        except ModuleNotFoundError as error:
            if not str(error.name).startswith(tuple(f"{one}." for one in _names_of(self.name))):
                raise
            super().exec_module(module)  # another version, which needs the packages themselves


class LeanImports(MetaPathFinder):
    """Finds Lightning, torchmetrics, trimesh and numba, and has them imported with stand-ins."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where one of them is; None for all other modules, which are found as ever."""
        if name not in (*TRAINERS, *MESHES, *KERNELS):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Have what is imported from now on lean."""
    if not any(isinstance(finder, LeanImports) for finder in sys.meta_path):
        sys.meta_path.insert(0, LeanImports())
