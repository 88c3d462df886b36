"""Which triangle each pixel sees: the contract of the rasterisers and the one in plain torch.

Three back ends have this contract: ``rasterize_torch`` (here; the reference, on every device),
``rasterize_numba`` (``geometry/rendering/rasterizer_numba.py``; CPU, chosen by itself) and
``rasterize_nvdiffrast`` (CUDA, optional). The first two do the same arithmetic in the same order in
float64, so that they agree bit for bit.

*Coverage.* A pixel belongs to a triangle when its centre (at i + 0.5) is inside. Edge functions
(Pineda 1988) of an edge seen from its two triangles are exact negatives of each other, and a centre
on an edge goes to the triangle left of or above it, so that triangles that share an edge leave no
pixel out and none twice.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from facemorph.errors import ConfigError
from facemorph.geometry.rendering.camera import Projection
from facemorph.geometry.rendering.fragments import Fragments, Rasterizer, check_input

# Pixels tested at once. On the CPU what fits its cache (twice as fast as 2,000,000); elsewhere what
# memory allows.
CANDIDATES = {"cpu": 100_000, "else": 4_000_000}


def choose_rasterizer(
    device: torch.device | str, name: Literal["auto", "torch", "numba", "nvdiffrast"] = "auto"
) -> Rasterizer:
    """The rasteriser for a device: numba on the CPU, torch elsewhere; nvdiffrast only when it is
    asked for.

    Raises:
        ConfigError: There is none of this name, or it does not run on this device.
        MissingExtra: nvdiffrast is asked for and not installed.
    """
    kind = torch.device(device).type
    runs_on = {"torch": kind, "numba": "cpu", "nvdiffrast": "cuda"}
    if name == "auto":
        name = "numba" if kind == "cpu" else "torch"
    if runs_on.get(name) != kind:
        raise ConfigError(
            "this rasteriser does not run on this device",
            where="rasterizer",
            expected="torch, or numba on cpu, or nvdiffrast on cuda",
            found=f"{name} on {kind}",
        )
    if name == "torch":
        return rasterize_torch
    # Compiling and CUDA only where they are used.
    if name == "numba":
        from facemorph.geometry.rendering.rasterizer_numba import rasterize_numba

        return rasterize_numba
    from facemorph.geometry.rendering.rasterizer_nvdiffrast import NvdiffrastRasterizer

    return NvdiffrastRasterizer()


@torch.no_grad()
def rasterize_torch(
    projection: Projection, faces: Tensor, size: tuple[int, int], *, cull_back_faces: bool = False
) -> Fragments:
    """``Rasterizer`` in plain torch.

    Every pixel of every triangle's bounding box is tested; the nearest triangle of a pixel is the
    largest of its keys (depth, triangle), found with one scatter.
    """
    check_input(projection, faces, size)
    height, width = size
    batch, count = len(projection.pixels), len(faces)
    corners = torch.cat(
        [projection.pixels, projection.depth[..., None], projection.inverse_distance[..., None]], -1
    )
    corners = corners.float().double().index_select(1, faces.flatten()).view(batch * count, 3, 4)
    edges, usable = _edges(corners, cull_back_faces)
    low, extent = _boxes(corners, usable, size)
    keys = torch.full((batch * height * width,), -1, dtype=torch.long, device=faces.device)
    chosen = (extent[:, 0] * extent[:, 1]).nonzero()[:, 0]
    for part in _parts(chosen, extent):
        owner, x, y = _candidates(part, low, extent)
        mine = edges.index_select(0, owner)
        functions = _evaluate(mine, x, y)
        inside = _inside(functions, mine).nonzero()[:, 0]
        owner, x, y, functions = owner[inside], x[inside], y[inside], functions[inside]
        _, depth = _weights(functions, corners[owner])
        # The bits of a float32 as an integer that has the same order; of equal depths the first
        # triangle wins.
        bits = depth.view(torch.int32).long()
        ordered = torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits) + 2**31
        picture, face = owner // max(count, 1), owner % max(count, 1)
        keys.scatter_reduce_(
            0, (picture * height + y) * width + x, (ordered << 31) | (2**31 - 1 - face), "amax"
        )
    hit = (keys >= 0).nonzero()[:, 0]
    face = 2**31 - 1 - (keys[hit] & 0x7FFFFFFF)
    owner = hit // (height * width) * count + face
    weights, depth = _weights(
        _evaluate(edges[owner], hit % width, hit // width % height), corners[owner]
    )
    pixels = batch * height * width
    return Fragments(
        (keys >= 0).view(batch, height, width),
        face.new_zeros(pixels).index_put((hit,), face).view(batch, height, width),
        weights.new_zeros(pixels, 3).index_put((hit,), weights).view(batch, height, width, 3),
        depth.new_zeros(pixels).index_put((hit,), depth).view(batch, height, width),
    )


def _edges(corners: Tensor, cull_back_faces: bool) -> tuple[Tensor, Tensor]:
    """Edge functions ``(N, 3, 3)`` with value ``a x + (b y + c)``, positive inside, and which
    triangles to draw.
    """
    first, second = corners[:, [1, 2, 0], :2], corners[:, [2, 0, 1], :2]
    a = first[..., 1] - second[..., 1]
    b = second[..., 0] - first[..., 0]
    c = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    x, y = corners[..., 0], corners[..., 1]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    usable = torch.isfinite(corners).all(2).all(1) & (corners[..., 3] > 0).all(1) & (area != 0)
    if cull_back_faces:  # y points down: what is counter-clockwise outside has a negative area
        usable &= area < 0
    return torch.stack([a, b, c], -1) * torch.where(area < 0, -1.0, 1.0).to(area)[
        :, None, None
    ], usable


def _boxes(corners: Tensor, usable: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """First pixel ``(N, 2)`` of each bounding box and its width and height ``(N, 2)``, 0 where
    nothing is to draw.
    """
    sides = corners.new_tensor([size[1], size[0]])
    xy = torch.where(usable[:, None, None], corners[..., :2], -1.0)
    low = torch.minimum((xy.amin(1) - 0.5).ceil().clamp(min=0), sides).long()
    high = torch.minimum((xy.amax(1) - 0.5).floor().clamp(min=-1), sides - 1).long()
    return low, (high - low + 1).clamp(min=0)


def _parts(chosen: Tensor, extent: Tensor) -> list[Tensor]:
    """The triangles to draw, in parts of about as many pixels as ``CANDIDATES`` says."""
    if not len(chosen):
        return []
    total = extent[chosen].prod(1).cumsum(0)
    limit = CANDIDATES["cpu" if chosen.device.type == "cpu" else "else"]
    group = (total - 1) // limit
    counts = torch.unique_consecutive(group, return_counts=True)[1]
    return list(chosen.split(counts.tolist()))


def _candidates(part: Tensor, low: Tensor, extent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Triangle, x and y of every pixel in the bounding boxes of the triangles ``part``."""
    counts = extent[part].prod(1)
    owner = part.repeat_interleave(counts)
    number = torch.arange(len(owner), device=part.device) - (
        counts.cumsum(0) - counts
    ).repeat_interleave(counts)
    width = extent[:, 0][owner]
    y = torch.div(number, width, rounding_mode="floor")
    return owner, low[:, 0][owner] + (number - y * width), low[:, 1][owner] + y


def _evaluate(edges: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Edge functions ``(N, 3)`` at the centres of pixels ``(N,)``."""
    return edges[..., 0] * (x + 0.5).double()[:, None] + (
        edges[..., 1] * (y + 0.5).double()[:, None] + edges[..., 2]
    )


def _inside(functions: Tensor, edges: Tensor) -> Tensor:
    owns_border = (edges[..., 0] > 0) | ((edges[..., 0] == 0) & (edges[..., 1] > 0))
    return ((functions > 0) | ((functions == 0) & owns_border)).all(1) & (functions.sum(1) > 0)


def _weights(functions: Tensor, corners: Tensor) -> tuple[Tensor, Tensor]:
    """Perspective-correct weights ``(N, 3)`` and depth ``(N,)`` in float32."""
    first, second, third = (functions * corners[..., 3]).unbind(1)
    total = first + second + third
    near = corners[..., 2]
    depth = (first * near[:, 0] + second * near[:, 1] + third * near[:, 2]) / total
    return torch.stack([first / total, second / total, third / total], 1).float(), depth.float()
