"""Frames that change as the head moves do not flicker; those that change besides do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scipy import ndimage

from facemorph.apps.reenactment.evaluation.flicker import Flicker, Shown
from facemorph.apps.reenactment.evaluation.reenactment_measures import ReenactmentMeasures
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters

SIDE, SHIFT = 128, 5


@pytest.fixture(scope="module")
def measures():
    return ReenactmentMeasures(load_makehuman(), SIDE)


@pytest.fixture(scope="module")
def head():
    neutral = FaceParameters.neutral(load_makehuman())
    size = math.log(SIDE / 330)
    return replace(neutral, origin=torch.full((1, 2), SIDE / 2), log_size=torch.full((1,), size))


@pytest.fixture(scope="module")
def picture():
    noise = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    return torch.from_numpy(ndimage.gaussian_filter(noise.numpy(), (0, 2, 2)))


def test_what_moves_with_the_head_does_not_flicker(measures, head, picture):
    """The head moves by five pixels; the video becomes brighter by 0.02 besides."""
    flicker, shift = Flicker(measures), torch.tensor([[float(SHIFT), 0.0]])
    moved, later = picture.roll(SHIFT, 2), replace(head, origin=head.origin + shift)
    first = {"still": picture, "follows": picture, "flickers": picture}
    then = {"still": picture, "follows": moved, "flickers": moved - 0.06}
    assert flicker(Shown("a", first, picture, head)) == dict.fromkeys(first)
    found = flicker(Shown("a", then, moved + 0.02, later))
    assert found["follows"] == pytest.approx(0, abs=0.03)
    assert found["flickers"] == pytest.approx(3, rel=0.02)
    assert found["still"] > 1.5
    # Another video, and photographs, begin anew.
    assert flicker(Shown("b", then, moved, later)) == dict.fromkeys(first)
    assert flicker(Shown("", then, moved, later)) == dict.fromkeys(first)
    assert flicker(Shown("", then, moved, later)) == dict.fromkeys(first)
