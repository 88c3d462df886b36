"""ImFace++'s residual displacement field: details that a face has beyond its expression and
identity.

    delta(x) = A tanh(r(x2, detail code)) / (1 + (f(x) / s)^4),     A = 0.05, s = 0.02
    x~ = x + delta(x) n(x),     n = grad f / |grad f|,     F(x) = f(x~)

f, x2 are ImFace's (``facemorph.systems.imface.field``); r is a blend field of K sine networks, each
of the place relative to one landmark of the template and of its own K-th of the detail code.
Displacements are along the normal, at most A (5 mm), and end within some s of the surface.

``sine`` networks take place and code as one input; ``film`` networks (FiLM-SIREN, Chan et al.,
pi-GAN, CVPR 2021) get frequencies and phases of their sines from the code by a mapping network.
Both are sine networks whose tensors depend on the code: a code that is part of the input shifts the
first bias, and ``sin(p (W x + b) + q)`` is ``sin(30 (W' x + b'))`` with ``W' = p W / 30`` and ``b'
= (p b + q) / 30``. So there is one kind of local network.

The gradient. The released code detaches n; so it is a constant to its automatic differentiation and
it is one here:

    grad F = g~ + (n . g~) grad delta,     g~ = grad f at x~

with grad delta complete: along x2, back through both deformations, and along f. What is left out is
``delta g~^T dn/dx``, which is 0 where g~ is along n, since n has length 1. All of it is there after
one forward pass, as ordinary operations, so training takes one backward pass. Likewise the gradient
along x1 is ImFace's own at x~: along D(x~).

Source: Zheng et al., ImFace++ (TPAMI 2024), and the fitting code released with it. Departures: the
last layers start at 0, so that F = f when details begin to be trained, and the first layers of
``sine`` with waves finer than those of the base; sizes of these networks are not published.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.systems.imface.blend_fields import FREQUENCY, BlendField, LocalNetworks
from facemorph.systems.imface.field import FieldValues, ImFaceField, choice
from facemorph.systems.imface.hyper_networks import sine_parameters, sine_shapes

REACH, WIDTH = 0.05, 0.02  # A and s: 5 mm and 2 mm
# pi-GAN's sines have 15 times the frequency that the mapping network says, and 30.
FILM_FREQUENCY, FILM_SPREAD = 30.0, 15.0
FILM_START = 25.0  # frequency that FiLM layers' weights start for
FILM_LAST = 0.25  # factor of the mapping network's last layer at the start
FILM_SLOPE, FILM_HIDDEN, FILM_LAYERS = 0.2, 128, 3


def _for_all(tensor: Tensor, code: Tensor) -> Tensor:
    """One tensor ``(1, ...)`` for all codes ``(B, ...)``."""
    return tensor.expand(len(code), *tensor.shape[1:])


class SineTensors(nn.Module):
    """Tensors of K sine networks of a place and a code.

    Args:
        count: K.
        code: Length of each network's code.
        hidden: Width.
        layers: Hidden layers after the first.
    """

    def __init__(self, count: int, code: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.tensors = sine_parameters(
            sine_shapes(3 + code, 1, hidden, layers), (count,), FREQUENCY
        )
        with torch.no_grad():
            # By the bound of all inputs a network with a long code starts almost flat in space.
            # Details are finer
            # than faces: waves of some 20 mm and more.
            self.tensors[0][..., :3].uniform_(-1, 1)

    def forward(self, code: Tensor) -> list[Tensor]:
        """Codes ``(B, K, C)`` to tensors ``(B, K, ...)`` of sine networks of a place."""
        first, bias, *others = self.tensors
        shift = (first[..., 3:] @ code[..., None])[..., 0]
        return [
            _for_all(first[..., :3], code),
            bias + shift,
            *(_for_all(tensor, code) for tensor in others),
        ]


class FilmTensors(nn.Module):
    """Tensors of K sine networks whose frequencies and phases come out of a code.

    Args:
        count: K.
        code: Length of each network's code.
        hidden: Width.
        layers: Hidden layers after the first.
    """

    def __init__(self, count: int, code: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.hidden, self.sines = hidden, layers + 1
        self.tensors = sine_parameters(sine_shapes(3, 1, hidden, layers), (count,), FILM_START)
        sizes = [code, *[FILM_HIDDEN] * FILM_LAYERS, 2 * self.sines * hidden]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(sizes):
            # He's start for this slope, as torch.nn.init.kaiming_normal_, for K layers at once.
            spread = math.sqrt(2 / (1 + FILM_SLOPE**2) / inputs)
            self.weights.append(nn.Parameter(spread * torch.randn(count, outputs, inputs)))
            bound = 1 / math.sqrt(inputs)
            self.biases.append(nn.Parameter(torch.empty(count, 1, outputs).uniform_(-bound, bound)))
        with torch.no_grad():
            self.weights[-1].mul_(FILM_LAST)

    def modulation(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Frequencies and phases ``(B, K, sines, hidden)`` for codes ``(B, K, C)``."""
        x = code.transpose(0, 1)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(
                bias, F.leaky_relu(x, FILM_SLOPE) if index else x, weight.transpose(1, 2)
            )
        frequencies, phases = (
            x.transpose(0, 1).unflatten(-1, (2, self.sines, self.hidden)).unbind(2)
        )
        return FILM_SPREAD * frequencies + FILM_FREQUENCY, phases

    def forward(self, code: Tensor) -> list[Tensor]:
        """Codes ``(B, K, C)`` to tensors ``(B, K, ...)`` of sine networks of a place."""
        frequencies, phases = self.modulation(code)
        found: list[Tensor] = []
        for index in range(self.sines):
            frequency, phase = frequencies[:, :, index], phases[:, :, index]
            weight, bias = self.tensors[2 * index], self.tensors[2 * index + 1]
            found += [
                weight * (frequency / FREQUENCY)[..., None],
                (frequency * bias + phase) / FREQUENCY,
            ]
        return found + [_for_all(tensor, code) for tensor in list(self.tensors)[-2:]]


NETWORKS: dict[str, type[SineTensors | FilmTensors]] = {"sine": SineTensors, "film": FilmTensors}


@dataclass(frozen=True)
class DetailedValues:
    """What the field with details says at points.

    Attributes:
        base: Without details, at the same points.
        distance: ``(B, N)`` F.
        gradient: ``(B, N, 3)`` of F along the points; None where it was not asked for.
        reference_gradient: ``(B, N, 3)`` along x1 of the displaced points; None likewise.
        displacement: ``(B, N)`` delta.
    """

    base: FieldValues
    distance: Tensor
    gradient: Tensor | None
    reference_gradient: Tensor | None
    displacement: Tensor


class ResidualField(nn.Module):
    """Displacements along the normals.

    Args:
        count: K, landmarks of the base's local networks.
        code: Length of the detail code, a multiple of K.
        network: ``sine`` or ``film``.
        hidden: Width of the local networks.
        layers: Their hidden layers after the first.

    Raises:
        ConfigError: The network is none of the possible ones, or the code cannot be divided among
            the landmarks.
    """

    def __init__(
        self, count: int, code: int, network: str = "sine", hidden: int = 128, layers: int = 3
    ) -> None:
        super().__init__()
        if code < count or code % count:
            raise ConfigError(
                "every landmark has the same share of the detail code",
                where="detail_code",
                expected=f"a multiple of {count}",
                found=code,
                remedy=f"Take {max(1, round(code / count)) * count}.",
            )
        self.networks = NETWORKS[choice(network, list(NETWORKS), "residual")](
            count, code // count, hidden, layers
        )
        self.blend = BlendField(LocalNetworks(count, 1))

    def forward(
        self,
        field: ImFaceField,
        x: Tensor,
        identity: Tensor,
        expression: Tensor | None,
        detail: Tensor,
        gradient: bool = True,
    ) -> DetailedValues:
        """Values of the base field with details.

        Args:
            field: The base.
            x: ``(B, N, 3)``.
            identity: ``(B, C)``.
            expression: ``(B, C)``; None leaves the expression's deformation out.
            detail: ``(B, D)``.
            gradient: Whether gradients of F are wanted.
        """
        base, tape = field.traced(x, identity, expression)
        if base.gradient is None:
            raise ConfigError("displacements are along the gradient", where="gradient")
        normal = F.normalize(base.gradient.detach(), dim=-1)
        marks = field.template.landmarks.expand(len(x), -1, -1)
        values, kept = self.blend(
            base.template, marks, self.networks(detail.unflatten(-1, (len(marks[0]), -1)))
        )
        bent, ratio = values.tanh(), base.distance[..., None] / WIDTH
        share = 1 / (1 + ratio**4)
        displacement = REACH * bent * share
        found = field(x + displacement * normal, identity, expression, gradient)
        if not gradient:
            return DetailedValues(base, found.distance, None, None, displacement[..., 0])
        along_values = REACH * (1 - bent * bent) * share
        along_distance = displacement * share * ratio**3 * (-4 / WIDTH)
        slope = (
            field.placed_products(tape, self.blend.products(kept, along_values))
            + along_distance * base.gradient
        )
        along = found.gradient + (normal * found.gradient).sum(-1, keepdim=True) * slope
        return DetailedValues(
            base, found.distance, along, found.reference_gradient, displacement[..., 0]
        )
