"""Training in several processes of systems that average their gradients themselves."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy

WRAPPERS = ("ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
DDP = f"{DDPStrategy.__module__.rpartition('.')[0]}.{DDPStrategy.__name__}"


class GradientSync(DDPStrategy):
    """Processes that start with the same weights, and no wrapper around the system.

    Lightning's own strategy wraps the whole system, which then demands that every step uses every
    parameter: with two networks in turn that is never so. Systems with ``synchronizes_gradients``
    reduce the gradients of the network that moves, see `AdversarialSystem`.
    """

    def configure_ddp(self) -> None:
        """Give all processes the weights of the first."""
        module = self.lightning_module
        if module is None:
            return
        with torch.no_grad():
            for tensor in [*module.parameters(), *module.buffers()]:
                dist.broadcast(tensor.data, 0)


def with_own_sync(trainer: dict[str, Any], system: Any) -> dict[str, Any]:
    """A trainer's config in which such a system gets `GradientSync` for DDP; unchanged for others.

    Args:
        trainer: The config, as a plain dict.
        system: The system.
    """
    strategy = trainer.get("strategy")
    if not getattr(system, "synchronizes_gradients", False):
        return trainer
    target = f"{__name__}.{GradientSync.__name__}"
    if strategy in WRAPPERS:
        return {**trainer, "strategy": {"_target_": target}}
    if isinstance(strategy, dict) and str(strategy.get("_target_")).endswith("DDPStrategy"):
        return {**trainer, "strategy": {**strategy, "_target_": target}}
    return trainer
