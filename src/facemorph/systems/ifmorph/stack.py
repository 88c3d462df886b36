"""Neural warps of many pairs, trained as one stacked batch.

One small network for each pair leaves a GPU idle: its kernels are too short. Here the weights of
all pairs are stacked along a new first axis and one step moves them all. Every pair sees the same
samples, weights and step sizes as it would in a training of its own by
``facemorph.systems.ifmorph.system.NeuralWarp`` with the same seed, and Adam works on each number
apart: so the losses are those of separate trainings up to rounding
(tests/reference/test_warp_stack.py).

Source: Schardong et al., Neural Implicit Morphing of Face Images (CVPR 2024); their code trains
pairs as separate processes on one GPU (``--n-tasks``).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.func import functional_call, vmap

from facemorph.engine.optimizers import adam_with_schedule
from facemorph.errors import ConfigError, DataError
from facemorph.systems.ifmorph.losses import NeuralMorphingLoss, WarpBatch


class _LossOf(nn.Module):
    """The loss as a function of the warp's weights, for ``functional_call``."""

    def __init__(self, warp: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        self.warp, self.loss = warp, loss

    def forward(self, batch: WarpBatch, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = self.loss(
            self.warp, batch["still"], batch["moving"], source, target
        )
        return terms


class NeuralWarpStack(LightningModule):
    """Trains one warp for each pair of a ``LandmarkPairs``.

    Args:
        warp: The warp that every pair begins with.
        loss: Loss of each pair, one that fits the warp; ifmorph's when None.
        border_anchors: See ``NeuralWarp``.
        learning_rate: See ``NeuralWarp``.
        schedule: See ``NeuralWarp``.

    Raises:
        ConfigError: The warp has nothing to train.
    """

    def __init__(
        self,
        warp: nn.Module,
        loss: nn.Module | None = None,
        border_anchors: int = 4,
        learning_rate: float = 2e-3,
        schedule: str = "cosine",
    ) -> None:
        super().__init__()
        if not any(True for _ in warp.parameters()):
            raise ConfigError(
                "only a trained warp can be stacked",
                where="system.warp",
                found=type(warp).__name__,
                expected="a network",
                remedy="Closed forms are fitted one by one.",
            )
        self.border_anchors, self.learning_rate, self.schedule = (
            border_anchors,
            learning_rate,
            schedule,
        )
        # Not a submodule: its weights are only the start, and the shape of a call.
        self._template = [_LossOf(warp, NeuralMorphingLoss() if loss is None else loss)]
        self.weights = nn.ParameterDict()
        self.source: Tensor
        self.target: Tensor
        self.register_buffer("source", torch.empty(0, 0, 2), persistent=False)
        self.register_buffer("target", torch.empty(0, 0, 2), persistent=False)

    def setup(self, stage: str) -> None:
        """Take over the pairs before training."""
        if stage == "fit":
            self.take_pairs(self.trainer.datamodule)  # type: ignore[attr-defined]

    def take_pairs(self, datamodule: object) -> None:
        """Take over the landmarks of a ``LandmarkPairs``, and make the weights of all pairs.

        Raises:
            DataError: Pairs differ in frame or number of landmarks.
        """
        found = [pair.landmarks() for pair in datamodule.pairs]  # type: ignore[attr-defined]
        if len({(len(source), frame) for source, _, frame in found}) != 1:
            raise DataError(
                "these pairs cannot be stacked",
                expected="one frame and one number of landmarks",
                found=sorted({f"{len(s)} points in {f.width} x {f.height}" for s, _, f in found}),
                remedy="Stack pairs of one landmark scheme, cut alike.",
            )
        frame = found[0][2]
        ends = []
        for index in (0, 1):
            points = torch.stack([landmarks[index] for landmarks in found]).float()
            if self.border_anchors:
                anchors = frame.border_anchors(self.border_anchors).to(points)
                points = torch.cat([points, anchors.expand(len(found), *anchors.shape)], 1)
            ends.append(points.to(self.device))
        self.source, self.target = ends
        for name, value in self._template[0].named_parameters():
            stacked = value.detach().expand(len(found), *value.shape).clone()
            self.weights[name.replace(".", "/")] = nn.Parameter(stacked.to(self.device))

    def losses(self, batch: WarpBatch) -> dict[str, Tensor]:
        """Terms and total of every pair: each ``(B,)``."""
        template = self._template[0]

        def one(weights: dict[str, Tensor], source: Tensor, target: Tensor) -> dict[str, Tensor]:
            terms: dict[str, Tensor] = functional_call(template, weights, (batch, source, target))
            return terms

        stacked = {name.replace("/", "."): value for name, value in self.weights.items()}
        return vmap(one)(stacked, self.source, self.target)

    def training_step(self, batch: WarpBatch, batch_idx: int) -> Tensor:
        """The sum of all pairs' losses: each pair's gradient is that of its own loss alone."""
        terms = self.losses(batch)
        self.log_dict({f"train/{name}": value.mean() for name, value in terms.items()})
        return terms["total"].sum()

    def configure_optimizers(self) -> Any:
        """Adam on all weights."""
        return adam_with_schedule(
            self.weights.parameters(),
            self.learning_rate,
            self.schedule,
            int(self.trainer.estimated_stepping_batches),
        )

    def warps(self) -> list[nn.Module]:
        """One trained warp for each pair, in their order, on the CPU."""
        found = []
        for index in range(len(self.source)):
            made = copy.deepcopy(self._template[0])
            made.load_state_dict(
                {
                    name.replace("/", "."): value[index].detach().cpu()
                    for name, value in self.weights.items()
                }
            )
            found.append(made.warp.eval())
        return found
