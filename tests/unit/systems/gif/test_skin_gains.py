"""Gains of the skin: what they change, where they may go, and what they cost."""

from __future__ import annotations

from collections import defaultdict

import pytest
import torch

from facemorph.engine.head_texels import texels_in_sight
from facemorph.engine.portrait_frames import framed
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation
from facemorph.systems.gif.skin_gains import (
    HUES,
    LARGEST,
    gain_cost,
    gain_reach,
    with_gains,
    within,
)

SIDE = 64


@pytest.fixture(scope="module")
def conditions():
    """The mean head from the front, and turned by 40 degrees."""
    model = load_model("makehuman")
    skin = skin_basis(model)
    faces = FaceParameters.neutral(model, 2, len(skin[1]))
    angles = torch.tensor([0.0, 0.7])
    turns = rotation_from_euler(angles, torch.zeros(2), torch.zeros(2))
    faces.rotation[:] = vector_from_rotation(turns)
    return ConditionRenderer(model, size=SIDE, skin=skin)(framed(model, faces, SIDE))


def test_one_gain_for_all_texels_is_a_factor_of_the_render(conditions):
    gains = torch.tensor([0.2, 0.0, -0.3]).view(1, 3, 1, 1).expand(2, 3, 16, 16)
    found = with_gains(conditions, gains)
    torch.testing.assert_close(
        found[:, :3], conditions[:, :3] * (conditions[:, 6:7] * gains[..., :1, :1]).exp()
    )
    assert torch.equal(found[:, 3:], conditions[:, 3:])


def test_a_texel_shows_where_its_coordinates_are(conditions):
    """Against looking up, pixel by pixel, the four texels around a place."""
    gains = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = with_gains(conditions[:1], gains)[0, :3]
    inside = (conditions[0, 6] > 0.999).nonzero()
    for y, x in inside[:: len(inside) // 50].tolist():
        u, v = (conditions[0, 7:9, y, x].double() * 8 - 0.5).tolist()
        u, v = (min(max(one, 0.0), 7.0) for one in (u, v))
        left, top = min(int(u), 6), min(int(v), 6)
        a, b = u - left, v - top
        cell = gains[0, :, top : top + 2, left : left + 2].double()
        weight = torch.tensor([[(1 - b) * (1 - a), (1 - b) * a], [b * (1 - a), b * a]]).double()
        factor = (cell * weight).sum((1, 2)).exp()
        torch.testing.assert_close(
            found[:, y, x].double(), conditions[0, :3, y, x].double() * factor, atol=2e-3, rtol=2e-3
        )


def test_no_gain_where_no_picture_shows_the_skin(conditions):
    front, turned = (gain_reach(conditions[row : row + 1], SIDE) for row in (0, 1))
    assert float(front.min()) >= 0
    assert 0.5 * LARGEST < float(front.max()) < 1.001 * LARGEST
    assert 0.1 < float((front > 0).float().mean()) < 0.7
    # one side of a head that turns away, and none less with both pictures
    assert float((front * (turned == 0)).sum()) > 0.1 * float(front.sum())
    both = gain_reach(conditions, SIDE)
    assert (both >= torch.maximum(front, turned) - 1e-6).all()


def test_sight_is_told_of_the_pixels_around_a_texel(conditions):
    """Against a loop over texels, for one picture."""
    low, high, coarse = 0.3, 0.8, SIDE // 2
    pixels = defaultdict(list)
    for y, x in (conditions[0, 6] > 0.98).nonzero().tolist():
        normal, (u, v) = conditions[0, 3:6, y, x], conditions[0, 7:9, y, x]
        place = (int(v / conditions[0, 6, y, x] * coarse), int(u / conditions[0, 6, y, x] * coarse))
        cosine = float(normal[2] / normal.norm())
        pixels[place].append(min(max((cosine - low) / (high - low), 0), 1))

    def around(row, column, size):
        reach = range(-(size // 2), size // 2 + 1)
        return [(row + down, column + across) for down in reach for across in reach]

    share = {}
    for row in range(coarse):
        for column in range(coarse):
            near = [value for place in around(row, column, 3) for value in pixels.get(place, [])]
            if near:
                share[row, column] = sum(near) / len(near)
    expected = torch.zeros(1, 1, coarse, coarse)
    for (row, column), own in share.items():
        wide = [share[place] for place in around(row, column, 5) if place in share]
        expected[0, 0, row, column] = min(own, sum(wide) / len(wide))
    found = texels_in_sight(conditions[:1], SIDE, (low, high))
    fine = torch.nn.functional.interpolate(
        expected, (SIDE, SIDE), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(found, fine, atol=1e-4, rtol=0)


def test_even_gains_cost_their_size_and_hues_of_single_texels_most():
    even = torch.full((1, 3, 8, 8), 0.2)
    size = float(gain_cost(even))
    assert size == pytest.approx(0.05 * 3 * 0.04)
    grey, red = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    grey[..., 4, 4], red[:, 0, 4, 4] = 0.2, 0.6
    assert float(gain_cost(red)) > 5 * float(gain_cost(grey)) > 5 * size


def test_gains_are_held_and_their_hues_more():
    reach = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    free = 50 * torch.ones(1, 3, 8, 8)
    torch.testing.assert_close(within(free, reach), reach.expand(1, 3, 8, 8))
    free[:, 1] *= -1  # as far from grey as can be
    found = within(free, reach)
    torch.testing.assert_close(found.mean(1, keepdim=True), reach / 3)
    torch.testing.assert_close(found[:, 0] - found[:, 1], 2 * HUES * reach[:, 0])
    small = within(torch.full((1, 3, 8, 8), 1e-3), reach)
    torch.testing.assert_close(small, 1e-3 * reach.expand(1, 3, 8, 8))
