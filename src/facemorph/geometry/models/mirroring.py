"""Parameters of the mirror image of a face, for training sets that hold every picture twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters

OF_X = (3, 4, 7)  # the spherical harmonics that are odd in x: x, xy, xz
EXACT = 1e-3  # what is nearer to a whole number than this is one


@dataclass(frozen=True)
class MirroredParameters:
    """Turns parameters into those of the mirror image.

    A named unit becomes that of the other side: ``eyeBlinkRight`` for ``eyeBlinkLeft``, itself
    where it has none. A statistical mode becomes the modes that come nearest to its mirror image,
    in the least-squares sense.

    Attributes:
        identity: ``(K, K)`` row k: coefficients of the mirror image of identity mode k.
        expression: ``(E, E)`` the same for the expressions.
        joints: ``(J,)`` the joint on the other side.
    """

    identity: Tensor
    expression: Tensor
    joints: Tensor

    @classmethod
    def of(cls, model: MorphableModel) -> Self:
        """The mirror of a model.

        Raises:
            GeometryError: The model does not know which vertices mirror each other.
        """
        mirror = model.topology.mirror
        if mirror is None:
            raise GeometryError(
                "this model does not know its mirror vertices",
                where=model.name,
                remedy="Leave the mirror images out: mirror=false.",
            )
        named = model.expression_range == (0.0, 1.0)
        return cls(
            _mirror_matrix(model.identity_basis, mirror),
            torch.eye(model.num_expression)[_other_sides(model.expression_names)]
            if named
            else _mirror_matrix(model.expression_basis, mirror),
            torch.tensor(_other_sides(model.joint_names), dtype=torch.long),
        )

    def __call__(self, parameters: FaceParameters, width: float) -> FaceParameters:
        """Parameters of the mirror image of a picture.

        Skin coefficients stay as they are: the skins that come with facemorph have no sides.

        Args:
            parameters: Of the picture.
            width: Its width in pixels.
        """
        turn = parameters.rotation.new_tensor([1.0, -1.0, -1.0])  # of an axis times an angle
        light = parameters.light.clone()
        light[:, list(OF_X)] *= -1
        origin = parameters.origin.clone()
        origin[:, 0] = width - origin[:, 0]
        return replace(
            parameters,
            identity=parameters.identity @ self.identity.to(parameters.identity),
            expression=parameters.expression @ self.expression.to(parameters.expression),
            joints=parameters.joints[:, self.joints] * turn,
            rotation=parameters.rotation * turn,
            origin=origin,
            light=light,
        )


def _other_sides(names: Sequence[str]) -> list[int]:
    """Place of each name's counterpart: ``eyeBlinkRight`` for ``eyeBlinkLeft``; its own without."""
    places = {name: place for place, name in enumerate(names)}
    swapped = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
    others = [re.sub("|".join(swapped), lambda found: swapped[found[0]], name) for name in names]
    return [places.get(other, place) for place, other in enumerate(others)]


def _mirror_matrix(basis: Tensor, mirror: Tensor) -> Tensor:
    """Coefficients ``(K, K)`` of the mirror images of the modes ``(K, V, 3)``."""
    modes = basis.double()
    image = modes[:, mirror.to(basis.device)] * modes.new_tensor([-1.0, 1.0, 1.0])
    flat = modes.flatten(1)
    found = torch.linalg.lstsq(flat.T, image.flatten(1).T).solution.T
    whole = found.round()
    return torch.where((found - whole).abs() < EXACT, whole, found).to(basis.dtype)
