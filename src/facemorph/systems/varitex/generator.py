"""VariTex's generator: pictures of a person in any pose, from a code and the places of a mesh.

Source: Buehler et al., VariTex: Variational Neural Face Textures (ICCV 2021), with the settings of
the released code:

| step | here | what |
|---|---|---|
| z ~ N(mu, sigma) | ``encoder``, ``mean``, ``log_variance`` | code: for face, for additive |
| T(z_face) | ``texture_decoder`` | neural texture |
| F = T[uv] | ``sample_texture`` | features of the face, 0 off the mesh |
| A(z_additive, F) | ``additive_decoder`` | features of hair, mouth, eyes; no gradients to F |
| R([F, A]) | ``renderer`` | mask, and colours by ImageNet's statistics |

Each step can be called alone, so that textures can be edited and one code shown in many poses.
Departures: uv is in [0, 1] and has an explicit mask (see ``facemorph.systems.varitex.spaces``);
numbers at random are given, not drawn; sizes are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.ops.shapes import check_shape
from facemorph.systems.varitex.blocks import Normalisation
from facemorph.systems.varitex.decoders import AdditiveDecoder, TextureDecoder
from facemorph.systems.varitex.encoder import STEM_STRIDES, PictureEncoder, Posterior, Stem
from facemorph.systems.varitex.renderer import FeatureRenderer
from facemorph.systems.varitex.spaces import normalised, pictures_of, sample_texture

WHERE = "system.generator"
ENCODER_WIDTHS = (64, 128, 256, 512)
TEXTURE_WIDTHS = (512, 256, 256, 256, 128, 64, 64)  # at 4, 8, 16, ... 256
ADDITIVE_WIDTHS = (512, 512, 256, 256, 128, 64, 64)
COLOURS = 3


class VariTexOutput(NamedTuple):
    """What the generator makes of codes and places.

    Attributes:
        colours: ``(B, 3, H, W)`` by ImageNet's statistics, unbounded, not masked.
        mask_scores: ``(B, 1, H, W)``, the mask before its sigmoid.
        texture: ``(B, C, S, S)``.
        face: ``(B, C, H, W)`` sampled from the texture, 0 off the mesh.
        additive: ``(B, C, H, W)`` added to it by concatenation.
        uv_mask: ``(B, 1, H, W)``, true where a pixel shows the mesh; as given.
    """

    colours: Tensor
    mask_scores: Tensor
    texture: Tensor
    face: Tensor
    additive: Tensor
    uv_mask: Tensor

    @property
    def picture(self) -> Tensor:
        """``(B, 3, H, W)``, in [0, 1] once it is trained and clamped."""
        return pictures_of(self.colours)

    @property
    def mask(self) -> Tensor:
        """``(B, 1, H, W)`` in [0, 1], how likely a pixel is a person's."""
        return self.mask_scores.sigmoid()


class VariTexGenerator(nn.Module):
    """Pictures of codes, and codes of pictures.

    The defaults are the paper's: 74,098,436 weights. Decoders have a stage for each width but the
    first; a stage doubles the sides until the size is reached.

    Args:
        picture_size: Side of the pictures, a power of two.
        texture_size: Side of the textures, a power of two; it may be smaller.
        channels: Of textures and features; the first three may be trained to be colours.
        face_code: Numbers of the code that the texture is made of.
        additive_code: Numbers of the code that hair and surroundings are made of.
        encoder_widths: Channels of the encoder's stages.
        texture_widths: Channels of the texture's decoder at 4 x 4, then of each stage.
        additive_widths: Channels of the other decoder.
        renderer_width: Channels of the renderer's finest level.
        renderer_levels: Sizes that the renderer works in.
        stem: Size at which the encoder begins: ``full`` as published, ``half`` or ``quarter``.
        normalisation: ``batch`` as published, ``sync`` over all processes, or ``group``, for small
            batches.

    Raises:
        ConfigError: A number cannot be, or there is no such stem or normalisation.
    """

    def __init__(
        self,
        picture_size: int = 256,
        texture_size: int = 256,
        channels: int = 16,
        face_code: int = 128,
        additive_code: int = 128,
        encoder_widths: Sequence[int] = ENCODER_WIDTHS,
        texture_widths: Sequence[int] = TEXTURE_WIDTHS,
        additive_widths: Sequence[int] = ADDITIVE_WIDTHS,
        renderer_width: int = 64,
        renderer_levels: int = 5,
        stem: Stem = "full",
        normalisation: Normalisation = "batch",
    ) -> None:
        super().__init__()
        _check_widths(encoder=encoder_widths, texture=texture_widths, additive=additive_widths)
        for name, value, least in (
            ("channels", channels, COLOURS),
            ("face_code", face_code, 1),
            ("additive_code", additive_code, 1),
            ("renderer_width", renderer_width, 1),
            ("renderer_levels", renderer_levels, 1),
        ):
            if value < least:
                raise ConfigError(
                    "this number is too small",
                    where=f"{WHERE}.{name}",
                    expected=f">= {least}",
                    found=value,
                )
        self.picture_size, self.texture_size, self.channels = picture_size, texture_size, channels
        self.code_sizes = (face_code, additive_code)
        self.encoder = PictureEncoder(encoder_widths, stem, normalisation)
        self.mean, self.log_variance = (
            nn.Linear(encoder_widths[-1], sum(self.code_sizes)) for _ in range(2)
        )
        self.texture_decoder = TextureDecoder(
            face_code, texture_widths, texture_size, channels, normalisation
        )
        self.additive_decoder = AdditiveDecoder(
            additive_code, additive_widths, picture_size, channels, normalisation
        )
        self.renderer = FeatureRenderer(
            2 * channels, 1 + COLOURS, renderer_width, renderer_levels, normalisation
        )
        # Below 2 x 2 a single picture has no statistics to train with.
        least = 2 * max(
            STEM_STRIDES[stem] * 2 ** (len(encoder_widths) - 1), 2 ** (renderer_levels - 1)
        )
        if picture_size < least:
            raise ConfigError(
                "the pictures are too small for so many levels",
                where=f"{WHERE}.picture_size",
                expected=f">= {least}",
                found=picture_size,
            )

    def encode(self, pictures: Tensor) -> Posterior:
        """Distributions of the codes, in float32 at least.

        Args:
            pictures: ``(B, 3, H, W)`` in [0, 1], background filled as in the training.

        Raises:
            DataError: The size is wrong.
        """
        side = self.picture_size
        check_shape(pictures, f"B 3 {side} {side}", "pictures")
        features = self.encoder(normalised(pictures))
        mean, log_variance = self.mean(features), self.log_variance(features)
        return Posterior(at_least_float(mean), at_least_float(log_variance))

    def texture(self, code: Tensor) -> Tensor:
        """Neural textures ``(B, C, S, S)`` of whole codes ``(B, Z)``.

        Raises:
            DataError: The codes have another size.
        """
        check_shape(code, f"B {sum(self.code_sizes)}", "code")
        texture: Tensor = self.texture_decoder(code[:, : self.code_sizes[0]])
        return texture

    def show(self, texture: Tensor, code: Tensor, uv: Tensor, uv_mask: Tensor) -> VariTexOutput:
        """Pictures of textures, such as edited ones.

        Args:
            texture: ``(B, C, S, S)``, or one ``(1, C, S, S)`` for all.
            code: ``(B, Z)`` whole codes, of which the texture's part is of no matter, or one.
            uv: ``(B, 2, H, W)`` in [0, 1], u right and v down.
            uv_mask: ``(B, 1, H, W)``, true where a pixel shows the mesh.

        Raises:
            DataError: A size is wrong.
        """
        side, own, count = self.picture_size, self.texture_size, len(uv)
        check_shape(uv, f"B 2 {side} {side}", "uv")
        check_shape(texture, f"B {self.channels} {own} {own}", "texture")
        check_shape(code, f"B {sum(self.code_sizes)}", "code")
        seen = texture.expand(count, -1, -1, -1) if len(texture) == 1 else texture
        code = code.expand(count, -1) if len(code) == 1 else code
        face = sample_texture(seen, uv, uv_mask)
        return self.render(texture, face, self.additive(code, face), uv_mask)

    def additive(self, code: Tensor, face: Tensor) -> Tensor:
        """Features ``(B, C, H, W)`` beside those of a face; no gradients go to the face.

        Args:
            code: ``(B, Z)`` whole codes.
            face: ``(B, C, H, W)``.

        Raises:
            DataError: A size is wrong.
        """
        side = self.picture_size
        check_shape(code, f"{len(face)} {sum(self.code_sizes)}", "code")
        check_shape(face, f"B {self.channels} {side} {side}", "features of the face")
        features: Tensor = self.additive_decoder(code[:, self.code_sizes[0] :], face)
        return features

    def render(
        self, texture: Tensor, face: Tensor, additive: Tensor, uv_mask: Tensor
    ) -> VariTexOutput:
        """Pictures of features.

        Args:
            texture: Where the features are from; handed on.
            face: ``(B, C, H, W)``.
            additive: ``(B, C, H, W)``.
            uv_mask: ``(B, 1, H, W)``; handed on.
        """
        rendered = at_least_float(self.renderer(torch.cat([face, additive], 1)))
        scores, colours = rendered.split([1, COLOURS], 1)
        return VariTexOutput(colours, scores, texture, face, additive, uv_mask)

    def decode(self, code: Tensor, uv: Tensor, uv_mask: Tensor) -> VariTexOutput:
        """Pictures of codes.

        Args:
            code: ``(B, Z)``, or one ``(1, Z)`` for all, whose texture is made once.
            uv: ``(B, 2, H, W)`` in [0, 1], u right and v down.
            uv_mask: ``(B, 1, H, W)``, true where a pixel shows the mesh.

        Raises:
            DataError: A size is wrong.
        """
        return self.show(self.texture(code), code, uv, uv_mask)

    def forward(
        self, pictures: Tensor, uv: Tensor, uv_mask: Tensor, noise: Tensor | None = None
    ) -> tuple[VariTexOutput, Posterior]:
        """Pictures shown again in other places.

        Args:
            pictures: ``(B, 3, H, W)`` in [0, 1], background filled.
            uv: ``(B, 2, H, W)`` in [0, 1] of where the mesh is to be shown.
            uv_mask: ``(B, 1, H, W)``.
            noise: ``(B, Z)`` standard normal numbers; None for the means of the codes.

        Raises:
            DataError: A size is wrong.
        """
        posterior = self.encode(pictures)
        return self.decode(posterior.code(noise), uv, uv_mask), posterior


def _check_widths(**widths: Sequence[int]) -> None:
    for name, given in widths.items():
        if not given or min(given) < 1:
            raise ConfigError(
                "these are no channels",
                where=f"{WHERE}.{name}_widths",
                expected="positive numbers",
                found=tuple(given),
            )
