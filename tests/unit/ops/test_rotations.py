"""Rotations: matrices, vectors, angles."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from facemorph.ops.rotations import (
    angle_between,
    cross_matrix,
    euler_from_rotation,
    nearest_rotation,
    rotation_from_euler,
    rotation_from_vector,
    vector_from_rotation,
)

ANGLE = st.floats(-3.1, 3.1)


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_cross_matrix_is_the_cross_product():
    a, b = torch.randn(2, 5, 3, dtype=torch.float64)
    assert torch.allclose((cross_matrix(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))


@given(ANGLE, ANGLE, ANGLE)
def test_rotation_is_the_matrix_exponential(x, y, z):
    vector = double(x, y, z)
    rotation = rotation_from_vector(vector)
    assert torch.allclose(rotation, torch.linalg.matrix_exp(cross_matrix(vector)), atol=1e-10)
    assert torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-10)
    assert float(torch.linalg.det(rotation)) == pytest.approx(1)


@given(
    st.floats(0, math.pi),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(
        lambda axis: sum(map(abs, axis)) > 0.1
    ),
)
def test_vector_and_back(angle, axis):
    axis = torch.nn.functional.normalize(double(*axis), dim=0)
    rotation = rotation_from_vector(axis * angle)
    vector = vector_from_rotation(rotation)
    assert float(vector.norm()) == pytest.approx(angle, abs=1e-5)
    assert torch.allclose(rotation_from_vector(vector), rotation, atol=1e-6)


@pytest.mark.parametrize("axis", [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.6, -0.8, 0]])
def test_half_a_turn(axis):
    rotation = rotation_from_vector(double(*axis) * math.pi)
    found = vector_from_rotation(rotation)
    assert torch.allclose(rotation_from_vector(found), rotation, atol=1e-9)
    assert float(found.norm()) == pytest.approx(math.pi, abs=1e-6)


def test_small_angles_are_smooth():
    assert torch.autograd.gradcheck(
        rotation_from_vector, torch.zeros(3, dtype=torch.float64, requires_grad=True)
    )
    at_the_switch = torch.tensor([1e-3, 1e-9, 0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_from_vector, at_the_switch)
    for angle in (9.99e-4, 1.001e-3):
        exact = torch.linalg.matrix_exp(cross_matrix(double(angle, 0, 0)))
        assert torch.allclose(rotation_from_vector(double(angle, 0, 0)), exact, atol=1e-14)


@given(st.floats(-1.5, 1.5), ANGLE, ANGLE)
def test_euler_and_back(yaw, pitch, roll):
    angles = double(yaw, pitch, roll)
    assert torch.allclose(euler_from_rotation(rotation_from_euler(*angles)), angles, atol=1e-7)


def test_signs_are_those_of_the_docstring():
    nose, crown = double(0, 0, 1), double(0, 1, 0)
    zero, small = torch.zeros((), dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64)
    assert float((rotation_from_euler(small, zero, zero) @ nose)[0]) > 0  # right of the picture
    assert float((rotation_from_euler(zero, small, zero) @ nose)[1]) < 0  # down
    assert float((rotation_from_euler(zero, zero, small) @ crown)[0]) < 0  # against the clock


@given(st.floats(0, 3.1))
def test_angle_between(angle):
    base = rotation_from_vector(double(0.3, -1.0, 0.4))
    turned = base @ rotation_from_vector(double(0, angle, 0))
    assert float(angle_between(base, turned)) == pytest.approx(angle, abs=1e-6)


def test_nearest_rotation_is_scipys_and_never_mirrored():
    generator = torch.Generator().manual_seed(1)
    # half of them mirrored
    source, target = torch.randn(2, 20, 30, 3, dtype=torch.float64, generator=generator)
    matrix = target.transpose(1, 2) @ source
    found, sizes = nearest_rotation(matrix)
    for one, some, goal in zip(found, source, target, strict=True):
        expected, _ = Rotation.align_vectors(goal.numpy(), some.numpy())
        assert torch.allclose(one, torch.from_numpy(expected.as_matrix()), atol=1e-9)
    assert 0 < int((sizes[:, 2] < 0).sum()) < 20
    assert torch.allclose(sizes.sum(1), (found * matrix).sum((1, 2)))
