"""Extensions that a binary glTF file requires of its readers: the mesh of a file that needs one
which is not read here would be zeros, or in another scale.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from facemorph.errors import DataError

HEADER, LENGTH = 20, slice(12, 16)  # before the JSON chunk, and where its length is
DRACO = "KHR_draco_mesh_compression"
# They change colours and light, not where vertices are.
HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "EXT_lights_")
REMEDIES = {
    DRACO: "Import it into Blender and export it without compression, or decompress it with "
    "gltf-pipeline -i IN.glb -o OUT.glb.",
    "EXT_meshopt_compression": "Decompress it: gltf-transform copy IN.glb OUT.glb.",
    "KHR_mesh_quantization": "Make its numbers floats: gltf-transform dequantize IN.glb OUT.glb.",
}
ANY_REMEDY = "Save it without this extension, or as .obj or .ply, in a mesh editor."


def check_extensions(content: bytes, where: Path) -> None:
    """Raise DataError where a ``.glb`` needs an extension for its mesh, with the remedy.

    A file that is not whole passes: its reader says so.
    """
    tree = _json_chunk(content)
    needed = [str(name) for name in tree.get("extensionsRequired", [])]
    needed = [name for name in needed if not name.startswith(HARMLESS)]
    if _draco_alone(tree) and DRACO not in needed:
        needed.append(DRACO)
    if not needed:
        return
    compressed = needed[0] == DRACO
    raise DataError(
        "this GLB is Draco-compressed" if compressed else "this GLB needs a glTF extension",
        where=where,
        expected="a mesh without required extensions",
        found=", ".join(needed),
        remedy=REMEDIES.get(needed[0], ANY_REMEDY),
    )


def _json_chunk(content: bytes) -> dict[str, Any]:
    """What the file says of itself; empty where it cannot be read."""
    if content[:4] != b"glTF" or len(content) < HEADER:
        return {}
    (length,) = struct.unpack("<I", content[LENGTH])
    try:
        tree = json.loads(content[HEADER : HEADER + length])
    except (ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _draco_alone(tree: dict[str, Any]) -> bool:
    """Whether vertices are there in Draco's form only, though the file does not require it."""
    try:
        return any(
            DRACO in part.get("extensions", {})
            and "bufferView" not in tree["accessors"][part["attributes"]["POSITION"]]
            for mesh in tree.get("meshes", [])
            for part in mesh["primitives"]
        )
    except (KeyError, IndexError, TypeError, AttributeError):  # not whole
        return False
