"""GIF: Generative Interpretable Faces (Ghosh et al., 3DV 2020).

A StyleGAN2 whose noise inputs are renders of a 3-D morphable model: textured, and normals. The
style is a fixed random vector of each training picture.

| section | where |
|---|---|
| 3.1 and 3.2, generator and discriminator | ``generator``, ``facemorph.networks.discriminators`` |
| 3.3, texture interpolation loss | ``texture_consistency`` |
| logistic loss, R1, path length | ``facemorph.losses.adversarial`` |
| the authors' checkpoints, data set | ``published_weights``, ``published_set`` |

Departures from the authors' code, each undone by ``parity=true``: the lazy gradient penalty is
weighted with its interval (the code leaves it 16 times weaker); differences of textures are not put
through a sigmoid; a path length penalty every fourth batch (the code has none that works). The
average of the weights starts as a copy and counts images (`facemorph.training.ema`), and has the
table of styles of what it averages. Any morphable model, in the place of FLAME.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facemorph.data.condition_set import ConditionedBatch, checked_data
from facemorph.engine.adversarial import AdversarialSystem, Part, Phase, channels_last
from facemorph.engine.augmentation import JointAugmentation
from facemorph.engine.portraits import write_portraits
from facemorph.engine.stall_watch import StallWatch, accuracy, spread_of
from facemorph.errors import ConfigError
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.losses.adversarial import (
    logistic_discriminator,
    logistic_generator,
    path_lengths,
    r1_penalty,
)
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.systems.gif.generator import GIFGenerator
from facemorph.systems.gif.texture_consistency import (
    TextureReader,
    between_neighbours,
    consistency_loss,
    random_pairs,
)

Conditions = Literal["both", "normals", "render", "vector"]
RATIOS = {"generator": 4 / 5, "discriminator": 16 / 17}  # of lazily regularised optimizers
PATH_DECAY = 0.01  # share of a batch in the running mean of path lengths
PAIRS = 15  # of pictures whose textures are compared
PUBLISHED_WEIGHT = 16.0  # of the texture interpolation loss


class GIF(AdversarialSystem):
    """Trains GIF.

    Args:
        generator: See `GIFGenerator`; its table has a row for each picture of the set.
        discriminator: Of pictures with their conditions as further channels, or with a vector.
        conditions: ``both`` render and normals, one of them, or ``vector``, the parameters
            themselves, as a baseline.
        augmentation: Of what the discriminator sees; none when None.
        learning_rate: Before the lazy regularisation's ratios.
        consistency_weight: Of the texture consistency; 0 leaves it out.
        texels: Side of the maps that it compares.
        r1_weight: Gamma of the gradient penalty.
        r1_interval: Batches from one penalty to the next.
        path_weight: Of the path length penalty; 0 leaves it out.
        path_interval: Batches from one to the next.
        parity: Train as the authors' code does, see the module.
        model: Morphable model of the training set.
        micro_batches: As of `AdversarialSystem`.
        seed: Likewise.
        watch: Likewise.
        compile: Likewise.

    Raises:
        ConfigError: Networks and conditions do not fit together.
    """

    path_mean: Tensor
    vector_mean: Tensor
    vector_scale: Tensor

    def __init__(
        self,
        generator: GIFGenerator,
        discriminator: nn.Module,
        conditions: Conditions = "both",
        augmentation: JointAugmentation | None = None,
        learning_rate: float = 2e-3,
        consistency_weight: float = 1.0,
        texels: int = 64,
        r1_weight: float = 10.0,
        r1_interval: int = 16,
        path_weight: float = 2.0,
        path_interval: int = 4,
        parity: bool = False,
        model: str = "makehuman",
        micro_batches: int = 1,
        seed: int = 0,
        watch: StallWatch | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(micro_batches, seed, watch, compile)
        expected = {"both": 6, "normals": 3, "render": 3, "vector": None}
        if conditions not in expected:
            raise ConfigError(
                "no such conditions",
                where="system.conditions",
                expected=" | ".join(expected),
                found=conditions,
            )
        channels = None if generator.vector is not None else generator.condition_channels
        if channels != expected[conditions]:
            raise ConfigError(
                "the generator takes other conditions",
                where="system.generator.condition_channels",
                expected=expected[conditions] or "a vector",
                found=channels or "a vector",
            )
        self.generator, self.discriminator = generator, discriminator
        self.kind, self.model_name = conditions, model
        self.augmentation = augmentation or JointAugmentation(probability=0.0)
        self.learning_rate, self.parity, self.texels = learning_rate, parity, texels
        self.consistency_weight = 0.0 if conditions == "vector" else consistency_weight
        self.r1_weight, self.r1_interval = r1_weight, r1_interval
        self.path_weight = 0.0 if parity else path_weight
        self.path_interval = path_interval
        self.register_buffer("path_mean", torch.zeros(()))
        size = generator.vector or 0
        self.register_buffer("vector_mean", torch.zeros(size))
        self.register_buffer("vector_scale", torch.ones(size))
        self._template: FaceParameters | None = None

    # ------------------------------------------------------------
    # pictures
    def forward(self, codes: Tensor, conditions: Tensor, truncation: float = 1.0) -> Tensor:
        """Pictures ``(B, 3, S, S)`` in [0, 1].

        Args:
            codes: Rows of the table ``(B,)``, integers, or codes ``(B, style)``.
            conditions: ``(B, 9, S, S)`` as `ConditionRenderer` makes them, or parameters
                ``(B, P)`` of the vector form.
            truncation: Share of a style's distance from the mean that is kept.
        """
        given = self._given(conditions)
        pictures: Tensor = self.generator(codes, given, truncation=truncation)
        return ((pictures + 1) / 2).clamp(0, 1)

    def _given(self, conditions: Tensor) -> Tensor:
        """What the networks are given of maps ``(B, 9, S, S)`` or parameters ``(B, P)``."""
        if self.kind == "vector":
            return (conditions - self.vector_mean) / self.vector_scale
        # As the published renders: [0, 1] to [-1, 1], with a background of -1 and of 0.
        parts = {"render": 2 * conditions[:, :3] - 1, "normals": conditions[:, 3:6]}
        if self.kind == "both":
            return torch.cat([parts["render"], parts["normals"]], 1)
        return parts[self.kind]

    def infer(
        self, output: Path, *, count: int = 12, seed: int = 0, truncation: float = 0.7
    ) -> list[Path]:
        """Write random people from the front: a picture each, and a sheet.

        Args:
            output: Folder of the pictures.
            count: How many.
            seed: Decides who they are.
            truncation: Share of a style's distance from the mean that is kept.
        """
        model, size = load_model(self.model_name), self.generator.resolution
        skin = skin_basis(model)
        render = ConditionRenderer(model, size=size, skin=skin)
        draw = torch.Generator().manual_seed(seed)
        sizes = (self.generator.style_size, len(skin[1]), model.num_identity)
        codes, albedo, identity = (torch.randn(count, one, generator=draw) for one in sizes)

        def picture(codes: Tensor, parameters: FaceParameters) -> Tensor:
            given = parameters.vector() if self.kind == "vector" else render(parameters)
            return self(codes.to(self.device), given.to(self.device), truncation)

        people = (codes, albedo, identity)
        return write_portraits(output, self.model_name, size, people, picture)

    # ------------------------------------------------------------
    # training
    def setup(self, stage: str) -> None:
        """See that the set is one of this model, with a style for each picture."""
        if stage != "fit":
            return
        device = self.trainer.strategy.root_device
        self.compiled.check(device)
        if device.type == "cuda":
            for network in (self.generator, self.discriminator):
                channels_last(network)
        data = checked_data(self.trainer.datamodule, self.model_name)  # type: ignore[attr-defined]
        count = len(data.parameters)
        if len(self.generator.codes) < count:
            raise ConfigError(
                "the table of styles has fewer rows than the set has pictures",
                where="system.generator.num_codes",
                expected=f"{count} or more",
                found=len(self.generator.codes),
            )
        self._template = data.parameters[:1]
        vectors = data.parameters.vector()
        if self.kind == "vector":
            if vectors.shape[1] != self.generator.vector:
                raise ConfigError(
                    "the generator takes a vector of another length",
                    where="system.generator.vector",
                    expected=vectors.shape[1],
                    found=self.generator.vector,
                )
            rows = data.parts["training"].rows
            self.vector_mean.copy_(vectors[rows].mean(0))
            self.vector_scale.copy_(vectors[rows].std(0).clamp(min=1e-3))
        if self.consistency_weight:
            model = load_model(self.model_name)
            self._reader = TextureReader(model, self.texels)
            side = self.generator.resolution
            self._render = ConditionRenderer(model, size=side, skin=skin_basis(model))

    def phases(self) -> Sequence[Phase]:
        """Discriminator, R1, generator, path length, as in StyleGAN2."""
        gain = 1.0 if self.parity else None
        judge = "discriminator"
        found = [
            Phase("discriminator", judge, self.discriminator_loss),
            Phase("r1", judge, self.r1_loss, self.r1_interval, gain),
            Phase("generator", "generator", self.generator_loss),
        ]
        if self.path_weight:
            found.append(Phase("path", "generator", self.path_loss, self.path_interval))
        return found

    def frozen_in(self, network: str) -> Sequence[str]:
        """The discriminator, while the generator moves."""
        return ("discriminator",) if network == "generator" else ()

    def optimizers_of(self) -> dict[str, Optimizer]:
        """Adam with the ratios of lazy regularisation (Karras et al. 2020, appendix B)."""
        return {
            name: torch.optim.Adam(
                [p for p in getattr(self, name).parameters() if p.requires_grad],
                self.learning_rate * ratio,
                betas=(0.0, 0.99**ratio),
            )
            for name, ratio in RATIOS.items()
        }

    def training_step(self, batch: ConditionedBatch, batch_idx: int) -> None:
        """Run the phases that are due, and take their path lengths into the running mean."""
        self._lengths: list[Tensor] = []
        super().training_step(batch, batch_idx)
        if self._lengths:
            mean = torch.stack([lengths.mean() for lengths in self._lengths]).mean()
            mean = self.trainer.strategy.reduce(mean, reduce_op="mean")
            self.path_mean.lerp_(mean.to(self.path_mean), PATH_DECAY)

    def _conditions(self, batch: ConditionedBatch) -> Tensor:
        return batch["parameters"] if self.kind == "vector" else batch["conditions"]

    def _fake(self, part: Part) -> Tensor:
        """Pictures in [0, 1], unclamped, with the styles of other pictures."""
        batch = part.batch
        drawn = part.noise.uniform("styles")
        rows = (drawn * len(self.generator.codes)).long().clamp(max=len(self.generator.codes) - 1)
        pictures = self.compiled(self.generator)(rows, self._given(self._conditions(batch)))
        return (at_least_float(pictures) + 1) / 2

    def _scores(
        self,
        images: Tensor,
        batch: ConditionedBatch,
        part: Part,
        name: str,
        *,
        twice: bool = False,
    ) -> Tensor:
        """Scores of pictures in [0, 1] beside their conditions; ``twice`` where they are
        differentiated two times.
        """
        judge = self.discriminator if twice else self.compiled(self.discriminator)
        images, maps = self.augmentation(images, batch["conditions"], part.noise, name)
        if self.kind == "vector":
            scores: Tensor = judge(2 * images - 1, self._given(batch["parameters"]))
            return scores
        scores = judge(torch.cat([2 * images - 1, self._given(maps)], 1))
        return scores

    def discriminator_loss(self, part: Part) -> Tensor:
        """Logistic loss of real and generated pictures."""
        batch = part.batch
        with torch.no_grad():
            fake = self._fake(part)
        real_scores = self._scores(batch["image"], batch, part, "real")
        fake_scores = self._scores(fake, batch, part, "fake")
        self.augmentation.watch(real_scores)
        self.log("train/accuracy", accuracy(real_scores, fake_scores))
        self.log("train/spread", spread_of(fake, batch["image"]))
        return logistic_discriminator(real_scores, fake_scores)

    def r1_loss(self, part: Part) -> Tensor:
        """Gradient penalty on the pictures, not on their conditions, in full precision."""
        batch = part.batch
        with torch.autocast(self.device.type, enabled=False):
            images = batch["image"].detach().clone().requires_grad_()
            penalty = r1_penalty(self._scores(images, batch, part, "real", twice=True), images)
        # of pictures in [-1, 1], as the discriminator sees them
        return self.r1_weight / 2 * penalty / 4

    def generator_loss(self, part: Part) -> Tensor:
        """The adversary's opinion, and the consistency of textures."""
        fake = self._fake(part)
        loss = logistic_generator(self._scores(fake, part.batch, part, "generator"))
        if self.consistency_weight and len(fake) > 2:
            found = self.consistency(part)
            self.log("train/consistency", found.detach())
            loss = loss + self.consistency_weight * found
        return loss

    def consistency(self, part: Part) -> Tensor:
        """Texture consistency of pictures between those of a batch, in one style."""
        if self._template is None:
            raise ConfigError("the system has not been set up", where="system")
        draw = part.noise.generator("consistency")
        parameters = self._template.from_vector(part.batch["parameters"])
        moved = between_neighbours(parameters, torch.rand((), generator=draw).to(self.device))
        maps = self._render(moved).to(part.batch["image"])
        row = torch.randint(len(self.generator.codes), (1,), generator=draw).to(self.device)
        pictures = self.generator(row.expand(len(maps)), self._given(maps))
        colours, seen = self._reader(pictures, moved)
        pairs = random_pairs(len(maps), PAIRS, draw).to(self.device)
        found = consistency_loss(colours, seen, pairs, published=self.parity)
        return PUBLISHED_WEIGHT * found

    def path_loss(self, part: Part) -> Tensor:
        """How unevenly pictures follow styles, in full precision."""
        batch = part.batch
        with torch.autocast(self.device.type, enabled=False):
            rows = (part.noise.uniform("path") * len(self.generator.codes)).long()
            vector = self._given(batch["parameters"]) if self.kind == "vector" else None
            styles = self.generator.styles(rows, vector)
            given = None if self.kind == "vector" else self._given(batch["conditions"])
            pictures = self.generator.synthesis(styles, given)
            noise = part.noise.normal("path noise", *pictures.shape[1:])
            lengths = path_lengths(pictures, styles, noise)
        self._lengths.append(lengths.detach())
        return self.path_weight * (lengths - self.path_mean).square().mean()
