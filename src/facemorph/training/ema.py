"""Exponential moving average of named parts of a system.

Unlike Lightning's ``WeightAveraging`` it copies only the parts asked for and never writes an
average over the raw weights, so that a finished run can be continued exactly. The averages lie
apart in the checkpoint; `facemorph.storage.checkpoint.load_system` takes them for inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from facemorph.config.compose import suggestion
from facemorph.errors import ConfigError
from facemorph.storage.checkpoint import AVERAGES


class EMA(Callback):
    """Average parameters after every batch; buffers are copied.

    Args:
        modules: Names of the parts, such as ``["generator"]``; an empty name is the whole system.
        decay: Weight of the old average.
        warm_up: Lower the decay at first to (1 + n) / (10 + n) after n batches.

    Raises:
        ConfigError: The decay is not in [0, 1), or (at the start) the system has no such part.
    """

    def __init__(self, modules: Sequence[str], decay: float = 0.999, warm_up: bool = True) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(
                "the decay is out of range", where="ema.decay", expected="[0, 1)", found=decay
            )
        self.modules, self.decay, self.warm_up = list(modules), decay, warm_up
        self.averages: dict[str, Tensor] = {}
        self.num_updates = 0
        self._pairs: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._copies: list[tuple[Tensor, Tensor]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pair every averaged tensor with the live one; a resumed run brings its averages along."""
        parts = dict(pl_module.named_modules())
        live: dict[str, Tensor] = {}
        for name in self.modules:
            if name not in parts:
                raise ConfigError(
                    "the system has no such part",
                    where="ema.modules",
                    found=name,
                    remedy=suggestion(name, [n for n in parts if n and "." not in n]),
                )
            live |= parts[name].state_dict(prefix=f"{name}." if name else "", keep_vars=True)
        self.averages = {
            name: self.averages.get(name, tensor).detach().to(tensor.device, copy=True)
            for name, tensor in live.items()
        }
        learnt = [name for name, tensor in live.items() if tensor.requires_grad]
        self._pairs = [self.averages[n] for n in learnt], [live[n].detach() for n in learnt]
        self._copies = [(self.averages[n], t) for n, t in live.items() if not t.requires_grad]

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the averages towards the weights."""
        self.num_updates += 1
        decay = self.decay
        if self.warm_up:
            decay = min(decay, (1 + self.num_updates) / (10 + self.num_updates))
        averages, live = self._pairs
        if averages:
            torch._foreach_lerp_(averages, live, 1 - decay)
        for average, tensor in self._copies:
            average.copy_(tensor)

    def state_dict(self) -> dict[str, Any]:
        """The averages and how many batches they have seen."""
        return {AVERAGES: self.averages, "num_updates": self.num_updates}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the averages of a checkpoint."""
        self.averages, self.num_updates = dict(state_dict[AVERAGES]), state_dict["num_updates"]
