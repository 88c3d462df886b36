"""A generator of neural textures that one core can train: VariTex's idea for few operations.

As in VariTex, half of a code becomes a neural texture, which a mesh shows in any pose and light,
the other half what surrounds it. What differs (docs/varitex.md): the first three channels of the
texture are the skin's colour, which begins with the open model of real skin and is multiplied with
the light on the mesh; the additive decoder and the renderer are one network, in which the sampled
texture enters at every scale and the second half of the code is the style; whole pictures, with
what is behind people, in the place of a mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from facemorph.engine.head_texels import sampled
from facemorph.errors import CheckpointError, ConfigError
from facemorph.geometry.textures.texture_model import OPEN, TextureModel
from facemorph.networks.styled_renderer import SLOPE, StyledRenderer, small_linear
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.ops.shapes import check_shape

COLOURS = 3  # channels of a texture that are the skin's colour
BRIGHT = 2.0  # light at which the first maps of the conditions are 1
FIRST = 0.1  # how much the first learnt textures have of the components' deviations
WAVES = (1, 2, 4)  # turns of the waves that say where a texel is


class TextureDecoder(StyledRenderer):
    """Neural textures of codes.

    Args:
        code: Length of the codes.
        texture: Channels of the textures, three of them colour.
        channels: Of each scale, from 4 texels on.
        style: Length of a style.
        pyramid: Channels of the pyramid of what is the same in all textures.
        skin: ``open`` begins with the open model of real skin; None with grey.
    """

    mean: Tensor
    components: Tensor
    places: Tensor
    skin_digest: Tensor

    def __init__(
        self,
        code: int,
        texture: int,
        channels: Sequence[int],
        style: int,
        pyramid: int,
        skin: str | None,
    ) -> None:
        super().__init__(style, channels, COLOURS + 4 * len(WAVES), pyramid, texture)
        side = self.resolution
        mean, components, digest, self.skin_model = _skin(skin, side)
        # Part of facemorph rather than of a checkpoint.
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("components", components, persistent=False)
        self.register_buffer("places", _places(side), persistent=False)
        self.register_buffer("skin_digest", digest)
        self.register_load_state_dict_pre_hook(_with_the_same_skin)
        self.mapping = nn.Sequential(small_linear(code, style), nn.LeakyReLU(SLOPE))
        self.start = nn.Linear(code, channels[0] * 16)
        self.coefficients = nn.Linear(code, len(components))
        nn.init.normal_(self.coefficients.weight, std=FIRST / code**0.5)
        nn.init.zeros_(self.coefficients.bias)

    def forward(self, codes: Tensor) -> Tensor:
        """``(B, code)`` to ``(B, texture, T, T)``; colours are in about [0, 1]."""
        maps = torch.cat([self.mean, self.places])[None]
        start = self.start(codes).unflatten(1, (-1, 4, 4))
        found = self.corrections(self.mapping(codes), maps, start)
        skin = at_least_float(self.coefficients(codes)) @ self.components.flatten(1)
        skin = self.mean + skin.view(-1, COLOURS, *self.mean.shape[1:])
        return torch.cat([found[:, :COLOURS] + skin, found[:, COLOURS:]], 1)


class SmallVariTexGenerator(nn.Module):
    """Pictures of codes and conditions, by way of a neural texture.

    Args:
        face_code: Length of the first part of a code, which becomes the texture.
        additive_code: Length of the second part, of what surrounds the face.
        texture: Channels of the texture.
        texture_channels: Of each scale of its decoder: six of them make 128 texels.
        channels: Of each scale of the renderer: six of them make 128 pixels.
        style: Length of the styles.
        pyramid: Channels of the pyramids.
        skin: What the texture's colours begin with, see `TextureDecoder`.

    Raises:
        ConfigError: A texture has no colours, or a network no scale.
    """

    CONDITIONS = 9  # light 3, normals 3, mask 1, texture coordinates 2

    def __init__(
        self,
        face_code: int = 96,
        additive_code: int = 48,
        texture: int = 12,
        texture_channels: Sequence[int] = (96, 96, 64, 48, 32, 16),
        channels: Sequence[int] = (96, 96, 96, 64, 32, 16),
        style: int = 96,
        pyramid: int = 20,
        skin: str | None = OPEN,
    ) -> None:
        super().__init__()
        if texture < COLOURS:
            raise ConfigError(
                "a texture begins with its colours",
                where="system.generator.texture",
                expected=f"{COLOURS} or more channels",
                found=texture,
            )
        self.face_code, self.additive_code = face_code, additive_code
        self.code, self.channels = face_code + additive_code, texture
        self.decoder = TextureDecoder(face_code, texture, texture_channels, style, pyramid, skin)
        self.renderer = StyledRenderer(style, channels, texture + COLOURS + 7, pyramid)
        self.mapping = nn.Sequential(
            small_linear(additive_code, style),
            nn.LeakyReLU(SLOPE),
            small_linear(style, style),
            nn.LeakyReLU(SLOPE),
        )
        self.resolution = self.renderer.resolution

    def forward(self, codes: Tensor, conditions: Tensor) -> Tensor:
        """Pictures ``(B, 3, S, S)`` in about [0, 1], unclamped.

        Args:
            codes: ``(B, code)``.
            conditions: ``(B, 9, S, S)`` of `light_renderer`.
        """
        return self.show(self.texture(codes), codes, conditions)

    def texture(self, codes: Tensor) -> Tensor:
        """Neural textures ``(B, texture, T, T)`` of codes ``(B, code)``.

        Where nothing is learnt, who is shown several times, in other poses, is decoded once.
        """
        codes = codes[:, : self.face_code]
        if torch.is_grad_enabled():
            found: Tensor = self.decoder(codes)
            return found
        people, place = torch.unique(codes, dim=0, return_inverse=True)
        once: Tensor = self.decoder(people)
        return once[place]

    def show(self, textures: Tensor, codes: Tensor, conditions: Tensor) -> Tensor:
        """Pictures of textures, which may have been edited, and of the rest of the codes.

        Args:
            textures: ``(B, texture, T, T)``.
            codes: ``(B, code)``, of which the second part counts.
            conditions: ``(B, 9, S, S)``.
        """
        side = self.resolution
        check_shape(conditions, f"B {self.CONDITIONS} {side} {side}", "conditions")
        features = sampled(textures, conditions)
        lit = lit_colours(features, conditions)
        maps = torch.cat([features, lit, conditions[:, :7]], 1)
        style = self.mapping(codes[:, self.face_code :])
        return self.renderer.corrections(style, maps) + lit


def lit_colours(features: Tensor, conditions: Tensor) -> Tensor:
    """The colours of sampled textures in the light: ``(B, 3, S, S)``, premultiplied."""
    mask = conditions[:, 6:7].float()
    light = BRIGHT * conditions[:, :COLOURS].float() / mask.clamp(min=1e-3)
    return features[:, :COLOURS] * light


def _skin(skin: str | None, side: int) -> tuple[Tensor, Tensor, Tensor, str | None]:
    """Mean colours ``(3, T, T)``, components times deviations ``(K, 3, T, T)``, what tells them
    from others, and the face model whose they are.
    """
    if skin is None:
        grey, nothing = torch.full((COLOURS, side, side), 0.5), torch.zeros(1, COLOURS, side, side)
        return grey, nothing, torch.zeros(COLOURS + 1, dtype=torch.int32), None
    model = TextureModel.load(skin)
    scaled = model.std[:, None, None, None] * model.basis
    maps = torch.cat([model.mean[None], scaled])
    maps = functional.interpolate(
        maps, (side, side), mode="bilinear", antialias=True, align_corners=False
    )
    # Coarse enough for any machine's rounding, and the same for all sides.
    digest = (torch.cat([model.mean.mean((1, 2)), model.std]) * 1000).round().to(torch.int32)
    return maps[0], maps[1:], digest, model.model


def _with_the_same_skin(
    decoder: TextureDecoder, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Before weights are loaded: they add to the same skin.

    Raises:
        CheckpointError: They were trained with another.
    """
    found = state.get(f"{prefix}skin_digest")
    same = found is not None and found.shape == decoder.skin_digest.shape
    if found is None or (same and int((found.cpu() - decoder.skin_digest).abs().max()) <= 1):
        return
    raise CheckpointError(
        "these textures begin with another skin than this version of facemorph has",
        where="system.generator.skin",
        remedy="Take the version of facemorph that the checkpoint's card names, or train again.",
    )


def _places(side: int) -> Tensor:
    """Waves ``(4 W, T, T)`` that say where a texel is."""
    centre = torch.linspace(0, 2 * torch.pi, side)
    angles = torch.stack([turns * centre for turns in WAVES])
    across = angles[:, None].expand(-1, side, -1)
    both = torch.cat([across, across.mT])
    return torch.cat([both.sin(), both.cos()])
