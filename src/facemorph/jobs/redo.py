"""``redo``: an output made again from its recipe, and compared bit for bit."""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from facemorph.errors import ChecksumError, ConfigError, DataError, OutputError
from facemorph.jobs.options import Option, hints_of, split_annotation
from facemorph.jobs.outputs import check_output
from facemorph.jobs.recipe import (
    FUNCTIONS,
    NAMED_TOO,
    Recipe,
    content_sha256,
    contents_of,
    items_of,
    read_recipe,
    versions,
)
from facemorph.storage.files import sha256_of

# What recipes from before there was such an argument mean: it was not done.
BEFORE: dict[str, dict[str, object]] = {"morph": {"match_skin": False}}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Redone:
    """What became of a recipe.

    Attributes:
        identical: Whether pixels (points, for landmark files) are the recorded ones, bit for bit.
        files: Files written; empty where it was only checked.
        differences: Versions that are not the recorded ones, as text.
    """

    identical: bool
    files: list[Path]
    differences: list[str]


def redo(
    recipe: Annotated[str | Path, Option(metavar="RECIPE")],
    output: Annotated[str | Path | None, Option(("-o", "--output"), "OUT", kind=Path)] = None,
) -> Redone:
    """Make an output again from its recipe, and compare.

    Args:
        recipe: STEM.recipe.yaml, as it lies beside an output.
        output: Where to write, with the suffix of the first output; only compared when not given.

    Raises:
        DataError: The recipe is damaged, or asks for what recipes may not.
        ChecksumError: An input has changed since, or is gone.
        ConfigError: The output has another suffix.
        OutputError: The output would overwrite the recipe or an input.
        FacemorphError: What the function itself raises.
    """
    path = Path(recipe)
    content = read_recipe(path)
    suffix = Path(content["output"]["file"]).suffix
    folder = path.resolve().parent
    for item in content["inputs"]:
        _check_input(folder / item["file"], item["sha256"], path)
    arguments = arguments_of(content, path)
    now = versions()
    differences = [
        f"{name} {was}, now {now.get(name)}"
        for name, was in content["versions"].items()
        if now.get(name) != was
    ]
    for difference in differences:
        logger.warning("%s: made with %s: the last bits may differ.", path, difference)
    with tempfile.TemporaryDirectory(prefix="facemorph-redo-") as scratch:
        target = (
            Path(scratch) / f"redo{suffix}" if output is None else _target(output, path, content)
        )
        made = _function(content)(output=target, **arguments)
        found = content_sha256(contents_of(target, made.files))
    return Redone(
        found == content["output"]["sha256_of_content"],
        [] if output is None else list(made.files),
        differences,
    )


def _target(output: str | Path, recipe: Path, content: Recipe) -> Path:
    """Where to write, which must be nothing that is there for the recipe."""
    folder, first = recipe.resolve().parent, Path(content["output"]["file"])
    target = check_output(output, [recipe, *(folder / item["file"] for item in content["inputs"])])
    if target.suffix.lower() != first.suffix.lower():
        raise ConfigError(
            "the output has another suffix than the recipe's",
            where=output,
            expected=first.suffix or "a folder",
            found=target.suffix or "a folder",
        )
    if (folder / first).resolve() == target.resolve():
        raise OutputError(
            "the first output would be lost", where=output, remedy="Choose another path with -o."
        )
    return target


def _check_input(file: Path, sha256: str, recipe: Path) -> None:
    if not os.path.isfile(file):
        raise ChecksumError(
            "an input of the recipe is gone",
            where=file,
            expected="as seen from the recipe's folder",
            remedy=f"Put it back, or correct its path in {recipe}.",
        )
    if (found := sha256_of(file)) != sha256:
        raise ChecksumError(
            "an input has changed since the recipe was written",
            where=file,
            expected=sha256[:12],
            found=found[:12],
            remedy="Restore it, or make a new output with the command itself.",
        )


def _function(content: Recipe) -> Callable[..., Any]:
    """What made the output."""
    name = content["function"]
    found: Callable[..., Any] = getattr(importlib.import_module(FUNCTIONS[name]), name)
    return found


def arguments_of(content: Recipe, path: Path) -> dict[str, object]:
    """A recipe's arguments, with files as seen from here.

    Args:
        content: The recipe.
        path: Where it is.

    Raises:
        DataError: An argument is unknown, of another kind than in the function's signature, or a
            file without a sha256.
    """
    function = _function(content)
    hints = {
        name: hint for name, hint in hints_of(function).items() if name not in ("return", "output")
    }
    folder = path.resolve().parent
    listed = [item["file"] for item in content["inputs"]]
    arguments = {}
    for name, value in (BEFORE.get(content["function"], {}) | content["arguments"]).items():
        if name not in hints or not _fits(value, hints[name]):
            raise DataError(
                "no such argument, or one of another kind",
                where=f"{path}: {name}",
                expected=str(hints.get(name, " | ".join(hints))),
                found=type(value).__name__,
            )
        if name in function.recorded_files:  # type: ignore[attr-defined]
            for item in items_of(value):
                known = item in listed or any(file.startswith(f"{item}/") for file in listed)
                if not known and (
                    name not in NAMED_TOO or item.startswith("@") or os.path.exists(folder / item)
                ):
                    raise DataError(
                        "the recipe uses a file without a sha256",
                        where=f"{path}: {name}",
                        found=item,
                    )
            located = [
                str(folder / item) if os.path.exists(folder / item) else item
                for item in items_of(value)
            ]
            arguments[name] = located if isinstance(value, list) else (located or [None])[0]
        else:
            arguments[name] = value
    return arguments


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of YAML is of the kind that a signature names."""
    hint, _ = split_annotation(hint)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if options := [item for item in get_args(hint) if get_origin(hint) is not Sequence]:
        return any(_fits(value, option) for option in options)
    if get_origin(hint) is Sequence:
        return isinstance(value, list) and all(_fits(item, get_args(hint)[0]) for item in value)
    if hint is None or hint is NoneType:
        return value is None
    if hint is float:
        return type(value) in (int, float)
    return type(value) is (str if hint is Path else hint)
