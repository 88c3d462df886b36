"""Whether a generator does what its conditions say."""

import numpy as np
import pytest
import torch

from facemorph.errors import DataError
from facemorph.metrics.generator_control import light_response, separation


def test_separation_is_the_share_of_pairs_in_the_right_order():
    draw = torch.Generator().manual_seed(0)
    same, other = torch.rand(50, generator=draw), torch.rand(70, generator=draw) + 0.3
    expected = np.mean([[1.0 if s < o else 0.5 if s == o else 0.0 for o in other] for s in same])
    assert separation(same, other) == pytest.approx(expected, abs=1e-6)
    assert separation(torch.zeros(3), torch.zeros(4)) == 0.5
    assert separation(torch.zeros(3), torch.ones(4)) == 1
    with pytest.raises(DataError, match="nothing to compare"):
        separation(torch.zeros(0), other)


def lights(draw):
    """Smooth shadings of two lights and an even skin."""
    ramp = torch.linspace(0.4, 1.0, 32)
    first = ramp[None, None, None].expand(2, 3, 32, 32)
    second = ramp.flip(0)[None, None, :, None].expand(2, 3, 32, 32)
    inside = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    inside[:, :, 6:-6, 6:-6] = True
    return first, second, inside


def test_skin_that_follows_the_light_has_slope_one():
    first, second, inside = lights(torch.Generator())
    found = light_response(0.6 * first, 0.6 * second, first, second, inside)
    assert found[0] == pytest.approx(1, abs=1e-2)
    assert found[1] == pytest.approx(1, abs=3e-2)


def test_half_of_an_answer_has_half_of_the_slope():
    first, second, inside = lights(torch.Generator())
    halfway = (first * second).sqrt()
    _, slope = light_response(first, halfway, first, second, inside)
    assert slope == pytest.approx(0.5, abs=2e-2)


def test_pictures_that_do_not_answer_have_slope_zero():
    first, second, inside = lights(torch.Generator())
    _, slope = light_response(first, first, first, second, inside)
    assert slope == pytest.approx(0, abs=1e-6)


def test_bad_input():
    first, second, inside = lights(torch.Generator())
    with pytest.raises(DataError, match="no picture has pixels"):
        light_response(first, second, first, second, torch.zeros_like(inside))
    with pytest.raises(DataError, match="light has the wrong shape"):
        light_response(first, second, first[:, :, :16], second, inside)
