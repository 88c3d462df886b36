"""How the arguments of a function appear on the command line and in messages: one signature makes
the options, their defaults, their help and their validation.

A function of ``apps/`` is the source. Its docstring's ``Args:`` is the help, its defaults are the
defaults, a ``Literal`` names the choices, and an `Option` inside ``Annotated`` says what differs on
the command line. This module loads nothing heavy, and neither may the module of such a function.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from facemorph.errors import ConfigError
from facemorph.faces.choices import Align, Detector, FrameNames

NAME_MAX = 255  # bytes, on all common file systems

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Option:
    """What an argument is on the command line, where that does not follow from its name and type.

    Attributes:
        names: ``("-o", "--output")``; of the argument's name when empty.
        metavar: Placeholder of the value in the help.
        help: Text in the place of the docstring's.
        kind: Type that is read on the command line, where Python takes more than one.
        required: The command line asks for it, though Python has a default.
        argument: It has no name on the command line, though it may be left out.
    """

    names: tuple[str, ...] = ()
    metavar: str | None = None
    help: str | None = None
    kind: Any = None
    required: bool = False
    argument: bool = False


if TYPE_CHECKING:
    from torch import Tensor
else:

    class Tensor:
        """Stands for ``torch.Tensor`` in signatures while torch is not loaded."""


Photograph = str | Path | Tensor
Pictures = Annotated[Sequence[Photograph], Option(metavar="PICTURES")]
Output = Annotated[str | Path | None, Option(("-o", "--output"), "OUT", kind=Path, required=True)]
FramesPerSecond = Annotated[float, Option(("--fps",), help="Frames per second of a video or GIF.")]
Names = Annotated[
    FrameNames,
    Option(
        help="What the PNG files of a folder are named by: index, percent of the sequence, or time "
        "in seconds; times.csv has all."
    ),
]
LargestGif = Annotated[
    float | None,
    Option(
        metavar="MB",
        help="Largest size of a GIF: colours, frames, then its size are lowered until it fits.",
    ),
]
FrameSize = Annotated[int, Option(help="Longer side of the frame in pixels.")]
MinScore = Annotated[
    float | None, Option(help="Lowest score of a face; the detector's own when not given.")
]
Device = Annotated[str, Option(help="auto, cpu, cuda, cuda:1.")]
Points = Annotated[
    Sequence[str | Path] | str | Path | None,
    Option(
        metavar="DIR",
        kind=Path,
        help="Folder of landmark files, STEM.tem, .pts, .json, .csv, .ljson, .xml, .txt or .npy "
        "for each picture; found by the detector when not given.",
    ),
]
Detected = Annotated[Detector, Option(help="What finds the landmarks.")]
Aligned = Annotated[
    Align,
    Option(
        help="How faces are cut out: portrait, head and shoulders; ffhq, eyes and mouth at fixed "
        "places; ffhq_upright, the same without turning; none, the whole pictures."
    ),
]
Frontal = Annotated[
    bool,
    Option(
        help="Turn heads that look to the side to the front first, by a fitted head; what that "
        "uncovers is mirrored."
    ),
]
OutputFolder = Annotated[str | Path, Option(("-o", "--output"), "DIR", kind=Path)]
File = Annotated[str | Path | None, Option(metavar="FILE")]
Folder = Annotated[str | Path | None, Option(metavar="DIR")]
FileOrFolder = Annotated[str | Path | None, Option(metavar="FILE|DIR")]


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Types of a function's arguments with their ``Annotated``, without loading torch for them."""
    inner = inspect.unwrap(function)
    names = {"Tensor": Tensor, **vars(sys.modules[inner.__module__])}
    # What it returns may have a type that only type checkers load.
    arguments = {name: hint for name, hint in inner.__annotations__.items() if name != "return"}
    return get_type_hints(SimpleNamespace(__annotations__=arguments), names, include_extras=True)


def argument_texts(function: Callable[..., Any]) -> dict[str, str]:
    """Text of each argument in the ``Args:`` of a function's docstring, in one line."""
    doc = inspect.getdoc(function) or ""
    section = re.search(r"^Args:\n((?:[ ]{4}.*\n|\n)*)", doc + "\n", re.MULTILINE)
    entries = re.split(r"^ {4}(?=\S)", section.group(1) if section else "", flags=re.MULTILINE)
    found = {}
    for entry in entries:
        name, _, text = entry.partition(":")
        found[name.strip()] = " ".join(text.split()).replace("``", "")
    return found


def split_annotation(hint: Any) -> tuple[Any, Option]:
    """The type of an argument and its `Option`."""
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        return kind, next((one for one in extras if isinstance(one, Option)), Option())
    return hint, Option()


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Members of a union, ``None`` left out; the type itself where it is none."""
    kind = split_annotation(hint)[0]
    if get_origin(kind) in (Union, UnionType):
        return tuple(
            inner for one in get_args(kind) if one is not NoneType for inner in alternatives(one)
        )
    return (kind,)


def choices_of(hint: Any) -> tuple[str, ...] | None:
    """Values that an argument may have; None where it takes others too."""
    members = alternatives(hint)
    if not all(get_origin(one) is Literal for one in members):
        return None
    return tuple(value for one in members for value in get_args(one))


def check_choices(function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """See that each argument with a fixed list of values has one of them.

    Raises:
        ConfigError: One has another; with the list.
    """
    hints = hints_of(function)
    for name, value in arguments.items():
        allowed = choices_of(hints[name]) if name in hints else None
        if allowed is not None and value is not None and value not in allowed:
            raise ConfigError(
                "no such choice", where=name, expected=" | ".join(map(str, allowed)), found=value
            )


def check_names(function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """See that no argument that may be a path has a name that is too long for a file.

    Raises:
        ConfigError: One has.
    """
    hints = hints_of(function)
    for name, value in arguments.items():
        kinds = alternatives(hints.get(name))
        lists = any(get_origin(kind) is Sequence for kind in kinds)  # as text: numbers by commas
        if not isinstance(value, str | Path) or Path not in kinds or lists:
            continue
        longest = max(map(len, os.fsencode(value).split(b"/")))
        if longest > NAME_MAX:
            raise ConfigError(
                "a file cannot have so long a name",
                where=name,
                expected=f"at most {NAME_MAX} bytes",
                found=f"{str(value)[:40]}..., {longest} bytes",
            )


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: arguments with a fixed list of values, and names of files, are checked before any
    work is done.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        given = signature.bind(*args, **kwargs).arguments
        check_choices(function, given)
        check_names(function, given)
        return function(*args, **kwargs)

    return call
