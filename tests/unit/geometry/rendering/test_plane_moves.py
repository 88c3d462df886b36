"""Moved pictures, and cameras moved with them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.plane_moves import MoveRanges, PlaneMoves
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.frames import Frame

SIDE = 96


def moves(angle=0.0, zoom=1.0, shift=(0.0, 0.0), mirrored=False):
    return PlaneMoves(
        torch.tensor([math.radians(angle)]),
        torch.tensor([zoom]),
        torch.tensor([shift]),
        torch.tensor([mirrored]),
    )


def pictures(seed=0):
    return torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        (moves(), lambda one: one),
        (moves(mirrored=True), lambda one: one.flip(-1)),
        (moves(90), lambda one: one.rot90(-1, (2, 3))),  # with the clock
        (moves(90, mirrored=True), lambda one: one.rot90(-1, (2, 3)).flip(-1)),
    ],
)
def test_quarters_and_mirror_images_by_hand(move, expected):
    torch.testing.assert_close(move.pictures(pictures()), expected(pictures()))
    assert torch.equal(move.pictures(pictures(), whole=True), expected(pictures()))


def test_shifts_by_hand():
    """Two pixels to the right and one up, of eight; what comes in is 0."""
    found = moves(shift=(0.25, -0.125)).pictures(pictures())
    torch.testing.assert_close(found[..., :7, 2:], pictures()[..., 1:, :6])
    assert float(found[..., :2].abs().max()) == 0
    assert float(found[..., 7, :].abs().max()) == 0


def test_zoom_is_about_the_middle():
    image = torch.zeros(1, 1, 8, 8)
    image[..., 3:5, 3:5] = 1
    found = moves(zoom=2.0).pictures(image, whole=True)
    assert torch.equal(found[0, 0, 2:6, 2:6], torch.ones(4, 4))
    assert float(found.sum()) == 16


@pytest.mark.parametrize("focal", [0.0, 300.0])
def test_a_moved_camera_sees_what_the_moved_picture_shows(focal):
    """In weak perspective and through a pinhole, which then looks past the middle."""
    model = load_makehuman()
    one = replace(
        FaceParameters.neutral(model),
        rotation=torch.tensor([[0.1, 0.4, -0.2]]),
        origin=torch.tensor([[52.0, 45.0]]),
        log_size=torch.tensor([math.log(SIDE / 330)]),
        focal=torch.tensor([focal]),
    )
    vertices, camera = vertices_of(model, one), camera_of(one, Frame(SIDE, SIDE))
    move = moves(13.0, 1.15, (0.11, -0.07), mirrored=True)
    exact = move.camera(camera, SIDE)

    before, after = (c.project(vertices).pixels[0].double() for c in (camera, exact))
    angle = math.radians(13.0)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shift = SIDE * torch.tensor([0.11, -0.07]).double()
    expected = SIDE / 2 + 1.15 * (before - SIDE / 2) @ turn.double().T + shift
    torch.testing.assert_close(after, expected, atol=1e-3, rtol=0)

    def maps(seen):
        view = MeshView.of(vertices, model.topology.faces, seen, (SIDE, SIDE))
        return view.uv(model.topology), view.mask

    rendered, resampled = (move.mirror(maps(exact)[0]), move.pictures(maps(camera)[0], whole=True))
    masks = move.mirror(maps(exact)[1]), move.pictures(maps(camera)[1].float(), whole=True) > 0
    both = masks[0] & masks[1]
    assert float((masks[0] ^ masks[1]).sum()) < 0.05 * float(both.sum())
    difference = (rendered - resampled).abs().mean(1, keepdim=True)[both]
    assert float(difference.median()) < 0.01


def test_drawn_moves_stay_in_their_ranges_and_fill_them():
    ranges = MoveRanges(turn=10, shift=0.1, zoom=1.5)
    found = PlaneMoves.drawn(np.random.default_rng(0), 400, ranges)
    for values, low, high in (
        (found.angle.rad2deg(), -10, 10),
        (found.zoom, 1, 1.5),
        (found.shift, -0.1, 0.1),
    ):
        assert low <= float(values.min()) < low + 0.05 * (high - low)
        assert high >= float(values.max()) > high - 0.05 * (high - low)
    assert 0.4 < float(found.mirrored.float().mean()) < 0.6
    none = PlaneMoves.drawn(np.random.default_rng(0), 4, MoveRanges(0, 0, 1, mirror=False))
    image = pictures().expand(4, -1, -1, -1)
    torch.testing.assert_close(none.pictures(image), image)


def test_what_cannot_be():
    for words, where in (
        ({"turn": -1}, "turn"),
        ({"shift": 2}, "shift"),
        ({"zoom": 0.5}, "zoom"),
        ({"zoom": math.nan}, "zoom"),
    ):
        with pytest.raises(ConfigError, match=where):
            MoveRanges(**words)
    with pytest.raises(DataError):
        moves().pictures(torch.zeros(2, 3, 8, 8))
