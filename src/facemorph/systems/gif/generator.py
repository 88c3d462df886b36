"""GIF's generator: StyleGAN2 with a picture's render and normals in place of random noise.

Source: Ghosh et al., GIF: Generative Interpretable Faces (3DV 2020), section 3, and its released
configuration ``flame_256``:

| symbol | here | what |
|---|---|---|
| z_i | ``codes`` | one frozen random code of 512 numbers for each training picture |
| w | ``styles`` | mapping network of 8 layers (learning rate x 0.01) |
| c | ``conditions`` | textured render and normal map, 6 channels in [-1, 1] |
| c_s | ``condition_pyramid`` | the conditions at each scale s = 4, 8, ... |
| y = lrelu(mod(x, w) + inject(c_s) + b) sqrt(2) | ``StyledConvolution`` | each layer |

Departures: stages beyond the resolution are not built; scales share one pyramid; arithmetic is
that of ``facemorph.networks.stylegan2``. The *vector* form, which the authors announced and whose
code they did not release, has no injection: w = MLP([n(z), n(MLP(parameters))]) with n the
normalisation of `PixelNorm`, as in conditional StyleGAN2 (Karras et al. 2020, ADA).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.networks.stylegan2.blocks import (
    GAIN,
    EqualLinear,
    MappingNetwork,
    PixelNorm,
    StyledConvolution,
    ToRGB,
    at_least_float,
    full_precision,
)
from facemorph.networks.stylegan2.widths import PUBLISHED, SMALLEST, Widths, channel_widths
from facemorph.ops.shapes import check_shape

WHERE = "system.generator"
PUBLISHED_CODES = 69_158  # FFHQ without the pictures on which DECA failed
SPREAD, BIAS = 0.01, 1e-4  # of the injection's weights and biases at the start
ROWS = 4096  # of the table at a time, for its mean style


def condition_pyramid(conditions: Tensor, sizes: list[int], antialias: bool) -> list[Tensor]:
    """Conditions ``(B, C, H, W)`` at each size, bilinear, in float32 at least.

    Without ``antialias`` small sizes are point samples, as in the released code: 16 of them at 4
    pixels.
    """
    with full_precision(conditions):
        picture = at_least_float(conditions)
        return [
            picture
            if picture.shape[2:] == (size, size)
            else F.interpolate(
                picture, (size, size), mode="bilinear", align_corners=False, antialias=antialias
            )
            for size in sizes
        ]


class ConditionInjection(nn.Module):
    """Three convolutions that turn a condition into an addition to a layer's features.

    Ghosh et al. 2020: c to 2 c to 4 c channels with ReLU, then to the layer's; weights start with a
    spread of 0.01 and biases of 1e-4.

    Args:
        channels: Of the condition.
        outputs: Channels of the layer.
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        widths = (channels, 2 * channels, 4 * channels, outputs)
        self.first, self.second, self.last = (
            nn.Conv2d(inputs, made, 3, padding=1) for inputs, made in pairwise(widths)
        )
        for layer in (self.first, self.second, self.last):
            nn.init.normal_(layer.weight, std=SPREAD)
            nn.init.constant_(layer.bias, BIAS)  # type: ignore[arg-type]

    def forward(self, condition: Tensor, bias: Tensor, gain: float) -> Tensor:
        """``gain`` times the convolutions' output plus the layer's bias.

        Args:
            condition: ``(B, channels, H, W)``.
            bias: ``(outputs,)`` of the layer; added here it costs nothing.
            gain: Factor of both.

        Returns:
            ``(B, outputs, H, W)``.
        """
        x = F.relu(self.second(F.relu(self.first(condition))))
        total = (bias if self.last.bias is None else bias + self.last.bias) * gain
        return F.conv2d(x, self.last.weight * gain, total, padding=1)


class GIFGenerator(nn.Module):
    """Pictures from codes, and from renders or face parameters.

    The defaults are the paper's ``flame_256``: 31,243,505 weights. Mapping, demodulation, condition
    pyramid and the sum of the scales' pictures stay in float32 under autocast. There is no other
    random number than the code, and mixing of styles, which the released code never did either,
    is left to the caller, who can give each layer its style.

    Args:
        resolution: Side of the pictures, a power of two from 16 to 1024.
        widths: Channels of each resolution, or ``(base, most)``: base over the resolution, but not
            more than ``most``.
        condition_channels: 6 for render and normals, 3 for one of them.
        vector: Size of a vector of face parameters that takes the place of the conditions; None
            for pictures as conditions.
        num_codes: Rows of the table of codes, one for each training picture.
        train_codes: Whether the table is trained; it is frozen in the paper.
        style_size: Features of a code and of a style.
        mapping_layers: Layers of the mapping network.
        mapping_gain: Factor behind its leaky ReLUs: 1 as in the released code, or ``sqrt2`` as in
            StyleGAN2.
        antialias: Whether conditions are smoothed before they are made small; the paper does not.

    Raises:
        ConfigError: The resolution, a width or another number cannot be.
    """

    codes: Tensor

    def __init__(
        self,
        resolution: int = 256,
        widths: Widths = PUBLISHED,
        condition_channels: int = 6,
        vector: int | None = None,
        num_codes: int = PUBLISHED_CODES,
        train_codes: bool = False,
        style_size: int = 512,
        mapping_layers: int = 8,
        mapping_gain: float | Literal["sqrt2"] = 1.0,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        self.widths = channel_widths(resolution, widths, WHERE)
        numbers = {
            "condition_channels": condition_channels,
            "num_codes": num_codes,
            "style_size": style_size,
            "mapping_layers": mapping_layers,
            "vector": 1 if vector is None else vector,
        }
        for name, value in numbers.items():
            if value < 1:
                raise ConfigError(
                    "this must be positive", where=f"{WHERE}.{name}", expected=">= 1", found=value
                )
        self.resolution, self.condition_channels = resolution, condition_channels
        self.vector, self.style_size, self.antialias = vector, style_size, antialias
        self._make_mapping(mapping_layers, _gain(mapping_gain))
        table = torch.randn(num_codes, style_size)
        if train_codes:
            self.codes = nn.Parameter(table)
        else:
            self.register_buffer("codes", table)
        self._make_scales()

    def _make_mapping(self, layers: int, gain: float) -> None:
        size = self.style_size
        inputs = size if self.vector is None else 2 * size
        self.mapping = MappingNetwork(size, layers, gain=gain, inputs=inputs)
        self.parameter_features: nn.Module | None = None
        if self.vector is not None:
            self.parameter_features = nn.Sequential(
                EqualLinear(self.vector, size, activation=True, gain=GAIN), EqualLinear(size, size)
            )
            self.normalise = PixelNorm()

    def _make_scales(self) -> None:
        sizes, style = list(self.widths), self.style_size
        first = self.widths[SMALLEST]
        self.constant = nn.Parameter(torch.randn(1, first, SMALLEST, SMALLEST))
        self.layers, self.pictures = nn.ModuleList(), nn.ModuleList()
        for size in sizes:
            width, below = self.widths[size], self.widths[max(size // 2, SMALLEST)]
            if size > SMALLEST:
                self.layers.append(self._layer(below, width, up=True))
            self.layers.append(self._layer(width, width, up=False))
            self.pictures.append(ToRGB(width, style, skip=size > SMALLEST))

    def _layer(self, inputs: int, outputs: int, *, up: bool) -> StyledConvolution:
        injection = (
            ConditionInjection(self.condition_channels, outputs) if self.vector is None else None
        )
        return StyledConvolution(inputs, outputs, self.style_size, up=up, injection=injection)

    @property
    def num_layers(self) -> int:
        """Layers that take a style: one at 4 pixels and two at each scale above."""
        return len(self.layers)

    def styles(self, codes: Tensor, vector: Tensor | None = None) -> Tensor:
        """Styles ``(B, style_size)``.

        Args:
            codes: Rows of the table ``(B,)``, integers, or codes ``(B, style_size)``.
            vector: Face parameters ``(B, vector)`` of the vector form.

        Raises:
            DataError: A shape is wrong.
            ConfigError: A vector is missing, or given to a generator without.
        """
        if not codes.is_floating_point():
            check_shape(codes, "B", "numbers of codes")
            codes = self.codes[codes]
        check_shape(codes, f"B {self.style_size}", "codes")
        if (vector is None) != (self.parameter_features is None):
            raise ConfigError(
                "the generator and its conditions do not fit",
                where=f"{WHERE}.vector",
                expected="no vector" if self.parameter_features is None else "a vector",
                found="none" if vector is None else tuple(vector.shape),
            )
        if vector is None or self.parameter_features is None:
            styles: Tensor = self.mapping(codes)
            return styles
        check_shape(vector, f"B {self.vector}", "face parameters")
        with full_precision(codes):
            features = self.parameter_features(at_least_float(vector))
            both = torch.cat([self.normalise(at_least_float(codes)), self.normalise(features)], 1)
            styles = self.mapping(both)
        return styles

    @torch.no_grad()
    def mean_style(self, vector: Tensor | None = None) -> Tensor:
        """Mean style ``(style_size,)`` of the whole table, for `truncate`.

        It is made anew by each call, so that it is never that of older weights.

        Args:
            vector: Face parameters ``(vector,)`` of the vector form.
        """
        total = self.codes.new_zeros(self.style_size)
        for rows in self.codes.split(ROWS):
            repeated = None if vector is None else vector.expand(len(rows), -1)
            total += self.styles(rows, repeated).sum(0)
        return total / len(self.codes)

    def synthesis(self, styles: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Pictures ``(B, 3, resolution, resolution)``, nominally in [-1, 1], in float32 at least.

        Args:
            styles: ``(B, style_size)``, or one for each layer ``(B, num_layers, style_size)``; a
                scale's picture is made with the style of its last layer.
            conditions: ``(B, condition_channels, H, W)`` in [-1, 1], of any size; None in the
                vector form.

        Raises:
            DataError: A shape is wrong.
            ConfigError: Conditions are missing, or given to the vector form.
        """
        if styles.ndim == 2:
            styles = styles[:, None].expand(-1, self.num_layers, -1)
        check_shape(styles, f"B {self.num_layers} {self.style_size}", "styles")
        pyramid = self._pyramid(len(styles), conditions)
        x = self.constant.expand(len(styles), -1, -1, -1)
        picture, number = None, 0
        for scale, to_rgb in enumerate(self.pictures):
            for _ in range(1 if scale == 0 else 2):
                x = self.layers[number](x, styles[:, number], pyramid[scale])
                number += 1
            picture = to_rgb(x, styles[:, number - 1], picture)
        return picture  # type: ignore[return-value]

    def _pyramid(self, batch: int, conditions: Tensor | None) -> list[Tensor] | list[None]:
        """Conditions of each scale."""
        if (conditions is None) != (self.vector is not None):
            raise ConfigError(
                "the generator and its conditions do not fit",
                where=f"{WHERE}.vector",
                expected="no pictures" if self.vector is not None else "pictures as conditions",
                found="none" if conditions is None else tuple(conditions.shape),
            )
        if conditions is None:
            return [None] * len(self.widths)
        check_shape(conditions, f"{batch} {self.condition_channels} H W", "conditions")
        return condition_pyramid(conditions, list(self.widths), self.antialias)

    def forward(
        self,
        codes: Tensor,
        conditions: Tensor,
        *,
        truncation: float = 1.0,
        mean_style: Tensor | None = None,
    ) -> Tensor:
        """Pictures ``(B, 3, resolution, resolution)``, nominally in [-1, 1].

        Args:
            codes: Rows of the table ``(B,)``, integers, or codes ``(B, style_size)``.
            conditions: ``(B, condition_channels, H, W)`` in [-1, 1], or face parameters
                ``(B, vector)``.
            truncation: Share of a style's distance from the mean that is kept.
            mean_style: What `mean_style` gave; made anew where it is needed and missing.

        Raises:
            DataError: A shape is wrong.
        """
        vector = None if self.vector is None else conditions
        styles = self.styles(codes, vector)
        if truncation != 1:
            if mean_style is None and vector is not None:
                mean_style = torch.stack([self.mean_style(one) for one in vector])
            elif mean_style is None:
                mean_style = self.mean_style()
            styles = truncate(styles, mean_style, truncation)
        return self.synthesis(styles, conditions if vector is None else None)


def truncate(styles: Tensor, mean_style: Tensor, share: float) -> Tensor:
    """Styles ``(B, S)`` or ``(B, L, S)`` at a share of their distance from the mean; 1 keeps them.

    Source: Karras et al., A Style-Based Generator Architecture (2019), appendix B.
    """
    if styles.ndim == 3 and mean_style.ndim == 2:
        mean_style = mean_style[:, None]
    return mean_style + share * (styles - mean_style)


def _gain(given: float | str) -> float:
    """The mapping network's gain as a number."""
    if given == "sqrt2":
        return GAIN
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    for one in (1.0, GAIN):
        if abs(value - one) < 1e-3:
            return one
    raise ConfigError(
        "this gain is none of the two",
        where=f"{WHERE}.mapping_gain",
        expected="1 or sqrt2",
        found=given,
    )
