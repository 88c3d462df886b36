"""``facemorph render``: a head from sliders."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import FaceModel


def render(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="STEM.npz of facemorph fit, or a photograph; the model's mean face without.",
            metavar="[SOURCE]",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="A picture (.png .jpg .webp), a video (.mp4 .gif or a folder) or a mesh (.glb "
            ".obj .ply).",
        ),
    ] = None,
    model: FaceModel = "makehuman",
    sliders: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Expression NAME=VALUE, such as jawOpen=0.6; mouthSmile=0.5 sets both sides.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    identity: Annotated[
        list[str] | None,
        typer.Option(
            help="Identity coefficient, standard deviations: 3=1.5.", metavar="NUMBER=VALUE"
        ),
    ] = None,
    joint: Annotated[
        list[str] | None,
        typer.Option(help="Joint in degrees: jaw=0,15,0.", metavar="NAME=YAW,PITCH,ROLL"),
    ] = None,
    yaw: Annotated[float, typer.Option(help="Degrees, to the right of the picture.")] = 0.0,
    pitch: Annotated[float, typer.Option(help="Degrees, down.")] = 0.0,
    roll: Annotated[float, typer.Option(help="Degrees, against the clock.")] = 0.0,
    texture: Annotated[
        Path | None,
        typer.Option(
            help="Texture map; STEM.texture.png beside the source without.", metavar="FILE"
        ),
    ] = None,
    light: Annotated[
        str | None,
        typer.Option(help="front, left, right, top, below; the texture as it is without."),
    ] = None,
    kind: Annotated[str, typer.Option(help="picture, mesh, normals, depth or uv.")] = "picture",
    size: Annotated[int, typer.Option(help="Side of the picture in pixels.")] = 512,
    turntable: Annotated[
        bool,
        typer.Option("--turntable", help="Turn the head from side to side: a video, or a row."),
    ] = False,
    frames: Annotated[
        int | None, typer.Option(help="Of a turntable: 48 of a video, 7 in a row without.")
    ] = None,
    fps: Annotated[float, typer.Option(help="Frames per second of a video or GIF.")] = 24.0,
    list_sliders: Annotated[
        bool, typer.Option("--list", help="List the model's sliders with their ranges.")
    ] = False,
) -> None:
    """Render a head: sliders by name, pose, light."""
    from facemorph import console
    from facemorph.apps.heads import render as app
    from facemorph.errors import ConfigError
    from facemorph.geometry.models.model_files import load_model

    if list_sliders:
        loaded = load_model(model)
        for name, low, high in app.sliders(loaded):
            console.out.print(f"{name:24} {low:g} to {high:g}", markup=False)
        for name in loaded.joint_names:
            console.out.print(f"joint {name:18} yaw,pitch,roll in degrees", markup=False)
        console.out.print(
            f"identity {0:<15} to {loaded.num_identity - 1}, standard deviations", markup=False
        )
        return
    if output is None:
        raise ConfigError("no output is given", where="output", remedy="Give it with -o OUT.png.")
    joints = {name: _numbers(value, 3, name) for name, value in _pairs(joint, "joint")}
    numbers = {}
    for name, value in _pairs(identity, "identity"):
        if not name.isdecimal():
            raise ConfigError(
                "identity coefficients have numbers", where="identity", expected="3=1.5", found=name
            )
        numbers[int(name)] = _numbers(value, 1, name)[0]
    result = app.render(
        source,
        output,
        model=model,
        identity=numbers,
        expression={name: _numbers(value, 1, name)[0] for name, value in _pairs(sliders, "set")},
        joints={name: (one[0], one[1], one[2]) for name, one in joints.items()},
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        texture=texture,
        light=light,
        kind=kind,
        size=size,
        turntable=turntable,
        frames=frames,
        frames_per_second=fps,
    )
    for file in result.files if output.suffix else [output]:
        console.out.print(str(file), markup=False)
    words = [
        "facemorph",
        "render",
        *([str(source)] if source else []),
        "-o",
        "turntable.mp4",
        "--turntable",
    ]
    console.next_command(shlex.join(words))


def _pairs(words: list[str] | None, option: str) -> list[tuple[str, str]]:
    """Words ``NAME=VALUE`` taken apart."""
    from facemorph.errors import ConfigError

    found = []
    for word in words or []:
        name, sign, value = word.partition("=")
        if not (name and sign and value):
            raise ConfigError("this is no NAME=VALUE", where=option, found=word)
        found.append((name, value))
    return found


def _numbers(text: str, count: int, where: str) -> list[float]:
    from facemorph.errors import ConfigError

    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise ConfigError(
            "not a number" if count == 1 else f"not {count} numbers", where=where, found=text
        )
    return values
