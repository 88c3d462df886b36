"""Released tensors: prefixes and constants go, each weight must be there, shapes may differ."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from facemorph.errors import CheckpointError
from facemorph.storage.published_tensors import (
    check_has,
    fill_network,
    read_network,
    without_constants,
)


def test_reading_and_renaming(tmp_path):
    path = tmp_path / "theirs.pth"
    weight = torch.arange(6.0).double()
    theirs = {"module.weight": weight, "module.bias": torch.ones(2), "module.window": weight}
    torch.save({"network": theirs, "step": 3}, path)
    found = without_constants(read_network(path, "network", "X"), re.compile("^window$"), path)
    assert set(found) == {"weight", "bias"}
    assert check_has(found, "bias", path, "X").tolist() == [1, 1]
    layer = fill_network(nn.Linear(3, 2), found, path, "X")
    assert torch.equal(layer.weight, weight.float().view(2, 3))
    assert not layer.training


def test_what_is_wrong_is_named(tmp_path):
    path = tmp_path / "theirs.pth"
    torch.save({"other": {}}, path)
    with pytest.raises(CheckpointError, match=r"network of X .*expected network, found other"):
        read_network(path, "network", "X")
    with pytest.raises(CheckpointError, match="no weight"):
        without_constants({"a": 3}, re.compile("^$"), path)
    with pytest.raises(CheckpointError, match=r"weights of X .*expected b, found a"):
        check_has({"a": torch.ones(1)}, "b", path, "X")
    layer, whole = nn.Linear(3, 2), {"weight": torch.ones(2, 3), "bias": torch.ones(2)}
    before = layer.weight.clone()
    for given, problem in (
        ({"weight": whole["weight"]}, "missing, such as bias"),
        ({**whole, "more": torch.ones(1)}, "unknown, such as more"),
        ({**whole, "weight": torch.ones(2, 2)}, "another shape"),
    ):
        with pytest.raises(CheckpointError, match=problem):
            fill_network(layer, given, path, "X")
    assert torch.equal(layer.weight, before)
