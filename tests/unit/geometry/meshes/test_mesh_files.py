"""Meshes into files and back, and what is refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from facemorph.errors import DataError, GeometryError
from facemorph.geometry.meshes.mesh_files import (
    Mesh,
    check_surface,
    glb_bytes,
    obj_files,
    ply_bytes,
    read_mesh,
    read_obj_vertices,
)

CUBE = """# a cube: quads, one pentagon split by hand, negative indices
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
f 1/1 2/2 3/3 4/4
v 0 0 1
f -1/1 1/2 2/3
"""


def square():
    vertices = torch.tensor([[0.0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]])
    uv = torch.tensor([[0.0, 1], [0.5, 1], [0.5, 0.25], [0, 0.25], [1, 1]])
    return Mesh(
        vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]), uv, torch.tensor([[0, 1, 2], [4, 2, 3]])
    )


def test_obj_polygons_and_indices(tmp_path):
    path = tmp_path / "cube.obj"
    path.write_text(CUBE)
    mesh = read_mesh(path)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [4, 0, 1]]
    assert mesh.polygon.tolist() == [0, 0, 1]
    assert mesh.faces_uv.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    assert mesh.uv.tolist() == [[0, 1], [1, 1], [1, 0], [0, 0]]  # v down
    np.testing.assert_array_equal(read_obj_vertices(path), mesh.vertices.numpy())


def test_obj_round_trip_with_texture(tmp_path):
    mesh = square()
    files = obj_files(mesh, "face", texture=b"png")
    assert set(files) == {"face.obj", "face.mtl", "face.png"}
    assert b"map_Kd face.png" in files["face.mtl"]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = read_mesh(tmp_path / "face.obj")
    torch.testing.assert_close(found.vertices, mesh.vertices)
    torch.testing.assert_close(found.uv, mesh.uv)
    assert torch.equal(found.faces, mesh.faces)
    assert torch.equal(found.faces_uv, mesh.faces_uv)
    plain = obj_files(Mesh(mesh.vertices, mesh.faces), "face")
    assert list(plain) == ["face.obj"]
    assert b"vt" not in plain["face.obj"]


def test_glb_keeps_corners_texture_and_metres(tmp_path):
    mesh = square()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8))
    path = tmp_path / "face.glb"
    path.write_bytes(glb_bytes(mesh, picture))
    found = read_mesh(path)
    torch.testing.assert_close(found.vertices[found.faces] * 1000, mesh.vertices[mesh.faces])
    torch.testing.assert_close(found.uv[found.faces_uv], mesh.uv[mesh.faces_uv])
    import trimesh

    inside = next(
        iter(trimesh.load_scene(io.BytesIO(path.read_bytes()), file_type="glb").geometry.values())
    )
    np.testing.assert_array_equal(
        np.asarray(inside.visual.material.baseColorTexture.convert("RGB")), np.asarray(picture)
    )


def test_ply_and_stl(tmp_path):
    mesh = square()
    (tmp_path / "scan.ply").write_bytes(ply_bytes(mesh))
    found = read_mesh(tmp_path / "scan.ply")
    torch.testing.assert_close(found.vertices, mesh.vertices)
    assert torch.equal(found.faces, mesh.faces)
    corners = mesh.vertices[mesh.faces].numpy().astype("<f4")
    content = (
        b"\0" * 80
        + struct.pack("<I", 2)
        + b"".join(b"\0" * 12 + one.tobytes() + b"\0\0" for one in corners)
    )
    (tmp_path / "scan.stl").write_bytes(content)
    found = read_mesh(tmp_path / "scan.stl")
    torch.testing.assert_close(found.vertices[found.faces], mesh.vertices[mesh.faces])


@pytest.mark.parametrize(
    ("name", "content", "kind", "text"),
    [
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", GeometryError, "cloud of 3 points.*Poisson"),
        ("a.obj", "vt 0 0\n", GeometryError, "empty"),
        ("a.obj", "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", GeometryError, "no surface"),
        ("a.obj", "v 0 1 0\nv 1 2 1\nv 7 8 7\nf 1 2 3\n", GeometryError, "no surface"),
        ("a.obj", "v 0 0 0\nv 1 nan 0\nv 0 1 0\nf 1 2 3\n", GeometryError, "not numbers"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", GeometryError, "does not have"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -4\n", GeometryError, "does not have"),
        ("a.obj", "v 0 0 0\nv 1 0\nv 0 1 0\nf 1 2 3\n", DataError, "cannot be read"),
        ("a.obj", "v 0 0 0\nv 1 0 x\nv 0 1 0\nf 1 2 3\n", DataError, "cannot be read"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2\n", DataError, "2 corners"),
        (
            "a.obj",
            "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/9 2/9 3/9\n",
            GeometryError,
            "texture coordinate",
        ),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 3\n", DataError, "cannot be read"),
        ("a.stl", "solid\n", (DataError, GeometryError), "a.stl"),
        ("a.glb", "glTF", DataError, "cannot be read"),
        ("a.glb", "", DataError, "cannot be read"),
        ("a.fbx", "", DataError, "kind"),
    ],
)
def test_bad_files(tmp_path, name, content, kind, text):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(kind, match=text):
        read_mesh(path)


@pytest.mark.parametrize("kind", ["ply", "glb"])
def test_the_points_of_a_cloud_are_counted(tmp_path, kind):
    cloud = trimesh.PointCloud(torch.rand(57, 3).numpy())
    (tmp_path / f"a.{kind}").write_bytes(cloud.export(file_type=kind))
    with pytest.raises(GeometryError, match=r"a point cloud of 57 points.*Poisson"):
        read_mesh(tmp_path / f"a.{kind}")


def test_the_points_beside_an_empty_list_of_triangles_are_counted(tmp_path):
    head = "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\n"
    head += "property float z\nelement face 0\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "a.ply").write_text(head + "0 0 0\n1 1 1\n")
    with pytest.raises(GeometryError, match="a point cloud of 2 points"):
        read_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize("name", ["a.obj", "a.ply", "a.stl", "a.glb"])
def test_missing_files(tmp_path, name):
    with pytest.raises(DataError, match="cannot be read"):
        read_mesh(tmp_path / name)


def test_truncated_files(tmp_path):
    whole = {"a.glb": glb_bytes(square(), Image.new("RGB", (4, 4))), "a.ply": ply_bytes(square())}
    for name, content in whole.items():
        for share in (0.2, 0.5, 0.9):
            (tmp_path / name).write_bytes(content[: int(len(content) * share)])
            with pytest.raises((DataError, GeometryError)):
                read_mesh(tmp_path / name)


def test_surfaces():
    mesh = square()
    check_surface(mesh, "scan")
    folded = Mesh(
        torch.cat([mesh.vertices, torch.tensor([[5.0, 5, 5]])]),
        torch.tensor([[0, 1, 2], [0, 2, 3], [0, 2, 4]]),
    )
    with pytest.raises(GeometryError, match="non-manifold"):
        check_surface(folded, "scan")
    line = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), torch.tensor([[0, 1, 2]]))
    with pytest.raises(GeometryError, match="degenerate"):
        check_surface(line, "scan")
    with pytest.raises(GeometryError, match="degenerate"):
        check_surface(Mesh(mesh.vertices, torch.tensor([[0, 1, 1]])), "scan")


def test_colours_of_vertices():
    """In OBJ after the places, where readers that know no colours do not look; in GLB as the
    vertices' attribute.
    """
    import trimesh

    plain = square()
    bare = Mesh(plain.vertices, plain.faces)
    colours = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0.2]])
    text = obj_files(bare, "face", colours=colours)["face.obj"].decode().splitlines()
    rows = [[float(word) for word in line.split()[1:]] for line in text if line.startswith("v ")]
    assert torch.allclose(torch.tensor(rows), torch.cat([bare.vertices, colours], 1))
    scene = trimesh.load(
        io.BytesIO(glb_bytes(bare, colours=colours)), file_type="glb", process=False
    )
    shown = next(iter(scene.geometry.values())).visual.vertex_colors[:, :3]
    assert np.array_equal(shown, (colours.numpy() * 255).round())
