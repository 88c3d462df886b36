"""GDPW's losses (Zhong et al., BMVC 2022, with the weights of the released code), each by its name.

With x the target, y the result, v_s the source at stride s warped by the flow w_s, x_s the target
there, phi the layers of VGG19 (relu1_1, 2_1, ... 5_1), P the pyramid of strides 1, 2, 4, 8, D the
discriminator's scores and D_l its features; |.| is the mean absolute difference:

| term | equation | published weight |
|---|---|---|
| ``reconstruction`` | ``|y - x|`` | 10 |
| ``perceptual`` | sum over P and phi of ``|phi(P y) - phi(P x)|`` | 10 |
| ``style`` | the same of Gram matrices | 0 |
| ``adversarial`` | mean ``(1 - D(y))^2``, or mean ``-D(y)`` (hinge) | 1 |
| ``feature_matching`` | sum over l of ``|D_l(y) - D_l(x)|`` | 10 |
| ``warp_perceptual`` | sum over s < 32 and phi of ``|phi(v_s) - phi(x_s)|`` | 10 |
| ``warp_style`` | the same of Gram matrices | 0 |
| ``warp_adversarial`` | as above, of v_1 | 1 |
| ``warp_feature_matching`` | as above, of v_1 | 10 |
| ``scale_flow`` | sum over s > 1 of mean ``(w_s - area(w_1))^2`` | 0 (10 where it is on) |

The discriminator's: mean ``(1 - D(x))^2 + D(.)^2`` of y and of v_1, or the hinge; 1 each.

Departures: real pictures go through the discriminator once in a step, not once for y and once for
v_1, and without gradients in the generator's; terms of weight 0 are not computed; the sum of the
squares of all weights, which the released code computes in each step and multiplies by 0, is left
to the optimizer's weight decay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from facemorph.systems.gdpw.generator import GDPWOutput
from facemorph.systems.gdpw.warping import smoothed_at_stride, warp

NAMES = (
    "reconstruction",
    "perceptual",
    "style",
    "adversarial",
    "feature_matching",
    "warp_perceptual",
    "warp_style",
    "warp_adversarial",
    "warp_feature_matching",
    "scale_flow",
)
OF_FEATURES = ("perceptual", "style", "warp_perceptual", "warp_style")
TOO_COARSE = 32  # strides from here on are not warped for the losses
Adversarial = Literal["least_squares", "hinge"]
ADVERSARIAL = ("least_squares", "hinge")


def published_perceptual(network: nn.Module) -> PerceptualDistance:
    """The paper's distance: absolute differences in five layers of VGG19, added up.

    Args:
        network: Gives these layers by their names, such as
            ``VGG.load(19, path, layers=LAYERS_19)`` of ``facemorph.networks.features.vgg``.
    """
    return PerceptualDistance(network, "absolute", dict.fromkeys(LAYERS_19, 1.0))


def warped_pairs(
    source: Tensor, target: Tensor, output: GDPWOutput
) -> dict[int, tuple[Tensor, ...]]:
    """By stride: the source, made small by means of areas and warped, and the target as small.

    Args:
        source: ``(B, 3, H, W)``.
        target: ``(B, 3, H, W)``.
        output: What the generator gave for them.
    """
    pairs: dict[int, tuple[Tensor, ...]] = {1: (output.warped, target)}
    for stride, flow in output.flows.items():
        if 1 < stride < TOO_COARSE:
            small, wanted = (
                F.interpolate(one, flow.shape[2:], mode="area") for one in (source, target)
            )
            pairs[stride] = (warp(small, flow, published_grid=output.published_grid), wanted)
    return pairs


def scale_flow(flows: Mapping[int, Tensor]) -> Tensor:
    """Squared differences of the flows from the finest one, made small by means of areas.

    Args:
        flows: By stride, with that of stride 1.
    """
    finest = flows[1]
    differences = [
        F.mse_loss(flow, F.interpolate(finest, flow.shape[2:], mode="area"))
        for stride, flow in flows.items()
        if stride > 1
    ]
    return torch.stack(differences).sum() if differences else finest.new_zeros(())


def style_distance(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute difference of Gram matrices, added up over a network's layers.

    Source: Gatys et al., Image Style Transfer Using Convolutional Neural Networks (2016); matrices
    are divided by channels, height and width.

    Args:
        network: Gives features of pictures by the layers' names.
        images: ``(B, 3, H, W)`` in [0, 1]; gradients go here.
        targets: Of the same shape; no gradients go there.
    """
    with torch.no_grad():
        wanted = network(targets)
    found = network(images)
    return torch.stack([F.l1_loss(_gram(found[name]), _gram(wanted[name])) for name in found]).sum()


class GDPWLoss(nn.Module):
    """The weighted terms, each under its name, and ``total``; a weight of 0 leaves a term out.

    Args:
        perceptual: Distance of pictures, such as `published_perceptual`; None only where the
            weights of the terms of features are 0.
        adversarial: ``least_squares`` as published, or ``hinge``.
        pyramid: Number of scales of ``perceptual`` and ``style``.
        reconstruction_weight: See the module's table, here and below.
        perceptual_weight: See there.
        style_weight: See there.
        adversarial_weight: See there.
        feature_matching_weight: See there.
        warp_perceptual_weight: See there.
        warp_style_weight: See there.
        warp_adversarial_weight: See there.
        warp_feature_matching_weight: See there.
        scale_flow_weight: See there.

    Raises:
        ConfigError: A weight is negative, a name unknown, or the distance is missing.
    """

    def __init__(
        self,
        perceptual: PerceptualDistance | None = None,
        adversarial: Adversarial = "least_squares",
        pyramid: int = 4,
        reconstruction_weight: float = 10.0,
        perceptual_weight: float = 10.0,
        style_weight: float = 0.0,
        adversarial_weight: float = 1.0,
        feature_matching_weight: float = 10.0,
        warp_perceptual_weight: float = 10.0,
        warp_style_weight: float = 0.0,
        warp_adversarial_weight: float = 1.0,
        warp_feature_matching_weight: float = 10.0,
        scale_flow_weight: float = 0.0,
    ) -> None:
        super().__init__()
        given = (
            reconstruction_weight,
            perceptual_weight,
            style_weight,
            adversarial_weight,
            feature_matching_weight,
            warp_perceptual_weight,
            warp_style_weight,
            warp_adversarial_weight,
            warp_feature_matching_weight,
            scale_flow_weight,
        )
        self.weights = checked_weights(dict(zip(NAMES, given, strict=True)), "loss")
        if adversarial not in ADVERSARIAL or pyramid < 1:
            raise ConfigError(
                "there is no such loss",
                where="loss",
                expected=f"adversarial {' or '.join(ADVERSARIAL)}, pyramid >= 1",
                found=f"adversarial {adversarial}, pyramid {pyramid}",
            )
        wanting = [name for name in OF_FEATURES if self.weights[name]]
        if perceptual is None and wanting:
            raise ConfigError(
                "a distance of features is missing",
                where="loss.perceptual",
                expected=f"one for {', '.join(wanting)}",
                remedy="Give one, or set these terms' weights to 0.",
            )
        if not any(given):
            raise ConfigError("all weights are 0", where="loss")
        self.perceptual, self.adversarial, self.pyramid = perceptual, adversarial, pyramid

    @property
    def judges_result(self) -> bool:
        """Whether the discriminator sees the result."""
        return bool(self.weights["adversarial"] or self.weights["feature_matching"])

    @property
    def judges_warp(self) -> bool:
        """Whether the discriminator sees the warped source."""
        return bool(self.weights["warp_adversarial"] or self.weights["warp_feature_matching"])

    def generator(
        self,
        output: GDPWOutput,
        source: Tensor,
        target: Tensor,
        discriminator: Callable[[Tensor], PatchOutput],
    ) -> dict[str, Tensor]:
        """All terms of the generator's step, weighted, and ``total``.

        Args:
            output: What the generator gave.
            source: ``(B, 3, H, W)`` in [0, 1] that it was made from.
            target: ``(B, 3, H, W)`` in [0, 1] that it should be.
            discriminator: Scores and features of pictures; not called where no term needs it. Its
                own weights get gradients unless the caller keeps them from it.

        Raises:
            DataError: The shapes do not belong together.
        """
        shape = " ".join(map(str, output.picture.shape))
        check_shape(source, shape, "source")
        check_shape(target, shape, "target")
        terms = {
            **self._of_pictures(output, source, target),
            **self._of_scores(output, target, discriminator),
        }
        if self.weights["scale_flow"]:
            terms["scale_flow"] = scale_flow(output.flows)
        return weighted_sum(terms, self.weights)

    def discriminator(
        self, output: GDPWOutput, target: Tensor, discriminator: Callable[[Tensor], PatchOutput]
    ) -> dict[str, Tensor]:
        """Terms ``result`` and ``warp`` of the discriminator's step, and ``total``.

        Args:
            output: What the generator gave; no gradients go there.
            target: ``(B, 3, H, W)`` in [0, 1].
            discriminator: Scores and features of pictures.

        Raises:
            ConfigError: No term needs a discriminator.
        """
        pictures = {"result": output.picture} if self.judges_result else {}
        if self.judges_warp:
            pictures["warp"] = output.warped
        if not pictures:
            raise ConfigError("no term of the loss needs a discriminator", where="loss")
        real = discriminator(target).scores
        terms = {}
        for name, picture in pictures.items():
            fake = discriminator(picture.detach()).scores
            if self.adversarial == "hinge":
                terms[name] = gan.hinge_discriminator(real, fake)
            else:  # the shared loss has half of the squares, the paper all
                terms[name] = 2 * gan.least_squares_discriminator(real, fake)
        return weighted_sum(terms, dict.fromkeys(terms, 1.0))

    def _of_pictures(self, output: GDPWOutput, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        terms = {}
        if self.weights["reconstruction"]:
            terms["reconstruction"] = F.l1_loss(output.picture, target)
        if self.weights["perceptual"] or self.weights["style"]:
            pairs = {
                stride: tuple(smoothed_at_stride(one, stride) for one in (output.picture, target))
                for stride in (2**number for number in range(self.pyramid))
            }
            terms.update(self._of_features(pairs, ""))
        if self.weights["warp_perceptual"] or self.weights["warp_style"]:
            terms.update(self._of_features(warped_pairs(source, target, output), "warp_"))
        return terms

    def _of_features(
        self, pairs: Mapping[int, tuple[Tensor, ...]], prefix: str
    ) -> dict[str, Tensor]:
        """``perceptual`` and ``style`` of pairs of pictures, as far as they have a weight."""
        terms: dict[str, Tensor] = {}
        distance = self.perceptual
        if distance is None:  # no term has a weight: checked at the start
            return terms
        if self.weights[f"{prefix}perceptual"]:
            found = [distance(mine, other).mean() for mine, other in pairs.values()]
            terms[f"{prefix}perceptual"] = torch.stack(found).sum()
        if self.weights[f"{prefix}style"]:
            found = [style_distance(distance.network, *pair) for pair in pairs.values()]
            terms[f"{prefix}style"] = torch.stack(found).sum()
        return terms

    def _of_scores(
        self, output: GDPWOutput, target: Tensor, discriminator: Callable[[Tensor], PatchOutput]
    ) -> dict[str, Tensor]:
        judged = {"": output.picture} if self.judges_result else {}
        if self.judges_warp:
            judged["warp_"] = output.warped
        if not judged:
            return {}
        with torch.no_grad():
            real = discriminator(target)
        terms = {}
        for prefix, picture in judged.items():
            fake = discriminator(picture)
            if self.adversarial == "hinge":
                terms[f"{prefix}adversarial"] = gan.hinge_generator(fake.scores)
            else:
                terms[f"{prefix}adversarial"] = 2 * gan.least_squares_generator(fake.scores)
            # The shared loss is the layers' mean, the paper's their sum.
            matching = gan.feature_matching(real.features, fake.features)
            terms[f"{prefix}feature_matching"] = len(fake.features) * matching
        return terms


def _gram(features: Tensor) -> Tensor:
    """Products of channels ``(B, C, C)``, over C H W."""
    flat = features.float().flatten(2)
    products = flat @ flat.transpose(1, 2)
    return products / (flat.shape[1] * flat.shape[2])
