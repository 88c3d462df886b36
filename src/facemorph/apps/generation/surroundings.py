"""What a photograph shows around the face of somebody who was found in it: hair, neck, the scene.

A small generator knows hair and what is behind people roughly. A person found in a photograph keeps
the photograph therefore: it bends with the head (`PortraitMotion`), and what the generator makes
covers the face alone; there too, but for eyes and mouth, only where it looks like the photograph,
so that hair over the forehead is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.portrait_motion import INNER, HeadView, PortraitMotion
from facemorph.geometry.rendering.lighting import shading
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.filters import gaussian_blur, smoothstep
from facemorph.ops.frames import Frame, edge_grid

GRID = 24  # places along a side where the bend is evaluated: it is smooth
STEPS = 255
# Difference of colours, in the mean over the channels, from which the generator's picture is less
# like a photograph, and from which it covers nothing of it: at least, and in the face's median.
ALIKE, UNLIKE = (0.03, 1.5), (0.07, 3.5)
NEAR = 0.01  # of a side over which differences are taken together
DARKEST = 0.05  # light that counts as none
SOFT = 0.03  # of a side over which a change of light fades out around the head


class Photographs:
    """Photographs, framed as a generator frames them, and the faces in them.

    Args:
        images: ``(P, 3, S, S)`` in [0, 1], of 8 bits.
        likeness: ``(P, 1, S, S)`` likewise: how far the generator's pictures are like them.
        parameters: Of the P faces.
    """

    def __init__(self, images: Tensor, likeness: Tensor, parameters: FaceParameters) -> None:
        self.images, self.likeness, self.parameters = images, likeness, parameters
        self._motions: dict[int, PortraitMotion] = {}

    @classmethod
    def of(cls, images: Tensor, made: Tensor, faces: Tensor, parameters: FaceParameters) -> Self:
        """Photographs of any values.

        Args:
            images: ``(P, 3, S, S)``.
            made: What the generator makes of them.
            faces: ``(P, 1, S, S)`` bool, where the faces are.
            parameters: As of the class.
        """
        apart = (images - made).abs().mean(1, keepdim=True)
        usual = float(apart[faces].median()) if bool(faces.any()) else 0.0
        apart = gaussian_blur(apart, max(1.0, NEAR * images.shape[-1]))
        low, high = (max(least, factor * usual) for least, factor in (ALIKE, UNLIKE))
        likeness = 1 - smoothstep((apart - low) / (high - low))
        images, likeness = ((one.clamp(0, 1) * STEPS).round() / STEPS for one in (images, likeness))
        return cls(images, likeness, parameters)

    def __len__(self) -> int:
        return len(self.images)

    def bent(
        self, place: int, model: MorphableModel, face: FaceParameters
    ) -> tuple[Tensor, Tensor]:
        """A photograph bent to another pose, expression, shape and light of its head.

        Args:
            place: Which.
            model: Its face's model.
            face: How the head is shown now.

        Returns:
            ``(3, S, S)``, and how far the generator's picture covers it ``(1, S, S)``.
        """
        size, own = self.images.shape[-1], self.parameters[place]
        if place not in self._motions:
            self._motions[place] = PortraitMotion(model, _head(model, own, size), (size, size))
        motion = self._motions[place]
        view = motion.look(_head(model, face, size))
        flow = motion.bend(view, GRID) * (2 / size)
        found = functional.grid_sample(
            torch.cat([self.images[place], self.likeness[place]])[None],
            edge_grid(size, size, flow) + flow.permute(0, 2, 3, 1),
            padding_mode="border",
            align_corners=False,
        )[0]
        moving = view.attribute(_moving(model)[:, None])[0] * view.mask[0]
        cover = motion.share(view) * torch.maximum(found[3:], moving.clamp(0, 1))
        return found[:3] * relit(view, own.light, face.light)[0], cover


@dataclass(frozen=True)
class Surroundings:
    """Whose photographs N faces keep.

    Attributes:
        photographs: Of P.
        shares: ``(N, P)`` how far each face has what is around a photograph's; what is left of 1 is
            the generator's.
    """

    photographs: Photographs
    shares: Tensor

    def __getitem__(self, rows: slice | Tensor) -> Self:
        """Of some of the faces."""
        return type(self)(self.photographs, self.shares[rows])

    @classmethod
    def joined(cls, parts: Sequence[Self | None], counts: Sequence[int]) -> Self | None:
        """Of the faces of several parts, of so many faces each; None where none has any."""
        known = {id(one.photographs): one.photographs for one in parts if one is not None}
        if not known:
            return None
        places, total = {}, 0
        for key, one in known.items():
            places[key], total = slice(total, total + len(one)), total + len(one)
        shares = []
        for part, count in zip(parts, counts, strict=True):
            share = torch.zeros(count, total)
            if part is not None:
                share[:, places[id(part.photographs)]] = part.shares
            shares.append(share)
        if len(known) == 1:
            return cls(next(iter(known.values())), torch.cat(shares))
        images, likeness = (
            torch.cat([getattr(one, name) for one in known.values()])
            for name in ("images", "likeness")
        )
        parameters = FaceParameters.joined([one.parameters for one in known.values()])
        return cls(Photographs(images, likeness, parameters), torch.cat(shares))

    def around(
        self, row: int, model: MorphableModel, face: FaceParameters, picture: Tensor
    ) -> Tensor:
        """A generated picture ``(3, S, S)`` of a face, with what is around it in photographs."""
        shares = self.shares[row]
        found = (1 - shares.sum()) * picture
        for place in shares.nonzero()[:, 0].tolist():
            photograph, cover = self.photographs.bent(place, model, face)
            found = found + shares[place] * torch.lerp(photograph, picture, cover)
        return found.clamp(0, 1)


def relit(view: MeshView, before: Tensor, after: Tensor) -> Tensor:
    """What another light ``(1, 9, 3)`` makes of a photograph's colours: factors ``(1, 3, H, W)`` on
    the head, and fading out around it.
    """
    if torch.equal(before, after):
        return before.new_ones(1, 3, 1, 1)
    normals = view.normals().movedim(1, -1)
    old, new = (shading(normals, light[:, None, None]).movedim(-1, 1) for light in (before, after))
    change = (new.clamp(min=DARKEST) / old.clamp(min=DARKEST)).log() * view.mask
    return gaussian_blur(change, max(1.0, SOFT * change.shape[-1])).exp()


def _moving(model: MorphableModel) -> Tensor:
    """1 at vertices of eyes and mouth, ``(V,)``."""
    masks = model.topology.masks
    found = torch.zeros_like(masks["face"])
    for name in INNER:
        if name in masks:
            found = found | masks[name]
    return found.to(model.mean)


def _head(model: MorphableModel, face: FaceParameters, size: int) -> HeadView:
    return HeadView(vertices_of(model, face), camera_of(face, Frame(size, size)))
