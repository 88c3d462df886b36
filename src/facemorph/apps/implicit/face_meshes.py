"""Faces of a trained ImFace as meshes: with triangles of their own, or all with those of the
template.

Every vertex knows its place on the template, in millimetres in the files: vertices of two faces
with one place are the same point of the skin. Along the template's normal places may differ by
ImFace's correction of the distance.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from facemorph.apps.implicit.choices import (
    KINDS,  # noqa: F401 - reconstruct takes it from here
    TOPOLOGIES,
)
from facemorph.errors import CheckpointError, ConfigError, DataError, GeometryError
from facemorph.geometry.meshes.extraction import Extraction
from facemorph.geometry.meshes.mesh_files import READ, Mesh, glb_bytes, obj_files, ply_bytes
from facemorph.geometry.scans.scan_placement import UNIT, in_millimetres
from facemorph.ops.meshes import filled_values
from facemorph.storage.array_files import read_npz
from facemorph.storage.checkpoint import load_system
from facemorph.storage.files import write_whole
from facemorph.storage.versions import versions
from facemorph.systems.imface.correspondence import Carried, carry, template_normals
from facemorph.systems.imface.detail_system import ImFacePlusPlus
from facemorph.systems.imface.evaluation import ImFaceEvaluation
from facemorph.systems.imface.system import ImFace

NEAR = 64  # cells of the surface whose vertices a search starts from
STRETCHED = 4.0
FEWEST = 0.5  # of the vertices that must be found


FaceRow = dict[str, str | int | float | list[str]]  # what a report says of a face, by name


class ReportHead(TypedDict):
    """What every report on implicit faces begins with.

    Attributes:
        date: When it was made.
        checkpoint: Of the model.
        versions: Of facemorph and what it uses.
        settings: Options by name.
    """

    date: str
    checkpoint: str
    versions: dict[str, str]
    settings: Mapping[str, object]


def report_head(checkpoint: str | Path, settings: Mapping[str, object]) -> ReportHead:
    """The first entries of a report; paths among the settings become text."""
    plain = {name: str(one) if isinstance(one, Path) else one for name, one in settings.items()}
    return ReportHead(
        date=time.strftime("%Y-%m-%d %H:%M"),
        checkpoint=str(checkpoint),
        versions=versions(),
        settings=plain,
    )


@dataclass(frozen=True)
class FaceCodes:
    """Codes of a face.

    Attributes:
        identity: ``(C,)``.
        expression: ``(C,)``; None is the neutral face.
        detail: ``(D,)`` of models with details, or None.
    """

    identity: Tensor
    expression: Tensor | None = None
    detail: Tensor | None = None

    def content(self, **more: Any) -> bytes:
        """Of a file ``NAME_codes.npz``, with more arrays by name."""
        stream = io.BytesIO()
        parts: dict[str, Any] = {
            name: value.numpy() for name, value in vars(self).items() if value is not None
        }
        np.savez(stream, **parts, **more)
        return stream.getvalue()


def load_imface(checkpoint: str | Path) -> ImFace:
    """A trained ImFace.

    Raises:
        CheckpointError: The checkpoint cannot be loaded, or is of another system.
    """
    system = load_system(checkpoint)
    if not isinstance(system, ImFace):
        raise CheckpointError(
            "this checkpoint is of another system",
            where=checkpoint,
            expected="ImFace",
            found=type(system).__name__,
            remedy="Train one: facemorph train experiment=imface/small data.folder=SET.",
        )
    return system


def read_codes(path: str | Path, system: ImFace) -> FaceCodes:
    """Codes of a face from ``NAME_codes.npz`` of ``facemorph reconstruct`` or ``sample``.

    Raises:
        DataError: It cannot be read, is a mesh, holds no codes, or codes of another model's length.
    """
    path = Path(path)
    if path.suffix.lower() in READ:
        raise DataError(
            "this is a mesh, not codes of a face",
            where=path,
            expected="NAME_codes.npz",
            found=path.name,
            remedy=f"Fit it first: facemorph reconstruct {path} -o DIR.",
        )
    arrays = read_npz(
        path, "these codes cannot be read", expected="NAME_codes.npz of facemorph reconstruct"
    )
    names = set(arrays)
    if any(values.dtype.kind not in "fiu" for values in arrays.values()):
        raise DataError("these codes are not numbers", where=path)
    parts = {
        name: torch.from_numpy(arrays[name].astype(np.float32))
        for name in ("identity", "expression", "detail")
        if name in names
    }
    if "identity" not in parts:
        raise DataError(
            "this file holds no codes of a face",
            where=path,
            expected="identity and expression",
            found=", ".join(sorted(names)) or "nothing",
        )
    for name in ("identity", "expression"):
        if name in parts and parts[name].shape != (system.code,):
            raise DataError(
                "these codes are of another model",
                where=f"{path}: {name}",
                expected=f"{system.code} numbers",
                found=tuple(parts[name].shape),
                remedy="Give the checkpoint that they were fitted with.",
            )
    if not all(bool(torch.isfinite(part).all()) for part in parts.values()):
        raise DataError("these codes are not numbers", where=path)
    return FaceCodes(parts["identity"], parts.get("expression"), parts.get("detail"))


@dataclass(frozen=True)
class FaceMesh:
    """A face.

    Attributes:
        mesh: In ImFace's space, 1 for 100 mm.
        places: ``(V, 3)`` on the template, in the same unit.
        found: ``(V,)`` bool; False where a vertex of the template was not found on this face and
            has been filled in from its neighbours.
        carried: What the next face can start from; None with triangles of its own.
    """

    mesh: Mesh
    places: Tensor
    found: Tensor
    carried: Carried | None = None

    @property
    def colours(self) -> Tensor:
        """``(V, 3)`` in [0, 1] by places on the template, as in the authors' files."""
        return (self.places / 2 + 0.5).clamp(0, 1)

    @property
    def beyond(self) -> Tensor:
        """``(V,)`` bool: outside of the unit ball, where no scan has ever been."""
        return self.mesh.vertices.norm(dim=1) > 1 + 1e-5

    @property
    def stretched(self) -> Tensor:
        """``(F,)`` bool: triangles of the template with an edge that is drawn out ``STRETCHED``
        times on this face.
        """
        if self.carried is None:
            return torch.zeros(len(self.mesh.faces), dtype=torch.bool)
        here, there = (
            points[self.mesh.faces] - points[self.mesh.faces.roll(1, 1)]
            for points in (self.mesh.vertices, self.places)
        )
        return (here.norm(dim=2) > STRETCHED * there.norm(dim=2)).any(1)

    def files(self, name: str, kind: str, coloured: bool = False) -> dict[str, bytes]:
        """The mesh in millimetres and ``NAME_correspondence.npz``, by file name."""
        mesh = in_millimetres(self.mesh)
        stream = io.BytesIO()
        np.savez(stream, template=(self.places * UNIT).numpy(), found=self.found.numpy())
        return {
            **mesh_files(mesh, name, kind, self.colours if coloured else None),
            f"{name}_correspondence.npz": stream.getvalue(),
        }


def mesh_files(mesh: Mesh, name: str, kind: str, colours: Tensor | None = None) -> dict[str, bytes]:
    """A mesh as ``NAME.ply``, ``NAME.obj`` or ``NAME.glb``, with colours of its vertices ``(V, 3)``
    or without.
    """
    if kind == "obj":
        return obj_files(mesh, name, colours=colours)
    return {
        f"{name}.{kind}": glb_bytes(mesh, colours=colours)
        if kind == "glb"
        else ply_bytes(mesh, colours)
    }


class FaceMaker:
    """Makes meshes of codes.

    Args:
        system: A trained one.
        topology: ``free``: each face has triangles of its own, made where it is. ``template``: all
            have the template's, and equal numbers of vertices are equal points of the skin; where
            an expression opens the mouth these are drawn out, and few are left between the lips.
        resolution: Cells along each side of the ball, of the template or of each face: a power of
            2, 32 to 1024.

    Raises:
        ConfigError: A value is none of the possible ones.
        GeometryError: The template has no surface.
    """

    def __init__(self, system: ImFace, topology: str = "free", resolution: int = 128) -> None:
        if topology not in TOPOLOGIES:
            raise ConfigError(
                "no such choice", where="topology", expected=" | ".join(TOPOLOGIES), found=topology
            )
        self.system, self.topology, self.resolution = system, topology, resolution
        # A field that can be trained would keep what each evaluation needs for that.
        system.requires_grad_(False)
        self.template = system.template_surface(resolution).mesh
        self.normals = template_normals(system.field, self.template.vertices)

    def __call__(self, codes: FaceCodes, start: Carried | None = None) -> FaceMesh:
        """The face of codes.

        Args:
            codes: Which.
            start: ``FaceMesh.carried`` of a face that is nearly the same, as of the frame before.

        Raises:
            GeometryError: The field has no surface, or most of the template is not on it.
        """
        if self.topology == "template":
            return self.carried(codes, start)
        return self.placed(self.extracted(codes, self.resolution).mesh, codes)

    def placed(self, mesh: Mesh, codes: FaceCodes) -> FaceMesh:
        """A mesh on the face of codes, with the places of its vertices on the template."""
        places = ImFaceEvaluation(
            self.system.field, codes.identity, codes.expression
        ).template_places(mesh.vertices)
        return FaceMesh(mesh, places, torch.ones(len(places), dtype=torch.bool))

    def extracted(self, codes: FaceCodes, resolution: int, *, dense: bool = False) -> Extraction:
        """The face's surface with triangles of its own; a model without details leaves their code
        out.

        Raises:
            GeometryError: The field has no surface.
        """
        if isinstance(self.system, ImFacePlusPlus):
            return self.system.surface(
                codes.identity, codes.expression, resolution, dense=dense, detail=codes.detail
            )
        return self.system.surface(codes.identity, codes.expression, resolution, dense=dense)

    def carried(self, codes: FaceCodes, start: Carried | None = None) -> FaceMesh:
        """The template's mesh carried to the face of codes.

        Raises:
            GeometryError: The field has no surface, or most of the template is not on it.
        """
        places = self.template.vertices
        found = self.carry(places, self.normals, codes, start)
        known = found.converged
        if float(known.float().mean()) < FEWEST:
            raise GeometryError(
                "most of the template is not on this face",
                where="topology",
                expected=f"more than {FEWEST:.0%} of its vertices",
                found=f"{int(known.sum())} of {len(known)}",
                remedy="Take --topology free, or train the model further.",
            )
        moved = filled_values(self.template.faces, found.points - places, known)
        return FaceMesh(Mesh(places + moved, self.template.faces), places, known, found)

    def carry(
        self,
        places: Tensor,
        normals: Tensor,
        codes: FaceCodes,
        start: Carried | None = None,
        near: Tensor | None = None,
    ) -> Carried:
        """Places of the template ``(P, 3)``, with unit normals there, on the face of codes.

        ``near`` are points ``(N, 3)`` of that face to start from, where there are some already.

        Raises:
            GeometryError: The field has no surface.
        """
        field = self.system.field
        if start is not None:
            return carry(
                field, places, normals, start.points, codes.identity, codes.expression, start.slopes
            )
        if near is None:
            near = self.system.surface(codes.identity, codes.expression, NEAR).mesh.vertices
        own = ImFaceEvaluation(field, codes.identity, codes.expression).template_places(near)
        first = near[torch.from_numpy(cKDTree(own.numpy()).query(places.numpy(), workers=1)[1])]
        return carry(field, places, normals, first, codes.identity, codes.expression)

    def landmarks(self, codes: FaceCodes, near: Tensor | None = None) -> Tensor:
        """The template's 68 landmarks on the face of codes, ``(68, 3)`` in ImFace's space; ``near``
        as for ``carry``.

        Raises:
            GeometryError: The field has no surface.
        """
        marks = self.system.template_landmarks
        return self.carry(
            marks, template_normals(self.system.field, marks), codes, near=near
        ).points


def write_face(
    face: FaceMesh, codes: FaceCodes, name: str, folder: Path, kind: str, coloured: bool
) -> FaceRow:
    """Write a face's mesh, correspondences and codes.

    Returns:
        Its row of the report.
    """
    contents = {**face.files(name, kind, coloured), f"{name}_codes.npz": codes.content()}
    for file, content in contents.items():
        write_whole(folder / file, content)
    return {"name": name, "files": list(contents), **described(face)}


def described(face: FaceMesh) -> dict[str, int]:
    """Numbers of vertices and triangles for a report."""
    return {
        "vertices": len(face.mesh.vertices),
        "triangles": len(face.mesh.faces),
        "filled_vertices": int((~face.found).sum()),
        "vertices_beyond_the_ball": int(face.beyond.sum()),
        "stretched_triangles": int(face.stretched.sum()),
    }


def check_choices(choices: Sequence[tuple[str, Any, Sequence[Any]]]) -> None:
    """See that each value, with its name, is one of the possible ones.

    Raises:
        ConfigError: One is not.
    """
    for name, value, known in choices:
        if value not in known:
            raise ConfigError(
                "no such choice", where=name, expected=" | ".join(map(str, known)), found=value
            )
