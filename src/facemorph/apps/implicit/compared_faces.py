"""What a trained ImFace is compared with on scans: linear models of its training scans, and the
embedded head.
"""

from __future__ import annotations

from pathlib import Path

import torch

from facemorph.apps.fitting.scan_fitting import fitted_scan_head
from facemorph.errors import DataError
from facemorph.geometry.meshes.mesh_files import Mesh, read_mesh
from facemorph.geometry.meshes.sphere_cut import compacted
from facemorph.geometry.scans.linear_faces import LinearFaces
from facemorph.geometry.scans.scan_placement import UNIT, align_scan, in_millimetres
from facemorph.geometry.scans.scan_sheets import PreparedScan, make_sheet
from facemorph.storage.array_files import read_npz
from facemorph.storage.files import read_json


def learn_linear(folder: Path, count: int) -> LinearFaces:
    """Principal components of the training scans of ``facemorph data scans``, their clean meshes
    aligned as scans are.

    Raises:
        DataError: The folder cannot be read.
        GeometryError: There are fewer than two scans.
    """
    try:
        rows = [
            row for row in read_json(folder / "index.json")["scans"] if row["split"] == "training"
        ]
        faces = read_mesh(folder / "template.ply").faces
        meshes = []
        for row in rows:
            file = read_npz(folder / row["arrays"], "this scan cannot be read")
            vertices, landmarks = (
                torch.from_numpy(file[name]) for name in ("vertices", "landmarks")
            )
            meshes.append(align_scan(Mesh(vertices, faces), landmarks, 1.0)[0].vertices)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "these scans cannot be read",
            where=folder,
            expected="a folder of `facemorph data scans`",
            found=f"{type(error).__name__}: {error}"[:120],
        ) from error
    return LinearFaces.learn(torch.stack(meshes) if meshes else torch.empty(0, 0, 3), faces, count)


def embedded_head(scan: PreparedScan) -> Mesh:
    """The embedded head that is fitted to a scan's sheet, as a sheet of ImFace's space.

    Raises:
        GeometryError: The scan does not determine a head.
        MissingExtra: The extra ``scans`` is not installed.
    """
    head = fitted_scan_head(in_millimetres(scan.sheet), scan.landmarks * UNIT)
    return make_sheet(compacted(head.vertices / UNIT, head.faces))
