"""The template carried to faces: the equations hold, on a field with a known answer and on random
ones.
"""

from __future__ import annotations

import pytest
import torch

from facemorph.systems.imface.correspondence import (
    TOLERANCE,
    _Equations,
    _inverse,
    carry,
    template_normals,
)
from facemorph.systems.imface.field import ImFaceField


@pytest.fixture
def field():
    """A random field whose distance rises along z at every point, as that of a sheet."""
    torch.manual_seed(3)
    made = ImFaceField(torch.randn(68, 3) * 0.3, code=8, hidden=16, layers=1).double()

    class Plane(torch.nn.Module):
        def products(self, tape, cotangent):
            del tape
            return torch.cat(
                [torch.zeros_like(cotangent), torch.zeros_like(cotangent), cotangent], -1
            )

        def forward(self, x):
            return x[..., 2:] - 0.1, None

    plane = Plane()
    object.__setattr__(plane, "blend", plane)  # no module of its own
    made.template = plane
    for part in (made.expression, made.identity):
        for network in part.hyper.networks[-2:]:  # last weights and biases: smaller motions
            with torch.no_grad():
                network[-1].weight.mul_(0.1)
                network[-1].bias.mul_(0.1)
    return made.requires_grad_(False)


def codes(seed=0, size=0.6):
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(2, 8, generator=generator, dtype=torch.float64)


def places_of(count=150):
    place = (
        0.5 * torch.rand(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        - 0.25
    )
    place[:, 2] = 0.1
    return place


@pytest.mark.parametrize("shown", [True, False])
def test_carried_points_are_on_the_face_over_their_places(field, shown):
    identity, expression = codes()
    expression = expression if shown else None
    places = places_of()
    normals = template_normals(field, places)
    assert torch.allclose(
        normals, torch.tensor([0.0, 0, 1], dtype=torch.float64).expand_as(normals)
    )
    found = carry(field, places, normals, places, identity, expression)
    assert bool(found.converged.all())
    values = field(
        found.points[None], identity[None], None if expression is None else expression[None]
    )
    assert float(values.distance.abs().max()) < 1e-4
    away = values.template[0] - places
    assert float(away[:, :2].abs().max()) < 1e-4  # along the template nothing is left
    assert torch.allclose(away[:, 2], -values.correction[0], atol=1e-4)
    assert float((found.points - places).norm(dim=1).max()) > 0.003  # and the points have moved


def test_slopes_are_those_of_autograd(field):
    identity, expression = codes(1)
    places = places_of(9)
    normals = torch.nn.functional.normalize(torch.randn(9, 3, dtype=torch.float64), dim=1)
    equations = _Equations(field, identity, expression, places, normals)
    rows = torch.arange(9)
    x = places + 0.01 * torch.randn(9, 3, dtype=torch.float64)
    found = equations.inverse_slopes(x, rows)
    for row in range(9):
        one = rows[row : row + 1]
        slope = torch.autograd.functional.jacobian(
            lambda point, one=one: equations.left(point[None], one)[0], x[row]
        )
        assert torch.allclose(found[row] @ slope, torch.eye(3, dtype=torch.float64), atol=1e-8)


def test_inverses_by_cofactors_are_those_of_linalg():
    matrices = torch.randn(20, 3, 3, dtype=torch.float64)
    assert torch.allclose(_inverse(matrices), torch.linalg.inv(matrices), atol=1e-9)
    assert torch.equal(_inverse(torch.zeros(1, 3, 3))[0], torch.eye(3))


def test_the_next_face_starts_from_the_last_one(field):
    identity, expression = codes()
    places = places_of()
    normals = template_normals(field, places)
    first = carry(field, places, normals, places, identity, expression)
    near = carry(field, places, normals, first.points, 1.02 * identity, expression, first.slopes)
    cold = carry(field, places, normals, places, 1.02 * identity, expression)
    assert bool(near.converged.all())
    assert float((near.points - cold.points).abs().max()) < 20 * TOLERANCE
    again = carry(field, places, normals, first.points, identity, expression, first.slopes)
    assert again.steps == 1
    assert torch.equal(again.points, first.points)


def test_what_is_not_found_is_said(field):
    """A place whose start is not a number stays unfound, and does not disturb the others."""
    identity, expression = codes()
    places = places_of(20)
    normals = template_normals(field, places)
    start = places.clone()
    start[3] = torch.nan
    found = carry(field, places, normals, start, identity, expression)
    assert found.converged.tolist() == [index != 3 for index in range(20)]
    assert float(found.error[3]) == torch.inf
