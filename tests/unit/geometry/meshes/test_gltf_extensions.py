"""What a binary glTF file requires of its readers: refused by name where the mesh depends on it."""

from __future__ import annotations

import json
import struct

import pytest
import torch

from facemorph.errors import DataError
from facemorph.geometry.meshes.mesh_files import Mesh, glb_bytes, read_mesh


def with_json(content, change):
    """A GLB with another JSON chunk."""
    (length,) = struct.unpack("<I", content[12:16])
    tree = json.loads(content[20 : 20 + length])
    change(tree)
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    head = struct.pack("<4sII", b"glTF", 2, 20 + len(text) + len(rest))
    return head + struct.pack("<I4s", len(text), b"JSON") + text + rest


@pytest.fixture
def plain():
    corners = torch.tensor([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]])
    return glb_bytes(Mesh(corners, torch.tensor([[0, 1, 2]])))


def draco(tree):
    tree["extensionsRequired"] = tree["extensionsUsed"] = ["KHR_draco_mesh_compression"]


def draco_not_required(tree):
    part = tree["meshes"][0]["primitives"][0]
    part["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {}}}
    del tree["accessors"][part["attributes"]["POSITION"]]["bufferView"]


@pytest.mark.parametrize("change", [draco, draco_not_required])
def test_draco_is_named_with_the_remedy(tmp_path, plain, change):
    (tmp_path / "a.glb").write_bytes(with_json(plain, change))
    with pytest.raises(DataError, match=r"a.glb: this GLB is Draco-compressed.*Blender"):
        read_mesh(tmp_path / "a.glb")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("EXT_meshopt_compression", "Decompress"),
        ("KHR_mesh_quantization", "dequantize"),
        ("VENDOR_odd_meshes", "without this extension"),
    ],
)
def test_other_required_extensions_are_named(tmp_path, plain, name, remedy):
    content = with_json(plain, lambda tree: tree.update(extensionsRequired=[name]))
    (tmp_path / "a.glb").write_bytes(content)
    with pytest.raises(DataError, match=f"{name}.*{remedy}"):
        read_mesh(tmp_path / "a.glb")


@pytest.mark.parametrize("name", ["KHR_materials_unlit", "KHR_texture_transform"])
def test_those_of_colours_do_no_harm(tmp_path, plain, name):
    content = with_json(plain, lambda tree: tree.update(extensionsRequired=[name]))
    (tmp_path / "a.glb").write_bytes(content)
    assert len(read_mesh(tmp_path / "a.glb").faces) == 1


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"extensionsRequired": 1}', b"\xff"])
def test_a_damaged_head_is_a_said_failure(tmp_path, text):
    head = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text), len(text), b"JSON")
    (tmp_path / "a.glb").write_bytes(head + text)
    with pytest.raises(DataError, match="cannot be read"):
        read_mesh(tmp_path / "a.glb")
