"""Face parameters by name, in files and as vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from facemorph.errors import DataError, GeometryError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters, from_deca, to_deca


def random_parameters(count=3):
    start = FaceParameters.neutral(load_makehuman(), count, num_albedo=5)
    return start.from_vector(
        torch.randn(start.vector().shape, generator=torch.Generator().manual_seed(0))
    )


def test_neutral_is_the_mean_face():
    model = load_makehuman()
    start = FaceParameters.neutral(model, 2)
    torch.testing.assert_close(
        model.vertices(start.identity, start.expression, start.joints), model.mean.expand(2, -1, -1)
    )
    assert len(start) == 2
    assert start.light[:, 0].eq(1).all()


def test_vector_has_the_documented_order():
    parameters = random_parameters()
    vector = parameters.vector()
    order = [
        "identity",
        "expression",
        "joints",
        "rotation",
        "origin",
        "log_size",
        "focal",
        "light",
        "albedo",
    ]
    assert list(parameters.tensors()) == order
    start = 0
    for name in order:
        piece = (
            getattr(parameters, name).flatten(1)
            if getattr(parameters, name).dim() > 1
            else getattr(parameters, name)[:, None]
        )
        torch.testing.assert_close(vector[:, start : start + piece.shape[1]], piece)
        start += piece.shape[1]
    assert start == vector.shape[1] == 80 + 52 + 6 + 3 + 2 + 1 + 1 + 27 + 5
    with pytest.raises(DataError, match="vector"):
        parameters.from_vector(vector[:, 1:])


def test_files_round_trip(tmp_path):
    parameters = random_parameters()
    parameters.save(tmp_path / "face.npz")
    found = FaceParameters.load(tmp_path / "face.npz")
    assert (found.model, found.expression_names) == ("makehuman", parameters.expression_names)
    assert torch.equal(found.vector(), parameters.vector())
    with np.load(tmp_path / "face.npz", allow_pickle=False) as data:
        assert {data[name].dtype.kind for name in data.files} <= {"f", "U"}


def test_rows_and_names():
    parameters = random_parameters()
    assert torch.equal(parameters[1].vector(), parameters.vector()[1:2])
    assert torch.equal(parameters[-1].vector(), parameters.vector()[2:])
    assert torch.equal(parameters[1:].vector(), parameters.vector()[1:])
    smiling = parameters.with_expression(mouthSmileLeft=0.5)
    index = parameters.expression_names.index("mouthSmileLeft")
    assert smiling.expression[:, index].eq(0.5).all()
    assert not torch.equal(smiling.expression, parameters.expression)
    with pytest.raises(GeometryError, match="mouthSmleLeft"):
        parameters.with_expression(mouthSmleLeft=0.5)


@pytest.mark.parametrize(
    "change",
    [
        {"identity": None},
        {"light": np.zeros((3, 9), np.float32)},
        {"rotation": np.zeros((2, 3), np.float32)},
        {"expression": np.zeros((3, 51), np.float32)},
        {"log_size": np.full(3, np.nan, np.float32)},
        {"model": np.zeros(3)},
        {"origin": np.array(["a"])},
    ],
)
def test_bad_files(tmp_path, change):
    path = tmp_path / "face.npz"
    random_parameters().save(path)
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files} | change
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises((DataError, GeometryError), match=r"face\.npz"):
        FaceParameters.load(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="whole"):
        FaceParameters.load(path)


def test_only_flame_has_decas_parameters():
    parameters = random_parameters()
    with pytest.raises(GeometryError, match="FLAME"):
        to_deca(parameters, torch.zeros(3, 3))
    with pytest.raises(GeometryError, match="FLAME"):
        from_deca(torch.zeros(3, 236), parameters, torch.zeros(3, 3))


def test_joined():
    model = load_makehuman()
    one, two = FaceParameters.neutral(model, 2), FaceParameters.neutral(model, 1)
    two.identity[0, 3] = 1.5
    both = FaceParameters.joined([one, two])
    assert len(both) == 3
    assert torch.equal(both.vector()[2:], two.vector())
    with pytest.raises(DataError, match="different models"):
        FaceParameters.joined([one, replace(two, model="other")])
    with pytest.raises(DataError, match="none"):
        FaceParameters.joined([])
