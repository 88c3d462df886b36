"""One face's field with details evaluated quickly, against the field itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from facemorph.systems.imface import rows
from facemorph.systems.imface.detail_evaluation import DetailEvaluation
from facemorph.systems.imface.evaluation import PIECE, ImFaceEvaluation
from facemorph.systems.imface.field import ImFaceField
from facemorph.systems.imface.residual_field import ResidualField


def made(motion="se3", local="shared", network="sine", dtype=torch.float32):
    """A base with deformations, details of some mm, points and codes."""
    torch.manual_seed(0)
    field = ImFaceField(
        torch.randn(68, 3) * 0.3, motion=motion, local=local, code=8, hidden=24, layers=2
    )
    residual = ResidualField(5, 20, network, hidden=12, layers=1)
    nn.init.normal_(field.template.tensors[-2], std=0.02)
    nn.init.normal_(residual.networks.tensors[-2], std=0.3)
    x = torch.rand(PIECE + 77, 3) * 2 - 1
    return (
        field.to(dtype),
        residual.to(dtype),
        x.to(dtype),
        *(torch.randn(size).to(dtype) for size in (8, 8, 20)),
    )


@pytest.mark.parametrize("motion", ["se3", "translation"])
@pytest.mark.parametrize("local", ["shared", "separate"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.no_grad()
def test_gradients_are_those_of_the_field(motion, local, dtype):
    field, _, x, identity, expression, _ = made(motion, local, dtype=dtype)
    x = x[:500]
    exact = copy.deepcopy(field).double()
    for shown in (expression, None):
        plain, true = (
            one(
                x.to(kind)[None],
                identity.to(kind)[None],
                None if shown is None else shown.to(kind)[None],
            )
            for one, kind in ((field, dtype), (exact, torch.float64))
        )
        evaluation = ImFaceEvaluation(field, identity, shown)
        distance, places, trace = evaluation.traced(x)
        for ours, one, best in (
            (distance, plain.distance, true.distance),
            (places, plain.template, true.template),
            (evaluation.gradient(trace), plain.gradient, true.gradient),
        ):
            rounding = float((one - best).abs().max())
            assert (
                float((ours - best[0]).abs().max())
                <= 4 * rounding + 1e-8
                < 0.02 * float(best.abs().max())
            )


@pytest.mark.slow
@pytest.mark.parametrize("network", ["sine", "film"])
@pytest.mark.parametrize("local", ["shared", "separate"])
@torch.no_grad()
def test_the_same_as_the_field_with_details(network, local):
    field, residual, x, identity, expression, detail = made(local=local, network=network)
    # Less steep than random networks are, and so is rounding.
    for tensor in [*field.identity.hyper.parameters(), *field.expression.hyper.parameters()]:
        tensor.mul_(0.7)
    nn.init.normal_(residual.networks.tensors[-2], std=0.1)
    for shown in (expression, None):
        plain = residual(
            field, x[None], identity[None], None if shown is None else shown[None], detail[None]
        )
        found = DetailEvaluation(field, residual, identity, shown, detail).distance(x)
        # details that can be seen
        assert float((plain.distance - plain.base.distance).abs().max()) > 1e-3
        assert float((found - plain.distance[0]).abs().max()) <= 1e-5


@torch.no_grad()
def test_without_displacements_it_is_the_base_and_nothing_is_evaluated_again(monkeypatch):
    field, residual, x, *codes, detail = made(dtype=torch.float64)
    nn.init.zeros_(residual.networks.tensors[-2])
    nn.init.zeros_(residual.networks.tensors[-1])
    evaluation = DetailEvaluation(field, residual, *codes, detail)
    base = evaluation.base.distance(x)
    monkeypatch.setattr(ImFaceEvaluation, "gradient", None)
    assert float((evaluation.distance(x) - base).abs().max()) <= 1e-6


def test_cosines_beside_sines():
    torch.manual_seed(0)
    x, values = torch.randn(33, 3), 10 * torch.randn(2, 33, 40)
    weight, bias = torch.randn(2, 3, 40), torch.randn(2, 40)
    for kind in (torch.float32, torch.float64):
        cosines = torch.empty(2, 33, 40, dtype=kind)
        argument = values.double() + bias[:, None].double()
        sines = rows.sine_pair_rows(values.to(kind).clone(), bias.to(kind), cosines)
        assert torch.allclose(sines.double(), argument.sin(), atol=4e-6)
        assert torch.allclose(cosines.double(), argument.cos(), atol=4e-6)
        argument = x.double() @ weight.double() + bias[:, None].double()
        sines = rows.first_sine_pair_rows(
            x.to(kind), weight.to(kind), bias.to(kind), torch.empty_like(cosines), cosines
        )
        assert torch.allclose(sines.double(), argument.sin(), atol=4e-6)
        assert torch.allclose(cosines.double(), argument.cos(), atol=4e-6)
