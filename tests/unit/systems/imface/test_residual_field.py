"""The residual displacement field: its starts, bounds and parts. Its twin is in tests/reference."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facemorph.errors import ConfigError
from facemorph.systems.imface.field import ImFaceField
from facemorph.systems.imface.residual_field import FilmTensors, ResidualField, SineTensors

KINDS = ("sine", "film")


def made(network="sine", expression=True, motion="se3", local="separate", seed=0):
    """A base field and a residual field that are not at their start, in float64, points near the
    surface and codes.
    """
    torch.manual_seed(seed)
    field = ImFaceField(
        torch.randn(68, 3) * 0.3, motion=motion, local=local, code=8, hidden=16, layers=1
    ).double()
    residual = ResidualField(5, 10, network, hidden=12, layers=2).double()
    nn.init.normal_(field.template.tensors[-2], std=0.02)
    nn.init.normal_(residual.networks.tensors[-2], std=0.3)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 60, 3, generator=generator, dtype=torch.float64) - 0.5
    identity, shown, detail = (
        torch.randn(2, size, generator=generator, dtype=torch.float64) for size in (8, 8, 10)
    )
    return field, residual, x, identity, shown if expression else None, detail


def test_the_normal_that_is_constant_changes_little():
    """What is left out, delta g~^T dn/dx: against numeric derivatives of the whole, normal
    included.
    """
    field, residual, x, *codes = made()
    found, step = residual(field, x, *codes), 1e-6
    numeric = torch.stack(
        [
            (
                residual(field, x + step * axis, *codes, gradient=False).distance
                - residual(field, x - step * axis, *codes, gradient=False).distance
            )
            / (2 * step)
            for axis in torch.eye(3, dtype=torch.float64)
        ],
        -1,
    )
    cosine = torch.nn.functional.cosine_similarity(found.gradient, numeric, dim=-1)
    assert float(cosine.detach().quantile(0.1)) > 0.9


@pytest.mark.parametrize("network", KINDS)
def test_it_starts_without_displacements_and_learns_some(network):
    torch.manual_seed(0)
    field = ImFaceField(torch.randn(68, 3), code=8, hidden=16, layers=1)
    residual = ResidualField(5, 20, network, hidden=16, layers=1)
    x, identity, expression, detail = torch.rand(2, 9, 3), *torch.randn(2, 2, 8), torch.randn(2, 20)
    found = residual(field, x, identity, expression, detail)
    assert not bool(found.displacement.any())
    assert torch.equal(found.distance, found.base.distance)
    found.distance.sum().backward()
    nn.init.normal_(field.template.tensors[-2], std=0.1)
    residual(field, x, identity, expression, detail).distance.sum().backward()
    assert bool(residual.networks.tensors[-2].grad.any())


def test_displacements_stay_near_the_surface():
    field, residual, x, *codes = made()
    nn.init.normal_(residual.networks.tensors[-2], std=100.0)
    found = residual(field, x, *codes, gradient=False)
    assert float(found.displacement.detach().abs().max()) <= 0.05
    bound = 0.05 / (1 + (found.base.distance / 0.02) ** 4)
    assert bool((found.displacement.abs() <= bound + 1e-12).all())


@pytest.mark.parametrize("network", [SineTensors, FilmTensors])
def test_each_network_has_its_own_part_of_the_code(network):
    torch.manual_seed(0)
    networks, code = network(5, 3, 8, 1), torch.randn(1, 5, 3)
    other = code.clone()
    other[0, 2] += 1
    changed = {
        place
        for one, two in zip(networks(code), networks(other), strict=True)
        for place in range(5)
        if not torch.equal(one[0, place], two[0, place])
    }
    assert changed == {2}


def test_film_frequencies_start_around_30():
    torch.manual_seed(0)
    frequencies, phases = FilmTensors(5, 32, 64, 3).modulation(torch.randn(50, 5, 32))
    assert frequencies.shape == phases.shape == (50, 5, 4, 64)
    assert float(frequencies.mean()) == pytest.approx(30, abs=1)
    # 15 times a quarter of what He's start gives: unit variance of the inputs, half of it after
    # each rectifier.
    assert 15 * 0.1 < float(frequencies.std()) < 15 * 1.0


@pytest.mark.parametrize(("code", "remedy"), [(128, "130"), (3, "5"), (0, "5")])
def test_codes_that_cannot_be_divided(code, remedy):
    with pytest.raises(ConfigError, match=f"Take {remedy}"):
        ResidualField(5, code)


def test_unknown_networks():
    with pytest.raises(ConfigError, match=r"sine \| film"):
        ResidualField(5, 10, "cubic")


def test_68_landmarks():
    field = ImFaceField(
        torch.randn(68, 3), range(68), code=4, local="separate", hyper="fused", hidden=8, layers=1
    )
    residual = ResidualField(68, 136, "film", hidden=4, layers=1)
    found = residual(
        field, torch.rand(1, 3, 3), torch.randn(1, 4), torch.randn(1, 4), torch.randn(1, 136)
    )
    assert found.gradient.shape == (1, 3, 3)
