"""ImFace's blend fields: values of K local sine networks, mixed by weights that depend on the
place.

    o(x) = sum_k w_k(x) o_k(x - l_k),   w = softmax of a small network of x,   l_k = landmarks

Each part gives its value and, from what it has kept, ``c^T do/dx`` for a cotangent c: reverse mode
written out as ordinary differentiable operations. So the gradient of the signed distance is there
after one forward pass, training needs one backward pass and no second one, and ``torch.compile``
takes all of it.

Source: Zheng et al., ImFace (CVPR 2022), sect. 3.3, and its released code. In that code the K local
networks are *one* network of all K relative positions (``SharedLocalNetworks``); without positional
encoding its first layer is ``(sum_k W_k) x + (b - sum_k W_k l_k)``, which is computed so here: 3
inputs instead of 3 K. The paper, and ImFace++, have K networks of one relative position each
(``LocalNetworks``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FREQUENCY = 30.0
SLOPE = 0.01  # of LeakyReLU


class _SineCosine(torch.autograd.Function):
    """Sines and cosines of arguments; each is the other's derivative, so that going back computes
    neither again.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(argument: Tensor) -> tuple[Tensor, Tensor]:
        """Both, of the argument's shape."""
        return argument.sin(), argument.cos()

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        """Keep both."""
        context.save_for_backward(*output)

    @staticmethod
    def backward(context: Any, of_sine: Tensor, of_cosine: Tensor) -> Tensor:
        """The argument's gradient."""
        sine, cosine = context.saved_tensors
        return of_sine * cosine - of_cosine * sine


@dataclass(frozen=True)
class SineTape:
    """What a sine network has kept: its cosines, and the weights, times the frequency, that their
    arguments came by.
    """

    cosines: list[Tensor]
    weights: list[Tensor]


def _apply(weight: Tensor, x: Tensor, bias: Tensor) -> Tensor:
    """``x W^T + b`` for ``(G, O, I)``, ``(G, N, I)`` and ``(G, O)``."""
    return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))


def sine_network(x: Tensor, tensors: list[Tensor]) -> tuple[Tensor, SineTape]:
    """Values ``(G, N, O)`` of G sine networks at points ``(G, N, I)``, by tensors ``(G, ...)`` in
    turn.

    The frequency is taken into weights and biases, which are far fewer than the points' values.
    """
    cosines: list[Tensor] = []
    weights: list[Tensor] = []
    for index in range(0, len(tensors) - 2, 2):
        weight, bias = FREQUENCY * tensors[index], FREQUENCY * tensors[index + 1]
        x, cosine = _SineCosine.apply(_apply(weight, x, bias))
        cosines.append(cosine)
        weights.append(weight)
    weights.append(tensors[-2])
    return _apply(tensors[-2], x, tensors[-1]), SineTape(cosines, weights)


def sine_products(tape: SineTape, cotangent: Tensor) -> Tensor:
    """``c^T do/dx`` ``(G, N, I)`` for cotangents ``(G, N, O)``."""
    along = cotangent @ tape.weights[-1]
    for cosine, weight in zip(reversed(tape.cosines), reversed(tape.weights[:-1]), strict=True):
        along = (cosine * along) @ weight
    return along


class FusionNetwork(nn.Module):
    """Weights of the K local networks at a place: 3 -> 128 -> 128 -> K, layer norms, softmax.

    Args:
        count: K.
        hidden: Width.
    """

    def __init__(self, count: int, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(3, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, count)]
        )
        self.norms = nn.ModuleList(
            [nn.LayerNorm(hidden), nn.LayerNorm(hidden), nn.LayerNorm(count)]
        )

    def stages(self) -> list[tuple[nn.Linear, nn.LayerNorm]]:
        """Each layer with its norm."""
        return [
            (layer, norm)
            for layer, norm in zip(self.layers, self.norms, strict=True)
            if isinstance(layer, nn.Linear) and isinstance(norm, nn.LayerNorm)
        ]

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Weights ``(..., K)`` at points ``(..., 3)``, and what ``products`` needs."""
        kept: list[Tensor] = []
        for index, (layer, norm) in enumerate(self.stages()):
            u = layer(x)
            centred = u - u.mean(-1, keepdim=True)
            inverse = (centred.square().mean(-1, keepdim=True) + norm.eps).rsqrt()
            unit = centred * inverse
            y = torch.addcmul(norm.bias, unit, norm.weight)
            kept += [unit, inverse, y]
            x = F.leaky_relu(y, SLOPE) if index < 2 else y.softmax(-1)
        return x, [*kept, x]

    def products(self, kept: list[Tensor], cotangent: Tensor) -> Tensor:
        """``c^T dw/dx`` ``(..., 3)`` for cotangents ``(..., K)``."""
        stages, share = self.stages(), kept[-1]
        along = share * (cotangent - (share * cotangent).sum(-1, keepdim=True))
        for index in (2, 1, 0):
            unit, inverse, y = kept[3 * index : 3 * index + 3]
            if index < 2:
                along = along * torch.where(y > 0, 1.0, SLOPE)
            layer, norm = stages[index]
            scaled = along * norm.weight
            along = inverse * (
                scaled
                - scaled.mean(-1, keepdim=True)
                - unit * (scaled * unit).mean(-1, keepdim=True)
            )
            along = along @ layer.weight
        return along


@dataclass(frozen=True)
class SharedLocalNetworks:
    """The released code's local networks: one sine network of K relative positions, its output cut
    into K pieces.

    Attributes:
        count: K.
        outputs: Values of each.
    """

    count: int
    outputs: int

    @property
    def inputs(self) -> int:
        """Of the sine network whose tensors it takes."""
        return 3 * self.count

    @property
    def all_outputs(self) -> int:
        """Of that sine network."""
        return self.count * self.outputs

    def __call__(
        self, x: Tensor, landmarks: Tensor, tensors: list[Tensor]
    ) -> tuple[Tensor, SineTape]:
        """Values ``(B, N, K, O)`` at points ``(B, N, 3)``, landmarks ``(B, K, 3)``."""
        weight = tensors[0]
        shift = tensors[1] - (weight @ landmarks.flatten(1)[..., None])[..., 0]
        folded = weight.view(len(weight), -1, self.count, 3).sum(2)
        found, tape = sine_network(x, [folded, shift, *tensors[2:]])
        return found.view(*x.shape[:2], self.count, self.outputs), tape

    def products(self, tape: SineTape, cotangent: Tensor) -> Tensor:
        """``c^T do/dx`` ``(B, N, 3)`` for cotangents ``(B, N, K, O)``."""
        return sine_products(tape, cotangent.flatten(2))


@dataclass(frozen=True)
class LocalNetworks:
    """The paper's local networks: K sine networks of one relative position each.

    Attributes:
        count: K.
        outputs: Values of each.
    """

    count: int
    outputs: int

    @property
    def inputs(self) -> int:
        """Of each of the sine networks, whose tensors come as ``(B, K, ...)``."""
        return 3

    @property
    def all_outputs(self) -> int:
        """Of each of them."""
        return self.outputs

    def __call__(
        self, x: Tensor, landmarks: Tensor, tensors: list[Tensor]
    ) -> tuple[Tensor, SineTape]:
        """Values ``(B, N, K, O)`` at points ``(B, N, 3)``, landmarks ``(B, K, 3)``."""
        relative = (x[:, None] - landmarks[:, :, None]).flatten(0, 1)
        found, tape = sine_network(relative, [tensor.flatten(0, 1) for tensor in tensors])
        return found.view(len(x), self.count, x.shape[1], self.outputs).transpose(1, 2), tape

    def products(self, tape: SineTape, cotangent: Tensor) -> Tensor:
        """``c^T do/dx`` ``(B, N, 3)`` for cotangents ``(B, N, K, O)``."""
        batch, points, count = cotangent.shape[:3]
        along = sine_products(tape, cotangent.transpose(1, 2).flatten(0, 1))
        return along.view(batch, count, points, 3).sum(1)


@dataclass(frozen=True)
class BlendTape:
    """What a blend field has kept."""

    sines: SineTape
    values: Tensor
    weights: Tensor
    fusion: list[Tensor]


class BlendField(nn.Module):
    """Local networks, mixed.

    Args:
        local: The local networks.
        hidden: Width of the fusion network.
    """

    def __init__(self, local: SharedLocalNetworks | LocalNetworks, hidden: int = 128) -> None:
        super().__init__()
        self.local = local
        self.fusion = FusionNetwork(local.count, hidden)

    def forward(
        self, x: Tensor, landmarks: Tensor, tensors: list[Tensor]
    ) -> tuple[Tensor, BlendTape]:
        """Values ``(B, N, O)`` at points ``(B, N, 3)``, landmarks ``(B, K, 3)``, and what
        ``products`` needs.
        """
        values, sines = self.local(x, landmarks, tensors)
        weights, kept = self.fusion(x)
        return (weights[..., None] * values).sum(2), BlendTape(sines, values, weights, kept)

    def products(self, tape: BlendTape, cotangent: Tensor) -> Tensor:
        """``c^T do/dx`` ``(B, N, 3)`` for cotangents ``(B, N, O)``."""
        inner = self.local.products(tape.sines, tape.weights[..., None] * cotangent[:, :, None])
        return inner + self.fusion.products(
            tape.fusion, (tape.values * cotangent[:, :, None]).sum(-1)
        )
