"""VariTex: Variational Neural Face Textures (Buehler et al., ICCV 2021), its training.

A picture becomes a code; half of the code becomes a neural texture, which a mesh shows in any pose,
the other half hair, mouth and surroundings; a renderer makes a picture of both.

| what | where |
|---|---|
| generator, its parts | ``generator``, ``encoder``, ``decoders``, ``renderer`` |
| discriminator of patches | ``discriminator`` |
| losses, by equation | ``losses`` |
| colours, backgrounds, places | ``spaces`` |
| batches, and the released code's names for them | ``face_batches`` |
| the authors' data set; sets of one's own | ``uv_files``; ``uv_faces`` |
| people from several sides | ``people_sheet`` |
| the authors' checkpoint | ``published_weights`` |

One step of the generator, then one of the discriminator, Adam for both.

Departures from the released code, each undone by ``parity=true``: the discriminator judges the
pictures of the generator's own step (the code runs the generator a second time, which updates the
batch statistics twice); places are not rounded to 8 bits; the background is black (the code's is
the least normalised value of each picture); the loss's ``direction``, ``warm_up`` and ``free_bits``
may be others than the code's. Pictures are shown, and validated, in evaluation mode. Any morphable
model, in the place of the Basel Face Model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics.functional.image import structural_similarity_index_measure

from facemorph.engine.adversarial import AdversarialSystem, Part, Phase
from facemorph.engine.loss_networks import LEAST, chosen_distance
from facemorph.engine.step_noise import StepNoise
from facemorph.engine.system_data import data_of
from facemorph.errors import ConfigError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.model_files import load_model
from facemorph.losses.adversarial import r1_penalty
from facemorph.metrics.feature_networks import Network
from facemorph.systems.varitex.encoder import Posterior
from facemorph.systems.varitex.face_batches import UVBatches, VariTexBatch
from facemorph.systems.varitex.generator import COLOURS, VariTexGenerator, VariTexOutput
from facemorph.systems.varitex.losses import (
    DIRECTIONS,
    Discriminator,
    VariTexLoss,
    divergence,
    published_perceptual,
)
from facemorph.systems.varitex.people_sheet import sheet_of, turned_people
from facemorph.systems.varitex.spaces import normalised, published_background, published_uv

SHOWN = 8  # faces on a sheet
SHEET = "people.png"
PLACES = 3  # channels of a discriminator's conditions: u, v, mask
PUBLISHED = {"direction": "reverse", "warm_up": 0, "free_bits": 0.0}  # of the loss


class VariTex(AdversarialSystem):
    """Trains VariTex.

    Args:
        generator: See `VariTexGenerator`.
        discriminator: Of colours, `VariTexDiscriminator` as published; with six channels it sees
            places and mask of the mesh beside them; None where no term of the loss needs it.
        loss: Makes the loss when it is given the distance of features; the published weights where
            None.
        perceptual: Network of the distance of features: ``vgg19`` as published; None where no term
            of the loss needs it.
        perceptual_file: File of its weights: for ``vgg19`` torchvision's ``vgg19-dcbb9e9d.pth``.
        learning_rate: Of Adam, for the generator.
        discriminator_rate: Of Adam, for the discriminator.
        r1_weight: Gamma of a gradient penalty; 0, as published, leaves it out.
        r1_interval: Batches from one penalty to the next.
        keep_background: Learn the background too, in the place of a black one.
        parity: Train as the authors' code does, see the module.
        model: Morphable model of the places, to show other poses; None where it is not at hand.
        micro_batches: As of `AdversarialSystem`; batch statistics are those of a part.
        seed: Likewise.

    Raises:
        ConfigError: The discriminator's channels are others, or a number is out of range.
    """

    training_only = ("discriminator", "loss", "perceptual", "perceptual_file")

    def __init__(
        self,
        generator: VariTexGenerator,
        discriminator: nn.Module | None = None,
        loss: Callable[..., VariTexLoss] | None = None,
        perceptual: Network | None = "vgg19",
        perceptual_file: str | None = None,
        learning_rate: float = 1e-3,
        discriminator_rate: float = 1e-3,
        r1_weight: float = 0.0,
        r1_interval: int = 16,
        keep_background: bool = False,
        parity: bool = False,
        model: str | None = "makehuman",
        micro_batches: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(micro_batches, seed)
        if discriminator is not None and discriminator.channels_in not in (
            COLOURS,
            COLOURS + PLACES,
        ):
            raise ConfigError(
                "the discriminator sees something else",
                where="system.discriminator.channels_in",
                expected=f"{COLOURS}, or {COLOURS + PLACES} with places and mask",
                found=discriminator.channels_in,
            )
        for name, value, least in (("r1_weight", r1_weight, 0), ("r1_interval", r1_interval, 1)):
            if value < least:
                raise ConfigError(
                    "out of range", where=f"system.{name}", expected=f">= {least}", found=value
                )
        self.generator, self.discriminator = generator, discriminator
        self.loss = VariTexLoss if loss is None else loss
        self.perceptual, self.perceptual_file = perceptual, perceptual_file
        self.learning_rate, self.discriminator_rate = learning_rate, discriminator_rate
        self.r1_weight, self.r1_interval = 0.0 if parity else r1_weight, r1_interval
        self.keep_background, self.parity, self.model_name = keep_background, parity, model
        # In a list: its feature network is no part of the system's weights.
        self._losses: list[VariTexLoss] = []

    # ------------------------------------------------------------
    # pictures
    def forward(self, codes: Tensor, uv: Tensor, uv_mask: Tensor) -> VariTexOutput:
        """People shown in places.

        Args:
            codes: ``(B, Z)``, or one ``(1, Z)`` for all.
            uv: ``(B, 2, S, S)`` in [0, 1].
            uv_mask: ``(B, 1, S, S)``.
        """
        return self.generator.decode(codes, uv, uv_mask)

    def filled(self, pictures: Tensor, masks: Tensor) -> Tensor:
        """Pictures ``(B, 3, S, S)`` in [0, 1] with the background that this system knows.

        Args:
            pictures: With any background.
            masks: ``(B, 1, S, S)`` bool, where they show the person.
        """
        if self.keep_background:
            return pictures
        if self.parity:
            return published_background(pictures, masks)
        return pictures * masks

    def encode(self, batch: VariTexBatch) -> Posterior:
        """Distributions of the codes of a batch's sources."""
        return self.generator.encode(self.filled(batch["source"], batch["source_mask"]))

    def sample_grid(self) -> Tensor:
        """A sheet ``(3, H, W)`` of faces: what the encoder sees, what is to be shown, what is
        shown, the mask that is to be and is, the places, random people in the same places.
        """
        shown: Any = self._data().shown(SHOWN)
        moved: Any = {name: one.to(self.device) for name, one in shown.items()}
        batch: VariTexBatch = moved
        uv, uv_mask = batch["uv"], batch["uv_mask"]
        output = self(self.encode(batch).mean, uv, uv_mask)
        size, draw = sum(self.generator.code_sizes), torch.Generator().manual_seed(0)
        random = torch.randn(len(uv), size, generator=draw).to(self.device)
        rows = (
            self.filled(batch["source"], batch["source_mask"]),
            self.filled(batch["picture"], batch["mask"]),
            output.picture,
            batch["mask"].expand(-1, 3, -1, -1),
            output.mask.expand(-1, 3, -1, -1),
            torch.cat([uv, torch.ones_like(uv[:, :1])], 1) * uv_mask,
            self(random, uv, uv_mask).picture,
        )
        return sheet_of([list(one) for one in rows])

    def infer(
        self,
        output: Path,
        *,
        count: int = 4,
        seed: int = 0,
        spread: float = 1.0,
        model: str | None = None,
    ) -> list[Path]:
        """Write a sheet of random people, each in a row, turned from -45 to 45 degrees.

        Args:
            output: Folder.
            count: How many.
            seed: Decides who they are; each has its own.
            spread: Factor of the codes' and shapes' deviation from the mean.
            model: Morphable model, where the system's is a file in another place.

        Raises:
            ConfigError: No model is known.
        """
        name = model or self.model_name
        if name is None:
            raise ConfigError(
                "showing poses needs the morphable model of the places",
                where="model",
                remedy="Give its file with +model=FILE.",
            )
        sheet = turned_people(self.generator, load_model(name), count, seed, spread)
        output.mkdir(parents=True, exist_ok=True)
        return [save_image(sheet, output / SHEET, synthetic=True)]

    # ------------------------------------------------------------
    # training
    def setup(self, stage: str) -> None:
        """Make the loss, with a feature network that is no part of the checkpoint, and see that
        system and data fit.

        Raises:
            ConfigError: They do not, or the loss lacks a network.
            MissingExtra: The weights of the feature network are not there.
        """
        if stage != "fit":
            return
        data, side = self._data(), self.generator.picture_size
        for name, found, expected in (
            ("system.model", self.model_name, data.model),
            ("data.size", data.size, side),
        ):
            if found != expected:
                raise ConfigError(
                    "system and data do not fit together",
                    where=name,
                    expected=expected,
                    found=found,
                )
        distance = chosen_distance(self.perceptual, self.perceptual_file, published_perceptual)
        published: dict[str, Any] = PUBLISHED if self.parity else {}
        loss = self.loss(perceptual=distance, **published)
        if loss.judges and self.discriminator is None:
            raise ConfigError("the loss needs a discriminator", where="system.discriminator")
        if self.perceptual == "vgg19" and loss.weights["perceptual"] and side < LEAST:
            raise ConfigError(
                "the pictures are too small for VGG19",
                where="system.generator.picture_size",
                expected=f"{LEAST} or more",
                found=side,
            )
        self._losses = [loss.to(self.trainer.strategy.root_device)]

    def _data(self) -> UVBatches:
        needs = "pictures with the places of a mesh"
        return data_of(self, UVBatches, needs, "data=uv_faces or data=uv_files")

    def phases(self) -> Sequence[Phase]:
        """The generator's step, the discriminator's, and its lazy gradient penalty."""
        found = [Phase("generator", "generator", self.generator_loss)]
        if self._losses[0].weights["adversarial"]:
            judge = "discriminator"
            found.append(Phase("discriminator", judge, self.discriminator_loss))
            if self.r1_weight:
                found.append(Phase("r1", judge, self.r1_loss, self.r1_interval))
        return found

    def frozen_in(self, network: str) -> Sequence[str]:
        """The discriminator, while the generator moves."""
        both = network == "generator" and self.discriminator is not None
        return ("discriminator",) if both else ()

    def optimizers_of(self) -> dict[str, Optimizer]:
        """Adam for each network."""
        networks = {
            "generator": (self.generator, self.learning_rate),
            "discriminator": (self.discriminator, self.discriminator_rate),
        }
        return {
            name: torch.optim.Adam(network.parameters(), rate)
            for name, (network, rate) in networks.items()
            if network is not None
        }

    def _made(self, part: Part, name: str) -> tuple[VariTexOutput, Posterior]:
        """Targets of a part made of codes of its sources.

        Args:
            part: Of the batch.
            name: Of the codes' random numbers.
        """
        batch: VariTexBatch = part.batch
        noise = part.noise.normal(name, sum(self.generator.code_sizes))
        posterior = self.encode(batch)
        return self.generator.decode(posterior.code(noise), *self._places(batch)), posterior

    def _places(self, batch: VariTexBatch) -> tuple[Tensor, Tensor]:
        places = batch["uv"], batch["uv_mask"]
        return published_uv(*places) if self.parity else places

    def _judge(self, batch: VariTexBatch) -> Discriminator:
        """The discriminator, with the places of a batch where it takes them."""
        judge = self.discriminator
        if judge is None:
            raise ConfigError("there is no discriminator", where="system.discriminator")
        if judge.channels_in == COLOURS:
            return judge
        uv, uv_mask = self._places(batch)
        places = torch.cat([(2 * uv - 1) * uv_mask, uv_mask.to(uv.dtype)], 1)
        return lambda colours: judge(torch.cat([colours, places], 1))

    def generator_loss(self, part: Part) -> Tensor:
        """All terms; the colours are kept for the discriminator."""
        output, posterior = self._made(part, "code")
        part.kept["colours"] = output.colours.detach()
        batch: VariTexBatch = part.batch
        loss = self._losses[0]
        terms = loss.generator(
            output,
            posterior,
            self.filled(batch["picture"], batch["mask"]),
            batch["mask"],
            self._judge(batch) if loss.judges else _nobody,
            part.step,
        )
        for name, value in terms.items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "total")
        for direction in DIRECTIONS:
            value = divergence(posterior, direction).mean().detach()  # type: ignore[arg-type]
            self.log(f"train/divergence_{direction}", value)
        return terms["total"]

    def discriminator_loss(self, part: Part) -> Tensor:
        """Of real colours, and of those that the generator was just judged by; in the released
        code, of those of a second pass with other codes.
        """
        batch: VariTexBatch = part.batch
        colours: Tensor = part.kept["colours"]
        if self.parity:
            with torch.no_grad():
                colours = self._made(part, "second code")[0].colours
        real = self.filled(batch["picture"], batch["mask"])
        return self._losses[0].discriminator(colours, real, self._judge(batch))["total"]

    def r1_loss(self, part: Part) -> Tensor:
        """Gradient penalty on real colours, in full precision; that of patches is their mean."""
        batch: VariTexBatch = part.batch
        with torch.autocast(self.device.type, enabled=False):
            colours = normalised(self.filled(batch["picture"], batch["mask"]))
            colours = colours.detach().requires_grad_()
            found = self._judge(batch)(colours)
            scores = torch.cat([one.scores.flatten(1) for one in found], 1)
            # Patches hardly overlap: the square of their sum's gradient is the sum of their
            # squares.
            penalty = r1_penalty(scores / scores.shape[1] ** 0.5, colours)
        return self.r1_weight / 2 * penalty

    def validation_step(self, batch: VariTexBatch, batch_idx: int) -> None:
        """Agreement with the targets, of the mean codes and, as the released code measures it, of
        drawn ones; the codes' divergences.
        """
        target = self.filled(batch["picture"], batch["mask"]).clamp(0, 1)
        posterior, count = self.encode(batch), len(target)
        noise = StepNoise(self.seed, batch_idx, torch.arange(count), count, self.device)
        drawn = posterior.code(noise.normal("validation", posterior.mean.shape[1]))
        found: dict[str, Tensor] = {}
        for suffix, codes in (("", posterior.mean), ("_drawn", drawn)):
            picture = self(codes, batch["uv"], batch["uv_mask"]).picture.clamp(0, 1).float()
            error = (picture - target).square().mean((1, 2, 3)).clamp(min=1e-8)
            found[f"psnr{suffix}"] = -10 * error.log10().mean()
            similarity = structural_similarity_index_measure(picture, target, data_range=1.0)
            found[f"ssim{suffix}"] = torch.as_tensor(similarity)
        for direction in DIRECTIONS:
            values = divergence(posterior, direction)  # type: ignore[arg-type]
            found[f"divergence_{direction}"] = values.mean()
        for name, value in found.items():
            shown = name == "psnr"
            self.log(f"val/{name}", value, prog_bar=shown, batch_size=count, sync_dist=True)


def _nobody(colours: Tensor) -> Any:
    raise ConfigError("there is no discriminator", where="system.discriminator")
