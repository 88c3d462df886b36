"""What systems with adversaries have in common: phases in turn, each with its own network to move.

A *phase* is one kind of optimizer step: the discriminator's, its gradient penalty every so many
batches, the generator's, its path length penalty. A system lists its phases as data; this module
runs those that are due, with micro-batches, averages the gradients of all processes itself, and
watches for a training that stands still.

Departures from what published trainings do: gradients are averaged by one reduction of the one
network that moves, after all micro-batches, which is right with double backward passes and needs no
wrapper around the networks; a lazy penalty is weighted with its interval (Karras et al. 2020, app.
B) unless a phase says otherwise; random numbers belong to the rows of the whole batch, so that the
number of processes or micro-batches does not change what is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from facemorph.data.resumable import part_of_rank
from facemorph.engine.augmentation import JointAugmentation
from facemorph.engine.compiled_terms import CompiledNetworks
from facemorph.engine.stall_watch import StallWatch
from facemorph.engine.step_noise import StepNoise
from facemorph.errors import ConfigError
from facemorph.storage.checkpoint import check_same_parts
from facemorph.training.budget import batches_done, num_images

NETWORKS = ("generator", "discriminator")
VARIANT = "system.conditions, generator and discriminator"


@dataclass
class Part:
    """Some rows of one step's batch, and what phases share about them.

    Attributes:
        batch: Those rows.
        noise: Their random numbers.
        step: Number of the batch, from 0.
        kept: What an earlier phase of this step made and a later one may use again, such as the
            generator's pictures with their graph.
    """

    batch: Any
    noise: StepNoise
    step: int
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """One kind of optimizer step.

    Attributes:
        name: Of the phase, for logs and messages.
        network: Name of the optimizer, and of the module that it moves.
        loss: The scalar to minimise, of one part of a batch.
        interval: Batches from one such step to the next.
        gain: Factor of the loss; None takes the interval, as lazy penalties need it.
        clip: Largest norm of the gradients.
        active: Whether the phase takes place, asked before each.
    """

    name: str
    network: str
    loss: Callable[[Part], Tensor]
    interval: int = 1
    gain: float | None = None
    clip: float | None = None
    active: Callable[[], bool] | None = None

    def is_due(self, step: int) -> bool:
        """Whether it takes place in a batch."""
        return step % self.interval == 0 and (self.active is None or self.active())


class AdversarialSystem(LightningModule):
    """Base of systems whose networks are trained in turn.

    A subclass lists its `phases` and `optimizers_of`; the first names the networks too.

    Args:
        micro_batches: Parts that a batch is divided into, for less memory; the gradients are those
            of the whole batch.
        seed: Of the random numbers of its steps.
        watch: Says when the training stands still; None says nothing.
        compile: Compile the networks (``torch.compile``) for the phases without a second
            derivative: some minutes once, then faster steps on GPUs. Needs a C++ compiler on CPUs.

    Raises:
        ConfigError: ``micro_batches`` is below 1.
    """

    synchronizes_gradients = True  # processes need no wrapper around it, see `GradientSync`

    def __init__(
        self,
        micro_batches: int = 1,
        seed: int = 0,
        watch: StallWatch | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if micro_batches < 1:
            raise ConfigError(
                "a batch has at least one part",
                where="system.micro_batches",
                expected="1 or more",
                found=micro_batches,
            )
        self.automatic_optimization = False
        self.micro_batches, self.seed, self.watch = micro_batches, seed, watch
        self.compiled = CompiledNetworks(compile)
        self.register_load_state_dict_pre_hook(_of_the_same_networks)

    def phases(self) -> Sequence[Phase]:
        """The phases, in their order within a batch."""
        raise NotImplementedError

    def optimizers_of(self) -> dict[str, Optimizer]:
        """The optimizer of each network, by its name."""
        raise NotImplementedError

    def configure_optimizers(self) -> list[Optimizer]:
        """Lightning's list of the optimizers, in the order of `optimizers_of`."""
        found = self.optimizers_of()
        self._names = list(found)
        return list(found.values())

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Run the phases that are due.

        Raises:
            ConfigError: The batch does not divide into the micro-batches.
        """
        step = batches_done(self.trainer) - 1
        parts = self._parts(batch, step)
        optimizers: Any = self.optimizers(use_pl_optimizer=True)
        each = optimizers if isinstance(optimizers, list) else [optimizers]
        by_name = dict(zip(self._names, each, strict=True))
        for phase in self.phases():
            if phase.is_due(step):
                self._run(phase, parts, by_name[phase.network])
        for part in self.children():
            if isinstance(part, JointAugmentation):
                part.settle()
        if self.watch is not None and self.trainer.is_global_zero:
            self.watch.look(self.trainer.callback_metrics, step)

    def _parts(self, batch: Any, step: int) -> list[Part]:
        rows, ranks = num_images(batch), self.trainer.world_size
        if rows % self.micro_batches:
            raise ConfigError(
                "the batch of a process does not divide into micro-batches",
                where="system.micro_batches",
                expected=f"a divisor of {rows}",
                found=self.micro_batches,
                remedy="Change data.batch_size or system.micro_batches.",
            )
        own = torch.arange(rows) * ranks + self.trainer.global_rank
        noise = StepNoise(self.seed, step, own, rows * ranks, self.device)
        parts = self.micro_batches
        return [
            Part(part_of_rank(batch, index, parts), noise.part(index, parts), step)
            for index in range(parts)
        ]

    def _run(self, phase: Phase, parts: Sequence[Part], optimizer: Any) -> None:
        """One optimizer step of a phase."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.zero_grad(set_to_none=True)
        gain = phase.interval if phase.gain is None else phase.gain
        total: Tensor | None = None
        with self._only(phase.network):
            for part in parts:
                loss = phase.loss(part) * (gain / len(parts))
                self.manual_backward(loss)
                total = loss.detach() if total is None else total + loss.detach()
        average_gradients(parameters)
        if phase.clip is not None:
            self.clip_gradients(
                optimizer, gradient_clip_val=phase.clip, gradient_clip_algorithm="norm"
            )
        optimizer.step()
        if total is not None:
            self.log(f"train/{phase.name}", total)

    @contextmanager
    def _only(self, network: str) -> Iterator[None]:
        """Inside, no other adversary's weights collect gradients.

        The generator is left alone: the discriminator's phase may keep its pictures, with their
        graph, for the generator's.
        """
        others = [
            parameter
            for name in self.frozen_in(network)
            for parameter in getattr(self, name).parameters()
            if parameter.requires_grad
        ]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def frozen_in(self, network: str) -> Sequence[str]:
        """Modules whose weights need no gradients in the phases of a network."""
        return ()


def _of_the_same_networks(system: AdversarialSystem, state: dict[str, Tensor], *_: object) -> None:
    """Before weights are loaded: no networks of another variant.

    Raises:
        CheckpointError: The checkpoint's networks have other parts or shapes.
    """

    def networks(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: value for name, value in weights.items() if name.partition(".")[0] in NETWORKS
        }

    check_same_parts(networks(system.state_dict()), networks(state), VARIANT)


def channels_last(network: nn.Module) -> None:
    """Keep the filters of a network in the order in which convolutions are fast: GPUs, and small
    ones on CPUs.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Make the gradients of all processes their mean, in one reduction; nothing to do in one.

    A parameter without a gradient in one process counts as 0 there; one without in all stays so,
    as optimizers make a difference between none and 0.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    with torch.no_grad():
        present = [parameter.grad is not None for parameter in parameters]
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in parameters
        ]
        flags = gradients[0].new_tensor(present)
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), flags])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        *pieces, flags = flat.split([*(one.numel() for one in gradients), len(parameters)])
        for parameter, piece, flag in zip(parameters, pieces, flags.tolist(), strict=True):
            parameter.grad = piece.view_as(parameter).clone() if flag > 0 else None
