"""Lids are painted where they shut over an eye, in the skin's colour, and nowhere else."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.shut_lids import LASHES, ShutLids

SIZE, LARGE = 128, 256
SKIN = torch.tensor([0.8, 0.6, 0.5])


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def lids(model):
    return ShutLids(model, SIZE)


@pytest.fixture
def rest(model):
    neutral = FaceParameters.neutral(model)
    return replace(
        neutral,
        origin=torch.full((1, 2), SIZE / 2),
        log_size=torch.tensor([math.log(SIZE / 300)]),
    )


def blinking(rest, strength):
    return rest.with_expression(eyeBlinkLeft=strength, eyeBlinkRight=strength)


def face(eyes, colour):
    """A picture of skin whose lids came out in another colour."""
    wide = torch.nn.functional.interpolate(eyes.covered.amax(0)[None, None], scale_factor=2)[0]
    wide = torch.nn.functional.max_pool2d(wide, 3, 1, 1)
    return torch.lerp(SKIN[:, None, None].expand(3, LARGE, LARGE), colour, wide)


def middles(eyes):
    return [(eye > 0.5).nonzero().float().mean(0).mul(2).long().tolist() for eye in eyes.covered]


def test_eyes_that_stay_open_are_left_alone(lids, rest):
    assert lids.seen(rest, rest) is None
    assert lids.seen(blinking(rest, 0.1), rest) is None
    assert lids.seen(blinking(rest, 0.9), blinking(rest, 0.9)) is None  # shut in the photograph too


def test_what_a_lid_covers_is_where_the_eye_was(lids, rest):
    eyes = lids.seen(blinking(rest, 1.0), rest)
    assert eyes.shut == 1
    open_eyes, _ = lids._looked_at(rest)
    assert bool((eyes.covered <= open_eyes + 1e-6).all())
    assert float(eyes.covered.sum()) > 0.8 * float(open_eyes.sum())
    half = lids.seen(blinking(rest, 0.5), rest)
    assert half.shut == 0
    assert float(half.covered.sum()) < float(eyes.covered.sum())


@pytest.mark.parametrize("colour", [0.05, 1.0])
def test_lids_far_from_the_skin_become_skin(lids, rest, colour):
    eyes = lids.seen(blinking(rest, 1.0), rest)
    before = face(eyes, torch.full((3, 1, 1), colour))
    after = lids(before, eyes)
    for row, column in middles(eyes):
        assert float((before[:, row, column] - SKIN).abs().mean()) > 0.2
        assert float((after[:, row, column] - SKIN).abs().mean()) < 0.06


def test_lids_like_the_skin_keep_their_texture(lids, rest):
    eyes = lids.seen(blinking(rest, 1.0), rest)
    before = face(eyes, (SKIN - 0.08)[:, None, None])
    after = lids(before, eyes)
    for row, column in middles(eyes):
        torch.testing.assert_close(after[:, row, column], before[:, row, column])


def test_lashes_lie_where_the_lids_meet(lids, rest):
    eyes = lids.seen(blinking(rest, 1.0), rest)
    plain = SKIN[:, None, None].expand(3, LARGE, LARGE)
    after = lids(plain, eyes)
    for points in eyes.lids:
        meet = (points[1] + points[5] + points[2] + points[4]) / 4 * LARGE
        column, row = int(meet[0]), int(meet[1])
        strip = after[0, row - 8 : row + 9, column]
        assert abs(int(strip.argmin()) - 8) <= 2
        assert float(strip.min()) < 0.6 * float(SKIN[0])
        assert float(strip.min()) > LASHES * float(SKIN[0]) - 0.01
    changed = (after - plain).abs().amax(0) > 1e-3
    assert float(changed.float().mean()) < 0.02  # and nothing else is changed
    assert torch.equal(lids(plain, replace(eyes, shut=0.0)), plain)


def test_models_without_eyes_have_no_lids(model, rest):
    bare = SimpleNamespace(
        topology=SimpleNamespace(masks={}), expression_index=model.expression_index
    )
    assert ShutLids(bare, SIZE).seen(blinking(rest, 1.0), rest) is None
