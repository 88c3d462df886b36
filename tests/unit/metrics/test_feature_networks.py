"""The networks that can be chosen by name, and distances in the embedded one's features."""

from __future__ import annotations

import pytest
import torch

from facemorph.config.targets import resolve_target
from facemorph.errors import ConfigError
from facemorph.faces.embedded_networks import face_descriptor
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.metrics.feature_networks import DescriptorFeatures, feature_network
from facemorph.networks.features.vgg import VGG


def test_configs_cannot_name_what_reads_files():
    with pytest.raises(ConfigError, match="is refused"):
        resolve_target("facemorph.metrics.feature_networks.feature_network")


def test_descriptor_features_are_those_of_the_network():
    """The last unit's mean is what the network makes its descriptor from."""
    network = face_descriptor()
    images = torch.rand(2, 3, 150, 150)
    found = DescriptorFeatures(["conv256_down_out"])(images)["conv256_down_out"]
    torch.testing.assert_close(network.fc(found.mean((2, 3))), network(images))
    other_size = DescriptorFeatures()(torch.rand(1, 3, 64, 64))
    assert list(other_size) == ["conv32_3", "conv64_3", "conv128_2", "conv256_2"]


def test_distances_of_the_embedded_network():
    distance = PerceptualDistance(feature_network("descriptor", layers=["conv32_3"]))
    images = torch.rand(1, 3, 64, 64)
    noise = torch.randn_like(images)
    near, far = (float(distance(images, images + size * noise)) for size in (0.01, 0.1))
    assert float(distance(images, images)) == 0
    assert 0 < near < far


def test_networks_by_name(tmp_path):
    path = tmp_path / "vgg19.pth"
    torch.save(VGG(19).state_dict(), path)
    network = feature_network("vgg19", path, ["relu1_1"])
    assert network.depth == 19
    assert network.layers == ("relu1_1",)
    with pytest.raises(ConfigError, match="are embedded"):
        feature_network("descriptor", path)
    with pytest.raises(ConfigError, match="there is no such network"):
        feature_network("resnet")
    with pytest.raises(ConfigError, match="there is no such layer"):
        feature_network("descriptor", layers=["conv1"])
