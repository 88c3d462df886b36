"""What a camera sees of a mesh: masks, UV maps, normals, depth, positions, correspondences and
textured pictures.

Maps are ``(B, C, H, W)`` and zero outside ``MeshView.mask``; pixels count from 0 at the left/top
edge of the picture. All are differentiable in the values that are carried to the pixels, not in
which triangle is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import FaceTopology
from facemorph.geometry.rendering.camera import Camera, Projection
from facemorph.geometry.rendering.fragments import Fragments, Rasterizer
from facemorph.geometry.rendering.rasterizer import choose_rasterizer
from facemorph.ops.meshes import vertex_normals
from facemorph.ops.shapes import check_shape

SLACK = 0.5  # millimetres that a point may lie behind the surface and still be seen


@dataclass(frozen=True)
class MeshView:
    """A batch of meshes as cameras see them.

    Attributes:
        vertices: ``(B, V, 3)`` millimetres, in the head's frame.
        faces: ``(F, 3)``.
        camera: Of B views.
        projection: The vertices in the picture.
        fragments: Which triangle each pixel sees.
    """

    vertices: Tensor
    faces: Tensor
    camera: Camera
    projection: Projection
    fragments: Fragments

    @classmethod
    def of(
        cls,
        vertices: Tensor,
        faces: Tensor,
        camera: Camera,
        size: tuple[int, int],
        *,
        rasterizer: Rasterizer | None = None,
        cull_back_faces: bool = False,
    ) -> MeshView:
        """Look at meshes.

        Args:
            vertices: ``(B, V, 3)`` millimetres.
            faces: ``(F, 3)``, counter-clockwise as seen from outside.
            camera: Of B views.
            size: Height and width of the pictures.
            rasterizer: By default the one for the vertices' device.
            cull_back_faces: Leave out triangles that are seen from inside.

        Raises:
            GeometryError: The camera is inside the head, or the triangles do not fit the vertices.
            DataError: A shape does not fit.
        """
        check_shape(vertices, f"{len(camera)} V 3", "vertices")
        camera.check_outside(vertices)
        projection = camera.project(vertices)
        draw = rasterizer or choose_rasterizer(vertices.device)
        return cls(
            vertices,
            faces,
            camera,
            projection,
            draw(projection, faces, size, cull_back_faces=cull_back_faces),
        )

    @property
    def mask(self) -> Tensor:
        """``(B, 1, H, W)`` bool: where the mesh is."""
        return self.fragments.mask[:, None]

    @property
    def depth(self) -> Tensor:
        """``(B, 1, H, W)`` millimetres towards the viewer, 0 at the head's origin, larger is
        nearer.
        """
        return self.fragments.depth[:, None]

    @cached_property
    def vertex_normals(self) -> Tensor:
        """``(B, V, 3)`` unit normals in the camera's frame: x right, y up, z towards the viewer."""
        return vertex_normals(self.camera.view(self.vertices), self.faces)

    def attribute(self, values: Tensor, faces: Tensor | None = None) -> Tensor:
        """Values of the vertices ``(B, V, C)`` or ``(V, C)`` at the pixels: ``(B, C, H, W)``.

        ``faces`` names the rows of ``values`` where those are not vertices, as ``faces_uv`` does.
        """
        return self.fragments.interpolate(values, self.faces if faces is None else faces).movedim(
            -1, 1
        )

    def uv(self, topology: FaceTopology) -> Tensor:
        """Texture coordinates ``(B, 2, H, W)``, u right and v down, 0 to 1."""
        return self.attribute(topology.uv, topology.faces_uv)

    def normals(self) -> Tensor:
        """Unit normals ``(B, 3, H, W)`` in the camera's frame: x right, y up, z towards
        the viewer.
        """
        return torch.nn.functional.normalize(self.attribute(self.vertex_normals), dim=1)

    def positions(self) -> Tensor:
        """Where on the head each pixel is: ``(B, 3, H, W)`` millimetres in the head's frame."""
        return self.attribute(self.vertices)

    def facing(self) -> Tensor:
        """Cosine of the angle at each vertex between its normal and the way to the camera, ``(B,
        V)``.
        """
        return self._facing

    @cached_property
    def _facing(self) -> Tensor:
        if self.camera.focal is None or self.camera.centre is None:
            return self.vertex_normals[..., 2]
        size = self.camera.log_size.exp()
        offset = (self.camera.origin - self.camera.centre) / size[:, None]
        eye = torch.stack([-offset[:, 0], offset[:, 1], self.camera.focal / size], -1)
        way = torch.nn.functional.normalize(eye[:, None] - self.camera.view(self.vertices), dim=-1)
        return (self.vertex_normals * way).sum(-1)

    def sees(self, points: Tensor) -> Tensor:
        """Whether nothing lies before points of the head ``(B, P, 3)``, and they are in the
        picture: ``(B, P)`` bool.

        A point is hidden when it lies deeper than the surface at all four pixel centres around it;
        at an outline this is right to one pixel, in favour of being seen.
        """
        return self._sees(self.camera.project(points))

    def _sees(self, projection: Projection) -> Tensor:
        height, width = self.fragments.size
        depth = torch.where(self.fragments.mask, self.fragments.depth, -torch.inf).flatten(1)
        corner = (projection.pixels - 0.5).floor().clamp(-2, max(height, width)).long()
        deepest = torch.full_like(projection.depth, torch.inf)
        for step_x, step_y in ((0, 0), (1, 0), (0, 1), (1, 1)):
            column = (corner[..., 0] + step_x).clamp(0, width - 1)
            row = (corner[..., 1] + step_y).clamp(0, height - 1)
            deepest = torch.minimum(deepest, depth.gather(1, row * width + column))
        edge = projection.pixels.new_tensor([width, height])
        within = ((projection.pixels >= 0) & (projection.pixels <= edge)).all(-1)
        return within & (projection.depth >= deepest - SLACK)

    def visible_vertices(self) -> Tensor:
        """Vertices that are seen: in the picture, turned to the camera and with nothing before
        them. ``(B, V)``.
        """
        return self._sees(self.projection) & (self.facing() > 0)


@dataclass(frozen=True)
class Correspondence:
    """Where the pixels of one view are in another.

    Attributes:
        flow: ``(B, 2, H, W)`` pixels (x, y) to add to a pixel of the target to get to the same
            point in the source.
        mask: ``(B, 1, H, W)`` bool, where the target shows the mesh.
        visible: ``(B, 1, H, W)`` bool, and the source shows the point too.
    """

    flow: Tensor
    mask: Tensor
    visible: Tensor


def correspondence(target: MeshView, source: MeshView) -> Correspondence:
    """The flow from each pixel of ``target`` to the same point of the skin in ``source``, backward
    as for sampling.

    The two may differ in pose, identity, expression and camera, not in their triangles.
    """
    height, width = target.fragments.size
    points = target.attribute(torch.cat([source.vertices, source.facing()[..., None]], -1))
    points, facing = points.flatten(2).transpose(1, 2).split([3, 1], -1)
    projection = source.camera.project(points)
    x = torch.arange(width, device=points.device) + 0.5
    y = torch.arange(height, device=points.device) + 0.5
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(points)
    flow = projection.pixels.view(-1, height, width, 2) - centres
    seen = (source.sees(points) & (facing[..., 0] > 0)).view(-1, 1, height, width)
    return Correspondence(flow.movedim(-1, 1) * target.mask, target.mask, seen & target.mask)


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Bilinear look-up: textures ``(B, C, S, S)`` at uv ``(B, 2, H, W)`` in [0, 1]; the border
    beyond.
    """
    grid = uv.movedim(1, -1) * 2 - 1
    return torch.nn.functional.grid_sample(
        texture.expand(len(uv), -1, -1, -1), grid, padding_mode="border", align_corners=False
    )
