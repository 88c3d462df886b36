"""What small generators of faces under the control of a 3-D model have in common: reconstruction
first, an adversary late.

A subclass says what codes are and how they are told of photographs; pictures of codes and of
rendered conditions, losses and phases are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facemorph.data.condition_set import ConditionedBatch, ConditionedFaces, at_size, held_out
from facemorph.engine.adversarial import AdversarialSystem, Part, Phase, channels_last
from facemorph.engine.augmentation import JointAugmentation
from facemorph.engine.optimizers import falling
from facemorph.engine.people import PeopleModel
from facemorph.engine.portraits import write_portraits
from facemorph.engine.stall_watch import StallWatch, accuracy, spread_of
from facemorph.engine.system_data import check_ranges
from facemorph.errors import ConfigError
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.losses.adversarial import (
    feature_matching,
    logistic_discriminator,
    logistic_generator,
    r1_penalty,
)
from facemorph.losses.reconstruction import reconstruction
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.training.budget import budget_of

CLIP = 10.0
JUDGED = 7  # channels of the conditions that the adversary sees
SHOWN, SHEET = 24, 8  # random people on a sheet, and in a row of it


class ConditionedGenerator(AdversarialSystem):
    """Base of systems that train a generator of faces by reconstruction, and by an adversary late.

    A subclass says what stands under the first heading, fits ``people`` and calls `show_later`. Its
    ``generator`` has a ``code`` and a ``resolution``; its ``encoder`` tells codes of photographs,
    conditions and lights.

    Args:
        generator: Makes pictures ``(B, 3, S, S)`` of codes ``(B, C)`` and conditions.
        discriminator: Judges pictures beside their conditions; None trains by reconstruction alone.
        augmentation: Of what the discriminator sees.
        learning_rate: Of the generator.
        discriminator_rate: Of the discriminator.
        outside: Weight of a pixel off the head, against one on it.
        reconstruction_weight: Of the reconstruction.
        adversarial_weight: Of the adversary's opinion.
        feature_weight: Of the agreement of a patch discriminator's features.
        adversarial_from: Share of the budget after which the adversary takes part.
        r1_weight: Gamma of the gradient penalty.
        r1_interval: Batches from one penalty to the next.
        model: Morphable model of the training set.
        micro_batches: As of `AdversarialSystem`.
        seed: Likewise.
        watch: Likewise.
        compile: Likewise.

    Raises:
        ConfigError: A number is out of range.
    """

    generator: Any
    encoder: Any
    data_class: type[ConditionedFaces] = ConditionedFaces
    addition_rate = 0.03  # of the optimiser that finds an addition
    inverts_codes = False  # whether inversions move the code too
    trained_with_generator: tuple[str, ...] = ()  # other modules that move in its phase

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module | None,
        augmentation: JointAugmentation | None,
        learning_rate: float,
        discriminator_rate: float,
        outside: float,
        reconstruction_weight: float,
        adversarial_weight: float,
        feature_weight: float,
        adversarial_from: float,
        r1_weight: float,
        r1_interval: int,
        model: str,
        micro_batches: int,
        seed: int,
        watch: StallWatch | None,
        compile: bool,
    ) -> None:
        super().__init__(micro_batches, seed, watch, compile)
        self.model_name = model
        check_ranges(
            ("outside", outside, 0, 10),
            ("adversarial_from", adversarial_from, 0, 1),
            ("r1_interval", r1_interval, 1, 10**6),
        )
        self.generator, self.people = generator, PeopleModel()
        self.discriminator = discriminator
        for network in (generator, discriminator):
            if network is not None:
                channels_last(network)
        self.augmentation = augmentation or JointAugmentation()
        self.learning_rate, self.discriminator_rate = learning_rate, discriminator_rate
        self.outside = outside
        self.reconstruction_weight = reconstruction_weight
        self.adversarial_weight, self.adversarial_from = adversarial_weight, adversarial_from
        self.feature_weight = feature_weight
        self.r1_weight, self.r1_interval = r1_weight, r1_interval

    # ------------------------------------------------------------
    # what a subclass says
    def draw_codes(self, part: Part) -> Tensor:
        """Codes ``(B, C)`` that a part's pictures are to be made of, with their noise."""
        raise NotImplementedError

    def codes_of(self, batch: Any) -> Tensor:
        """Codes ``(B, C)`` of a batch's people, without noise."""
        raise NotImplementedError

    def held_out_codes(self, data: Any, split: str, places: Tensor) -> Tensor:
        """Codes ``(N, C)`` of people of a split, to measure how well others are shown by them.

        Args:
            data: A set of `data_class`, set up.
            split: Of the set.
            places: ``(N,)`` which of its faces are to be shown.
        """
        raise NotImplementedError

    def code_of_several(self, images: Tensor, conditions: Tensor, lights: Tensor) -> Tensor:
        """The code ``(1, C)`` of a person of whom there are one or more pictures.

        Args:
            images: ``(N, 3, S, S)``.
            conditions: ``(N, 9, S, S)``.
            lights: ``(N, 9, 3)``.
        """
        raise NotImplementedError

    def renderer(self, model: MorphableModel, size: int) -> ConditionRenderer:
        """What renders the conditions of the generator's pictures.

        Args:
            model: Morphable model of the parameters.
            size: Side of the pictures.
        """
        raise NotImplementedError

    def addition_shape(self) -> tuple[int, ...]:
        """Shape of what an inversion may add to one picture, beside its code."""
        raise NotImplementedError

    def with_addition(self, codes: Tensor, added: Tensor, conditions: Tensor) -> Tensor:
        """Pictures ``(B, 3, S, S)``, unclamped, of codes ``(B, C)``, with additions ``(B, ...)`` of
        `addition_shape` to what they become.
        """
        raise NotImplementedError

    def held(self, conditions: Tensor) -> Callable[[Tensor], Tensor]:
        """What makes an addition of free numbers ``(1, ...)``: holds them where the photographs of
        conditions ``(N, 9, S, S)`` show something of them.
        """
        return lambda free: free

    def whole_addition(self, added: Tensor) -> Tensor:
        """Additions ``(N, ...)`` as they are now, of a file that may be of an older version."""
        return added

    def trust(self, conditions: Tensor) -> Tensor:
        """How far pixels of photographs say something of an addition ``(B, 1, S, S)``."""
        return torch.ones_like(conditions[:, :1])

    def addition_cost(self, added: Tensor) -> Tensor:
        """How far an addition ``(1, ...)`` goes, for inversions that are to stay near."""
        raise NotImplementedError

    def further_losses(self, part: Part) -> Tensor | None:
        """What the generator minimises beside reconstruction and the adversary's opinion."""
        return None

    # ------------------------------------------------------------
    # pictures
    def forward(self, codes: Tensor, conditions: Tensor) -> Tensor:
        """Pictures ``(B, 3, S, S)`` in [0, 1] of codes ``(B, C)`` and their conditions."""
        pictures: Tensor = self.generator(codes, conditions)
        return pictures.clamp(0, 1)

    def infer(self, output: Path, *, count: int = 12, seed: int = 0) -> list[Path]:
        """Write random people from the front: a picture each, and a sheet.

        Args:
            output: Folder of the pictures.
            count: How many.
            seed: Decides who they are.
        """
        people = self.people.sample(count, torch.Generator().manual_seed(seed))
        size = self.generator.resolution
        render = self.renderer(load_model(self.model_name), size)

        def picture(codes: Tensor, parameters: FaceParameters) -> Tensor:
            return self(codes.to(self.device), render(parameters).to(self.device))

        return write_portraits(output, self.model_name, size, people, picture)

    def show_later(self, data: Any) -> None:
        """Keep the conditions of some held-out faces for sheets."""
        shown = held_out(data, SHOWN, self.generator.resolution, "conditions")
        self._shown = shown[: len(shown) // SHEET * SHEET or 1]

    def sample_grid(self) -> Tensor:
        """A sheet ``(3, H, W)`` of random people in the poses and light of held-out pictures; above
        each the render.
        """
        codes = self.people.sample(len(self._shown), torch.Generator().manual_seed(0))[0]
        conditions = self._shown.to(self.device)
        pictures = self(codes.to(conditions), conditions)
        strips = []
        for start in range(0, len(pictures), SHEET):
            rows = slice(start, start + SHEET)
            strips += [torch.cat(list(one[rows]), 2) for one in (conditions[:, :3], pictures)]
        return torch.cat(strips, 1).float().cpu()

    def held_out_pictures(self, count: int) -> Tensor:
        """At most so many pictures ``(N, 3, S, S)`` of people that are not trained on; none without
        a validation split.
        """
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        if "validation" not in data.conditioned:
            return torch.zeros(0, 3, self.generator.resolution, self.generator.resolution)
        return held_out(data, count, self.generator.resolution, "image")

    def random_pictures(self, count: int) -> Tensor:
        """Pictures ``(count, 3, S, S)`` of random people under the conditions of held-out ones."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        maps = held_out(data, count, self.generator.resolution, "conditions").to(self.device)
        draw = torch.Generator().manual_seed(0)
        codes = self.people.sample(count, draw)[0].to(maps)
        rows = torch.arange(count) % len(maps)
        parts = zip(codes.split(SHOWN), maps[rows].split(SHOWN), strict=True)
        return torch.cat([self(*part).float().cpu() for part in parts])

    # ------------------------------------------------------------
    # training
    def phases(self) -> Sequence[Phase]:
        """Discriminator, its lazy gradient penalty, generator."""
        if self.discriminator is None:
            return [Phase("generator", "generator", self.generator_loss, clip=CLIP)]
        active = self._with_adversary
        judge, judged = "discriminator", self.discriminator_loss
        return [
            Phase("discriminator", judge, judged, clip=CLIP, active=active),
            Phase("r1", judge, self.r1_loss, self.r1_interval, clip=CLIP, active=active),
            Phase("generator", "generator", self.generator_loss, clip=CLIP),
        ]

    def frozen_in(self, network: str) -> Sequence[str]:
        """The discriminator, while the generator moves."""
        return ("discriminator",) if network == "generator" and self.discriminator else ()

    def _with_adversary(self) -> bool:
        budget = budget_of(self.trainer)
        done = 1.0 if budget is None else budget.share_done(self.trainer)
        return done >= self.adversarial_from

    def optimizers_of(self) -> dict[str, Optimizer]:
        """Adam without momentum, as adversaries need it."""
        found: dict[str, Optimizer] = {
            "generator": torch.optim.Adam(self._generating(), self.learning_rate, betas=(0.5, 0.99))
        }
        if self.discriminator is not None:
            found["discriminator"] = torch.optim.Adam(
                self.discriminator.parameters(), self.discriminator_rate, betas=(0.0, 0.99)
            )
        return found

    def _generating(self) -> list[nn.Parameter]:
        names = ("generator", *self.trained_with_generator)
        return [one for name in names for one in getattr(self, name).parameters()]

    def training_step(self, batch: ConditionedBatch, batch_idx: int) -> None:
        """Lower the learning rates towards the end of the budget, and run the phases."""
        budget = budget_of(self.trainer)
        done = 0.0 if budget is None else budget.share_done(self.trainer)
        factor = falling(done)
        optimizers: Any = self.optimizers(use_pl_optimizer=False)
        each = optimizers if isinstance(optimizers, list) else [optimizers]
        for optimizer, rate in zip(
            each, (self.learning_rate, self.discriminator_rate), strict=False
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        super().training_step(at_size(batch, self.generator.resolution), batch_idx)

    def fake_of(self, part: Part) -> Tensor:
        """The generated pictures of a part, made once in a step."""
        if "fake" not in part.kept:
            codes = self.draw_codes(part)
            conditions = part.batch["conditions"].contiguous(memory_format=torch.channels_last)
            part.kept["fake"] = self.compiled(self.generator)(codes, conditions)
        fake: Tensor = part.kept["fake"]
        return fake

    def _judge(
        self, images: Tensor, conditions: Tensor, *, twice: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Scores of pictures beside their conditions, and the features below them; ``twice`` where
        they are differentiated two times.
        """
        if self.discriminator is None:
            raise ConfigError("there is no discriminator", where="system.discriminator")
        seen = torch.cat([2 * images - 1, conditions[:, :JUDGED]], 1)
        judge = self.discriminator if twice else self.compiled(self.discriminator)
        found = judge(seen.contiguous(memory_format=torch.channels_last))
        if isinstance(found, Tensor):
            return found, []
        features = [feature for one in found for feature in one.features]
        return torch.cat([one.scores.flatten(1) for one in found], 1), features

    def discriminator_loss(self, part: Part) -> Tensor:
        """Logistic loss of real and generated pictures."""
        fake, real = at_least_float(self.fake_of(part).detach()), part.batch["image"]
        maps = part.batch["conditions"]
        scores = [
            self._judge(*self.augmentation(images, maps, part.noise, name))[0]
            for name, images in (("real", real), ("fake", fake))
        ]
        self.augmentation.watch(scores[0])
        self.log("train/accuracy", accuracy(*scores))
        self.log("train/spread", spread_of(fake, real))
        return logistic_discriminator(*scores)

    def r1_loss(self, part: Part) -> Tensor:
        """Gradient penalty on real pictures, in full precision; that of patches is their mean."""
        with torch.autocast(self.device.type, enabled=False):
            images, maps = self.augmentation(
                part.batch["image"], part.batch["conditions"], part.noise, "real"
            )
            images = images.detach().requires_grad_()
            scores = self._judge(images, maps, twice=True)[0]
            # Patches hardly overlap: the square of their sum's gradient is the sum of their
            # squares.
            patches = scores[0].numel()
            penalty = r1_penalty(scores / patches**0.5, images)
        return self.r1_weight / 2 * penalty

    def generator_loss(self, part: Part) -> Tensor:
        """Reconstruction, and the adversary's opinion once it takes part."""
        fake = at_least_float(self.fake_of(part))
        real, maps = part.batch["image"], part.batch["conditions"]
        found = reconstruction(fake, real, maps[:, 6:7], self.outside)
        self.log("train/reconstruction", found.detach(), prog_bar=True)
        loss = self.reconstruction_weight * found
        if (further := self.further_losses(part)) is not None:
            loss = loss + further
        if self.discriminator is None or not self._with_adversary():
            return loss
        scores, features = self._judge(*self.augmentation(fake, maps, part.noise, "generator"))
        loss = loss + self.adversarial_weight * logistic_generator(scores)
        if features and self.feature_weight:
            with torch.no_grad():
                seen = self.augmentation(real, maps, part.noise, "generator")
                expected = self._judge(*seen)[1]
            loss = loss + self.feature_weight * feature_matching(expected, features)
        return loss

    def validation_step(self, batch: ConditionedBatch, batch_idx: int) -> None:
        """Agreement with people that the training has not seen, in dB: head, and whole picture."""
        batch = at_size(batch, self.generator.resolution)
        fake = self(self.codes_of(batch), batch["conditions"])
        error = (fake - batch["image"]).square()
        mask = batch["conditions"][:, 6:7]
        head = (error * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)).clamp(min=1))
        for name, value in (("head", head), ("picture", error.mean((1, 2, 3)))):
            decibel = -10 * value.clamp(min=1e-8).log10().mean()
            self.log(f"val/psnr_{name}", decibel, prog_bar=True, sync_dist=True)
