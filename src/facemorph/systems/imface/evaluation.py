"""ImFace's field at many points for one face, without gradients: the codes' networks are made once
and kept.

The same numbers as ``ImFaceField`` gives (its plain twin,
``tests/unit/systems/imface/test_evaluation.py``): first layers that have taken in the landmarks and
the frequency of the sines, points in pieces that stay in the cache, buffers that are used again,
and on a CPU sines and layer norms in one compiled pass each. Gradients are written out as in
``facemorph.systems.imface.blend_fields``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.ops.screw_motion import screw_products
from facemorph.systems.imface.blend_fields import FREQUENCY, SLOPE, BlendField, LocalNetworks
from facemorph.systems.imface.field import DeformationField, ImFaceField
from facemorph.systems.imface.rows import (
    first_norm_rows,
    first_sine_pair_rows,
    first_sine_rows,
    mixture_rows,
    norm_rows,
    screw_rows,
    sine_pair_rows,
    sine_rows,
)

PIECE = 4096  # points: 2 MB for each layer of 128


class _Buffers:
    """Memory for layers, by number and shape, used again."""

    def __init__(self, like: Tensor) -> None:
        self.like, self.kept = like, dict[tuple[int, ...], Tensor]()

    def __call__(self, *shape: int, number: int = 0) -> Tensor:
        key = (number, *shape)
        if key not in self.kept:
            self.kept[key] = self.like.new_empty(shape)
        return self.kept[key]


@dataclass(frozen=True)
class FrozenTape:
    """What a frozen blend has kept.

    Attributes:
        cosines: ``(G, N, C)`` of each layer's arguments.
        values: ``(N, K, O)`` of the local networks.
        share: ``(N, K)``, their weights.
        norms: Of each layer norm its input ``(N, C)``, mean, inverse spread and output.
    """

    cosines: list[Tensor]
    values: Tensor
    share: Tensor
    norms: list[tuple[Tensor, Tensor, Tensor, Tensor]]


class FrozenBlend:
    """A blend field whose landmarks and tensors are fixed.

    Args:
        blend: The blend field.
        landmarks: ``(K, 3)``.
        tensors: Of its sine networks, ``(1, ...)``.
        buffers: Memory.
    """

    def __init__(
        self, blend: BlendField, landmarks: Tensor, tensors: list[Tensor], buffers: _Buffers
    ) -> None:
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
        self.sines = [
            (
                (FREQUENCY if index < last else 1.0) * one.transpose(1, 2).contiguous(),
                (FREQUENCY if index < last else 1.0) * other,
            )
            for index, (one, other) in enumerate(pairs)
        ]
        self.fusion = [
            (layer.weight.T.contiguous(), layer.weight, layer.bias, norm)
            for layer, norm in blend.fusion.stages()
        ]
        self.count, self.buffers, self.kept = blend.local.count, buffers, _Buffers(buffers.like)

    def __call__(self, x: Tensor) -> Tensor:
        """Values ``(N, O)`` at points ``(N, 3)``."""
        size = len(x)
        weight, bias = self.sines[0]
        values = first_sine_rows(
            x, weight, bias, self.buffers(len(weight), size, weight.shape[2], number=0)
        )
        for number, (weight, bias) in enumerate(self.sines[1:-1], start=1):
            made = self.buffers(len(weight), size, weight.shape[2], number=number % 2)
            values = sine_rows(torch.bmm(values, weight, out=made), bias)
        weight, bias = self.sines[-1]
        values = self._apart(torch.baddbmm(bias[:, None], values, weight))
        (
            (weight, _, bias, norm),
            (second, _, second_bias, second_norm),
            (_, last, last_bias, last_norm),
        ) = self.fusion
        share = first_norm_rows(
            x, weight, bias, norm, SLOPE, self.buffers(size, weight.shape[1], number=2)
        )
        share = torch.mm(share, second, out=self.buffers(size, second.shape[1], number=3))
        share = norm_rows(share, second_bias, second_norm, SLOPE)
        return mixture_rows(share, last, last_bias, last_norm, values)

    def _apart(self, values: Tensor) -> Tensor:
        """Of each local network, ``(N, K, O)``."""
        return values.transpose(0, 1) if self.separate else values[0].unflatten(1, (self.count, -1))

    def traced(self, x: Tensor) -> tuple[Tensor, FrozenTape]:
        """The same values, and what ``products`` needs, until the next call."""
        values, cosines = x, list[Tensor]()
        norms: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for number, (weight, bias) in enumerate(self.sines[:-1]):
            shape = len(weight), len(x), weight.shape[2]
            made = self.buffers(*shape, number=number % 2)
            cosines.append(self.kept(*shape, number=number))
            if number:
                values = sine_pair_rows(torch.bmm(values, weight, out=made), bias, cosines[-1])
            else:
                values = first_sine_pair_rows(x, weight, bias, made, cosines[-1])
        weight, bias = self.sines[-1]
        values, share = self._apart(torch.baddbmm(bias[:, None], values, weight)), x
        for _, weight, bias, norm in self.fusion:
            before = torch.addmm(bias, share, weight.T)
            after, mean, inverse = torch.native_layer_norm(
                before, [len(bias)], norm.weight, norm.bias, norm.eps
            )
            share = after.softmax(-1) if len(norms) == 2 else F.leaky_relu_(after, SLOPE)
            norms.append((before, mean, inverse, after))
        return (share[..., None] * values).sum(1), FrozenTape(cosines, values, share, norms)

    def products(self, tape: FrozenTape, cotangent: Tensor) -> Tensor:
        """``c^T do/dx`` ``(N, 3)`` for cotangents ``(N, O)``."""
        inner = tape.share[..., None] * cotangent[:, None]
        along = inner.transpose(0, 1) if self.separate else inner.flatten(1)[None]
        along = along @ self.sines[-1][0].transpose(1, 2)
        for (weight, _), cosine in zip(
            reversed(self.sines[:-1]), reversed(tape.cosines), strict=True
        ):
            along = along.mul_(cosine) @ weight.transpose(1, 2)
        local = along.sum(0)
        shared = (tape.values * cotangent[:, None]).sum(-1)
        mixed = tape.share * (shared - (tape.share * shared).sum(-1, keepdim=True))
        for index in (2, 1, 0):
            (_, weight, bias, norm), (before, mean, inverse, after) = (
                self.fusion[index],
                tape.norms[index],
            )
            if index < 2:
                mixed = torch.ops.aten.leaky_relu_backward(mixed, after, SLOPE, True)
            mixed = (
                torch.ops.aten.native_layer_norm_backward(
                    mixed,
                    before,
                    [len(bias)],
                    mean,
                    inverse,
                    norm.weight,
                    norm.bias,
                    [True, False, False],
                )[0]
                @ weight
            )
        return local + mixed


@dataclass(frozen=True)
class FrozenTrace:
    """What one piece has kept.

    Attributes:
        moves: Points ``(N, 3)``, values and tape of each deformation.
        template: Of the template.
    """

    moves: list[tuple[Tensor, Tensor, FrozenTape]]
    template: FrozenTape


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
        still = field.identity_landmarks(identity).view(-1, 3)
        self.moves = [
            (
                field.identity,
                FrozenBlend(
                    field.identity.blend, still, field.identity.hyper(identity), self.buffers
                ),
            )
        ]
        if expression is not None:
            shown = field.landmarks(identity, expression[None])[0][0]
            tensors = field.expression.hyper(expression[None])
            self.moves.insert(
                0,
                (
                    field.expression,
                    FrozenBlend(field.expression.blend, shown, tensors, self.buffers),
                ),
            )
        template = field.template
        self.template = FrozenBlend(
            template.blend, template.landmarks[0], list(template.tensors), self.buffers
        )

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
        correction = x.new_zeros(())
        for deformation, blend in self.moves:
            x, correction = _moved(deformation, x, blend(x))
        return (self.template(x) + correction)[:, 0], x

    def traced(self, x: Tensor) -> tuple[Tensor, Tensor, FrozenTrace]:
        """Distances ``(N,)`` and places on the template ``(N, 3)`` of one piece, and what
        ``gradient`` needs.

        The trace is good until the next call; ``x`` has ``PIECE`` points at most.
        """
        moves, correction = [], x.new_zeros(())
        for deformation, blend in self.moves:
            values, tape = blend.traced(x)
            moves.append((x, values, tape))
            x, correction = _moved(deformation, x, values)
        distance, kept = self.template.traced(x)
        return (distance + correction)[:, 0], x, FrozenTrace(moves, kept)

    def gradient(self, trace: FrozenTrace) -> Tensor:
        """Gradients ``(N, 3)`` of the distances along the points."""
        one = torch.ones_like(trace.moves[-1][0][:, :1])
        along = self.template.products(trace.template, one)
        for (deformation, blend), (x, values, tape) in zip(
            reversed(self.moves), reversed(trace.moves), strict=True
        ):
            whole, motion = along, along
            if deformation.motion == "se3":
                whole, motion = screw_products(x, values[:, :6], along)
            further = values.shape[1] - deformation.size
            along = whole + blend.products(tape, torch.cat([motion, one.expand(-1, further)], 1))
        return along


def _moved(field: DeformationField, x: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    motion = values[:, : field.size]
    return (screw_rows(x, motion) if field.motion == "se3" else x + motion), values[:, field.size :]
