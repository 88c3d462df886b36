"""A made-up performance begins and ends at the photograph, and stays within what heads do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facemorph.apps.reenactment.talk import SWAY, talk
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.rotations import angle_between, rotation_from_vector


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture
def source(model):
    one = FaceParameters.neutral(model).with_expression(jawOpen=0.3, browInnerUp=0.4)
    return replace(one, rotation=torch.tensor([[0.1, -0.2, 0.05]]))


def test_it_begins_and_ends_at_the_photograph(model, source):
    spoken = talk(model, source, 25.0, 4.0)
    assert len(spoken) == 100
    for row in (0, -1):
        for name, value in spoken[row].tensors().items():
            torch.testing.assert_close(value, source.tensors()[name], atol=2e-3, rtol=0)


def test_the_mouth_moves_the_eyes_blink_and_the_brows_stay(model, source):
    spoken = talk(model, source)
    names = model.expression_names
    jaw = spoken.expression[:, names.index("jawOpen")]
    assert float(jaw.max()) > 0.3
    assert float(jaw[20:80].min()) < 0.1
    shut = spoken.expression[:, names.index("eyeBlinkLeft")] > 0.6
    assert int((shut[1:] & ~shut[:-1]).sum()) == 3
    brows = spoken.expression[:, names.index("browInnerUp")]
    torch.testing.assert_close(brows, torch.full_like(brows, 0.4))
    low, high = model.expression_range
    assert float(spoken.expression.min()) >= low
    assert float(spoken.expression.max()) <= high


def test_the_head_sways_a_little(model, source):
    spoken = talk(model, source)
    away = angle_between(
        rotation_from_vector(spoken.rotation),
        rotation_from_vector(source.rotation).expand(len(spoken), 3, 3),
    )
    largest = float(torch.rad2deg(away).max())
    assert 3 < largest < sum(degrees for degrees, _ in SWAY)


def test_speed_seed_and_other_models(model, source):
    assert len(talk(model, source, 50.0, 2.0)) == 100
    assert torch.equal(talk(model, source).expression, talk(model, source).expression)
    assert not torch.equal(talk(model, source).expression, talk(model, source, seed=1).expression)
    other = replace(source, expression_names=("a", "b"), expression=torch.zeros(1, 2))
    silent = talk(
        type("Model", (), {"expression_names": ("a", "b"), "expression_range": (0.0, 1.0)}), other
    )
    assert not bool(silent.expression.any())
    assert bool((silent.rotation != source.rotation).any())
