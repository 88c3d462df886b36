"""Gaussians and principal components of codes, and codes between two faces."""

from __future__ import annotations

import pytest
import torch

from facemorph.apps.implicit.codes import between, transferred
from facemorph.apps.implicit.face_meshes import FaceCodes
from facemorph.apps.implicit.interpolate import interpolate
from facemorph.errors import ConfigError, DataError
from facemorph.systems.imface.code_statistics import (
    expression_table,
    gaussian_shares,
    principal_components,
)
from facemorph.systems.imface.system import ImFace


def test_components_are_those_of_the_covariance():
    codes = torch.randn(30, 5, dtype=torch.float64) @ torch.randn(5, 5, dtype=torch.float64)
    found = principal_components(codes, 5)
    covariance = torch.cov(codes.T)
    rebuilt = found.directions.T @ torch.diag(found.deviations.square()) @ found.directions
    assert torch.allclose(rebuilt, covariance)
    assert torch.allclose(found.mean, codes.mean(0))
    assert torch.isclose(found.explained.sum(), torch.ones((), dtype=torch.float64))
    assert bool((found.deviations.diff() <= 0).all())
    largest = found.directions.gather(1, found.directions.abs().argmax(1, keepdim=True))
    assert bool((largest > 0).all())
    for count in (0, 6):
        with pytest.raises(ConfigError, match="1 to 5"):
            principal_components(codes, count)
    with pytest.raises(ConfigError, match="2 people"):
        principal_components(codes[:1], 1)


def test_shares_make_samples_with_the_peoples_covariance():
    codes = torch.randn(12, 3) * torch.tensor([3.0, 1, 0.1])
    away = codes - codes.mean(0)
    drawn = gaussian_shares(12, 60_000, 2.0, torch.Generator().manual_seed(0)) @ away
    expected = 4 * torch.cov(codes.T)
    assert float((torch.cov(drawn.T) - expected).abs().max() / expected.abs().max()) < 0.03
    assert not bool(gaussian_shares(12, 3, 0.0, torch.Generator()).any())


def test_the_table_has_each_persons_expressions():
    system = ImFace(3, 2, code=4, hidden=8, layers=1)
    table = expression_table(system)
    for person in range(3):
        for expression in range(2):
            _, code = system.codes(torch.tensor([person]), torch.tensor([expression]))
            assert torch.equal(table[expression, person], code[0])


def test_codes_between_two_faces():
    one, other = FaceCodes(torch.zeros(3), torch.ones(3)), FaceCodes(torch.ones(3), -torch.ones(3))
    middle = between(one, other, 0.25)
    assert torch.allclose(middle.identity, torch.full((3,), 0.25))
    assert torch.allclose(middle.expression, torch.full((3,), 0.5))
    neutral = FaceCodes(torch.ones(3))
    assert torch.allclose(between(one, neutral, 0.25).expression, torch.full((3,), 0.75))
    assert torch.allclose(between(neutral, one, 0.25).expression, torch.full((3,), 0.25))
    assert between(neutral, neutral, 0.5).expression is None
    with pytest.raises(DataError, match="two models"):
        between(
            FaceCodes(torch.ones(3), None, torch.ones(2)),
            FaceCodes(torch.ones(3), None, torch.ones(4)),
            0.5,
        )


def test_transfer_keeps_the_identity_and_its_details():
    giver, rest = (
        FaceCodes(torch.ones(3), 3 * torch.ones(3), torch.zeros(2)),
        FaceCodes(torch.ones(3), torch.ones(3)),
    )
    receiver = FaceCodes(torch.zeros(3), torch.full((3,), 0.5), torch.ones(2))
    plain, moved = transferred(giver, receiver), transferred(giver, receiver, rest)
    for made in (plain, moved):
        assert torch.equal(made.identity, receiver.identity)
        assert torch.equal(made.detail, receiver.detail)
    assert torch.equal(plain.expression, giver.expression)
    assert torch.equal(moved.expression, torch.full((3,), 2.5))
    assert torch.equal(transferred(rest, receiver, rest).expression, receiver.expression)


@pytest.mark.parametrize(
    "given",
    [
        {"frames": 1},
        {"frames_per_second": 0.0},
        {"easing": "0.5"},
        {"turn": 100.0},
        {"size": 8},
        {"kind": "stl"},
    ],
)
def test_impossible_options(given, tmp_path):
    with pytest.raises(ConfigError):
        interpolate("a_codes.npz", "b_codes.npz", tmp_path / "a.mp4", **given)
