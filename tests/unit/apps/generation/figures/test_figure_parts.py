"""Parts of figures without a generator: options, tiles, lamps, curves, components."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from facemorph.apps.generation.figures.choices import NEEDED, USUAL, FigureKind
from facemorph.apps.generation.figures.deviation import write_distances
from facemorph.apps.generation.figures.figure import figure
from facemorph.apps.generation.figures.figure_faces import (
    at_rest,
    exchanged,
    with_values,
)
from facemorph.apps.generation.figures.figure_files import write_video
from facemorph.apps.generation.figures.figure_videos import tiled
from facemorph.apps.generation.figures.teaser_rows import (
    has_expression,
    lamp_at,
    teaser_rows,
    turned,
)
from facemorph.apps.generation.generated_faces import GeneratedFaces
from facemorph.apps.generation.people_components import principal_components
from facemorph.commands.kinds import kind_of
from facemorph.engine.people import PeopleModel
from facemorph.errors import CheckpointError, ConfigError, OutputError
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.lighting import shading
from facemorph.jobs.options import choices_of
from facemorph.ops.rotations import rotation_from_vector


@pytest.fixture(scope="module")
def model():
    return load_model("makehuman")


@pytest.fixture
def faces(model):
    """Three people who differ in all."""
    neutral = FaceParameters.neutral(model, 3, 4)
    values = {
        name: value + 0.1 * torch.randn(value.shape) for name, value in neutral.tensors().items()
    }
    return GeneratedFaces(torch.randn(3, 5), replace(neutral, **values))


# ------------------------------------------------------------
# options
def test_every_kind_has_its_usual_numbers():
    assert set(choices_of(FigureKind)) == set(USUAL)
    for kind, needed in NEEDED.items():
        assert needed in USUAL[kind].takes
    for usual in USUAL.values():
        assert usual.count >= usual.least >= 1


@pytest.mark.parametrize("kind", [kind for kind in USUAL if kind not in NEEDED])
def test_what_a_figure_would_leave_aside_is_refused(kind, tmp_path):
    path = tmp_path / f"x{USUAL[kind].suffixes[0]}"
    given = {"columns": 3, "frames": 9, "renders": True, "start": "x", "driving": "x", "faces": "x"}
    for name, value in given.items():
        if {"start": "from"}.get(name, name) not in USUAL[kind].takes:
            with pytest.raises(ConfigError, match="no such option"):
                figure(kind, path, **{name: value})
    with pytest.raises(OutputError, match="not written so"):
        figure(kind, tmp_path / "x.txt")
    with pytest.raises(ConfigError, match="count"):
        figure(kind, path, count=USUAL[kind].least - 1)
    with pytest.raises(ConfigError, match="spread"):
        figure(kind, path, spread=4)
    with pytest.raises(ConfigError, match="size"):
        figure(kind, path, size=8)


@pytest.mark.parametrize("kind", NEEDED)
def test_what_a_figure_needs_is_named(kind, tmp_path):
    with pytest.raises(ConfigError, match=f"--{NEEDED[kind]}"):
        figure(kind, tmp_path / f"x{USUAL[kind].suffixes[0]}")


def test_kinds_of_checkpoints(monkeypatch):
    import facemorph.storage.checkpoint as module

    for system, kind in (("GIF", "GIF"), ("SmallGIF", "GIF"), ("ImFacePlusPlus", "ImFace")):
        monkeypatch.setattr(module, "system_of", lambda checkpoint, system=system: system)
        assert kind_of("x", ("ImFace", "GIF"), "no") == kind
    with pytest.raises(CheckpointError, match="nothing to see"):
        kind_of("x", ("GIF",), "nothing to see")
    monkeypatch.setattr(module, "system_of", lambda checkpoint: "IFMorph")
    with pytest.raises(CheckpointError, match="IFMorph"):
        kind_of("x", ("GIF",), "nothing to see")


# ------------------------------------------------------------
# faces
def test_faces_are_chosen_joined_and_replaced(faces):
    both = GeneratedFaces.joined([faces[2:3], faces[torch.tensor([0, 1])]])
    assert both.added is None
    torch.testing.assert_close(both.codes, faces.codes[[2, 0, 1]])
    torch.testing.assert_close(both.parameters.vector(), faces.parameters.vector()[[2, 0, 1]])
    mixed = exchanged(faces, faces[torch.tensor([1, 2, 0])], ["light", "codes"])
    for name, value in faces.parameters.tensors().items():
        wanted = value.roll(-1, 0) if name == "light" else value
        assert torch.equal(mixed.parameters.tensors()[name], wanted), name
    assert torch.equal(mixed.codes, faces.codes.roll(-1, 0))
    same = with_values(faces, rotation=torch.ones(1, 3))
    assert torch.equal(same.parameters.rotation, torch.ones(3, 3))
    assert torch.equal(same.parameters.identity, faces.parameters.identity)


def test_at_rest_only_the_person_stays(faces):
    calm = at_rest(faces)
    for name in ("expression", "joints", "rotation"):
        assert not calm.parameters.tensors()[name].any()
    for name in ("identity", "albedo"):
        assert torch.equal(calm.parameters.tensors()[name], faces.parameters.tensors()[name])
    assert torch.equal(calm.codes, faces.codes)
    assert torch.equal(calm.parameters.light[0], calm.parameters.light[2])


def test_a_lamp_lights_its_side():
    left, front, right = (lamp_at(angle) for angle in (-70.0, 0.0, 70.0))
    sides = torch.nn.functional.normalize(torch.tensor([[-1.0, 0, 1], [1.0, 0, 1]]), dim=1)

    def lit(light):
        return shading(sides[None], light[:, None])[0].mean(1)

    assert lit(right)[1] > 1.3 * lit(right)[0]
    torch.testing.assert_close(lit(right), lit(left).flip(0), atol=2e-3, rtol=0)
    torch.testing.assert_close(lit(front)[0], lit(front)[1], atol=2e-3, rtol=0)


def test_turns_and_names(faces, model):
    matrix = rotation_from_vector(turned(faces, 30.0).parameters.rotation)[0]
    nose = matrix @ torch.tensor([0.0, 0.0, 1.0])
    assert float(nose[0]) == pytest.approx(math.sin(math.radians(30)), abs=1e-6)
    assert has_expression(model, "mouthSmile")
    assert has_expression(model, "jawOpen")
    assert not has_expression(model, "hair")


def test_a_teaser_of_a_model_without_named_expressions():
    """As of FLAME: components of expressions without bounds, and a jaw that turns."""
    names = tuple(f"expression_{number}" for number in range(5))
    joints = ("neck", "jaw")
    flame = SimpleNamespace(
        expression_names=names,
        expression_range=(-math.inf, math.inf),
        joint_names=joints,
        num_identity=2,
    )
    sizes = {"identity": (2,), "expression": (5,), "joints": (2, 3), "rotation": (3,)}
    sizes |= {"origin": (2,), "log_size": (), "focal": (), "light": (9, 3), "albedo": (1,)}
    zeros = {name: torch.zeros(1, *size) for name, size in sizes.items()}
    person = GeneratedFaces(torch.zeros(1, 4), FaceParameters("flame", names, **zeros))
    rows = {
        row.name: row
        for row in teaser_rows(flame, person, (torch.tensor([0.5]), torch.tensor([2.0])))
    }
    assert list(rows) == [
        *("shape 1:", "shape 2:"),  # there are no more
        *("expression 1:", "expression 2:", "expression 3:"),
        *("yaw", "jaw", "skin 1:", "lamp"),
    ]
    third = rows["expression 3:"]
    assert (third.low, third.high) == (-3, 3)
    assert third.change(-3.0).parameters.expression.tolist() == [[0, 0, -3, 0, 0]]
    assert (rows["jaw"].low, rows["jaw"].high) == (0, 15)
    opened = rows["jaw"].change(15.0).parameters.joints[0]
    assert float(opened[1].norm()) == pytest.approx(math.radians(15), abs=1e-6)
    assert not opened[0].any()
    assert rows["skin 1:"].change(-1.5).parameters.albedo.tolist() == [[-2.5]]


# ------------------------------------------------------------
# pictures
def test_tiles_lie_in_rows():
    pictures = [torch.full((3, 4, 4), 0.1 * number) for number in range(5)]
    found = tiled(pictures, 3, None)
    assert found.shape == (3, 8, 12)
    for number in range(5):
        row, column = divmod(number, 3)
        cell = found[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        assert torch.equal(cell, pictures[number])
    assert bool((found[:, 4:, 8:] == 1).all())
    assert tiled(pictures[:2], 3, 8).shape == (3, 8, 16)


def test_a_video_has_a_sheet_of_its_frames(tmp_path):
    frames = (torch.full((3, 16, 16), number / 20) for number in range(20))
    files = write_video(frames, 20, tmp_path / "out", 12)
    assert files == [tmp_path / "out", tmp_path / "out.sheet.png"]
    assert len(list((tmp_path / "out").glob("*.png"))) == 20
    sheet = load_image(files[1])
    assert sheet.shape == (3, 2 * 228, 4 * 206)
    assert float(sheet[:, 100, 100].mean()) == pytest.approx(0, abs=0.01)
    assert float(sheet[:, 400, 700].mean()) == pytest.approx(0.95, abs=0.01)


def test_distances_are_written(tmp_path):
    distances = {
        "deviations": [0.0, 1.0],
        "frechet": [2.0, 3.0],
        "kernel": [0.5, 0.75],
        "floor": 1.0,
        "pictures": 20,
    }
    assert write_distances(distances, tmp_path / "a.svg") == [tmp_path / "a.csv"]
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"deviation": "1", "frechet": "3", "kernel": "0.75"}
    assert "other real people" in (tmp_path / "a.svg").read_text()


# ------------------------------------------------------------
# components
def test_components_are_those_of_the_covariance():
    people = PeopleModel()
    with pytest.raises(CheckpointError, match="no people"):
        principal_components(people, slice(None), 2)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(200, 9, generator=generator) * torch.arange(1.0, 10)
    people.fit_values(values[:, :4], values[:, 4:6], values[:, 6:])
    found = principal_components(people, slice(0, 6), 3)
    wanted, vectors = np.linalg.eigh((people.factor @ people.factor.T)[:6, :6].double().numpy())
    np.testing.assert_allclose(found.deviations.square(), wanted[::-1][:3], rtol=1e-5)
    alike = np.abs((found.directions.numpy() * vectors.T[::-1][:3]).sum(1))
    np.testing.assert_allclose(alike, 1, atol=1e-5)
    np.testing.assert_allclose(found.explained, wanted[::-1][:3] / wanted.sum(), rtol=1e-5)
    largest = found.directions.gather(1, found.directions.abs().argmax(1, keepdim=True))
    assert bool((largest > 0).all())
    torch.testing.assert_close(found.mean, values[:, :6].mean(0), atol=1e-5, rtol=1e-4)
