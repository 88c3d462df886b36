"""The rasteriser of nvdiffrast (Laine et al. 2020) behind our contract; CUDA, and only where its
user installed it.

nvdiffrast is under NVIDIA's own licence for non-commercial use, so it is no dependency. It was not
run here, having no GPU: the tests check the clip coordinates that it is given, and what is made of
its answer, with a stand-in.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from facemorph.errors import MissingExtra
from facemorph.geometry.rendering.camera import Projection
from facemorph.geometry.rendering.fragments import Fragments, check_input

MARGIN = 1.01  # nothing lies exactly on the near or far plane


def clip_coordinates(projection: Projection, size: tuple[int, int]) -> Tensor:
    """Homogeneous clip coordinates ``(B, V, 4)`` as OpenGL has them, the picture's top row at y =
    -1.

    x and y over w are -1 to 1 across the picture, z over w is -1 at the nearest and 1 at the
    furthest vertex of the batch (a little inside), and w is the distance to the pinhole, or 1 in
    weak perspective. Vertices behind the pinhole keep their negative w, so that nvdiffrast clips
    them.
    """
    height, width = size
    pixels, depth, inverse = (
        projection.pixels.float(),
        projection.depth.float(),
        projection.inverse_distance.float(),
    )
    distance = 1 / inverse
    plane = pixels / pixels.new_tensor([width / 2, height / 2]) - 1
    if bool((inverse == 1).all()):
        near, far = depth.amax(), depth.amin()
        middle, half = (near + far) / 2, ((near - far) / 2 * MARGIN).clamp(min=1e-6)
        z = (middle - depth) / half
    else:
        in_front = distance[inverse > 0]
        near, far = in_front.amin() / MARGIN, in_front.amax() * MARGIN
        z = (distance * (far + near) - 2 * far * near) / (far - near)
    return torch.cat([plane * distance[..., None], z[..., None], distance[..., None]], -1)


class NvdiffrastRasterizer:
    """``Rasterizer`` by nvdiffrast; keeps its CUDA context between calls.

    Raises:
        MissingExtra: nvdiffrast is not installed.
    """

    def __init__(self) -> None:
        try:
            self.library: Any = importlib.import_module("nvdiffrast.torch")
        except ImportError as error:
            raise MissingExtra(
                "the rasteriser nvdiffrast is not installed",
                where="rasterizer",
                remedy="Install it from github.com/NVlabs/nvdiffrast (its licence is "
                "non-commercial), "
                "or take the rasteriser torch.",
            ) from error
        self.context: Any = None

    @torch.no_grad()
    def __call__(
        self,
        projection: Projection,
        faces: Tensor,
        size: tuple[int, int],
        *,
        cull_back_faces: bool = False,
    ) -> Fragments:
        """See ``Rasterizer``. Picture by picture, since each has its own triangles that are not
        degenerate.
        """
        check_input(projection, faces, size)
        if self.context is None:
            self.context = self.library.RasterizeCudaContext(device=projection.pixels.device)
        clip = clip_coordinates(projection, size)
        found = [
            self._one(clip[picture], projection, picture, faces, size, cull_back_faces)
            for picture in range(len(clip))
        ]
        mask, face, weights, depth = (torch.stack(parts) for parts in zip(*found, strict=True))
        return Fragments(mask, face, weights, depth)

    def _one(
        self,
        clip: Tensor,
        projection: Projection,
        picture: int,
        faces: Tensor,
        size: tuple[int, int],
        cull_back_faces: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        corners = projection.pixels[picture][faces]
        first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
        usable = (
            torch.isfinite(clip[faces]).all(2).all(1)
            & (clip[faces][..., 3] > 0).all(1)
            & (area != 0)
        )
        if cull_back_faces:
            usable &= area < 0
        drawn = usable.nonzero()[:, 0]
        if not len(drawn):
            empty = clip.new_zeros(size)
            return empty.bool(), empty.long(), clip.new_zeros(*size, 3), empty
        answer, _ = self.library.rasterize(
            self.context,
            clip[None].contiguous(),
            faces[drawn].int().contiguous(),
            resolution=list(size),
            grad_db=False,
        )
        answer = answer[0]
        mask = answer[..., 3] > 0
        face = torch.where(mask, drawn[(answer[..., 3].long() - 1).clamp(min=0)], 0)
        weights = torch.stack(
            [answer[..., 0], answer[..., 1], 1 - answer[..., 0] - answer[..., 1]], -1
        )
        weights = weights * mask[..., None]
        depth = (projection.depth[picture].float()[faces[face]] * weights).sum(-1)
        return mask, face, weights, depth
