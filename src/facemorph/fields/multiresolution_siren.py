"""A picture as a sum of sine networks of rising frequency, trained level by level.

Source: Paz et al., MRNet: multiresolution sinusoidal neural networks (2022), from memory of its
idea: stages of rising bandwidth are added one by one, each fitted to the next finer level of an
image pyramid while the earlier ones stay as they are. The ifmorph project can read such pictures
through an optional submodule that its repository does not name; so its files are not read here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.fields.image_fields import SirenImage
from facemorph.ops.jets import Jet


class MultiresolutionSiren(nn.Module):
    """``sum_k N_k(x)`` over the stages that have begun.

    Args:
        omegas: Angular frequency of each stage, rising.
        hidden_features: Width of each hidden layer of a stage.

    Raises:
        ConfigError: The frequencies do not rise.
    """

    active: Tensor

    def __init__(
        self,
        omegas: Sequence[float] = (20.0, 50.0, 100.0),
        hidden_features: Sequence[int] = (128, 128),
    ) -> None:
        super().__init__()
        if not omegas or list(omegas) != sorted(set(omegas)):
            raise ConfigError(
                "stages need rising frequencies",
                where="omegas",
                expected="rising positive numbers",
                found=list(omegas),
            )
        stages = [SirenImage(hidden_features, omega) for omega in omegas]
        for stage in stages[1:]:
            with torch.no_grad():  # a new stage adds nothing at its start
                for parameter in stage.layers[-1].parameters():
                    parameter.zero_()
        self.stages = nn.ModuleList(stages)
        self.register_buffer("active", torch.tensor(len(self.stages)))

    def begin_stage(self, stage: int) -> None:
        """Add stages up to ``stage``, from 0; only the newest is trained."""
        stage = min(stage, len(self.stages) - 1)
        self.active.fill_(stage + 1)
        for index, one in enumerate(self.stages):
            one.requires_grad_(index == stage)

    def forward(self, xy: Tensor, *, order: int = 0) -> Jet:
        """Jet of the picture at ``xy`` (N, 2): colours ``(N, 3)`` and, with ``order`` 1, their
        Jacobian.
        """
        jets = [stage(xy, order=order) for stage in self.stages[: int(self.active)]]
        value = sum((jet.value for jet in jets[1:]), start=jets[0].value)
        if order == 0:
            return Jet(value)
        return Jet(value, sum((jet.jacobian for jet in jets[1:]), start=jets[0].jacobian))
