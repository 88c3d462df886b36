"""The scan fit: what it recovers from noisy scans with holes in any unit, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import DataError, GeometryError
from facemorph.geometry.fitting.scan_fit import fit_scan, similarity_between
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.mesh_sampling import sample_area
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.ops.rotations import angle_between, rotation_from_euler


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


def scan(model, seed, scale=1.0, noise=0.2, count=20_000):
    """Points and normals on a random face with a hole, its landmarks, vertices and pose."""
    generator = torch.Generator().manual_seed(seed)
    identity = torch.randn(1, model.num_identity, generator=generator)
    expression = torch.zeros(1, model.num_expression)
    expression[0, model.expression_index("jawOpen")] = 0.4
    expression[0, model.expression_index("mouthSmile")] = 0.7
    vertices = model.vertices(identity, expression)[0]
    faces = model.topology.faces[model.topology.masks["face"][model.topology.faces].all(1)]
    corners = vertices[faces]
    flat = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    chosen = torch.multinomial(flat.norm(dim=1), count, True, generator=generator)
    weights = torch.distributions.Dirichlet(torch.ones(3)).sample((count,))
    points = (corners[chosen] * weights[..., None]).sum(1)
    points = points + noise * torch.randn(points.shape, generator=generator)
    normals = torch.nn.functional.normalize(flat[chosen], dim=1)
    landmarks = model.landmarks(vertices[None])[0]
    keep = (points - landmarks[2]).norm(dim=1) > 15  # a hole in the cheek
    angles = torch.tensor([0.3, -0.2, 0.1])
    rotation, shift = rotation_from_euler(*angles), torch.tensor([3.0, -2.0, 7.0]) * scale
    landmarks = landmarks + 1.5 * torch.randn(landmarks.shape, generator=generator)

    def moved(values):
        return values @ rotation.T * scale + shift

    return (
        moved(points[keep]),
        normals[keep] @ rotation.T,
        moved(landmarks),
        vertices,
        rotation,
        shift,
    )


@pytest.mark.parametrize("scale", [1.0, 0.001, 10.0])
def test_a_scan_in_any_unit_is_met(model, scale):
    points, normals, landmarks, vertices, rotation, _ = scan(model, 0, scale)
    fit = fit_scan(model, points, normals, landmarks)
    assert float(fit.distance.median()) < 0.35  # of which the noise is 0.13
    assert fit.share > 0.8
    assert 0.95 < fit.scale / scale < 1.05
    assert float(angle_between(fit.rotation, rotation)) < 0.03
    known = fit_scan(model, points, normals, landmarks, scale=scale)
    assert known.scale == pytest.approx(scale)
    assert float(known.distance.median()) < 0.35
    face = model.topology.masks["face"]
    error = model.vertices(known.identity, known.expression)[0, face] - vertices[face]
    assert float((error - error.mean(0)).norm(dim=1).mean()) < 2.0


@pytest.mark.slow
def test_it_is_far_better_than_the_mean_face(model):
    for seed in (1, 2):
        points, normals, landmarks, vertices, rotation, shift = scan(model, seed)
        fit = fit_scan(model, points, normals, landmarks)
        face = model.topology.masks["face"]
        true = (vertices @ rotation.T + shift)[face]
        found = (
            model.vertices(fit.identity, fit.expression)[0] @ fit.rotation.T * fit.scale + fit.shift
        )[face]
        scale, turn, move = similarity_between(model.mean[face], true)
        mean_face = model.mean[face] @ turn.T * scale + move
        assert float((found - true).norm(dim=1).mean()) < 0.45 * float(
            (mean_face - true).norm(dim=1).mean()
        )
        assert float(fit.expression[0, model.expression_index("mouthSmile")].mean()) > 0.3


def test_without_expressions_it_stays_neutral(model):
    points, normals, landmarks, *_ = scan(model, 3)
    fit = fit_scan(model, points, normals, landmarks, expression=False)
    assert not bool(fit.expression.any())
    assert float(fit.distance.median()) < 1.5


def test_some_landmarks_are_enough(model):
    points, normals, landmarks, *_ = scan(model, 4)
    few = torch.full_like(landmarks, float("nan"))
    few[[8, 30, 36, 45, 48, 54, 27]] = landmarks[[8, 30, 36, 45, 48, 54, 27]]
    assert float(fit_scan(model, points, normals, few).distance.median()) < 0.45


def test_the_similarity_is_exact():
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(10, 3, generator=generator)
    rotation = rotation_from_euler(torch.tensor(1.0), torch.tensor(-2.0), torch.tensor(0.5))
    scale, found, shift = similarity_between(
        source, 2.5 * source @ rotation.T + torch.tensor([1.0, 2.0, 3.0])
    )
    assert scale == pytest.approx(2.5, abs=1e-5)
    assert torch.allclose(found, rotation, atol=1e-5)
    assert torch.allclose(shift, torch.tensor([1.0, 2.0, 3.0]), atol=1e-5)
    mirrored = source * torch.tensor([-1.0, 1.0, 1.0])
    assert float(torch.det(similarity_between(source, mirrored)[1])) == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_fitted(model):
    points, normals, landmarks, *_ = scan(model, 5, count=2000)
    with pytest.raises(GeometryError, match="too few landmarks"):
        fit_scan(model, points, normals, torch.full_like(landmarks, float("nan")))
    with pytest.raises(GeometryError, match="too few points"):
        fit_scan(model, points[:50], normals[:50], landmarks)
    broken = points.clone()
    broken[7] = float("nan")
    with pytest.raises(GeometryError, match="not numbers"):
        fit_scan(model, broken, normals, landmarks)
    with pytest.raises(DataError, match="landmarks"):
        fit_scan(model, points, normals, landmarks[:50])
    with pytest.raises(GeometryError, match="one line"):
        fit_scan(model, points, normals, torch.arange(68.0)[:, None].expand(68, 3).clone())
    with pytest.raises(GeometryError, match="does not meet"):
        fit_scan(model, points, -normals, landmarks)


def test_lips_that_begin_far_away_are_pulled_in(model):
    """Lips that no landmark knows of, more than a centimetre from where the mean face has them."""
    generator = torch.Generator().manual_seed(7)
    identity = 0.5 * torch.randn(1, model.num_identity, generator=generator)
    expression = torch.zeros(1, model.num_expression)
    expression[0, model.expression_index("jawOpen")] = 0.4
    vertices = model.vertices(identity, expression)[0]
    faces = model.topology.faces[model.topology.masks["face"][model.topology.faces].all(1)]
    points, normals = sample_area(Mesh(vertices, faces), 20_000, generator)
    landmarks = model.landmarks(vertices[None])[0]
    closed = model.landmarks(model.vertices(identity))[0]
    lower = torch.tensor([55, 56, 57, 58, 59, 65, 66, 67])
    assert float((closed - landmarks)[lower].norm(dim=1).mean()) > 10
    known = landmarks.clone()
    known[:17], known[48:] = torch.nan, torch.nan
    fit = fit_scan(model, points, normals, known)
    found = model.vertices(fit.identity, fit.expression)[0]
    placed = model.landmarks(fit.scale * found[None] @ fit.rotation.T + fit.shift)[0]
    assert float((placed - landmarks)[lower].norm(dim=1).mean()) < 1
