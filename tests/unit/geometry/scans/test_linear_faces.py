"""Principal components of face meshes, and their fit to sheets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facemorph.errors import GeometryError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.scans.linear_faces import LinearFaces
from facemorph.geometry.scans.scan_placement import align_scan
from facemorph.geometry.scans.scan_sheets import make_sheet, signed_distance
from facemorph.geometry.scans.sheet_outlines import over_sheet

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")


@pytest.fixture(scope="module")
def heads():
    """Twenty heads that three numbers explain."""
    model = load_makehuman()
    generator = torch.Generator().manual_seed(0)
    codes = torch.zeros(20, model.identity_basis.shape[0])
    codes[:, :3] = torch.randn(20, 3, generator=generator)
    vertices = model.vertices(codes)
    faces = model.topology.faces
    aligned = [
        align_scan(Mesh(one, faces), marks, 1.0)[0].vertices
        for one, marks in zip(vertices, model.landmarks(vertices), strict=True)
    ]
    return torch.stack(aligned), faces


def test_components_are_those_of_the_covariance(heads):
    meshes, faces = heads
    linear = LinearFaces.learn(meshes, faces, 30)
    assert linear.basis.shape[0] == 19  # one less than meshes
    kept = torch.cdist(linear.mean, meshes.mean(0)).argmin(1)
    centred = (meshes - meshes.mean(0))[:, kept].flatten(1).double().numpy()
    sizes = np.linalg.svd(centred, compute_uv=False) ** 2
    assert np.allclose(linear.explained.numpy(), (sizes / sizes.sum())[:19], atol=1e-5)
    assert np.allclose(
        (linear.basis.flatten(1).square().sum(1) * 19)[:3].numpy(), sizes[:3], rtol=1e-3
    )


def test_a_mesh_that_it_spans_is_found_again(heads):
    meshes, faces = heads
    linear = LinearFaces.learn(meshes[:-1], faces, 6)
    sheet = make_sheet(Mesh(meshes[-1], faces))

    def error(face):
        """Mean exact distance of its vertices from the sheet, in millimetres."""
        return 100 * float(
            signed_distance(sheet, over_sheet(linear.sheet_of(face), sheet).vertices)[0]
            .abs()
            .mean()
        )

    one, six = (error(linear.fit(sheet, count)) for count in (1, 6))
    assert six < 0.1
    assert six < one < error(Mesh(linear.mean, linear.faces))


def test_what_cannot_be(heads):
    meshes, faces = heads
    with pytest.raises(GeometryError, match="need meshes"):
        LinearFaces.learn(meshes[:1], faces, 2)
    linear = LinearFaces.learn(meshes[:3], faces, 2)
    aside = make_sheet(Mesh(meshes[0], faces))
    with pytest.raises(GeometryError, match="over the scan"):
        linear.fit(Mesh(aside.vertices + 5, aside.faces), 1)
