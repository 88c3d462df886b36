"""A texture model of real faces from prepared sets: the options of ``facemorph data textures``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.errors import ConfigError
from facemorph.jobs.options import Option, Output, checked

if TYPE_CHECKING:
    from facemorph.apps.fitting.texture_making import TexturesReport

LIMITS = {"size": (32, 512), "components": (2, 400)}


@checked
def make_textures(
    sets: Annotated[Sequence[str | Path], Option(metavar="SET...")],
    output: Output = None,
    *,
    size: int = 128,
    components: int = 80,
    model: str = "makehuman",
    held_out: float = 0.1,
) -> TexturesReport:
    """Make a texture model of the people of prepared sets.

    The pictures' light is taken out, what they do not show is filled in, and principal components
    of the skin are found, the same on both sides of the face.

    Args:
        sets: Folders that ``facemorph data prepare`` made, best with ``--refine``.
        output: The model, ``.safetensors``.
        size: Texels along each side of the map: 128, or 256 for faces of 200 pixels and more.
        components: Number of principal components.
        model: Face model of the sets' fits: makehuman, ict.
        held_out: Share of the training people who are kept out, to measure the model with.

    Returns:
        What was found, with the model's figures.

    Raises:
        FacemorphError: A folder is no prepared set, its fits are of another model, or it has too
            few people.
    """
    if output is None:
        raise ConfigError("a file for the model is missing", where="output")
    for name, value in (("size", size), ("components", components)):
        low, high = LIMITS[name]
        if not low <= value <= high:
            raise ConfigError("out of range", where=name, expected=f"{low} to {high}", found=value)
    if size % 2:
        raise ConfigError("a map has two halves", where="size", expected="even", found=size)
    if not 0 < held_out < 1:
        raise ConfigError("out of range", where="held_out", expected="0 to 1", found=held_out)
    from facemorph.apps.fitting.texture_making import learn_textures

    folders = [Path(one) for one in sets]
    return learn_textures(folders, Path(output), size, components, model, held_out)
