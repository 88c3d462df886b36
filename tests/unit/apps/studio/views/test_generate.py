"""The view Generate without a browser: people, sliders, variations, skin, exports as commands."""

from __future__ import annotations

import io
import shlex

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph.apps.generation.face_files import PARAMETERS, read_faces, save_people
from facemorph.apps.generation.figures.figure_faces import at_rest
from facemorph.apps.generation.generated_faces import FaceGenerator, changed, drawn_faces
from facemorph.apps.generation.texture_editing import neural_texture, shown
from facemorph.apps.studio.messages import Request
from facemorph.apps.studio.views.generate import GeneratePanel
from facemorph.apps.studio.views.generated_people import CHECKPOINTS, VARIATIONS, Person
from facemorph.cli import run
from facemorph.errors import DataError, FacemorphError
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.rotations import euler_from_rotation, rotation_from_vector

NAME = "sample_collins"
EDITS = {"exp jawOpen": 0.4, "global_pose yaw": 15.0, "shape 2": 1.5}


@pytest.fixture(scope="module")
def panel(library, exports):
    return GeneratePanel(library, exports)


@pytest.fixture(scope="module", params=list(CHECKPOINTS))
def model(request):
    return request.param


@pytest.fixture(scope="module")
def generator(model):
    return FaceGenerator.load(CHECKPOINTS[model])


def ask(panel, kind, data=b"", **content):
    answer = panel.handlers()[kind](Request(1, kind, content, data))
    return answer if isinstance(answer, tuple) else (answer, b"")


def picture_of(data):
    array = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255


def close(data, picture, within=0.02):
    """Whether a JPEG shows a picture."""
    return float((picture_of(data) - picture.clamp(0, 1)).abs().mean()) < within


def test_a_person_of_a_seed_is_the_one_that_sample_draws(panel, model, generator):
    drawn = at_rest(drawn_faces(generator, 1, 5, 0.8, "all"))
    expected = next(iter(generator.pictures(changed(generator, drawn, {}, None, None, None))))
    _, data = ask(panel, "generate.draw", model=model, seed=5, spread=0.8)
    assert close(data, expected)
    _, other = ask(panel, "generate.draw", model=model, seed=6, spread=0.8)
    assert not close(other, expected)


def test_sliders_move_what_sample_moves(panel, model, generator):
    drawn = at_rest(drawn_faces(generator, 1, 5, 1.0, "all"))
    one = changed(generator, drawn, {"jawOpen": 0.4}, 15.0, None, "left")
    expected = next(iter(generator.pictures(one)))
    edits = {"exp jawOpen": 0.4, "global_pose yaw": 15.0}
    _, data = ask(panel, "generate.draw", model=model, seed=5, edits=edits, lamp="left")
    assert close(data, expected)
    _, still = ask(panel, "generate.draw", model=model, seed=5)
    assert not close(still, expected)


def test_every_slider_and_preset_is_one_that_is_taken(panel, model):
    header, _ = ask(panel, "generate.open", model=model, seed=5)
    people = panel.people(model)
    face = people.face(Person("", 5, 1.0))
    for group in header["groups"].values():
        for one in group:
            for end in ("low", "high"):
                people.shown(face, {one["name"]: one[end]}, "own")
    for values in header["presets"].values():
        people.shown(face, values, "own")
    shapes = [one["value"] for one in header["groups"]["Identity"]]
    assert np.allclose(shapes, face.parameters.identity[0])
    assert header["textures"] is (model == "varitex")
    assert not [one for group in header["groups"].values() for one in group if "cam" in one["name"]]


def test_variations_go_from_the_person_to_others(panel, model):
    people, person = panel.people(model), Person("", 5, 1.0)
    face = people.face(person)
    near, far = (people.variation(person, 3, 1, strength) for strength in (0.0, 1.0))
    assert torch.equal(near.codes, face.codes)
    assert torch.allclose(near.parameters.identity, face.parameters.identity)
    draw = torch.Generator().manual_seed(3)
    assert torch.allclose(far.codes, people.generator.people(VARIATIONS, draw)[0][1:2])
    content = {"model": model, "seed": 5, "draw": 3, "number": 1, "strength": 0.5}
    _, data = ask(panel, "generate.variation", **content)
    taken, _ = ask(panel, "generate.take", **content)
    _, again = ask(panel, "generate.draw", model=model, folder=taken["folder"])
    assert close(again, picture_of(data))
    assert ask(panel, "generate.take", **content)[0] == taken  # not kept twice


def test_expression_and_pose_of_a_photograph(panel):
    fitted = FaceParameters.load(panel.library.project.head_of(NAME))
    header, _ = ask(panel, "generate.like", photograph=NAME, part="expression")
    names = list(panel.library.model.expression_names)
    assert header["edits"]
    for name, value in header["edits"].items():
        strength = float(fitted.expression[0, names.index(name.removeprefix("exp "))])
        assert value == pytest.approx(strength, abs=1e-3)
    pose = ask(panel, "generate.like", photograph=NAME, part="pose")[0]["edits"]
    people = panel.people("gif")
    turned = people.shown(people.face(Person("", 1, 1.0)), pose, "own").parameters.rotation
    angles = [
        euler_from_rotation(rotation_from_vector(one)).rad2deg()
        for one in (turned[0], fitted.rotation[0])
    ]
    assert torch.allclose(*angles, atol=0.01)


def test_painting_changes_the_skin_where_it_is_painted(panel):
    people, person = panel.people("varitex"), Person("", 5, 1.0)
    own = shown(neural_texture(people.generator, people.face(person)), 256)
    painted = own.clone()
    painted[:, 100:140, 100:140] = torch.tensor([0.0, 0.8, 0.1])[:, None, None]
    stream = io.BytesIO()
    array = (painted * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(array).save(stream, "PNG")
    header, _ = ask(panel, "generate.paint", stream.getvalue(), model="varitex", seed=5)
    assert "texture apply" in header["command"]
    face = read_faces(people.path(header["folder"]), people.generator)[:1]
    found = shown(neural_texture(people.generator, face), 256)
    assert float((found - painted)[:, 110:130, 110:130].abs().mean()) < 0.1
    assert float((found - own)[:, :60].abs().max()) < 0.02
    _, texture = ask(panel, "generate.texture", model="varitex", folder=header["folder"])
    assert picture_of(texture).shape == (3, 512, 512)


def test_regions_of_another_skin_leave_the_rest(panel):
    people, person = panel.people("varitex"), Person("", 5, 1.0)
    header, _ = ask(panel, "generate.regions", model="varitex", seed=5, region="lips", other=9)
    own = neural_texture(people.generator, people.face(person))
    found = neural_texture(people.generator, people.face(Person(header["folder"], 0, 1.0)))
    other = neural_texture(people.generator, people.face(Person("", 9, 1.0)))
    near = (found - other).abs().mean(1) < 1e-4
    same = (found - own).abs().amax(1) < 1e-6
    assert 0.001 < float(near.float().mean()) < 0.2
    assert float(same.float().mean()) > 0.7


def test_the_copied_line_makes_what_is_shown(panel, model, tmp_path):
    content = {"model": model, "seed": 5, "edits": EDITS, "lamp": "top"}
    _, data = ask(panel, "generate.draw", **content)
    line = ask(panel, "generate.command", **content)[0]["command"]
    words = shlex.split(line)
    assert words[:2] == ["facemorph", "sample"]
    output = tmp_path / "out"
    words[words.index("-o") + 1] = str(output)
    words[words.index("png")] = "jpg"
    assert run(words[1:]) == 0
    assert close((output / "face_001.jpg").read_bytes(), picture_of(data))


@pytest.mark.parametrize("kind", ["sheet", ".mp4", ".glb", "texture"])
def test_exports_are_commands(panel, kind, monkeypatch):
    begun = []

    class Begun:
        id = 7

    monkeypatch.setattr(panel.exports, "run", lambda *words: begun.append(words) or Begun())
    header, _ = ask(panel, "generate.export", model="varitex", seed=5, format=kind)
    [(words, made)] = begun
    first = {"sheet": "sample", ".mp4": "interpolate", ".glb": "render", "texture": "texture"}
    assert words[0] == first[kind]
    assert header == {"work": 7, "command": panel.exports.command(words)}
    assert made.is_relative_to(panel.library.project.folder / "exports")


def test_a_code_is_exported_at_once(panel, model):
    header, _ = ask(panel, "generate.export", model=model, seed=5, edits=EDITS, format=".npz")
    people = panel.people(model)
    folder = panel.library.project.exported(header["files"][0]).parent
    found = read_faces(folder, people.generator)
    expected = people.shown(people.face(Person("", 5, 1.0)), EDITS, "own")
    assert torch.equal(found.codes, expected.codes)
    assert torch.allclose(found.parameters.vector(), expected.parameters.vector())


def test_finding_a_photograph_is_a_command(panel, monkeypatch):
    begun = []

    class Begun:
        id = 3

    monkeypatch.setattr(panel.exports, "run", lambda *words: begun.append(words) or Begun())
    header, _ = ask(panel, "generate.find", model="gif", photograph=NAME)
    [(words, made, label)] = begun
    assert words[0] == "invert"
    assert "@open:gif" in words
    assert NAME in label
    assert panel.library.project.folder / header["folder"] == made.parent


def test_people_of_the_other_model_are_refused(panel):
    gif, varitex = panel.people("gif"), panel.people("varitex")
    folder = gif.keep(gif.face(Person("", 5, 1.0)))
    with pytest.raises(DataError, match="another generator"):
        varitex.face(Person(folder, 0, 1.0))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("draw", {"model": "stylegan"}),
        ("draw", {"seed": -1}),
        ("draw", {"seed": 1.5}),
        ("draw", {"spread": 9}),
        ("draw", {"lamp": "sun"}),
        ("draw", {"edits": {"exp smirk": 1}}),
        ("draw", {"edits": {"exp jawOpen": 7}}),
        ("draw", {"edits": {"cam scale": 1.2}}),
        ("draw", {"edits": {"exp jawOpen, reset": 0.1}}),
        ("draw", {"folder": "parts/nobody"}),
        ("draw", {"folder": "../secrets"}),
        ("draw", {"folder": "parts/.."}),
        ("draw", {"folder": "photographs/x"}),
        ("variation", {"number": VARIATIONS}),
        ("variation", {"number": 0, "strength": 3}),
        ("like", {"photograph": "nobody", "part": "pose"}),
        ("like", {"photograph": NAME, "part": "hair"}),
        ("find", {"photograph": "nobody"}),
        ("texture", {"model": "gif"}),
        ("paint", {"model": "varitex"}),
        ("regions", {"model": "varitex", "region": "hair", "other": 1}),
        ("export", {"format": ".exe"}),
        ("export", {"format": "texture", "model": "gif"}),
    ],
)
def test_wrong_requests_are_said(panel, kind, content):
    with pytest.raises(FacemorphError):
        ask(panel, f"generate.{kind}", **content)


def test_a_picture_that_is_none_is_not_kept(panel):
    with pytest.raises(FacemorphError):
        ask(panel, "generate.paint", b"no picture", model="varitex", seed=5)
    folder = panel.library.project.folder / "parts"
    assert not [path for path in folder.glob("painted-*") if path.read_bytes() == b"no picture"]


def test_a_folder_without_people_is_said(panel):
    folder = panel.library.project.folder / "exports" / "empty"
    folder.mkdir(exist_ok=True)
    with pytest.raises(DataError):
        ask(panel, "generate.draw", folder="exports/empty")
    face = panel.people("gif").face(Person("", 5, 1.0))
    save_people(face, folder)
    (folder / PARAMETERS).unlink()
    with pytest.raises(FacemorphError):  # the parameters are missing
        ask(panel, "generate.draw", folder="exports/empty")
