"""Where on the surface each texel of a texture map lies, and where its mirror image is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import FaceTopology, MorphableModel
from facemorph.geometry.rendering.camera import Projection
from facemorph.geometry.rendering.fragments import Fragments
from facemorph.geometry.rendering.rasterizer import choose_rasterizer

# how names of parts begin
EYES, MOUTH = ("eye_left", "eye_right", "eyeball"), ("teeth", "tongue", "gums")


@dataclass(frozen=True)
class Atlas:
    """The texels of a model's texture map. Rows are v down, columns u right; parts beyond [0, 1]
    have no texels.

    Attributes:
        fragments: Triangle and weights of each texel, ``(1, S, S)``. Where triangles share texels,
            as the back of an eyeball does with its front, the one that is further in front on the
            mean face has them.
        mirrored: ``(S, S, 2)`` u, v of the same point on the other side of the face.
        has_mirror: ``(S, S)`` bool, where ``mirrored`` is known.
    """

    fragments: Fragments
    mirrored: Tensor
    has_mirror: Tensor

    @property
    def mask(self) -> Tensor:
        """``(S, S)`` bool, which texels are used."""
        return self.fragments.mask[0]

    def at_texels(self, values: Tensor, faces: Tensor) -> Tensor:
        """Values of the vertices ``(V, C)`` at the texels: ``(C, S, S)``, 0 where there is none."""
        return self.fragments.interpolate(values, faces)[0].movedim(-1, 0)

    def part(self, topology: FaceTopology, *stems: str) -> Tensor:
        """``(S, S)`` bool: texels of the parts whose name begins with one of the stems."""
        return named(topology, *stems)[topology.face_component[self.fragments.face[0]]] & self.mask


def named(topology: FaceTopology, *stems: str) -> Tensor:
    """Which parts ``(C,)`` have a name that begins with one of the stems."""
    return torch.tensor(
        [name.startswith(stems) for name in topology.components],
        device=topology.face_component.device,
    )


def atlas_of(model: MorphableModel, size: int) -> Atlas:
    """The atlas of a model for maps of ``size`` x ``size`` texels; made once for each model, size
    and device.

    Raises:
        GeometryError: The size is not 1 to 16384.
    """
    return _atlas(model, size, str(model.mean.device))


@lru_cache(maxsize=4)
def _atlas(model: MorphableModel, size: int, device: str) -> Atlas:
    topology = model.topology
    uv, faces_uv = topology.uv, topology.faces_uv
    depth = uv.new_zeros(len(uv)).index_put(
        (faces_uv.flatten(),), model.mean[topology.faces.flatten(), 2].to(uv)
    )
    projection = Projection(uv[None] * size, depth[None], torch.ones_like(depth)[None])
    fragments = choose_rasterizer(device)(projection, faces_uv, (size, size))
    mirrored, known = _mirrored_corners(topology)
    face = fragments.face[0]
    place = (mirrored[face] * fragments.weights[0][..., None]).sum(-2)
    return Atlas(fragments, place, known[face] & fragments.mask[0])


def _mirrored_corners(topology: FaceTopology) -> tuple[Tensor, Tensor]:
    """u, v of the mirrored corners ``(F, 3, 2)`` of each triangle and whether its mirror image is
    one ``(F,)``.

    Some quads are cut along the other diagonal on the other side; their triangles have no mirror
    image.
    """
    faces, count = topology.faces, len(topology.faces)
    if topology.mirror is None:
        return topology.uv.new_zeros(count, 3, 2), torch.zeros(
            count, dtype=torch.bool, device=faces.device
        )
    other = topology.mirror[faces]
    vertices = int(faces.max()) + 1

    def key(triangles: Tensor) -> Tensor:
        first, second, third = triangles.sort(1).values.unbind(1)
        return (first * vertices + second) * vertices + third

    keys, order = key(faces).sort()
    wanted = key(other)
    position = torch.searchsorted(keys, wanted).clamp(max=count - 1)
    known = keys[position] == wanted
    twin = order[position]
    corner = (faces[twin][:, None, :] == other[:, :, None]).long().argmax(2)
    return topology.uv[topology.faces_uv[twin].gather(1, corner)], known
