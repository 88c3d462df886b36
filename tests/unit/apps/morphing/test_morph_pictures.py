"""Landmarks, grids and contact sheets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from facemorph import morph
from facemorph.apps.morphing.morph_pictures import (
    GRID_COLOUR,
    LANDMARK_COLOUR,
    contact_sheet,
    draw_grid,
    draw_landmarks,
)
from facemorph.apps.morphing.morph_result import morph_sheet
from facemorph.faces.files.image_output import to_picture
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.ops.frames import Frame


class Still:
    """The warp that moves nothing."""

    lattice_nodes = None

    def __call__(self, xy, t0, t1):
        return xy


def test_to_picture_rounds_and_clips():
    image = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0]).expand(3, 2, 5)
    picture = to_picture(image)
    assert picture.size == (5, 2)
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert to_picture(image.requires_grad_()).mode == "RGB"


def test_landmarks_lie_where_they_are():
    image = torch.zeros(3, 100, 60)
    points = torch.tensor([[10.5, 20.5], [50.5, 90.5]], dtype=torch.float64)
    drawn = draw_landmarks(image, points)
    assert drawn.shape == image.shape
    colour = torch.tensor(LANDMARK_COLOUR) / 255
    for x, y in ((10, 20), (50, 90)):
        assert torch.allclose(drawn[:, y, x], colour, atol=0.01)
    assert int((drawn.sum(0) > 0).sum()) < 40  # two dots, nothing else
    assert image.sum() == 0
    draw_landmarks(image, torch.tensor([[-5.0, 1000.0]]))  # outside: nothing to see, no error


def test_the_grid_of_a_still_warp_is_straight():
    image = torch.ones(3, 65, 65)
    drawn = draw_grid(Still(), image, 0.5, 0.0, lines=9)
    dark = drawn[0] < 0.8
    columns, rows = dark.all(0).nonzero().flatten(), dark.all(1).nonzero().flatten()
    assert torch.equal(columns, rows)
    centres = [8.125 * index - 0.5 for index in range(9)]  # 9 lines over 65 pixels
    for index in range(65):
        nearest = min(abs(index - centre) for centre in centres)
        assert (index in columns) == (nearest < 0.85) or 0.8 < nearest < 1.0
    on_a_line = drawn[:, int(columns[1]), 4]
    assert on_a_line[2] > on_a_line[0] > GRID_COLOUR[0]


def test_the_grid_follows_the_warp():
    frame = Frame(64, 64)
    source = torch.tensor([[0.0, 0.0], [0.4, 0.4], [-0.4, 0.4], [0.0, -0.5]], dtype=torch.float64)
    warp = ThinPlateFlow().fit(source, source + source.new_tensor([0.15, 0.0]), frame)
    image = torch.ones(3, 64, 64)
    moved, still = (draw_grid(one, image, 1.0, 0.0, lines=9) for one in (warp, Still()))
    assert moved.shape == image.shape
    assert moved.isfinite().all()
    assert (moved - still).abs().mean() > 0.02
    assert torch.allclose(moved.mean(), still.mean(), atol=0.05)  # as many lines


def test_contact_sheet():
    red, tall = torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 64, 64), torch.zeros(3, 100, 50)
    sheet = contact_sheet([[("red", red), ("tall", tall), ("red", red)], [("one", red)]], cell=40)
    strip = 22 + 40 + 6
    assert sheet.shape == (3, 2 * strip, (40 + 6) + (20 + 6) + (40 + 6))
    assert sheet.min() >= 0
    assert sheet.max() <= 1
    assert torch.allclose(sheet[:, 3 + 22 + 20, 3 + 20], torch.tensor([1.0, 0, 0]), atol=1e-3)
    assert (sheet[:, strip:, 46:] == 1).all()  # the short row is filled with white
    captions = sheet[:, 3:25, 3:43]
    assert captions.min() < 0.5  # something is written


def test_a_row_of_the_sheet_may_hold_wide_and_tall_pictures():
    wide, square = torch.zeros(3, 20, 60), torch.zeros(3, 60, 60)
    sheet = contact_sheet([[("wide", wide), ("square", square)]], cell=60)
    assert sheet.shape == (3, 22 + 60 + 6, 2 * (60 + 6))
    assert (sheet[:, 3 + 22 : 3 + 22 + 20, 3:63] < 0.01).all()
    assert (sheet[:, 3 + 22 + 20 :, :66] == 1).all()  # white below the wide one


@pytest.mark.parametrize(
    ("size", "shape"), [(96, (3, 2 * 284, 5 * 262)), (300, (3, 2 * 284, 5 * 262))]
)
def test_sheet_of_a_morph(samples, size, shape):
    result = morph(*samples, size=size, frames=2)
    sheet = morph_sheet(result)
    assert sheet.shape == shape
    cells = [
        sheet[:, 3 + 22 : 3 + 22 + 256, 3 + 262 * index : 3 + 262 * index + 256]
        for index in range(5)
    ]
    ends = [
        torch.nn.functional.interpolate(image[None], (256, 256), mode="bilinear", antialias=True)[0]
        for image in (result.frame(0.0), result.frame(1.0))
    ]
    assert torch.allclose(cells[0], ends[0], atol=1e-5)
    assert torch.allclose(cells[4], ends[1], atol=1e-5)
    steps = [float((one - two).abs().mean()) for one, two in pairwise(cells)]
    assert min(steps) > 0.001  # every step differs from the one before
    assert max(steps) < 3 * min(steps)  # and none jumps
