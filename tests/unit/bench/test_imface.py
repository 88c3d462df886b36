"""Rows of `facemorph bench imface`; the figures themselves depend on the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facemorph.bench import imface
from facemorph.bench.plain.imface import plain_distance, plain_screw
from facemorph.geometry.meshes.extraction import extract_surface
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.ops.screw_motion import move_by_screws


@pytest.fixture(autouse=True)
def once(monkeypatch):
    monkeypatch.setattr(
        imface,
        "fastest",
        lambda functions: {name: (one(), 1.0)[1] for name, one in functions.items()},
    )


def test_counts_are_the_published_ones():
    assert all(one.ok for one in imface.count_rows())


def test_our_step_is_the_plain_twins(monkeypatch):
    """Of the published configuration."""
    monkeypatch.setattr(imface, "STEP", (2, 40))
    monkeypatch.setattr(imface, "peak_memory", lambda kind: 1.0)
    monkeypatch.setenv("CXX", "no-such-compiler")
    rows = {one.name: one for one in imface.step_rows()}
    assert rows["training step, 2 x 40 points: loss differs by"].ok
    compiled = rows["training step, 2 x 40 points, compiled: against the plain twin"]
    assert compiled.value is None
    assert compiled.unit == "no C++ compiler"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["displacement", "motion"])
def test_our_gradients_are_the_plain_twins(monkeypatch, form):
    """Of every parameter, for either form of the neutral deformation by a formula of its own."""
    monkeypatch.setattr(imface, "STEP", (2, 40))
    gradients = []
    for kind in ("plain", "ours"):
        field, batch, identity, expression, template = imface.published()
        loss = imface.ImFaceLoss(neutral_deformation_of=form)
        total = (
            imface.plain_loss(field, loss.weights, batch, identity, expression, template, form)
            if kind == "plain"
            else loss(field, batch, identity, expression, template)["total"]
        )
        total.backward()
        gradients.append([one.grad for one in (*field.parameters(), identity, expression)])
    for plain, ours in zip(*gradients, strict=True):
        assert float((plain - ours).abs().max()) <= 2e-3 * float(plain.abs().max()) + 1e-6


@pytest.mark.parametrize("local", ["shared", "separate"])
def test_the_plain_field_is_the_field(local):
    torch.manual_seed(0)
    field = imface.ImFaceField(
        torch.randn(68, 3) * 0.3, local=local, code=8, hidden=12, layers=1
    ).double()
    torch.nn.init.normal_(field.template.tensors[-2], std=0.1)
    x = torch.rand(2, 9, 3, dtype=torch.float64)
    codes = torch.randn(2, 2, 8, dtype=torch.float64)
    values, plain = field(x, *codes), plain_distance(field, x, *codes)
    # 1e-8 is added to angles there.
    ours = (values.distance, values.neutral, values.template, values.correction, values.motion)
    for own, theirs in zip(ours, plain, strict=True):
        assert torch.allclose(own, theirs, atol=1e-5)
    screw = torch.randn(4, 6, dtype=torch.float64)
    assert torch.allclose(plain_screw(x[0, :4], screw), move_by_screws(x[0, :4], screw), atol=1e-6)


@pytest.mark.slow
def test_memory_of_a_step_is_what_it_takes():
    """A step that fills 76 MiB, in a process of its own as the benchmark's are."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of memory is measured on Linux only")
    code = (
        "import torch; from facemorph.bench import imface;"
        "imface.step_of = lambda kind: lambda: float(torch.ones(20_000_000).sum());"
        "print(imface._peak_memory('ours'))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 72 < float(found.stdout) < 90


def test_evaluation_and_sphere(monkeypatch):
    monkeypatch.setattr(imface, "POINTS", 500)
    assert all(one.ok for one in imface.evaluation_rows() if "differs" in one.name)
    pytest.importorskip("igl", reason="the extra `scans` is not installed")
    assert all(one.ok for one in imface.sphere_rows())


def test_corners_of_the_ball_are_those_that_dense_extraction_evaluates():
    pytest.importorskip("igl", reason="the extra `scans` is not installed")
    found = extract_surface(lambda points: points.norm(dim=1) - 0.5, 32, dense=True)
    assert imface.ball_corners(32) == found.evaluations


def test_brute_force_distances():
    triangle = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2]]))
    points = torch.tensor(
        [[0.2, 0.2, 0.5], [-1, -1, 0], [0.5, -2, 0], [1, 1, 0], [0.3, 0.3, 0]], dtype=torch.float64
    )
    assert torch.allclose(
        imface.brute_force(triangle, points),
        torch.tensor([0.5, 2**0.5, 2, 0.5**0.5, 0], dtype=torch.float64),
    )


@pytest.mark.slow
def test_preparation():
    pytest.importorskip("igl", reason="the extra `scans` is not installed")
    pytest.importorskip("embreex", reason="the extra `scans` is not installed")
    assert imface.preparation_rows()[1].ok
