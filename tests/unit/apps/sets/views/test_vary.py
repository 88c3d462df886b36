"""Several views of every photograph of a set."""

from __future__ import annotations

import json
import math

import pytest
import torch

from facemorph.apps.sets.views.varied_pictures import VariedSet, VaryOptions, relight
from facemorph.cli import run
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.rendering.lighting import ambient_light, light_level
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.textures.unprojection import spread_mask
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_vector


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """Four synthetic pictures of two people, as small as they can be."""
    folder = tmp_path_factory.mktemp("vary_source")
    words = ["data", "synth", "-o", str(folder), "--count", "4", "--same-identity", "2"]
    words += ["--size", "96", "--labels", "parameters", "--skins", "2", "--texture", "64"]
    assert run([*words, "--camera", "weak", "--max-yaw", "15", "--workers", "1"]) == 0
    return folder


def vary(source, output, *words):
    given = ["data", "vary", str(source), "-o", str(output), "--texture", "64", *words]
    return run([*given, "--views", "3"])


@pytest.fixture(scope="session")
def varied(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("varied")
    assert vary(source, folder, "--size", "48") == 0
    return folder


def test_a_set_of_views(source, varied):
    before = json.loads((source / "index.json").read_text())
    after = json.loads((varied / "index.json").read_text())
    assert after["people"] == [who for who in before["people"] for _ in range(3)]
    assert after["split"] == [one for one in before["split"] for _ in range(3)]
    own, found = (FaceParameters.load(one / "parameters.npz") for one in (source, varied))
    assert len(found) == 12
    torch.testing.assert_close(found.identity, own.identity.repeat_interleave(3, 0))
    torch.testing.assert_close(found.origin[::3], own.origin / 2)
    torch.testing.assert_close(found.log_size[::3], own.log_size - math.log(2))
    torch.testing.assert_close(found.rotation[::3], own.rotation)
    assert (found.rotation[1::3] - own.rotation).norm(dim=1).min() > 0.01
    report = json.loads((varied / "report.json").read_text())
    assert report["counts"] == {"done": 4, "failed": 0, "missing": 0}
    assert report["pictures"] == 12


def test_the_first_view_is_the_photograph(source, varied):
    before = json.loads((source / "index.json").read_text())
    after = json.loads((varied / "index.json").read_text())
    for number, file in enumerate(before["files"]):
        photograph = load_image(source / file)
        small = torch.nn.functional.interpolate(
            photograph[None], (48, 48), mode="bilinear", antialias=True
        )[0]
        first = load_image(varied / after["files"][3 * number])
        assert (first - small).abs().max() < 1.5 / 255
        other = load_image(varied / after["files"][3 * number + 1])
        assert (other - small).abs().mean() > 0.004


def test_landmarks_are_found_where_the_parameters_have_them(source):
    given = VariedSet(source, VaryOptions(views=2, yaw=25.0, expression=0.0, relit=0.0))
    detector, frame, nearer = EmbeddedDetector(), Frame(96, 96), []
    for row in range(4):
        views, picture = given.views(row), given.pictures(row)[1]
        points = given.model.landmarks(vertices_of(given.model, views))
        expected = camera_of(views, frame).project(points).pixels
        large = torch.nn.functional.interpolate(picture[None], (288, 288), mode="bicubic")[0]
        found = detector(large.clamp(0, 1))
        assert found, "no face in the moved picture"
        unmoved, moved = (found[0].points / 3 - expected).norm(dim=-1).mean(1)
        nearer.append(float(moved / unmoved))
    assert sum(nearer) / 4 < 0.7, nearer


def test_turns_stay_within_their_limit(source):
    given = VariedSet(source, VaryOptions(views=40, yaw=30.0, max_yaw=20.0))
    own, views = given.parameters[0], given.views(0)
    turns = rotation_from_vector(views.rotation)
    yaw = torch.rad2deg(torch.asin(-turns[:, 2, 0]))
    before = abs(float(yaw[0]))
    # A turn that would go too far goes to the other side.
    widest = 1.7 * 30
    assert float(yaw.abs().max()) <= widest + before
    assert float((yaw.abs() <= 20 + 1e-3).float().mean()) > 0.5
    assert torch.equal(views.identity, own.identity.expand(40, -1))


def test_new_light_is_as_bright_and_as_coloured_as_the_old(source):
    given = VariedSet(source, VaryOptions(views=30, relit=1.0))
    levels = light_level(given.views(0).light)
    ratio = levels[1:] / levels[:1]
    assert float(ratio.min()) > 0.8
    assert float(ratio.max()) < 1.2
    assert float((ratio.amax(1) - ratio.amin(1)).max()) < 0.01


def test_relighting_by_hand(source):
    given = VariedSet(source, VaryOptions())
    parameters = given.parameters[:1]
    head = HeadView(vertices_of(given.model, parameters), camera_of(parameters, Frame(96, 96)))
    picture = torch.full((3, 96, 96), 0.5)
    old, new = ambient_light(0.8)[None], ambient_light(1.0)[None]
    assert torch.equal(relight(picture, given.model, head, old, old), picture)
    found = relight(picture, given.model, head, old, new)
    assert float(found.max()) == pytest.approx(0.5 * 1.0 / 0.8, abs=1e-4)
    assert float(found[:, 0, 0].max()) == 0.5  # the background
    view = MeshView.of(head.vertices, given.model.topology.faces, head.camera, (96, 96))
    scalp = view.attribute(spread_mask(given.model.topology, "scalp", rings=-2)[:, None])[0, 0]
    assert torch.allclose(found[:, scalp > 0.99], torch.tensor(0.5))


def test_a_set_that_is_begun_is_continued(source, varied, tmp_path, monkeypatch):
    original, calls = VariedSet.write, []

    def stopping(self, row, output):
        calls.append(row)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, row, output)

    monkeypatch.setattr(VariedSet, "write", stopping)
    assert vary(source, tmp_path, "--size", "48") != 0
    monkeypatch.setattr(VariedSet, "write", original)
    assert vary(source, tmp_path, "--size", "48") == 0
    after = json.loads((varied / "index.json").read_text())
    for file in after["files"]:
        assert (tmp_path / file).read_bytes() == (varied / file).read_bytes()


def test_bad_input(source, tmp_path, capsys):
    for words, text in (
        (["--yaw", "90"], "0 to 45"),
        (["--relit", "2"], "0 to 1"),
        (["--size", "4"], "16 to 4096"),
    ):
        assert vary(source, tmp_path / "x", *words) == 2
        assert text in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert vary(tmp_path / "empty", tmp_path / "x") == 2
    assert "no prepared training set" in capsys.readouterr().err
