"""A photograph that moves by an untrained generator, which begins as the head's flow."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facemorph.apps.fitting.located_face import locate
from facemorph.apps.reenactment.reenactor import FEATHER, Reenactor, load_reenactment, square_around
from facemorph.errors import CheckpointError, ConfigError, DataError, NoFaceFound
from facemorph.faces.alignment import apply_affine, invert_affine, reenactment_box
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.systems.gdpw.small_generator import SmallGenerator
from facemorph.systems.gdpw.small_system import SmallGDPW


@pytest.fixture(scope="module")
def system():
    torch.manual_seed(0)
    made = SmallGDPW(SmallGenerator((6, 8, 10), 64), perceptual=None)
    with torch.no_grad():
        made.generator.colour.weight.zero_()
        made.generator.colour.bias.fill_(-30.0)  # no colour of its own: only the flow is left
    return made


@pytest.fixture(scope="module")
def person(samples, system):
    return Reenactor(samples[0], system)


def test_the_square_is_that_of_the_training_pairs_in_the_photographs_own_size(person, samples):
    face = locate(samples[0])
    _, side = reenactment_box(face.landmarks.double())
    assert abs(person.frame.width - side) <= 1
    assert person.frame.width % 2 == 0  # videos need even sides
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0]]) * person.frame.width
    low, high = apply_affine(corners, person.matrix)
    assert float((high - low - side).abs().max()) < 1e-3
    marks = apply_affine(face.landmarks, invert_affine(person.matrix).float())
    points = person.model.landmarks(vertices_of(person.model, person.parameters))
    camera = camera_of(person.parameters, person.frame)
    fitted = camera.project(points).pixels[0]
    assert float((fitted - marks).norm(dim=1).mean()) < 0.03 * person.frame.width


def test_its_own_parameters_give_the_photograph_back(person):
    found = person(person.parameters)
    assert found.shape == person.portrait.image.shape
    assert float((found - person.portrait.image).abs().mean()) < 0.01


def test_a_frame_is_that_of_the_generator_with_everything_computed_anew(person, system):
    moved = person.parameters.with_expression(jawOpen=0.5)
    again = Reenactor(person.photograph, system)
    # Fits agree to the last bits only, as LAPACK's results depend on how memory lies.
    assert float((person(moved) - again(moved)).abs().mean()) < 1e-3
    same = person(person.parameters) - person(person.parameters)
    assert float(same.abs().mean()) < 1e-3


def test_the_head_goes_where_it_is_sent(person):
    shift = 0.06 * person.frame.width
    moved = replace(
        person.parameters, origin=person.parameters.origin + torch.tensor([[shift, 0.0]])
    )
    from facemorph.faces.detection import find_face, make_detector

    detector = make_detector()
    before, after = (
        find_face(one, detector).points.mean(0) for one in (person.portrait.image, person(moved))
    )
    assert float((after - before)[0]) == pytest.approx(shift, rel=0.15)
    assert abs(float((after - before)[1])) < 0.15 * shift


def test_a_wished_size(samples, system):
    person = Reenactor(samples[0], system, size=200)
    assert person(person.parameters).shape == (3, 200, 200)
    with pytest.raises(ConfigError, match="64 to 2048"):
        Reenactor(samples[0], system, size=5000)


@pytest.mark.parametrize("size", [None, 128, 700])
def test_pasting_back_changes_only_the_square(samples, system, size):
    person = Reenactor(samples[0], system, size=size)
    flat = torch.full((3, person.frame.height, person.frame.width), 0.25)
    whole = person.paste(flat)
    assert whole.shape == person.photograph.shape
    changed = (whole - person.photograph).abs().amax(0) > 1e-4
    rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
    low, high = apply_affine(
        torch.tensor([[0.0, 0.0], [1.0, 1.0]]) * person.frame.width, person.matrix
    )
    assert float(columns.min()) >= float(low[0]) - 1
    assert float(columns.max()) <= float(high[0])
    assert float(rows.min()) >= float(low[1]) - 1
    middle = ((low + high) / 2).long()
    torch.testing.assert_close(whole[:, middle[1], middle[0]], torch.full((3,), 0.25))
    # The border is a soft one: nothing jumps.
    column = whole[0, middle[1]] - person.photograph[0, middle[1]]
    inside = column[int(low[0]) + 2 : int(low[0] + FEATHER * (high - low)[0]) - 1]
    assert float(inside[0].abs()) < 0.1 * float((0.25 - person.photograph[0]).abs().max())


def test_what_was_cut_out_fits_its_place(person):
    assert float((person.paste(person.portrait.image) - person.photograph).abs().mean()) < 0.01


def test_doubtful_photographs_are_said(samples, system, caplog):
    image = load_image(samples[0])
    small = torch.nn.functional.interpolate(image[None], scale_factor=0.3, mode="area")[0]
    Reenactor(small, system)
    assert "face is small" in caplog.text


def test_tiny_faces_are_refused(samples, system):
    image = load_image(samples[0])
    tiny = torch.nn.functional.interpolate(image[None], size=(40, 40), mode="area")[0]
    marks = locate(samples[0]).landmarks * (40 / image.shape[1])
    face = replace(locate(samples[0]), image=tiny, landmarks=marks)
    with pytest.raises(DataError, match="too small"):
        square_around(face, None)


def test_bad_input(samples, system, tmp_path):
    with pytest.raises(NoFaceFound):
        Reenactor(torch.zeros(3, 200, 200), system)
    person = Reenactor(samples[0], system)
    with pytest.raises(DataError, match="another model"):
        person(replace(person.parameters, model="flame"))
    with pytest.raises(CheckpointError, match="another system"):
        load_reenactment("@open:gif")
    with pytest.raises(CheckpointError):
        Reenactor(samples[0], tmp_path / "missing.ckpt")
