"""Random faces are such as people make: both sides together, no grimaces, in the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.synthetic.random_faces import (
    COMMON,
    EXCLUDED,
    EXPRESSIONS,
    LIMIT,
    SHARES,
    ViewOptions,
    indices_of,
    named_expression,
    procedural_background,
    random_camera,
    random_expression,
    random_identity,
    random_joints,
)
from facemorph.ops.rotations import euler_from_rotation

COUNT = 400


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def expressions(model):
    return torch.stack(
        [random_expression(model, np.random.default_rng([0, number])) for number in range(COUNT)]
    )


def of(model, expressions, unit):
    return expressions[:, indices_of(model, unit)]


def test_every_unit_is_one_of_the_model(model):
    for units in EXPRESSIONS.values():
        for unit, value in units.items():
            assert indices_of(model, unit), unit
            assert 0 < value <= 1
    assert set(COMMON) <= set(EXPRESSIONS)
    assert len(COMMON) == len(SHARES)


def test_both_sides_move_together(model, expressions):
    for unit in (
        "mouthSmile",
        "browDown",
        "cheekSquint",
        "mouthFrown",
        "eyeSquint",
        "noseSneer",
        "browOuterUp",
    ):
        left, right = of(model, expressions, unit).T
        assert bool(((left - right).abs() <= 0.4 * torch.maximum(left, right) + 1e-6).all()), unit
        assert bool((left > 0).any())
        assert bool(((left > 0) == (right > 0)).all())
        assert abs(float((left - right).mean())) < 0.02  # no side is preferred


def test_no_winks(model, expressions):
    left, right = of(model, expressions, "eyeBlink").T
    assert torch.equal(left, right)
    assert 0.02 < float((left > 0.35).float().mean()) < 0.15  # some blink


def test_both_eyes_look_the_same_way(model, expressions):
    names = model.expression_names
    for inner, outer in (
        ("eyeLookInLeft", "eyeLookOutRight"),
        ("eyeLookInRight", "eyeLookOutLeft"),
    ):
        assert torch.equal(expressions[:, names.index(inner)], expressions[:, names.index(outer)])
    both = (
        expressions[:, names.index("eyeLookInLeft")] * expressions[:, names.index("eyeLookOutLeft")]
    )
    assert float(both.max()) == 0
    up, down = of(model, expressions, "eyeLookUp"), of(model, expressions, "eyeLookDown")
    assert float((up * down).max()) == 0


def test_incompatible_units_never_meet(model, expressions):
    for one, other in EXCLUDED:
        if one != "eyeBlink":
            assert (
                float(
                    (
                        of(model, expressions, one).amax(1) * of(model, expressions, other).amax(1)
                    ).max()
                )
                == 0
            )
    assert float(expressions.min()) >= 0
    assert float(expressions.max()) <= 1
    assert float(of(model, expressions, "mouthClose").max()) == 0
    assert float(of(model, expressions, "jawOpen").max()) < 0.75


def test_named_expression_is_symmetric(model):
    smile = named_expression(model, "smile", 0.5)
    assert torch.allclose(
        smile[indices_of(model, "mouthSmile")],
        torch.full((2,), 0.5 * EXPRESSIONS["smile"]["mouthSmile"]),
    )
    assert float(named_expression(model, "neutral").abs().max()) == 0


def test_identities_are_cut_off_normal(model):
    values = torch.stack(
        [random_identity(model, np.random.default_rng(number)) for number in range(200)]
    )
    assert float(values.abs().max()) <= LIMIT
    assert abs(float(values.mean())) < 0.02
    assert 0.9 < float(values.std()) < 1.0  # of a normal cut at 2.5: 0.95


def test_faces_are_in_the_picture(model):
    inside, yaws = [], []
    for number in range(100):
        random = np.random.default_rng(number)
        camera = random_camera(model, 128, random, ViewOptions(max_yaw=40, pinhole=number % 2))
        vertices = model.vertices(
            random_identity(model, random)[None],
            random_expression(model, random)[None],
            random_joints(model, random)[None],
        )
        pixels = camera.project(model.landmarks(vertices)).pixels[0]
        inside.append(bool(((pixels > 0) & (pixels < 128)).all()))
        yaws.append(float(euler_from_rotation(camera.rotation)[0, 0].rad2deg()))
        assert (camera.focal is None) == (number % 2 == 0)
        camera.check_outside(vertices)
    assert np.mean(inside) >= 0.98
    assert max(map(abs, yaws)) <= 40.01
    assert np.std(yaws) > 10


def test_backgrounds_are_pictures():
    kinds = [procedural_background(64, np.random.default_rng(number)) for number in range(30)]
    for picture in kinds:
        assert picture.shape == (64, 64, 3)
        assert picture.dtype == np.float32
        assert 0 <= picture.min() <= picture.max() <= 1
    assert np.std([picture.mean() for picture in kinds]) > 0.1


def test_a_model_without_units_gets_normal_coefficients(model):
    class Statistical:
        expression_range = (-float("inf"), float("inf"))
        num_expression = 10

    values = random_expression(Statistical(), np.random.default_rng(0))
    assert values.shape == (10,)
    assert float(values.abs().max()) <= 1
