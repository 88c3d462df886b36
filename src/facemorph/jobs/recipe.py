"""Recipes: beside each output a YAML file that says how it was made, for ``redo``.

A recipe holds data only. What it may call is listed in ``FUNCTIONS``; every argument must have the
type that the function's signature gives; where the result goes is said by who calls ``redo``, never
by the recipe.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import (
    Any,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    cast,
)

import yaml

from facemorph.errors import DataError
from facemorph.jobs.input_files import check_files_exist, spell_out_folders
from facemorph.jobs.outputs import COMPANIONS, beside, check_output
from facemorph.storage.files import sha256_of, write_whole
from facemorph.storage.runs import latest_checkpoint
from facemorph.storage.suffixes import STILLS, VIDEO_SUFFIXES
from facemorph.storage.versions import versions as package_versions

FORMAT = 1
NAMED_TOO = ("warp", "blend", "mask", "model", "weights")  # arguments that are a name or a file
SEED = 0
LARGEST = 4_000_000  # bytes of a recipe: the list of a large average fits
FUNCTIONS = {
    "morph": "facemorph.apps.morphing.morph",
    "chain": "facemorph.apps.morphing.chain",
    "animate": "facemorph.apps.heads.animate",
    "reenact": "facemorph.apps.reenactment.reenact",
    **dict.fromkeys(
        (
            "average",
            "transform",
            "caricature",
            "symmetrize",
            "regions",
            "align_faces",
            "delineate",
            "mask",
        ),
        "facemorph.apps.morphing.classics",
    ),
}


class RecipeInput(TypedDict):
    """An input, as seen from the recipe's folder."""

    file: str
    sha256: str


class RecipeOutput(TypedDict):
    """The output, and the digest of what it shows."""

    file: str
    sha256_of_content: str


class Recipe(TypedDict):
    """What a recipe holds.

    Attributes:
        facemorph_recipe: ``FORMAT``.
        function: A name of ``FUNCTIONS``.
        arguments: Its arguments without the output.
        inputs: Files that it reads.
        output: What it writes.
        seed: ``SEED``.
        versions: What the last bit of the output may depend on.
    """

    facemorph_recipe: int
    function: str
    arguments: dict[str, Any]
    inputs: list[RecipeInput]
    output: RecipeOutput
    seed: int
    versions: dict[str, str | int]


class Written(Protocol):
    """A result that knows the files it was written to, the output itself first."""

    files: list[Path]


P = ParamSpec("P")
R = TypeVar("R", bound=Written)


def recorded(
    files: Sequence[str], photographs: Sequence[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: a function with an ``output`` leaves a recipe beside what it writes.

    All random numbers of the function follow from ``SEED``; the caller's generator stays as it was.
    Where an input is a tensor there is no recipe, and one that an older output had is removed.

    Args:
        files: The arguments that are input files, or sequences of them.
        photographs: Those that are photographs, in the order of their landmark files: the argument
            ``points``. Among them a folder stands for its pictures; as ``points``, for the landmark
            file of each picture. The recipe names the files.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            spell_out_folders(bound.arguments, photographs)
            check_files_exist(
                item
                for name in files
                if name not in NAMED_TOO
                for item in items_of(bound.arguments[name])
            )
            import torch

            for name in files:
                if str(bound.arguments[name]).startswith("@"):  # the newest run, today
                    bound.arguments[name] = str(latest_checkpoint(str(bound.arguments[name])))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(SEED)
                result = function(*bound.args, **bound.kwargs)
            if bound.arguments["output"] is not None:
                _record(function.__name__, bound.arguments, files, result)
            return result

        call.recorded_files = tuple(files)  # type: ignore[attr-defined]
        return call

    return decorate


def recipe_path(output: str | Path) -> Path:
    """Path of an output's recipe: ``dir/STEM.recipe.yaml``."""
    return beside(Path(output), "recipe.yaml")


def _record(
    function: str, arguments: Mapping[str, Any], files: Sequence[str], result: Written
) -> None:
    output = check_output(arguments["output"], ())
    path = recipe_path(output)
    given = [item for name in files for item in items_of(arguments[name])]
    if not all(isinstance(item, (str, Path, int, float)) for item in given):
        path.unlink(missing_ok=True)
        return
    used = dict.fromkeys(
        file for name in files for item in items_of(arguments[name]) for file in _inside(item)
    )
    folder = path.parent.resolve()
    plain = {
        name: _plain(value, folder if name in files else None)
        for name, value in arguments.items()
        if name != "output"
    }
    recipe: Recipe = {
        "facemorph_recipe": FORMAT,
        "function": function,
        "arguments": plain,
        "inputs": [{"file": _relative(file, folder), "sha256": sha256_of(file)} for file in used],
        "output": {
            "file": output.name,
            "sha256_of_content": content_sha256(contents_of(output, result.files)),
        },
        "seed": SEED,
        "versions": versions(),
    }
    text = "# Made again by: facemorph redo THIS_FILE\n" + yaml.safe_dump(
        recipe, sort_keys=False, allow_unicode=True
    )
    write_whole(path, text.encode())
    result.files.append(path)


def items_of(value: Any) -> list[Any]:
    """The values of an argument: of a list all, of None none."""
    if isinstance(value, (list, tuple)):
        return list(value)
    return [] if value is None else [value]


def _inside(item: Any) -> Iterator[Path]:
    """The file itself, or all files of a folder; nothing for the name of a warp or a number."""
    path = Path(str(item))
    if os.path.isdir(path):
        yield from sorted(file for file in path.rglob("*") if os.path.isfile(file))
    elif os.path.isfile(path):
        yield path


def _plain(value: Any, folder: Path | None) -> Any:
    """A value as YAML has it; files are named as seen from ``folder``."""
    if isinstance(value, (list, tuple)):
        return [_plain(item, folder) for item in value]
    if folder is not None and isinstance(value, (str, Path)) and os.path.exists(value):
        return _relative(Path(value), folder)
    return str(value) if isinstance(value, Path) else value


def _relative(path: Path, folder: Path) -> str:
    """As seen from the recipe, so that a folder with both can be moved."""
    return Path(os.path.relpath(path.resolve(), folder)).as_posix()


def contents_of(output: Path, files: Iterable[Path]) -> list[Path]:
    """The files written that are the output itself, without what lies beside it."""
    companions = {beside(output, ending) for ending in COMPANIONS}
    return [file for file in files if file not in companions]


def versions() -> dict[str, str | int]:
    """What the last bit of a result may depend on."""
    import torch

    return {
        **package_versions(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def content_sha256(files: Iterable[Path]) -> str:
    """Digest of what files show: decoded pixels of pictures and videos, the bytes of all others.

    Sizes and order count, names and metadata do not.
    """
    import numpy as np
    from PIL import Image, ImageSequence

    from facemorph.faces.files.video_io import read_video

    digest = hashlib.sha256()
    for path in files:
        suffix = path.suffix.lower()
        if suffix in (*STILLS, ".gif"):
            with Image.open(path) as picture:
                frames = [
                    np.asarray(frame.convert("RGBA" if "A" in frame.getbands() else "RGB"))
                    for frame in ImageSequence.Iterator(picture)
                ]
        elif suffix in VIDEO_SUFFIXES:
            frames = read_video(path)  # type: ignore[assignment]
        else:
            digest.update(path.read_bytes())
            continue
        for frame in frames:
            digest.update(str(frame.shape).encode() + np.ascontiguousarray(frame).tobytes())
    return digest.hexdigest()


def read_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        DataError: It is missing, no recipe, or names a function or argument that recipes may not
            name.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(
                "too large for a recipe", where=path, expected=f"{LARGEST} bytes at most"
            )
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(
            "the recipe cannot be read",
            where=path,
            found=str(error).splitlines()[0],
            expected="STEM.recipe.yaml beside an output of facemorph",
        ) from error
    if not isinstance(recipe, dict) or recipe.get("facemorph_recipe") != FORMAT:
        raise DataError(
            "this file is no recipe", where=path, expected=f"facemorph_recipe: {FORMAT}"
        )
    for key, hint in (
        ("function", str),
        ("arguments", dict),
        ("inputs", list),
        ("output", dict),
        ("seed", int),
        ("versions", dict),
    ):
        if type(recipe.get(key)) is not hint:
            raise DataError(
                "the recipe has no such entry, or one of another kind",
                where=f"{path}: {key}",
                expected=hint.__name__,
                found=type(recipe.get(key)).__name__,
            )
    known = [
        isinstance(item, dict) and all(type(item.get(key)) is str for key in ("file", "sha256"))
        for item in recipe["inputs"]
    ]
    if not all(known) or any(
        type(recipe["output"].get(key)) is not str for key in ("file", "sha256_of_content")
    ):
        raise DataError(
            "the recipe's inputs or output are incomplete",
            where=path,
            expected="a file with its sha256",
        )
    if recipe["function"] not in FUNCTIONS or recipe["seed"] != SEED:
        raise DataError(
            "recipes may not ask for this",
            where=f"{path}: function, seed",
            expected=f"{' | '.join(FUNCTIONS)}; seed {SEED}",
            found=f"{recipe['function']}; seed {recipe['seed']}",
        )
    return cast(Recipe, recipe)
