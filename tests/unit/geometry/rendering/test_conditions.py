"""Maps that condition a generator."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.geometry.rendering.lighting import ambient_light, lamp_light, shading
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.ops.frames import Frame

SIZE = 32


@pytest.fixture(scope="module")
def model():
    return load_model("makehuman")


@pytest.fixture(scope="module")
def parameters(model):
    found = FaceParameters.neutral(model, 2, 13)
    side = lamp_light(torch.tensor([[[0.8, 0.0, 0.6]]]), torch.ones(1, 1, 3))
    return replace(
        found,
        origin=torch.tensor([[16.0, 18.0], [15.0, 17.0]]),
        log_size=torch.full((2,), 0.11).log(),
        rotation=torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.4, 0.0]]),
        light=torch.cat([ambient_light(0.9)[None], side]),
        albedo=0.3 * torch.ones(2, 13),
    )


@pytest.fixture(scope="module")
def renderer(model):
    kinds = ("render", "normals", "mask", "uv", "depth")
    return ConditionRenderer(model, kinds, SIZE, supersample=1, skin=skin_basis(model))


def test_maps_are_those_of_the_view(model, parameters, renderer):
    maps = renderer(parameters)
    assert maps.shape == (2, renderer.num_channels, SIZE, SIZE)
    view = MeshView.of(
        vertices_of(model, parameters),
        model.topology.faces,
        camera_of(parameters, Frame(SIZE, SIZE)),
        (SIZE, SIZE),
        cull_back_faces=True,
    )
    mean, basis = skin_basis(model)
    colours = (mean + 0.3 * basis.sum(0)).clamp(0, 1)
    lit = shading(view.normals().movedim(1, -1), parameters.light[:, None, None]).movedim(-1, 1)
    expected = {
        "render": (view.attribute(colours) * lit).clamp(0, 1) * view.mask,
        "normals": view.normals() * view.mask,
        "mask": view.mask.float(),
        "uv": view.uv(model.topology) * view.mask,
        "depth": view.depth / 100 * view.mask,
    }
    for kind, values in expected.items():
        assert torch.allclose(renderer.part(maps, kind), values, atol=1e-5), kind
    assert 0.2 < float(view.mask.float().mean()) < 0.9


def test_supersampled_maps_are_means_of_a_larger_view(model, parameters):
    skin = skin_basis(model)
    fine = ConditionRenderer(model, size=2 * SIZE, supersample=1, skin=skin)
    larger = replace(
        parameters,
        origin=parameters.origin * 2,
        log_size=parameters.log_size + torch.tensor(2).log(),
    )
    smooth = ConditionRenderer(model, size=SIZE, supersample=2, skin=skin)
    expected = functional.avg_pool2d(fine(larger), 2)
    assert torch.allclose(smooth(parameters), expected, atol=1e-4)


@pytest.mark.parametrize("supersample", [1, 2])
@pytest.mark.parametrize(
    "kinds", [("render", "normals", "mask", "uv", "depth"), ("uv", "render"), ("mask",)]
)
def test_one_pass_gives_what_the_plain_steps_give(model, parameters, supersample, kinds):
    renderer = ConditionRenderer(model, kinds, SIZE, supersample, skin_basis(model))
    expected = renderer.stepwise(parameters)
    assert torch.allclose(renderer(parameters), expected, atol=2e-5)


def test_autocast_changes_nothing(parameters, renderer):
    expected = renderer(parameters)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(renderer(parameters), expected)


def test_light_is_the_shading_of_the_render(parameters, renderer):
    maps = renderer(parameters)
    lit = renderer.light(maps, parameters.light)
    inside = renderer.part(maps, "mask")[:, 0] > 0.5
    assert torch.allclose(lit[0][:, inside[0]], torch.full((3, int(inside[0].sum())), 0.9))
    assert float(lit[1][:, inside[1]].std()) > 0.05
    assert not lit[:, :, 0, 0].any()


def test_bad_input(model, parameters, renderer):
    with pytest.raises(ConfigError, match="no such map"):
        ConditionRenderer(model, ("render", "shadow"), SIZE)
    with pytest.raises(ConfigError, match=r"conditions\.size"):
        ConditionRenderer(model, size=4)
    with pytest.raises(DataError, match="another skin"):
        renderer(replace(parameters, albedo=torch.zeros(2, 5)))
    plain = ConditionRenderer(model, ("mask",), SIZE)
    with pytest.raises(ConfigError, match="not among the conditions"):
        plain.part(torch.zeros(1, 1, SIZE, SIZE), "normals")
