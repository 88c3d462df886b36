"""Heads of a morphable model rendered from numbers: sliders by name, pose and light."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from facemorph.apps.morphing.morph_options import check_speed
from facemorph.errors import ConfigError
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import FramesPerSecond, Option, checked
from facemorph.jobs.outputs import check_kind, check_output
from facemorph.storage.suffixes import STILLS, VIDEO_SUFFIXES

if TYPE_CHECKING:
    from facemorph.apps.heads.rendered_head import Head

Kind = Literal["picture", "mesh", "normals", "depth", "uv"]
Light = Literal["front", "left", "right", "top", "below"]
KINDS = get_args(Kind)
MESHES = (".glb", ".obj", ".ply")
SIZES = (32, 4096)
TURN, ROW = 48, 7  # frames of a turntable: of a video, and in one picture
Angles = tuple[float, float, float]


@dataclass(frozen=True)
class Rendered:
    """What was written.

    Attributes:
        files: Paths, the output itself first.
        frames: Pictures rendered.
    """

    files: list[Path]
    frames: int


@checked
def render(
    source: Annotated[str | Path | None, Option(metavar="[SOURCE]", argument=True)] = None,
    output: Annotated[str | Path | None, Option(("-o", "--output"), "OUT", kind=Path)] = None,
    *,
    model: str = "makehuman",
    expression: Annotated[
        Mapping[str, float] | Sequence[str] | None, Option(("--set",), "NAME=VALUE", kind=list[str])
    ] = None,
    identity: Annotated[
        Mapping[int, float] | Sequence[str] | None, Option((), "NUMBER=VALUE", kind=list[str])
    ] = None,
    joints: Annotated[
        Mapping[str, Angles] | Sequence[str] | None,
        Option(("--joint",), "NAME=YAW,PITCH,ROLL", kind=list[str]),
    ] = None,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    texture: Annotated[str | Path | None, Option(metavar="FILE")] = None,
    light: Light | None = None,
    kind: Kind = "picture",
    size: int = 512,
    turntable: bool = False,
    frames: int | None = None,
    frames_per_second: FramesPerSecond = 24.0,
) -> Rendered:
    """Render a head.

    Args:
        source: STEM.npz of facemorph fit, with its STEM.texture.png beside it, or a photograph; the
            model's mean face when not given.
        output: A picture (.png .jpg .webp); a video (.mp4 .gif or a folder), with the frames of a
            video's .npz or of a turntable; or a mesh (.glb .obj .ply).
        model: ``makehuman`` (embedded), ``gnm`` (once downloaded), ``ict`` or ``flame`` (once
            imported), or a file of GNM (.npz), FLAME (.pkl .npz) or the Basel Face Model (.h5).
        expression: Strength of an expression, such as jawOpen=0.6; mouthSmile=0.5 sets both sides.
        identity: Coefficient of the person by its number, in standard deviations: 3=1.5.
        joints: Turn of a joint in degrees: jaw=0,15,0.
        yaw: Degrees that the head turns to the right of the picture.
        pitch: Degrees that it bends down.
        roll: Degrees that it leans against the clock.
        texture: Texture map of the model, in the place of the source's own.
        light: Where a lamp stands; the texture as it is when not given.
        kind: What is drawn: a ``picture`` (grey without a texture), the lines of the ``mesh``, its
            ``normals``, ``depth`` (nearer is brighter) or ``uv``, the places in the texture.
        size: Side of the picture in pixels.
        turntable: Turn the head from side to side: a video, or a picture with the views in a row.
        frames: Frames of a turntable; 48 of a video and 7 in a row when not given.

    Raises:
        ConfigError: There is no such slider, joint, light or kind, or a value is out of range;
            names near it are given. Or there is no output.
        DataError: The source or texture cannot be read, or belongs to another model.
        OutputError: The output cannot be written.
    """
    if output is None:
        raise ConfigError("no output is given", where="output", remedy="Give it with -o OUT.png.")
    output = Path(output)
    suffix = output.suffix.lower()
    _check(suffix, output, size, frames, frames_per_second)
    _check_angles(yaw=yaw, pitch=pitch, roll=roll)
    strengths, coefficients = values_by_name(expression, "set"), _coefficients(identity)
    turns = values_by_name(joints, "joint", 3)
    check_files_exist([source, texture])
    check_output(output, [source, texture])
    from facemorph.apps.heads import rendered_head
    from facemorph.geometry.models.model_files import load_model

    loaded = load_model(model)
    head = rendered_head.head_of(source, loaded, texture)
    parameters = rendered_head.set_sliders(head.parameters, loaded, strengths, coefficients, turns)
    head, angles = replace(head, parameters=parameters), (yaw, pitch, roll)
    table = (frames or 0) if turntable else None
    return _drawn(head, output, angles, kind, size, light, table, frames_per_second)


def _drawn(
    head: Head,
    output: Path,
    angles: Angles,
    kind: Kind,
    size: int,
    light: Light | None,
    table: int | None,
    frames_per_second: float,
) -> Rendered:
    """Turn a head and write what is wanted; ``table`` is the frames of a turntable, 0 the usual."""
    import torch

    from facemorph.apps.heads import rendered_head
    from facemorph.faces.files.image_output import save_image
    from facemorph.faces.files.video_io import write_frames
    from facemorph.geometry.models.attribution import picture_texts
    from facemorph.ops.rotations import rotation_from_euler

    suffix, parameters, turntable = output.suffix.lower(), head.parameters, table is not None
    still = suffix in (*STILLS, *MESHES)
    parameters = parameters[0] if still or turntable else parameters
    turn = rotation_from_euler(*torch.deg2rad(torch.tensor(angles)[:, None]))
    # A face of a photograph is looked at from the front; one of a video moves as it did.
    own = head.rotation if len(parameters) > 1 else torch.eye(3)[None]
    head = replace(head, parameters=parameters, rotation=turn @ own)
    if suffix in MESHES:
        return Rendered(rendered_head.write_mesh(head, output), 0)
    if turntable:
        head = rendered_head.on_table(head, table or (ROW if still else TURN), still)
    pictures = rendered_head.pictures_of(head, kind, size, light)
    if still:
        row = torch.cat(list(pictures), 2)
        signed = picture_texts(head.model.name)
        files = [save_image(row, output, synthetic=True, metadata=signed)]
        return Rendered(files, len(head.parameters))
    files = write_frames(pictures, output, frames_per_second)
    return Rendered(files, len(head.parameters))


def values_by_name(
    given: Mapping[Any, Any] | Sequence[str] | None, option: str, count: int = 1
) -> dict[Any, Any]:
    """Values by name: as they are given, or of words ``NAME=VALUE``.

    Args:
        given: Values, words, or none.
        option: What they are called, for messages.
        count: Numbers of each value.

    Raises:
        ConfigError: A word is none, or its value is not as many numbers.
    """
    if given is None or isinstance(given, Mapping):
        return dict(given or {})
    found: dict[Any, Any] = {}
    for word in given:
        name, sign, text = word.partition("=")
        if not (name and sign and text):
            raise ConfigError("this is no NAME=VALUE", where=option, found=word)
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != count:
            what = "not a number" if count == 1 else f"not {count} numbers"
            raise ConfigError(what, where=name, found=text)
        found[name] = numbers[0] if count == 1 else numbers
    return found


def _coefficients(given: Mapping[int, float] | Sequence[str] | None) -> dict[int, float]:
    values = values_by_name(given, "identity")
    for name in values:
        if not str(name).isdecimal():
            raise ConfigError(
                "identity coefficients have numbers", where="identity", expected="3=1.5", found=name
            )
    return {int(name): value for name, value in values.items()}


def _check(
    suffix: str,
    output: Path,
    size: int,
    frames: int | None,
    speed: float,
) -> None:
    check_kind(output, (*STILLS, *VIDEO_SUFFIXES, ".gif", *MESHES))
    if not SIZES[0] <= size <= SIZES[1]:
        raise ConfigError(
            "unusable size", where="size", expected=f"{SIZES[0]} to {SIZES[1]} pixels", found=size
        )
    if frames is not None and not 2 <= frames <= 10_000:
        raise ConfigError(
            "unusable number of frames", where="frames", expected="2 to 10000", found=frames
        )
    check_speed(speed)


def _check_angles(**angles: float) -> None:
    for name, value in angles.items():
        if not math.isfinite(value):
            raise ConfigError("this is no angle", where=name, expected="degrees", found=value)
