"""Teeth follow the jaws: their lines stand where the arches are projected, at any size."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.drawn_teeth import (
    CROWNS,
    LOWER,
    UPPER,
    DrawnTeeth,
    SeenTeeth,
)
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation

SIZE = 400


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def teeth(model):
    return DrawnTeeth(model)


def head_of(model, yaw=0.0, **expression):
    """A head whose mouth is in the middle of a picture, 4 pixels a millimetre."""
    one = FaceParameters.neutral(model).with_expression(**expression)
    angles = torch.deg2rad(torch.tensor([[yaw], [0.0], [0.0]]))
    one = replace(
        one,
        rotation=vector_from_rotation(rotation_from_euler(*angles)),
        origin=torch.tensor([[SIZE / 2, SIZE / 2 - 4 * 67.0]]),
        log_size=torch.tensor([math.log(4.0)]),
    )
    return HeadView(vertices_of(model, one), camera_of(one, Frame(SIZE, SIZE)))


def whole():
    return torch.ones(1, 1, SIZE, SIZE)


def test_two_arches_of_common_widths(teeth):
    upper, lower = teeth.rows
    for row, crown, widths in ((upper, CROWNS[0], UPPER), (lower, CROWNS[1], LOWER)):
        assert torch.allclose(row.edges, torch.tensor(widths))
        across = row.places.view(-1, 4, 3)
        assert torch.allclose(
            (across[:, 0, 1] - across[:, -1, 1]).abs(), torch.full((len(across),), crown)
        )
        # Lengths along the arch, added up piece by piece.
        flat = across[:, 0, (0, 2)]
        pieces = flat.diff(dim=0).norm(dim=1).sum()
        length = row.coordinates[-1, 0] - row.coordinates[0, 0]
        assert float(pieces) == pytest.approx(float(length), rel=2e-3)
    assert float(upper.places[:, 1].mean()) > float(lower.places[:, 1].mean())
    assert not set(upper.vertices.tolist()) & set(lower.vertices.tolist())


@pytest.mark.parametrize("yaw", [0.0, 20.0, -20.0])
def test_gaps_stand_where_the_arch_is_projected(model, teeth, yaw):
    """The darkest columns of the upper row against the projected edges of the front teeth."""
    head = head_of(model, yaw)
    factor, there = teeth(head, SIZE)(whole(), SIZE)
    row = teeth.rows[0]
    half = row.coordinates[:, 1].sub(2 / 3).abs() < 1e-6  # a line of places along the arch
    pixels = head.camera.project(row.places[half][None]).pixels[0]
    along = row.coordinates[half, 0]
    for edge in (0.0, UPPER[0], -UPPER[0], UPPER[1]):
        after = int(torch.searchsorted(along, torch.tensor(edge)).clamp(1, len(along) - 1))
        share = (edge - along[after - 1]) / (along[after] - along[after - 1])
        x, y = (pixels[after - 1] + share * (pixels[after] - pixels[after - 1])).tolist()
        line = factor[0, 0, int(y), int(x) - 6 : int(x) + 7]
        assert abs(int(line.argmin()) - 6) <= 2, edge  # half a millimetre
        assert float(line.min()) < 0.75
        assert float(there[0, 0, int(y), int(x)]) == pytest.approx(1, abs=1e-3)


def test_lower_teeth_follow_the_jaw_and_upper_ones_do_not(model, teeth):
    shut, wide = (teeth(head_of(model, jawOpen=value), SIZE) for value in (0.0, 0.8))
    assert torch.allclose(shut.rows[0].middle, wide.rows[0].middle, atol=1e-3)
    assert float(wide.rows[1].middle[1] - shut.rows[1].middle[1]) > 0.1  # 5 millimetres


def test_only_the_opening_is_darkened_and_sizes_agree(model, teeth):
    head = head_of(model)
    opening = torch.zeros(1, 1, SIZE // 4, SIZE // 4)
    opening[:, :, 48:60, 35:65] = 1
    seen = teeth(head, SIZE)
    fine, _ = seen(opening, SIZE)
    coarse, _ = seen(opening, SIZE // 4)
    outside = torch.nn.functional.interpolate(opening, (SIZE, SIZE), mode="bilinear") == 0
    assert bool((fine[outside] == 1).all())
    assert float(fine.min()) < 0.75
    # A pixel of the coarse one is the mean of its part of the fine one.
    mean = torch.nn.functional.avg_pool2d(fine, 4)
    inner = (slice(None), slice(None), slice(50, 58), slice(38, 62))
    assert float((mean[inner] - coarse[inner]).abs().mean()) < 0.03


def test_nothing_is_drawn_in_a_shut_mouth_or_from_behind(model, teeth):
    factor, there = teeth(head_of(model), SIZE)(torch.zeros(1, 1, 50, 50), SIZE)
    assert bool((factor == 1).all())
    assert not bool(there.any())
    assert teeth(head_of(model, 180.0), SIZE).rows == []
    factor, _ = SeenTeeth([])(whole(), SIZE)
    assert bool((factor == 1).all())
