"""Hyper-networks: a code to the weights of a small sine network.

Source: Zheng et al., ImFace (CVPR 2022): an own MLP with ReLU for every tensor of the network
(``HyperNetwork``). ``FusedHyperNetwork`` shares the hidden layers between them, which has a tenth
of the parameters in the hidden part and one matrix product instead of ten; it is ours, not the
paper's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = 128  # of the hyper-networks, their two layers


def sine_shapes(
    inputs: int, outputs: int, hidden: int = 128, layers: int = 3
) -> list[tuple[int, ...]]:
    """Shapes of the tensors of a sine network: weight and bias of each layer in turn."""
    sizes = [inputs, *[hidden] * (layers + 1), outputs]
    return [shape for first, second in pairwise(sizes) for shape in ((second, first), (second,))]


def sine_parameters(
    shapes: Sequence[tuple[int, ...]], copies: tuple[int, ...] = (), frequency: float = 30.0
) -> nn.ParameterList:
    """Tensors ``(1, *copies, *shape)`` of sine networks that learn weights of their own; they start
    with the value 0.

    Args:
        shapes: What ``sine_shapes`` gives.
        copies: Number of networks, where there are several.
        frequency: That the sines' arguments are multiplied by.
    """
    tensors = nn.ParameterList()
    for index, shape in enumerate(shapes):
        inputs = shapes[index - index % 2][1]
        last, first = index >= len(shapes) - 2, index < 2
        bound = 0.0 if last else 1 / inputs if first else math.sqrt(6 / inputs) / frequency
        bound = 1 / math.sqrt(inputs) if len(shape) == 1 and not last else bound  # torch's biases
        tensors.append(nn.Parameter(torch.empty(1, *copies, *shape).uniform_(-bound, bound)))
    return tensors


def _start_last(layer: nn.Linear, shapes: Sequence[tuple[int, ...]]) -> None:
    """The published start: weights a hundredth of He's, biases as those of the tensors that they
    stand for.
    """
    with torch.no_grad():
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layer.weight.div_(100)
        for shape, bias in zip(
            shapes, layer.bias.split([math.prod(shape) for shape in shapes]), strict=True
        ):
            bound = 1 / shape[-1] if len(shape) == 2 else 1 / HIDDEN
            bias.uniform_(-bound, bound)


class HyperNetwork(nn.Module):
    """One network for each tensor: code -> 128 -> 128 -> its numbers.

    Args:
        code: Length of the code.
        shapes: Shapes of the tensors.
    """

    def __init__(self, code: int, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.shapes = tuple(tuple(shape) for shape in shapes)
        self.networks = nn.ModuleList()
        for shape in self.shapes:
            first, second = nn.Linear(code, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
            last = nn.Linear(HIDDEN, math.prod(shape))
            for layer in (first, second):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            _start_last(last, [shape])
            self.networks.append(nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last))

    def forward(self, code: Tensor) -> list[Tensor]:
        """Codes ``(B, C)`` to tensors ``(B, *shape)``."""
        return [
            network(code).view(-1, *shape)
            for network, shape in zip(self.networks, self.shapes, strict=True)
        ]


class FusedHyperNetwork(nn.Module):
    """One network for all tensors: code -> 128 -> 128 -> all numbers.

    Args:
        code: Length of the code.
        shapes: Shapes of the tensors.
    """

    def __init__(self, code: int, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.shapes = tuple(tuple(shape) for shape in shapes)
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.first, self.second = nn.Linear(code, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, sum(self.sizes))
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        _start_last(self.last, self.shapes)

    def forward(self, code: Tensor) -> list[Tensor]:
        """Codes ``(B, C)`` to tensors ``(B, *shape)``."""
        found = self.last(F.relu(self.second(F.relu(self.first(code)))))
        return [
            piece.view(-1, *shape)
            for piece, shape in zip(found.split(self.sizes, 1), self.shapes, strict=True)
        ]
