"""Face masks and the identity embedding."""

import pytest
import torch
from torch.nn import functional

from facemorph.errors import ConfigError, DataError, GeometryError
from facemorph.faces.choices import MASKS, SAME_PERSON_DISTANCE
from facemorph.faces.detection import find_face
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.identity import (
    IdentityEmbedding,
    chip_matrix,
    identity_distance,
)
from facemorph.faces.masks import PARTS, carried_mask, convex_hull_mask, face_mask, read_mask_shape
from facemorph.ops.frames import Frame

SQUARE = torch.tensor([[10.0, 10], [40, 10], [40, 40], [10, 40], [25, 25]])


@pytest.fixture(scope="module")
def faces(request):
    images = [
        load_image(request.config.rootpath / f"data/sample/sample_{name}.png")
        for name in ("collins", "hopper")
    ]
    return [(image, find_face(image).points) for image in images]


def test_hard_mask_is_the_pixels_inside():
    mask = convex_hull_mask(SQUARE, Frame(50, 60), feather=0)
    expected = torch.zeros(1, 50, 60)
    expected[:, 10:40, 10:40] = 1
    assert torch.equal(mask, expected)


def test_feather_is_the_smooth_step_of_the_distance():
    mask = convex_hull_mask(SQUARE, Frame(50, 60), feather=0.2)  # face size 30: 6 px wide
    share = torch.tensor([0.5, 1.5, 2.5, 3.5, 4.5, 5.5]) / 6
    torch.testing.assert_close(
        mask[0, 25, 10:16], share * share * (3 - 2 * share), rtol=0, atol=1e-5
    )
    assert float(mask[0, 25, 9]) == 0
    assert float(mask[0, 25, 17]) == 1


def test_erosion_is_in_units_of_the_face_size():
    mask = convex_hull_mask(SQUARE, Frame(50, 60), erosion=0.1, feather=0)
    assert mask[0, 25].nonzero()[:, 0].tolist() == list(range(13, 37))
    double = convex_hull_mask(SQUARE * 2, Frame(100, 120), erosion=0.1, feather=0)
    assert torch.equal(functional.avg_pool2d(double, 2), mask)


def test_hull_that_passes_the_frame():
    mask = convex_hull_mask(SQUARE - 25, Frame(50, 60), feather=0)
    assert float(mask.sum()) == 15 * 15


@pytest.mark.parametrize(
    "points",
    [
        torch.rand(2, 2),
        torch.ones(5, 2),
        torch.arange(8.0).view(4, 2),
        torch.full((4, 2), float("nan")),
    ],
)
def test_degenerate_masks(points):
    with pytest.raises(GeometryError, match="do not span an area"):
        convex_hull_mask(points, Frame(20, 20))


def test_face_mask_covers_the_features_and_no_more(faces):
    for image, points in faces:
        frame = Frame.of(image)
        mask = face_mask(points, "ibug68", frame)[0]
        x, y = points.long().T
        assert float(mask[y[27:], x[27:]].min()) > 0.9  # nose, eyes, mouth
        assert float(mask[y[17:27], x[17:27]].min()) > 0.3  # brows
        assert float(mask[int(points[8, 1]) + 5 :].max()) == 0  # below the chin
        share = float(mask.sum()) / float(
            (points[16, 0] - points[0, 0]) * (points[8, 1] - points[19, 1])
        )
        assert 0.5 < share < 1.1


def test_face_mask_of_other_schemes():
    points = torch.rand(12, 2) * 40
    torch.testing.assert_close(
        face_mask(points, "points12", Frame(50, 50)),
        convex_hull_mask(points.double(), Frame(50, 50), erosion=0.0, feather=0.12),
    )


def test_both_halves_make_the_face(faces):
    for image, points in faces:
        frame = Frame.of(image)
        left, right, face = (
            face_mask(points, "ibug68", frame, shape=shape)
            for shape in ("left_half", "right_half", "face")
        )
        torch.testing.assert_close(left + right, face, rtol=0, atol=1e-6)
        eyes = [points[36:42].mean(0).long(), points[42:48].mean(0).long()]
        for mask, mine, other in ((left, *eyes), (right, *eyes[::-1])):
            assert float(mask[0, mine[1], mine[0]]) > 0.95
            assert float(mask[0, other[1], other[0]]) < 0.05
        nose = points[28].long()
        assert 0.3 < float(left[0, nose[1], nose[0]]) < 0.7


def test_halves_turn_with_the_face(faces):
    image, points = faces[0]
    frame = Frame(image.shape[1], image.shape[2])
    upright = face_mask(points, "ibug68", frame, shape="left_half")
    # a quarter turn clockwise
    turned = torch.stack([image.shape[1] - points[:, 1], points[:, 0]], 1)
    mask = face_mask(turned, "ibug68", Frame(image.shape[2], image.shape[1]), shape="left_half")
    torch.testing.assert_close(mask, torch.rot90(upright, -1, (1, 2)), rtol=0, atol=1e-4)


def test_lower_face(faces):
    for image, points in faces:
        mask = face_mask(points, "ibug68", Frame.of(image), shape="lower_face")[0]
        x, y = points.long().T
        assert float(mask[y[48:], x[48:]].min()) > 0.5  # lips
        assert float(mask[y[17:27], x[17:27]].max()) == 0  # brows
        assert float(mask[y[36:48], x[36:48]].max()) < 0.05  # eyes
        # its own border
        assert float((mask - face_mask(points, "ibug68", Frame.of(image))[0]).max()) < 0.4


def test_names_of_masks(faces):
    image, points = faces[0]
    frame = Frame.of(image)
    assert torch.equal(
        face_mask(points, "ibug68", frame, shape="frame"), torch.ones(1, *image.shape[1:])
    )
    for shape in MASKS:
        mask = face_mask(points, "ibug68", frame, shape=shape)
        assert mask.shape == (1, *image.shape[1:])
        assert mask.dtype == torch.float32
        assert 0 <= float(mask.min()) <= float(mask.max()) == 1
        assert read_mask_shape(shape) == shape
    with pytest.raises(ConfigError, match=r"face \| lower_face.*nose"):
        face_mask(points, "ibug68", frame, shape="nose")
    for shape in PARTS:
        with pytest.raises(DataError, match="points12"):
            face_mask(points[:12], "points12", frame, shape=shape)


@pytest.mark.parametrize("suffix", [".json", ".csv", ".pts", ".tem"])
def test_polygons_from_files(tmp_path, suffix):
    path = write_points(SQUARE.double(), tmp_path / f"p{suffix}", "points5")
    found = read_mask_shape(path)
    torch.testing.assert_close(found, SQUARE.double())
    assert torch.equal(found, read_mask_shape(str(path)))
    assert torch.equal(found, read_mask_shape(found))


@pytest.mark.parametrize(
    ("name", "text", "error", "says"),
    [
        ("nose", None, ConfigError, "left_half"),
        ("p.doc", None, ConfigError, ".json"),
        ("p.csv", None, DataError, "not found"),
        ("p.csv", "x,y\n1,2\n3,4\n", GeometryError, "at least 3"),
        ("p.csv", "x,y\n1,1\n2,2\n3,3\n", GeometryError, "line"),
        ("p.csv", "x,y\n1,nan\n2,2\n3,3\n", DataError, "finite"),
        ("p.json", "[[1, 2", DataError, "JSON"),
    ],
)
def test_polygons_that_are_none(tmp_path, name, text, error, says):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(error, match=says):
        read_mask_shape(tmp_path / name)


def test_a_mask_is_carried():
    """A shift to the right, into a frame of twice the size."""
    frame, output = Frame(50, 60), Frame(100, 120)
    shift = torch.tensor([4.0, 2.0]) / frame.half_extent
    mask = carried_mask(SQUARE, torch.zeros(5, 2), lambda xy: xy + shift, frame, output)
    expected = convex_hull_mask((SQUARE + torch.tensor([4.0, 2.0])) * 2, output)
    torch.testing.assert_close(mask, expected, rtol=0, atol=1e-5)
    landmarks = frame.from_pixels(SQUARE).double()
    face = carried_mask("face", landmarks, lambda xy: xy + shift, frame, output)
    expected = face_mask((SQUARE + torch.tensor([4.0, 2.0])) * 2, "points5", output)
    torch.testing.assert_close(face, expected, rtol=0, atol=1e-5)
    with pytest.raises(GeometryError, match=r"outside of the frame.*60 x 50"):
        carried_mask(SQUARE + 200, landmarks, lambda xy: xy, frame, output)


# ------------------------------------------------------------
# identity
def test_identity_of_the_samples(faces):
    embed = IdentityEmbedding()
    (a, marks_a), (b, marks_b) = faces
    with torch.no_grad():
        one, other = embed(a, marks_a), embed(b, marks_b)
        noisy = embed((a + 0.02 * torch.randn_like(a)).clamp(0, 1), marks_a + 1)
        small = embed(functional.avg_pool2d(a, 2), marks_a / 2)
    assert one.shape == (1, 128)
    assert float(identity_distance(one, other)) > SAME_PERSON_DISTANCE
    assert float(identity_distance(one, noisy)) < 0.3
    assert float(identity_distance(one, small)) < SAME_PERSON_DISTANCE
    assert float(identity_distance(one, one)) == 0
    assert float(one.norm()) == pytest.approx(1.48, abs=0.15)


def test_batches_are_the_single_faces(faces):
    embed = IdentityEmbedding()
    image, points = faces[0]
    images, marks = torch.stack([image, image.flip(-1)]), torch.stack([points, points + 3])
    with torch.no_grad():
        both = embed(images, marks)
        torch.testing.assert_close(both[0], embed(image, points)[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(both[1], embed(images[1], marks[1])[0], rtol=1e-4, atol=1e-5)


def test_identity_has_gradients_in_the_image(faces):
    image, points = faces[1]
    image = image.clone().requires_grad_()
    embed = IdentityEmbedding()
    embed(image, points).norm().backward()
    grad = image.grad.abs().sum(0)
    x0, y0, x1, y1 = (*points.min(0).values.int().tolist(), *points.max(0).values.int().tolist())
    assert float(grad[y0:y1, x0:x1].sum()) > 0.5 * float(grad.sum()) > 0


def test_identity_refuses():
    embed = IdentityEmbedding()
    with pytest.raises(DataError, match="points"):
        embed(torch.rand(3, 64, 64), torch.rand(189, 2))
    with pytest.raises(DataError):
        embed(torch.rand(2, 3, 64, 64), torch.rand(1, 68, 2))
    with pytest.raises(GeometryError, match="not finite"):
        chip_matrix(torch.full((68, 2), float("nan")))
