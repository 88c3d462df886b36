"""Loss of neural Poisson blending: a picture network with given gradients here and given colours
there.

Source: Schardong et al., Neural Implicit Morphing of Face Images (CVPR 2024), section 3.3, after
Pérez, Gangnet and Blake, Poisson Image Editing (SIGGRAPH 2003):

| equation | here |
|---|---|
| int_Omega ||Jac I - U||^2 | ``gradient``: mean over points, sum over channels and both axes |
| int_{S - Omega} (I - I*)^2 | ``colour``: mean over points, sum over channels |

Departures: U is the gradient of the *warped* picture
(``facemorph.systems.ifmorph.poisson_samples``); the authors' code takes the gradient before the
warp. The network's Jacobian is its analytic jet, where theirs is automatic differentiation of the
whole picture at once.
"""

from __future__ import annotations

from typing import TypedDict, cast

from torch import Tensor, nn

from facemorph.fields.image_fields import ImageField


class PoissonBatch(TypedDict):
    """Points ``inside`` (N, 2) with ``gradient`` (N, 3, 2), and ``xy`` (M, 2) with ``colour`` (M,
    3).
    """

    inside: Tensor
    gradient: Tensor
    xy: Tensor
    colour: Tensor


class NeuralPoissonLoss(nn.Module):
    """Weighted sum of both terms.

    Args:
        gradient_weight: Of the gradients inside the mask, in field units (a colour along half the
            longer side).
        colour_weight: Of the colours outside; 6000 in the authors' code, 80000 in their experiment.
    """

    def __init__(self, gradient_weight: float = 1.0, colour_weight: float = 6000.0) -> None:
        super().__init__()
        self.gradient_weight, self.colour_weight = gradient_weight, colour_weight

    def forward(self, field: ImageField, batch: PoissonBatch) -> dict[str, Tensor]:
        """The terms ``gradient``, ``colour`` and their weighted ``total``."""
        jacobian = cast(Tensor, field(batch["inside"], order=1).jacobian)  # order 1 has one
        gradient = (jacobian - batch["gradient"]).square().sum((1, 2)).mean()
        colour = (field(batch["xy"]).value - batch["colour"]).square().sum(1).mean()
        return {
            "gradient": gradient,
            "colour": colour,
            "total": self.gradient_weight * gradient + self.colour_weight * colour,
        }
