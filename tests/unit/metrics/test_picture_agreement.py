"""Agreement of two pictures in a region."""

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from facemorph.errors import GeometryError
from facemorph.metrics.picture_agreement import picture_agreement
from facemorph.ops.filters import LUMINANCE


def test_equal_inverted_and_unrelated():
    image, whole = torch.rand(3, 40, 50), torch.ones(1, 40, 50)
    same = picture_agreement(image, image, whole)
    assert same["ssim"] == pytest.approx(1, abs=1e-6)
    assert same["gradient_correlation"] == pytest.approx(1)
    assert picture_agreement(image, 1 - image, whole)["gradient_correlation"] == pytest.approx(-1)
    assert abs(picture_agreement(image, torch.rand(3, 40, 50), whole)["gradient_correlation"]) < 0.1
    flat = picture_agreement(image, torch.full_like(image, 0.4), whole)
    assert flat["gradient_correlation"] == 0


def test_only_the_region_counts():
    image, other = torch.rand(3, 40, 60), torch.rand(3, 40, 60)
    other[:, :, :30] = image[:, :, :30]
    left = torch.zeros(1, 40, 60)
    left[:, 8:32, 8:20] = 1
    assert picture_agreement(image, other, left)["gradient_correlation"] == pytest.approx(1)
    assert picture_agreement(image, other, left)["ssim"] == pytest.approx(1, abs=1e-5)
    assert picture_agreement(image, other, left.flip(2))["ssim"] < 0.5
    with pytest.raises(GeometryError, match="empty"):
        picture_agreement(image, other, torch.zeros(1, 40, 60))


def test_ssim_against_skimage():
    one, two = torch.rand(3, 40, 40), torch.rand(3, 40, 40)
    grey = [
        (image.double() * torch.tensor(LUMINANCE)[:, None, None]).sum(0).numpy()
        for image in (one, two)
    ]
    _, full = structural_similarity(
        *grey,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        full=True,
        use_sample_covariance=False,
    )
    inner = torch.zeros(1, 40, 40)
    inner[:, 10:30, 10:30] = 1
    found = picture_agreement(one, two, inner)["ssim"]
    assert found == pytest.approx(np.mean(full[10:30, 10:30]), abs=1e-4)
