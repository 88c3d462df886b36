"""A head of a morphable model with its sliders set, drawn or written as a mesh."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.apps.fitting.fit_pictures import TABLE, lines_of, portrait_camera, shaded
from facemorph.apps.fitting.located_face import locate
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image, to_picture
from facemorph.geometry.meshes.mesh_files import glb_bytes, obj_files, ply_bytes
from facemorph.geometry.models.attribution import mesh_of, picture_texts
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.lighting import ambient_light, lamp_light, normalize_light
from facemorph.geometry.rendering.parameter_views import vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.rendering.shaded_pictures import render_picture
from facemorph.geometry.synthetic.random_faces import indices_of
from facemorph.ops.rotations import rotation_from_euler, rotation_from_vector, vector_from_rotation
from facemorph.storage.files import write_whole
from facemorph.storage.suffixes import PICTURES

LIGHTS = {
    "front": (0.0, 0.2, 1.0),
    "left": (-0.8, 0.3, 0.5),
    "right": (0.8, 0.3, 0.5),
    "top": (0.0, 0.9, 0.4),
    "below": (0.0, -0.8, 0.5),
}
LARGEST_IDENTITY = 5.0  # standard deviations
SWEEP = 60.0  # degrees to each side, of a turntable
SUPERSAMPLE = 2
TEXTURE = 512  # texels along each side of a photograph's own


@dataclass(frozen=True)
class Head:
    """What is rendered: a row of ``parameters`` for each frame, and the texture."""

    model: MorphableModel
    parameters: FaceParameters
    texture: Tensor | None
    rotation: Tensor


def sliders(model: MorphableModel) -> list[tuple[str, float, float]]:
    """Name, least and largest value of everything that ``render`` takes by name."""
    low, high = model.expression_range
    return [(name, low, high) for name in model.expression_names]


def head_of(source: str | Path | None, model: MorphableModel, texture: str | Path | None) -> Head:
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
    return Head(model, parameters, colours, rotation_from_vector(parameters.rotation))


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
        names = expressions_called(name, model)
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


def expressions_called(name: str, model: MorphableModel) -> list[str]:
    """The expressions that a slider sets: the one of its name, or those of both sides of the face.

    Raises:
        ConfigError: The model has none; names near it are given.
    """
    found = [model.expression_names[index] for index in indices_of(model, name)]
    if not found:
        raise _unknown(name, model.expression_names, "set")
    return found


def _unknown(name: str, names: tuple[str, ...], where: str) -> ConfigError:
    near = (
        difflib.get_close_matches(name, names, 4, 0.4)
        or [one for one in names if name.lower() in one.lower()][:4]
    )
    remedy = f"Did you mean {', '.join(near)}?" if near else "facemorph render --list names them."
    return ConfigError("this model has no such slider", where=where, found=name, remedy=remedy)


def on_table(head: Head, frames: int, row: bool) -> Head:
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


def write_mesh(head: Head, output: Path) -> list[Path]:
    """Write the first face as ``.glb``, ``.obj`` or ``.ply``; the files, the mesh first."""
    mesh = mesh_of(head.model, vertices_of(head.model, head.parameters)[0])
    if output.suffix.lower() == ".ply":
        contents = {output.name: ply_bytes(mesh)}
    elif output.suffix.lower() == ".glb":
        contents = {
            output.name: glb_bytes(mesh, None if head.texture is None else to_picture(head.texture))
        }
    else:
        contents = obj_files(mesh, output.stem, None)
        if head.texture is not None:
            signed = picture_texts(head.model.name)
            picture = output.with_suffix(".png")
            save_image(head.texture, picture, synthetic=True, metadata=signed)
            contents = obj_files(mesh, output.stem, picture.read_bytes())
    for name, content in contents.items():
        write_whole(output.with_name(name), content)
    return [output, *(output.with_name(name) for name in contents if name != output.name)]


def pictures_of(head: Head, kind: str, size: int, light: str | None) -> Iterator[Tensor]:
    """The frames ``(3, size, size)``."""
    neutral = vertices_of(head.model, head.parameters[0])
    lamp = None if light is None else studio_light(light)
    for row in range(len(head.parameters)):
        vertices = torch.cat([neutral, vertices_of(head.model, head.parameters[row])])
        placed, camera = portrait_camera(vertices, head.rotation[row : row + 1], size)
        yield _picture(head, kind, size, placed[1:], camera, lamp)


@torch.no_grad()
def _picture(
    head: Head, kind: str, size: int, vertices: Tensor, camera: Camera, lamp: Tensor | None
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
