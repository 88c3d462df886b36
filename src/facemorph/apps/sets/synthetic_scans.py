"""Labelled synthetic scans, identities times expressions, for ImFace and its kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.errors import ConfigError
from facemorph.jobs.options import Option, OutputFolder, checked

if TYPE_CHECKING:
    from facemorph.apps.sets.scan_making import ScansReport


@checked
def make_scans(
    output: OutputFolder,
    identities: Annotated[int, Option(("--identities",))] = 64,
    expressions: Annotated[int, Option(("--expressions",))] = 8,
    *,
    seed: int = 0,
    model: str = "makehuman",
    noise: Annotated[bool, Option(("--noise/--no-noise",))] = False,
    holes: Annotated[bool, Option(("--holes/--no-holes",))] = False,
    obj: Annotated[bool, Option(("--obj/--no-obj",))] = False,
    held_identities: float = 0.125,
    held_expressions: float = 0.125,
    workers: int | None = 1,
) -> ScansReport:
    """Make a set of labelled scans.

    The same call continues a run that was interrupted; more identities or expressions add to a set.

    Args:
        output: Folder of the set: IDENTITY/EXPRESSION.ply and so on, index.json, template.ply.
        identities: Number of people; more add to a set.
        expressions: Number of expressions, the first is neutral; at most 20.
        seed: Decides everything.
        model: ``makehuman``, ``ict`` or a model's file.
        noise: Noise of a scanner, 0.15 mm along the normals.
        holes: Up to four holes in a face, off its landmarks.
        obj: Write .obj beside each .ply.
        held_identities: Share of the people only for testing.
        held_expressions: Share of the expressions, the last ones, only for testing.
        workers: Processes; 0: one for each core.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option or the folder is at fault.
    """
    if identities < 1:
        raise ConfigError(
            "a set needs a person", where="identities", expected="1 or more", found=identities
        )
    from facemorph.apps.sets.scan_making import ScansOptions, make_all

    options = ScansOptions(seed, model, noise, holes, obj, held_identities, held_expressions)
    return make_all(Path(output), identities, expressions, options, workers or None)
