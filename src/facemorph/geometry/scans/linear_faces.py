"""Principal components of corresponding face meshes, fitted to scans: the linear baseline of
nonlinear face models.

Blanz and Vetter 1999 for the model; the fit is that of ``facemorph.geometry.fitting.scan_fit`` in
ImFace's space, where scans are aligned already: nearest points of the sheet, point to plane,
Gaussian prior of the components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import GeometryError, MissingExtra
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.sphere_cut import compacted
from facemorph.geometry.scans.scan_placement import UNIT
from facemorph.geometry.scans.scan_sheets import make_sheet, visible_from_front
from facemorph.geometry.scans.sheet_outlines import EXTRA, outline_of
from facemorph.ops.meshes import vertex_normals

ROUNDS = 20
FAR, FACING = 3.0, 0.5  # times the median distance; cosine of 60 degrees
NOISE = 0.5 / UNIT  # of a vertex along the normal
ALONG = 0.1  # weight of the two directions in the surface
RADIUS = 1.2  # of the mean face's part that is kept


@dataclass(frozen=True)
class LinearFaces:
    """A linear face model in ImFace's space.

    Attributes:
        mean: ``(V, 3)``.
        basis: ``(K, V, 3)`` components times their standard deviation, the largest first.
        faces: ``(F, 3)``.
        explained: ``(K,)`` share of the variance.
    """

    mean: Tensor
    basis: Tensor
    faces: Tensor
    explained: Tensor

    @staticmethod
    def learn(meshes: Tensor, faces: Tensor, count: int) -> LinearFaces:
        """Principal components of the part of corresponding meshes that is visible from the front.

        Args:
            meshes: ``(S, V, 3)`` in ImFace's space.
            faces: ``(F, 3)``.
            count: Components; at most S - 1 come back.

        Raises:
            GeometryError: There are fewer than two meshes.
        """
        if len(meshes) < 2:
            raise GeometryError(
                "components need meshes", where="meshes", expected="2 or more", found=len(meshes)
            )
        mean = meshes.mean(0)
        kept = (mean.norm(dim=1) <= RADIUS) & visible_from_front(Mesh(mean, faces))
        faces = faces[kept[faces].all(1)]
        used, faces = faces.unique(return_inverse=True)
        centred = (meshes[:, used] - mean[used]).flatten(1)
        # S x S: fewer than 3V
        values, vectors = np.linalg.eigh((centred.double() @ centred.double().T).numpy())
        order = np.argsort(values)[::-1][: min(count, len(meshes) - 1)].copy()
        chosen = torch.from_numpy(vectors[:, order]).float()
        basis = (chosen.T @ centred).unflatten(1, (-1, 3)) / (len(meshes) - 1) ** 0.5
        return LinearFaces(
            mean[used],
            basis,
            faces,
            torch.from_numpy(values[order] / values.clip(min=0).sum()).float(),
        )

    def fit(self, sheet: Mesh, count: int) -> Mesh:
        """The face of ``count`` components that is nearest to a sheet.

        Raises:
            GeometryError: Nothing of it is over the sheet.
            MissingExtra: The extra ``scans`` is not installed.
        """
        basis = self.basis[:count]
        code = torch.zeros(len(basis))
        for _ in range(ROUNDS):
            vertices = self.mean + torch.einsum("k,kvc->vc", code, basis)
            normals = vertex_normals(vertices[None], self.faces)[0]
            offsets, weight = self._pairs(sheet, vertices, normals)
            along = torch.einsum("kvc,vc->kv", basis, normals) * weight
            rows = torch.cat([along, ALONG * (basis * weight[:, None]).flatten(1)], 1) / NOISE
            values = (
                torch.cat(
                    [
                        ((offsets + vertices - self.mean) * normals).sum(1) * weight,
                        ALONG * ((offsets + vertices - self.mean) * weight[:, None]).flatten(),
                    ]
                )
                / NOISE
            )
            system = (rows @ rows.T).double().numpy() + np.eye(len(basis))
            code = torch.from_numpy(
                np.linalg.solve(system, (rows @ values).double().numpy())
            ).float()
        return Mesh(self.mean + torch.einsum("k,kvc->vc", code, basis), self.faces)

    @staticmethod
    def _pairs(sheet: Mesh, vertices: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
        """Ways ``(V, 3)`` to the nearest points of the sheet, and ``(V,)`` 1 for those that count.

        Vertices beyond the outline do not, nor those three times as far away as the median, nor
        surfaces that look another way: the insides of mouth and nostrils, which a sheet does not
        have.
        """
        try:
            import igl
        except ImportError as error:
            raise MissingExtra(
                "scans need the package libigl", where="libigl", remedy=EXTRA
            ) from error
        _, face, place = igl.point_mesh_squared_distance(
            vertices.double().numpy(),
            sheet.vertices.double().numpy(),
            sheet.faces.numpy().astype(np.int64),
        )
        ways = torch.from_numpy(np.ascontiguousarray(place)).float() - vertices
        over = outline_of(sheet)(vertices)
        if not bool(over.any()):
            raise GeometryError(
                "nothing of this face lies over the scan", where="vertices", found=len(vertices)
            )
        a, b, c = sheet.vertices[sheet.faces[torch.from_numpy(np.asarray(face)).long()]].unbind(1)
        facing = (
            torch.nn.functional.cosine_similarity(torch.linalg.cross(b - a, c - a), normals, dim=1)
            > FACING
        )
        distance = ways.norm(dim=1)
        near = distance <= (FAR * distance[over].median()).clamp(min=NOISE)
        return ways, (over & facing & near).float()

    def sheet_of(self, face: Mesh) -> Mesh:
        """A fitted face as the sheets that scans become: cut to the ball, visible, closed."""
        return make_sheet(compacted(face.vertices, face.faces))
