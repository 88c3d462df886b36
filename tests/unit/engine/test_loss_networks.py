"""Networks of losses by their names."""

from __future__ import annotations

import pytest
import torch

from facemorph.engine.loss_networks import VGG19, chosen_distance
from facemorph.errors import MissingExtra
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.networks.features.vgg import VGG


def published(network):
    return PerceptualDistance(network, "absolute", {"relu5_1": 3.0})


def test_names(tmp_path):
    assert chosen_distance(None, None, published) is None
    assert chosen_distance("descriptor", None, published).kind == "unit"
    with pytest.raises(MissingExtra, match="weights of VGG19"):
        chosen_distance("vgg19", None, published)
    torch.save(VGG(19).state_dict(), tmp_path / VGG19)
    found = chosen_distance("vgg19", str(tmp_path / VGG19), published)
    assert found.weights == {"relu5_1": 3.0}
    assert not any(one.requires_grad for one in found.parameters())
