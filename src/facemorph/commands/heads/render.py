"""``facemorph render``: a head from sliders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from facemorph import console
from facemorph.apps.heads.render import render as draw
from facemorph.commands.from_signature import options_of


@options_of(draw)
def render(
    source: Path | None,
    output: Path | None,
    model: str,
    list_sliders: Annotated[
        bool, typer.Option("--list", help="List the model's sliders with their ranges.")
    ] = False,
    **options: Any,
) -> None:
    """Render a head: sliders by name, pose, light."""
    if list_sliders:
        _list_sliders(model)
        return
    result = draw(source, output, model=model, **options)
    console.say_files(result.files if output is not None and output.suffix else [str(output)])
    console.say_next("render", *([source] if source else []), "-o", "turntable.mp4", "--turntable")


def _list_sliders(model: str) -> None:
    from facemorph.apps.heads.rendered_head import sliders
    from facemorph.geometry.models.model_files import load_model

    loaded = load_model(model)
    for name, low, high in sliders(loaded):
        console.out.print(f"{name:24} {low:g} to {high:g}", markup=False)
    for name in loaded.joint_names:
        console.out.print(f"joint {name:18} yaw,pitch,roll in degrees", markup=False)
    console.out.print(
        f"identity {0:<15} to {loaded.num_identity - 1}, standard deviations", markup=False
    )
