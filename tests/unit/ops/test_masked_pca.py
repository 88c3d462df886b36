"""Principal components of values of which some are missing."""

import numpy as np
import pytest
import torch

from facemorph.errors import DataError
from facemorph.ops.masked_pca import MaskedPCA


def made(count=200, size=60, rank=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    basis = torch.randn(rank, size, generator=draw) * torch.tensor([4.0, 3.0, 2.0, 1.5])[:, None]
    codes = torch.randn(count, rank, generator=draw)
    noise = 0.05 * torch.randn(count, size, generator=draw)
    mean = torch.randn(size, generator=draw)
    return mean + codes @ basis + noise, draw


def test_whole_values_give_numpys_components():
    values, _ = made()
    model = MaskedPCA.of(values, torch.ones_like(values), 4)
    centred = values.numpy() - values.numpy().mean(0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    expected = directions[:4] * lengths[:4, None] / np.sqrt(len(values))
    signs = np.sign((model.basis.numpy() * expected).sum(1))
    np.testing.assert_allclose(model.basis.numpy(), expected * signs[:, None], atol=1e-3)
    np.testing.assert_allclose(model.mean.numpy(), values.numpy().mean(0), atol=1e-4)


def test_missing_values_are_what_the_others_say():
    values, draw = made()
    seen = (torch.rand(values.shape, generator=draw) > 0.4).float()
    spoilt = torch.where(seen > 0, values, torch.full_like(values, 50.0))
    model = MaskedPCA.of(spoilt, seen, 4)
    told = model.decode(model.encode(spoilt, seen))
    error = (told - values).square().mean().sqrt()
    assert error < 0.15, "not as the noise of the values"
    naive = (values.mean(0) - values).square().mean().sqrt()
    assert error < 0.05 * naive


def test_codes_have_unit_variance():
    values, _ = made()
    whole = torch.ones_like(values)
    model = MaskedPCA.of(values, whole, 4)
    codes = model.encode(values, whole)
    assert torch.allclose(codes.std(0), torch.ones(4), atol=0.05)


def test_what_is_not_seen_at_all_gives_the_mean_person():
    values, _ = made()
    model = MaskedPCA.of(values, torch.ones_like(values), 4)
    codes = model.encode(values[:2] + 100, torch.zeros(2, values.shape[1]))
    assert codes.abs().max() < 1e-6


def test_too_few_examples_are_named():
    values, _ = made(count=4)
    with pytest.raises(DataError, match="more than 4 examples"):
        MaskedPCA.of(values, torch.ones_like(values), 4)
