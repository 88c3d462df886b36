"""The refinement by the picture: what it improves on synthetic faces, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facemorph.bench.fitting.photometric import aligned_distance, rendered_faces
from facemorph.errors import DataError, GeometryError
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.fitting.photometric_fit import (
    SIDE,
    PhotometricOptions,
    cut_faces,
    refine_by_picture,
)
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.ops.frames import Frame

FACES = 4


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def skin(model):
    """A mean colour that differs from part to part, and three smooth ways to differ."""
    place = model.mean / 100
    mean = torch.stack(
        [0.75 - 0.1 * place[:, 1].abs(), 0.55 + 0.05 * place[:, 1], 0.45 + 0.05 * place[:, 0]], 1
    )
    lips = model.topology.masks["lips"]
    mean[lips] = torch.tensor([0.6, 0.3, 0.3])
    basis = torch.stack([torch.full_like(mean, 0.1), 0.05 * place.sin(), 0.05 * (3 * place).cos()])
    return mean, basis


@pytest.fixture(scope="module")
def scene(model, skin):
    mean, basis = skin
    weights = torch.randn(FACES, 3, generator=torch.Generator().manual_seed(1))
    colours = mean + torch.einsum("ba,avc->bvc", weights, basis)
    identity, pictures, landmarks = rendered_faces(model, colours)
    fit = LandmarkFitter(model, FitOptions(contour_weight=1.0, slide_above=180.0))(landmarks)
    return identity, pictures, landmarks, fit


def test_faces_come_nearer_to_the_truth(model, skin, scene):
    identity, pictures, landmarks, fit = scene
    refined = refine_by_picture(
        model,
        pictures,
        landmarks,
        fit.identity,
        fit.expression,
        fit.camera,
        *skin,
        PhotometricOptions(steps=40),
    )
    face = model.topology.masks["face"]
    true = model.vertices(identity)[:, face]
    before, after = (
        aligned_distance(model.vertices(each)[:, face], true)
        for each in (fit.identity, refined.identity)
    )
    assert float(after.mean()) < 0.97 * float(before.mean())
    assert int((after < before).sum()) >= FACES - 1
    assert float(refined.expression.min()) >= 0
    start = refine_by_picture(
        model,
        pictures,
        landmarks,
        fit.identity,
        fit.expression,
        fit.camera,
        *skin,
        PhotometricOptions(steps=1),
    )
    assert bool((refined.residual < start.residual).all())
    assert refined.light.shape == (FACES, 9, 3)
    assert refined.albedo.shape == (FACES, 3)


def test_it_stays_in_the_pixels_of_the_picture(model, skin, scene):
    """The same faces in larger pictures, shifted: the same fit, in those pixels."""
    _, pictures, landmarks, fit = scene
    options = PhotometricOptions(steps=5)
    plain = refine_by_picture(
        model, pictures, landmarks, fit.identity, fit.expression, fit.camera, *skin, options
    )
    large = [
        torch.nn.functional.pad(
            one[None].repeat_interleave(2, 2).repeat_interleave(2, 3),
            (40, 10, 20, 30),
            mode="replicate",
        )[0]
        for one in pictures
    ]
    move = torch.tensor([40.0, 20.0])
    camera = fit.camera.scaled(2.0)
    camera = replace(camera, origin=camera.origin + move)
    moved = refine_by_picture(
        model, large, landmarks * 2 + move, fit.identity, fit.expression, camera, *skin, options
    )
    assert float((moved.camera.origin - (plain.camera.origin * 2 + move)).abs().max()) < 0.6
    assert float((moved.identity - plain.identity).abs().max()) < 0.2


def test_cut_faces_are_the_faces(model, scene):
    _, pictures, _, fit = scene
    vertices = model.vertices(fit.identity, fit.expression)
    squares, camera, corner, scale = cut_faces(pictures, vertices, fit.camera)
    assert squares.shape == (FACES, 3, SIDE, SIDE)
    inside, outside = camera.project(vertices).pixels, fit.camera.project(vertices).pixels
    assert float((inside - (outside - corner[:, None]) * scale[:, None, None]).abs().max()) < 1e-2
    assert float(inside.min()) > 0
    assert float(inside.max()) < SIDE


def test_what_cannot_be_refined(model, skin, scene):
    _, pictures, landmarks, fit = scene
    start = (fit.identity, fit.expression, fit.camera)
    with pytest.raises(GeometryError, match="weak perspective"):
        refine_by_picture(
            model,
            pictures,
            landmarks,
            fit.identity,
            fit.expression,
            fit.camera.as_pinhole(Frame(SIDE, SIDE), 30.0),
            *skin,
        )
    with pytest.raises(GeometryError, match="not as many"):
        refine_by_picture(model, pictures[:1], landmarks, *start, *skin)
    with pytest.raises(DataError, match="albedo_mean"):
        refine_by_picture(model, pictures, landmarks, *start, skin[0][:10], skin[1])
    away = replace(
        fit.camera, rotation=fit.camera.rotation * torch.tensor([-1.0, 1.0, -1.0])[None, :, None]
    )
    with pytest.raises(GeometryError, match="not in its picture"):
        refine_by_picture(model, pictures, landmarks, fit.identity, fit.expression, away, *skin)
