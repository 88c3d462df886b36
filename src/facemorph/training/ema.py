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
from facemorph.training.budget import num_images


class EMA(Callback):
    """Average parameters after every batch; buffers are copied.

    Args:
        modules: Names of the parts, such as ``["generator"]``; an empty name is the whole system.
        decay: Weight of the old average.
        warm_up: Lower the decay at first to (1 + n) / (10 + n) after n batches; with
            ``half_life_images``, let the half-life be at most a twentieth of the images seen.
        half_life_images: Images after which the weight of an old average is halved, so that the
            average does not depend on the batch size (Karras et al. 2020: 10,000); in the place of
            ``decay``.

    Raises:
        ConfigError: The decay is not in [0, 1), the half-life is not positive, or (at the start)
            the system has no such part.
    """

    def __init__(
        self,
        modules: Sequence[str],
        decay: float = 0.999,
        warm_up: bool = True,
        half_life_images: float | None = None,
    ) -> None:
        if half_life_images is not None and not half_life_images > 0:
            raise ConfigError(
                "the half-life must be positive",
                where="ema.half_life_images",
                found=half_life_images,
            )
        if not 0 <= decay < 1:
            raise ConfigError(
                "the decay is out of range", where="ema.decay", expected="[0, 1)", found=decay
            )
        self.modules, self.decay, self.warm_up = list(modules), decay, warm_up
        self.averages: dict[str, Tensor] = {}
        self.half_life_images, self.num_updates, self.images = half_life_images, 0, 0
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
        by_images = self.half_life_images is not None
        decay = self._next_decay(num_images(batch) * trainer.world_size if by_images else 0)
        averages, live = self._pairs
        if averages:
            torch._foreach_lerp_(averages, live, 1 - decay)
        for average, tensor in self._copies:
            average.copy_(tensor)

    def _next_decay(self, images: int) -> float:
        self.num_updates += 1
        self.images += images
        if self.half_life_images is not None:
            half_life = self.half_life_images
            if self.warm_up:
                half_life = min(half_life, self.images / 20)
            return float(0.5 ** (images / half_life))
        if self.warm_up:
            return min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        return self.decay

    def state_dict(self) -> dict[str, Any]:
        """The averages and how many batches and images they have seen."""
        counts = {"num_updates": self.num_updates, "images": self.images}
        return {AVERAGES: self.averages, **counts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the averages of a checkpoint."""
        self.averages, self.num_updates = dict(state_dict[AVERAGES]), state_dict["num_updates"]
        self.images = state_dict.get("images", 0)
