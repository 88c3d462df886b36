"""Fits of videos: smoothing, gaps, and what belongs to one person."""

from __future__ import annotations

import pytest
import torch
from helpers.driving import performance

from facemorph.apps.fitting.face_fitting import fit_faces, fit_track, refine_faces
from facemorph.apps.fitting.face_tracking import FaceTrack
from facemorph.apps.fitting.located_face import locate
from facemorph.errors import ConfigError, GeometryError
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.lighting import light_level
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.geometry.textures.texture_model import TextureModel
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import angle_between, rotation_from_vector

RATE = 25.0


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def truth(samples, model):
    pictures, moved = performance(samples[0], model, frames=30, size=128)
    frame = Frame(pictures.shape[2], pictures.shape[3])
    points = camera_of(moved, frame).project(model.landmarks(vertices_of(model, moved))).pixels
    return frame, points, moved


def track_of(truth, noise=0.0, seen=None):
    frame, points, _ = truth
    generator = torch.Generator().manual_seed(1)
    noisy = points + noise * torch.randn(points.shape, generator=generator)
    seen = torch.ones(len(points), dtype=torch.bool) if seen is None else seen
    return FaceTrack(
        noisy, seen, torch.arange(len(points)), ((0, len(points)),), frame, RATE, "file", "video"
    )


def pose_error(fitted, moved):
    return torch.rad2deg(
        angle_between(
            rotation_from_vector(fitted.parameters.rotation), rotation_from_vector(moved.rotation)
        )
    )


def jitter(values):
    return (values[2:] - 2 * values[1:-1] + values[:-2]).square().mean().sqrt()


def test_a_video_has_one_identity_and_the_pose_it_was_rendered_with(truth, model):
    fitted = fit_track(track_of(truth), model, smoothing="none")
    assert len(fitted.parameters) == 30
    assert (fitted.parameters.identity == fitted.parameters.identity[0]).all()
    assert float(pose_error(fitted, truth[2]).mean()) < 2.5


@pytest.mark.parametrize("smoothing", ["batch", "one-euro"])
def test_smoothing_takes_the_jitter_and_keeps_the_motion(truth, model, smoothing):
    plain = fit_track(track_of(truth, 0.5), model, smoothing="none")
    smooth = fit_track(track_of(truth, 0.5), model, smoothing=smoothing)
    assert jitter(smooth.parameters.rotation) < 0.6 * jitter(plain.parameters.rotation)
    assert jitter(smooth.parameters.expression) < 0.6 * jitter(plain.parameters.expression)
    assert (
        float(pose_error(smooth, truth[2]).mean()) < float(pose_error(plain, truth[2]).mean()) + 2.5
    )
    low, high = model.expression_range
    assert smooth.parameters.expression.min() >= low
    assert smooth.parameters.expression.max() <= high


def test_frames_without_a_face_are_interpolated(truth, model):
    seen = torch.ones(30, dtype=torch.bool)
    seen[10:14] = False
    track = track_of(truth, 0.0, seen)
    track.landmarks[10:14] = 1e3  # must not be looked at
    fitted = fit_track(track, model)
    assert float(pose_error(fitted, truth[2])[10:14].max()) < 5
    held = fit_track(track, model, smoothing="none")
    torch.testing.assert_close(
        held.parameters.rotation[10:14], held.parameters.rotation[9:10].expand(4, 3)
    )


def test_an_unknown_smoothing_is_refused(truth, model):
    with pytest.raises(ConfigError, match="no such smoothing"):
        fit_track(track_of(truth), model, smoothing="kalman")


@pytest.mark.slow
def test_refinement_comes_nearer_to_the_pictures(samples):
    """Skin and light are measured; a person's photographs keep one identity; pinholes are
    refused.
    """
    model = load_makehuman()
    faces = [locate(path) for path in samples]
    fits = fit_faces(faces, model)
    refined = refine_faces(faces, fits, steps=25)
    for before, after in zip(fits, refined, strict=True):
        assert not torch.equal(before.parameters.identity, after.parameters.identity)
        assert float(after.error) < 0.03
        assert after.parameters.albedo.shape[1] == len(skin_basis(model)[1])
        assert float(after.parameters.albedo.abs().max()) < 6
        assert after.landmarks is before.landmarks
    together = refine_faces(
        faces, fit_faces(faces, model, same_person=True), same_person=True, steps=3
    )
    assert torch.equal(together[0].parameters.identity, together[1].parameters.identity)
    assert torch.equal(together[0].parameters.albedo, together[1].parameters.albedo)
    assert not torch.equal(together[0].parameters.light, together[1].parameters.light)
    pinhole = fit_faces(faces[:1], model, options=FitOptions(field_of_view=20.0))
    with pytest.raises(GeometryError, match="weak perspective"):
        refine_faces(faces[:1], pinhole)
    textures = TextureModel.load("open")
    real = refine_faces(faces[:1], fits[:1], steps=25, textures=textures)[0]
    assert real.parameters.albedo.shape == (1, len(textures))
    assert float(real.error) < 0.03
    assert 0.6 < float(light_level(real.parameters.light).mean()) < 1.1
