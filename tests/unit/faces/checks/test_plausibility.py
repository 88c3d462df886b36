"""Landmarks that cannot be a face's are told from those that can."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from helpers.head_marks import marks

from facemorph.faces.checks.mean_face import MEAN_FACE
from facemorph.faces.checks.plausibility import implausibility, roll_of, say_implausible
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.landmark_schemes import IBUG68_REGIONS, MIRROR68
from facemorph.geometry.fitting.landmark_calibration import detector_offsets
from facemorph.geometry.models.makehuman import load_makehuman

EYES = [*IBUG68_REGIONS["eye_left"], *IBUG68_REGIONS["eye_right"]]


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def faces(request, model):
    """Landmarks of the sample photographs, and of heads from several sides."""
    folder = request.config.rootpath / "data/sample"
    images = [load_image(folder / f"sample_{name}.png") for name in ("collins", "hopper")]
    found = [EmbeddedDetector()(image)[0].points for image in images]
    return [*found, marks(model), marks(model, yaw=30.0, seed=1), marks(model, pitch=-15.0, seed=2)]


def test_the_mean_face_is_the_embedded_head_as_the_detector_sees_it(model):
    offsets = torch.nn.functional.pad(detector_offsets(model, "embedded")[0, :68], (0, 1))
    expected = (model.topology.landmarks.of(model.mean) + offsets) * torch.tensor([1.0, -1.0, 1.0])
    found = torch.tensor(MEAN_FACE) / 10
    torch.testing.assert_close(found, expected - expected.mean(0), rtol=0, atol=0.06)


@pytest.mark.parametrize("yaw", [-60.0, -30.0, 0.0, 45.0])
@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (20.0, 80.0), (-20.0, 180.0)])
def test_heads_are_faces_from_all_sides(model, yaw, pitch, roll):
    for seed in range(5):
        assert implausibility(marks(model, yaw, pitch, roll, seed), "ibug68") is None


@pytest.mark.parametrize(
    "expression",
    [
        {"jawOpen": 1.0},
        {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
        {"mouthPucker": 1.0},
        {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "jawOpen": 0.4},
        {"mouthLeft": 1.0, "eyeBlinkLeft": 1.0, "browInnerUp": 1.0},
    ],
)
def test_expressions_are_faces(model, expression):
    for seed in range(3):
        assert implausibility(marks(model, seed=seed, **expression), "ibug68") is None


def test_the_sample_photographs_are_faces(faces):
    for points in faces:
        box = torch.cat([points.amin(0), points.amax(0)])
        assert implausibility(points, "ibug68", box, 0.03) is None


# ------------------------------------------------------------ what
# cannot be
def blob(points, draw):
    middle = points.mean(0)
    extent = (points.amax(0) - points.amin(0)).max()
    share = 0.05 + 0.2 * torch.rand((), generator=draw)
    return middle + share * (points - middle) + 0.02 * extent * noise(points, draw)


def noise(points, draw):
    return torch.randn(points.shape, generator=draw, dtype=points.dtype)


def mirrored(points, draw):
    return points[list(MIRROR68)]


def shuffled(points, draw):
    return points[torch.randperm(68, generator=draw)]


def backwards(points, draw):
    return points.flip(0)


def upside_down(points, draw):
    return torch.stack([points[:, 0], -points[:, 1]], 1)


def shifted_half(points, draw):
    half = points[:, 0] < points[:, 0].mean()
    extent = (points.amax(0) - points.amin(0)).max()
    angle = 2 * math.pi * torch.rand((), generator=draw)
    far = extent * (0.3 + 0.3 * torch.rand((), generator=draw))
    return points + half[:, None] * far * torch.stack([angle.cos(), angle.sin()])


def scaled_part(points, draw):
    names = (("jaw",), ("lips_outer", "lips_inner"), ("nose_bridge", "nose_base"))
    chosen = names[int(torch.randint(3, (), generator=draw))]
    part = [index for name in chosen for index in IBUG68_REGIONS[name]]
    factor = (0.3, 2.5)[int(torch.randint(2, (), generator=draw))]
    changed = points.clone()
    changed[part] = points[part].mean(0) + factor * (points[part] - points[part].mean(0))
    return changed


def swapped_eyes(points, draw):
    changed = points.clone()
    changed[EYES] = points[EYES[6:] + EYES[:6]]
    return changed


def mixed_eye(points, draw):
    changed = points.clone()
    order = torch.randperm(6, generator=draw)
    while int((order == torch.arange(6)).sum()) > 2:
        order = torch.randperm(6, generator=draw)
    changed[EYES[:6]] = points[EYES[:6]][order]
    return changed


def noisy(points, draw):
    extent = (points.amax(0) - points.amin(0)).max()
    share = 0.06 + 0.1 * torch.rand((), generator=draw)
    return points + share * extent * noise(points, draw)


WAYS = [
    blob,
    mirrored,
    shuffled,
    backwards,
    upside_down,
    shifted_half,
    scaled_part,
    swapped_eyes,
    mixed_eye,
    noisy,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_hundred_corrupted_sets_are_found(faces, way):
    """Ten ways, ten times each."""
    missed = []
    for number in range(10):
        points = faces[number % len(faces)].double()
        changed = way(points, torch.Generator().manual_seed(number))
        box = torch.cat([points.amin(0), points.amax(0)])
        if implausibility(changed, "ibug68", box) is None:
            missed.append(number)
    assert missed == []


def test_most_are_found_without_a_box(faces):
    for number, way in enumerate(WAYS):
        changed = way(faces[1].double(), torch.Generator().manual_seed(number))
        assert implausibility(changed, "ibug68") is not None


def test_a_face_elsewhere_than_its_box_and_passes_that_disagree(faces):
    box = torch.cat([faces[1].amin(0), faces[1].amin(0) + 1000])
    reason = implausibility(faces[1], "ibug68", box)
    assert reason is not None
    assert "1000 pixels" in reason.expected
    reason = implausibility(faces[1], "ibug68", disagreement=0.4)
    assert reason is not None
    assert "40%" in reason.found


def test_what_is_not_judged(faces):
    assert implausibility(torch.rand(7, 2), "points7") is None
    assert implausibility(faces[0] * float("nan"), "ibug68") is not None
    assert implausibility(torch.zeros(68, 2), "ibug68") is not None


def test_roll(faces):
    assert abs(roll_of(faces[1], "ibug68")) < 5
    turned = faces[1] @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    assert roll_of(turned, "ibug68") == pytest.approx(roll_of(faces[1], "ibug68") + 90, abs=1e-3)
    assert roll_of(torch.rand(7, 2), "points7") is None


def test_files_only_make_a_warning(faces, caplog):
    with caplog.at_level(logging.WARNING):
        say_implausible(faces[0], "ibug68", "a.json")
        assert not caplog.text
        say_implausible(faces[0].flip(0), "ibug68", "b.json")
    assert "b.json" in caplog.text
