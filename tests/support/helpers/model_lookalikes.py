"""Files with the keys, shapes and dtypes of face models that only their users may have, filled with
made-up numbers.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
import types

import numpy as np
from scipy import sparse

VERTICES, TRIANGLES = 5023, 9976


def sheet(vertices, triangles, generator):
    """A bulging sheet that looks like a face from far: points in metres, and triangles
    among them.
    """
    side = int(np.ceil(np.sqrt(vertices)))
    x, y = np.meshgrid(np.linspace(-0.08, 0.08, side), np.linspace(0.1, -0.1, side))
    points = np.stack([x, y, 0.08 - 4 * x**2 - 3 * y**2], 2).reshape(-1, 3)[:vertices]
    corner = np.array(
        [[row * side + column for column in range(side - 1)] for row in range(side - 1)]
    ).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + side, corner + 1], 1),
            np.stack([corner + 1, corner + side, corner + side + 1], 1),
        ]
    )
    faces = faces[(faces < vertices).all(1)]
    return points, faces[generator.permutation(len(faces))[:triangles]]


def flame_arrays(seed=0):
    """The content of ``generic_model.pkl`` as plain arrays."""
    generator = np.random.default_rng(seed)
    points, faces = sheet(VERTICES, TRIANGLES, generator)
    faces = np.concatenate([faces, faces[: TRIANGLES - len(faces)]])
    regressor = np.zeros((5, VERTICES))
    for row, place in zip(
        regressor,
        ([0, -0.1, 0], [0, -0.06, 0], [0, -0.03, 0], [0.03, 0.03, 0.05], [-0.03, 0.03, 0.05]),
        strict=True,
    ):
        near = np.linalg.norm(points - place, axis=1).argsort()[:20]
        row[near] = generator.dirichlet(np.ones(20))
    weights = generator.dirichlet(np.full(5, 0.3), VERTICES)
    return {
        "v_template": points,
        "shapedirs": generator.normal(size=(VERTICES, 3, 400)) * 1e-3,
        "posedirs": generator.normal(size=(VERTICES, 3, 36)) * 1e-4,
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.int64),
        "f": faces.astype(np.uint32),
    }


def landmark_arrays(seed=0):
    """The content of DECA's ``landmark_embedding.npy``."""
    generator = np.random.default_rng(seed)
    return {
        "static_lmk_faces_idx": generator.integers(0, TRIANGLES, 51),
        "static_lmk_bary_coords": generator.dirichlet(np.ones(3), 51),
        "dynamic_lmk_faces_idx": generator.integers(0, TRIANGLES, (79, 17)),
        "dynamic_lmk_bary_coords": generator.dirichlet(np.ones(3), (79, 17)),
    }


def chumpy_pickle(arrays, path):
    """Write arrays as FLAME's authors did: some wrapped by ``chumpy``, the regressor sparse,
    protocol 2.
    """
    module, inner = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x):
            self.x = x

        def __getstate__(self):
            return {"x": self.x, "_dirty_vars": set(), "_itr": None, "_parents": {}, "_cache": {}}

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    inner.Ch, module.ch = Ch, inner
    sys.modules["chumpy"], sys.modules["chumpy.ch"] = module, inner
    try:
        content = dict(arrays)
        for key in ("v_template", "shapedirs", "posedirs", "weights"):
            content[key] = Ch(arrays[key])
        content["J_regressor"] = sparse.csc_matrix(arrays["J_regressor"])
        content["bs_style"], content["bs_type"] = "lbs", "lrotmin"
        path.write_bytes(pickle.dumps(content, 2))
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]


def npy_pickle(values, path):
    """A dict in a ``.npy`` file, as NumPy pickles it."""
    target = io.BytesIO()
    np.save(target, np.array(values, dtype=object), allow_pickle=True)
    path.write_bytes(target.getvalue())


def write_bfm(path, vertices=2500, modes=(199, 100, 199), seed=0, colour_scale=1.0):
    """A Basel Face Model's ``.h5``, and a table of landmarks and ``face12.json`` beside it. Returns
    its arrays.
    """
    import h5py

    generator = np.random.default_rng(seed)
    points, faces = sheet(vertices, 10**6, generator)
    points = points * 1000
    arrays = {
        "shape/representer/points": points.T.astype(np.float32),
        "shape/representer/cells": faces.T.astype(np.int32),
    }
    for part, count in zip(("shape", "expression", "color"), modes, strict=True):
        mean = points.ravel() if part == "shape" else generator.uniform(0.2, 0.8, 3 * vertices)
        basis = generator.normal(size=(3 * vertices, count))
        arrays[f"{part}/model/mean"] = (mean * (colour_scale if part == "color" else 1)).astype(
            np.float32
        )
        arrays[f"{part}/model/pcaBasis"] = (basis / np.linalg.norm(basis, axis=0)).astype(
            np.float32
        )
        arrays[f"{part}/model/pcaVariance"] = np.sort(generator.uniform(0.1, 50, count))[
            ::-1
        ].astype(np.float32)
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file[key] = value
    (path.parent / "landmarks68.txt").write_text(
        " ".join(map(str, generator.integers(0, vertices, 68)))
    )
    uv = (points[:, :2] / 220 + 0.5).tolist()
    (path.parent / "face12.json").write_text(
        json.dumps({"textureMapping": {"pointData": uv, "triangles": faces.tolist()}})
    )
    return arrays
