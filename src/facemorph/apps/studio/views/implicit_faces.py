"""Faces of ImFace for the studio: drawn, fitted, moved along components, and as meshes: coarse ones
at once, fine ones a moment later.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.apps.implicit.codes import draw_codes, transferred
from facemorph.apps.implicit.face_meshes import FaceCodes, load_imface, read_codes
from facemorph.apps.studio.messages import as_number
from facemorph.apps.studio.project import Project
from facemorph.apps.studio.views.moving_head import Slider
from facemorph.apps.studio.work import prepare_thread
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.sphere_cut import surface_in_ball
from facemorph.geometry.scans.scan_placement import UNIT, in_millimetres
from facemorph.ops.meshes import filled_values, vertex_normals
from facemorph.storage.files import write_whole
from facemorph.systems.imface.code_statistics import (
    PrincipalComponents,
    expression_table,
    principal_components,
)
from facemorph.systems.imface.evaluation import ImFaceEvaluation

CHECKPOINT = "@open:imface"
COMPONENTS, SIGMAS = 12, 3.0
COARSE, FINE = 32, (64, 128)  # cells along each side of the ball
# Of meshes that follow: steps, the longest one, and how near a vertex has to be before the last;
# others go with their neighbours, and with too many of them a mesh is made anew. 1 is 100 mm.
STEPS, LONGEST, NEAR, FEWEST = 2, 0.05, 0.01, 0.98
AT_HAND = 4  # fine meshes that are kept in memory
MEAN, OWN = -1, -1  # numbers that are no person's and no expression's
PARTS = ("identity", "expression")


@dataclass(frozen=True)
class Face:
    """Which face is shown.

    Attributes:
        codes: File of a face's codes; None for one that is drawn.
        seed: Of the random numbers; ``MEAN`` is the mean face.
        spread: Factor of the training people's standard deviation.
        edits: Standard deviations along components, by name.
        expression: Number of the training's expression that the face is given, or ``OWN``.
        giver: Whose it is among the training people, or ``MEAN``.
        share: How much of it.
    """

    codes: Path | None
    seed: int
    spread: float
    edits: Mapping[str, float]
    expression: int = OWN
    giver: int = MEAN
    share: float = 1.0


class ImplicitFaces:
    """A trained ImFace.

    Args:
        project: Where codes are kept.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self.system = load_imface(CHECKPOINT)
        self.system.requires_grad_(False)

    @cached_property
    def components(self) -> dict[str, PrincipalComponents]:
        """Of identities and expressions, as ``facemorph pca`` has them."""
        people, table = self.system.identity_codes.weight.detach(), expression_table(self.system)
        return {
            "identity": principal_components(people, COMPONENTS),
            "expression": principal_components(table.flatten(0, 1), COMPONENTS),
        }

    def sliders(self) -> dict[str, list[Slider]]:
        """All controls, by group."""
        return {
            part.capitalize(): [
                Slider(
                    f"{part} {number}",
                    f"{part.capitalize()} {number} ({share:.0%})",
                    -SIGMAS,
                    SIGMAS,
                    0.0,
                )
                for number, share in enumerate(found.explained.tolist(), start=1)
            ]
            for part, found in self.components.items()
        }

    def codes(self, face: Face) -> FaceCodes:
        """The codes of a face.

        Raises:
            ConfigError: There is no such component, expression or person.
            DataError: Codes cannot be read.
        """
        if face.codes is not None:
            start = read_codes(face.codes, self.system)
        else:
            drawn = max(face.seed, 0)
            found = draw_codes(self.system, count=1, seed=drawn, spread=face.spread, expression=0)
            start = found[0 if face.seed == MEAN else 1]
        if face.expression != OWN:
            start = self._transferred(start, face)
        moved: dict[str, Tensor] = {
            "identity": start.identity,
            "expression": torch.zeros_like(start.identity)
            if start.expression is None
            else start.expression,
        }
        for name, value in face.edits.items():
            part, step = self._step(name)
            moved[part] = moved[part] + as_number(value, name, -SIGMAS, SIGMAS) * step
        return FaceCodes(moved["identity"], moved["expression"], start.detail)

    def _step(self, name: str) -> tuple[str, Tensor]:
        """Which codes a slider moves, and one standard deviation of it."""
        part, _, number = name.partition(" ")
        if part not in PARTS or number not in map(str, range(1, COMPONENTS + 1)):
            raise ConfigError(
                "no such component",
                where="edits",
                expected=f"identity or expression, 1 to {COMPONENTS}",
                found=name[:60],
            )
        found, row = self.components[part], int(number) - 1
        return part, found.deviations[row] * found.directions[row]

    def _transferred(self, receiver: FaceCodes, face: Face) -> FaceCodes:
        table = expression_table(self.system)
        for name, value, count in (
            ("expression", face.expression, len(table)),
            ("giver", face.giver, table.shape[1]),
        ):
            if value >= count:
                raise ConfigError(
                    "the training had no such one",
                    where=name,
                    expected=f"up to {count - 1}",
                    found=value,
                )
        own = table.mean(1) if face.giver == MEAN else table[:, face.giver]
        people = self.system.identity_codes.weight.detach()
        giver = people.mean(0) if face.giver == MEAN else people[face.giver]
        shown = own[0] + face.share * (own[face.expression] - own[0])
        return transferred(FaceCodes(giver, shown), receiver, FaceCodes(giver, own[0]))

    def mesh(
        self, codes: FaceCodes, resolution: int, stopped: Callable[[], bool] = lambda: False
    ) -> Mesh:
        """The surface of a face, in ImFace's space.

        Args:
            codes: Which face.
            resolution: Cells along each side of the ball.
            stopped: Asked now and then: whether nobody wants it any more.

        Raises:
            GeometryError: The field has no surface.
            InterruptedError: Nobody wants it any more.
        """
        evaluation = ImFaceEvaluation(self.system.field, codes.identity, codes.expression)

        def distance(points: Tensor) -> Tensor:
            if stopped():
                raise InterruptedError
            return evaluation.distance(points)

        return surface_in_ball(distance, resolution).mesh

    def followed(self, mesh: Mesh, codes: FaceCodes) -> Mesh | None:
        """The mesh of a face that is nearly the same, moved onto the face of codes along its
        normals by Newton's method; None where it does not get there.

        A distance has slope 1 along the normal, so that a step takes one evaluation for each
        vertex, a tenth of what an extraction takes.
        """
        evaluation = ImFaceEvaluation(self.system.field, codes.identity, codes.expression)
        points, left = mesh.vertices, torch.zeros(())
        for _ in range(STEPS):
            distance = evaluation.distance(points)
            left = distance.abs()
            normals = vertex_normals(points[None], mesh.faces)[0].to(points)
            points = points - distance.clamp(-LONGEST, LONGEST)[:, None] * normals
        known = left < NEAR
        if float(known.float().mean()) < FEWEST:
            return None
        moved = filled_values(mesh.faces, points - mesh.vertices, known)
        return Mesh(mesh.vertices + moved, mesh.faces)

    def keep(self, codes: FaceCodes) -> Path:
        """Write codes where commands read them."""
        path = self._project.part(f"{name_of(codes)}_codes.npz")
        if not path.is_file():
            write_whole(path, codes.content())
        return path


def name_of(codes: FaceCodes) -> str:
    """A name that other codes do not have."""
    digest = hashlib.sha256()
    for value in (codes.identity, codes.expression, codes.detail):
        digest.update(b"" if value is None else value.contiguous().numpy().tobytes())
    return f"face-{digest.hexdigest()[:16]}"


def packed(mesh: Mesh, colours: Tensor | None = None) -> tuple[dict[str, object], bytes]:
    """A mesh as the page draws it: triangles, places and normals ``(V, 6)`` float32 in
    millimetres, and colours of vertices in bytes where there are some.

    Args:
        mesh: In ImFace's space.
        colours: ``(V, 3)`` in [0, 1].
    """
    placed = in_millimetres(mesh)
    normals = vertex_normals(placed.vertices[None], placed.faces)[0]
    corners = torch.cat([placed.vertices, normals], 1).float().numpy()
    data = placed.faces.numpy().astype(np.uint32).tobytes() + corners.tobytes()
    if colours is not None:
        data += (colours.clamp(0, 1) * 255).round().byte().contiguous().numpy().tobytes()
    header: dict[str, object] = {"vertices": len(placed.vertices), "faces": len(placed.faces)}
    return {**header, "colours": colours is not None}, data


class Refiner:
    """Makes fine meshes in a thread of its own; the newest wish counts.

    Args:
        faces: The model.
    """

    def __init__(self, faces: ImplicitFaces) -> None:
        self._faces = faces
        self._thread = ThreadPoolExecutor(1, "implicit", initializer=prepare_thread)
        self._lock = threading.Lock()
        self._wanted: tuple[str, int] | None = None
        self._made: OrderedDict[tuple[str, int], Mesh | Exception] = OrderedDict()

    def mesh(self, codes: FaceCodes, resolution: int) -> Mesh | None:
        """The mesh, once it is there; asked for the first time, it is begun.

        Raises:
            FacemorphError: It could not be made.
        """
        key = name_of(codes), resolution
        with self._lock:
            found = self._made.get(key)
            if found is None and self._wanted != key:
                self._wanted = key
                self._thread.submit(self._make, key, codes)
        if isinstance(found, Exception):
            raise found
        return found

    def leave(self) -> None:
        """Nobody waits for a mesh any more: what is under way ends."""
        with self._lock:
            self._wanted = None

    def _make(self, key: tuple[str, int], codes: FaceCodes) -> None:
        made: Mesh | Exception
        try:
            made = self._faces.mesh(codes, key[1], lambda: self._wanted != key)
        except InterruptedError:
            return
        except Exception as error:  # it is said to whom asks for the mesh
            made = error
        with self._lock:
            self._made[key] = made
            while len(self._made) > AT_HAND:
                self._made.popitem(last=False)
            if self._wanted == key:
                self._wanted = None


def read_coloured(path: Path) -> tuple[Mesh, Tensor]:
    """A mesh in millimetres with colours of its vertices, as ``facemorph reconstruct`` writes it:
    in ImFace's space.

    Raises:
        DataError: It cannot be read.
    """
    import trimesh

    try:
        found: Any = trimesh.load_mesh(path, process=False)
        vertices = torch.from_numpy(np.array(found.vertices, dtype=np.float32))
        faces = torch.from_numpy(np.array(found.faces, dtype=np.int64))
        colours = np.array(found.visual.vertex_colors, dtype=np.float32)[:, :3] / 255
    except (OSError, ValueError, AttributeError, IndexError) as error:
        raise DataError("this mesh cannot be read", where=path, found=str(error)[:80]) from error
    return Mesh(vertices / UNIT, faces), torch.from_numpy(colours)
