"""Plain twin of ImFace: its equations one after the other, gradients by nested automatic
differentiation.

Slow and simple on purpose: what ``facemorph.systems.imface.field`` and
``facemorph.systems.imface.losses`` are compared with and timed against. Screws are rotation
matrices by Rodrigues' formula, local networks see all relative positions, and gradients of the
distance are differentiated a second time in training, as in the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.systems.imface.blend_fields import BlendField
from facemorph.systems.imface.field import DeformationField, ImFaceField
from facemorph.systems.imface.losses import ScanBatch


def plain_blend(
    blend: BlendField, x: Tensor, landmarks: Tensor, tensors: list[Tensor], separate: bool
) -> Tensor:
    """Values ``(B, N, O)``: local sine networks of relative positions, mixed by the fusion
    network.
    """
    relative = x[:, :, None] - landmarks[:, None]  # (B, N, K, 3)
    count = landmarks.shape[1]
    values = relative.permute(0, 2, 1, 3) if separate else relative.flatten(2)[:, None]
    for index in range(0, len(tensors), 2):
        weight, bias = (
            (tensors[index], tensors[index + 1])
            if separate
            else (tensors[index][:, None], tensors[index + 1][:, None])
        )
        values = values @ weight.transpose(-1, -2) + bias[:, :, None]
        if index < len(tensors) - 2:
            values = torch.sin(30 * values)
    values = values.permute(0, 2, 1, 3) if separate else values[:, 0].unflatten(-1, (count, -1))
    share = x
    for index, (layer, norm) in enumerate(
        zip(blend.fusion.layers, blend.fusion.norms, strict=True)
    ):
        share = norm(layer(share))
        share = F.leaky_relu(share, 0.01) if index < 2 else share.softmax(-1)
    return (share[..., None] * values).sum(2)


def plain_screw(x: Tensor, screw: Tensor) -> Tensor:
    """Points ``(B, N, 3)`` moved by screws ``(B, N, 6)``: ``exp`` as matrices (Park et
    al. 2021).
    """
    w, v = screw.split(3, -1)
    angle = w.norm(dim=-1)[..., None, None] + 1e-8
    w, v = w / angle[..., 0], v / angle[..., 0]
    zero = torch.zeros_like(w[..., 0])
    matrix = torch.stack(
        [zero, -w[..., 2], w[..., 1], w[..., 2], zero, -w[..., 0], -w[..., 1], w[..., 0], zero], -1
    ).unflatten(-1, (3, 3))
    one, square = torch.eye(3, dtype=x.dtype, device=x.device), matrix @ matrix
    rotation = one + angle.sin() * matrix + (1 - angle.cos()) * square
    shift = (angle * one + (1 - angle.cos()) * matrix + (angle - angle.sin()) * square) @ v[
        ..., None
    ]
    return (rotation @ x[..., None] + shift)[..., 0]


def plain_deformation(
    field: DeformationField, x: Tensor, landmarks: Tensor, code: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Moved points, further values, and what the network gave for the motion."""
    values = plain_blend(field.blend, x, landmarks, field.hyper(code), field.separate)
    motion, further = values[..., : field.size], values[..., field.size :]
    moved = plain_screw(x, motion) if field.motion == "se3" else x + motion
    return moved, further, motion


def plain_distance(
    field: ImFaceField, x: Tensor, identity: Tensor, expression: Tensor
) -> tuple[Tensor, ...]:
    """Distance ``(B, N)``, x1, x2 ``(B, N, 3)``, correction ``(B, N)`` and the expression's motion
    ``(B, N, 3 or 6)``.
    """
    shown, still = field.landmarks(identity, expression)
    first, _, motion = plain_deformation(field.expression, x, shown, expression)
    second, correction, _ = plain_deformation(field.identity, first, still, identity)
    template = field.template
    tensors = [tensor.expand(len(x), *tensor.shape[1:]) for tensor in template.tensors]
    value = plain_blend(
        template.blend,
        second,
        template.landmarks.expand(len(x), -1, -1),
        tensors,
        field.expression.separate,
    )
    return (value + correction)[..., 0], first, second, correction[..., 0], motion


def plain_loss(
    field: ImFaceField,
    weights: dict[str, float],
    batch: ScanBatch,
    identity: Tensor,
    expression: Tensor,
    template: Tensor,
    neutral_deformation_of: str,
) -> Tensor:
    """The weighted sum of all terms (``facemorph.systems.imface.losses``); all landmarks
    are known. The neutral deformation is that of the points, or, as in the authors' code, the
    ``motion`` before it becomes a rotation and a shift.
    """
    points = batch["points"].detach().requires_grad_()
    distance, first, _, correction, motion = plain_distance(field, points, identity, expression)
    gradient, reference = torch.autograd.grad(
        distance, [points, first], torch.ones_like(distance), create_graph=True
    )
    landmarks, still = batch["landmarks"], batch["neutral_landmarks"]
    _, moved, placed, _, _ = plain_distance(field, landmarks, identity, expression)
    shown, rest = field.landmarks(identity, expression)
    neutral = batch["neutral"].to(points)[:, None, None]
    deformation = {"motion": motion, "displacement": first - points}[neutral_deformation_of]
    terms = {
        "sdf": (distance - batch["distance"]).abs().mean(),
        "normal": (1 - F.cosine_similarity(gradient, batch["gradient"], dim=-1)).mean(),
        "eikonal": (gradient.norm(dim=-1) - 1).abs().mean(),
        "reference_eikonal": (reference.norm(dim=-1) - 1).abs().mean(),
        "expression_landmarks": (shown - landmarks[:, field.sparse]).abs().mean(),
        "identity_landmarks": (rest - still[:, field.sparse]).abs().mean(),
        "deformed_landmarks": (moved - still).abs().mean(),
        "reference_landmarks": (placed - template).abs().mean(),
        "neutral_deformation": (deformation * neutral).square().mean(),
        "identity_code": identity.square().mean(),
        "expression_code": expression.square().mean(),
        "correction": correction.abs().mean(),
    }
    return torch.stack([weights[name] * value for name, value in terms.items()]).sum()
