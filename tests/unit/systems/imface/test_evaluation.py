"""One face's field evaluated quickly, against the field itself; each compiled pass against torch in
float64.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from facemorph.systems.imface import rows
from facemorph.systems.imface.evaluation import PIECE, ImFaceEvaluation
from facemorph.systems.imface.field import ImFaceField


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.slow
@pytest.mark.parametrize("motion", ["se3", "translation"])
@pytest.mark.parametrize("local", ["shared", "separate"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_as_the_field(motion, local, dtype):
    torch.manual_seed(0)
    field = ImFaceField(
        torch.randn(68, 3) * 0.3, motion=motion, local=local, code=8, hidden=24, layers=2
    ).to(dtype)
    nn.init.normal_(field.template.tensors[-2], std=0.1)
    x = torch.rand(PIECE + 77, 3, dtype=dtype) * 2 - 1
    identity, expression = torch.randn(2, 8, dtype=dtype)
    exact = copy.deepcopy(field).double()
    for shown in (expression, None):
        field_values, true = (
            one(
                x.to(kind)[None],
                identity.to(kind)[None],
                None if shown is None else shown.to(kind)[None],
                gradient=False,
            )
            for one, kind in ((field, dtype), (exact, torch.float64))
        )
        found = ImFaceEvaluation(field, identity, shown)
        for ours, plain, best in (
            (found.distance(x), field_values.distance, true.distance),
            (found.template_places(x), field_values.template, true.template),
        ):
            rounding = float((plain - best).abs().max())
            assert float((ours - best[0]).abs().max()) <= 3 * rounding + 1e-12 < 1e-4
        assert torch.equal(found.distance(x[:100]), found.distance(x[:100]))


def both(function, *arguments):
    """What it gives compiled, and in float64 by torch."""
    compiled = function(
        *(one.clone() if isinstance(one, torch.Tensor) else one for one in arguments)
    )
    plain = function(
        *(
            one.double()
            if isinstance(one, torch.Tensor)
            else nn.LayerNorm(one.normalized_shape, dtype=torch.float64)
            if isinstance(one, nn.LayerNorm)
            else one
            for one in arguments
        )
    )
    assert compiled.dtype == torch.float32
    return float((compiled.double() - plain).abs().max())


def test_rows_against_float64():
    torch.manual_seed(0)
    x, values = torch.randn(33, 3), torch.randn(2, 33, 40)
    weight, bias = torch.randn(2, 3, 40), torch.randn(2, 40)
    assert both(rows.sine_rows, values, bias) < 1e-6
    assert both(rows.sine_rows, 100 * values, torch.zeros(2, 40)) < 1e-6
    assert both(rows.first_sine_rows, x, weight, bias, torch.empty(2, 33, 40)) < 2e-6
    norm = nn.LayerNorm(40)
    assert both(rows.norm_rows, values[0], bias[0], norm, 0.01) < 5e-6
    assert both(rows.first_norm_rows, x, weight[0], bias[0], norm, 0.01, torch.empty(33, 40)) < 5e-6
    mixed = torch.randn(33, 5, 7)
    assert (
        both(
            rows.mixture_rows, values[0], torch.randn(5, 40), torch.randn(5), nn.LayerNorm(5), mixed
        )
        < 5e-6
    )
    apart = torch.randn(5, 33, 7).transpose(0, 1)  # of separate networks: other strides
    assert (
        both(
            rows.mixture_rows, values[0], torch.randn(5, 40), torch.randn(5), nn.LayerNorm(5), apart
        )
        < 5e-6
    )


@pytest.mark.parametrize("angle", [0.0, 1e-6, 9e-3, 1.1e-2, 0.5, 3.0, 20.0])
def test_screws_against_float64(angle):
    torch.manual_seed(0)
    axis = nn.functional.normalize(torch.randn(50, 3), dim=1) * angle
    assert (
        both(rows.screw_rows, torch.randn(50, 3), torch.cat([axis, torch.randn(50, 3)], 1)) < 2e-5
    )
