"""Photographs of turned heads are turned to the front before they are morphed."""

from __future__ import annotations

import logging

import pytest
import torch

from facemorph.apps.morphing.morph import morph
from facemorph.apps.morphing.poses.frontal import turned_to_front
from facemorph.errors import DataError
from facemorph.faces.agreement import approximate_yaw
from facemorph.faces.detection import find_face
from facemorph.faces.face_input import FaceInput
from facemorph.faces.files.image_io import load_image
from facemorph.faces.pair import PreparedFace, prepare_faces
from facemorph.faces.procrustes import procrustes_align
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.portraits.frontal_portrait import FrontalPortrait, pose_of

pytestmark = pytest.mark.usefixtures("short_reports")

SIZE = 256


@pytest.fixture(scope="module")
def front(request):
    path = request.config.rootpath / "data/sample/sample_hopper.png"
    return prepare_faces([path], size=SIZE)[0]


@pytest.fixture(scope="module")
def side(front):
    """The same face, turned to the right of the picture."""
    model = load_makehuman()
    picture = FrontalPortrait(model, front.image, pose_of(model, front.points)).turned(30.0)
    return PreparedFace(picture, find_face(picture).points.double(), "ibug68")


def test_frontal_photographs_stay(front):
    found = turned_to_front([front, front], FaceInput([front.image, front.image]))
    assert found[0] is front
    assert found[1] is front


def test_other_landmarks_are_refused(front):
    face = PreparedFace(front.image, torch.rand(189, 2).double() * SIZE, "frll189")
    with pytest.raises(DataError, match=r"a\.png.*frll189"):
        turned_to_front([face], FaceInput(["a.png"]))


@pytest.mark.slow
def test_a_turned_head_comes_back(front, side):
    assert approximate_yaw(side.points) > 18
    (found,) = turned_to_front([side], FaceInput([side.image]))
    assert abs(approximate_yaw(found.points)) < 8
    away = procrustes_align(found.points, front.points) - front.points
    assert float(away.norm(dim=1).mean()) < 3 * SIZE / 512
    turned = procrustes_align(side.points, front.points) - front.points
    assert float(away.norm(dim=1).mean()) < 0.5 * float(turned.norm(dim=1).mean())


@pytest.mark.slow
def test_morph_from_the_front(front, side, request, caplog):
    other = load_image(request.config.rootpath / "data/sample/sample_collins.png")
    with caplog.at_level(logging.WARNING):
        result = morph(side.image, other, size=SIZE, time=0.5, frontal=True, align="ffhq")
    assert "turned against each other" not in caplog.text
    assert abs(approximate_yaw(result.pair.points_a)) < 8
    assert result.metrics["landmark_error_px"] < 3
    assert result.metrics["config"]["frontal"] is True
    middle = find_face(result.frame(0.5)).points.double()
    wanted = (result.pair.points_a + result.pair.points_b) / 2
    assert float((middle - wanted).norm(dim=1).mean()) < 3 * SIZE / 512
