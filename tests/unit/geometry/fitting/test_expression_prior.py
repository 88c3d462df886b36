"""What is known of expressions before a face is seen."""

import math
from types import SimpleNamespace

import pytest
import torch

from facemorph.geometry.fitting.expression_prior import COMMON, TOGETHER, expression_precision
from facemorph.geometry.models.makehuman import load_makehuman


@pytest.fixture(scope="module")
def covariance():
    model = load_makehuman()
    found = torch.linalg.inv(expression_precision(model, 0.3).double())
    names = list(model.expression_names)
    return lambda one, other: float(found[names.index(one), names.index(other)])


def test_both_sides_go_together(covariance):
    assert covariance("mouthFrownLeft", "mouthFrownRight") == pytest.approx(TOGETHER * 0.09)
    assert covariance("mouthFrownLeft", "mouthSmileLeft") == pytest.approx(0, abs=1e-6)
    assert covariance("jawOpen", "jawOpen") == pytest.approx(0.09)


@pytest.mark.parametrize(
    "pair",
    [("jawLeft", "jawRight"), ("mouthLeft", "mouthRight"), ("eyeLookInLeft", "eyeLookInRight")],
)
def test_directions_are_no_sides(covariance, pair):
    assert covariance(*pair) == pytest.approx(0, abs=1e-6)


def test_eyes_look_up_together(covariance):
    assert covariance("eyeLookUpLeft", "eyeLookUpRight") == pytest.approx(TOGETHER * 0.09)


def test_smiles_are_common(covariance):
    more = COMMON["mouthSmile"]
    assert covariance("mouthSmileLeft", "mouthSmileLeft") == pytest.approx((0.3 * more) ** 2)


def test_statistical_expressions_are_independent():
    model = SimpleNamespace(expression_range=(-math.inf, math.inf), num_expression=7)
    assert torch.equal(expression_precision(model, 0.3), torch.eye(7))
