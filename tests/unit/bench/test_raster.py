"""Rows of `facemorph bench raster`; the figures themselves depend on the machine."""

from __future__ import annotations

import math

import pytest
import torch

from facemorph.bench import raster
from facemorph.bench.raster import (
    analytic_rows,
    cylinder_error,
    head_rows,
    painted,
    photograph_rows,
    sphere_error,
    tube_faces,
)
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Projection
from facemorph.geometry.rendering.rasterizer import rasterize_torch


def test_agreement_rows_meet_their_bars(monkeypatch):
    monkeypatch.setattr(raster, "fastest", lambda function: (function(), 1.0)[1])
    rows = {one.name: one for one in head_rows(load_makehuman(), 256)}
    assert rows["embedded head 256 px: masks differ"].value == 0
    assert rows["embedded head 256 px: same triangle"].value == 100
    assert rows["embedded head 256 px: weights differ by"].ok
    assert rows["embedded head 256 px: numba"].bar == "<= 3"
    assert rows["embedded head 256 px: torch"].bar == "<= 60"


def test_analytic_rows():
    assert all(one.ok for one in analytic_rows(64))


def test_a_shifted_rasteriser_is_found_out():
    """The errors measure what they say: a picture that is 0.7 px off misses the bar by as much."""

    def shifted(projection, faces, size, *, cull_back_faces=False):
        moved = Projection(
            projection.pixels + torch.tensor([0.7, 0.0]),
            projection.depth,
            projection.inverse_distance,
        )
        return rasterize_torch(moved, faces, size, cull_back_faces=cull_back_faces)

    assert sphere_error(shifted, 96) > 0.5
    # On the cylinder's side, at 66 degrees from the viewer, 0.7 px in the picture are 0.7 / 0.4 on
    # the surface.
    assert 0.7 < cylinder_error(shifted, 96) < 1.5 * 0.7 / 0.4


def test_tubes_are_right_side_out():
    steps = 12
    around = torch.arange(steps) * (2 * math.pi / steps)
    ring = torch.stack([around.sin(), torch.ones(steps), around.cos()], -1)
    vertices = torch.cat([ring, ring * torch.tensor([1.0, -1, 1])])
    a, b, c = vertices[tube_faces(1, steps)].unbind(1)
    outwards = (torch.linalg.cross(b - a, c - a) * (a + b + c) * torch.tensor([1.0, 0, 1])).sum(-1)
    assert bool((outwards > 0).all())


def test_without_photographs():
    rows = photograph_rows(load_makehuman(), None)
    assert [one.value for one in rows] == [None, None]
    assert all("--frll" in one.unit for one in rows)


@pytest.mark.slow
def test_photographs(frll, monkeypatch):
    monkeypatch.setattr(raster, "PEOPLE", raster.PEOPLE[2:3])
    rows = photograph_rows(load_makehuman(), frll)
    assert rows[0].ok
    assert rows[2].value < rows[1].value


def test_painted_texture_has_detail_and_is_a_picture():
    texture = painted(128)
    assert texture.shape == (1, 3, 128, 128)
    assert float(texture.min()) >= 0
    assert float(texture.max()) <= 1
    assert float(texture.diff(dim=-1).abs().mean()) > 0.005
