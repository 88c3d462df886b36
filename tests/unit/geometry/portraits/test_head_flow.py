"""The flow of a moved head: exact on the mesh, still where nothing moves, smooth elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.drawn_teeth import DrawnTeeth
from facemorph.geometry.portraits.head_flow import (
    EYES,
    FACE,
    LIPS,
    MAPS,
    MOUTH,
    TEETH,
    MovedHead,
    vertex_codes,
)
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame, edge_grid
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation

SIZE = 64


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def rest(model):
    """A head in the middle of a small picture."""
    neutral = FaceParameters.neutral(model)
    place, pixels = torch.tensor([[SIZE / 2, SIZE / 2]]), torch.tensor([math.log(SIZE / 360)])
    return replace(neutral, origin=place, log_size=pixels)


def turned(parameters, yaw):
    angles = torch.deg2rad(torch.tensor([[yaw], [0.0], [0.0]]))
    return replace(parameters, rotation=vector_from_rotation(rotation_from_euler(*angles)))


def view(model, parameters):
    return HeadView(vertices_of(model, parameters), camera_of(parameters, Frame(SIZE, SIZE)))


def opened(model, parameters, strength=0.6):
    expression = parameters.expression.clone()
    for name in ("jawOpen", "mouthUpperUpLeft", "mouthUpperUpRight"):
        expression[0, model.expression_names.index(name)] = strength
    return replace(parameters, expression=expression)


def test_a_head_that_stays_has_no_flow(model, rest):
    head = MovedHead(model, view(model, rest), SIZE)
    found = head(view(model, rest))
    assert found.flow.shape == (1, 2, SIZE, SIZE)
    assert float(found.flow.abs().max()) < 2e-3  # the plate smooths its anchors a little
    torch.testing.assert_close(found.maps, head.maps, atol=1e-4, rtol=0)
    mask = found.maps[:, FACE:]
    assert float((found.visible - mask).abs().mean()) < 0.02  # outlines are seen to one pixel


def test_the_flow_leads_to_the_same_point_of_the_skin(model, rest):
    head = MovedHead(model, view(model, rest), SIZE)
    target = view(model, turned(rest, 15.0))
    found = head(target)
    tip = model.topology.landmarks.vertices[30, 0]
    before, after = (
        one.camera.project(one.vertices).pixels[0, tip] for one in (view(model, rest), target)
    )
    column, row = (int(value) for value in after)
    flow = found.flow[0, :, row, column] * SIZE / 2
    centre = torch.tensor([column + 0.5, row + 0.5])
    # Within half a pixel, as the pixel's centre is not the tip itself.
    assert float((centre + flow - before - (centre - after)).norm()) < 0.5
    assert float(flow[0]) < -1  # the nose came from the left


def test_turning_uncovers_skin_that_the_photograph_does_not_show(model, rest):
    head = MovedHead(model, view(model, rest), SIZE)
    found = head(view(model, turned(rest, 40.0)))
    shown = found.maps[0, FACE] > 0
    hidden = shown & (found.visible[0, 0] == 0)
    assert 0.02 < float(hidden.sum() / shown.sum()) < 0.5


def test_the_borders_stay_and_what_is_beside_the_head_goes_with_it_softly(model, rest):
    head = MovedHead(model, view(model, rest), SIZE)
    flow = head(view(model, turned(rest, 20.0))).flow * SIZE / 2
    border = torch.ones(SIZE, SIZE, dtype=torch.bool)
    border[2:-2, 2:-2] = False
    assert float(flow[0, :, border].abs().mean()) < 0.6
    assert torch.isfinite(flow).all()


def test_maps_name_the_parts_of_the_face(model, rest):
    head = MovedHead(model, view(model, rest), SIZE)
    maps = head(view(model, opened(model, rest))).maps[0]
    assert maps.shape == (MAPS, SIZE, SIZE)
    mask = maps[FACE] > 0
    assert float(maps[:, ~mask].abs().max()) == 0
    assert float(maps[:3].square().sum(0).sqrt()[mask].max()) <= 1 + 1e-5
    for part in (LIPS, TEETH, MOUTH, EYES):
        assert 0.99 < float(maps[part].max()) <= 1 + 1e-5
    assert bool((maps[TEETH] <= maps[MOUTH] + 1e-6).all())  # teeth stand in the mouth's opening
    rows = torch.arange(SIZE).float()
    height = [float((maps[part].sum(1) * rows).sum() / maps[part].sum()) for part in (EYES, LIPS)]
    assert height[0] < height[1]  # eyes are above lips
    closed = head.maps[0, TEETH].sum()
    assert float(maps[TEETH].sum()) > float(closed) + 1  # an opening mouth shows teeth


def test_what_the_mouth_shows_is_fixed_to_the_upper_jaw(model, rest):
    """Own teeth stay whole: the opening's flow is one affine map, that of the upper teeth."""
    wide = opened(model, rest)
    inside = MovedHead(model, view(model, wide), SIZE)
    still = inside(view(model, opened(model, rest, 0.9)))
    opening = still.maps[0, MOUTH] > 0.99
    assert int(opening.sum()) > 10
    assert float(still.flow[0, :, opening].abs().max()) < 0.01  # the upper jaw does not move
    assert float(still.visible[0, 0, opening].mean()) > 0.5  # the photograph shows it too
    turned_head = inside(view(model, turned(wide, 10.0)))
    opening = turned_head.maps[0, MOUTH] > 0.99
    grid = edge_grid(SIZE, SIZE, turned_head.flow)[0, opening]
    ones = torch.cat([grid, torch.ones(len(grid), 1)], 1)
    flow = turned_head.flow[0, :, opening].T
    residual = flow - ones @ torch.linalg.lstsq(ones, flow).solution
    share = inside.motion.share(inside.motion.look(view(model, turned(wide, 10.0))))[0, opening]
    assert float(residual[share > 0.99].abs().max()) < 0.02
    shut = MovedHead(model, view(model, rest), SIZE)(view(model, wide))
    opening = shut.maps[0, MOUTH] > 0.99
    assert float(shut.visible[0, 0, opening].mean()) < 0.3  # nothing of it is seen


def test_models_without_parts_have_maps_too(model):
    topology = replace(model.topology, masks={"face": model.topology.masks["face"]})
    toothless = SimpleNamespace(mean=model.mean, topology=topology)
    codes = vertex_codes(toothless)
    assert codes.shape == (len(model.mean), MAPS - 4)
    assert float(codes[:, 3:].abs().max()) == 0
    assert DrawnTeeth(toothless).rows == []
