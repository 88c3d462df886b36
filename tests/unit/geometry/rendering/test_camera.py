"""Cameras: projection, derivatives, the closed-form start."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facemorph.errors import GeometryError
from facemorph.geometry.rendering.camera import Camera, camera_from_landmarks
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler, rotation_from_vector

FRAME = Frame(240, 320)


def camera(pinhole: bool = False, batch: int = 2) -> Camera:
    generator = torch.Generator().manual_seed(3)
    turn = rotation_from_vector(
        torch.randn(batch, 3, generator=generator, dtype=torch.float64) * 0.4
    )
    origin = torch.tensor([[150.0, 110.0]], dtype=torch.float64) + torch.arange(batch)[:, None] * 7
    weak = Camera(turn, origin, torch.linspace(-0.2, 0.3, batch, dtype=torch.float64))
    return weak.as_pinhole(FRAME, 25.0) if pinhole else weak


def head(batch: int = 2, points: int = 9) -> torch.Tensor:
    return (
        torch.randn(
            batch, points, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64
        )
        * 60
    )


@pytest.mark.parametrize("pinhole", [False, True])
def test_derivatives_are_those_of_jacfwd(pinhole):
    view, points = camera(pinhole, 1), head(1, 4)
    projection, along_point, along_camera = view.project_with_derivative(points)
    assert torch.equal(projection.pixels, view.project(points).pixels)
    turned = view.view(points)

    def pixels(turned, parameters):
        moved = Camera(
            torch.eye(3, dtype=turned.dtype)[None],
            parameters[None, :2],
            parameters[None, 2],
            view.focal,
            view.centre,
        )
        return moved.project(turned[None]).pixels[0]

    parameters = torch.cat([view.origin[0], view.log_size])
    by_point = torch.func.jacfwd(pixels, 0)(turned[0], parameters)  # (P, 2, P, 3)
    by_camera = torch.func.jacfwd(pixels, 1)(turned[0], parameters)
    diagonal = torch.stack([by_point[i, :, i] for i in range(4)])
    assert torch.allclose(along_point[0], diagonal, atol=1e-12)
    assert torch.allclose(along_camera[0], by_camera, atol=1e-9)


def test_weak_perspective_by_hand():
    view = Camera(torch.eye(3)[None], torch.tensor([[100.0, 50.0]]), torch.tensor([math.log(2.0)]))
    projection = view.project(torch.tensor([[[3.0, 4.0, 5.0]]]))
    assert torch.allclose(projection.pixels, torch.tensor([[[106.0, 42.0]]]))
    assert float(projection.depth) == 5
    assert float(projection.inverse_distance) == 1


def test_pinhole_by_hand():
    """Similar triangles: the eye is focal / size before the origin, which lands where weak
    perspective puts it.
    """
    view = Camera(
        torch.eye(3)[None], torch.tensor([[160.0, 120.0]]), torch.tensor([0.0])
    ).as_pinhole(FRAME, 2 * 45.0)
    distance = 160.0  # focal = half / tan 45, size 1
    projection = view.project(torch.tensor([[[10.0, -20.0, 60.0], [0.0, 0.0, 0.0]]]))
    assert torch.allclose(
        projection.pixels[0, 0], torch.tensor([160 + 160 * 10 / 100, 120 + 160 * 20 / 100.0])
    )
    assert torch.allclose(projection.pixels[0, 1], view.origin[0])
    assert torch.allclose(
        projection.inverse_distance[0], 1 / torch.tensor([distance - 60, distance])
    )


def test_a_narrow_pinhole_is_weak_perspective():
    view, points = camera(), head()
    gaps = [
        (view.as_pinhole(FRAME, angle).project(points).pixels - view.project(points).pixels)
        .abs()
        .max()
        for angle in (8.0, 4.0, 1.0)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert float(gaps[2]) < 3


@pytest.mark.parametrize("pinhole", [False, True])
def test_a_larger_picture_is_the_same_view(pinhole):
    view, points = camera(pinhole), head()
    assert torch.allclose(
        view.scaled(2.5).project(points).pixels, view.project(points).pixels * 2.5
    )


def test_turned_keeps_the_rest():
    view = camera(True)
    other = view.turned(torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    assert torch.equal(other.origin, view.origin)
    assert other.focal is view.focal
    assert len(other) == 2


@given(
    st.floats(-1.2, 1.2),
    st.floats(-0.6, 0.6),
    st.floats(-3, 3),
    st.floats(-2, 2),
    st.floats(-300, 300),
)
def test_landmarks_give_the_camera_back(yaw, pitch, roll, log_size, place):
    angles = torch.tensor([[yaw], [pitch], [roll]], dtype=torch.float64)
    truth = Camera(
        rotation_from_euler(*angles),
        torch.tensor([[place, -place]], dtype=torch.float64),
        torch.tensor([log_size], dtype=torch.float64),
    )
    points = head(1, 12)
    found = camera_from_landmarks(points, truth.project(points).pixels)
    assert torch.allclose(found.rotation, truth.rotation, atol=1e-8)
    assert torch.allclose(found.log_size, truth.log_size, atol=1e-8)
    assert torch.allclose(found.origin, truth.origin, atol=1e-6)


def test_noisy_landmarks_give_a_rotation():
    points = head(3, 20)
    pixels = camera(batch=3).project(points).pixels
    found = camera_from_landmarks(points, pixels + torch.randn_like(pixels))
    assert torch.allclose(
        found.rotation @ found.rotation.transpose(1, 2),
        torch.eye(3, dtype=torch.float64),
        atol=1e-9,
    )
    assert bool((torch.linalg.det(found.rotation) > 0.999).all())


def test_landmarks_in_one_place():
    with pytest.raises(GeometryError, match="in one place"):
        camera_from_landmarks(head(1), torch.full((1, 9, 2), 5.0, dtype=torch.float64))
    with pytest.raises(GeometryError, match="not numbers"):
        camera_from_landmarks(head(1), torch.full((1, 9, 2), math.nan, dtype=torch.float64))


@pytest.mark.parametrize("angle", [0.0, 151.0, math.nan])
def test_impossible_fields_of_view(angle):
    with pytest.raises(GeometryError, match="field of view"):
        camera().as_pinhole(FRAME, angle)


def test_inside_the_head():
    view = Camera(
        torch.eye(3)[None], torch.tensor([[160.0, 120.0]]), torch.tensor([0.5])
    ).as_pinhole(FRAME, 100.0)
    with pytest.raises(GeometryError, match="inside the head"):
        view.check_outside(torch.tensor([[[0.0, 0.0, 100.0]]]))
    view.check_outside(torch.tensor([[[0.0, 0.0, 10.0]]]))
    camera().check_outside(head() * 1e6)  # weak perspective has no inside
