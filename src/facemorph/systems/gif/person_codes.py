"""Codes of people in closed form: principal components of their skin and of what surrounds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from facemorph.engine.head_texels import share_known, surroundings, texels_shown
from facemorph.ops.masked_pca import MaskedPCA

if TYPE_CHECKING:
    from facemorph.data.condition_set import ConditionedFaces


class PersonEncoder(nn.Module):
    """Tells a person's code from pictures whose conditions are known.

    The pixels of the head, divided by the light on them, are averaged into the texels of a small
    texture; the rest of the picture, small too, stands for hair and surroundings. Both have
    principal components, in which what a picture does not show is missing rather than wrong.

    Args:
        skin: Components of the texture.
        surroundings: Components of the rest.
        texels: Side of the texture.
        side: Side of the small picture of the rest.
    """

    def __init__(
        self, skin: int = 64, surroundings: int = 32, texels: int = 40, side: int = 20
    ) -> None:
        super().__init__()
        self.texels, self.side = texels, side
        self.skin = MaskedPCA(3 * texels * texels, skin)
        self.surroundings = MaskedPCA(3 * side * side, surroundings)
        self.code = skin + surroundings

    def texture(self, images: Tensor, conditions: Tensor, lights: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of what pictures show of each texel, and of how far that counts.

        Args:
            images: ``(B, 3, S, S)`` in [0, 1].
            conditions: ``(B, 9, S, S)``, see `ConditionRenderer`.
            lights: ``(B, 9, 3)``.

        Returns:
            ``(B, 3, T, T)`` colours times weights, and weights ``(B, 1, T, T)``.
        """
        return texels_shown(images, conditions, lights, self.texels)

    def rest(self, images: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Small pictures ``(B, 3, s, s)`` and how far each pixel lies off the head."""
        return surroundings(images, conditions, self.side)

    def fit(self, texture: tuple[Tensor, Tensor], rest: tuple[Tensor, Tensor]) -> None:
        """Take the components of people.

        Args:
            texture: Sums over each person's pictures, see `texture`.
            rest: Of one picture of each, see `rest`.

        Raises:
            DataError: There are not more people than components.
        """
        self.skin.fit(*_flat(texture[0] / texture[1].clamp(min=1e-3), share_known(texture[1])))
        self.surroundings.fit(*_flat(*rest))

    def encode(self, texture: tuple[Tensor, Tensor], rest: tuple[Tensor, Tensor]) -> Tensor:
        """Codes ``(B, code)`` of what `texture` and `rest` give."""
        skin = self.skin.encode(
            *_flat(texture[0] / texture[1].clamp(min=1e-3), share_known(texture[1]))
        )
        return torch.cat([skin, self.surroundings.encode(*_flat(*rest))], 1)

    def forward(self, images: Tensor, conditions: Tensor, lights: Tensor) -> Tensor:
        """Codes ``(B, code)`` of single pictures; see `texture`."""
        return self.encode(self.texture(images, conditions, lights), self.rest(images, conditions))


def _flat(values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    return values.flatten(1), seen.expand_as(values).flatten(1)


@torch.no_grad()
def codes_of_people(
    encoder: PersonEncoder, data: ConditionedFaces, splits: Sequence[str] | None = None
) -> Tensor:
    """Codes ``(people, C)`` of the people of a set; fits the encoder to those of the training split
    where it is new.

    Args:
        encoder: Tells them.
        data: The set, set up.
        splits: Whose codes are wanted, all when None; the others' say nothing.
    """
    count = int(data.parts["training"].person.max()) + 1
    texels, side = encoder.texels, encoder.side
    colour, weight = torch.zeros(count, 3, texels, texels), torch.zeros(count, 1, texels, texels)
    rest, known = torch.zeros(count, 3, side, side), torch.zeros(count, 1, side, side)
    met = torch.zeros(count, dtype=torch.bool)
    for name in sorted(data.conditioned if splits is None else splits):
        rows = data.conditioned[name]
        for start in range(0, len(rows), 32):
            faces = [rows[index] for index in range(start, min(start + 32, len(rows)))]
            image, maps, light = (
                torch.stack([face[key] for face in faces])
                for key in ("image", "conditions", "light")
            )
            person = torch.stack([face["person"] for face in faces])
            sums = encoder.texture(image, maps, light)
            colour.index_add_(0, person, sums[0])
            weight.index_add_(0, person, sums[1])
            around = encoder.rest(image, maps)
            for place, who in enumerate(person.tolist()):
                if not met[who]:  # surroundings are those of a person's first picture
                    rest[who], known[who], met[who] = around[0][place], around[1][place], True
    if not bool(encoder.skin.basis.any()):
        trained = torch.zeros(count, dtype=torch.bool)
        trained[data.parts["training"].person[data.parts["training"].rows]] = True
        encoder.fit((colour[trained], weight[trained]), (rest[trained], known[trained]))
    return encoder.encode((colour, weight), (rest, known))
