"""ImFace's field at many points for one face, without gradients: the codes' networks are made once and kept.

The same numbers as ``ImFaceField`` gives (its plain twin, ``tests/unit/test_imface_evaluation.py``): first layers that
have taken in the landmarks and the frequency of the sines, points in pieces that stay in the cache, buffers that are
used again, and on a CPU sines and layer norms in one compiled pass each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.fields.blend_fields import FREQUENCY, SLOPE, BlendField, LocalNetworks
from facemorph.fields.imface_field import DeformationField, ImFaceField
from facemorph.ops.rows import first_norm_rows, first_sine_rows, mixture_rows, norm_rows, screw_rows, sine_rows

PIECE = 4096                                     # points: 2 MB for each layer of 128


class _Buffers:
    """Memory for layers, by number and shape, used again."""

    def __init__(self, like: Tensor) -> None:
        self.like, self.kept = like, dict[tuple[int, ...], Tensor]()

    def __call__(self, *shape: int, number: int = 0) -> Tensor:
        key = (number, *shape)
        if key not in self.kept:
            self.kept[key] = self.like.new_empty(shape)
        return self.kept[key]


class FrozenBlend:
    """A blend field whose landmarks and tensors are fixed.

    Args:
        blend: The blend field.
        landmarks: ``(K, 3)``.
        tensors: Of its sine networks, ``(1, ...)``.
        buffers: Memory.
    """

    def __init__(self, blend: BlendField, landmarks: Tensor, tensors: list[Tensor], buffers: _Buffers) -> None:
        tensors = [tensor[0] for tensor in tensors]
        weight, bias = tensors[:2]
        self.separate = isinstance(blend.local, LocalNetworks)
        if self.separate:
            bias = bias - (weight @ landmarks[..., None])[..., 0]
        else:
            bias = bias - weight @ landmarks.flatten()
            weight = weight.unflatten(-1, (-1, 3)).sum(-2)
            tensors = [tensor[None] for tensor in tensors]
            weight, bias = weight[None], bias[None]
        pairs = [(weight, bias), *zip(tensors[2::2], tensors[3::2], strict=True)]
        last = len(pairs) - 1
        self.sines = [((FREQUENCY if index < last else 1.0) * one.transpose(1, 2).contiguous(),
                       (FREQUENCY if index < last else 1.0) * other) for index, (one, other) in enumerate(pairs)]
        self.fusion = [(layer.weight.T.contiguous(), layer.weight, layer.bias, norm)
                       for layer, norm in blend.fusion.stages()]
        self.count, self.buffers = blend.local.count, buffers

    def __call__(self, x: Tensor) -> Tensor:
        """Values ``(N, O)`` at points ``(N, 3)``."""
        size = len(x)
        weight, bias = self.sines[0]
        values = first_sine_rows(x, weight, bias, self.buffers(len(weight), size, weight.shape[2], number=0))
        for number, (weight, bias) in enumerate(self.sines[1:-1], start=1):
            made = self.buffers(len(weight), size, weight.shape[2], number=number % 2)
            values = sine_rows(torch.bmm(values, weight, out=made), bias)
        weight, bias = self.sines[-1]
        values = torch.baddbmm(bias[:, None], values, weight)
        values = values.transpose(0, 1) if self.separate else values[0].unflatten(1, (self.count, -1))
        (weight, _, bias, norm), (second, _, second_bias, second_norm), (_, last, last_bias, last_norm) = self.fusion
        share = first_norm_rows(x, weight, bias, norm, SLOPE, self.buffers(size, weight.shape[1], number=2))
        share = torch.mm(share, second, out=self.buffers(size, second.shape[1], number=3))
        share = norm_rows(share, second_bias, second_norm, SLOPE)
        return mixture_rows(share, last, last_bias, last_norm, values)


class ImFaceEvaluation:
    """One face's field.

    Args:
        field: The field of all faces; later changes of its weights are not seen.
        identity: Code ``(C,)``.
        expression: Code ``(C,)``; None for the neutral face.
    """

    @torch.no_grad()
    def __init__(self, field: ImFaceField, identity: Tensor, expression: Tensor | None) -> None:
        self.field, self.buffers = field, _Buffers(identity)
        identity = identity[None]
        self.expression = None
        if expression is not None:
            shown = field.landmarks(identity, expression[None])[0][0]
            self.expression = FrozenBlend(field.expression.blend, shown, field.expression.hyper(expression[None]),
                                          self.buffers)
        still = field.identity_landmarks(identity).view(-1, 3)
        self.identity = FrozenBlend(field.identity.blend, still, field.identity.hyper(identity), self.buffers)
        template = field.template
        self.template = FrozenBlend(template.blend, template.landmarks[0], list(template.tensors), self.buffers)

    def distance(self, points: Tensor) -> Tensor:
        """Signed distances ``(N,)`` at points ``(N, 3)``."""
        return self._at(points)[0]

    def template_places(self, points: Tensor) -> Tensor:
        """Places on the template, x2 ``(N, 3)``, of points ``(N, 3)``."""
        return self._at(points)[1]

    @torch.no_grad()
    def _at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        found = [self._piece(part) for part in points.split(PIECE)]
        return torch.cat([one for one, _ in found]), torch.cat([other for _, other in found])

    def _piece(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.expression is not None:
            x, _ = _moved(self.field.expression, x, self.expression(x))
        x, correction = _moved(self.field.identity, x, self.identity(x))
        return (self.template(x) + correction)[:, 0], x


def _moved(field: DeformationField, x: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    motion = values[:, :field.size]
    return (screw_rows(x, motion) if field.motion == "se3" else x + motion), values[:, field.size:]
