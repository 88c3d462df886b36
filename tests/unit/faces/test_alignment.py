"""Affine maps, crops, portrait and FFHQ alignment."""

import math

import pytest
import torch

from facemorph.errors import DataError, GeometryError
from facemorph.faces.alignment import (
    apply_affine,
    crop,
    ffhq_crop,
    ffhq_quad,
    fit_similarity,
    invert_affine,
    portrait_crop,
    square_crop_matrix,
)
from facemorph.faces.detection import find_face
from facemorph.faces.files.image_io import load_image
from facemorph.faces.landmark_schemes import chin, eye_centres


@pytest.fixture(scope="module")
def hopper(request):
    image = load_image(request.config.rootpath / "data/sample/sample_hopper.png")
    return image, find_face(image).points


def ramp(height, width):
    """An image whose red and green are the pixel coordinates of each centre."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)])


def moved(points, angle, scale=1.0, shift=(0.0, 0.0)):
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return apply_affine(points, torch.tensor([[cos, -sin, shift[0]], [sin, cos, shift[1]]]))


# ------------------------------------------------------------ similarity
# and crops
def test_fit_similarity_gradcheck():
    source, target = torch.rand(5, 2, dtype=torch.float64), torch.rand(5, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        fit_similarity, (source.requires_grad_(), target.requires_grad_())
    )


def test_fit_similarity_never_reflects():
    source = torch.tensor([[0.0, 0], [1, 0], [0, 1]])
    matrix = fit_similarity(source, source * torch.tensor([-1.0, 1]))
    assert float(torch.det(matrix[:, :2])) >= 0


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (torch.rand(3, 3), torch.rand(3, 3)),
        (torch.rand(3, 2), torch.rand(4, 2)),
        (torch.rand(2), torch.rand(2)),
    ],
)
def test_fit_similarity_checks_shapes(source, target):
    with pytest.raises(DataError):
        fit_similarity(source, target)


def test_fit_similarity_checks_values():
    with pytest.raises(GeometryError, match="coincide"):
        fit_similarity(torch.ones(4, 2), torch.rand(4, 2))
    with pytest.raises(GeometryError, match="not finite"):
        fit_similarity(torch.tensor([[0.0, float("nan")], [1, 1]]), torch.rand(2, 2))


def test_singular_maps_have_no_inverse():
    with pytest.raises(GeometryError, match="no inverse"):
        invert_affine(torch.tensor([[1.0, 2, 0], [2, 4, 0]]))


def test_identity_crop_is_the_image():
    image = torch.rand(3, 9, 9)
    torch.testing.assert_close(crop(image, torch.eye(2, 3), 9), image)
    torch.testing.assert_close(crop(image, torch.eye(2, 3), 9, mode="bicubic"), image)


# torch's cubic kernel (a = -0.75) keeps straight lines only to a twentieth of a pixel
@pytest.mark.parametrize(("mode", "tolerance"), [("bilinear", 2e-3), ("bicubic", 0.06)])
@pytest.mark.parametrize(("side", "angle"), [(20.0, 0.0), (20.0, 0.4), (64.0, -0.9), (7.3, 2.0)])
def test_crop_pixels_come_from_where_the_matrix_says(mode, tolerance, side, angle):
    size = 16
    matrix = square_crop_matrix(torch.tensor([60.0, 50.0]), side, angle, size)
    cut = crop(ramp(100, 120), matrix, size, mode=mode)
    centres = torch.stack(
        torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="xy"), -1
    )
    torch.testing.assert_close(
        cut[:2].permute(1, 2, 0), apply_affine(centres, matrix), rtol=0, atol=tolerance
    )


def test_shrinking_crops_are_antialiased():
    checks = (
        (torch.arange(256)[:, None] + torch.arange(256)[None])
        .remainder(2)
        .float()
        .expand(3, 256, 256)
    )
    cut = crop(checks, square_crop_matrix(torch.tensor([128.0, 128.0]), 256, 0.0, 32), 32)
    assert float((cut - 0.5).abs().max()) < 0.01


def test_padding_modes():
    image = torch.ones(3, 8, 8)
    matrix = square_crop_matrix(torch.tensor([0.0, 4.0]), 8, 0.0, 8)
    assert crop(image, matrix, 8)[0, 4].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert float(crop(image, matrix, 8, padding="border").min()) == 1


def test_crop_gradcheck():
    image = torch.rand(3, 12, 12, dtype=torch.float64, requires_grad=True)
    matrix = square_crop_matrix(
        torch.tensor([6.03, 5.91], dtype=torch.float64), 7.7, 0.3, 4
    ).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda i, m: crop(i, m, 4), (image, matrix), eps=1e-7, atol=1e-4
    )


# ------------------------------------------------------------
# portrait
def test_portrait_lands_the_points_on_the_same_pixels(hopper):
    image, points = hopper
    face = portrait_crop(image, points, "ibug68", 256)
    assert face.image.shape == (3, 256, 256)
    torch.testing.assert_close(apply_affine(face.points, face.matrix), points, rtol=0, atol=1e-3)
    again = find_face(face.image).points
    assert float((again - face.points).norm(dim=-1).mean()) < 2


@pytest.mark.parametrize(
    ("top", "bottom", "left", "right"), [(0, 600, 0, 512), (120, 420, 60, 512), (0, 360, 150, 400)]
)
def test_portrait_invents_no_pixels(hopper, top, bottom, left, right):
    image, points = hopper
    image = image[:, top:bottom, left:right]
    face = portrait_crop(image, points - torch.tensor([left, top]), "ibug68", 128)
    corners = apply_affine(
        torch.tensor([[0.0, 0], [128, 128]], dtype=face.matrix.dtype), face.matrix
    )
    assert float(corners.min()) >= -1e-6
    assert float(corners[1, 0]) <= image.shape[2] + 1e-6
    assert float(corners[1, 1]) <= image.shape[1] + 1e-6
    assert float(face.matrix[0, 0]) == float(face.matrix[1, 1])  # square pixels, no rotation
    assert float(face.matrix[0, 1]) == 0


def test_portrait_of_a_large_picture_shows_the_head(hopper):
    image, points = hopper
    wide = torch.zeros(3, 1500, 1800)
    wide[:, 400:1000, 600:1112] = image
    shifted = points + torch.tensor([600.0, 400.0])
    face = portrait_crop(wide, shifted, "ibug68", 256)
    reach = (chin(shifted, "ibug68") - eye_centres(shifted, "ibug68").mean(0)).norm()
    assert float(face.matrix[0, 0]) * 256 == pytest.approx(1.9 * 1.9 * float(reach), rel=1e-4)
    assert float(face.points.min()) > 40
    assert float(face.points.max()) < 216


def test_portrait_of_degenerate_points():
    with pytest.raises(GeometryError, match="closer than one pixel"):
        portrait_crop(torch.rand(3, 50, 50), torch.full((68, 2), 20.0), "ibug68")
    with pytest.raises(GeometryError):
        portrait_crop(torch.rand(3, 50, 50), torch.full((68, 2), float("nan")), "ibug68")
    with pytest.raises(DataError):
        portrait_crop(torch.rand(3, 50, 50), torch.rand(5, 2), "points5")


# ------------------------------------------------------------
# FFHQ
def test_ffhq_quad_of_a_level_face():
    points = torch.zeros(68, 2)
    points[36:42], points[42:48] = torch.tensor([40.0, 50]), torch.tensor([80.0, 50])
    points[[48, 54]] = torch.tensor([[50.0, 100], [70, 100]])
    center, axis = ffhq_quad(points, "ibug68")
    # eyes (60, 50); the mouth is 50 below: 1.8 * 50 = 90 > 2 * 40; centre 5 below the eyes
    assert center.tolist() == pytest.approx([60, 55])
    assert axis.tolist() == pytest.approx([90, 0])


def test_ffhq_levels_turned_faces(hopper):
    _, points = hopper
    _, axis = ffhq_quad(points, "ibug68")
    center, turned = ffhq_quad(moved(points, 0.3), "ibug68")
    angles = [math.atan2(float(vector[1]), float(vector[0])) for vector in (axis, turned)]
    assert angles[1] - angles[0] == pytest.approx(0.3, abs=1e-4)
    _, kept = ffhq_quad(moved(points, 0.3), "ibug68", rotate=False)
    assert float(kept[1]) == 0
    assert float(kept[0]) == pytest.approx(float(turned.norm()), rel=1e-6)
    assert bool(torch.isfinite(center).all())


def test_ffhq_puts_every_face_at_the_same_place(hopper):
    image, points = hopper
    plain = ffhq_crop(image, points, "ibug68", 128)
    matrix = square_crop_matrix(torch.tensor([256.0, 300.0]), 900, 0.4, 700)
    turned = ffhq_crop(
        crop(image, matrix, 700), apply_affine(points, invert_affine(matrix)), "ibug68", 128
    )
    torch.testing.assert_close(turned.points, plain.points, rtol=0, atol=0.02)
    inner = slice(40, 90)
    assert float((turned.image - plain.image)[:, inner, inner].abs().mean()) < 0.03


def test_ffhq_matrix_matches_the_pixels(hopper):
    image, points = hopper
    face = ffhq_crop(image, points, "ibug68", 96)
    direct = crop(image, face.matrix.float(), 96, mode="bicubic", padding="border").clamp(0, 1)
    torch.testing.assert_close(
        face.image[:, 20:76, 20:76], direct[:, 20:76, 20:76], rtol=0, atol=1e-3
    )
    torch.testing.assert_close(apply_affine(face.points, face.matrix), points, rtol=0, atol=1e-3)


def test_ffhq_fills_what_is_outside_with_reflected_surroundings(hopper):
    image, points = hopper
    x0, y0 = (points.min(0).values - 20).int().tolist()
    x1, y1 = (points.max(0).values + 20).int().tolist()
    close = image[:, y0:y1, x0:x1]
    face = ffhq_crop(close, points - torch.tensor([x0, y0]), "ibug68", 128)
    assert face.image.shape == (3, 128, 128)
    assert float(face.image[:, 0].mean()) > 0.05  # no black margin
    inside = apply_affine(torch.tensor([[64.0, 64.0]], dtype=face.matrix.dtype), face.matrix)[0]
    row, column = int(inside[1]), int(inside[0])
    assert float((face.image[:, 64, 64] - close[:, row, column]).abs().max()) < 0.15


def test_ffhq_errors():
    with pytest.raises(GeometryError, match="do not determine"):
        ffhq_crop(torch.rand(3, 50, 50), torch.full((68, 2), 20.0), "ibug68")
    far = torch.rand(68, 2) * 50 + 5000
    with pytest.raises(GeometryError, match="far outside"):
        ffhq_crop(torch.rand(3, 50, 50), far, "ibug68")
    with pytest.raises(DataError, match="cannot be converted"):
        ffhq_crop(torch.rand(3, 50, 50), torch.rand(5, 2), "points5")
