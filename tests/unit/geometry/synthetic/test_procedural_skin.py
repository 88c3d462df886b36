"""Skin without photographs: tones of real people, both sides alike, the same for a seed, a linear
basis.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.synthetic.procedural_skin import even_skin, skin_basis, skin_texture, tone
from facemorph.geometry.synthetic.random_skin import (
    DARKEST,
    HAIR,
    LIGHTEST,
    NAMES,
    melanin_of,
    random_skin,
)
from facemorph.geometry.synthetic.skin_fields import (
    EYE,
    SKIN,
    signed_distance,
    smooth_step,
    texel_fields,
    vertex_fields,
)

SIZE = 256


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


def lab_of(colour):
    return rgb2lab(np.asarray(colour, np.float64).reshape(1, -1, 3))[0]


def test_tones_are_those_of_people():
    """Individual typology angle from below -50 (dark) to above 55 (very light); hue between red and
    yellow.
    """
    melanin = np.array([melanin_of(value) for value in np.linspace(-2.2, 2.2, 23)])
    lab = lab_of(tone(melanin, np.zeros(23)))
    angle = np.degrees(np.arctan2(lab[:, 0] - 50, lab[:, 2]))
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1]))
    assert angle.max() > 55
    assert angle.min() < -50
    assert (np.diff(lab[:, 0]) < 0).all()  # more melanin is darker, without a turn
    assert ((hue > 30) & (hue < 80)).all()
    assert ((lab[:, 0] > 15) & (lab[:, 0] < 92)).all()
    assert melanin.min() >= LIGHTEST
    assert melanin.max() <= DARKEST


def test_blood_makes_red():
    lab = lab_of(tone(np.full(3, 0.5), np.array([-1.0, 0.0, 1.0])))
    assert (np.diff(lab[:, 1]) > 0).all()


def test_fields_are_the_same_on_both_sides(model):
    fields, mirror = vertex_fields(model), model.topology.mirror.numpy()
    for name, values in fields.values.items():
        assert values.shape == (model.num_vertices,)
        assert values.min() >= 0
        assert values.max() <= 1
        limit = 0.1 if name == "occlusion" else 0.02  # which is seen from finitely many directions
        assert np.quantile(np.abs(values - values[mirror]), 0.98) < limit, name


def test_even_skin_mirrors_in_the_map(model):
    """A flip of the chart is the mirror map of the head."""
    fields = texel_fields(model, SIZE)
    values = dict.fromkeys(NAMES, 0.7)
    colour = even_skin(fields, values).reshape(SIZE, SIZE, 3)
    skin = (fields.part == SKIN).reshape(SIZE, SIZE)
    skin[int(0.85 * SIZE) :] = False  # below are eyes and mouth
    difference = np.abs(colour - colour[:, ::-1])[skin & skin[:, ::-1]]
    assert np.quantile(difference, 0.99) < 0.03


def test_features_are_where_they_belong(model):
    fields = vertex_fields(model)
    landmarks = model.landmarks(model.mean[None])[0].numpy()
    for index in (51, 57):  # both lips
        nearest = np.linalg.norm(model.mean.numpy() - landmarks[index], axis=1).argsort()[:12]
        assert fields["lips"][nearest].max() > 0.4
    for index in (19, 24):
        nearest = np.linalg.norm(model.mean.numpy() - landmarks[index], axis=1).argsort()[:6]
        assert fields["brow"][nearest].max() > 0.5
    assert fields["lips"][model.topology.masks["scalp"].numpy()].max() == 0
    assert fields["beard"][model.mean.numpy()[:, 1] > 20].max() == 0
    assert (fields.part[model.topology.masks["eye_left"].numpy()] == EYE).all()


def test_texture_of_a_person(model):
    skin = replace(
        random_skin(np.random.default_rng(4)), beard=0.0, freckles=0.0, moles=0, hairline=0.0
    )
    skin = replace(skin, coefficients=dict.fromkeys(NAMES, 0.0), hair=HAIR[0])
    texture = skin_texture(model, skin, SIZE)
    fields = texel_fields(model, SIZE)
    colour = texture.numpy().reshape(3, -1).T
    lab = lab_of(colour)
    assert texture.shape == (3, SIZE, SIZE)
    assert float(texture.min()) >= 0
    assert float(texture.max()) <= 1
    forehead, lips = fields["forehead"] > 0.8, fields["lips"] > 0.9
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1]))
    assert np.median(hue[lips]) < np.median(hue[forehead]) - 5  # redder
    assert lab[fields["brow"] > 0.9, 0].mean() < lab[forehead, 0].mean() - 10  # darker
    assert lab[fields["hair"] > 0.8, 0].mean() < 30
    eye = fields.part == EYE
    radius = np.hypot(*fields.iris.T)
    pupil, white = eye & (radius < 1), eye & (radius > 8) & (radius < 11)
    assert np.median(lab[pupil, 0]) < 20
    assert np.median(lab[white, 0]) > 60


def test_a_skin_is_the_same_for_a_seed(model):
    first, again, other = (random_skin(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(skin_texture(model, first, SIZE), skin_texture(model, again, SIZE))
    assert not torch.equal(skin_texture(model, first, SIZE), skin_texture(model, other, SIZE))


def test_random_people_differ():
    people = [random_skin(np.random.default_rng([0, number])) for number in range(400)]
    melanin = np.array([melanin_of(one.coefficients["melanin"]) for one in people])
    thirds = np.histogram(melanin, 3, (LIGHTEST, DARKEST))[0] / len(people)
    assert (thirds > 0.22).all()  # light, brown and dark skin alike often
    assert 0.15 < np.mean([one.beard > 0.1 for one in people]) < 0.5
    light_eyes = np.array([one.iris[2] > one.iris[0] for one in people])
    assert light_eyes[melanin < 0.5].mean() > 0.1
    assert light_eyes[melanin > 1.5].mean() < 0.05
    assert all(abs(value) <= 2.2 for one in people for value in one.coefficients.values())


def test_basis_is_linear_around_the_mean(model):
    mean, basis = skin_basis(model)
    assert mean.shape == (model.num_vertices, 3)
    assert basis.shape == (len(NAMES), model.num_vertices, 3)
    assert float(mean.min()) >= 0
    assert float(mean.max()) <= 1
    fields = vertex_fields(model)
    skin = fields.part == SKIN
    luma = basis[:, torch.from_numpy(skin)].mean((1, 2))
    assert luma[NAMES.index("melanin")] < -0.05  # one deviation of melanin darkens visibly
    brow = torch.from_numpy(fields["brow"] > 0.8)
    strongest = basis[NAMES.index("brows")].abs().amax(1)
    assert (
        strongest[brow].mean()
        > 20 * strongest[~brow & (torch.from_numpy(fields["brow"]) == 0)].mean()
    )
    mirror = model.topology.mirror
    assert (
        float((basis - basis[:, mirror]).abs().quantile(0.99) if basis.numel() < 1e6 else 0) < 0.02
    )


def test_plain_eyes_have_an_iris(model):
    """Brown around the middle, dark in it, white beside it: not white all over."""
    mean, _ = skin_basis(model)
    fields = vertex_fields(model)
    radius = np.hypot(*fields.iris.T)
    front = (fields.part == EYE) & (fields.place[:, 2] > 5)
    luma = mean.mean(1).numpy()
    iris, white = front & (radius < 5.4), front & (radius > 8)
    assert iris.sum() >= 12
    assert luma[iris].max() < 0.35
    assert luma[front & (radius < 2.6)].mean() < luma[front & (radius > 4) & iris].mean()
    assert luma[white].min() > 0.5


def test_refinement_explains_a_bright_face_by_fair_skin(model):
    """The light comes out as ``random_light`` draws it, not twice as strong."""
    from facemorph.geometry.fitting.photometric_fit import refine_by_picture
    from facemorph.geometry.rendering.camera import Camera
    from facemorph.geometry.rendering.lighting import light_level, random_light, shading
    from facemorph.geometry.rendering.renders import MeshView

    mean, basis = skin_basis(model)
    camera = Camera(torch.eye(3)[None], torch.tensor([[96.0, 90.0]]), torch.tensor([-0.4]))
    view = MeshView.of(model.mean[None], model.topology.faces, camera, (192, 192))
    light = random_light(1, torch.Generator().manual_seed(3))
    light = light * (0.95 / light_level(light).mean())
    fair = (mean - 1.8 * basis[NAMES.index("melanin")]).clamp(0, 1)
    lit = shading(view.normals().movedim(1, -1), light[:, None, None]).movedim(-1, 1)
    image = (view.attribute(fair[None]) * lit).clamp(0, 1)[0]
    found = refine_by_picture(
        model,
        [image],
        camera.project(model.landmarks(model.mean[None])).pixels,
        torch.zeros(1, 80),
        torch.zeros(1, 52),
        camera,
        mean,
        basis,
    )
    level = light_level(found.light)
    assert float(level.min()) > 0.65
    assert float(level.max()) < 1.05
    assert float(found.albedo[0, NAMES.index("melanin")]) < -1.2


def test_refinement_takes_the_basis(model):
    from facemorph.geometry.fitting.photometric_fit import PhotometricOptions, refine_by_picture
    from facemorph.geometry.rendering.camera import Camera
    from facemorph.geometry.rendering.renders import MeshView

    mean, basis = skin_basis(model)
    camera = Camera(torch.eye(3)[None], torch.tensor([[96.0, 90.0]]), torch.tensor([-0.4]))
    view = MeshView.of(model.mean[None], model.topology.faces, camera, (192, 192))
    image = view.attribute((mean + basis[0])[None])[0]
    points = camera.project(model.landmarks(model.mean[None])).pixels
    found = refine_by_picture(
        model,
        [image],
        points,
        torch.zeros(1, 80),
        torch.zeros(1, 52),
        camera,
        mean,
        basis,
        PhotometricOptions(steps=10),
    )
    assert found.albedo.shape == (1, len(NAMES))
    assert bool(torch.isfinite(found.albedo).all())


def test_signed_distance_of_a_square():
    square = np.array([[0.0, 0], [4, 0], [4, 4], [0, 4]])
    points = np.array([[2.0, 2], [2, 3], [5, 2], [7, 8], [-1, -1]])
    expected = [-2, -1, 1, 5, 2**0.5]
    assert np.allclose(signed_distance(points, square), expected)


def test_smooth_step_both_ways():
    values = np.linspace(-1, 2, 31)
    assert np.allclose(smooth_step(0, 1, values) + smooth_step(1, 0, values), 1, atol=1e-6)
