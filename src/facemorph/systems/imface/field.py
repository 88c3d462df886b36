"""ImFace's field: a signed distance by two deformations and a template, with its gradient in the
same pass.

    x1 = D(x; expression code, its landmarks)          facial expression, removed
    x2, c = R(x1; identity code, its landmarks)        identity, removed; correction of the distance
    f(x) = T(x2) + c                                   template

D and R move points rigidly (``se3``) or shift them (``translation``) by the values of blend fields
whose networks come out of the codes. The gradient of f along x, and along x1, follows from the
parts' products, in reverse, as ordinary operations: see ``facemorph.systems.imface.blend_fields``.

Source: Zheng et al., ImFace: A Nonlinear 3D Morphable Face Model with Implicit Neural
Representations (CVPR 2022), and its released code, whose parameter counts these parts have (without
weights that it never uses).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.ops.screw_motion import move_by_screws, screw_products
from facemorph.systems.imface.blend_fields import (
    BlendField,
    BlendTape,
    LocalNetworks,
    SharedLocalNetworks,
)
from facemorph.systems.imface.hyper_networks import (
    FusedHyperNetwork,
    HyperNetwork,
    sine_parameters,
    sine_shapes,
)

FIVE = (36, 45, 30, 48, 54)  # iBUG: outer eye corners, tip of the nose, corners of the mouth
MOTIONS = {"se3": 6, "translation": 3}
LOCAL: dict[str, type[SharedLocalNetworks | LocalNetworks]] = {
    "shared": SharedLocalNetworks,
    "separate": LocalNetworks,
}
HYPER: dict[str, type[HyperNetwork | FusedHyperNetwork]] = {
    "per_tensor": HyperNetwork,
    "fused": FusedHyperNetwork,
}


def choice(value: str, allowed: Sequence[str], where: str) -> str:
    """The value itself, if it is one of the possible ones.

    Raises:
        ConfigError: It is not.
    """
    if value not in allowed:
        raise ConfigError("no such choice", where=where, expected=" | ".join(allowed), found=value)
    return value


@dataclass(frozen=True)
class DeformationTape:
    """What a deformation has kept."""

    points: Tensor
    values: Tensor
    blend: BlendTape


class DeformationField(nn.Module):
    """Moves points by a blend field whose networks come out of a code.

    Args:
        motion: ``se3`` or ``translation``.
        code: Length of the code.
        landmarks: K, the local networks.
        extra: Further values beside the motion.
        local: ``shared``, one network of all relative positions, or ``separate``, one for each
            landmark.
        hyper: ``per_tensor`` or ``fused``.
        hidden: Width of the local networks.
        layers: Hidden layers after the first.
    """

    def __init__(
        self,
        motion: str = "se3",
        code: int = 128,
        landmarks: int = 5,
        extra: int = 0,
        local: str = "shared",
        hyper: str = "per_tensor",
        hidden: int = 128,
        layers: int = 3,
    ) -> None:
        super().__init__()
        self.motion = choice(motion, list(MOTIONS), "motion")
        self.size, self.separate = (
            MOTIONS[motion],
            choice(local, list(LOCAL), "local") == "separate",
        )
        networks = LOCAL[local](landmarks, self.size + extra)
        shapes = sine_shapes(networks.inputs, networks.all_outputs, hidden, layers)
        if self.separate:
            shapes = [(landmarks, *shape) for shape in shapes]
        self.hyper = HYPER[choice(hyper, list(HYPER), "hyper")](code, shapes)
        self.blend = BlendField(networks)

    def forward(
        self, x: Tensor, landmarks: Tensor, code: Tensor
    ) -> tuple[Tensor, Tensor, DeformationTape]:
        """Moved points ``(B, N, 3)`` and further values ``(B, N, E)``.

        Args:
            x: ``(B, N, 3)``.
            landmarks: ``(B, K, 3)``.
            code: ``(B, C)``.
        """
        values, tape = self.blend(x, landmarks, self.hyper(code))
        motion = values[..., : self.size]
        moved = move_by_screws(x, motion) if self.motion == "se3" else x + motion
        return moved, values[..., self.size :], DeformationTape(x, motion, tape)

    def products(self, tape: DeformationTape, moved: Tensor, extra: Tensor | None = None) -> Tensor:
        """Cotangents of the moved points ``(B, N, 3)`` and further values to one of the points
        ``(B, N, 3)``.
        """
        along, values = moved, moved
        if self.motion == "se3":
            along, values = screw_products(tape.points, tape.values, moved)
        return along + self.blend.products(
            tape.blend, values if extra is None else torch.cat([values, extra], -1)
        )


class TemplateField(nn.Module):
    """The template's signed distance: a blend field with weights of its own, around fixed
    landmarks.

    Args:
        landmarks: ``(K, 3)``.
        local: ``shared`` or ``separate``.
        hidden: Width of the local networks.
        layers: Hidden layers after the first.
    """

    landmarks: Tensor

    def __init__(
        self, landmarks: Tensor, local: str = "shared", hidden: int = 128, layers: int = 3
    ) -> None:
        super().__init__()
        networks = LOCAL[choice(local, list(LOCAL), "local")](len(landmarks), 1)
        self.blend = BlendField(networks)
        self.tensors = sine_parameters(
            sine_shapes(networks.inputs, networks.all_outputs, hidden, layers),
            (len(landmarks),) if local == "separate" else (),
        )
        self.register_buffer("landmarks", landmarks[None].float())

    def forward(self, x: Tensor) -> tuple[Tensor, BlendTape]:
        """Distances ``(B, N, 1)`` at ``(B, N, 3)``."""
        batch = len(x)
        tensors = [tensor.expand(batch, *tensor.shape[1:]) for tensor in self.tensors]
        found: tuple[Tensor, BlendTape] = self.blend(
            x, self.landmarks.expand(batch, -1, -1), tensors
        )
        return found


@dataclass(frozen=True)
class FieldValues:
    """What the field says at points.

    Attributes:
        distance: ``(B, N)`` signed.
        gradient: ``(B, N, 3)`` along the points; None where it was not asked for.
        reference_gradient: ``(B, N, 3)`` along the points without expression, x1; None likewise.
        neutral: ``(B, N, 3)`` x1.
        template: ``(B, N, 3)`` x2, the place on the template: what corresponds has the same.
        correction: ``(B, N)`` c.
        motion: ``(B, N, 6)`` screws, or ``(B, N, 3)`` shifts, by which D has moved the points; None
            without expression.
    """

    distance: Tensor
    gradient: Tensor | None
    reference_gradient: Tensor | None
    neutral: Tensor
    template: Tensor
    correction: Tensor
    motion: Tensor | None


@dataclass(frozen=True)
class PlaceTape:
    """What the way to the template has kept; without expression there is only the identity's."""

    expression: DeformationTape | None
    identity: DeformationTape


class ImFaceField(nn.Module):
    """The field of all faces.

    Args:
        template_landmarks: ``(68, 3)``.
        sparse: Which of them the local networks sit at; ``FIVE``, or all.
        motion: ``se3`` or ``translation``.
        code: Length of either code.
        local: ``shared`` (the released code) or ``separate`` (the paper).
        hyper: ``per_tensor`` (the released code) or ``fused``.
        hidden: Width of the local networks.
        layers: Their hidden layers after the first.
    """

    sparse: Tensor

    def __init__(
        self,
        template_landmarks: Tensor,
        sparse: Sequence[int] = FIVE,
        motion: str = "se3",
        code: int = 128,
        local: str = "shared",
        hyper: str = "per_tensor",
        hidden: int = 128,
        layers: int = 3,
    ) -> None:
        super().__init__()
        count = len(sparse)
        self.register_buffer("sparse", torch.tensor(list(sparse)), persistent=False)
        shared = {
            "code": code,
            "landmarks": count,
            "local": local,
            "hyper": hyper,
            "hidden": hidden,
            "layers": layers,
        }
        self.expression = DeformationField(motion, **shared)  # type: ignore[arg-type]
        self.identity = DeformationField(motion, extra=1, **shared)  # type: ignore[arg-type]
        self.template = TemplateField(template_landmarks[list(sparse)], local, hidden, layers)
        self.expression_landmarks = _landmark_network(2 * code, count)
        self.identity_landmarks = _landmark_network(code, count)

    def landmarks(self, identity: Tensor, expression: Tensor) -> tuple[Tensor, Tensor]:
        """Sparse landmarks ``(B, K, 3)`` with and without the expression, from codes ``(B, C)``."""
        count = len(self.sparse)
        return (
            self.expression_landmarks(torch.cat([expression, identity], 1)).view(-1, count, 3),
            self.identity_landmarks(identity).view(-1, count, 3),
        )

    def forward(
        self, x: Tensor, identity: Tensor, expression: Tensor | None, gradient: bool = True
    ) -> FieldValues:
        """Values at points.

        Args:
            x: ``(B, N, 3)``.
            identity: ``(B, C)``.
            expression: ``(B, C)``; None leaves the expression's deformation out: the neutral face.
            gradient: Whether gradients are wanted.
        """
        return self.traced(x, identity, expression, gradient)[0]

    def placed_products(self, tape: PlaceTape, cotangent: Tensor) -> Tensor:
        """``c^T dx2/dx`` ``(B, N, 3)`` for cotangents ``(B, N, 3)``, by what ``traced``
        has kept.
        """
        along = self.identity.products(
            tape.identity, cotangent, cotangent.new_zeros(*cotangent.shape[:2], 1)
        )
        return (
            along if tape.expression is None else self.expression.products(tape.expression, along)
        )

    def traced(
        self, x: Tensor, identity: Tensor, expression: Tensor | None, gradient: bool = True
    ) -> tuple[FieldValues, PlaceTape]:
        """As ``forward``, and what ``placed_products`` needs."""
        neutral, along, first = x, None, None
        neutral_landmarks = self.identity_landmarks(identity).view(len(x), -1, 3)
        if expression is not None:
            shown = self.landmarks(identity, expression)[0]
            neutral, _, first = self.expression(x, shown, expression)
        placed, correction, second = self.identity(neutral, neutral_landmarks, identity)
        distance, third = self.template(placed)
        reference = None
        if gradient:
            one = torch.ones_like(distance)
            reference = self.identity.products(
                second, self.template.blend.products(third, one), one
            )
            along = reference if first is None else self.expression.products(first, reference)
        return (
            FieldValues(
                (distance + correction)[..., 0],
                along,
                reference,
                neutral,
                placed,
                correction[..., 0],
                None if first is None else first.values,
            ),
            PlaceTape(first, second),
        )


def _landmark_network(inputs: int, count: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 256),
        nn.LeakyReLU(),
        nn.Linear(256, 256),
        nn.LeakyReLU(),
        nn.Linear(256, 3 * count),
    )
