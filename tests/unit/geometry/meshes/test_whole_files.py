"""Meshes that their readers take for empty or for points, and what is said of them."""

from __future__ import annotations

import pytest
import torch
import trimesh

from facemorph.errors import DataError
from facemorph.geometry.meshes.mesh_files import read_mesh

BALL = trimesh.creation.icosphere(subdivisions=1, radius=50.0)
STL = BALL.export(file_type="stl")
STRIPS = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
element tristrips 1
property list int int vertex_indices
end_header
0 0 0
1 0 0
0 1 0
1 1 0
4 0 1 2 3
"""


def test_whole_ones_are_read(tmp_path):
    for name, kind in (("a.stl", "stl"), ("b.stl", "stl_ascii"), ("c.ply", "ply")):
        content = BALL.export(file_type=kind)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        assert len(read_mesh(tmp_path / name).faces) == len(BALL.faces)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.stl", STL[:80] + (81).to_bytes(4, "little") + STL[84:], "81 triangles.*found 80"),
        ("a.stl", STL[:-70], "counts.*80 triangles.*78 and 30 bytes"),
        ("a.stl", STL[:60], "cut off.*60 bytes"),
        ("a.stl", b"", "cut off"),
        ("a.ply", STRIPS.encode(), "in strips.*single triangles"),
        (
            "a.obj",
            "v 0 0 0\nv 1 0 0\n".encode("utf-16-le"),
            "UTF-16 without.*save it as UTF-8",
        ),
        ("a.obj", b"\xff\xfev\x00 ", "cannot be read"),
    ],
)
def test_others_are_said(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_mesh(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("coding", ["utf-16", "utf-8-sig", "utf-8"])
def test_obj_in_the_text_of_editors(tmp_path, coding):
    lines = ["# Zoë", *(f"v {x} {y} {z}" for x, y, z in BALL.vertices)]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in BALL.faces]
    (tmp_path / "a.obj").write_text("\r\n".join(lines), encoding=coding)
    mesh = read_mesh(tmp_path / "a.obj")
    torch.testing.assert_close(mesh.faces, torch.from_numpy(BALL.faces.copy()).long())
