"""Heads of a morphable model rendered from numbers: sliders by name, pose, light; pictures, videos
and meshes.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from facemorph.apps.fitting.face_fitting import fit_faces, locate, vertices_of
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.apps.fitting.fit_pictures import TABLE, lines_of, portrait_camera, shaded
from facemorph.apps.morphing.morph_options import SPEEDS
from facemorph.errors import ConfigError, DataError, OutputError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image, to_picture
from facemorph.faces.files.video_io import write_frames
from facemorph.geometry.meshes.mesh_files import Mesh, glb_bytes, obj_files, ply_bytes
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.lighting import ambient_light, lamp_light, normalize_light
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.rendering.shaded_pictures import render_picture
from facemorph.jobs.outputs import check_output
from facemorph.ops.rotations import rotation_from_euler, rotation_from_vector, vector_from_rotation
from facemorph.storage.files import write_whole
from facemorph.storage.suffixes import PICTURES, STILLS, VIDEO_SUFFIXES

KINDS = ("picture", "mesh", "normals", "depth", "uv")
LIGHTS = {
    "front": (0.0, 0.2, 1.0),
    "left": (-0.8, 0.3, 0.5),
    "right": (0.8, 0.3, 0.5),
    "top": (0.0, 0.9, 0.4),
    "below": (0.0, -0.8, 0.5),
}
MESHES = (".glb", ".obj", ".ply")
SIZES = (32, 4096)
LARGEST_IDENTITY = 5.0  # standard deviations
SWEEP = 60.0  # degrees to each side, of a turntable
TURN, ROW = 48, 7  # frames of a turntable: of a video, and in one picture
SUPERSAMPLE = 2
TEXTURE = 512  # texels along each side of a photograph's own


@dataclass(frozen=True)
class Rendered:
    """What was written.

    Attributes:
        files: Paths, the output itself first.
        frames: Pictures rendered.
    """

    files: list[Path]
    frames: int


@dataclass(frozen=True)
class _Head:
    """What is rendered: a row of ``parameters`` for each frame, and the texture."""

    model: MorphableModel
    parameters: FaceParameters
    texture: Tensor | None
    rotation: Tensor


def render(
    source: str | Path | None,
    output: str | Path,
    *,
    model: str = "makehuman",
    expression: Mapping[str, float] | None = None,
    identity: Mapping[int, float] | None = None,
    joints: Mapping[str, tuple[float, float, float]] | None = None,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    texture: str | Path | None = None,
    light: str | None = None,
    kind: str = "picture",
    size: int = 512,
    turntable: bool = False,
    frames: int | None = None,
    frames_per_second: float = 24.0,
) -> Rendered:
    """Render a head.

    Args:
        source: ``.npz`` of ``fit``, a photograph, or None for the mean face. The texture beside an
            ``.npz``, ``STEM.texture.png``, is used.
        output: A picture; a video, GIF or folder, with the frames of a video's ``.npz`` or of a
            turntable; or a mesh ``.glb``, ``.obj``, ``.ply``.
        model: A model's name or file, see ``load_model``.
        expression: Sliders by name; a name without ``Left`` or ``Right`` sets both.
        identity: Coefficients by number, standard deviations.
        joints: Yaw, pitch and roll in degrees of joints by name.
        yaw: Degrees; positive turns the face to the right of the picture.
        pitch: Degrees; positive bends it down.
        roll: Degrees, against the clock.
        texture: A texture map of the model; instead of the source's own.
        light: ``front``, ``left``, ``right``, ``top`` or ``below``; None shows the texture as it
            is.
        kind: ``picture`` (grey without a texture), ``mesh``, ``normals``, ``depth`` (nearer is
            brighter) or ``uv``.
        size: Side of the picture.
        turntable: Turn the head from side to side: a video, or a picture with the views in a row.
        frames: Of a turntable; 48 of a video and 7 in a row when None.
        frames_per_second: Of a video or GIF.

    Raises:
        ConfigError: There is no such slider, joint, light or kind, or a value is out of range;
            names near it are given.
        DataError: The source or texture cannot be read, or belongs to another model.
        OutputError: The output cannot be written.
    """
    output = Path(output)
    suffix = output.suffix.lower()
    _check(suffix, output, kind, size, light, frames, frames_per_second)
    _check_angles(yaw=yaw, pitch=pitch, roll=roll)
    check_output(output, [source, texture])
    loaded = load_model(model)
    head = _head(source, loaded, texture)
    parameters = set_sliders(
        head.parameters, loaded, expression or {}, identity or {}, joints or {}
    )
    still = suffix in (*STILLS, *MESHES)
    parameters = parameters[0] if still or turntable else parameters
    turn = rotation_from_euler(*torch.deg2rad(torch.tensor([[yaw], [pitch], [roll]])))
    # A face of a photograph is looked at from the front; one of a video moves as it did.
    own = head.rotation if len(parameters) > 1 else torch.eye(3)[None]
    head = replace(head, parameters=parameters, rotation=turn @ own)
    if suffix in MESHES:
        return Rendered(_write_mesh(head, output), 0)
    if turntable:
        head = _on_table(head, frames or (ROW if still else TURN), still)
    pictures = _pictures(head, kind, size, light)
    if still:
        return Rendered(
            [save_image(torch.cat(list(pictures), 2), output, synthetic=True)], len(head.parameters)
        )
    files = write_frames(pictures, output, frames_per_second)
    return Rendered(files, len(head.parameters))


def sliders(model: MorphableModel) -> list[tuple[str, float, float]]:
    """Name, least and largest value of everything that ``render`` takes by name."""
    low, high = model.expression_range
    return [(name, low, high) for name in model.expression_names]


def _check(
    suffix: str,
    output: Path,
    kind: str,
    size: int,
    light: str | None,
    frames: int | None,
    speed: float,
) -> None:
    allowed = (*STILLS, *VIDEO_SUFFIXES, ".gif", *MESHES)
    if suffix and suffix not in allowed:
        raise OutputError(
            "unknown kind of output",
            where=output,
            expected=f"{' '.join(allowed)}, or a folder",
            found=suffix,
            remedy="Choose one of these.",
        )
    if kind not in KINDS:
        raise ConfigError(
            "no such kind of picture", where="kind", expected=" | ".join(KINDS), found=kind
        )
    if light is not None and light not in LIGHTS:
        raise ConfigError("no such light", where="light", expected=" | ".join(LIGHTS), found=light)
    if not SIZES[0] <= size <= SIZES[1]:
        raise ConfigError(
            "unusable size", where="size", expected=f"{SIZES[0]} to {SIZES[1]} pixels", found=size
        )
    if frames is not None and not 2 <= frames <= 10_000:
        raise ConfigError(
            "unusable number of frames", where="frames", expected="2 to 10000", found=frames
        )
    if not (math.isfinite(speed) and SPEEDS[0] <= speed <= SPEEDS[1]):
        raise ConfigError(
            "unusable speed", where="fps", expected=f"{SPEEDS[0]:g} to {SPEEDS[1]:g}", found=speed
        )


def _check_angles(**angles: float) -> None:
    for name, value in angles.items():
        if not math.isfinite(value):
            raise ConfigError("this is no angle", where=name, expected="degrees", found=value)


def _head(source: str | Path | None, model: MorphableModel, texture: str | Path | None) -> _Head:
    """The face of a source, with its texture."""
    colours = None if texture is None else read_texture(texture)
    if source is None:
        parameters = FaceParameters.neutral(model)
    elif Path(source).suffix.lower() == ".npz":
        parameters = FaceParameters.load(source)
        vertices_of(model, parameters[0])  # the model's, or an error
        beside = Path(source).with_suffix(".texture.png")
        if colours is None and beside.is_file():
            colours = read_texture(beside)
    elif Path(source).suffix.lower() in PICTURES:
        face = locate(source)
        fitted = fit_faces([face], model)[0]
        parameters = fitted.parameters
        if colours is None:
            colours = texture_of([fitted], [face.image], TEXTURE)
    else:
        raise DataError(
            "a head is made from face parameters or a photograph",
            where=source,
            expected=f".npz {' '.join(PICTURES)}",
        )
    return _Head(model, parameters, colours, rotation_from_vector(parameters.rotation))


def read_texture(path: str | Path) -> Tensor:
    """A texture map ``(3, S, S)``.

    Raises:
        DataError: It cannot be read, or is not square.
    """
    image = load_image(path)
    if image.shape[1] != image.shape[2]:
        raise DataError(
            "a texture map is square",
            where=path,
            found=f"{image.shape[2]} x {image.shape[1]}",
            remedy="Take the STEM.texture.png of facemorph fit.",
        )
    return image


def set_sliders(
    parameters: FaceParameters,
    model: MorphableModel,
    expression: Mapping[str, float],
    identity: Mapping[int, float],
    joints: Mapping[str, tuple[float, float, float]],
) -> FaceParameters:
    """Faces with some of their numbers replaced.

    Raises:
        ConfigError: There is no such slider, or its value is out of range.
    """
    values, low_high = parameters.expression.clone(), model.expression_range
    for name, value in expression.items():
        names = [
            one for one in (name, f"{name}Left", f"{name}Right") if one in model.expression_names
        ]
        if not names:
            raise _unknown(name, model.expression_names, "set")
        if not low_high[0] <= value <= low_high[1]:
            raise ConfigError(
                "a slider is out of range",
                where=f"set {name}",
                expected=f"{low_high[0]:g} to {low_high[1]:g}",
                found=value,
            )
        for one in names:
            values[:, model.expression_names.index(one)] = value
    shape = parameters.identity.clone()
    for number, value in identity.items():
        if not 0 <= number < model.num_identity or not abs(value) <= LARGEST_IDENTITY:
            raise ConfigError(
                "no such identity coefficient, or out of range",
                where=f"identity {number}",
                expected=f"0 to {model.num_identity - 1}, within {LARGEST_IDENTITY:g}",
                found=value,
            )
        shape[:, number] = value
    turns = parameters.joints.clone()
    for name, angles in joints.items():
        if name not in model.joint_names:
            raise _unknown(name, model.joint_names, "joint")
        if not all(abs(angle) <= 90 for angle in angles):
            raise ConfigError(
                "a joint is turned too far",
                where=f"joint {name}",
                expected="within 90 degrees",
                found=angles,
            )
        yaw, pitch, roll = torch.deg2rad(torch.tensor(angles)).unbind()
        turns[:, model.joint_names.index(name)] = vector_from_rotation(
            rotation_from_euler(yaw, pitch, roll)
        )
    return replace(parameters, expression=values, identity=shape, joints=turns)


def _unknown(name: str, names: tuple[str, ...], where: str) -> ConfigError:
    near = (
        difflib.get_close_matches(name, names, 4, 0.4)
        or [one for one in names if name.lower() in one.lower()][:4]
    )
    remedy = f"Did you mean {', '.join(near)}?" if near else "facemorph render --list names them."
    return ConfigError("this model has no such slider", where=where, found=name, remedy=remedy)


def _on_table(head: _Head, frames: int, row: bool) -> _Head:
    """The first face from side to side, and back unless it is for a row."""
    share = (
        torch.linspace(-1, 1, frames)
        if row
        else torch.sin(torch.arange(frames) / frames * 2 * math.pi)
    )
    angle = share * math.radians(SWEEP)
    zero = torch.zeros_like(angle)
    rows = torch.zeros(frames, dtype=torch.long)
    return replace(
        head,
        parameters=head.parameters[rows],
        rotation=head.rotation[:1] @ rotation_from_euler(angle, zero, zero),
    )


def _write_mesh(head: _Head, output: Path) -> list[Path]:
    topology = head.model.topology
    mesh = Mesh(
        vertices_of(head.model, head.parameters)[0], topology.faces, topology.uv, topology.faces_uv
    )
    if output.suffix.lower() == ".ply":
        contents = {output.name: ply_bytes(mesh)}
    elif output.suffix.lower() == ".glb":
        contents = {
            output.name: glb_bytes(mesh, None if head.texture is None else to_picture(head.texture))
        }
    else:
        contents = obj_files(mesh, output.stem, None)
        if head.texture is not None:
            picture = save_image(head.texture, output.with_suffix(".png"), synthetic=True)
            contents = obj_files(mesh, output.stem, picture.read_bytes())
    for name, content in contents.items():
        write_whole(output.with_name(name), content)
    return [output, *(output.with_name(name) for name in contents if name != output.name)]


def _pictures(head: _Head, kind: str, size: int, light: str | None) -> Iterator[Tensor]:
    """The frames ``(3, size, size)``."""
    neutral = vertices_of(head.model, head.parameters[0])
    lamp = None if light is None else studio_light(light)
    for row in range(len(head.parameters)):
        vertices = torch.cat([neutral, vertices_of(head.model, head.parameters[row])])
        placed, camera = portrait_camera(vertices, head.rotation[row : row + 1], size)
        yield _picture(head, kind, size, placed[1:], camera, lamp)


@torch.no_grad()
def _picture(
    head: _Head, kind: str, size: int, vertices: Tensor, camera: Camera, lamp: Tensor | None
) -> Tensor:
    topology = head.model.topology
    plate = torch.tensor(TABLE)[:, None, None].expand(3, size, size)
    if kind == "picture" and head.texture is not None:
        return render_picture(
            vertices,
            topology,
            camera,
            (size, size),
            head.texture[None],
            light=lamp,
            supersample=SUPERSAMPLE,
        ).over(plate)[0]
    fine = size * SUPERSAMPLE
    view = MeshView.of(vertices, topology.faces, camera.scaled(SUPERSAMPLE), (fine, fine))
    inside = view.mask.float()
    if kind == "normals":
        colour = (view.normals() * 0.5 + 0.5) * inside
    elif kind == "uv":
        colour = torch.cat([view.uv(topology), torch.zeros_like(inside)], 1) * inside
    elif kind == "depth":
        depth, seen = view.depth, view.depth[view.mask]
        span = (seen.amax() - seen.amin()).clamp(min=1e-6)
        colour = ((0.1 + 0.9 * (depth - seen.amin()) / span) * inside).expand(-1, 3, -1, -1)
    else:
        colour = shaded(view)
        if kind == "mesh":
            colour = torch.lerp(
                colour, colour.new_tensor([0.1, 0.25, 0.6])[:, None, None] * inside, lines_of(view)
            )
    if kind in ("depth", "uv"):
        plate = torch.zeros_like(plate)
    picture = colour + (1 - inside) * plate.repeat_interleave(SUPERSAMPLE, 1).repeat_interleave(
        SUPERSAMPLE, 2
    )
    return torch.nn.functional.avg_pool2d(picture, SUPERSAMPLE)[0]


def studio_light(name: str) -> Tensor:
    """Light ``(1, 9, 3)`` of a lamp and soft light from all sides, mean shading 0.9."""
    direction = torch.nn.functional.normalize(torch.tensor(LIGHTS[name]), dim=0)
    lamp = lamp_light(direction[None, None], torch.full((1, 1, 3), 0.8))
    return normalize_light(lamp + ambient_light(0.35), torch.tensor([0.9]))
