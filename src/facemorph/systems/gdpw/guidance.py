"""What GDPW's networks know of the heads: renders of two meshes of one topology.

Source: Zhong et al. (BMVC 2022): *displacement* (where each visible point of the target's mesh
stands in the source, as a flow) and *posed neural codes* (numbers of each vertex, learned, rendered
in both poses). Rendered by ``facemorph.geometry.rendering``; nothing flows back to the vertices.

Departures: silhouettes are not smoothed (nvdiffrast's ``antialias``), so that the values of pixels
at the border differ; the released code's visibility mask, which it computes and throws away, is
left out; normals are made per picture (``torch.cross`` without an axis took the batch for it where
three pictures were in it).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from facemorph.geometry.rendering.camera import Camera, Projection
from facemorph.geometry.rendering.fragments import Fragments, Rasterizer
from facemorph.geometry.rendering.rasterizer import choose_rasterizer
from facemorph.ops.shapes import check_shape


@dataclass(frozen=True)
class Guidance:
    """Renders of a pair of meshes; zero where there is no mesh.

    Attributes:
        flow: ``(B, 2, H, W)`` in the target's picture, in halves of the side; see ``warping``.
        target_codes: ``(B, C, H, W)`` in the target's picture; None without codes.
        source_codes: ``(B, C, H, W)`` in the source's picture; None without codes.
    """

    flow: Tensor
    target_codes: Tensor | None = None
    source_codes: Tensor | None = None


class MeshGuidance(nn.Module):
    """Renders pairs of meshes; it has no weights.

    Args:
        faces: ``(F, 3)`` triangles, counter-clockwise as seen from outside.
        rasterizer: What draws them; chosen by the device where None.

    Raises:
        DataError: The triangles have another shape.
    """

    faces: Tensor

    def __init__(self, faces: Tensor, rasterizer: Rasterizer | None = None) -> None:
        super().__init__()
        check_shape(faces, "F 3", "faces")
        # They belong to the head's model, not to the weights.
        self.register_buffer("faces", faces.long(), persistent=False)
        self.rasterizer = rasterizer

    def forward(
        self,
        source_vertices: Tensor,
        target_vertices: Tensor,
        size: tuple[int, int],
        codes: Tensor | None = None,
    ) -> Guidance:
        """Render.

        Args:
            source_vertices: ``(B, V, 3)``: x and y in [-1, 1] of the picture, y down; small z is
                near.
            target_vertices: Of the same shape.
            size: Height and width in pixels.
            codes: ``(V, C)`` of each vertex; gradients go here.

        Raises:
            DataError: The shapes do not belong together.
            GeometryError: The triangles are not those of the vertices.
        """
        sizes = check_shape(source_vertices, "B V 3", "the source's vertices")
        wanted = f"{sizes['B']} {sizes['V']} 3"
        check_shape(target_vertices, wanted, "the target's vertices")
        source, target = source_vertices.detach(), target_vertices.detach()
        seen = self._fragments(target, size)
        flow = self._values(seen, source[..., :2] - target[..., :2])
        if codes is None:
            return Guidance(flow)
        check_shape(codes, f"{sizes['V']} C", "codes")
        return Guidance(
            flow,
            self._values(seen, codes),
            self._values(self._fragments(source, size), codes),
        )

    def _values(self, seen: Fragments, values: Tensor) -> Tensor:
        return seen.interpolate(values, self.faces).permute(0, 3, 1, 2).contiguous()

    def _fragments(self, vertices: Tensor, size: tuple[int, int]) -> Fragments:
        """The nearest triangles, with holes where these are seen from inside, as published."""
        draw = self.rasterizer or choose_rasterizer(vertices.device)
        sides = vertices.new_tensor([size[1], size[0]])
        projection = Projection(
            (vertices[..., :2] + 1) / 2 * sides,
            -vertices[..., 2],  # the rasterisers want large values near
            torch.ones_like(vertices[..., 2]),
        )
        fragments = draw(projection, self.faces, size)
        inside = facing_away(vertices, self.faces)
        hidden = inside.gather(1, fragments.face.flatten(1)).view(fragments.mask.shape)
        return replace(fragments, mask=fragments.mask & ~hidden)


def projected_vertices(vertices: Tensor, camera: Camera, size: tuple[int, int]) -> Tensor:
    """Vertices of heads as `MeshGuidance` takes them: x and y in [-1, 1] of the picture, y down,
    and depth in the same unit, small where near.

    Args:
        vertices: ``(B, V, 3)`` millimetres.
        camera: What sees them.
        size: Height and width of the picture in pixels.
    """
    projection = camera.project(vertices)
    half = vertices.new_tensor([size[1] / 2, size[0] / 2])
    depth = projection.depth * camera.log_size.exp()[:, None] / half[0]
    return torch.cat([projection.pixels / half - 1, -depth[..., None]], -1)


def facing_away(vertices: Tensor, faces: Tensor) -> Tensor:
    """Which triangles ``(B, F)`` are seen from inside: those with a positive normal along z.

    Args:
        vertices: ``(B, V, 3)``, y down and z away from the viewer.
        faces: ``(F, 3)``, counter-clockwise as seen from outside.
    """
    corners = vertices[:, faces, :2]
    first, second = (corners[:, :, number] - corners[:, :, 0] for number in (1, 2))
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0] > 0
