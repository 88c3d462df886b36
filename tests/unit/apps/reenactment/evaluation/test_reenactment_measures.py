"""Measures of moved heads against plain NumPy, and on photographs whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.located_face import LocatedFace, locate
from facemorph.apps.reenactment.evaluation.reenactment_measures import (
    MEASURES,
    ReenactmentMeasures,
    Regions,
    better_percent,
    means,
    pixel_measures,
)
from facemorph.data.face_set import scaled
from facemorph.errors import DataError
from facemorph.faces.alignment import cut_square, reenactment_box
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters

SIDE = 128


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def measures(model):
    return ReenactmentMeasures(model, SIDE)


@pytest.fixture(scope="module")
def face(samples, model):
    """A photograph cut as pairs are, and its head."""
    found = locate(samples[0])
    center, side = reenactment_box(found.landmarks.double())
    image, marks, _ = cut_square(found.image, found.landmarks, center, side, SIDE)
    fitted = fit_faces([LocatedFace(image, marks, "embedded", "face")], model)[0]
    return image, fitted.parameters


def similarity(a, b):
    """Structural similarity of one channel at each pixel (Wang et al., 2004)."""

    def blurred(values):
        return ndimage.gaussian_filter(values, 1.5, mode="mirror", radius=5)

    mean_a, mean_b = blurred(a), blurred(b)
    spread = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
    return numerator / ((mean_a**2 + mean_b**2 + 1e-4) * (spread[0] + spread[1] + 9e-4))


def test_pixels_against_numpy():
    draw = torch.Generator().manual_seed(1)
    picture, target = torch.rand(2, 3, 24, 24, generator=draw)
    face, mouth = torch.zeros(2, 24, 24, dtype=torch.bool)
    face[4:18, 6:20], mouth[13:16, 9:17] = True, True
    found = pixel_measures(picture, target, Regions(face, mouth))
    a, b = picture.double().numpy(), target.double().numpy()
    inside, lips = face.numpy(), mouth.numpy()
    difference = np.abs(a - b)
    expected = {
        "l1_face": 255 * difference[:, inside].mean(),
        "l1_mouth": 255 * difference[:, lips].mean(),
        "psnr": -10 * np.log10((difference[:, inside] ** 2).mean()),
        "ssim": np.mean([similarity(*one)[inside].mean() for one in zip(a, b, strict=True)]),
    }
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    edges = [ndimage.convolve(one.mean(0), kernel)[inside].std(ddof=1) for one in (a, b)]
    expected["sharpness"] = edges[0] / edges[1]
    assert found == pytest.approx(expected, rel=1e-4)


def test_equal_pictures_and_a_shut_mouth():
    picture = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(2))
    found = pixel_measures(picture, picture, Regions(torch.ones(24, 24, dtype=torch.bool), None))
    assert found["l1_face"] == 0
    assert found["l1_mouth"] is None
    assert found["psnr"] == math.inf
    assert found["ssim"] == pytest.approx(1)
    assert found["sharpness"] == 1


def test_means_leave_out_what_is_not_known():
    rows = [{"a": 1.0, "b": None}, {"a": math.inf, "b": None}, {"a": 4.0, "b": None}]
    assert means(rows) == {"a": 2.5, "b": None}


def test_better_percent():
    nothing = dict.fromkeys(MEASURES)
    ours = [nothing | {"l1_face": 1.0, "psnr": math.inf, "landmarks": 2.0}]
    ours += [nothing | {"l1_face": 3.0, "psnr": 20.0, "landmarks": None}]
    others = [nothing | {"l1_face": 2.0, "psnr": 30.0, "landmarks": None}]
    others += [nothing | {"l1_face": 2.0, "psnr": 10.0, "landmarks": None}]
    found = better_percent(ours, others)
    assert (found["l1_face"], found["psnr"], found["landmarks"]) == (50, 100, 100)
    assert found["ssim"] is None
    assert "sharpness" not in found  # more is not better
    found = better_percent(others, ours)
    assert (found["l1_face"], found["psnr"], found["landmarks"]) == (50, 0, 0)


def test_a_photograph_against_itself_and_worse_ones(measures, face):
    image, parameters = face
    blurred = torch.from_numpy(ndimage.gaussian_filter(image.numpy(), (0, 1.5, 1.5)))
    pictures = {"same": image, "blurred": blurred, "shifted": image.roll(4, 2)}
    found = measures.against_target(pictures, image, parameters)
    same, blurred, shifted = found.values()
    assert [*same, "flicker"] == list(MEASURES)
    zero = ("l1_face", "features", "identity", "landmarks", "expression", "pose")
    assert {name: same[name] for name in zero} == pytest.approx(dict.fromkeys(zero, 0), abs=1e-3)
    assert same["psnr"] == math.inf
    assert blurred["sharpness"] < 0.5
    assert shifted["sharpness"] == pytest.approx(1, abs=0.2)
    assert blurred["features"] > 0.05
    assert blurred["landmarks"] < 2
    points = measures.find(image).landmarks * SIDE / 512
    pupils = (points[36:42].mean(0) - points[42:48].mean(0)).norm()
    assert shifted["landmarks"] == pytest.approx(float(100 * 4 / pupils), abs=1.5)
    assert shifted["l1_face"] > blurred["l1_face"]
    assert shifted["identity"] < 0.15


def test_where_no_face_is_found(measures, face):
    image, parameters = face
    found = measures.against_target({"grey": torch.full_like(image, 0.5)}, image, parameters)
    grey = found["grey"]
    assert grey["identity"] is None
    assert grey["landmarks"] is None
    assert grey["pose"] is None
    assert grey["l1_face"] > 5
    assert grey["sharpness"] == 0
    asked = measures.against_source(torch.full_like(image, 0.5), None, parameters)
    assert asked == {"identity": None, "expression": None, "pose": None}


def test_what_was_asked_for(measures, face):
    image, parameters = face
    source = measures.find(image)
    found = measures.against_source(image, source, parameters)
    assert found["identity"] == pytest.approx(0, abs=1e-5)
    assert found["pose"] < 2
    assert found["expression"] < 0.03


def test_regions(measures, model, face):
    parameters = face[1]
    shut = measures.regions(parameters.with_expression(jawOpen=0.0))
    opened = measures.regions(parameters.with_expression(jawOpen=0.8))
    assert shut.mouth is None
    assert opened.mouth is not None
    mouth, whole = opened.mouth, opened.face
    assert 0.2 < float(whole.float().mean()) < 0.8
    assert int((mouth & whole).sum()) > 0.9 * int(mouth.sum()) > 100
    large = ReenactmentMeasures(model, 2 * SIDE).regions(scaled(parameters, 2.0)).face
    torch.testing.assert_close(large[::2, ::2], measures.regions(parameters).face)


def test_a_head_outside_of_the_picture(measures, model):
    head = FaceParameters.neutral(model)
    head.origin[:] = 5000.0
    with pytest.raises(DataError, match="outside"):
        measures.regions(head)
