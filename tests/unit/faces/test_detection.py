"""Detectors and the choice of a face: usual, small, cut, several, none."""

import logging
import sys
import types

import numba
import numpy as np
import pytest
import torch
from torch.nn import functional

from facemorph.errors import (
    ChecksumError,
    ConfigError,
    DataError,
    GeometryError,
    MissingExtra,
    NoFaceFound,
)
from facemorph.faces import optional_detectors
from facemorph.faces.alignment import crop, square_crop_matrix
from facemorph.faces.box_detection import BoxDetector, box_iou, suppress
from facemorph.faces.checks.mean_face import MEAN_FACE
from facemorph.faces.detection import EmbeddedDetector, find_face, make_detector, plausible_faces
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.landmark_schemes import eye_centres, mirror_ibug68
from facemorph.faces.types import Face


@pytest.fixture(scope="module")
def collins(request):
    return load_image(request.config.rootpath / "data/sample/sample_collins.png")


@pytest.fixture(scope="module")
def hopper(request):
    return load_image(request.config.rootpath / "data/sample/sample_hopper.png")


def on_canvas(image, scale, height=1000, width=1400, at=(300, 500)):
    small = functional.interpolate(
        image[None], scale_factor=scale, mode="bilinear", antialias=True
    )[0]
    canvas = torch.full((3, height, width), 0.4)
    canvas[:, at[0] : at[0] + small.shape[1], at[1] : at[1] + small.shape[2]] = small
    return canvas


def test_the_sample_photographs(collins, hopper):
    """Pupils marked by hand in the enlarged pictures."""
    detector = EmbeddedDetector()
    for image, pupils in (
        (collins, [[203.4, 101.3], [246.9, 103.7]]),
        (hopper, [[221.0, 188.8], [305.7, 187.5]]),
    ):
        faces = detector(image)
        assert len(faces) == 1
        assert faces[0].score > 0.9
        assert faces[0].scheme == "ibug68"
        assert faces[0].points.shape == (68, 2)
        found = eye_centres(faces[0].points, "ibug68")
        error = (found - torch.tensor(pupils)).norm(dim=-1)
        assert float(error.max() / (found[1] - found[0]).norm()) < 0.05


def test_the_mirrored_picture_gives_the_mirrored_points(hopper):
    plain = find_face(hopper).points
    mirrored = find_face(hopper.flip(-1)).points
    eyes = eye_centres(plain, "ibug68")
    error = (mirror_ibug68(mirrored, hopper.shape[2]) - plain).norm(dim=-1).mean() / (
        eyes[1] - eyes[0]
    ).norm()
    assert float(error) < 0.02


@pytest.mark.parametrize("angle", [-0.5, 0.3, 0.7])
def test_turned_faces(hopper, angle):
    straight = find_face(hopper).points
    matrix = square_crop_matrix(straight.mean(0), 600, angle, 600)
    turned = find_face(crop(hopper, matrix, 600)).points
    back = turned @ matrix[:, :2].T + matrix[:, 2]
    eyes = eye_centres(straight, "ibug68")
    assert float((back - straight).norm(dim=-1).mean() / (eyes[1] - eyes[0]).norm()) < 0.06


def test_small_faces_are_found_in_tiles(hopper):
    image = on_canvas(hopper, 0.4)  # a face of 80 px in 1400
    assert BoxDetector(tile=False)(image) == []
    face = find_face(image)
    expected = find_face(hopper).points * 0.4 + torch.tensor([500.0, 300.0])
    assert float((face.points - expected).norm(dim=-1).mean()) < 2


def test_one_face_in_several_tiles_is_one_face(hopper):
    image = on_canvas(hopper, 0.5, at=(350, 560))  # across the middle
    assert len(EmbeddedDetector()(image)) == 1


def test_small_face_beside_a_large_one_is_not_searched_for(hopper, monkeypatch):
    detector = BoxDetector()
    views = []
    real = detector._candidates
    monkeypatch.setattr(detector, "_candidates", lambda *args: views.append(1) or real(*args))
    detector(hopper)
    assert len(views) == 1


def test_faces_cut_by_the_border(hopper, caplog):
    face = find_face(hopper)
    left = int(face.box[0] + 0.3 * (face.box[2] - face.box[0]))  # a third of the face is missing
    with caplog.at_level(logging.WARNING):
        cut = find_face(hopper[:, :, left:], name="cut.png")
    assert "cut.png" in caplog.text
    assert "lie outside" in caplog.text
    seen = face.points[:, 0] > left + 10
    assert (
        float((cut.points + torch.tensor([left, 0]) - face.points)[seen].norm(dim=-1).mean()) < 15
    )


def test_a_face_that_fills_the_picture(hopper):
    x0, y0, x1, y1 = find_face(hopper).box.int().tolist()
    assert find_face(hopper[:, y0:y1, x0:x1]).score > 0.8


def test_tiny_faces_are_found_with_a_warning(hopper, caplog):
    small = functional.interpolate(
        hopper[None], scale_factor=0.15, mode="bilinear", antialias=True
    )[0]
    with caplog.at_level(logging.WARNING):
        face = find_face(small)  # 90 x 77 pixels, a face of 30
    assert "pixels large; its landmarks are rough" in caplog.text
    assert bool(torch.isfinite(face.points).all())


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2), (16, 16)])
def test_odd_shapes_have_no_face(shape):
    assert EmbeddedDetector()(torch.rand(3, *shape)) == []


@pytest.mark.parametrize(
    "image", [torch.zeros(3, 64, 64), torch.ones(3, 500, 700), torch.rand(3, 400, 400)]
)
def test_no_face(image):
    with pytest.raises(NoFaceFound) as caught:
        find_face(image, name="wall.png")
    message = str(caught.value)
    assert "wall.png" in message
    assert "at best" in message
    assert "--points FILE (of a pair: --points-a)" in message


@pytest.mark.parametrize(
    ("quarters", "word"), [(2, "Turn the photograph by half"), (1, None), (3, None)]
)
def test_lying_heads_are_said(hopper, quarters, word, caplog):
    image = hopper.rot90(quarters, (1, 2))
    if word is not None:
        with pytest.raises(NoFaceFound, match="upside down") as caught:
            find_face(image, name="lying.png")
        assert word in str(caught.value)
        return
    with caplog.at_level(logging.WARNING):
        face = find_face(image, name="lying.png")
    assert "lying.png: the head lies in the picture" in caplog.text
    straight = find_face(hopper).points
    if quarters == 1:
        back = torch.stack([hopper.shape[2] - face.points[:, 1], face.points[:, 0]], 1)
    else:
        back = torch.stack([face.points[:, 1], hopper.shape[1] - face.points[:, 0]], 1)
    assert float((back - straight).norm(dim=1).mean()) < 12


def test_landmarks_that_cannot_be_are_no_face():
    """As of a face behind a hand: sure of the box, and all landmarks in a blob."""

    def blob(image):
        draw = torch.Generator().manual_seed(0)
        points = 100 + 5 * torch.randn(68, 2, generator=draw)
        return [Face(torch.tensor([0.0, 0.0, 200.0, 200.0]), 0.9, points, "ibug68")]

    with pytest.raises(NoFaceFound, match="cannot be a face's") as caught:
        find_face(torch.rand(3, 200, 200), blob, name="hand.jpg")
    message = str(caught.value)
    assert "hand.jpg" in message
    assert "200 pixels" in message
    assert "--points" in message
    assert plausible_faces(torch.rand(3, 200, 200), blob) == []


@pytest.mark.slow
def test_almost_a_face_names_the_score_that_would_do(hopper):
    image = on_canvas(hopper, 0.25)  # 50 px in 1400: best score about 0.6
    with pytest.raises(NoFaceFound, match=r"Try --min-score 0\.\d") as caught:
        find_face(image)
    score = float(caught.value.remedy.split("--min-score ")[1][:3])
    assert find_face(image, EmbeddedDetector(score)).score >= score


def test_several_faces(collins, hopper, caplog):
    small = functional.interpolate(
        collins[None, :, :300, 70:370], (420, 420), mode="bicubic", antialias=True
    )[0]
    both = torch.cat([functional.pad(small.clamp(0, 1), (0, 0, 0, 180)), hopper], 2)
    assert len(EmbeddedDetector()(both)) == 2
    with caplog.at_level(logging.WARNING):
        face = find_face(both, name="both.png")
    assert "both.png: 2 faces found; the largest is used" in caplog.text
    assert float(face.points[:, 0].mean()) > 420  # Hopper, whose face is larger
    with pytest.raises(NoFaceFound, match="several faces"):
        find_face(both, choose="only")
    with pytest.raises(ConfigError, match="largest or only"):
        find_face(both, choose="best")


def test_bad_input():
    with pytest.raises(DataError, match="wrong shape"):
        find_face(torch.rand(1, 3, 64, 64))
    for score in (0, -1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="min_score"):
            EmbeddedDetector(score)


def test_detection_does_not_change_the_image_or_need_gradients(collins):
    image = collins.clone().requires_grad_()
    assert not find_face(image).points.requires_grad
    assert torch.equal(image.detach(), collins)


# ------------------------------------------------------------
# suppression
def test_iou_and_weighted_suppression():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [20, 20, 30, 30], [5, 5, 5, 5]])
    assert box_iou(boxes[0], boxes).tolist() == pytest.approx([1, 0.8, 0, 0])
    values, scores = suppress(boxes, torch.tensor([0.6, 0.9, 0.8, 0.1]), boxes)
    assert scores.tolist() == pytest.approx([0.9, 0.8, 0.1])
    assert values[0].tolist() == pytest.approx([0, 0, 10, (0.6 * 10 + 0.9 * 8) / 1.5])


# ------------------------------------------------------------ other
# detectors
def test_make_detector(tmp_path):
    assert isinstance(make_detector(), EmbeddedDetector)
    assert make_detector("embedded", min_score=0.5).boxes.min_score == 0.5
    with pytest.raises(ConfigError, match="embedded, face_alignment, dlib, file"):
        make_detector("mediapipe")
    with pytest.raises(ConfigError, match="wrong options"):
        make_detector("embedded", colour="red")
    with pytest.raises(ConfigError, match="wrong options"):
        make_detector("file")


def test_file_detector(tmp_path):
    points = torch.rand(68, 2, dtype=torch.float64) * 50
    write_points(points, tmp_path / "a.json", "ibug68")
    face = find_face(torch.rand(3, 50, 60), make_detector("file", path=tmp_path / "a.json"))
    assert face.score == 1
    assert face.scheme == "ibug68"
    torch.testing.assert_close(face.points, points.float())
    assert face.box.tolist() == pytest.approx(
        [*points.min(0).values.tolist(), *points.max(0).values.tolist()]
    )
    with pytest.raises(GeometryError, match="outside of the picture"):
        find_face(torch.rand(3, 20, 20), make_detector("file", path=tmp_path / "a.json"))
    with pytest.raises(DataError, match="not found"):
        make_detector("file", path=tmp_path / "absent.json")


def test_face_alignment_never_downloads_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(MissingExtra) as caught:
        make_detector("face_alignment")
    message = str(caught.value)
    assert optional_detectors.FAN_URL in message
    assert str(tmp_path / "checkpoints" / optional_detectors.FAN_FILE) in message
    with pytest.raises(MissingExtra):
        make_detector("face_alignment", checkpoint=tmp_path / "absent.pth.tar", download=True)
    (tmp_path / "fake.pth.tar").write_bytes(b"not weights")
    with pytest.raises(ChecksumError, match="11f355bf06"):
        make_detector("face_alignment", checkpoint=tmp_path / "fake.pth.tar")


@pytest.mark.slow
def test_face_alignment_reads_a_local_checkpoint(tmp_path, monkeypatch, hopper):
    """With random weights: the package finds the file in a private hub folder, and ours stays as it
    was. Nothing is compiled.
    """
    package = optional_detectors.face_alignment_package()
    assert not numba.config.DISABLE_JIT
    assert isinstance(package.utils.transform_np, types.FunctionType)
    path = tmp_path / "weights.pth.tar"
    torch.save(package.models.FAN(4).state_dict(), path)
    monkeypatch.setattr(optional_detectors, "_check_sha256_prefix", lambda path: None)
    hub = torch.hub.get_dir()
    detector = make_detector("face_alignment", checkpoint=path)
    assert torch.hub.get_dir() == hub
    faces = detector(hopper)
    assert len(faces) == 1
    assert faces[0].points.shape == (68, 2)
    assert faces[0].points.dtype == torch.float32
    assert detector(torch.zeros(3, 64, 64)) == []


def test_face_alignment_points_are_shifted_to_pixel_edges(hopper, monkeypatch):
    class Network:
        def get_landmarks_from_image(self, array, detected_faces):
            assert array.shape == (600, 512, 3)
            assert array.dtype == np.uint8
            x0, y0, x1, y1, score = detected_faces[0]
            assert x0 < x1
            assert y0 < y1
            assert score > 0.9
            return [np.full((68, 2), 7, np.float32)]

    monkeypatch.setattr(optional_detectors, "_load_face_alignment", lambda path, device: Network())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nowhere")
    face = make_detector("face_alignment", download=True)(hopper)[0]
    assert face.points.unique().tolist() == [7.5]


def test_dlib_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'facemorph-torch\[dlib\]'"):
        make_detector("dlib")


def fake_dlib(monkeypatch, tmp_path):
    class Box:
        def __init__(self, left):
            self.edges = left, 20, left + 39, 59

        def left(self):
            return self.edges[0]

        def top(self):
            return self.edges[1]

        def right(self):
            return self.edges[2]

        def bottom(self):
            return self.edges[3]

    class Shape:
        num_parts = 68

        def part(self, index):
            return types.SimpleNamespace(x=index, y=2 * index)

    detector = types.SimpleNamespace(
        run=lambda array, upsample, least: ([Box(0), Box(50)], [0.1, 1.5], [0, 0])
    )
    module = types.SimpleNamespace(
        get_frontal_face_detector=lambda: detector,
        shape_predictor=lambda path: lambda array, box: Shape(),
    )
    monkeypatch.setitem(sys.modules, "dlib", module)
    package = tmp_path / "face_recognition_models"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('pkg_resources is gone')")
    monkeypatch.syspath_prepend(tmp_path)
    return package


def test_dlib(monkeypatch, tmp_path):
    package = fake_dlib(monkeypatch, tmp_path)
    with pytest.raises(MissingExtra, match="face_recognition_models"):
        make_detector("dlib")
    (package / "models").mkdir()
    (package / "models/shape_predictor_68_face_landmarks.dat").touch()
    faces = make_detector("dlib")(torch.rand(3, 100, 100))
    assert [face.box.tolist() for face in faces] == [[50, 20, 90, 60], [0, 20, 40, 60]]
    assert faces[0].score > faces[1].score > 0
    assert faces[0].score <= 1
    assert faces[0].points[3].tolist() == [3.5, 6.5]


def test_no_face_of_another_detector_names_points():
    class Blind:
        def __call__(self, image):
            return []

    with pytest.raises(NoFaceFound, match=r"--points FILE .of a pair: --points-a"):
        find_face(torch.rand(3, 32, 32), Blind())


def test_largest_is_side_times_score():
    def face(side, score):
        marks = torch.tensor(MEAN_FACE)[:, :2].float()
        marks = (marks - marks.amin(0)) / (marks.amax(0) - marks.amin(0)).max() * side
        return Face(torch.tensor([0.0, 0, side, side]), score, marks, "ibug68")

    faces = [face(50.0, 0.99), face(100.0, 0.9), face(101.0, 0.4)]
    assert find_face(torch.rand(3, 200, 200), lambda image: faces) is faces[1]
