"""DECA's encoder: the published counts and names, and reading a user's file without unpickling."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest
import torch

from facemorph.errors import CheckpointError, DataError
from facemorph.networks.deca import PARTS, DECAEncoder, deca_box
from facemorph.networks.resnet import ResNet50


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return DECAEncoder().eval()


def test_published_parameter_counts(encoder):
    # torchvision's ResNet-50 has 25,557,032 parameters, 2,049,000 of them in the layer of classes.
    assert sum(p.numel() for p in ResNet50().parameters()) == 25_557_032 - 2_049_000
    head = 2048 * 1024 + 1024 + 1024 * 236 + 236
    assert sum(p.numel() for p in encoder.parameters()) == 23_508_032 + head
    assert sum(PARTS.values()) == 236
    names = set(encoder.state_dict())
    assert {
        "encoder.conv1.weight",
        "encoder.layer1.0.downsample.0.weight",
        "encoder.layer4.2.bn3.running_var",
        "layers.0.weight",
        "layers.2.bias",
    } <= names


def test_shapes(encoder):
    with torch.no_grad():
        codes = encoder(torch.rand(2, 3, 224, 224))
        features = encoder.encoder.layer4(encoder.encoder.layer3(torch.rand(1, 512, 28, 28)))
    assert codes.shape.shape == (2, 100)
    assert codes.pose.shape == (2, 6)
    assert codes.light.shape == (2, 9, 3)
    assert features.shape == (1, 2048, 7, 7)
    with pytest.raises(DataError, match="images"):
        encoder(torch.rand(2, 3, 256, 256))


def test_a_user_s_file(encoder, tmp_path):
    """As published: more networks, the layer of classes, an optimizer."""
    classes = {"encoder.fc.weight": torch.zeros(1000, 2048), "encoder.fc.bias": torch.zeros(1000)}
    weights = {**encoder.state_dict(), **classes}
    path = tmp_path / "deca_model.tar"
    torch.save({"E_flame": weights, "E_detail": {}, "D_detail": {}, "opt": {}}, path)
    picture = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(DECAEncoder.load(path)(picture).shape, encoder(picture).shape)


def test_files_that_are_refused(encoder, tmp_path):
    other = tmp_path / "other.tar"
    torch.save({"state_dict": {}}, other)
    with pytest.raises(CheckpointError, match="E_flame"):
        DECAEncoder.load(other)
    torch.save({"E_flame": {"encoder.conv1.weight": torch.zeros(64, 3, 7, 7)}}, other)
    with pytest.raises(CheckpointError, match="not the weights"):
        DECAEncoder.load(other)
    with pytest.raises(CheckpointError):
        DECAEncoder.load(tmp_path / "missing.tar")
    marker = tmp_path / "ran"
    hostile = tmp_path / "hostile.tar"
    hostile.write_bytes(pickle.dumps(SimpleNamespace(path=str(marker))))
    with pytest.raises(CheckpointError):
        DECAEncoder.load(hostile)


def test_the_square_it_looks_at():
    points = torch.zeros(1, 68, 2)
    points[0, 0], points[0, 1] = torch.tensor([100.0, 50.0]), torch.tensor([300.0, 350.0])
    points[0, 2:] = 200
    centre, side = deca_box(points)
    assert centre.tolist() == [[200.0, 200.0]]
    assert float(side) == pytest.approx((200 + 300) / 2 * 1.1 * 1.25)
