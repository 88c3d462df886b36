"""Colour changes against the standard library's colours and plain formulas, pixel by pixel."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from facemorph.errors import DataError
from facemorph.faces.colour_jitter import ColourChange, draw_change, turned_hue


@pytest.mark.parametrize("turn", [-0.1, 0.0, 0.07, 0.5])
def test_hues_turn_as_in_the_standard_library(turn):
    pictures = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    pictures[0, :, 0, 0] = 0.3  # grey has no hue
    pictures[0, :, 0, 1] = torch.tensor([1.0, 0.0, 0.0])
    pictures[0, :, 0, 2] = torch.tensor([0.5, 0.5, 0.1])  # two largest channels
    found = turned_hue(pictures, turn)
    for row, place in zip(
        pictures.movedim(1, -1).reshape(-1, 3).tolist(),
        found.movedim(1, -1).reshape(-1, 3).tolist(),
        strict=True,
    ):
        hue, saturation, value = colorsys.rgb_to_hsv(*row)
        assert place == pytest.approx(
            colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), abs=1e-12
        )


def test_brightness_contrast_and_saturation():
    picture = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(1)).double()
    array = picture.numpy()
    grey = 0.2989 * array[0] + 0.587 * array[1] + 0.114 * array[2]
    expected = {
        "brightness": 1.2 * array,
        "contrast": 1.2 * array - 0.2 * grey.mean(),
        "saturation": 1.2 * array - 0.2 * grey,
    }
    for kind, wanted in expected.items():
        found = ColourChange(((kind, 1.2),))(picture)
        np.testing.assert_allclose(found, wanted.clip(0, 1), atol=1e-12, err_msg=kind)


def test_changes_follow_from_the_numbers_and_come_in_all_orders():
    picture = torch.rand(3, 4, 4)
    first, again = (draw_change(np.random.default_rng(5), 0.1) for _ in range(2))
    assert first == again
    assert torch.equal(first(picture), again(picture))
    random = np.random.default_rng(0)
    drawn = [draw_change(random, 0.1) for _ in range(200)]
    assert len({tuple(kind for kind, _ in one.steps) for one in drawn}) == 24
    hues = [factor for one in drawn for kind, factor in one.steps if kind == "hue"]
    others = [factor - 1 for one in drawn for kind, factor in one.steps if kind != "hue"]
    for factors in (hues, others):
        assert -0.1 <= min(factors) < -0.09
        assert 0.09 < max(factors) <= 0.1
    assert torch.equal(draw_change(random, 0.0)(picture), picture)


def test_no_pictures():
    with pytest.raises(DataError, match="pictures"):
        ColourChange((("hue", 0.1),))(torch.rand(4, 4, 4))
