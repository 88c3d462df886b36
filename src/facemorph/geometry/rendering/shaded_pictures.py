"""Textured pictures of a head under spherical-harmonics light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import FaceTopology
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.fragments import Rasterizer
from facemorph.geometry.rendering.lighting import CONSTANTS, shading
from facemorph.geometry.rendering.renders import MeshView, sample_texture
from facemorph.ops.shapes import check_shape

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Picture:
    """A rendered head.

    Attributes:
        colour: ``(B, 3, H, W)`` in [0, 1], multiplied with ``alpha``: black outside the head.
        alpha: ``(B, 1, H, W)`` share of each pixel that the head covers.
    """

    colour: Tensor
    alpha: Tensor

    def over(self, background: Tensor) -> Tensor:
        """The head before a background ``(B, 3, H, W)`` or ``(3, H, W)``."""
        return self.colour + (1 - self.alpha) * background


def render_picture(
    vertices: Tensor,
    topology: FaceTopology,
    camera: Camera,
    size: tuple[int, int],
    texture: Tensor,
    *,
    light: Tensor | None = None,
    supersample: int = 1,
    rasterizer: Rasterizer | None = None,
) -> Picture:
    """A textured picture of heads.

    Args:
        vertices: ``(B, V, 3)`` millimetres.
        topology: Triangles and texture coordinates.
        camera: Of B views.
        size: Height and width of the picture.
        texture: ``(B, 3, S, S)`` or ``(1, 3, S, S)``, colours in [0, 1].
        light: ``(B, 9, 3)`` or ``(1, 9, 3)``, see ``lighting``; None shows the texture as it is.
        supersample: Samples along each side of a pixel; 2 smooths outlines and fine texture at 4
            times the cost.
        rasterizer: By default the one for the vertices' device.

    Raises:
        GeometryError: The camera is inside the head.
        DataError: A shape does not fit.
    """
    check_shape(texture, "N 3 S T", "texture")
    view = _fine_view(vertices, topology, camera, size, supersample, rasterizer)
    with_gradient = torch.is_grad_enabled() and any(
        value is not None and value.requires_grad for value in (vertices, texture, light)
    )
    fused = vertices.device.type == "cpu" and not with_gradient
    colour = (_shade_fused if fused else shade)(view, topology, texture, light)
    alpha = view.mask.to(colour.dtype)
    if supersample != 1:
        colour, alpha = (
            torch.nn.functional.avg_pool2d(part, supersample) for part in (colour, alpha)
        )
    return Picture(colour, alpha)


def render_bytes(
    vertices: Tensor,
    topology: FaceTopology,
    camera: Camera,
    corners_uv: Array,
    texture: Array,
    light: Tensor,
    background: Array,
    supersample: int = 1,
) -> Array:
    """One closed head before a background as bytes, in one compiled pass.

    Triangles that are seen from inside are left out: a closed surface hides them anyway.

    Its plain twin is ``to_bytes(render_picture(...).over(background))``.

    Args:
        vertices: ``(1, V, 3)`` millimetres, on the CPU.
        topology: Triangles.
        camera: One view.
        corners_uv: ``(F, 3, 2)`` ``topology.uv[topology.faces_uv]``, which is the same for all
            pictures.
        texture: ``(S, S, 3)`` uint8.
        light: ``(1, 9, 3)``.
        background: ``(H, W, 3)`` float32 in [0, 1]; its size is the picture's.
        supersample: As of ``render_picture``.

    Returns:
        ``(H, W, 3)`` uint8, the twin's up to rounding.

    Raises:
        GeometryError: The camera is inside the head.
        DataError: A shape does not fit.
    """
    from facemorph.geometry.rendering.shading_numba import shade_bytes

    check_shape(vertices, "1 V 3", "vertices")
    check_shape(light, "1 9 3", "light")
    size = check_shape(torch.from_numpy(background), "H W 3", "background")
    view = _fine_view(vertices, topology, camera, (size["H"], size["W"]), supersample, closed=True)
    found = view.fragments
    lit = light[0].numpy() * np.array(CONSTANTS, np.float32)[:, None] / np.float32(255)
    result = np.empty(background.shape, np.uint8)
    shade_bytes(
        found.mask[0].numpy(),
        found.face[0].numpy(),
        found.weights[0].numpy(),
        topology.faces.numpy(),
        view.vertex_normals[0].contiguous().numpy(),
        corners_uv,
        texture,
        lit,
        background,
        supersample,
        result,
    )
    return result


def _fine_view(
    vertices: Tensor,
    topology: FaceTopology,
    camera: Camera,
    size: tuple[int, int],
    supersample: int,
    rasterizer: Rasterizer | None = None,
    *,
    closed: bool = False,
) -> MeshView:
    return MeshView.of(
        vertices,
        topology.faces,
        camera.scaled(supersample) if supersample != 1 else camera,
        (size[0] * supersample, size[1] * supersample),
        rasterizer=rasterizer,
        cull_back_faces=closed,
    )


def shade(view: MeshView, topology: FaceTopology, texture: Tensor, light: Tensor | None) -> Tensor:
    """Texture times light ``(B, 3, H, W)`` in [0, 1], 0 outside the head; differentiable in texture
    and light.
    """
    colour = sample_texture(texture, view.uv(topology))
    if light is not None:
        check_shape(light, "N 9 3", "light")
        colour = colour * shading(view.normals().movedim(1, -1), light[:, None, None]).movedim(
            -1, 1
        )
    return colour.clamp(0, 1) * view.mask


def _shade_fused(
    view: MeshView, topology: FaceTopology, texture: Tensor, light: Tensor | None
) -> Tensor:
    """``shade``, its plain twin, in one compiled pass."""
    from facemorph.geometry.rendering.shading_numba import shade_pixels

    batch = len(view.vertices)
    if light is not None:
        check_shape(light, "N 9 3", "light")
        light = light.expand(batch, 9, 3)
    texture = texture.detach().float().expand(batch, -1, -1, -1)
    normals = (view.vertex_normals if light is not None else view.vertices[:, :1]).detach().float()
    lights = (torch.zeros(batch, 9, 3) if light is None else light).detach().float().contiguous()
    fragments = view.fragments
    colour = torch.zeros(batch, 3, *fragments.size)
    for index in range(batch):
        shade_pixels(
            fragments.mask[index].numpy(),
            fragments.face[index].numpy(),
            fragments.weights[index].numpy(),
            view.faces.numpy(),
            normals[index].contiguous().numpy(),
            topology.faces_uv.numpy(),
            topology.uv.float().numpy(),
            texture[index].numpy(),
            lights[index].numpy(),
            light is not None,
            colour[index].numpy(),
        )
    return colour
