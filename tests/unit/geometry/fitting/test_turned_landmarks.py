"""Offsets of landmarks that grow with the turn of a head."""

from __future__ import annotations

import math

import torch

from facemorph.bench.fitting.turned import on_outline
from facemorph.faces.landmark_schemes import MIRROR68
from facemorph.geometry.fitting.landmark_calibration import detector_offsets
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.turned_landmarks import (
    FARTHEST,
    constant_offsets,
    offsets_at,
    offsets_derivative,
    turn_of,
)
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.rotations import euler_from_rotation, rotation_from_euler, rotation_from_vector


def rotations(*degrees):
    """Rotations of yaw and pitch, with a roll of 4 degrees."""
    angles = torch.tensor([(yaw, pitch, 4.0) for yaw, pitch in degrees])
    return rotation_from_euler(*torch.deg2rad(angles).T)


def random_offsets():
    return torch.randn(2, 85, 2, generator=torch.Generator().manual_seed(3))


def test_they_grow_with_the_sine_of_the_yaw_and_no_farther_than_measured():
    turn = turn_of(rotations((20.0, -10.0), (60.0, 0.0)))
    expected = torch.tensor([math.sin(math.radians(degrees)) for degrees in (20, FARTHEST)])
    torch.testing.assert_close(turn, expected)
    offsets, still = random_offsets(), rotations((0.0, -10.0))
    torch.testing.assert_close(offsets_at(offsets, still)[0, :, :2], offsets[0, :68])
    found = offsets_at(offsets, rotations((20.0, -10.0)))[0]
    torch.testing.assert_close(found[:, :2], (offsets[0] + expected[0] * offsets[1])[:68])
    assert not bool(found[:, 2].any())


def test_the_jaw_line_has_offsets_of_its_own_once_it_has_slid():
    offsets, turned = random_offsets(), rotations((25.0, 5.0))
    slid = torch.zeros(1, 17, dtype=torch.bool)
    slid[0, 3] = True
    plain, moved = offsets_at(offsets, turned)[0], offsets_at(offsets, turned, slid)[0]
    as_slid = offsets.clone()
    as_slid[:, 3] = offsets[:, 71]
    torch.testing.assert_close(moved, offsets_at(as_slid, turned)[0])
    assert bool((moved[torch.arange(68) != 3] == plain[torch.arange(68) != 3]).all())


def test_the_derivative_is_that_of_autograd():
    offsets, turned = random_offsets(), rotations((20.0, -10.0), (-30.0, 12.0), (50.0, 5.0))
    slid = torch.rand(3, 17, generator=torch.Generator().manual_seed(1)) < 0.5

    def moved(angles):
        return offsets_at(offsets, rotation_from_vector(angles.expand(3, 3)) @ turned, slid)

    expected = torch.func.jacfwd(moved)(torch.zeros(3))
    torch.testing.assert_close(offsets_derivative(offsets, turned, slid), expected)


def test_what_was_measured_is_symmetric():
    offsets = detector_offsets(load_makehuman(), "embedded")
    mirror = [*MIRROR68, *(68 + place for place in MIRROR68[:17])]
    ways = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])[:, None]
    torch.testing.assert_close(offsets, offsets[:, mirror] * ways, rtol=0, atol=2e-3)


def test_a_detector_that_draws_turned_faces_to_the_front_is_read_rightly():
    """Known offsets: with all of them the rotation is read, with the constant ones too small."""
    model = load_makehuman()
    offsets = detector_offsets(model, "embedded")
    camera = Camera(
        rotations((20.0, 0.0), (-20.0, 0.0), (10.0, 10.0), (0.0, -12.0)),
        torch.full((4, 2), 128.0),
        torch.full((4,), math.log(0.7)),
    )
    turned = camera.rotation
    slid = torch.rad2deg(euler_from_rotation(turned)[:, :1]).abs().expand(-1, 17) > 15
    candidates = model.topology.contour.of(model.mean[None]).expand(4, -1, -1, -1)
    marks = model.landmarks(model.mean[None]).expand(4, -1, -1).clone()
    outer = on_outline(marks, candidates, turned)[:, :17]
    slid = slid & (torch.arange(17) != 8)
    marks[:, :17] = torch.where(slid[..., None], outer, marks[:, :17])
    seen = camera.project(marks + offsets_at(offsets, turned, slid)).pixels
    true = torch.rad2deg(euler_from_rotation(turned))
    whole, constant = (
        torch.rad2deg(euler_from_rotation(LandmarkFitter(model, None, one)(seen).camera.rotation))
        for one in (offsets, constant_offsets(offsets[0, :68]))
    )
    assert float((whole - true).abs().max()) < 0.5
    assert float((true - constant)[0, 0]) > 1
    assert float((true - constant)[1, 0]) < -1
