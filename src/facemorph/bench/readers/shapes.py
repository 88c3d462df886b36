"""Readers of meshes, landmarks, scans, recordings and head models, and small files for them."""

from __future__ import annotations

import copy
import io
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facemorph.apps.fitting.scan_fitting import read_landmarks_3d, read_scan_mesh
from facemorph.apps.implicit.scan_inputs import read_flags
from facemorph.bench.readers import landmark_texts as texts
from facemorph.bench.readers.pictures import photograph, saved
from facemorph.bench.readers.reader import Reader
from facemorph.faces.files.landmark_files import read_ifmorph_points, read_points, write_points
from facemorph.geometry.meshes.mesh_files import Mesh, glb_bytes, obj_files, ply_bytes
from facemorph.geometry.models.gnm_landmarks import read_landmarks
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.model_arrays import read_landmark_vertices
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.recordings.live_link import ANGLES, TIME
from facemorph.geometry.recordings.recordings import read_recording
from facemorph.geometry.scans.scan_files import (
    INDEX,
    TREE,
    ListedScan,
    index_bytes,
    list_scans,
    read_scan,
    read_tree_arrays,
    scan_bytes,
)
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.ops.frames import Frame

FRAME = Frame(texts.HEIGHT, texts.WIDTH)
ROWS_AND_COLUMNS = [[y / 100 - 1, x / 150 - 1] for x, y in texts.face()]  # as ifmorph has them


@cache
def _ball() -> Mesh:
    """A small sphere with texture coordinates."""
    import trimesh  # of an extra

    ball = trimesh.creation.icosphere(subdivisions=1, radius=100.0)
    vertices = torch.from_numpy(np.array(ball.vertices)).float()
    faces = torch.from_numpy(np.array(ball.faces)).long()
    return Mesh(vertices, faces, (vertices[:, :2] / 200 + 0.5).clamp(0, 1), faces)


def _mesh_files() -> dict[str, bytes]:
    import trimesh

    mesh, texture = _ball(), saved(photograph(), "PNG")
    plain: Any = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    return {
        "plain.obj": obj_files(Mesh(mesh.vertices, mesh.faces), "plain")["plain.obj"],
        "textured.obj": obj_files(mesh, "textured", texture)["textured.obj"],
        "binary.ply": ply_bytes(mesh, torch.full_like(mesh.vertices, 0.5)),
        "text.ply": bytes(plain.export(file_type="ply", encoding="ascii")),
        "binary.stl": bytes(plain.export(file_type="stl")),
        "text.stl": str(plain.export(file_type="stl_ascii")).encode(),
        "textured.glb": glb_bytes(mesh, photograph()),
    }


def _landmark_files() -> dict[str, bytes]:
    rows = torch.tensor(texts.face(), dtype=torch.float64)
    files = {f"{name}{kind}": texts.written(name) for name, (kind, _) in texts.FILES.items()}
    return files | {
        f"own{kind}": _written(rows, kind) for kind in (".tem", ".pts", ".json", ".csv")
    }


def _written(rows: torch.Tensor, kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        return write_points(rows, Path(scratch) / f"a{kind}", "ibug68").read_bytes()


def _read_points(path: Path) -> None:
    read_points(path, FRAME, "a.jpg")


def _ifmorph_files() -> dict[str, bytes]:
    rows = ROWS_AND_COLUMNS
    experiment = {"loss": {"sources": rows, "targets": rows}}
    return {
        "list.yaml": json.dumps(rows).encode(),
        "experiment.yaml": json.dumps(experiment).encode(),
        "points.dat": np.array(rows).dumps(),
    }


def _read_ifmorph(path: Path) -> None:
    read_ifmorph_points(path, FRAME)


def _space() -> np.ndarray:
    """68 points in space."""
    return np.column_stack([np.array(texts.face()) - 100, np.linspace(0, 50, 68)])


def _bnd() -> bytes:
    return "\n".join(f"{x:.4f} {y:.4f} {z:.4f}" for x, y, z in _space()).encode()


def _space_files() -> dict[str, bytes]:
    return {"face.bnd": _bnd(), "face.txt": _bnd(), "face.csv": _bnd().replace(b" ", b",")}


def _array(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def _scan() -> PreparedScan:
    ball, points = _ball(), torch.linspace(-0.9, 0.9, 60).view(20, 3)
    return PreparedScan(
        points,
        points,
        points,
        points[:, 0],
        points,
        torch.from_numpy(_space()).float() / 100,
        Mesh(ball.vertices / 100, ball.faces),
    )


def _scan_files() -> dict[str, bytes]:
    return {"scan.npz": scan_bytes(_scan())}


def _tree_files() -> dict[str, bytes]:
    points = np.linspace(-0.9, 0.9, 60, dtype=np.float32).reshape(20, 3)
    files = {f"1/2_{part}.npy": _array(points) for part in TREE}
    return files | {"1/2_free_sdf.npy": _array(points[:, 0]), "1/2.bnd": _bnd()}


def _read_tree(path: Path) -> None:
    arrays = read_tree_arrays(path.parent / "2")
    for values in arrays.values():
        values.sum()  # they are mapped into memory


def _index_files() -> dict[str, bytes]:
    folder = Path("set")
    scans = [ListedScan(folder / f"{name}.npz", name, "smile") for name in "ab"]
    return {INDEX: index_bytes(folder, scans, "neutral")}


def _read_index(path: Path) -> None:
    list_scans(path.parent)


def _flag_files() -> dict[str, bytes]:
    flags = np.arange(42) % 2
    return {"mask.npy": _array(flags), "mask.txt": "\n".join(map(str, flags)).encode()}


def _read_flags(path: Path) -> None:
    read_flags(path, 42)


def _recording_files() -> dict[str, bytes]:
    names = [name[:1].upper() + name[1:] for name in load_makehuman().expression_names]
    heading = ",".join([TIME, "BlendShapeCount", *names, *ANGLES])
    values = ",".join(["61", *["0.25"] * (len(names) + len(ANGLES))])
    rows = [f"13:13:04:{frame:02d}.652,{values}" for frame in range(5)]
    return {
        "live_link.csv": "\n".join([heading, *rows]).encode(),
        "maps.json": json.dumps(_json_frames(names)).encode(),
        "weights.json": json.dumps(
            {"facsNames": names, "exportFps": 30, "weightMat": [[0.25] * len(names)] * 3}
        ).encode(),
        "face.bvh": _motion(names).encode(),
    }


def _json_frames(names: list[str]) -> list[dict[str, Any]]:
    """Frames at uneven times, the head turned; one shows no face."""
    turn = {"eulerAngles": {"x": 0.1, "y": 0.2, "z": -0.1}}
    frames: list[dict[str, Any]] = [
        {"timestamp": time, "blendShapes": dict.fromkeys(names[:12], time), "head": turn}
        for time in (0.0, 0.03, 0.2, 0.25)
    ]
    return [*frames, {"timestamp": 0.3, "blendShapes": None}]


def _motion(names: list[str]) -> str:
    """A motion file whose joints are coefficients."""
    units = [f"JOINT {name}\n{{\nOFFSET 0 0 0\nCHANNELS 1 Xposition\n}}" for name in names[:12]]
    turning = "OFFSET 0 1 0\nCHANNELS 3 Zrotation Xrotation Yrotation"
    tree = ["HIERARCHY", "ROOT neck\n{", turning, "JOINT head\n{", turning, *units, "}\n}"]
    rows = [" ".join(["10.0", "-5.0", "3.0"] * 2 + ["0.25"] * len(units))] * 4
    return "\n".join([*tree, "MOTION", "Frames: 4", "Frame Time: 0.0333", *rows])


def _read_recording(path: Path) -> None:
    read_recording(path, load_makehuman())


def _flame_files() -> dict[str, bytes]:
    stream = io.BytesIO()
    arrays: dict[str, Any] = {
        "expression": np.linspace(0, 1, 60).reshape(6, 10),
        "pose": np.linspace(0, 1, 36).reshape(6, 6),
        "shape": np.linspace(0, 1, 8),
        "fps": np.array(30),
    }
    np.savez(stream, **arrays)
    return {"voca.npz": stream.getvalue()}


@cache
def _flame() -> MorphableModel:
    """A head that is called FLAME: no more of it matters to its sequences."""
    model = copy.copy(load_makehuman())
    model.name = "flame2023"
    return model


def _read_flame(path: Path) -> None:
    read_recording(path, _flame())


def _parameter_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "parameters.npz"
        FaceParameters.neutral(load_makehuman(), 2).save(path)
        return {"parameters.npz": path.read_bytes()}


def _vertex_files() -> dict[str, bytes]:
    stream = io.BytesIO()
    np.savez(stream, vertices=np.zeros((68, 3), np.int64), weights=np.full((68, 3), 1 / 3))
    numbers = [*range(68)]
    return {
        "vertices.txt": " ".join(map(str, numbers)).encode(),
        "vertices.json": json.dumps(numbers).encode(),
        "vertices.npz": stream.getvalue(),
    }


def _read_vertices(path: Path) -> None:
    read_landmark_vertices(path, 100)


def _gnm_files() -> dict[str, bytes]:
    return {"landmarks.txt": b"\n".join(b"1 0.25 2 0.5 3 0.25" for _ in range(68))}


def _read_gnm(path: Path) -> None:
    read_landmarks(path, 100)


SHAPES = (
    Reader("meshes", _mesh_files, read_scan_mesh),
    Reader("landmark files", _landmark_files, _read_points),
    Reader("landmarks of ifmorph", _ifmorph_files, _read_ifmorph),
    Reader("landmarks in space", _space_files, read_landmarks_3d),
    Reader("prepared scans", _scan_files, read_scan),
    Reader("trees of FaceScape", _tree_files, _read_tree, together=True),
    Reader("indices of scans", _index_files, _read_index),
    Reader("masks of meshes", _flag_files, _read_flags),
    Reader("recordings", _recording_files, _read_recording),
    Reader("sequences of FLAME", _flame_files, _read_flame),
    Reader("face parameters", _parameter_files, FaceParameters.load),
    Reader("vertices of landmarks", _vertex_files, _read_vertices),
    Reader("landmarks of GNM", _gnm_files, _read_gnm),
)
