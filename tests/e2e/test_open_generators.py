"""The open models of generated faces: after installation alone, and nobody of their sets."""

from __future__ import annotations

import json

import pytest
import torch
from helpers import ROOT, SHARED

from facemorph.apps.generation.generated_faces import FaceGenerator, changed, drawn_faces
from facemorph.cli import run
from facemorph.faces.alignment import ffhq_crop
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.identity import IdentityEmbedding
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame

PORTRAITS = SHARED / "portraits"
SIDE, GENERATED = 256, 128


@pytest.fixture(scope="module", params=["@open:gif", "@open:varitex"])
def checkpoint(request):
    return request.param


@pytest.fixture(scope="module")
def generator(checkpoint):
    return FaceGenerator.load(checkpoint)


@pytest.fixture(scope="module")
def portraits():
    """Descriptors of real people, in pictures as small as what is generated."""
    embed, detector, known = IdentityEmbedding(), EmbeddedDetector(tile=False), []
    files = sorted(PORTRAITS.glob("uk/*.jpg"))[::4] + sorted(PORTRAITS.glob("us/*.jpg"))[::6]
    with torch.no_grad():
        for path in files:
            image = load_image(path)
            if found := detector(image):
                cut = ffhq_crop(image, found[0].points, "ibug68", GENERATED)
                points = cut.points.float() * SIDE / GENERATED
                known.append(embed(enlarged(cut.image[None]), points)[0])
    return torch.stack(known)


@pytest.fixture(scope="module")
def faces(generator):
    """Sixteen random people."""
    drawn = drawn_faces(generator, 16, 0, 1.0, "all")
    return changed(generator, drawn, {}, None, None, None)


@pytest.fixture(scope="module")
def pictures(generator, faces):
    return torch.stack(list(generator.pictures(faces)))


def enlarged(pictures):
    return torch.nn.functional.interpolate(
        pictures, (SIDE, SIDE), mode="bicubic", align_corners=False
    ).clamp(0, 1)


def landmarks(generator, faces):
    frame = Frame(generator.size, generator.size)
    points = generator.model.landmarks(vertices_of(generator.model, faces.parameters))
    return camera_of(faces.parameters, frame).project(points).pixels * SIDE / generator.size


def test_faces_are_found_where_the_conditions_have_them(generator, faces, pictures):
    detector, errors = EmbeddedDetector(tile=False), []
    for picture, expected in zip(enlarged(pictures), landmarks(generator, faces), strict=True):
        found = detector(picture)
        assert found, "no face in a random picture"
        pupils = (expected[36:42].mean(0) - expected[42:48].mean(0)).norm()
        errors.append(float((found[0].points - expected).norm(dim=-1).mean() / pupils))
    assert sorted(errors)[8] < 0.12


def test_people_differ_and_keep_their_face_when_they_turn(generator, faces):
    turned = [changed(generator, faces, {}, angle, 0.0, "front") for angle in (-18.0, 18.0)]
    embed = IdentityEmbedding()
    with torch.no_grad():
        sides = [
            embed(enlarged(torch.stack(list(generator.pictures(one)))), landmarks(generator, one))
            for one in turned
        ]
    apart = torch.cdist(sides[0], sides[1])
    same, other = apart.diagonal(), apart[~torch.eye(16, dtype=torch.bool)]
    assert float((same[:, None] < other[None]).float().mean()) > 0.85


def test_a_photograph_is_found_in_it(checkpoint, tmp_path):
    photograph = ROOT / "data" / "sample" / "sample_collins.png"
    words = ["invert", str(photograph), "--checkpoint", checkpoint, "-o", str(tmp_path)]
    assert run(words) == 0
    figures = json.loads((tmp_path / "report.json").read_text())["figures"]
    assert figures["psnr_inversion"] > figures["psnr_code"] > figures["psnr_render"]
    assert figures["psnr_inversion"] > 21
    assert figures["identity_inversion"] < figures["identity_render"]


@pytest.mark.slow
@pytest.mark.skipif(not PORTRAITS.is_dir(), reason="../shared/data/portraits is not here")
def test_nobody_of_the_training_set_comes_back(generator, faces, pictures, portraits):
    """Random people are no nearer to a portrait than portraits are to one another."""
    assert generator.size == GENERATED
    with torch.no_grad():
        made = IdentityEmbedding()(enlarged(pictures), landmarks(generator, faces))
    between = torch.cdist(portraits, portraits).fill_diagonal_(torch.inf).amin(1)
    nearest = torch.cdist(made, portraits).amin(1)
    assert float(nearest.min()) > float(between.quantile(0.05))
    assert float(nearest.median()) > 0.9 * float(between.median())
