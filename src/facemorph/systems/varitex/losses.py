"""VariTex's losses (Buehler et al., ICCV 2021, with the released code's weights), each by its name.

With x the target, y the colours, both by ImageNet's statistics, m the target's mask, n the
predicted one, t the first three channels sampled from the texture, u the mesh's mask, N(mu, s) the
distribution of the code, phi the layers of VGG19 (relu1_1, 2_1, ... 5_1; 1/32, 1/16, 1/8, 1/4, 1),
D the discriminator's scores and D_l its features, both the mean over its scales:

| term | equation | published weight |
|---|---|---|
| ``adversarial`` | mean ``(D(y) - 1)^2`` | 1 |
| ``feature_matching`` | sum over l of ``|D_l(y) - D_l(x)|`` | 1 |
| ``reconstruction`` | mean ``(y - x)^2`` | 1 |
| ``divergence`` | mean ``KL(N(0, 1) || N(mu, s))`` | 0.1 |
| ``perceptual`` | sum over phi of the mean ``|phi(y) - phi(x)|`` | 2 |
| ``segmentation`` | cross-entropy of n against m | 1 |
| ``texture`` | mean of ``(t - x)^2`` where u | 0 |

The discriminator's: half of mean ``(D(x) - 1)^2 + D(y)^2``, with the weight of ``adversarial``.
Other kinds are halved alike there.

The released divergence is the reverse of a variational autoencoder's, ``KL(N(mu, s) || N(0, 1))``:
it forbids narrow distributions but not wide ones. ``direction="forward"`` is the latter.

Departures: real pictures go through the discriminator without gradients in the generator's step;
terms of weight 0 are not computed; the mean of ``texture`` is over pixels of the mesh.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.losses import adversarial as gan
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.losses.weighted_terms import checked_weights, weighted_sum
from facemorph.networks.discriminators import PatchOutput
from facemorph.networks.features.vgg import LAYERS_19
from facemorph.ops.shapes import check_shape
from facemorph.systems.varitex.encoder import Posterior
from facemorph.systems.varitex.generator import COLOURS, VariTexOutput
from facemorph.systems.varitex.spaces import normalised, pictures_of

NAMES = (
    "adversarial",
    "feature_matching",
    "reconstruction",
    "divergence",
    "perceptual",
    "segmentation",
    "texture",
)
Direction = Literal["reverse", "forward"]
DIRECTIONS = ("reverse", "forward")
Adversarial = Literal["least_squares", "logistic", "hinge", "wasserstein"]
ADVERSARIAL = ("least_squares", "logistic", "hinge", "wasserstein")
Discriminator = Callable[[Tensor], list[PatchOutput]]


def published_perceptual(network: nn.Module) -> PerceptualDistance:
    """The paper's distance: absolute differences in five layers of VGG19, deep ones counting most.

    Args:
        network: Gives these layers by their names, such as
            ``VGG.load(19, path, layers=LAYERS_19)`` of ``facemorph.networks.features.vgg``.
    """
    weights = {name: 0.5**power for name, power in zip(LAYERS_19, (5, 4, 3, 2, 0), strict=True)}
    return PerceptualDistance(network, "absolute", weights)


def divergence(posterior: Posterior, direction: Direction = "reverse") -> Tensor:
    """Kullback-Leibler divergences ``(B, Z)`` between codes' distributions and N(0, 1).

    Args:
        posterior: Distributions of the codes.
        direction: ``reverse`` as released, ``KL(N(0, 1) || N(mu, s))``; ``forward``:
            ``KL(N(mu, s) || N(0, 1))``.
    """
    mean, log_variance = posterior
    if direction == "reverse":
        return 0.5 * (log_variance + (1 + mean.square()) * (-log_variance).exp() - 1)
    return 0.5 * (log_variance.exp() + mean.square() - log_variance - 1)


class VariTexLoss(nn.Module):
    """The weighted terms, each under its name, and ``total``; a weight of 0 leaves a term out.

    Args:
        perceptual: Distance of pictures, such as `published_perceptual`; None only where its weight
            is 0.
        adversarial: ``least_squares`` as published, ``logistic``, ``hinge`` or ``wasserstein``.
        direction: Of the divergence: ``reverse`` as published, or ``forward``.
        warm_up: Steps over which the weight of the divergence rises from 0; 0 as published.
        free_bits: Divergence (in nats) that each number of the code has for nothing, in the mean
            over a batch (Kingma et al., Improved Variational Inference with Inverse Autoregressive
            Flow, 2016); 0 as published.
        adversarial_weight: See the module's table, here and below.
        feature_matching_weight: See there.
        reconstruction_weight: See there.
        divergence_weight: See there.
        perceptual_weight: See there.
        segmentation_weight: See there.
        texture_weight: See there.

    Raises:
        ConfigError: A number is negative, a name unknown, or the distance is missing.
    """

    def __init__(
        self,
        perceptual: PerceptualDistance | None = None,
        adversarial: Adversarial = "least_squares",
        direction: Direction = "reverse",
        warm_up: int = 0,
        free_bits: float = 0.0,
        adversarial_weight: float = 1.0,
        feature_matching_weight: float = 1.0,
        reconstruction_weight: float = 1.0,
        divergence_weight: float = 0.1,
        perceptual_weight: float = 2.0,
        segmentation_weight: float = 1.0,
        texture_weight: float = 0.0,
    ) -> None:
        super().__init__()
        given = (
            adversarial_weight,
            feature_matching_weight,
            reconstruction_weight,
            divergence_weight,
            perceptual_weight,
            segmentation_weight,
            texture_weight,
        )
        self.weights = checked_weights(dict(zip(NAMES, given, strict=True)), "loss")
        if not any(given):
            raise ConfigError("all weights are 0", where="loss")
        if perceptual is None and perceptual_weight:
            raise ConfigError(
                "a distance of features is missing",
                where="loss.perceptual",
                remedy="Give one, or set perceptual_weight to 0.",
            )
        _check_names(adversarial, direction)
        for name, value in (("warm_up", warm_up), ("free_bits", free_bits)):
            if not value >= 0:
                raise ConfigError(
                    "this cannot be negative", where=f"loss.{name}", expected=">= 0", found=value
                )
        self.perceptual, self.adversarial, self.direction = perceptual, adversarial, direction
        self.warm_up, self.free_bits = warm_up, free_bits

    @property
    def judges(self) -> bool:
        """Whether the discriminator sees the result."""
        return bool(self.weights["adversarial"] or self.weights["feature_matching"])

    def generator(
        self,
        output: VariTexOutput,
        posterior: Posterior,
        picture: Tensor,
        mask: Tensor,
        discriminator: Discriminator,
        step: int,
    ) -> dict[str, Tensor]:
        """All terms of the generator's step, weighted, and ``total``.

        Args:
            output: What the generator made.
            posterior: What its codes were drawn from.
            picture: ``(B, 3, H, W)`` in [0, 1] that it should be, background filled.
            mask: ``(B, 1, H, W)``, true where the picture shows the person.
            discriminator: Scores and features of colours by ImageNet's statistics; not called where
                no term needs it. Its own weights get gradients unless the caller keeps them from
                it.
            step: Number of steps before this one, for the warm-up.

        Raises:
            DataError: The shapes do not belong together.
        """
        batch, _, height, width = output.colours.shape
        check_shape(picture, f"{batch} {COLOURS} {height} {width}", "picture")
        check_shape(mask, f"{batch} 1 {height} {width}", "mask")
        target = normalised(picture)
        terms: dict[str, Tensor] = {}
        if self.weights["reconstruction"]:
            terms["reconstruction"] = F.mse_loss(output.colours, target)
        if self.weights["divergence"]:
            terms["divergence"] = self._divergence(posterior, step)
        if self.perceptual is not None and self.weights["perceptual"]:
            terms["perceptual"] = self.perceptual(pictures_of(output.colours), picture).mean()
        if self.weights["segmentation"]:
            wanted = mask.to(output.mask_scores.dtype)
            terms["segmentation"] = F.binary_cross_entropy_with_logits(output.mask_scores, wanted)
        if self.weights["texture"]:
            seen = output.uv_mask.to(target.dtype)
            squares = (output.face[:, :COLOURS].to(target.dtype) - target).square() * seen
            terms["texture"] = squares.sum() / (COLOURS * seen.sum()).clamp(min=1)
        if self.judges:
            terms.update(self._of_scores(output.colours, target, discriminator))
        return weighted_sum(terms, self.weights)

    def discriminator(
        self, colours: Tensor, picture: Tensor, discriminator: Discriminator
    ) -> dict[str, Tensor]:
        """The term ``adversarial`` of the discriminator's step, and ``total``.

        Args:
            colours: ``(B, 3, H, W)`` that the generator made, of the same pass as its own step or,
                as in the released code, of a second one; no gradients go there.
            picture: ``(B, 3, H, W)`` in [0, 1], background filled.
            discriminator: Scores and features of colours by ImageNet's statistics.

        Raises:
            ConfigError: The discriminator has no weight.
        """
        if not self.weights["adversarial"]:
            raise ConfigError(
                "a discriminator without weight learns nothing", where="loss.adversarial_weight"
            )
        real, fake = discriminator(normalised(picture)), discriminator(colours.detach())
        scales = [
            _of_discriminator(mine.scores, other.scores, self.adversarial)
            for mine, other in zip(real, fake, strict=True)
        ]
        return weighted_sum({"adversarial": torch.stack(scales).mean()}, self.weights)

    def _divergence(self, posterior: Posterior, step: int) -> Tensor:
        share = min(step / self.warm_up, 1.0) if self.warm_up else 1.0
        numbers = divergence(posterior, self.direction).mean(0)
        if self.free_bits:
            numbers = numbers.clamp(min=self.free_bits)
        return share * numbers.mean()

    def _of_scores(
        self, colours: Tensor, target: Tensor, discriminator: Discriminator
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            real = discriminator(target)
        fake = discriminator(colours)
        scores = [_of_generator(one.scores, self.adversarial) for one in fake]
        matches = [
            # The shared loss is the layers' mean, the paper's their sum.
            len(mine.features) * gan.feature_matching(other.features, mine.features)
            for other, mine in zip(real, fake, strict=True)
        ]
        return {
            "adversarial": torch.stack(scores).mean(),
            "feature_matching": torch.stack(matches).mean(),
        }


def _of_generator(fake: Tensor, kind: Adversarial) -> Tensor:
    if kind == "least_squares":  # the shared loss has half of the squares, the paper all
        return 2 * gan.least_squares_generator(fake)
    # That of `wasserstein` is the hinge's.
    return gan.logistic_generator(fake) if kind == "logistic" else gan.hinge_generator(fake)


def _of_discriminator(real: Tensor, fake: Tensor, kind: Adversarial) -> Tensor:
    if kind == "least_squares":
        return gan.least_squares_discriminator(real, fake)
    if kind == "logistic":
        return 0.5 * gan.logistic_discriminator(real, fake)
    if kind == "hinge":
        return 0.5 * gan.hinge_discriminator(real, fake)
    return 0.5 * (fake.mean() - real.mean())


def _check_names(adversarial: str, direction: str) -> None:
    for name, found, known in (
        ("adversarial", adversarial, ADVERSARIAL),
        ("direction", direction, DIRECTIONS),
    ):
        if found not in known:
            raise ConfigError(
                "there is no such loss",
                where=f"loss.{name}",
                expected=" or ".join(known),
                found=found,
            )
