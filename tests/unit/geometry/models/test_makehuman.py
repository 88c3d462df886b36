"""The embedded head: its chart, its symmetry, its landmarks and the parts of its recipe."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch

from facemorph.errors import ChecksumError, DataError
from facemorph.geometry.makehuman_recipe.build import chart_figures, differences
from facemorph.geometry.makehuman_recipe.cut import bust_height, cut_bust
from facemorph.geometry.makehuman_recipe.people import principal_components
from facemorph.geometry.makehuman_recipe.source import AnnyData
from facemorph.geometry.models import makehuman
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.textures.charts import islands, stretch


@pytest.fixture(scope="module")
def head():
    return load_makehuman()


def covered(uv, faces, size):
    """How many triangles lie over each pixel's middle, one triangle after the other."""
    count = np.zeros((size, size), int)
    for corners in uv[faces] * size:
        low = np.floor(corners.min(0)).astype(int).clip(0, size - 1)
        high = np.ceil(corners.max(0)).astype(int).clip(0, size)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        edges = np.stack([corners[1] - corners[0], corners[2] - corners[0]], 1)
        weights = np.linalg.solve(
            edges, np.stack([x - corners[0, 0], y - corners[0, 1]]).reshape(2, -1)
        )
        inside = (weights > 1e-7).all(0) & (weights.sum(0) < 1 - 1e-7)
        count[low[1] : high[1], low[0] : high[0]] += inside.reshape(x.shape)
    return count


def area(uv, faces):
    corners = uv[faces]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2


@pytest.mark.slow
def test_chart_does_not_overlap_and_the_face_is_large(head):
    topology = head.topology
    uv, faces_uv = topology.uv.double().numpy(), topology.faces_uv.numpy()
    assert uv.min() >= 0
    assert uv.max() <= 1
    assert covered(uv, faces_uv, 512).max() == 1
    signed = area(uv, faces_uv)
    assert (signed < 0).all()  # counter-clockwise outside, v down: nothing mirrored
    face = topology.triangles_in("face").numpy()
    assert -signed[face].sum() >= 0.45
    singular = stretch(head.mean.double().numpy(), topology.faces.numpy(), uv, faces_uv)[face]
    ratio = singular[:, 0] / singular[:, 1]
    assert np.median(ratio) < 1.3
    assert np.percentile(ratio, 95) < 2.2


def test_chart_is_upright_and_mirrored_by_a_flip(head):
    topology = head.topology
    uv, faces_uv, faces = topology.uv.numpy(), topology.faces_uv.numpy(), topology.faces.numpy()
    place = np.full((head.num_vertices, 2), np.nan)
    place[faces.ravel()] = uv[faces_uv.ravel()]
    face = topology.masks["face"].numpy()
    height, side = head.mean[face, 1].numpy(), head.mean[face, 0].numpy()
    assert np.corrcoef(height, place[face, 1])[0, 1] < -0.95
    assert np.corrcoef(side, place[face, 0])[0, 1] > 0.9
    once = face | topology.masks["eye_left"].numpy() | topology.masks["eye_right"].numpy()
    # A vertex between the eye's front and back has a place in each.
    several = (
        np.array([len(np.unique(faces_uv[faces == vertex])) for vertex in np.flatnonzero(once)]) > 1
    )
    chosen = np.flatnonzero(once)[~several]
    flipped = place[topology.mirror.numpy()[chosen]] * [-1, 1] + [1, 0]
    np.testing.assert_allclose(place[chosen], flipped, atol=1e-6)
    assert len(np.unique(islands(faces_uv))) == 11


def test_symmetry_landmarks_and_paths(head):
    topology = head.topology
    mirror = topology.mirror
    torch.testing.assert_close(
        head.mean[mirror] * torch.tensor([-1, 1, 1]), head.mean, atol=1e-5, rtol=0
    )
    points = head.landmarks(head.vertices(torch.zeros(1, 1)))[0]
    torch.testing.assert_close(
        points[:17].flip(0) * torch.tensor([-1, 1, 1]), points[:17], atol=1e-3, rtol=0
    )
    assert points[36, 0] < points[39, 0] < 0 < points[42, 0] < points[45, 0]
    assert points[8, 1] < points[57, 1] < points[51, 1] < points[33, 1] < points[27, 1]
    assert abs(float((points[45] - points[36]).norm()) - 82) < 2
    contour = topology.contour
    assert topology.masks["face"][contour.vertices[:, 1:]].float().mean() > 0.9
    paths = contour.of(head.mean)
    torch.testing.assert_close(paths[:, 0], points[:17])
    torch.testing.assert_close(
        paths[9:], paths[:8].flip(0) * torch.tensor([-1, 1, 1]), atol=1e-4, rtol=0
    )
    for path in (*paths[:8], *paths[9:]):
        assert (path[:, 1] - path[0, 1]).abs().max() < 1e-3  # at one height,
        assert path[-1, 0].abs() < 0.7 * path[0, 0].abs()  # towards the middle,
        assert path[-1, 2] > path[0, 2] - 1  # and the viewer
        assert (path[1:] - path[:-1]).norm(dim=1).max() < 20
    torch.testing.assert_close(paths[8], points[8].expand(24, 3))


def test_lips_and_lids_open(head):
    neutral = head.landmarks(head.vertices(torch.zeros(1, 1)))[0]

    def gap(name, upper, lower):
        weights = torch.zeros(1, head.num_expression)
        weights[0, head.expression_index(name)] = 1
        points = head.landmarks(head.vertices(torch.zeros(1, 1), weights))[0]
        return float(points[upper, 1] - points[lower, 1]), float(
            neutral[upper, 1] - neutral[lower, 1]
        )

    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        opened, closed = gap("jawOpen", upper, lower)
        assert opened > closed + 15
        assert -0.5 < closed < 2
    blink, open_eye = gap("eyeBlinkLeft", 43, 47)
    assert blink < 0.35 * open_eye


def test_each_call_gives_its_own_model():
    first, second = load_makehuman(), load_makehuman()
    first.double()
    first.mean += 1
    assert second.mean.dtype == torch.float32
    assert not torch.equal(first.mean.float(), second.mean)


def test_a_changed_file_is_refused(tmp_path, monkeypatch):
    changed = tmp_path / "head.npz"
    changed.write_bytes(makehuman.PATH.read_bytes()[:-1])
    monkeypatch.setattr(makehuman, "PATH", changed)
    makehuman._embedded.cache_clear()
    with pytest.raises(ChecksumError, match="damaged"):
        load_makehuman()


def test_differences_tell_signs_from_changes():
    with np.load(makehuman.PATH) as data:
        arrays = {name: data[name] for name in data.files}
    assert set(differences(arrays).values()) == {"equal"}
    turned = arrays | {
        "identity": arrays["identity"] * np.where(np.arange(80) % 2, -1, 1)[:, None, None]
    }
    assert differences(turned)["identity"] == "differs by 0"
    share = -area(arrays["uv"].astype(float), arrays["faces_uv"])[
        arrays["mask_face"][arrays["faces"]].all(1)
    ].sum()
    assert chart_figures(arrays)["face"].startswith(f"{share:.3f} of the area")
    assert differences(arrays | {"mean": arrays["mean"] + 1})["mean"] == "differs by 1"
    assert differences(arrays | {"faces": arrays["faces"][:, [1, 2, 0]]})["faces"].startswith(
        "differs in"
    )


def test_cut_keeps_what_is_above():
    """A grid that is cut: the area above the plane stays, new corners lie on the plane."""
    y, x = np.meshgrid(np.linspace(-200, -100, 21), np.linspace(-50, 50, 11), indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    corner = np.array([[row * 11 + column for column in range(10)] for row in range(20)]).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + 11], 1),
            np.stack([corner + 1, corner + 12, corner + 11], 1),
        ]
    )
    mesh = cut_bust(vertices, faces, vertices[:, :2], faces, np.zeros(len(faces), int))
    points = mesh.mix(vertices)
    level = points[:, 1] - bust_height(points)
    assert level.min() > -1e-9
    triangle = points[mesh.faces]
    sides = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
    assert np.linalg.norm(sides, axis=1).sum() / 2 == pytest.approx(100 * (-100 + 168 + 0.22 * 60))
    # slid by a snap
    np.testing.assert_allclose(mesh.uv[mesh.faces_uv], triangle[..., :2], atol=5 * 0.18 + 1e-9)


def test_principal_components_are_those_of_the_covariance():
    samples = np.random.default_rng(0).normal(size=(40, 6, 3)) * [3, 2, 1]
    mirror = np.array([1, 0, 3, 2, 4, 5])
    mean, components = principal_components(samples, mirror, 5)
    both = np.concatenate([samples, samples[:, mirror] * [-1, 1, 1]]).reshape(80, -1)
    values, vectors = np.linalg.eigh(np.cov(both.T))
    np.testing.assert_allclose(mean.ravel(), both.mean(0), atol=1e-12)
    expected = (vectors[:, ::-1][:, :5] * np.sqrt(values[::-1][:5])).T
    found = components.reshape(5, -1)
    np.testing.assert_allclose(np.abs((found * expected).sum(1)), (expected**2).sum(1), rtol=1e-9)


def test_another_wheel_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        AnnyData(tmp_path / "nothing.whl")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("other/readme", "text")
    with pytest.raises(DataError, match=r"base\.obj"):
        AnnyData(tmp_path / "other.whl").base()
