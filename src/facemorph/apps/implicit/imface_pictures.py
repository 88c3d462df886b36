"""Pictures of faces in ImFace's space: shaded, and coloured by their distance from a scan."""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.apps.fitting.fit_pictures import TABLE, shaded
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.scans.scan_placement import UNIT
from facemorph.geometry.scans.scan_sheets import signed_distance
from facemorph.ops.rotations import rotation_from_euler

SIDE = 320  # of a picture in pixels
FULL_COLOUR = 2.0  # millimetres from the scan that are wholly red or blue


def error_colours(face: Mesh, sheet: Mesh) -> tuple[Tensor, Tensor]:
    """Colours ``(V, 3)`` in [0, 1] and distances ``(V,)`` in millimetres of a face's vertices from
    a scan.

    White is on it, red before it, blue behind it; ``FULL_COLOUR`` millimetres and more are wholly
    so.
    """
    distance = (signed_distance(sheet, face.vertices)[0] * UNIT).float()
    share = (distance / FULL_COLOUR).clamp(-1, 1)
    return torch.stack(
        [1 + share.clamp(max=0), 1 - share.abs(), 1 - share.clamp(min=0)], 1
    ), distance


def picture(
    mesh: Mesh, colours: Tensor | None = None, *, yaw: float = 0.0, side: int = SIDE
) -> Tensor:
    """A mesh of ImFace's space, ``(3, side, side)``, shaded, and in colours where there are some.

    Args:
        mesh: What is shown.
        colours: ``(V, 3)`` in [0, 1] of the vertices, or None.
        yaw: Degrees that it is turned from the front.
        side: Of the picture in pixels.
    """
    size, angle, none = 2 * side, torch.deg2rad(torch.tensor([yaw])), torch.zeros(1)
    camera = Camera(
        rotation_from_euler(angle, none, none),
        torch.full((1, 2), size / 2),
        torch.tensor([size / 2.1 / UNIT]).log(),
    )
    view = MeshView.of(mesh.vertices[None] * UNIT, mesh.faces, camera, (size, size))
    grey = shaded(view)
    if colours is not None:
        grey = grey * view.attribute(colours)
    plate = torch.tensor(TABLE)[:, None, None]
    return torch.nn.functional.avg_pool2d(grey + plate * ~view.mask, 2)[0]
