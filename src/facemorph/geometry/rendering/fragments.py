"""What a rasteriser takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.rendering.camera import Projection
from facemorph.ops.shapes import check_shape


@dataclass(frozen=True)
class Fragments:
    """What a batch of pictures sees. Where ``mask`` is False the other fields are zero and mean
    nothing.

    Attributes:
        mask: ``(B, H, W)`` bool, whether there is a triangle at all.
        face: ``(B, H, W)`` long, the nearest triangle.
        weights: ``(B, H, W, 3)`` barycentric weights of its corners, perspective-correct.
        depth: ``(B, H, W)`` millimetres towards the viewer, larger is nearer, as in ``Projection``.
    """

    mask: Tensor
    face: Tensor
    weights: Tensor
    depth: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """H and W."""
        return int(self.mask.shape[1]), int(self.mask.shape[2])

    def interpolate(self, values: Tensor, faces: Tensor) -> Tensor:
        """Values at the corners of the triangles, carried to the pixels; differentiable in the
        values.

        Args:
            values: ``(B, N, C)``, or ``(N, C)`` for all pictures.
            faces: ``(F, 3)`` rows of ``values`` for each triangle: those of the mesh, or its
                ``faces_uv``.

        Returns:
            ``(B, H, W, C)``, zero outside the mask.

        Raises:
            GeometryError: ``faces`` has fewer triangles than were drawn.
        """
        drawn = self.mask.flatten().nonzero()[:, 0]  # numbers of pixels
        face = self.face.flatten().index_select(0, drawn)
        if len(face) and int(face.max()) >= len(faces):
            raise GeometryError(
                "these triangles are not those that were drawn",
                where="faces",
                expected=f"at least {int(face.max()) + 1}",
                found=len(faces),
            )
        corners = faces.index_select(0, face)
        if values.ndim == 3:
            height, width = self.size
            picture = drawn.div(height * width, rounding_mode="floor")
            corners = corners + (picture * values.shape[1])[:, None]
            values = values.flatten(0, 1)
        weights = self.weights.flatten(0, 2).index_select(0, drawn).to(values.dtype)
        if values.requires_grad:
            found = (values[corners] * weights[..., None]).sum(1)
        else:  # one fused pass: 6 times as fast, but with the slower backward pass
            found = torch.nn.functional.embedding_bag(
                corners, values, mode="sum", per_sample_weights=weights
            )
        pixels = found.new_zeros(self.mask.numel(), found.shape[-1])
        return pixels.index_copy_(0, drawn, found).view(*self.mask.shape, found.shape[-1])


class Rasterizer(Protocol):
    """Finds the nearest triangle of every pixel.

    Triangles with a corner that is not a number or not in front of the pinhole, and those without
    area, are left out. Gradients do not flow to the places of the vertices.
    """

    def __call__(
        self,
        projection: Projection,
        faces: Tensor,
        size: tuple[int, int],
        *,
        cull_back_faces: bool = False,
    ) -> Fragments:
        """Rasterise.

        Args:
            projection: Vertices in the picture, ``(B, V)``.
            faces: ``(F, 3)`` triangles, counter-clockwise as seen from outside.
            size: Height and width in pixels.
            cull_back_faces: Leave out triangles that are seen from inside.

        Raises:
            GeometryError: Triangles name vertices that are not there, or the size is not 1 to
                16384.
        """
        ...


def check_input(projection: Projection, faces: Tensor, size: tuple[int, int]) -> None:
    """Raise GeometryError for what no rasteriser can draw."""
    found = check_shape(projection.pixels, "B V 2", "pixels")
    check_shape(projection.depth, f"{found['B']} {found['V']}", "depth")
    check_shape(projection.inverse_distance, f"{found['B']} {found['V']}", "inverse_distance")
    check_shape(faces, "F 3", "faces")
    if not all(1 <= side <= 16384 for side in size):
        raise GeometryError(
            "a picture cannot have this size",
            where="size",
            expected="1 to 16384 pixels",
            found=size,
        )
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < found["V"]:
        raise GeometryError(
            "triangles name vertices that are not there",
            where="faces",
            expected=f"0 to {found['V'] - 1}",
            found=f"{int(faces.min())} to {int(faces.max())}",
        )
