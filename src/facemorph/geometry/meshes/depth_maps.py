"""Depth maps as meshes: pixels at their depth, joined to triangles where the surface goes on.

The camera looks along -z with x to the right and y up, so that a face seen upright is in the pose
of other scans. Depth is measured along the camera's axis; pixels without a measurement hold 0, a
negative number, infinity or NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.sphere_cut import compacted
from facemorph.ops.shapes import check_shape

STEEPEST = 8.0  # depth for a step aside of a surface (83 degrees); more is a jump
BESIDE = 2  # pixels from a landmark to the nearest measurement
DEEPEST_FACE = 1.2  # of the landmarks' extent: farther away is background


@dataclass(frozen=True)
class DepthCamera:
    """The pinhole of a depth map.

    Attributes:
        focal: Focal length in pixels.
        centre: Pixel ``(x, y)`` that it looks at, 0 at the left and top edge.

    Raises:
        ConfigError: The focal length is not above 0.
    """

    focal: float
    centre: tuple[float, float]

    def __post_init__(self) -> None:
        """See that it is possible."""
        if not self.focal > 0:
            raise ConfigError(
                "a camera cannot have this focal length",
                where="focal",
                expected="above 0 pixels",
                found=self.focal,
            )

    def back_projected(self, pixels: Tensor, depth: Tensor) -> Tensor:
        """Points ``(P, 3)`` in the depth's unit of pixels ``(P, 2)`` at depths ``(P,)``."""
        aside = (pixels - pixels.new_tensor(self.centre)) * (depth / self.focal)[:, None]
        return torch.stack([aside[:, 0], -aside[:, 1], -depth], 1)


def measured(depth: Tensor) -> Tensor:
    """Pixels ``(H, W)`` bool of a depth map that hold a measurement."""
    return torch.isfinite(depth) & (depth > 0)


def depth_mesh(depth: Tensor, camera: DepthCamera, mask: Tensor | None = None) -> Mesh:
    """The surface that a depth map shows.

    Two triangles for each 2 x 2 pixels, seen counter-clockwise from the camera; one where a pixel
    is missing; none across a jump: where depth differs by more than ``STEEPEST`` times the pixel's
    size on the surface.

    Args:
        depth: ``(H, W)`` float64, in any unit.
        camera: Its camera.
        mask: ``(H, W)`` bool of the pixels to use, or None.

    Raises:
        DataError: A shape does not fit, or there is no surface.
    """
    check_shape(depth, "H W", "depth")
    height, width = depth.shape
    used = measured(depth)
    if mask is not None:
        check_shape(mask, f"{height} {width}", "mask")
        used = used & mask
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([columns, rows], -1).reshape(-1, 2).double() + 0.5
    flat = torch.where(used, depth, 1.0).double().reshape(-1)
    number = rows * width + columns
    a, b, c, d = (
        part.reshape(-1)
        for part in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:])
    )
    # a d   split along b-d where all four are there; with one missing, the triangle of the other
    # three.
    # b c
    valid = used.reshape(-1)
    three_without = [
        torch.stack(corners, 1) for corners in ((b, c, d), (a, b, d), (a, b, c), (a, c, d))
    ]
    whole = valid[a] & valid[b] & valid[c] & valid[d]
    has_a, has_b, has_c, has_d = (valid[one] for one in (a, b, c, d))
    chosen = (
        has_b & has_c & has_d,
        has_a & has_b & has_d,
        has_a & has_b & has_c & ~whole,
        has_a & has_c & has_d & ~whole,
    )
    faces = torch.cat([part[kept] for part, kept in zip(three_without, chosen, strict=True)])
    near, far = flat[faces].amin(1), flat[faces].amax(1)
    faces = faces[far - near <= STEEPEST * near / camera.focal]
    if not len(faces):
        raise DataError(
            "this depth map shows no surface",
            where="depth",
            expected="neighbouring pixels above 0",
            found=f"{int(used.sum())} measurements in {width}x{height} pixels",
            remedy="Check depth, mask and focal length.",
        )
    return compacted(camera.back_projected(pixels, flat).float(), faces)


def landmarks_from_depth(
    points: Tensor, depth: Tensor, camera: DepthCamera, mask: Tensor | None = None
) -> Tensor:
    """Landmarks ``(68, 3)`` at pixels ``(68, 2)`` of a depth map; NaN where it holds nothing, or
    the background.

    The nearest measurement within ``BESIDE`` pixels counts. A landmark on the jaw's line may hit
    the wall behind: those farther from the median depth than the landmarks are wide are taken as
    missing.
    """
    height, width = depth.shape
    used = measured(depth) if mask is None else measured(depth) & mask
    steps = torch.arange(-BESIDE, BESIDE + 1)
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    offsets = offsets[offsets.square().sum(1).argsort(stable=True)]
    place = points.nan_to_num(nan=-1e6).floor().long()[:, None] + offsets  # (68, O, 2) x, y
    inside = ((place >= 0) & (place < place.new_tensor([width, height]))).all(-1)
    x, y = place[..., 0].clamp(0, width - 1), place[..., 1].clamp(0, height - 1)
    found = inside & used[y, x]
    first = found.int().argmax(1, keepdim=True)
    value = torch.where(found.any(1), depth[y, x].gather(1, first)[:, 0].double(), torch.nan)
    result = camera.back_projected(points.double(), value)
    known = torch.isfinite(result).all(1)
    if bool(known.any()):
        extent = (result[known].amax(0) - result[known].amin(0))[:2].max()
        away = (value - value[known].median()).abs() > DEEPEST_FACE * extent
        result[away | ~known] = torch.nan
    return result.float()
