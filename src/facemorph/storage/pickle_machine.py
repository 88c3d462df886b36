"""A reader of pickles that runs nothing: what a file describes is looked at, never called."""

from __future__ import annotations

import math
import pickletools
from io import BytesIO
from typing import Any

import numpy as np

LARGEST_MODEL = 2**30
_MARK = object()
_KINDS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "O8"}
_NUMPY = (
    "numpy.",
    "numpy.core.multiarray.",
    "numpy._core.multiarray.",
    "numpy.core.numeric.",
    "numpy._core.numeric.",
)
_RECONSTRUCT = {f"{module}_reconstruct" for module in _NUMPY}
_FROM_BUFFER = {f"{module}_frombuffer" for module in _NUMPY}
_SCALAR = {f"{module}scalar" for module in _NUMPY}
_SPARSE = {
    f"scipy.sparse.{module}{kind}.{kind}_{form}"
    for module in ("", "_")
    for kind in ("csc", "csr")
    for form in ("matrix", "array")
}
_CHUMPY = {"chumpy.ch.Ch", "chumpy.reordering.Select"}
_NEW = {
    "copy_reg._reconstructor",
    "copyreg._reconstructor",
    "copy_reg.__newobj__",
    "copyreg.__newobj__",
}
_SETS = {"__builtin__.set", "builtins.set"}
_DICTS = {"collections.OrderedDict"}
_PLAIN = {
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "LONG4",
    "INT",
    "LONG",
    "NONE",
    "NEWTRUE",
    "NEWFALSE",
    "FLOAT",
    "BINFLOAT",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "UNICODE",
    "SHORT_BINSTRING",
    "BINSTRING",
    "STRING",
    "SHORT_BINBYTES",
    "BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Name(str):
    """A global that the pickle names."""

    __slots__ = ()


class _Described:
    """What the pickle says of an array, a type of numbers or an object of one of the known
    classes.
    """

    def __init__(self, what: str, **parts: Any) -> None:
        self.what, self.parts = what, parts


class Refused(Exception):
    """The pickle holds something else than plain values and arrays."""


class PickleMachine:
    """Follows the instructions that describe values and arrays."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        """What a pickle's instructions describe."""
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "STOP":
                break
            self._step(operation.name, argument)
        found = self.stack.pop()
        if self.stack:
            raise Refused("more than one value")
        return found

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
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = self.stack.pop(), self.stack.pop()
            self.stack.append(_called(function, arguments) if name == "REDUCE" else _new(function))
        elif name == "BUILD":
            state = self.stack.pop()
            _built(self.stack[-1], state)
        else:
            self._collect(name)

    def _collect(self, name: str) -> None:
        """The instructions that make and fill tuples, lists and dicts."""
        if name in _TUPLES:
            count = len(self.stack) - _TUPLES[name]
            if count < 0:
                raise Refused("a tuple of nothing")
            items = self.stack[count:]
            self.stack[count:] = [tuple(items)]
        elif name in ("TUPLE", "LIST", "DICT"):
            items = self._since_mark()
            self.stack.append(
                tuple(items) if name == "TUPLE" else items if name == "LIST" else _pairs(items)
            )
        elif name in ("EMPTY_LIST", "EMPTY_SET"):
            self.stack.append([])
        elif name == "EMPTY_DICT":
            self.stack.append({})
        elif name == "APPEND":
            value = self.stack.pop()
            self._top(list).append(value)
        elif name in ("APPENDS", "ADDITEMS"):
            items = self._since_mark()
            self._top(list).extend(items)
        elif name == "SETITEM":
            value, key = self.stack.pop(), self.stack.pop()
            self._top(dict)[key] = value
        elif name == "SETITEMS":
            items = self._since_mark()
            self._top(dict).update(_pairs(items))
        else:
            raise Refused(f"the instruction {name}")

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise Refused(f"no {kind.__name__} to fill")
        return self.stack[-1]

    def _since_mark(self) -> list[Any]:
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise Refused("no mark")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _called(function: Any, arguments: Any) -> Any:
    """What the allowed functions describe; none of them is called."""
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise Refused("a call of something else than a name")
    if function == "numpy.dtype" and arguments[0] in _KINDS:
        return _Described("dtype", kind=arguments[0], order="=")
    if function == "_codecs.encode" and arguments[1] == "latin1":  # how protocol 2 writes bytes
        return arguments[0].encode("latin1")
    if function in _RECONSTRUCT and arguments[0] == "numpy.ndarray":
        return _Described("array")
    if function in _FROM_BUFFER:
        data, kind, shape, order = arguments
        return _array(data, kind, shape, order == "F")
    if function in _SCALAR:
        return _array(arguments[1], arguments[0], (), False)[()]
    if function in _NEW:
        return _new(arguments[0])
    if function == "torch.storage._load_from_bytes":
        return bytes(arguments[0])
    if function == "torch._utils._rebuild_tensor_v2":
        return _Described(
            "tensor",
            **dict(zip(("storage", "offset", "shape", "stride"), arguments[:4], strict=True)),
        )
    if function in _SETS or function in _DICTS:
        return ([] if function in _SETS else {}) if not arguments else arguments[0]
    raise Refused(f"a call of {function}")


def _new(name: Any) -> _Described:
    if isinstance(name, _Name) and (name in _SPARSE or name in _CHUMPY):
        return _Described(str(name))
    raise Refused(f"an object of {name}")


def _built(thing: Any, state: Any) -> None:
    """Complete an array, a type of numbers or an object by its state."""
    if not isinstance(thing, _Described):
        raise Refused("the state of something else than an array")
    if thing.what == "dtype":
        thing.parts["order"] = state[1]
    elif thing.what == "array":
        _, shape, kind, fortran, data = state
        thing.parts["values"] = _array(data, kind, shape, bool(fortran))
    elif isinstance(state, dict):
        thing.parts = state
    else:
        raise Refused(f"an unknown state of {thing.what}")


def _array(data: Any, kind: Any, shape: Any, fortran: bool) -> Any:
    if (
        not isinstance(kind, _Described)
        or not isinstance(shape, tuple)
        or not all(isinstance(size, int) and 0 <= size <= LARGEST_MODEL for size in shape)
    ):
        raise Refused("an array of something else than numbers")
    code = kind.parts["kind"]
    if code == "O8":
        if not isinstance(data, list) or len(data) != math.prod(shape):
            raise Refused("a broken array of objects")
        return data[0] if shape == () else data
    if isinstance(data, str):  # Python 2 wrote bytes as texts
        data = data.encode("latin1")
    order = kind.parts["order"] if kind.parts["order"] in ("<", ">") else "="
    found = np.frombuffer(data, np.dtype(f"{order}{code}")).reshape(
        shape, order="F" if fortran else "C"
    )
    return found.astype(found.dtype.newbyteorder("="))


def values_of(found: Any, done: dict[int, Any] | None = None) -> Any:
    """Plain values in place of what describes them; what is named twice is converted once."""
    done = {} if done is None else done
    if id(found) not in done:
        if isinstance(found, (_Name, _Described)) or found is _MARK:
            done[id(found)] = _object(found)
        elif isinstance(found, dict):
            done[id(found)] = {key: values_of(value, done) for key, value in found.items()}
        elif isinstance(found, (list, tuple)):
            done[id(found)] = type(found)(values_of(value, done) for value in found)
        else:
            return found
    return done[id(found)]


def _object(found: Any) -> Any:
    if not isinstance(found, _Described):
        raise Refused(f"{found} itself")
    parts = found.parts
    if found.what == "array" and "values" in parts:
        return values_of(parts["values"])
    if found.what == "tensor":
        return _tensor(**parts)
    if found.what in _SPARSE:
        from scipy import sparse  # slow to load, and few files hold such

        kind = (
            sparse.csc_matrix
            if found.what.rsplit(".", 1)[1].startswith("csc")
            else sparse.csr_matrix
        )
        numbers = [np.asarray(values_of(parts[name])) for name in ("data", "indices", "indptr")]
        rows, columns = parts["_shape"] if "_shape" in parts else parts["shape"]
        if rows * columns * 8 > LARGEST_MODEL:
            raise Refused(f"a sparse matrix of {rows} x {columns}")
        matrix = kind(tuple(numbers), shape=(rows, columns))
        matrix.check_format(full_check=True)
        return matrix.toarray()
    if found.what == "chumpy.ch.Ch":
        return np.asarray(values_of(parts["x"]), np.float64)
    if found.what == "chumpy.reordering.Select":
        chosen = np.asarray(values_of(parts["a"])).ravel()[np.asarray(values_of(parts["idxs"]))]
        return chosen.reshape(
            values_of(parts["preferred_shape"]) if "preferred_shape" in parts else chosen.shape
        )
    raise Refused(f"a {found.what} without its values")


def _tensor(
    storage: Any, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> np.ndarray:
    """A torch tensor: its storage is a file of its own in the pickle, which torch reads without
    running it.
    """
    import torch

    if not isinstance(storage, bytes):
        raise Refused("a tensor without its storage")
    if math.prod(shape) * 8 > LARGEST_MODEL:  # a stride of 0 makes much of little
        raise Refused(f"a tensor of {tuple(shape)}")
    try:
        values = torch.load(BytesIO(storage), weights_only=True)
        flat = torch.empty(0, dtype=values.dtype).set_(values)
        return torch.as_strided(flat, shape, stride, offset).clone().numpy()
    # torch raises pickle's own error, which has no place here, and others
    except Exception as error:
        raise Refused(f"a tensor: {error}") from error
