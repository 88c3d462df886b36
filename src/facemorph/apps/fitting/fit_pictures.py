"""Pictures of fitted faces: over their photographs, and turned on a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import ImageDraw
from torch import Tensor
from torch.nn import functional

from facemorph.apps.fitting.face_texture import cut_around
from facemorph.apps.morphing.morph_pictures import contact_sheet, picture_of
from facemorph.faces.files.image_output import to_bytes, to_picture
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.lighting import ambient_light
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.rendering.shaded_pictures import render_bytes
from facemorph.ops.rotations import rotation_from_euler

GIVEN, FITTED = (60, 255, 90), (255, 70, 200)
SKIN, LAMP, AMBIENT = 0.8, (-0.35, 0.45, 0.82), 0.3
LINE = 0.07  # of a triangle that its lines take
YAWS, PITCHES = tuple(range(-60, 61, 10)), (-25, 0, 25)
TABLE = (0.93, 0.93, 0.94)


def shaded(view: MeshView) -> Tensor:
    """Grey picture ``(B, 3, H, W)`` of a mesh in the light of a lamp from the upper left, black
    outside.
    """
    lamp = functional.normalize(view.vertices.new_tensor(LAMP), dim=0)
    bright = (view.normals() * lamp[:, None, None]).sum(1, keepdim=True).clamp(min=0)
    return (SKIN * (AMBIENT + (1 - AMBIENT) * bright) * view.mask).expand(-1, 3, -1, -1)


def lines_of(view: MeshView) -> Tensor:
    """Where the edges of the triangles are: ``(B, 1, H, W)`` in [0, 1]."""
    nearest = view.fragments.weights.amin(-1)[:, None]
    return ((LINE - nearest) / LINE).clamp(0, 1) * view.mask


def draw_both(image: Tensor, given: Tensor, fitted: Tensor) -> Tensor:
    """A picture with the given landmarks in green and the model's in pink, both ``(P, 2)``."""
    picture = to_picture(image)
    draw = ImageDraw.Draw(picture)
    radius = max(1.2, max(picture.size) / 200)
    for points, colour in ((given, GIVEN), (fitted, FITTED)):
        for x, y in points.tolist():
            draw.ellipse(
                [x - radius, y - radius, x + radius, y + radius], fill=colour, outline=(0, 0, 0)
            )
    return picture_of(picture)


def overlays(
    model: MorphableModel,
    vertices: Tensor,
    camera: Camera,
    image: Tensor,
    given: Tensor | None,
    fitted: Tensor | None,
    texture: Tensor | None,
    side: int = 360,
) -> list[tuple[str, Tensor]]:
    """Captioned pictures of a fit: landmarks, mesh, normals, and the textured head turned to both
    sides.

    Args:
        model: The model.
        vertices: ``(1, V, 3)`` the fitted face.
        camera: Of the photograph.
        image: ``(3, H, W)``.
        given: ``(68, 2)`` landmarks in the photograph's pixels, or None.
        fitted: The model's.
        texture: ``(3, S, S)``, or None.
        side: Longer side of each picture.
    """
    part, near = cut_around(image, camera, vertices, side)
    view = MeshView.of(vertices, model.topology.faces, near, (part.shape[1], part.shape[2]))
    cells = []
    if given is not None and fitted is not None:
        scale = (near.log_size - camera.log_size).exp()
        shift = near.origin - camera.origin * scale
        cells.append(
            (
                "landmarks: given green, fitted pink",
                draw_both(part, given * scale + shift, fitted * scale + shift),
            )
        )
    grey = torch.lerp(part, shaded(view)[0], 0.55 * view.mask[0].float())
    cells.append(
        (
            "mesh",
            torch.lerp(
                grey,
                torch.tensor([0.1, 0.25, 0.6])[:, None, None].expand_as(grey),
                0.5 * lines_of(view)[0],
            ),
        )
    )
    cells.append(("normals", torch.where(view.mask[0], view.normals()[0] * 0.5 + 0.5, part)))
    if texture is not None:
        cells += [
            (f"turned {yaw:+d} degrees", frame)
            for yaw, frame in zip(
                (-30, 30), turned(model, vertices, texture, [(-30, 0), (30, 0)], side), strict=True
            )
        ]
    return cells


def portrait_camera(vertices: Tensor, rotation: Tensor, size: int) -> tuple[Tensor, Camera]:
    """Heads ``(B, V, 3)`` moved so that they turn about the middle of the first, and the camera
    that shows all of it.

    Args:
        vertices: Millimetres.
        rotation: ``(B, 3, 3)``.
        size: Side of the square picture.
    """
    low, high = vertices[0].amin(0), vertices[0].amax(0)
    scale = size / (float((high - low).amax()) * 1.06)
    count = len(rotation)
    camera = Camera(rotation, torch.full((count, 2), size / 2), torch.full((count,), scale).log())
    return vertices - (low + high) / 2, camera


def turned(
    model: MorphableModel,
    vertices: Tensor,
    texture: Tensor,
    angles: Sequence[tuple[float, float]],
    size: int,
) -> Tensor:
    """The textured head ``(1, V, 3)`` under yaws and pitches in degrees, before grey: ``(N, 3, S,
    S)``, on the CPU.
    """
    yaw, pitch = torch.deg2rad(torch.tensor(angles, dtype=torch.float32)).unbind(1)
    topology, found = model.topology, []
    corners_uv = topology.uv[topology.faces_uv].numpy()
    skin, light = to_bytes(texture), ambient_light()[None]
    plate = np.full((size, size, 3), TABLE, np.float32)
    for rotation in rotation_from_euler(yaw, pitch, torch.zeros_like(yaw)):
        placed, camera = portrait_camera(vertices, rotation[None], size)
        drawn = render_bytes(placed, topology, camera, corners_uv, skin, light, plate, 2)
        found.append(torch.from_numpy(drawn).movedim(-1, 0) / 255)
    return torch.stack(found)


def turntable(
    model: MorphableModel, vertices: Tensor, texture: Tensor, size: int = 256
) -> list[list[Tensor]]:
    """Pictures ``(3, S, S)`` of a textured head: a row for each of ``PITCHES``, a column for each
    of ``YAWS``.
    """
    return [
        list(turned(model, vertices, texture, [(yaw, pitch) for yaw in YAWS], size))
        for pitch in PITCHES
    ]


def bare_meshes(captioned: Sequence[tuple[str, Tensor]], columns: int = 12) -> Tensor:
    """One sheet of many shaded heads with their names."""
    rows = [list(captioned[first : first + columns]) for first in range(0, len(captioned), columns)]
    return contact_sheet(rows, cell=max(captioned[0][1].shape[1:]))


def bare_mesh(model: MorphableModel, vertices: Tensor, rotation: Tensor, size: int = 160) -> Tensor:
    """A shaded head ``(1, V, 3)`` in a pose ``(1, 3, 3)``, smooth at its outline: ``(3, S, S)``."""
    placed, camera = portrait_camera(vertices, rotation, 2 * size)
    view = MeshView.of(placed, model.topology.faces, camera, (2 * size, 2 * size))
    plate = torch.tensor(TABLE)[:, None, None]
    return functional.avg_pool2d(shaded(view) + plate * ~view.mask, 2)[0]


def sheet_of(rows: Sequence[list[tuple[str, Tensor]]]) -> Tensor:
    """One sheet of the overlays of several photographs, a row each."""
    return contact_sheet(
        list(rows), cell=max(max(picture.shape[1:]) for row in rows for _, picture in row)
    )
