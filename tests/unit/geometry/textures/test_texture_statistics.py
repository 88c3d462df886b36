"""Robust components with missing values, against a plain analysis of complete data."""

from __future__ import annotations

import pytest
import torch

from facemorph.geometry.textures.texture_statistics import ridge_coefficients, texel_statistics

PLACES, PEOPLE = 30, 60


@pytest.fixture(scope="module")
def mirror():
    return torch.arange(PLACES).flip(0)


@pytest.fixture(scope="module")
def people(mirror):
    """Faces of three symmetrical components and one that is not, and a little noise."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(4, 3, PLACES, generator=generator)
    signs = torch.tensor([1.0, 1.0, 1.0, -1.0])[:, None, None]
    basis = basis + basis[..., mirror] * signs
    basis = basis / basis.flatten(1).norm(dim=1)[:, None, None]
    weights = torch.randn(PEOPLE, 4, generator=generator) * torch.tensor([0.8, 0.4, 0.25, 0.3])
    noise = 0.002 * torch.randn(PEOPLE, 3, PLACES, generator=generator)
    return 0.5 + torch.einsum("nk,kcp->ncp", weights, basis) + noise


def test_complete_data_gives_the_components_of_people_and_mirror_images(people, mirror):
    found = texel_statistics(people, torch.ones(PEOPLE, PLACES), mirror, 4)
    both = torch.cat([people, people[..., mirror]]).flatten(1)
    values = torch.linalg.svdvals(both - both.mean(0)).square() / len(both)
    assert torch.allclose(found.std.square(), values[:4], rtol=0.02)
    gram = found.basis.flatten(1) @ found.basis.flatten(1).T
    assert torch.allclose(gram, torch.eye(4), atol=1e-4)
    sign = torch.where(found.odd, -1.0, 1.0)[:, None, None]
    assert torch.allclose(found.basis[..., mirror], found.basis * sign, atol=1e-4)
    assert int(found.odd.sum()) == 1


def test_what_is_missing_or_wrong_does_not_matter_much(people, mirror):
    generator = torch.Generator().manual_seed(1)
    weight = (torch.rand(PEOPLE, PLACES, generator=generator) > 0.3).float()
    damaged = torch.where(weight[:, None] > 0, people, torch.tensor(9.0))
    strand = torch.zeros(PEOPLE, PLACES, dtype=torch.bool)
    strand[:6, 3:6] = True
    damaged = torch.where(strand[:, None], torch.tensor(0.0), damaged)
    found = texel_statistics(damaged, weight, mirror, 4, rounds=6)
    drawn = found.decode(found.encode(people, torch.ones(PEOPLE, PLACES)))
    rest = (drawn - people)[6:].square().mean().sqrt()
    assert float(rest) < 0.03
    assert float((people - people.mean(0)).square().mean().sqrt()) > 0.09


def test_coefficients_are_those_of_least_squares():
    generator = torch.Generator().manual_seed(2)
    basis = torch.randn(3, 3, 10, generator=generator)
    texels = torch.randn(2, 3, 10, generator=generator)
    weight = torch.rand(2, 10, generator=generator)
    found = ridge_coefficients(texels, weight, torch.zeros(3, 10), basis, 0.5)
    for one, trust, coefficients in zip(texels, weight, found, strict=True):
        root = trust.repeat(3).sqrt()[:, None] / 0.5
        rows = torch.cat([basis.flatten(1).T * root, torch.eye(3)])
        target = torch.cat([one.flatten()[:, None] * root, torch.zeros(3, 1)])
        assert torch.allclose(
            torch.linalg.lstsq(rows, target).solution[:, 0], coefficients, atol=1e-4
        )
