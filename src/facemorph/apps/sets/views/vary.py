"""More views of every person of a prepared set: turned, with other expressions, in other light."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.errors import ConfigError
from facemorph.jobs.options import Option, OutputFolder, checked

if TYPE_CHECKING:
    from facemorph.apps.sets.views.varied_pictures import VaryReport


@checked
def vary_set(
    source: Annotated[str | Path, Option(metavar="SET")],
    output: OutputFolder,
    *,
    views: int = 6,
    size: int | None = None,
    yaw: float = 9.0,
    max_yaw: float = 30.0,
    expression: float = 0.6,
    relit: float = 0.6,
    seed: int = 0,
    texture: int = 256,
    workers: int | None = 1,
    shard: str = "0/1",
) -> VaryReport:
    """Make several views of every photograph of a prepared set, with the parameters of each.

    A generator that is to turn heads and to move faces must have seen that; most people have one
    photograph only. The portrait warp moves it, hair and background included, and the ratio of two
    shadings lights it anew. The first view is the photograph itself. The same call continues a run
    that was interrupted.

    Args:
        source: What ``facemorph data prepare`` made.
        output: Folder of the new set, which keeps people and splits.
        views: Views of each photograph, the photograph itself included.
        size: Side of the pictures in pixels; that of the set when not given.
        yaw: Standard deviation of the turns to the side in degrees, cut off at 1.7 of them; nods
            and tilts are a half and a third of it.
        max_yaw: Largest turn that a head has in the end, in degrees.
        expression: Strength of the added expressions, 0 to 1; every second view gets one.
        relit: Share of the views in other light; needs fits with light, ``prepare --refine``.
        seed: Decides everything.
        texture: Side of the texture maps that the moved faces are drawn with.
        workers: Processes; 0: one for each core.
        shard: K/N makes only the K-th of N parts (K from 0).

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: The set, an option or the output is at fault. A photograph that fails does
            not raise.
    """
    limits: dict[str, tuple[float | None, float, float]] = {
        "views": (views, 1, 1000),
        "size": (size, 16, 4096),
        "yaw": (yaw, 0, 45),
        "max_yaw": (max_yaw, 0, 60),
        "expression": (expression, 0, 1),
        "relit": (relit, 0, 1),
        "texture": (texture, 64, 4096),
    }
    for name, (value, low, high) in limits.items():
        if value is not None and not low <= value <= high:
            raise ConfigError(
                "out of range", where=name, expected=f"{low:g} to {high:g}", found=value
            )
    from facemorph.apps.sets.views.varied_pictures import VaryOptions, make_views

    made = VaryOptions(views, size, yaw, max_yaw, expression, relit, seed, texture)
    return make_views(Path(source), Path(output), made, workers or None, shard)
