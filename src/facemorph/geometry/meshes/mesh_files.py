"""Mesh files: OBJ with its own reader, which keeps the order of vertices and corners; PLY, STL and
GLB by trimesh.

Writers give bytes; who calls them writes the files, whole or not at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError, GeometryError
from facemorph.geometry.meshes.gltf_extensions import check_extensions
from facemorph.geometry.meshes.whole_files import check_whole, text_of_obj
from facemorph.ops.meshes import face_normals
from facemorph.storage.files import regular

if TYPE_CHECKING:
    from PIL import Image

FARTHEST = 5000.0  # from the origin in sizes of the mesh; 32-bit numbers have 7 digits
MOST_CORNERS = 2**31
READ = (".obj", ".ply", ".stl", ".glb")


@dataclass(frozen=True)
class Mesh:
    """Triangles in space.

    Attributes:
        vertices: ``(V, 3)`` in the file's unit.
        faces: ``(F, 3)``.
        uv: ``(U, 2)`` texture coordinates, u right and v **down**, or None.
        faces_uv: ``(F, 3)`` rows of ``uv``, or None.
        polygon: ``(F,)`` number of the polygon of the file that each triangle is part of.
        notice: One line on the authors and licence of what it was made with, for its files.
    """

    vertices: Tensor
    faces: Tensor
    uv: Tensor | None = None
    faces_uv: Tensor | None = None
    polygon: Tensor | None = None
    notice: str = ""


def read_mesh(path: str | Path) -> Mesh:
    """A mesh from ``.obj``, ``.ply``, ``.stl`` or ``.glb``.

    Raises:
        DataError: The file cannot be read, is cut off or of another kind.
        GeometryError: It has no triangles, vertices that are not numbers, or corners that do not
            exist.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in READ:
        raise DataError(
            "meshes of this kind are not read",
            where=path,
            expected=", ".join(READ),
            found=kind,
            remedy="Save it as .obj, .ply or .glb in a mesh editor.",
        )
    mesh = read_obj(path) if kind == ".obj" else _read_by_trimesh(path, kind)
    return _checked(mesh, path)


def check_surface(mesh: Mesh, where: str | Path) -> None:
    """Raise GeometryError where an edge has more than two triangles, or a triangle has no area."""
    edges = (
        torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
        .sort(1)
        .values
    )
    _, count = edges.unique(dim=0, return_counts=True)
    if int(count.max()) > 2:
        raise GeometryError(
            "this mesh is not a surface (non-manifold)",
            where=where,
            expected="edges with one or two triangles",
            found=f"{int((count > 2).sum())} edges with up to {int(count.max())}",
            remedy="Remove the surplus triangles with a mesh editor.",
        )
    corners = mesh.vertices[mesh.faces].double()
    twice = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(
        dim=1
    )
    longest = (corners - corners.roll(1, 1)).norm(dim=2).amax(1)
    flat = twice <= 1e-9 * longest.square()
    if bool(flat.any()):
        raise GeometryError(
            "this mesh has degenerate triangles",
            where=where,
            expected="triangles with an area",
            found=f"{int(flat.sum())} of {len(flat)}, the first is {int(flat.nonzero()[0])}",
            remedy="Remove them with a mesh editor.",
        )


def _checked(mesh: Mesh, where: Path) -> Mesh:
    if len(mesh.faces) == 0 and len(mesh.vertices) > 0:
        raise GeometryError(
            f"a point cloud of {len(mesh.vertices)} points",
            where=where,
            expected="triangles",
            remedy="Make a mesh of it first: MeshLab, Screened Poisson Surface Reconstruction.",
        )
    if len(mesh.faces) == 0 or len(mesh.vertices) == 0:
        raise GeometryError(
            "this mesh is empty",
            where=where,
            expected="triangles",
            found=f"{len(mesh.vertices)} vertices and {len(mesh.faces)} triangles",
        )
    if not bool(torch.isfinite(mesh.vertices).all()):
        broken = int((~torch.isfinite(mesh.vertices)).any(1).sum())
        raise GeometryError(
            "this mesh has vertices that are not numbers",
            where=where,
            found=f"{broken} of {len(mesh.vertices)}",
            remedy="Remove them with a mesh editor, and the triangles that use them.",
        )
    pairs = [("vertex", mesh.faces, len(mesh.vertices))]
    if mesh.uv is not None and mesh.faces_uv is not None:
        pairs.append(("texture coordinate", mesh.faces_uv, len(mesh.uv)))
    for name, faces, count in pairs:
        if int(faces.min()) < 0 or int(faces.max()) >= count:
            raise GeometryError(
                f"this mesh names a {name} that it does not have",
                where=where,
                expected=f"0 to {count - 1}",
                found=f"{int(faces.min())} to {int(faces.max())}",
            )
    extent = (mesh.vertices.amax(0) - mesh.vertices.amin(0)).double().norm()
    twice = face_normals(mesh.vertices[None].double(), mesh.faces).norm(dim=-1)
    if float(twice.max()) <= 1e-12 * float(extent) ** 2:
        raise GeometryError(
            "this mesh has no surface",
            where=where,
            expected="triangles with an area",
            found=f"{len(mesh.faces)} in one point or on one line",
        )
    farthest = float(mesh.vertices.abs().max())
    if farthest > FARTHEST * float(extent):
        raise GeometryError(
            "this mesh lies too far from the origin for its size: its shape is lost in rounding",
            where=where,
            expected=f"coordinates up to {FARTHEST:g} times its size",
            found=f"up to {farthest:g}, {float(extent):.3g} across",
            remedy="Move it to the origin in a mesh editor.",
        )
    return mesh


def read_obj_vertices(path: str | Path) -> np.ndarray:
    """Only the vertices ``(V, 3)`` of a Wavefront OBJ file, in double precision.

    Raises:
        DataError: The file cannot be read.
    """
    path = Path(path)
    try:
        rows = [line for line in _obj_lines(path) if line[:2].rstrip() == b"v"]
        counts = (len(row.split()) - 1 for row in rows)
        if (short := next((count for count in counts if count < 3), None)) is not None:
            raise ValueError(f"a vertex with {short} numbers")
        # NumPy's reader is faster than Python's words.
        return np.loadtxt(rows, usecols=(1, 2, 3), ndmin=2) if rows else np.empty((0, 3))
    except (OSError, ValueError) as error:
        raise _obj_error(path, error) from error


def read_obj(path: str | Path) -> Mesh:
    """A Wavefront OBJ file: polygons of any size become fans, negative indices count from the end.

    Raises:
        DataError: The file cannot be read, or is cut off within a line.
    """
    path = Path(path)
    vertices = read_obj_vertices(path)
    uv: list[list[float]] = []
    corners: list[tuple[int, int, int]] = []
    corners_uv: list[tuple[int, int, int]] = []
    polygon: list[int] = []
    number = seen = 0
    try:
        for line in map(bytes.split, _obj_lines(path)):
            if line[0] == b"vt":
                uv.append([float(value) for value in line[1:3]])
            elif line[0] == b"v":
                seen += 1
            elif line[0] == b"f":
                words = [word.split(b"/") for word in line[1:]]
                own = [_index(word[0], seen) for word in words]
                texture = [_index(word[1], len(uv)) for word in words if len(word) > 1 and word[1]]
                if len(own) < 3:
                    raise ValueError(f"a face with {len(own)} corners")
                for index in range(1, len(own) - 1):
                    corners.append((own[0], own[index], own[index + 1]))
                    polygon.append(number)
                    if len(texture) == len(own):
                        corners_uv.append((texture[0], texture[index], texture[index + 1]))
                number += 1
        coordinates = np.array(uv, dtype=np.float64).reshape(-1, 2)
    except (OSError, ValueError, IndexError) as error:
        raise _obj_error(path, error) from error
    textured = bool(uv) and len(corners_uv) == len(corners)
    return Mesh(
        torch.from_numpy(vertices).float(),
        torch.tensor(corners, dtype=torch.long).view(-1, 3),
        torch.from_numpy(coordinates * [1, -1] + [0, 1]).float() if textured else None,
        torch.tensor(corners_uv, dtype=torch.long).view(-1, 3) if textured else None,
        torch.tensor(polygon, dtype=torch.long),
    )


def _obj_lines(path: Path) -> list[bytes]:
    """Lines with words, without spaces before them; those that a backslash continues are one."""
    content = text_of_obj(regular(path).read_bytes())
    if b"\\" in content:
        content = re.sub(rb"\\[ \t]*(\r\n|\r|\n)", b" ", content)
    if b"#" in content:
        content = re.sub(rb"#[^\r\n]*", b"", content)
    return [line for line in map(bytes.strip, content.splitlines()) if line]


def _index(word: bytes, count: int) -> int:
    number = int(word)
    if abs(number) > MOST_CORNERS:
        raise ValueError(f"corner {number}")
    return number - 1 if number > 0 else count + number


def _obj_error(path: Path, error: Exception) -> DataError:
    return DataError(
        "this OBJ file cannot be read",
        where=path,
        found=(error.strerror if isinstance(error, OSError) else None) or str(error)[:80],
        remedy="Check that it is whole.",
    )


def _read_by_trimesh(path: Path, kind: str) -> Mesh:
    import trimesh

    try:
        content = regular(path).read_bytes()
        if kind == ".glb":
            check_extensions(content, path)
        check_whole(content, kind, path)
        scene: Any = trimesh.load_scene(BytesIO(content), file_type=kind[1:], process=False)
        mesh: Any = scene.to_mesh() if scene.geometry else trimesh.Trimesh()
        parts: list[Any] = [part.vertices for part in scene.geometry.values()]
    except DataError:
        raise
    except OSError as error:
        raise DataError(
            "this mesh cannot be read", where=path, found=error.strerror or str(error)
        ) from error
    except Exception as error:  # trimesh's readers raise whatever the damaged bytes lead to
        raise DataError(
            "this mesh cannot be read",
            where=path,
            expected=f"a whole {kind} file",
            found=f"{type(error).__name__}: {error}"[:80],
        ) from error
    faces = torch.from_numpy(np.array(mesh.faces, dtype=np.int64)).view(-1, 3)
    uv = getattr(getattr(mesh, "visual", None), "uv", None)
    coordinates = None
    if uv is not None and len(uv) == len(mesh.vertices):
        coordinates = torch.from_numpy(np.asarray(uv, np.float64) * [1, -1] + [0, 1]).float()
    # A cloud of points is no part of the mesh, but its points are counted.
    vertices = mesh.vertices if len(faces) or not parts else np.concatenate(parts)
    return Mesh(
        torch.from_numpy(np.array(vertices, dtype=np.float64)).float(),
        faces,
        coordinates,
        None if coordinates is None else faces,
        torch.arange(len(faces)),
    )


def obj_files(
    mesh: Mesh, stem: str, texture: bytes | None = None, colours: Tensor | None = None
) -> dict[str, bytes]:
    """A mesh as Wavefront OBJ, with its material and texture beside it.

    Args:
        mesh: What to write.
        stem: Name of the files without ending.
        texture: The content of a PNG file, or None.
        colours: ``(V, 3)`` of the vertices, in [0, 1], written after their places as MeshLab and
            Blender read them.

    Returns:
        Content by file name: ``STEM.obj``, and with a texture ``STEM.mtl`` and ``STEM.png``.
    """
    lines = ["# facemorph, millimetres", *([f"# {mesh.notice}"] if mesh.notice else [])]
    textured = texture is not None and mesh.uv is not None and mesh.faces_uv is not None
    if textured:
        lines += [f"mtllib {stem}.mtl", "usemtl face"]
    rows = mesh.vertices if colours is None else torch.cat([mesh.vertices, colours.clamp(0, 1)], 1)
    lines += ["v " + " ".join(f"{value:.6g}" for value in row) for row in rows.tolist()]
    if mesh.uv is not None and mesh.faces_uv is not None:
        lines += [f"vt {u:.6g} {1 - v:.6g}" for u, v in mesh.uv.tolist()]
        lines += [
            "f "
            + " ".join(
                f"{vertex + 1}/{corner + 1}" for vertex, corner in zip(face, own, strict=True)
            )
            for face, own in zip(mesh.faces.tolist(), mesh.faces_uv.tolist(), strict=True)
        ]
    else:
        lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces.tolist()]
    files = {f"{stem}.obj": ("\n".join(lines) + "\n").encode()}
    if textured and texture is not None:
        files[f"{stem}.mtl"] = (
            f"newmtl face\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {stem}.png\n".encode()
        )
        files[f"{stem}.png"] = texture
    return files


def glb_bytes(
    mesh: Mesh, texture: Image.Image | None = None, colours: Tensor | None = None
) -> bytes:
    """A mesh as one binary glTF file, in metres as glTF wants, with its texture inside.

    Args:
        mesh: What to write, in millimetres.
        texture: The picture, or None.
        colours: ``(V, 3)`` of the vertices, in [0, 1], of a mesh without texture, or None.
    """
    import trimesh

    vertices, faces = mesh.vertices.numpy() / 1000, mesh.faces.numpy()
    visual: Any = None
    if mesh.uv is not None and mesh.faces_uv is not None:
        # glTF has one texture coordinate for each vertex: a vertex on a seam becomes several.
        pairs = np.stack([faces.ravel(), mesh.faces_uv.numpy().ravel()], 1)
        kept, corners = np.unique(pairs, axis=0, return_inverse=True)
        vertices, faces = vertices[kept[:, 0]], corners.reshape(-1, 3)
        uv = mesh.uv.numpy()[kept[:, 1]] * [1, -1] + [0, 1]
        material = trimesh.visual.material.PBRMaterial(
            baseColorTexture=texture, metallicFactor=0.0, roughnessFactor=1.0
        )
        visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    elif colours is not None:
        visual = trimesh.visual.ColorVisuals(vertex_colors=_bytes_of(colours))

    def sign(tree: dict[str, Any]) -> None:
        if mesh.notice:
            tree["asset"]["copyright"] = mesh.notice

    result: Any = trimesh.Trimesh(vertices, faces, visual=visual, process=False).export(
        file_type="glb", tree_postprocessor=sign
    )
    return bytes(result)


def ply_bytes(mesh: Mesh, colours: Tensor | None = None) -> bytes:
    """A mesh as binary PLY, in its own unit, without texture.

    Args:
        mesh: What to write.
        colours: ``(V, 3)`` of the vertices, in [0, 1], or None.
    """
    import trimesh

    result: Any = trimesh.Trimesh(
        mesh.vertices.numpy(),
        mesh.faces.numpy(),
        vertex_colors=None if colours is None else _bytes_of(colours),
        process=False,
    ).export(file_type="ply")
    content = bytes(result)
    if mesh.notice:
        content = content.replace(b"\ncomment ", f"\ncomment {mesh.notice}\ncomment ".encode(), 1)
    return content


def _bytes_of(colours: Tensor) -> np.ndarray:
    return (colours.clamp(0, 1) * 255).round().byte().numpy()
