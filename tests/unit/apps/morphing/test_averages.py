"""Averages, transforms, caricatures and symmetric faces: identities, and oracles computed another
way.
"""

from __future__ import annotations

import math

import pytest
import torch
from scipy.ndimage import gaussian_filter

from facemorph.apps.morphing.averages import (
    average_faces,
    caricature_face,
    smooth_inside,
    symmetrize_face,
    transform_face,
    warp_face,
)
from facemorph.errors import ConfigError, DataError
from facemorph.faces.landmark_schemes import mirror_ibug68
from facemorph.faces.masks import face_mask
from facemorph.faces.pair import PreparedFace, prepare_faces
from facemorph.faces.procrustes import procrustes_align

SIZE = 128


@pytest.fixture(scope="module")
def faces(samples):
    return prepare_faces(samples, size=SIZE)


def shifted(face, dx, dy):
    """The same face elsewhere: picture rolled by whole pixels, landmarks with it."""
    image = face.image.roll((dy, dx), (1, 2))
    return PreparedFace(
        image, face.points + torch.tensor([dx, dy], dtype=torch.float64), face.scheme
    )


def inside(face, *images):
    mask = face_mask(face.points, face.scheme, face.frame)[0] == 1
    return [image[:, mask] for image in images]


# ------------------------------------------------------------
# average
@pytest.mark.parametrize("mean", ["procrustes", "plain"])
def test_the_average_of_one_face_or_of_equal_ones_is_the_face(faces, mean):
    for count in (1, 3):
        result = average_faces([faces[0]] * count, mean)
        assert torch.allclose(result.image, faces[0].image, atol=1e-6)
        assert torch.equal(result.points, faces[0].points)


@pytest.mark.parametrize("mean", ["procrustes", "plain"])
def test_the_order_does_not_matter(faces, mean):
    three = [*faces, symmetrize_face(faces[0])]
    one, two = average_faces(three, mean), average_faces(three[::-1], mean)
    assert torch.allclose(one.points, two.points, atol=1e-8)
    assert float((one.image - two.image).abs().max()) < 1e-5


def test_the_average_commutes_with_the_mirror(faces):
    def mirror(face):
        return PreparedFace(face.image.flip(-1), mirror_ibug68(face.points, SIZE), "ibug68")

    straight, mirrored = (
        mirror(average_faces(faces)),
        average_faces([mirror(face) for face in faces]),
    )
    assert torch.allclose(straight.points, mirrored.points, atol=1e-7)
    assert float((straight.image - mirrored.image).abs().max()) < 1e-3


def test_a_shift_of_the_inputs_shifts_the_average(faces):
    plain = average_faces([faces[0], shifted(faces[0], 4, 2)])
    assert torch.allclose(
        plain.points, faces[0].points + torch.tensor([2.0, 1.0]).double(), atol=1e-9
    )
    # Both warps end at the same whole-pixel place: the average shows the face there, as sharp as it
    # was.
    wanted = shifted(faces[0], 2, 1)
    got, expected = inside(wanted, plain.image, wanted.image)
    assert float((got - expected).abs().mean()) < 0.01
    sharp, sharpest = inside(
        wanted, *(image - image.roll(1, 2) for image in (plain.image, wanted.image))
    )
    assert float(sharp.abs().mean()) > 0.95 * float(sharpest.abs().mean())


def test_means_differ_by_pose_only_where_they_should(faces):
    turned = shifted(faces[1], 3, 0)
    plain = average_faces([faces[0], turned], "plain")
    assert torch.allclose(plain.points, (faces[0].points + turned.points) / 2)
    assert not torch.allclose(average_faces([faces[0], turned]).points, plain.points)


def test_faces_that_cannot_be_averaged(faces):
    with pytest.raises(DataError, match="no face"):
        average_faces([])
    with pytest.raises(DataError, match="different schemes"):
        average_faces([faces[0], PreparedFace(faces[1].image, faces[1].points[:5], "points5")])
    with pytest.raises(DataError, match="different frames"):
        average_faces([faces[0], PreparedFace(faces[1].image[:, :-1], faces[1].points, "ibug68")])
    with pytest.raises(ConfigError, match="no such mean"):
        average_faces(faces, "median")


def test_warps_meet_the_landmarks(faces):
    moved = faces[0].points + 2 * torch.randn(
        68, 2, generator=torch.Generator().manual_seed(1)
    ).double().clamp(-1, 1)
    assert warp_face(faces[0], faces[0].points) is faces[0].image
    ramp = PreparedFace(
        faces[0].frame.pixel_centres().permute(2, 0, 1).flip(0)[[0, 1, 1]] / 2 + 0.5,
        faces[0].points,
        "ibug68",
    )
    # A picture of its own coordinates: at the new landmarks it must show the old positions.
    shown = warp_face(ramp, moved)
    at = moved.round().long().clamp(0, SIZE - 1)
    x_seen = (shown[1, at[:, 1], at[:, 0]] - 0.5) * SIZE + SIZE / 2
    x_wanted = faces[0].points[:, 0] + (at[:, 0] + 0.5 - moved[:, 0])
    assert float((x_seen - x_wanted).abs().mean()) < 1.0


# ------------------------------------------------------------
# transforms
def test_nothing_is_changed_by_nothing(faces):
    a, b = faces
    result = transform_face(a, a, b, 0, 0, 0)
    assert result.image is a.image
    assert torch.equal(result.points, a.points)
    assert torch.equal(transform_face(a, b, b, 1, 0, 0).points, a.points)


def test_from_a_to_b_of_a_is_b(faces):
    a, b = faces
    result = transform_face(a, a, b, 1, 1, 1)
    assert torch.allclose(result.points, procrustes_align(b.points, a.points))
    wanted = warp_face(b, result.points)
    got, expected, own = inside(result, result.image, wanted, warp_face(a, result.points))
    assert float((got - expected).abs().max()) < 1e-5
    assert float((own - expected).abs().mean()) > 0.02
    outside = face_mask(result.points, "ibug68", a.frame)[0] == 0
    assert torch.equal(result.image[:, outside], warp_face(a, result.points)[:, outside])


def test_colour_and_texture_add_up_and_are_apart(faces):
    a, b = faces
    none, color, texture, both = (
        transform_face(a, a, b, 0, *parts).image
        for parts in ((0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5))
    )
    whole = none + (color - none) + (texture - none)
    unclipped = (
        (color > 0) & (color < 1) & (texture > 0) & (texture < 1) & (both > 0) & (both < 1)
    ).all(0)
    assert float((whole - both)[:, unclipped].abs().max()) < 1e-5

    def rough(image):
        return float(
            inside(a, image - torch.from_numpy(gaussian_filter(image.numpy(), (0, 2, 2))))[0]
            .abs()
            .mean()
        )

    assert rough(texture - none) > 3 * rough(color - none)
    drift = [float(inside(a, one - none)[0].mean(1).abs().max()) for one in (color, texture)]
    assert drift[0] > 5 * drift[1]


def test_smooth_inside_is_a_weighted_mean():
    image = torch.rand(3, 40, 50)
    mask = torch.zeros(1, 40, 50)
    mask[:, 10:30, 10:35] = 0.5
    got = smooth_inside(image, mask, 3.0)
    top, bottom = (
        gaussian_filter(one.double().numpy(), (0, 3, 3), mode="reflect", truncate=6)
        for one in (image * mask, mask)
    )
    assert (
        float((got - torch.from_numpy(top / bottom.clip(1e-9)))[:, 12:28, 12:33].abs().max()) < 2e-3
    )
    image[:, mask[0] == 0] = 77.0
    assert torch.equal(smooth_inside(image, mask, 3.0), got)
    assert torch.allclose(
        smooth_inside(torch.ones(3, 40, 50), mask, 3.0)[:, 10:30, 10:35], torch.ones(3, 20, 25)
    )


@pytest.mark.parametrize("amount", [math.nan, math.inf, 11, -10.5])
def test_amounts_that_are_none(faces, amount):
    for name in ("shape", "color", "texture"):
        with pytest.raises(ConfigError) as raised:
            transform_face(faces[0], *faces, **{name: amount})
        assert raised.value.where == name


def test_caricatures(faces):
    subject, other = faces
    average = average_faces(faces)
    start = procrustes_align(average.points, subject.points)
    more, less, flat = (caricature_face(subject, average, amount) for amount in (0.5, -0.5, -1))
    assert torch.allclose(more.points - start, 1.5 * (subject.points - start), atol=1e-9)
    assert torch.allclose(less.points - start, 0.5 * (subject.points - start), atol=1e-9)
    assert torch.allclose(flat.points, start, atol=1e-9)
    back = caricature_face(more, PreparedFace(average.image, start, "ibug68"), -1 / 3)
    assert float((back.points - subject.points).norm(dim=1).max()) < 0.5
    anti = caricature_face(subject, average, -1, -1, -1)
    got, wanted = inside(anti, anti.image, warp_face(average, anti.points))
    assert float((got - wanted).abs().max()) < 1e-5
    assert other.scheme == anti.scheme


# ------------------------------------------------------------
# symmetry
def test_symmetric_faces(faces):
    for face in faces:
        result = symmetrize_face(face)
        assert float((result.image - result.image.flip(-1)).abs().max()) < 1e-3
        assert torch.allclose(mirror_ibug68(result.points, SIZE), result.points, atol=1e-6)
        twice = symmetrize_face(result)
        assert float((twice.image - result.image).abs().max()) < 2e-3


def test_shape_and_texture_apart(faces):
    face = faces[0]
    neither = symmetrize_face(face, shape=False, texture=False)
    assert neither.image is face.image
    shape = symmetrize_face(face, texture=False)
    assert torch.allclose(mirror_ibug68(shape.points, SIZE), shape.points, atol=1e-6)
    assert float((shape.image - shape.image.flip(-1)).abs().mean()) > 0.01
    texture = symmetrize_face(face, shape=False)
    assert torch.equal(texture.points, face.points)
    # Warped to the symmetric shape, the symmetric texture is its own mirror image, up to one more
    # resampling.
    straight = warp_face(PreparedFace(texture.image, face.points, "ibug68"), shape.points)
    left, right = inside(shape, straight, straight.flip(-1))
    assert float((left - right).abs().mean()) < 0.01


def test_only_known_schemes_have_mirror_images(faces):
    with pytest.raises(DataError, match="cannot be converted"):
        symmetrize_face(PreparedFace(faces[0].image, faces[0].points[:6], "points6"))
