"""VariTex's idea for one core: codes told in texture space, cross views, reconstruction first.

After Buehler et al., VariTex: Variational Neural Face Textures (ICCV 2021). A picture becomes the
distribution of a code; half of the code becomes a neural texture, which the mesh of a 3-D morphable
model shows in any pose and expression, the other half what surrounds it.

| what | where |
|---|---|
| conditions: light on the mesh, texture coordinates | ``cross_views.light_renderer`` |
| encoder in texture space | ``encoder`` |
| texture decoder, renderer | ``generator`` |
| two pictures of a person: a code of one shows the other | ``cross_views`` |
| reconstruction, adversary, phases | ``facemorph.engine.conditioned_generator`` |
| divergence, colours of the texture, people | here |

Departures from the paper, each for one core: see these modules. The divergence is that of a
variational autoencoder, ``KL(q || N(0, 1))``; random people are drawn from the Gaussian of the
posteriors, which minutes of training do not bring to N(0, 1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from facemorph.engine.adversarial import Part
from facemorph.engine.augmentation import JointAugmentation
from facemorph.engine.conditioned_generator import ConditionedGenerator
from facemorph.engine.growth import grow
from facemorph.engine.head_texels import roughness, sampled, texels_in_sight
from facemorph.engine.people import Moments
from facemorph.engine.stall_watch import StallWatch
from facemorph.engine.system_data import check_ranges, data_of
from facemorph.errors import ConfigError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.ops.filters import smoothstep
from facemorph.storage.checkpoint import load_system
from facemorph.systems.varitex.encoder import Posterior
from facemorph.systems.varitex.losses import divergence
from facemorph.systems.varitex.small.cross_views import (
    CrossViewBatch,
    CrossViewRows,
    CrossViews,
    light_renderer,
)
from facemorph.systems.varitex.small.encoder import TexelEncoder
from facemorph.systems.varitex.small.generator import (
    SmallVariTexGenerator,
    lit_colours,
)

IN_SIGHT = (0.2, 0.5)  # cosines to the camera
FACING, LEAST = (0.1, 0.5), 0.1  # cosines from which skin counts, and what the rest counts
TEXELS, ROUGH = 20.0, 60.0  # weights of what an inversion adds to textures


class SmallVariTex(ConditionedGenerator):
    """Trains a small generator of neural textures.

    Args:
        generator: See `SmallVariTexGenerator`.
        encoder: Tells codes of photographs.
        discriminator: As of `ConditionedGenerator`.
        augmentation: Likewise.
        learning_rate: Of generator and encoder.
        discriminator_rate: As of `ConditionedGenerator`.
        outside: Likewise.
        reconstruction_weight: Likewise.
        adversarial_weight: Likewise.
        feature_weight: Likewise.
        adversarial_from: Likewise.
        r1_weight: Likewise.
        r1_interval: Likewise.
        divergence_weight: Of the codes' divergence from N(0, 1), in the mean over their numbers.
        texture_weight: Of the difference between the lit colours of the texture alone and the
            picture.
        start: Checkpoint of one of fewer scales, to begin with its weights.
        model: As of `ConditionedGenerator`.
        micro_batches: Likewise.
        seed: Likewise.
        watch: Likewise.
        compile: Likewise, of the decoder of textures and the discriminator.

    Raises:
        ConfigError: Codes and generator do not fit together, or a number is out of range.
    """

    training_only = ("discriminator", "start", "moments")  # left out of releases
    addition_rate = 0.004
    inverts_codes = True
    data_class = CrossViews
    trained_with_generator = ("encoder",)

    def __init__(
        self,
        generator: SmallVariTexGenerator,
        encoder: TexelEncoder,
        discriminator: nn.Module | None = None,
        augmentation: JointAugmentation | None = None,
        learning_rate: float = 2e-3,
        discriminator_rate: float = 1e-3,
        outside: float = 0.4,
        reconstruction_weight: float = 10.0,
        adversarial_weight: float = 0.5,
        feature_weight: float = 0.0,
        adversarial_from: float = 0.6,
        r1_weight: float = 1.0,
        r1_interval: int = 16,
        divergence_weight: float = 0.02,
        texture_weight: float = 2.0,
        start: str | None = None,
        model: str = "makehuman",
        micro_batches: int = 1,
        seed: int = 0,
        watch: StallWatch | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(
            generator,
            discriminator,
            augmentation,
            learning_rate,
            discriminator_rate,
            outside,
            reconstruction_weight,
            adversarial_weight,
            feature_weight,
            adversarial_from,
            r1_weight,
            r1_interval,
            model,
            micro_batches,
            seed,
            watch,
            compile,
        )
        if encoder.code != generator.code:
            raise ConfigError(
                "the generator takes codes of another length than the encoder gives",
                where="system.generator.face_code, additive_code",
                expected=encoder.code,
                found=generator.code,
            )
        if (skin := generator.decoder.skin_model) not in (None, model):
            raise ConfigError(
                "the skin that textures begin with is of another face model",
                where="system.generator.skin",
                expected=model,
                found=skin,
                remedy="Set system.generator.skin=null.",
            )
        check_ranges(
            ("divergence_weight", divergence_weight, 0, 100),
            ("texture_weight", texture_weight, 0, 100),
        )
        self.encoder, self.start, self.moments = encoder, start, Moments()
        self._faces: FaceParameters | None = None
        self._alike = torch.ones(0, dtype=torch.bool)
        self.divergence_weight, self.texture_weight = divergence_weight, texture_weight

    # ------------------------------------------------------------
    # pictures
    @torch.no_grad()
    def held_out_codes(self, data: CrossViews, split: str, places: Tensor) -> Tensor:
        """Codes of the next picture of each person, where there is another than the one shown."""
        pairs = CrossViewRows(data.conditioned[split], all_of_them=False)
        found = []
        for place in places.tolist():
            source = pairs.faces[pairs.source_of(place)]
            seen = (source["image"], source["conditions"], source["light"])
            found.append(self.encoder(*(one[None] for one in seen)))
        return torch.cat(found)

    def code_of_several(self, images: Tensor, conditions: Tensor, lights: Tensor) -> Tensor:
        """Means of the pictures' distributions, each counting by its precision; what surrounds the
        face is the first's.
        """
        posterior = self.encoder.posterior(images, conditions, lights)
        precision = (-posterior.log_variance).exp()
        found = (posterior.mean * precision).sum(0, keepdim=True) / precision.sum(0, keepdim=True)
        face = self.generator.face_code
        return torch.cat([found[:, :face], posterior.mean[:1, face:]], 1)

    def renderer(self, model: MorphableModel, size: int) -> ConditionRenderer:
        """What renders light, normals, mask and texture coordinates."""
        return light_renderer(model, size)

    def addition_shape(self) -> tuple[int, ...]:
        """A neural texture ``(C, T, T)``."""
        decoder = self.generator.decoder
        return self.generator.channels, decoder.resolution, decoder.resolution

    def trust(self, conditions: Tensor) -> Tensor:
        """Little where the head turns away: fits are not exact, and a pixel is many texels."""
        mask = conditions[:, 6:7]
        cosine = conditions[:, 5:6] / mask.clamp(min=1e-3)
        facing = smoothstep((cosine - FACING[0]) / (FACING[1] - FACING[0]))
        return torch.where(mask > 0, LEAST + (1 - LEAST) * facing, 1.0)

    def held(self, conditions: Tensor) -> Callable[[Tensor], Tensor]:
        """Texels stay as they are where the photographs do not show them, as those at the outline,
        or a turned head would show what lies behind it.
        """
        sight = texels_in_sight(conditions, self.addition_shape()[-1], IN_SIGHT)
        return lambda free: free * sight

    def addition_cost(self, added: Tensor) -> Tensor:
        """How large and how rough a change of texels is, in the mean over them.

        What a photograph shows of texels at the outline is mostly what lies behind; where they
        change unlike their neighbours, a turned head would show it as streaks.
        """
        size = added.square().mean((2, 3)).sum()
        return TEXELS * size + ROUGH * roughness(added)

    def with_addition(self, codes: Tensor, added: Tensor, conditions: Tensor) -> Tensor:
        """Pictures of codes, with something added to their neural textures."""
        return self.generator.show(self.generator.texture(codes) + added, codes, conditions)

    # ------------------------------------------------------------
    # training
    def setup(self, stage: str) -> None:
        """Look at the data, and begin with a smaller system."""
        if stage != "fit":
            return
        self.compiled.check(self.trainer.strategy.root_device)
        data = data_of(self, CrossViews, "two views of people", "data=cross_views")
        if data.model != self.model_name:
            raise ConfigError(
                "system and data have different models",
                where="system.model",
                expected=data.model,
                found=self.model_name,
            )
        self.show_later(data)
        self._faces, self._alike = data.parameters, data.alike
        if self.start is not None and not self.people.known:
            grow(self, load_system(self.start), self.start)

    def posterior_of(self, batch: CrossViewBatch) -> Posterior:
        """Distributions of the codes of a batch's sources."""
        return self.encoder.posterior(
            batch["source_image"], batch["source_conditions"], batch["source_light"]
        )

    def codes_of(self, batch: CrossViewBatch) -> Tensor:
        """Codes ``(B, C)`` of a batch's sources, without noise."""
        return self.posterior_of(batch).mean

    def draw_codes(self, part: Part) -> Tensor:
        """Codes drawn from the distributions of a part's sources."""
        posterior = self.posterior_of(part.batch)
        part.kept["posterior"] = posterior
        return posterior.code(part.noise.normal("codes", posterior.mean.shape[1]))

    def fake_of(self, part: Part) -> Tensor:
        """The generated pictures of a part, made once in a step, with their lit textures."""
        if "fake" not in part.kept:
            conditions = part.batch["conditions"].contiguous(memory_format=torch.channels_last)
            codes = self.draw_codes(part)
            textures = self.compiled(self.generator.decoder)(codes[:, : self.generator.face_code])
            part.kept["lit"] = lit_colours(sampled(textures, conditions), conditions)
            part.kept["fake"] = self.generator.show(textures, codes, conditions)
        fake: Tensor = part.kept["fake"]
        return fake

    def further_losses(self, part: Part) -> Tensor:
        """The codes' divergence, and what the texture alone says of the picture."""
        posterior: Posterior = part.kept["posterior"]
        apart = divergence(posterior, "forward").mean()
        self.log("train/divergence", apart.detach())
        mask = part.batch["conditions"][:, 6:7]
        error = (part.kept["lit"] - part.batch["image"] * mask).abs()
        colours = (error.sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3))).clamp(min=1)).mean()
        self.log("train/texture", colours.detach())
        self._meet(posterior.mean.detach(), part.batch["index"])
        return self.divergence_weight * apart + self.texture_weight * colours

    def _meet(self, codes: Tensor, rows: Tensor) -> None:
        """Follow the distribution of codes, skin coefficients and identities."""
        if self._faces is None:
            return
        alike = self._alike[rows.cpu()]
        codes, parameters = codes[alike.to(codes.device)], self._faces[rows.cpu()[alike]]
        parts = (codes, parameters.albedo.to(codes), parameters.identity.to(codes))
        self.moments.follow(torch.cat(parts, 1))
        if not len(self.moments.mean):  # nobody yet whom random people are to be like
            return
        self.people.fit_moments(*self.moments.values(), [part.shape[1] for part in parts])
