"""Region morphs: which landmark and which pixel belongs to which face."""

import math

import pytest
import torch
from scipy.ndimage import gaussian_filter

from facemorph.apps.morphing.averages import warp_face
from facemorph.apps.morphing.region_morph import (
    REGIONS,
    region_mask,
    region_morph,
    region_of_points,
)
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.landmark_schemes import IBUG68_REGIONS, to_ibug68
from facemorph.faces.masks import face_mask
from facemorph.faces.pair import PreparedFace, prepare_faces
from facemorph.faces.procrustes import procrustes_align
from facemorph.fields.warps.blended_pairs import target_share
from facemorph.ops.blending import blend_multiband


@pytest.fixture(scope="module")
def faces(samples):
    return prepare_faces(samples, size=128)


def test_all_at_one_time_is_the_plain_morph(faces):
    a, b = faces
    for time in (0.0, 0.4, 1.0):
        result = region_morph(a, b, dict.fromkeys(REGIONS, time), time)
        middle = (1 - time) * a.points + time * b.points
        assert torch.equal(result.points, middle)
        share = target_share(face_mask(middle, "ibug68", a.frame), time)
        plain = blend_multiband(
            warp_face(a, middle)[None], warp_face(b, middle)[None], share[None]
        )[0]
        assert torch.equal(result.image, plain)
    assert torch.equal(region_morph(a, b, {}, 0.0).image, a.image)


def test_regions_move_on_their_own(faces):
    a, b = faces
    result = region_morph(a, b, {"mouth": 1.0}, 0.0)
    mouth = [index for part in REGIONS["mouth"] for index in IBUG68_REGIONS[part]]
    rest = [index for index in range(68) if index not in mouth]
    assert torch.equal(result.points[rest], a.points[rest])
    assert torch.allclose(result.points[mouth], procrustes_align(b.points, a.points)[mouth])
    deep = region_mask(result.points, a, "mouth")[0] > 0.99
    assert int(deep.sum()) > 20

    def detail(image):  # the seam is spread over the coarse bands; what is fine is B's alone
        return (image - torch.from_numpy(gaussian_filter(image.numpy(), (0, 1.5, 1.5))))[:, deep]

    distance = [
        float((detail(result.image) - detail(warp_face(face, result.points))).abs().mean())
        for face in faces
    ]
    assert distance[1] < 0.3 * distance[0]
    far = region_mask(result.points, a, "mouth")[0] == 0
    eyes = far & (region_mask(result.points, a, "eyes")[0] > 0.5)
    assert float((result.image - warp_face(a, result.points))[:, eyes].abs().mean()) < 0.01


def test_masks_hold_their_landmarks(faces):
    face = faces[0]
    for name in ("brows", "nose", "eyes", "mouth"):
        mask = region_mask(face.points, face, name)
        assert mask.shape == (1, 128, 128)
        assert 0 <= float(mask.min()) <= float(mask.max()) <= 1
        for part in REGIONS[name]:
            x, y = face.points[list(IBUG68_REGIONS[part])].mean(0).long().tolist()
            assert float(mask[0, y, x]) > 0.9, name


def test_landmarks_belong_to_their_regions(faces):
    labels = region_of_points(faces[0].points, "ibug68")
    for index, parts in enumerate(REGIONS.values()):
        for part in parts:
            assert set(labels[list(IBUG68_REGIONS[part])].tolist()) == {index}, part


def test_landmarks_of_templates_belong_too(frll):
    points, scheme = read_points(frll / "neutral/001_03.tem")
    labels = region_of_points(points, scheme)
    names = list(REGIONS)
    assert {names[label] for label in labels[[0, 1]].tolist()} == {"eyes"}
    assert {names[label] for label in labels[[109, 129, 112]].tolist()} == {"face"}
    marks = to_ibug68(points, scheme)
    top = points[points[:, 1].argsort()[:5]]  # on the hair
    assert bool((top[:, 1] < marks[17:27, 1].min()).all())
    assert {names[label] for label in labels[points[:, 1].argsort()[:5]].tolist()} == {"face"}


@pytest.mark.parametrize(
    "times", [{"ears": 0.5}, {"eyes": 1.5}, {"mouth": math.nan}, {"time": 0.5}]
)
def test_no_such_regions(faces, times):
    if "time" in times:
        with pytest.raises(ConfigError):
            region_morph(*faces, {}, -0.5)
        return
    with pytest.raises(ConfigError, match="no such region"):
        region_morph(*faces, times)


def test_unknown_schemes_name_no_regions(faces):
    few = [PreparedFace(face.image, face.points[::4], "points17") for face in faces]
    with pytest.raises(DataError, match="no eyes"):
        region_morph(*few, {"eyes": 1.0})
