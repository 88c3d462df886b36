"""The same face in the same texture, however it is turned: GIF's texture interpolation loss.

Ghosh et al., GIF: Generative Interpretable Faces (3DV 2020), section 3.3: pictures of one style,
skin and light, but other shapes, expressions and poses, are read back into texture maps, and these
have to agree where both are seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.textures.atlas import atlas_of
from facemorph.ops.frames import Frame

MOVED = ("identity", "expression", "joints", "rotation", "origin", "log_size")
HELD = ("light", "albedo")


def between_neighbours(parameters: FaceParameters, share: Tensor) -> FaceParameters:
    """Faces between each and the next, all with skin and light of the first.

    Args:
        parameters: B faces.
        share: How far from each to the next, one number for all.

    Returns:
        B - 1 faces; shape, expression, pose and camera are interpolated, as in the paper.
    """
    tensors = parameters.tensors()
    found: dict[str, Any] = {
        name: value[:-1] + share * (value[1:] - value[:-1]) for name, value in tensors.items()
    }
    found |= {name: tensors[name][:1].expand_as(tensors[name][1:]) for name in HELD}
    return replace(parameters, **found)


class TextureReader:
    """Reads pictures of faces back into texture maps, differentiable in the pictures.

    Args:
        model: Of the faces.
        texels: Side of the maps.
    """

    def __init__(self, model: MorphableModel, texels: int = 64) -> None:
        self.model, self.atlas = model, atlas_of(model, texels)
        self.row, self.column = self.atlas.mask.nonzero(as_tuple=True)
        weight = model.topology.masks["face"].float()[:, None]
        at = self.atlas.at_texels(weight, model.topology.faces)[0]
        self.face = at[self.row, self.column]

    def __call__(self, pictures: Tensor, parameters: FaceParameters) -> tuple[Tensor, Tensor]:
        """Colours ``(B, 3, P)`` of the P texels, and how far each is seen ``(B, P)``.

        Args:
            pictures: ``(B, 3, S, S)``.
            parameters: Of the faces, in pixels of the pictures.
        """
        side = pictures.shape[-1]
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            vertices = vertices_of(self.model, parameters)
            camera = camera_of(parameters, Frame(side, side))
            faces = self.model.topology.faces
            view = MeshView.of(vertices, faces, camera, (side, side))
            values = torch.cat([vertices, view.facing()[..., None]], -1)
            at = torch.stack([self.atlas.at_texels(one, faces) for one in values])
            at = at[:, :, self.row, self.column]
            points = at[:, :3].mT
            seen = view.sees(points) * (at[:, 3] > 0) * self.face
            grid = camera.project(points).pixels / side * 2 - 1
        colours = functional.grid_sample(
            pictures.float(), grid[:, None], padding_mode="border", align_corners=False
        )
        return colours[:, :, 0], seen.to(colours.dtype)


def consistency_loss(
    colours: Tensor, seen: Tensor, pairs: Tensor, *, published: bool = False
) -> Tensor:
    """Mean difference of textures over pairs of pictures, where both are seen.

    Args:
        colours: ``(B, 3, P)``.
        seen: ``(B, P)``.
        pairs: ``(K, 2)`` numbers of pictures.
        published: The paper's ``sigmoid(d^2)``, whose least value is a half and whose gradient
            vanishes for large differences, averaged over all texels; otherwise ``d^2`` over those
            that both show.
    """
    first, second = pairs.T
    both = (seen[first] * seen[second])[:, None]
    difference = (colours[first] - colours[second]).square()
    if published:
        return (difference.sigmoid() * both).mean()
    return (difference * both).sum() / (3 * both.sum()).clamp(min=1)


def random_pairs(count: int, wanted: int, generator: torch.Generator) -> Tensor:
    """Some of the ``count (count - 1) / 2`` pairs, drawn without putting back: ``(K, 2)``."""
    every = torch.combinations(torch.arange(count))
    return every[torch.randperm(len(every), generator=generator)[:wanted]]
