"""Tables of 68 vertex numbers that users make, and those of FaceScape, which are for its meshes."""

from __future__ import annotations

import numpy as np
import pytest

from facemorph.errors import GeometryError
from facemorph.geometry.models.model_arrays import read_landmark_vertices


def test_tables_of_vertices(tmp_path):
    numbers = np.arange(68) * 3
    np.savez(tmp_path / "table.npz", vertices=numbers)
    np.savetxt(tmp_path / "table.txt", numbers, fmt="%d")
    for name in ("table.npz", "table.txt"):
        found = read_landmark_vertices(tmp_path / name, 300)
        assert found.vertices[:, 0].tolist() == numbers.tolist()
        assert found.weights[:, 0].tolist() == [1.0] * 68
        with pytest.raises(GeometryError, match="not there"):
            read_landmark_vertices(tmp_path / name, 200)


def test_tables_of_facescape_name_their_topologies(tmp_path):
    np.savez(tmp_path / "landmark_indices.npz", v10=np.arange(68), v16=np.arange(68))
    with pytest.raises(GeometryError, match="FaceScape's topologies") as caught:
        read_landmark_vertices(tmp_path / "landmark_indices.npz", 5023)
    assert "v10, v16" in str(caught.value)
    assert "5023 vertices" in str(caught.value)
    assert "v16 that of bilinear model 1.6" in str(caught.value)
