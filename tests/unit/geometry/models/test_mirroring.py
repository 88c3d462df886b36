"""Parameters of mirror images: what they render is the mirror image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facemorph.errors import GeometryError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.mirroring import MirroredParameters
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.lighting import shading
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame

WIDTH = 256


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def mirror(model):
    return MirroredParameters.of(model)


def faces(model, count=5):
    generator = torch.Generator().manual_seed(3)
    neutral = FaceParameters.neutral(model, count, num_albedo=2)
    return replace(
        neutral,
        identity=torch.randn(count, model.num_identity, generator=generator),
        expression=0.5 * torch.rand(count, model.num_expression, generator=generator),
        joints=0.2 * torch.randn(count, 2, 3, generator=generator),
        rotation=0.4 * torch.randn(count, 3, generator=generator),
        origin=torch.rand(count, 2, generator=generator) * WIDTH,
        log_size=torch.rand(count, generator=generator),
        light=torch.randn(count, 9, 3, generator=generator),
        albedo=torch.randn(count, 2, generator=generator),
    )


def test_vertices_are_mirrored(model, mirror):
    parameters = faces(model)
    here, there = vertices_of(model, parameters), vertices_of(model, mirror(parameters, WIDTH))
    expected = here[:, model.topology.mirror] * torch.tensor([-1.0, 1.0, 1.0])
    # Millimetres. The shapes of identities are mirrored exactly, some units are not, see below.
    assert float((there - expected).norm(dim=-1).mean()) < 0.05
    assert float((there - expected).norm(dim=-1).quantile(0.99)) < 0.5
    still = [
        replace(one, expression=0 * one.expression)
        for one in (parameters, mirror(parameters, WIDTH))
    ]
    here, there = (vertices_of(model, one) for one in still)
    expected = here[:, model.topology.mirror] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(there, expected, rtol=0, atol=2e-2)


def test_units_that_were_not_made_as_mirror_images(model, mirror):
    """How far each unit at full strength is from the mirror image of its counterpart."""
    basis = model.expression_basis.float()
    image = basis[:, model.topology.mirror] * torch.tensor([-1.0, 1.0, 1.0])
    apart = (mirror.expression @ basis.flatten(1)).view_as(basis) - image
    distance = apart.norm(dim=-1)
    worst = dict(zip(model.expression_names, distance.amax(1).tolist(), strict=True))
    assert {name for name, value in worst.items() if value > 0.75} == {
        "mouthFunnel",
        "mouthSmileLeft",
        "mouthSmileRight",
        "jawOpen",
        "mouthClose",
    }
    assert 2.1 < worst["mouthFunnel"] < 2.3
    lips = model.topology.masks["lips"]
    funnel = distance[model.expression_names.index("mouthFunnel")]
    assert float(funnel[lips].max()) == worst["mouthFunnel"]
    assert 1.2 < max(worst["mouthSmileLeft"], worst["mouthSmileRight"]) < 1.4


def test_pixels_and_light_are_mirrored(model, mirror):
    parameters = faces(model)
    turned = mirror(parameters, WIDTH)
    points = torch.randn(len(parameters), 7, 3, generator=torch.Generator().manual_seed(1)) * 50
    flip = torch.tensor([-1.0, 1.0, 1.0])
    frame = Frame(WIDTH, WIDTH)
    here = camera_of(parameters, frame).project(points).pixels
    there = camera_of(turned, frame).project(points * flip).pixels
    torch.testing.assert_close(there[..., 1], here[..., 1], rtol=0, atol=1e-3)
    torch.testing.assert_close(there[..., 0], WIDTH - here[..., 0], rtol=0, atol=1e-3)
    normals = torch.nn.functional.normalize(points, dim=-1)
    torch.testing.assert_close(
        shading(normals * flip, turned.light[:, None]), shading(normals, parameters.light[:, None])
    )


def test_units_change_sides(model, mirror):
    neutral = FaceParameters.neutral(model)
    turned = mirror(neutral.with_expression(eyeBlinkLeft=1.0, jawOpen=0.5, jawLeft=0.25), WIDTH)
    expected = neutral.with_expression(eyeBlinkRight=1.0, jawOpen=0.5, jawRight=0.25)
    torch.testing.assert_close(turned.expression, expected.expression, rtol=0, atol=0)


def test_twice_is_the_face_itself(model, mirror):
    parameters = faces(model)
    again = mirror(mirror(parameters, WIDTH), WIDTH)
    for name, value in parameters.tensors().items():
        torch.testing.assert_close(getattr(again, name), value, rtol=0, atol=1e-4)


def test_a_model_without_mirror(model, monkeypatch):
    monkeypatch.setattr(model, "topology", replace(model.topology, mirror=None))
    with pytest.raises(GeometryError, match="mirror=false"):
        MirroredParameters.of(model)
