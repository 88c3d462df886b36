"""Photographs that are cut differently show their faces in one size."""

from __future__ import annotations

import itertools
import logging

import pytest
import torch

from facemorph.faces.alignment import portrait_crop, portrait_middle
from facemorph.faces.checks.common_cut import LEAST_SHARE, FacePlace, common_cut, say_tight_cut
from facemorph.faces.detection import find_face
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.pair import prepare_faces
from facemorph.ops.frames import Frame


@pytest.fixture(scope="module")
def collins(request):
    image = load_image(request.config.rootpath / "data/sample/sample_collins.png")
    return image, find_face(image).points


@pytest.fixture(scope="module")
def tight(request):
    """Hopper's face with little around it."""
    image = load_image(request.config.rootpath / "data/sample/sample_hopper.png")
    points = find_face(image).points
    middle, reach = portrait_middle(points.double(), "ibug68")
    left, top = (middle - 1.05 * reach).round().int().tolist()
    side = round(2.1 * reach)
    return image[:, top : top + side, left : left + side], points - torch.tensor([left, top])


def place(face):
    return FacePlace(Frame.of(face[0]), face[1], "ibug68")


def size_of(points):
    return portrait_middle(points.double(), "ibug68")[1]


def test_wide_photographs_are_cut_as_ever(collins):
    assert common_cut([place(collins)] * 3) is None
    assert collins[0].shape[1] > 0


def test_the_tight_one_decides(collins, tight):
    common = common_cut([place(collins), place(tight)])
    assert common is not None
    assert common.share == pytest.approx(place(tight).share)
    assert common == common_cut([place(tight), place(collins)])
    cuts = [portrait_crop(*face, "ibug68", 128, common) for face in (collins, tight)]
    sizes = [size_of(cut.points) for cut in cuts]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-4)
    middles = [portrait_middle(cut.points.double(), "ibug68")[0] for cut in cuts]
    assert float((middles[0] - middles[1]).norm()) < 0.5
    alone = [size_of(portrait_crop(*face, "ibug68", 128).points) for face in (collins, tight)]
    assert alone[1] > 1.5 * alone[0]  # what it was


def test_all_orders_of_files(collins, tight, tmp_path, caplog):
    files = [tmp_path / "wide.png", tmp_path / "tight.png", tmp_path / "other.png"]
    for file, image in zip(files, (collins[0], tight[0], collins[0].flip(-1)), strict=True):
        save_image(image, file)
    for order in itertools.permutations(files):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            faces = prepare_faces(list(order), size=64)
        sizes = [size_of(face.points) for face in faces]
        assert max(sizes) < 1.02 * min(sizes)
        assert caplog.text.count("cut too tightly") == 1
        assert "tight.png is cut" in caplog.text


def test_a_photograph_tighter_than_the_face_gets_surroundings(collins, tight, caplog):
    image, points = tight
    inner = image[:, 60:-60, 60:-60], points - 60
    faces = [place(collins), place(inner)]
    common = common_cut(faces)
    assert common is not None
    assert common.share == LEAST_SHARE > faces[1].share
    cut = portrait_crop(*inner, "ibug68", 64, common)
    assert size_of(cut.points) == pytest.approx(
        size_of(portrait_crop(*collins, "ibug68", 64, common).points), rel=1e-4
    )
    assert bool(torch.isfinite(cut.image).all())
    with caplog.at_level(logging.WARNING):
        say_tight_cut(faces, ["a", "b"])
    assert "borders are repeated" in caplog.text


def test_nothing_is_said_of_like_photographs(tight, caplog):
    with caplog.at_level(logging.WARNING):
        say_tight_cut([place(tight)] * 2, ["a", "b"])
    assert not caplog.text
    assert common_cut([place(tight)] * 2) is None
