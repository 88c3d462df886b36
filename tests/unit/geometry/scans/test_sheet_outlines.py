"""Outlines of sheets: gaps are not bridged, and only what is certain counts beside them."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial import Delaunay

from facemorph.errors import GeometryError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.scans.scan_pieces import pieces_of_head
from facemorph.geometry.scans.scan_placement import align_scan
from facemorph.geometry.scans.scan_sheets import make_sheet, prepare_scan, signed_distance
from facemorph.geometry.scans.sheet_outlines import (
    known_distances,
    outline_of,
    over_face,
    over_sheet,
    share_of_face,
    without_bridges,
)

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")


def height(place):
    return 0.3 * torch.cos(3 * place[:, 0]) * torch.cos(2 * place[:, 1])


def surface(gone=None, step=0.02):
    """A wavy sheet over the square, 0.8 to each side, bridged by Delaunay where vertices
    are gone.
    """
    line = torch.arange(-0.8, 0.8 + step / 2, step, dtype=torch.float64)
    place = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2)
    # Not on a grid exactly: four corners on a circle have two triangulations.
    place = (
        place
        + 0.1 * step * torch.rand(place.shape, generator=torch.Generator().manual_seed(0)).double()
    )
    if gone is not None:
        place = place[~gone(place)]
    faces = torch.from_numpy(Delaunay(place.numpy()).simplices).long()
    a, b, c = place[faces].unbind(1)
    turn = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    faces = torch.where(turn[:, None] < 0, faces.flip(1), faces)
    return Mesh(torch.cat([place, height(place)[:, None]], 1), faces[turn.abs() > 1e-12])


def hole(place):
    return place.norm(dim=1) < 0.3


def flat_area(mesh):
    a, b, c = mesh.vertices[mesh.faces][..., :2].unbind(1)
    return float(((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs().sum() / 2)


@pytest.fixture(scope="module")
def head():
    model = load_makehuman()
    skin = model.topology.face_component == model.topology.components.index("skin")
    return Mesh(model.mean, model.topology.faces[skin]), model.landmarks(model.mean[None])[0]


def test_holes_are_found_and_whole_sheets_stay():
    whole = surface()
    # slivers of the rim
    assert flat_area(without_bridges(whole)) == pytest.approx(flat_area(whole), rel=0.003)
    bridged = surface(hole)
    assert flat_area(bridged) == pytest.approx(1.6**2, rel=0.01)
    assert flat_area(without_bridges(bridged)) == pytest.approx(1.6**2 - math.pi * 0.3**2, rel=0.02)
    coarse = surface(step=0.08)  # wide meshes are no gaps
    assert flat_area(without_bridges(coarse)) == pytest.approx(flat_area(coarse), rel=0.01)


def test_the_outline_has_the_hole():
    sheet = without_bridges(surface(hole))
    points = (
        torch.rand(4000, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2 - 1
    )
    inside, radius = outline_of(sheet)(points), points[:, :2].norm(dim=1)
    within = (points[:, :2].abs() < 0.78).all(1)
    assert not bool(inside[radius < 0.28].any())
    assert bool(inside[within & (radius > 0.36)].all())
    assert not bool(inside[(points[:, :2].abs() > 0.81).any(1)].any())
    # A triangle at a time, by the signs of its edges.
    corners = sheet.vertices[sheet.faces][..., :2]
    some = points[:300, None, :2]
    edges = [(corners[:, (k + 1) % 3] - corners[:, k], some - corners[:, k]) for k in range(3)]
    twin = (
        torch.stack([one[:, 0] * to[..., 1] - one[:, 1] * to[..., 0] >= 0 for one, to in edges])
        .all(0)
        .any(1)
    )
    assert torch.equal(inside[:300], twin)


def test_faces_are_cut_at_the_hole():
    sheet = without_bridges(surface(hole))
    part = over_sheet(surface(), sheet)
    assert float(part.vertices[:, :2].norm(dim=1).min()) > 0.28
    with pytest.raises(GeometryError, match="over the scan"):
        over_sheet(Mesh(surface().vertices + 5, surface().faces), sheet)
    assert float(over_face(surface(), sheet).vertices[:, :2].norm(dim=1).min()) < 0.05  # completed


def test_distances_that_count_are_those_from_the_whole():
    """The whole surface is the oracle: none of the kept distances is wrong, and most near the
    surface are kept.
    """
    whole, part = surface(), without_bridges(surface(hole))
    generator = torch.Generator().manual_seed(5)
    points = torch.rand(6000, 3, generator=generator, dtype=torch.float64) * 1.6 - 0.8
    true, found = signed_distance(whole, points)[0], signed_distance(part, points)[0]
    known = known_distances(part, points, found)
    assert float((found - true)[known].abs().max()) < 2e-3  # triangles of the rim differ
    assert float((found - true)[~known].abs().max()) > 0.1  # others are wrong
    clear = (
        (points[:, :2].norm(dim=1) > 0.45)
        & (points[:, :2].abs() < 0.7).all(1)
        & (true.abs() < 0.05)
    )
    assert float(known[clear].float().mean()) == 1


def test_a_half_face_is_partial_and_a_whole_one_is_not(head):
    mesh, landmarks = head
    half = Mesh(mesh.vertices, mesh.faces[(mesh.vertices[:, 0] < 5)[mesh.faces].all(1)])
    marks = torch.where(landmarks[:, :1] < 5, landmarks, torch.nan)
    samples = {
        name: prepare_scan(
            *scan, torch.Generator().manual_seed(0), num_surface=3000, num_free=2000, partial="auto"
        )
        for name, scan in (("whole", head), ("half", (half, marks)))
    }
    assert not samples["whole"].partial
    assert len(samples["whole"].free) == 2000
    assert samples["half"].partial
    assert share_of_face(samples["half"].sheet) == pytest.approx(0.5, abs=0.1)
    assert 0 < len(samples["half"].free) < 1000
    # In one frame (the nose is at x = 0 in both): distances that are kept are those from the whole
    # head.
    true = signed_distance(samples["whole"].sheet, samples["half"].free.double())[0]
    assert float((true - samples["half"].distance).abs().median()) < 2e-3


def test_automatic_decisions_leave_whole_scans_as_they_are(head):
    one, two = (
        prepare_scan(
            *head, torch.Generator().manual_seed(0), num_surface=500, num_free=100, partial=partial
        )
        for partial in ("auto", "no")
    )
    assert torch.equal(one.surface, two.surface)
    assert torch.equal(one.distance, two.distance)


def test_pieces_beside_the_head_go_and_those_on_it_stay(head):
    import numpy as np
    import trimesh

    mesh, landmarks = align_scan(*head)

    def with_ball(place, radius):
        made = trimesh.creation.icosphere(subdivisions=2, radius=radius)
        ball = torch.from_numpy(np.asarray(made.vertices)).float() + torch.tensor(place)
        return Mesh(
            torch.cat([mesh.vertices, ball]),
            torch.cat(
                [mesh.faces, torch.from_numpy(np.asarray(made.faces)).long() + len(mesh.vertices)]
            ),
        )

    assert pieces_of_head(mesh, landmarks)[1] == 0
    before, lost = pieces_of_head(with_ball((0.1, 0.1, 0.75), 0.1), landmarks)
    assert lost == 1
    assert float((make_sheet(before).vertices[:, 2]).max()) < 0.45  # nothing floats before the nose
    eye = mesh.vertices.new_tensor(landmarks[36:42].mean(0).tolist()) - torch.tensor([0, 0, 0.1])
    assert pieces_of_head(with_ball(tuple(eye.tolist()), 0.12), landmarks)[1] == 0
    # Every triangle on its own, as STL has them: still one piece.
    corners = mesh.vertices[mesh.faces].reshape(-1, 3)
    assert pieces_of_head(Mesh(corners, torch.arange(len(corners)).view(-1, 3)), landmarks)[1] == 0
