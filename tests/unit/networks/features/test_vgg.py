"""VGG16 and VGG19: published counts and names, layers, and files of torchvision's format."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from facemorph.errors import CheckpointError, ChecksumError, ConfigError, MissingExtra
from facemorph.networks.features import vgg
from facemorph.networks.features.vgg import VGG
from facemorph.storage.pretrained import Weights, registry

# torchvision's places of the convolutions: those of its published state dicts
PLACES = {
    16: [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
    19: [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
}


@pytest.mark.parametrize(("depth", "count"), [(16, 14_714_688), (19, 20_024_384)])
def test_published_counts_and_names(depth, count):
    with torch.device("meta"):
        network = VGG(depth)
    assert sum(one.numel() for one in network.parameters()) == count
    names = [f"features.{n}.{kind}" for n in PLACES[depth] for kind in ("weight", "bias")]
    assert list(network.state_dict()) == names


def test_layers_by_the_equations():
    network = VGG(16, layers=["relu2_1", "conv1_2", "pool1"])
    images = torch.rand(1, 3, 16, 16)
    found = network(images)
    assert list(found) == ["conv1_2", "pool1", "relu2_1"]
    weights = dict(network.named_parameters())
    mean, deviation = (
        torch.tensor(values)[:, None, None]
        for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    x = (images - mean) / deviation
    x = F.conv2d(x, weights["features.0.weight"], weights["features.0.bias"], padding=1).clamp(0)
    x = F.conv2d(x, weights["features.2.weight"], weights["features.2.bias"], padding=1)
    torch.testing.assert_close(found["conv1_2"], x)
    x = x.clamp(0).unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    torch.testing.assert_close(found["pool1"], x)
    x = F.conv2d(x, weights["features.5.weight"], weights["features.5.bias"], padding=1)
    torch.testing.assert_close(found["relu2_1"], x.clamp(0))


def test_usual_layers():
    with torch.device("meta"):
        assert VGG(16).layers[-1] == "relu5_3"
        assert VGG(19).layers == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def test_files_of_torchvision(tmp_path):
    made, path = VGG(16), tmp_path / "vgg16.pth"
    # the published file has the layers of classes too
    torch.save({**made.state_dict(), "classifier.0.weight": torch.zeros(2, 2)}, path)
    network = VGG.load(16, path, ["relu1_1"])
    assert not network.training
    assert not any(one.requires_grad for one in network.parameters())
    torch.testing.assert_close(network.features[28].weight, made.features[28].weight)
    with pytest.raises(CheckpointError, match="does not hold VGG19"):
        VGG.load(19, path)
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(CheckpointError, match="tensors are missing"):
        VGG.load(16, path)


def test_weights_that_are_not_there(tmp_path, monkeypatch):
    entry = registry()["vgg16"]
    assert len(entry.sha256) == 64
    here = Weights(entry.what, entry.url, str(tmp_path / entry.file), entry.sha256, entry.licence)
    monkeypatch.setattr(vgg, "registry", lambda: {"vgg16": here})
    with pytest.raises(MissingExtra, match="facemorph download vgg16"):
        VGG.load(16)
    (tmp_path / entry.file).write_bytes(b"other")
    with pytest.raises(ChecksumError):
        VGG.load(16)
    with pytest.raises(MissingExtra, match="Give the path"):
        VGG.load(19)


def test_wrong_depth_and_layers():
    with pytest.raises(ConfigError, match="expected 16 or 19"):
        VGG(11)
    with pytest.raises(ConfigError, match="found relu9_9") as error:
        VGG(16, ["relu1_1", "relu9_9"])
    assert error.value.where == "vgg16.layers"
