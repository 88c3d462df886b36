"""Frechet and kernel distance of two sets of features.

Sources: Heusel et al., GANs Trained by a Two Time-Scale Update Rule (2017); Binkowski et al.,
Demystifying MMD GANs (2018). Both by torchmetrics. Only with the features of the published
Inception network they are called FID and KID.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from facemorph.errors import DataError
from facemorph.ops.shapes import check_shape

SUBSETS, SUBSET_SIZE = 50, 1000


class _AsTheyAre(nn.Module):
    """Stands for the network: the features are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def feature_distances(
    real: Tensor, made: Tensor, frechet: str, kernel: str, seed: int = 0
) -> dict[str, float]:
    """Both distances.

    Args:
        real: Features ``(N, D)`` of real pictures.
        made: Features ``(M, D)`` of made ones.
        frechet: Name of the Frechet distance in the result.
        kernel: Name of the kernel distance, which is unbiased and so the better one for few
            pictures.
        seed: Of the kernel distance's subsets.

    Raises:
        DataError: The features do not fit, or a set has fewer than two.
    """
    size = check_shape(real, "N D", "real features")["D"]
    check_shape(made, f"M {size}", "features")
    if min(len(real), len(made)) < 2:
        raise DataError(
            "a distance of sets needs two pictures in each", found=f"{len(real)} and {len(made)}"
        )
    found = {}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # that features are kept: they are here already
        warnings.simplefilter("ignore", UserWarning)
        torch.manual_seed(seed)
        metrics = {
            frechet: FrechetInceptionDistance(_AsTheyAre(size)),
            kernel: KernelInceptionDistance(
                _AsTheyAre(size),
                subsets=SUBSETS,
                subset_size=min(SUBSET_SIZE, len(real), len(made)),
            ),
        }
        for name, metric in metrics.items():
            metric.set_dtype(torch.float64)
            metric.update(real.double(), real=True)
            metric.update(made.double(), real=False)
            value = metric.compute()
            found[name] = float(value[0] if isinstance(value, tuple) else value)
    return found
