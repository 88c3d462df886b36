"""Fitting codes, and how errors are shown, on fields and sheets whose answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from facemorph.apps.implicit.imface_pictures import error_colours, picture
from facemorph.errors import ConfigError, GeometryError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.geometry.scans.sheet_outlines import over_sheet
from facemorph.systems.imface.code_fitting import FittingOptions, fit_codes, fitting_loss
from facemorph.systems.imface.system import ImFace

pytest.importorskip("igl", reason="the extra `scans` is not installed")


def plane(half, z=0.0, cells=10):
    """A square sheet that looks at +z."""
    line = torch.linspace(-half, half, cells + 1)
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    a = (torch.arange(cells)[:, None] * (cells + 1) + torch.arange(cells)).flatten()
    faces = torch.cat(
        [
            torch.stack([a, a + cells + 1, a + 1], 1),
            torch.stack([a + 1, a + cells + 1, a + cells + 2], 1),
        ]
    )
    return Mesh(torch.cat([grid, torch.full((len(grid), 1), z)], 1), faces)


@pytest.fixture
def system():
    torch.manual_seed(0)
    made = ImFace(3, 2, code=8, hidden=16, layers=1)
    made.take_template(torch.randn(68, 3) * 0.3)
    return made


def scan_of(system, identity, expression, count=400):
    """Points on which the field says what the codes are: gradient and distance of the
    field itself.
    """
    points = torch.rand(count, 3) - 0.5
    with torch.no_grad():
        values = system.field(points[None], identity[None], expression[None])
        marks = torch.randn(68, 3) * 0.3
    normals = torch.nn.functional.normalize(values.gradient[0], dim=1)
    return PreparedScan(
        points[:1], normals[:1], points[1:], values.distance[0, 1:], normals[1:], marks, plane(0.5)
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lbfgs", "adam"])
def test_fitting_finds_codes_that_explain_a_scan(system, method):
    identity, expression = 0.3 * torch.randn(2, 8)
    scan = scan_of(system, identity, expression)
    system.loss.weights |= {
        "identity_code": 0.0,
        "expression_code": 0.0,
        "reference_landmarks": 0.0,
        "eikonal": 0.0,
    }
    before = {name: value.clone() for name, value in system.state_dict().items()}
    found = fit_codes(
        system, [scan], FittingOptions(method, points=300, steps=40, learning_rate=2e-2)
    )
    assert found.loss < 0.2 * found.losses[0]
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())


def test_the_start_is_the_mean_code(system):
    scan = scan_of(system, *torch.randn(2, 8))
    found = fit_codes(
        system, [scan, scan], FittingOptions("adam", points=8, steps=1, learning_rate=1e-12)
    )
    assert torch.allclose(found.identity, system.identity_codes.weight.mean(0), atol=1e-9)
    assert torch.allclose(
        found.expression, system.expression_codes.weight.mean(0).expand(2, 8), atol=1e-9
    )


def test_unknown_landmarks_take_no_part(system):
    scan = scan_of(system, *torch.randn(2, 8))
    scan.landmarks[5:] = torch.nan
    found = fit_codes(system, [scan], FittingOptions(points=50, steps=2))
    assert all(math.isfinite(loss) for loss in found.losses)
    batch_terms = fitting_loss(system).weights
    assert batch_terms["deformed_landmarks"] == 0
    assert batch_terms["reference_landmarks"] == 100


def test_fields_that_are_not_numbers_are_refused(system):
    scan = scan_of(system, *torch.randn(2, 8))
    with torch.no_grad():
        system.field.template.tensors[0][:] = torch.nan
    with pytest.raises(GeometryError, match="not numbers"):
        fit_codes(system, [scan], FittingOptions(points=10, steps=1))


def test_a_search_that_goes_too_far_starts_anew_where_it_was_best(system, monkeypatch):
    scan, calls = scan_of(system, *(0.3 * torch.randn(2, 8))), []
    forward = system.field.forward

    def broken(*arguments, **options):
        calls.append(None)
        values = forward(*arguments, **options)
        return replace(values, distance=values.distance * torch.nan) if len(calls) == 3 else values

    monkeypatch.setattr(system.field, "forward", broken)
    found = fit_codes(system, [scan], FittingOptions(points=100, steps=10))
    assert len(calls) > 3
    assert found.loss == min(found.losses) < found.losses[0]
    assert bool(torch.isfinite(found.identity).all())


@pytest.mark.parametrize(
    "options", [{"method": "newton"}, {"points": 0}, {"steps": 0}, {"learning_rate": 0.0}]
)
def test_impossible_options(options):
    with pytest.raises(ConfigError):
        FittingOptions(**options)


@pytest.mark.parametrize(
    ("height", "colour"),
    [(0.01, (1, 0.5, 0.5)), (-0.01, (0.5, 0.5, 1)), (0.05, (1, 0, 0)), (0.0, (1, 1, 1))],
)
def test_errors_are_red_before_the_scan_and_blue_behind(height, colour):
    colours, distance = error_colours(plane(0.4, height), plane(0.5))
    assert torch.allclose(distance, torch.full_like(distance, 100 * height), atol=1e-4)
    assert torch.allclose(colours, torch.tensor(colour).float().expand_as(colours), atol=1e-4)


def test_only_what_is_over_the_sheet_counts():
    part = over_sheet(plane(1.0, 0.3, cells=20), plane(0.5))
    assert torch.allclose(part.vertices[:, :2].abs().amax(0), torch.tensor([0.5, 0.5]))
    assert len(part.faces) == 200
    with pytest.raises(GeometryError, match="over the scan"):
        over_sheet(Mesh(plane(0.2).vertices + 3, plane(0.2).faces), plane(0.5))


def test_pictures_show_the_mesh_in_the_middle():
    shown = picture(plane(0.5), torch.tensor([1.0, 0.0, 0.0]).expand(121, 3))
    middle, side = shown[:, 160, 160], shown[:, 160, 10]
    assert float(middle[0]) > 0.3
    assert float(middle[1]) == 0
    assert torch.allclose(side, torch.tensor([0.93, 0.93, 0.94]), atol=1e-5)
