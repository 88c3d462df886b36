"""Inception, LPIPS and the distances of sets against independent statements of what they are."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from torch.nn import functional as F

from facemorph.errors import CheckpointError, DataError
from facemorph.metrics.frechet import feature_distances
from facemorph.metrics.picture_quality import PictureQuality
from facemorph.networks.inception import FIDInception, load_fid_inception
from facemorph.networks.lpips import CHANNELS, LPIPS, SCALE, SHIFT


@pytest.fixture(scope="module")
def inception():
    torch.manual_seed(0)
    return FIDInception().eval()


def test_inception_has_the_published_size_and_names(inception):
    # torchvision's Inception v3 without its auxiliary head has 23,834,568 parameters for 1000
    # classes; here are 1008.
    assert sum(parameter.numel() for parameter in inception.parameters()) == 23_834_568 + 8 * 2049
    names = set(inception.state_dict())
    for name in (
        "Conv2d_1a_3x3.conv.weight",
        "Mixed_5b.branch5x5_2.bn.running_mean",
        "Mixed_6a.branch3x3.conv.weight",
        "Mixed_6e.branch7x7dbl_5.conv.weight",
        "Mixed_7a.branch7x7x3_4.bn.weight",
        "Mixed_7c.branch3x3dbl_3b.conv.weight",
        "fc.bias",
    ):
        assert name in names
    shapes = {name: tuple(value.shape) for name, value in inception.state_dict().items()}
    assert shapes["Mixed_6b.branch7x7_2.conv.weight"] == (128, 128, 1, 7)
    assert shapes["Mixed_7b.branch3x3_2b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["fc.weight"] == (1008, 2048)


def test_inception_takes_bytes_and_floats_alike(inception):
    images = torch.randint(0, 256, (2, 3, 50, 40), dtype=torch.uint8)
    with torch.no_grad():
        features = inception(images)
        assert features.shape == (2, 2048)
        assert torch.allclose(features, inception(images.float() / 255), atol=1e-6)


def test_inception_is_read_from_a_file_without_unpickling(inception, tmp_path):
    path = tmp_path / "inception.pth"
    torch.save(inception.state_dict(), path)
    network, published = load_fid_inception(path)
    assert not published
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), inception.parameters(), strict=True)
    )
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, path)
    with pytest.raises(CheckpointError, match="missing"):
        load_fid_inception(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="Inception"):
        load_fid_inception(path)


def lpips_files(folder):
    """Files of the published layouts with random weights."""
    torch.manual_seed(1)
    made = LPIPS()
    alexnet = {
        name: torch.randn_like(value) * 0.05
        for name, value in made.state_dict().items()
        if name.startswith("features")
    }
    torch.save({**alexnet, "classifier.1.weight": torch.zeros(3, 3)}, folder / "alexnet.pth")
    linear = {
        f"lin{index}.model.1.weight": torch.rand(1, count, 1, 1)
        for index, count in enumerate(CHANNELS)
    }
    torch.save(linear, folder / "alex.pth")
    return folder / "alexnet.pth", folder / "alex.pth", alexnet, linear


def test_lpips_against_its_equation(tmp_path):
    *files, alexnet, linear = lpips_files(tmp_path)
    network = LPIPS.load(*files)
    # torchvision's AlexNet
    assert sum(p.numel() for p in network.features.parameters()) == 2_469_696
    first, second = torch.rand(2, 3, 70, 80), torch.rand(2, 3, 70, 80)
    strides = {0: (4, 2), 3: (1, 2), 6: (1, 1), 8: (1, 1), 10: (1, 1)}

    def layers(image):
        x = (image * 2 - 1 - torch.tensor(SHIFT)[:, None, None]) / torch.tensor(SCALE)[
            :, None, None
        ]
        for index, (stride, padding) in strides.items():
            if index in (3, 6):
                x = F.max_pool2d(x, 3, 2)
            weight, bias = (alexnet[f"features.{index}.{name}"] for name in ("weight", "bias"))
            x = F.conv2d(x, weight, bias, stride, padding).relu()
            yield x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)

    expected = sum(
        ((a - b).square() * linear[f"lin{k}.model.1.weight"]).sum(1).mean((1, 2))
        for k, (a, b) in enumerate(zip(layers(first), layers(second), strict=True))
    )
    with torch.no_grad():
        assert torch.allclose(network(first, second), expected, rtol=1e-4)
        assert float(network(first, first).abs().max()) == 0
    with pytest.raises(CheckpointError, match="AlexNet"):
        LPIPS.load(files[1], files[1])


def test_frechet_distance_against_the_closed_form():
    generator = np.random.default_rng(0)
    real, made = generator.normal(0, 1, (400, 5)), generator.normal(0.5, 2, (300, 5))
    found = feature_distances(torch.tensor(real), torch.tensor(made), "fd", "kid")
    covariances = [np.cov(part, rowvar=False) for part in (real, made)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((real.mean(0) - made.mean(0)) ** 2) + np.trace(
        covariances[0] + covariances[1] - 2 * root
    )
    assert found["fd"] == pytest.approx(expected, rel=1e-6)

    def kernel(x, y):
        return (x @ y.T / 5 + 1) ** 3

    x, y = real[:300], made  # with one subset of all, the unbiased estimate of the squared MMD
    same = feature_distances(torch.tensor(x), torch.tensor(y), "fd", "kid")["kid"]
    count = len(x)
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    mmd = (
        (xx.sum() - np.trace(xx)) / (count * (count - 1))
        + (yy.sum() - np.trace(yy)) / (count * (count - 1))
        - 2 * xy.mean()
    )
    assert same == pytest.approx(mmd, rel=1e-6)


def test_frechet_distances_repeat_and_leave_the_random_state_alone():
    real, made = torch.randn(40, 3), torch.randn(60, 3)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = feature_distances(real, made, "fd", "kid")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert feature_distances(real, made, "fd", "kid") == first
    with pytest.raises(DataError, match="two pictures"):
        feature_distances(real[:1], made, "fd", "kid")


def test_picture_quality_against_its_definition():
    reference = torch.rand(3, 40, 40)
    picture = (reference + 0.1).clamp(0, 1)
    found = PictureQuality()(picture, reference)
    assert found["psnr"] == pytest.approx(
        float(-10 * (picture - reference).square().mean().log10()), abs=1e-4
    )
    assert 0 < found["ssim"] < 1
    same = PictureQuality()(reference, reference)
    assert "psnr" not in same
    assert same["ssim"] == pytest.approx(1)
    with pytest.raises(DataError, match="shape"):
        PictureQuality()(picture, reference[:, 1:])
