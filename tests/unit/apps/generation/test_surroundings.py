"""What photographs show around faces: bent with heads, covered, mixed, relit, and in files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import ROOT

from facemorph.apps.fitting.located_face import locate
from facemorph.apps.generation.face_files import PHOTOGRAPHS, read_faces, save_people
from facemorph.apps.generation.figures.figure_faces import between, exchanged
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.generation.inversion import invert_faces
from facemorph.apps.generation.surroundings import Photographs, Surroundings
from facemorph.apps.generation.texture_editing import with_skin
from facemorph.cli import run
from facemorph.engine.portrait_frames import framed
from facemorph.errors import DataError
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.lighting import ambient_light

PHOTOGRAPH = ROOT / "data" / "sample" / "sample_collins.png"
SIDE = 128
NOSE, CORNER, HAIR = (72, 64), (4, 4), (6, 64)


@pytest.fixture(scope="module")
def model():
    return load_model("makehuman")


@pytest.fixture(scope="module")
def face(model):
    lit = replace(FaceParameters.neutral(model, 1, 13), light=ambient_light(1.0)[None])
    return framed(model, lit, SIDE)


@pytest.fixture(scope="module")
def photographs(face):
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).mul(0.5).add(0.2)
    smooth = torch.nn.functional.interpolate(images, (SIDE, SIDE), mode="bicubic")
    return Photographs.of(smooth, smooth, nowhere(smooth), face)


@pytest.fixture(scope="module")
def generator():
    return FaceGenerator.load("@open:varitex")


def nowhere(images):
    return torch.zeros(len(images), 1, SIDE, SIDE, dtype=torch.bool)


def negative_of(photographs, face):
    images = 1 - photographs.images
    return Photographs.of(images, images, nowhere(images), face)


def turned(model, face, degrees):
    rotation = torch.tensor([[0.0, float(np.radians(degrees)), 0.0]])
    return framed(model, replace(face, rotation=rotation), SIDE)


def test_as_it_was_the_photograph_is_around_the_face(model, face, photographs):
    around, green = Surroundings(photographs, torch.ones(1, 1)), torch.zeros(3, SIDE, SIDE)
    green[1] = 1
    found = around.around(0, model, face, green)
    bent, cover = photographs.bent(0, model, face)
    assert float((bent - photographs.images[0]).abs().max()) < 0.02
    assert float(cover[0, *NOSE]) == pytest.approx(1)
    assert torch.equal(found[:, *NOSE], green[:, *NOSE])
    for place in (CORNER, HAIR):
        assert float(cover[0, *place]) == 0
        torch.testing.assert_close(
            found[:, *place], photographs.images[0][:, *place], atol=0.01, rtol=0
        )
    assert 0.15 < float(cover.mean()) < 0.5


def test_it_goes_with_the_head_and_the_picture_s_corners_stay(model, face, photographs):
    bent, cover = photographs.bent(0, model, turned(model, face, 20))
    before = photographs.images[0]
    assert float((bent - before)[:, :40, 30:100].abs().mean()) > 0.03
    apart = (bent - before).abs()
    for corner in (apart[:, :8, :8], apart[:, :8, -8:], apart[:, -8:, :8], apart[:, -8:, -8:]):
        assert float(corner.mean()) < 0.3 * float(apart.mean())
    assert float(cover[0, *CORNER]) == 0


def test_what_is_left_of_one_is_the_generator_s(model, face, photographs):
    picture = torch.rand(3, SIDE, SIDE)
    whole, half, none = (
        Surroundings(photographs, torch.full((1, 1), share)).around(0, model, face, picture)
        for share in (1.0, 0.5, 0.0)
    )
    torch.testing.assert_close(none, picture)
    torch.testing.assert_close(half, (whole + picture) / 2)


def test_light_changes_the_head_and_not_the_scene(model, face, photographs):
    plain = photographs.bent(0, model, face)[0]
    brighter = replace(face, light=face.light * 1.3)
    bright = photographs.bent(0, model, brighter)[0]
    ratio = bright / plain
    assert float(ratio[:, 60, 40:90].mean()) == pytest.approx(1.3, abs=0.01)
    torch.testing.assert_close(ratio[:, *CORNER], torch.ones(3), atol=0.02, rtol=0)


def test_faces_are_chosen_joined_mixed_and_exchanged(face, photographs):
    kept = Surroundings(photographs, torch.ones(1, 1))
    found = GeneratedFaces(torch.zeros(1, 4), face, None, kept)
    drawn = GeneratedFaces(torch.ones(2, 4), FaceParameters.joined([face, face]))
    assert drawn[:1].surroundings is None
    both = GeneratedFaces.joined([found, drawn, found])
    assert both.surroundings.photographs is photographs
    assert both.surroundings.shares.tolist() == [[1], [0], [0], [1]]
    assert both[torch.tensor([1, 3])].surroundings.shares.tolist() == [[0], [1]]
    second = negative_of(photographs, face)
    other = replace(found, surroundings=Surroundings(second, torch.ones(1, 1)))
    pair = GeneratedFaces.joined([found, drawn, other]).surroundings
    assert len(pair.photographs) == len(pair.photographs.parameters) == 2
    assert torch.equal(pair.photographs.images[0], photographs.images[0])
    assert pair.shares.tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]
    mixed = between(found, other, torch.tensor([0.25]))
    assert mixed.surroundings.shares.tolist() == [[0.75, 0.25]]
    assert between(drawn[:1], found, torch.tensor([0.25])).surroundings.shares.tolist() == [[0.25]]
    assert GeneratedFaces.joined([drawn, drawn]).surroundings is None
    assert exchanged(found, drawn[:1], ["codes"]).surroundings is None
    assert exchanged(found, drawn[:1], ["expression"]).surroundings is kept


@pytest.mark.parametrize("off", [0.0, 0.08])
def test_what_the_generator_does_not_make_is_the_photograph_s_but_for_eyes_and_mouth(
    model, face, photographs, off
):
    """Something on a cheek and on the lips, however well the rest is met."""
    images, everywhere = photographs.images, torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)
    lips, cheek, other = (96, 64), (78, 46), (78, 82)
    made = (images + off).clone()
    for y, x in (lips, cheek):
        made[:, :, y - 3 : y + 4, x - 4 : x + 5] = 1.5
    kept = Photographs.of(images, made, everywhere, face)
    cover = kept.bent(0, model, face)[1][0]
    assert float(cover[cheek]) < 0.05
    assert float(cover[lips]) > 0.95
    assert float(cover[other]) > 0.95


def test_files(tmp_path, generator, face, photographs):
    codes = torch.randn(2, generator.code_size)
    twice = FaceParameters.joined([face, face])
    kept = Surroundings(photographs, torch.tensor([[1.0], [0.25]]))
    faces = GeneratedFaces(codes, twice, None, kept)
    save_people(faces, tmp_path)
    found = read_faces(tmp_path, generator)
    assert torch.equal(found.surroundings.photographs.images, photographs.images)
    assert torch.equal(found.surroundings.shares, kept.shares)
    pictures = [torch.stack(list(generator.pictures(one))) for one in (faces, found)]
    assert torch.equal(*pictures)

    plain = replace(faces, surroundings=None)
    assert not torch.equal(torch.stack(list(generator.pictures(plain))), pictures[0])
    save_people(plain, tmp_path)
    assert read_faces(tmp_path, generator).surroundings is None
    assert not (tmp_path / PHOTOGRAPHS).exists()


@pytest.mark.parametrize("fault", ["share", "count", "side", "missing"])
def test_photographs_that_do_not_fit_are_said(tmp_path, generator, face, photographs, fault):
    faces = GeneratedFaces(
        torch.randn(1, generator.code_size),
        face,
        None,
        Surroundings(photographs, torch.full((1, 1), 1.5 if fault == "share" else 1.0)),
    )
    save_people(faces, tmp_path)
    with np.load(tmp_path / "codes.npz") as file:
        arrays = dict(file)
    if fault == "count":
        arrays["shares"] = np.ones((2, 1), np.float32)
    elif fault == "side":
        arrays["photographs"] = arrays["photographs"][..., :64, :64]
    np.savez(tmp_path / "codes.npz", **arrays)
    if fault == "missing":
        (tmp_path / PHOTOGRAPHS).unlink()
    with pytest.raises(DataError) as error:
        read_faces(tmp_path, generator)
    assert str(tmp_path) in str(error.value)


def test_paint_on_the_face_keeps_them_and_paint_beyond_does_not(
    tmp_path, generator, face, photographs, caplog
):
    kept = Surroundings(photographs, torch.ones(1, 1))
    person = GeneratedFaces(torch.zeros(1, generator.code_size), face, None, kept)
    other = GeneratedFaces(torch.randn(1, generator.code_size), face)
    lips = with_skin(generator, person, other, ["lips"], None, 1.0)
    assert torch.equal(lips.surroundings.shares, kept.shares)
    unlike = Photographs(photographs.images, torch.zeros(1, 1, SIDE, SIDE), face)
    hidden = replace(person, surroundings=Surroundings(unlike, torch.ones(1, 1)))
    seen = with_skin(generator, hidden, other, ["lips"], None, 1.0).surroundings.photographs
    assert float(seen.likeness[0, 0, 93:99, 60:68].mean()) > 0.5  # the lips
    assert float(seen.likeness[0, 0, :70].max()) == 0
    assert not caplog.records
    whole = with_skin(generator, person, other, None, None, 1.0)
    assert whole.surroundings is None
    assert "beyond the face" in caplog.text


@pytest.mark.parametrize("kind", ["photograph", "generated"])
def test_an_inversion_is_written_with_its_photograph_or_without(tmp_path, kind):
    words = ["invert", str(PHOTOGRAPH), "--checkpoint", "@open:gif", "--steps", "1"]
    assert run([*words, "--surroundings", kind, "-o", str(tmp_path / "found")]) == 0
    words = ["sample", "--checkpoint", "@open:gif", "--from", str(tmp_path / "found")]
    assert run([*words, "--yaw", "10", "-o", str(tmp_path / "turned")]) == 0
    for folder in ("found", "turned"):
        assert (tmp_path / folder / PHOTOGRAPHS).is_file() == (kind == "photograph")


def test_an_inversion_has_its_photograph_s_hair(generator):
    located, hair = [locate(PHOTOGRAPH, None, "embedded")], (slice(None), slice(0, 24))
    apart = {}
    for kind in ("photograph", "generated"):
        found = invert_faces(generator, located, 1, True, kind)
        apart[kind] = float((found.picture - found.target)[hair].abs().mean())
    assert apart["photograph"] < 0.01 < 0.05 < apart["generated"]
