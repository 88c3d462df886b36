"""The view Head without a browser: sliders, pictures, the mesh, exports as commands."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.apps.reenactment.reenactor import Reenactor
from facemorph.apps.studio.drivers import Drivers
from facemorph.apps.studio.messages import Request
from facemorph.apps.studio.views.head import HeadPanel
from facemorph.apps.studio.views.moving_head import SIDE, edit_text
from facemorph.errors import FacemorphError
from facemorph.faces.files.landmark_files import read_points
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import vertices_of
from facemorph.ops.rotations import rotation_from_vector

NAME = "sample_collins"
EDITS = {"exp jawOpen": 0.25, "global_pose yaw": 12.0}


@pytest.fixture(scope="module")
def panel(library, exports):
    return HeadPanel(library, exports, Drivers(library))


def ask(panel, kind, **content):
    answer = panel.handlers()[kind](Request(1, kind, content))
    return answer if isinstance(answer, tuple) else (answer, b"")


def picture_of(data):
    array = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255


def test_sliders_have_every_name_and_stand_where_the_photograph_is(panel):
    header, _ = ask(panel, "head.open", photograph=NAME)
    model, head = panel.library.model, panel.head(NAME)
    expressions = header["groups"]["Expression"]
    assert [one["label"] for one in expressions] == list(model.expression_names)
    assert len(header["groups"]["Identity"]) == model.num_identity
    assert np.allclose(
        [one["value"] for one in expressions], head.parameters.expression[0], atol=1e-6
    )
    for group in header["groups"].values():
        for one in group:
            assert one["low"] < one["high"]
            head.edited({one["name"]: one["low"]})  # every slider is one that edits know
            head.edited({one["name"]: one["high"]})
    for values in header["presets"].values():
        head.edited(values)
    assert 0 < header["error"] < 0.05


def test_sharp_pictures_are_those_of_reenact(panel, samples):
    header, data = ask(panel, "head.draw", photograph=NAME, edits=EDITS, detail="sharp")
    assert header["picture"] == len(data)
    person = Reenactor(samples[0], size=SIDE)
    edits = Edits(person.model, person.parameters, person.frame.width)
    expected = person(edits.apply(edit_text(EDITS)))
    assert float((picture_of(data) - expected).square().mean()) < 10**-3.4  # it is a JPEG


def test_the_mesh_is_the_head_turned(panel):
    header, data = ask(panel, "head.draw", photograph=NAME, edits=EDITS, detail="draft", mesh=True)
    assert header["mesh"] % 4 == 0
    places = np.frombuffer(data[header["mesh"] :], np.float32).reshape(-1, 6)
    topology, content = ask(panel, "head.mesh")
    faces = np.frombuffer(content[: topology["faces"] * 12], np.uint32).reshape(-1, 3)
    uv = np.frombuffer(content[topology["faces"] * 12 :], np.float32).reshape(-1, 2)
    assert len(places) == len(uv) == topology["vertices"] == faces.max() + 1
    model, head = panel.library.model, panel.head(NAME)
    parameters = head.edited(EDITS)
    vertices = vertices_of(model, parameters)[0]
    middle = (model.mean.amax(0) + model.mean.amin(0)) / 2
    turned = (vertices - middle) @ rotation_from_vector(parameters.rotation)[0].T
    assert np.allclose(places[faces.reshape(-1), :3], turned[model.topology.faces.reshape(-1)])
    expected_uv = model.topology.uv[model.topology.faces_uv.reshape(-1)]
    assert np.allclose(uv[faces.reshape(-1), 0], expected_uv[:, 0])
    assert np.allclose(1 - uv[faces.reshape(-1), 1], expected_uv[:, 1], atol=1e-6)
    assert np.allclose(np.linalg.norm(places[:, 3:], axis=1), 1, atol=1e-3)
    outward = (places[:, 3:] * (places[:, :3] - places[:, :3].mean(0))).sum(1)
    assert (outward > 0).mean() > 0.7  # normals point outward


def test_the_texture_is_a_square_picture(panel):
    _, data = ask(panel, "head.texture", photograph=NAME)
    assert Image.open(io.BytesIO(data)).size == (512, 512)


@pytest.mark.parametrize("edits", [{"exp jawOpen": 2.0}, {"nose": 1.0}, {"shape 999": 1.0}])
def test_sliders_that_are_none(panel, edits):
    with pytest.raises(FacemorphError):
        ask(panel, "head.draw", photograph=NAME, edits=edits)


def test_points_and_parameters_are_files_that_commands_read(panel):
    for kind in (".json", ".tem", ".pts"):
        header, _ = ask(panel, "head.export", photograph=NAME, edits={}, format=kind)
        points, _ = read_points(panel.exports.project.exported(header["files"][0]))
        expected, _ = read_points(panel.library.project.points_of(NAME))
        assert torch.allclose(points, expected, atol=1e-9)
    header, _ = ask(panel, "head.export", photograph=NAME, edits=EDITS, format=".npz")
    saved = FaceParameters.load(panel.exports.project.exported(header["files"][0]))
    assert torch.equal(saved.expression, panel.head(NAME).edited(EDITS).expression)


def test_the_command_says_the_edits(panel, samples):
    header, _ = ask(panel, "head.command", photograph=NAME, edits=EDITS)
    words = header["command"]
    assert words.startswith(f"facemorph reenact {samples[0]} -o {NAME}_head.png --edit ")
    assert words.endswith("--edit 'exp jawOpen 0.25, global_pose yaw 12'")
    header, _ = ask(panel, "head.command", photograph=NAME, edits={})
    assert "--edit" not in header["command"]


def test_a_head_is_made_anew_when_its_points_change(panel):
    before = panel.head("sample_hopper")
    assert panel.head("sample_hopper") is before
    panel.library.photograph("sample_hopper").version += 1
    assert panel.head("sample_hopper") is not before
