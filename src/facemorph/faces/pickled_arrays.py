"""Arrays of numbers out of pickle files, read without unpickling: nothing in the file is called.

The ifmorph project stores landmarks so (``detect-landmarks``: ``STEM.dat``). A pickle is a small program that may call
anything. Here its instructions are only parsed, by the standard library's disassembler, and those that describe one
NumPy array of floats are followed; any other instruction or name ends the reading.
"""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from facemorph.errors import DataError

LARGEST = 4 * 2**20
_MARK = object()
_KINDS = {"f4": 4, "f8": 8}
_NUMPY = ("numpy.", "numpy.core.multiarray.", "numpy._core.multiarray.", "numpy.core.numeric.", "numpy._core.numeric.")
_RECONSTRUCT = {f"{module}_reconstruct" for module in _NUMPY}
_FROM_BUFFER = {f"{module}_frombuffer" for module in _NUMPY}
_PLAIN = {"BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG", "NONE", "NEWTRUE", "NEWFALSE", "SHORT_BINUNICODE",
          "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class _Name(str):
    """A global that the pickle names."""

    __slots__ = ()


class _Refused(Exception):
    """The pickle holds something else than an array."""


def read_pickled_array(path: str | Path) -> np.ndarray:
    """The one array of floats in a pickle file.

    Raises:
        DataError: The file cannot be read, is too large, or holds anything else.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise _Refused(f"{path.stat().st_size} bytes")
        content = path.read_bytes()
        found = _Machine().run(content)
    except OSError as error:
        raise DataError("this file cannot be read", where=path, found=error.strerror or str(error)) from error
    except (_Refused, ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # The disassembler and the damaged operands it gives raise any of these.
        raise DataError("this file holds no plain array of numbers", where=path,
                        expected="a pickled NumPy array of floats", remedy="It was not run.",
                        found=str(error)[:80] or type(error).__name__) from error
    return found


class _Machine:
    """Follows the instructions that describe an array."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> np.ndarray:
        """The array that a pickle's instructions describe."""
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "STOP":
                break
            self._step(operation.name, argument)
        found = self.stack.pop()
        if not isinstance(found, dict) or "values" not in found or self.stack:
            raise _Refused("no array")
        values: np.ndarray = found["values"]
        return values

    def _step(self, name: str, argument: Any) -> None:
        if name in _PLAIN:
            self.stack.append(_CONSTANTS.get(name, argument))
        elif name in ("PROTO", "FRAME"):
            return
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[int(argument)])
        elif name == "GLOBAL":
            self.stack.append(_Name(str(argument).replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            word, module = self.stack.pop(), self.stack.pop()
            self.stack.append(_Name(f"{module}.{word}"))
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in ("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"):
            self._tuple(name)
        elif name == "REDUCE":
            arguments, function = self.stack.pop(), self.stack.pop()
            self.stack.append(_called(function, arguments))
        elif name == "BUILD":
            state = self.stack.pop()
            _built(self.stack[-1], state)
        else:
            raise _Refused(f"the instruction {name}")

    def _tuple(self, name: str) -> None:
        if name == "TUPLE":
            start = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
            items, self.stack[start:] = self.stack[start + 1:], []
        else:
            count = 0 if name == "EMPTY_TUPLE" else int(name[-1])
            items = self.stack[len(self.stack) - count:]
            del self.stack[len(self.stack) - count:]
        self.stack.append(tuple(items))


def _called(function: Any, arguments: tuple[Any, ...]) -> Any:
    """What the allowed functions describe; none of them is called."""
    if not isinstance(function, _Name):
        raise _Refused("a call of something else than a name")
    if function == "numpy.dtype" and arguments[0] in _KINDS:
        return {"kind": arguments[0], "order": "="}
    if function == "_codecs.encode" and arguments[1] == "latin1":        # how protocol 2 writes bytes
        return arguments[0].encode("latin1")
    if function in _RECONSTRUCT and arguments[0] == "numpy.ndarray":
        return {"array": True}
    if function in _FROM_BUFFER:
        data, kind, shape, order = arguments
        return {"values": _values(data, kind, shape, order == "F")}
    raise _Refused(f"a call of {function}")


def _built(thing: Any, state: Any) -> None:
    if not isinstance(thing, dict) or not isinstance(state, tuple):
        raise _Refused("the state of something else than an array")
    if "kind" in thing:
        thing["order"] = state[1]
    elif "array" in thing:
        _, shape, kind, fortran, data = state
        thing["values"] = _values(data, kind, shape, bool(fortran))
    else:
        raise _Refused("the state of something else than an array")


def _values(data: bytes, kind: Any, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    if not isinstance(kind, dict) or not isinstance(data, (bytes, bytearray)) or not all(
            isinstance(size, int) and 0 <= size < LARGEST for size in shape):
        raise _Refused("an array of something else than floats")
    order = kind["order"] if kind["order"] in ("<", ">") else "="
    found = np.frombuffer(data, np.dtype(f"{order}{kind['kind']}"))
    return found.reshape(shape, order="F" if fortran else "C").astype(np.float64)
