"""Losses of the small generator, each by its name.

With x the target, y the picture, v the warped source, a the share of own colour, d the correction,
w the flow, w_0 that of the head, m the seen part of the head, phi the layers of a frozen network:

| term | equation | weight |
|---|---|---|
| ``reconstruction`` | weighted ``|y - x|``, lips, mouth and eyes 4 times | 1 |
| ``warped`` | the same of ``|v - x|``, a tenth of it off m | 0.5 |
| ``perceptual`` | distance of ``phi(y)`` and ``phi(x)`` | 0.3 |
| ``mouth`` | the same around the lips | 0.45 |
| ``share`` | mean of a, three times where m | 0.02 |
| ``correction`` | mean ``|d|`` | 0.05 |
| ``smoothness`` | mean absolute differences of neighbours of ``w - w_0``, in pixels | 0.2 |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from facemorph.geometry.portraits.head_flow import EYELIDS, EYES, LIPS, MOUTH
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.losses.weighted_terms import checked_weights, weighted_sum
from facemorph.ops.filters import dilated
from facemorph.systems.gdpw.paired_faces import PairBatch
from facemorph.systems.gdpw.small_generator import SmallOutput

NAMES = (
    "reconstruction",
    "warped",
    "perceptual",
    "mouth",
    "share",
    "correction",
    "smoothness",
)
FINE = (LIPS, MOUTH, EYES, EYELIDS)
EXTRA, REACH = 3.0, 1 / 32  # more weight of fine parts, dilated by this share of the side
UNSEEN = 0.1  # share of the warped picture's weight where the photograph shows something else
SEEN = 2.0  # extra weight of own colour where the photograph shows the same skin
CUT, PIXELS = (0.24, 0.32), (72, 96)  # half height and width around the lips, of half the side


class SmallGDPWLoss(nn.Module):
    """The generator's loss and its terms; the arguments are their weights.

    Raises:
        ConfigError: A weight is negative.
    """

    def __init__(
        self,
        reconstruction_weight: float = 1.0,
        warped_weight: float = 0.5,
        perceptual_weight: float = 0.3,
        mouth_weight: float = 0.45,
        share_weight: float = 0.02,
        correction_weight: float = 0.05,
        smoothness_weight: float = 0.2,
    ) -> None:
        super().__init__()
        given = (
            reconstruction_weight,
            warped_weight,
            perceptual_weight,
            mouth_weight,
            share_weight,
            correction_weight,
            smoothness_weight,
        )
        self.weights = checked_weights(dict(zip(NAMES, given, strict=True)), "loss")

    def forward(
        self, output: SmallOutput, batch: PairBatch, distance: PerceptualDistance | None
    ) -> dict[str, Tensor]:
        """Weighted terms and their ``total``.

        Args:
            output: Of the generator.
            batch: What it was made of.
            distance: A frozen network's; None leaves out both terms of it.
        """
        target, seen = batch["target"], batch["visible"]
        weight = fine_weight(batch["maps"])
        residual = (output.flow - batch["flow"]) * (target.shape[-1] / 2)
        terms = {
            "reconstruction": ((output.picture - target).abs() * weight).mean(),
            "warped": ((output.warped - target).abs() * weight * seen.clamp(min=UNSEEN)).mean(),
            "share": (output.share * (1 + SEEN * seen)).mean(),
            "correction": output.correction.abs().mean(),
            "smoothness": _differences(residual),
        }
        if distance is not None:
            terms["perceptual"] = distance(output.picture, target).mean()
            cuts = (around_lips(one, batch["maps"]) for one in (output.picture, target))
            terms["mouth"] = distance(*cuts).mean()
        return weighted_sum(terms, self.weights)


def fine_weight(maps: Tensor) -> Tensor:
    """Weight of each pixel ``(B, 1, S, S)``, 1 in the mean: more on lips, mouth and eyes."""
    reach = max(1, round(maps.shape[-1] * REACH))
    fine = maps[:, FINE].amax(1, keepdim=True).clamp(0, 1)
    weight = 1 + EXTRA * dilated(fine, reach)
    return weight / weight.mean()


def around_lips(pictures: Tensor, maps: Tensor) -> Tensor:
    """The part of pictures ``(B, 3, S, S)`` around the lips, of 72 x 96 pixels."""
    lips = maps[:, (LIPS, MOUTH)].amax(1) + 1e-6
    along = (torch.arange(maps.shape[-1], device=maps.device) + 0.5) / maps.shape[-1] * 2 - 1
    total = lips.sum((1, 2))
    frame = pictures.new_zeros(len(pictures), 2, 3)
    frame[:, 0, 0], frame[:, 1, 1] = CUT[1], CUT[0]
    frame[:, 0, 2] = (lips.sum(1) * along).sum(1) / total
    frame[:, 1, 2] = (lips.sum(2) * along).sum(1) / total
    grid = functional.affine_grid(frame, [len(pictures), 3, *PIXELS], align_corners=False)
    return functional.grid_sample(pictures, grid, align_corners=False, padding_mode="border")


def _differences(values: Tensor) -> Tensor:
    return values.diff(dim=-1).abs().mean() + values.diff(dim=-2).abs().mean()
