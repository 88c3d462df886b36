"""Backward warps by flows, and guidance at the strides of the levels.

Source: Zhong, Amjadi and Zharkov, Geometry Driven Progressive Warping (BMVC 2022), with the
settings of the released code.

*Unit of flows.* Half of a picture's side, x right and y down: what is seen at place p of the target
stands at p + flow in the source. A flow of d pixels in a picture of w pixels is 2 d / w. These are
the coordinates of the projected vertices, so that the difference of two of them is a flow at every
level, and zero leaves everything where it is.

*The published grid.* The released code places the outermost pixels' centres at -1 and 1 and samples
as if they were half a pixel further in, so that a zero flow magnifies: pixel i of w shows place
i w / (w - 1) - 1/2, and corners keep a quarter of their value. The authors' weights were trained
with it; ``published_grid=True`` is for them alone. Their predictions of d pixels are flows of
2 d / (w - 1), too.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.networks.stylegan2.blocks import at_least_float, full_precision
from facemorph.ops.frames import edge_grid
from facemorph.ops.shapes import check_shape


def places(height: int, width: int, like: Tensor, *, published_grid: bool = False) -> Tensor:
    """Places ``(1, H, W, 2)`` of the pixels, x and y, that a zero flow samples.

    Args:
        height: H.
        width: W.
        like: Tensor whose type and device to take.
        published_grid: Corners at -1 and 1, see the module.
    """
    if not published_grid:
        return edge_grid(height, width, like)
    y, x = (
        2 * torch.arange(size, dtype=like.dtype, device=like.device) / max(size - 1, 1) - 1
        for size in (height, width)
    )
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]


def warp(values: Tensor, flow: Tensor, *, published_grid: bool = False) -> Tensor:
    """Values ``(B, C, H, W)`` sampled where the flow points, bilinear, zero outside.

    A zero flow gives the values themselves, bit for bit where the sides are powers of two (else up
    to rounding), but for the published grid. Places are in float32 at least.

    Args:
        values: ``(B, C, H, W)``.
        flow: ``(B, 2, H, W)``, x and y, in halves of the side.
        published_grid: See the module.

    Raises:
        DataError: The shapes do not belong together.
    """
    sizes = check_shape(values, "B C H W", "values")
    check_shape(flow, f"{sizes['B']} 2 {sizes['H']} {sizes['W']}", "flow")
    with full_precision(values):
        exact = at_least_float(values)
        grid = places(sizes["H"], sizes["W"], exact, published_grid=published_grid)
        grid = grid + flow.to(exact.dtype).permute(0, 2, 3, 1)
        sampled = F.grid_sample(
            exact, grid, mode="bilinear", padding_mode="zeros", align_corners=False
        )
    return sampled.to(values.dtype)


def flow_of_pixels(pixels: Tensor, *, published_grid: bool = False) -> Tensor:
    """Displacements ``(B, 2, H, W)`` in pixels of their own size as flows, in float32 at least.

    Args:
        pixels: x and y.
        published_grid: See the module.

    Raises:
        DataError: The shape is wrong.
    """
    sizes = check_shape(pixels, "B 2 H W", "displacements")
    less = 1 if published_grid else 0
    exact = at_least_float(pixels)
    sides = exact.new_tensor([max(sizes[name] - less, 1) for name in ("W", "H")])
    return 2 * exact / sides[:, None, None]


def smoothed_at_stride(values: Tensor, stride: int) -> Tensor:
    """Every ``stride``-th value of ``(B, C, H, W)`` after a Gaussian of sigma (stride - 1) / 2.

    The window has 2 round(4 sigma) + 1 values a side and sees zeros outside, as published. As the
    Gaussian is a product, rows and columns are filtered one after the other, and only where values
    are taken.

    Args:
        values: ``(B, C, H, W)``.
        stride: 1 changes nothing.

    Returns:
        ``(B, C, ceil(H / stride), ceil(W / stride))``.

    Raises:
        ConfigError: The stride is not positive.
        DataError: The shape is wrong.
    """
    sizes = check_shape(values, "B C H W", "values")
    if stride < 1:
        raise ConfigError(
            "a stride must be positive", where="stride", expected=">= 1", found=stride
        )
    if stride == 1:
        return values
    sigma = (stride - 1) / 2
    radius = round(4 * sigma)
    with full_precision(values):
        flat = at_least_float(values).flatten(0, 1)[:, None]
        offsets = torch.arange(-radius, radius + 1, dtype=flat.dtype, device=flat.device)
        line = torch.exp(-offsets.square() / (2 * sigma**2))
        line = line / line.sum()
        flat = F.conv2d(flat, line.view(1, 1, -1, 1), stride=(stride, 1), padding=(radius, 0))
        flat = F.conv2d(flat, line.view(1, 1, 1, -1), stride=(1, stride), padding=(0, radius))
    return flat[:, 0].unflatten(0, (sizes["B"], sizes["C"])).to(values.dtype)
