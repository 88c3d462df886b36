"""GNM Head in the package's own terms: frame, landmarks, regions, chart and named expressions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.gnm_lookalike import OFFSET, STRETCH, write_gnm

from facemorph.errors import GeometryError, MissingExtra
from facemorph.geometry.models import gnm
from facemorph.geometry.models.gnm import import_gnm, load_gnm
from facemorph.geometry.models.gnm_landmarks import LOWER_LIP, UPPER_LIP, in_ibug_order
from facemorph.geometry.models.gnm_units import ridge_fit
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.mirroring import MirroredParameters
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import SurfacePoints
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.recordings.live_link import read_live_link


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_gnm(tmp_path_factory.mktemp("gnm"))


@pytest.fixture(scope="module")
def model(written):
    return load_model(written[0])


def test_frame(model, written):
    eyes = model.skeleton.mean[
        [model.joint_names.index(f"eye_{side}") for side in ("left", "right")]
    ]
    torch.testing.assert_close(eyes.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    assert eyes[0, 0] > 20  # the subject's left is to the right in the picture
    points = written[1]["template_vertex_positions"].astype(float) - OFFSET
    middle = np.array([0, -1, 2]) * STRETCH
    np.testing.assert_allclose(model.mean.numpy(), points * 1000 - middle, atol=1e-3)
    assert model.name == "gnm"


def test_landmarks_are_in_ibug_order(model, written):
    _, arrays, vertices, weights = written
    points = (arrays["template_vertex_positions"].astype(float)[vertices] * weights[..., None]).sum(
        1
    )
    expected = (points - OFFSET) * 1000 - np.array([0, -1, 2]) * STRETCH
    np.testing.assert_allclose(model.landmarks(model.mean[None])[0].numpy(), expected, atol=1e-2)


@pytest.mark.parametrize("seed", range(6))
def test_order_of_other_faces(seed):
    """A head of other width, height and depth, seen somewhere else, with lips that nearly touch."""
    generator = np.random.default_rng(seed)
    source = load_makehuman()
    other = source.vertices(torch.tensor(generator.normal(size=(1, 80))).float())[0]
    other = other * torch.tensor(generator.uniform(0.9, 1.1, 3)).float()
    marks = source.topology.landmarks
    lips = torch.zeros(2, source.num_vertices, dtype=torch.bool)
    lips[0, marks.vertices[UPPER_LIP, 0]] = True
    lips[1, marks.vertices[LOWER_LIP, 0]] = True
    order = generator.permutation(68)
    shuffled = SurfacePoints(marks.vertices[order], marks.weights[order])
    found = in_ibug_order(shuffled, other + 7.0, lips[0], lips[1])
    assert torch.equal(found.vertices, marks.vertices)


def test_regions_mirror_and_chart(model):
    topology = model.topology
    masks = topology.masks
    assert masks["eye_left"].sum() == masks["eye_right"].sum() == 26
    assert not (masks["face"] & (masks["ears"] | masks["teeth"] | masks["eye_left"])).any()
    assert masks["face"].sum() > 200
    assert torch.equal(topology.mirror[masks["lips"]].sort().values, masks["lips"].nonzero()[:, 0])
    image = model.mean[topology.mirror] * torch.tensor([-1, 1, 1])
    torch.testing.assert_close(image, model.mean, atol=0.3, rtol=0)
    names = [topology.components[part] for part in topology.face_component.unique()]
    assert names == ["skin", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue"]
    assert topology.uv.min() >= 0
    assert topology.uv.max() <= 1
    skin = topology.triangles_in("skin")
    height = model.mean[topology.faces[skin].flatten(), 1]
    v = topology.uv[topology.faces_uv[skin].flatten(), 1]
    assert torch.corrcoef(torch.stack([height, v]))[0, 1] < -0.99  # v down
    # No two parts share a place.
    boxes = [
        topology.uv[topology.faces_uv[topology.face_component == part].flatten()]
        for part in topology.face_component.unique()
    ]
    for one, first in enumerate(boxes):
        for second in boxes[:one]:
            apart = (first.amin(0) >= second.amax(0)) | (second.amin(0) >= first.amax(0))
            assert apart.any()
    turned = MirroredParameters.of(model)
    blink = model.expression_names.index("eyeBlinkLeft")
    assert turned.expression[blink].argmax() == model.expression_names.index("eyeBlinkRight")
    assert turned.joints.tolist() == [0, 1, 3, 2]


@pytest.mark.parametrize("tiles", [1, 3])
def test_chart_of_tiles_and_upside_down(tmp_path, written, tiles):
    corners = written[1]["triangle_uvs"] * [1, -1] + [0, 1]
    corners[500:] += [tiles - 1, 0]
    path, *_ = write_gnm(tmp_path, change={"triangle_uvs": corners.astype(np.float32)})
    topology = load_gnm(path, named=False).topology
    assert 0 <= topology.uv.min() <= topology.uv.max() <= 1
    skin = topology.triangles_in("skin")
    height = topology_height(path, topology.faces[skin])
    v = topology.uv[topology.faces_uv[skin].flatten(), 1]
    assert torch.corrcoef(torch.stack([height, v]))[0, 1] < -0.9


def topology_height(path, faces):
    return load_gnm(path, named=False).mean[faces.flatten(), 1]


def moved(model, **expression):
    """How far the landmarks go, in millimetres."""
    parameters = FaceParameters.neutral(model).with_expression(**expression)
    vertices = model.vertices(parameters.identity, parameters.expression)
    return (model.landmarks(vertices) - model.landmarks(model.mean[None]))[0]


def test_named_expressions(model):
    source = load_makehuman()
    assert model.expression_names == source.expression_names
    assert model.expression_range == (0.0, 1.0)
    jaw = moved(model, jawOpen=1)
    assert jaw[8, 1] < -10  # the chin
    assert jaw[17:48, :].norm(dim=1).max() < 3  # brows, nose and eyes stay
    opening = jaw[62] - jaw[66]
    assert opening[1] > 4
    torch.testing.assert_close(moved(model, jawOpen=0.5), jaw / 2, atol=1e-3, rtol=1e-3)
    smile = moved(model, mouthSmileLeft=1)
    assert smile[54, 1] > 3  # the subject's left corner of the mouth
    assert smile[48].norm() < 0.5 * smile[54].norm()
    for unit in ("eyeBlinkLeft", "browOuterUpRight"):
        offsets = model.expression_basis[model.expression_names.index(unit)].norm(dim=1)
        own = model.mean[:, 0] > 0 if unit.endswith("Left") else model.mean[:, 0] < 0
        assert offsets[own].max() > 5 * offsets[~own & (model.mean[:, 0].abs() > 25)].max()
    blink = moved(model, eyeBlinkLeft=1)
    assert blink[[43, 44], 1].mean() < -0.5  # the upper lid


def test_units_follow_those_of_the_embedded_head(model):
    """Landmarks go the same way, as far as the few modes of the look-alike can."""
    source = load_makehuman()
    for unit in ("jawOpen", "mouthSmileLeft", "mouthPucker", "mouthFrownRight"):
        here, there = moved(model, **{unit: 1}), moved(source, **{unit: 1})
        share = torch.nn.functional.cosine_similarity(here.flatten(), there.flatten(), dim=0)
        assert share > 0.6, unit


def test_eyes_look(model):
    left = model.topology.masks["eye_left"]
    offsets = model.expression_basis[model.expression_names.index("eyeLookUpLeft")]
    front = left & (model.mean[:, 2] > model.mean[left][:, 2].mean() + 6)
    assert offsets[front][:, 1].min() > 0.5
    assert offsets[model.topology.masks["eye_right"]].abs().max() == 0
    outward = model.expression_basis[model.expression_names.index("eyeLookOutLeft")]
    assert outward[front][:, 0].min() > 0.5


def test_recordings(model, tmp_path):
    """Live Link's coefficients go by name, as with the embedded head."""
    units = [name[:1].upper() + name[1:] for name in model.expression_names]
    values = ["0.5" if name == "JawOpen" else "0" for name in units]
    rows = [["Timecode", "BlendShapeCount", *units], ["13:59:59:58.5", "61", *values]]
    (tmp_path / "a.csv").write_text("\n".join(map(",".join, rows)))
    found, _ = read_live_link(tmp_path / "a.csv", model)
    vertices = model.vertices(found.identity, found.expression)
    shift = (model.landmarks(vertices) - model.landmarks(model.mean[None]))[0]
    torch.testing.assert_close(shift, moved(model, jawOpen=0.5))


def test_ridge_fit():
    generator = torch.Generator().manual_seed(0)
    modes = torch.randn(6, 300, generator=generator)
    coefficients = torch.randn(4, 6, generator=generator).clamp(-2, 2)
    torch.testing.assert_close(
        ridge_fit(modes, coefficients @ modes), coefficients, atol=0.01, rtol=0.01
    )
    large = ridge_fit(modes, 50 * coefficients @ modes)
    assert large.abs().max() <= 3
    assert (large * coefficients).sum() > 0
    assert ridge_fit(modes, torch.zeros(1, 300)).abs().max() == 0
    assert bool(torch.isfinite(ridge_fit(torch.zeros(6, 300), modes)).all())


def test_the_downloaded_model(tmp_path, monkeypatch, written):
    monkeypatch.setattr(gnm, "pretrained_folder", lambda: tmp_path / "kept")
    with pytest.raises(MissingExtra, match="facemorph download gnm"):
        load_model("gnm")
    path = import_gnm(written[0])
    assert path == tmp_path / "kept" / "gnm_head.npz"
    assert torch.equal(load_model("gnm").mean, load_gnm(written[0]).mean)


def test_landmarks_in_a_clone(tmp_path, written):
    place = tmp_path / "data" / "versions" / "v3_0"
    place.mkdir(parents=True)
    (place / "gnm_head.npz").write_bytes(written[0].read_bytes())
    with pytest.raises(MissingExtra, match="head_sparse_68"):
        load_gnm(place / "gnm_head.npz")
    (tmp_path / "data" / "landmarks").mkdir()
    table = written[0].with_name("head_sparse_68.txt").read_text()
    (tmp_path / "data" / "landmarks" / "head_sparse_68.txt").write_text("# comment\n" + table)
    found = load_gnm(place / "gnm_head.npz")
    given = load_gnm(place / "gnm_head.npz", landmarks=written[0].with_name("head_sparse_68.txt"))
    assert torch.equal(found.topology.landmarks.vertices, given.topology.landmarks.vertices)
    (tmp_path / "short.txt").write_text(table[: len(table) // 2])
    with pytest.raises(GeometryError, match="68 rows"):
        load_gnm(place / "gnm_head.npz", landmarks=tmp_path / "short.txt")
