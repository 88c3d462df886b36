"""GDPW's generator: features of one picture, warped level by level to a target's pose.

Source: Zhong, Amjadi and Zharkov, Geometry Driven Progressive Warping (BMVC 2022), with the
settings of the released code. Levels have the strides s = 1, 2, 4, ... S:

| symbol | here | what |
|---|---|---|
| f_s | ``entry``, ``encoder`` | features of the source (with its codes as further channels) |
| k_s | ``shortcuts`` | the same after one more convolution |
| m_s | ``modulation`` | codes and flow of the target's mesh, smoothed, at stride s |
| o_S = [f_S, warp(f_S, mesh flow)] | ``bottleneck`` | the start |
| o_s = SPADE([up(o_2s), warp(k_s, w_s)], m_s) | ``decoder`` | each level |
| w_s | ``flows`` | predicted from o_2s, in pixels of stride s; not the sum of those before |
| rgb, alpha = sigmoid(conv([up(o_2), warp(k_1, w_1)])) | ``exit`` | the picture |

Departures: zero flows leave the features in their place, unless ``published_grid`` asks for the
released code's grid (see ``facemorph.systems.gdpw.warping``); the renders are made by
``facemorph.systems.gdpw.guidance`` beforehand; encoder and decoder can be called one after the
other, so that a source is encoded once for a whole video. k_S is never used: its 9,440,256 weights
are kept for the published count and files, and frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError, DataError
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.ops.shapes import check_shape
from facemorph.systems.gdpw.blocks import ConvolutionBlock, SpadeResidualBlock
from facemorph.systems.gdpw.guidance import Guidance
from facemorph.systems.gdpw.warping import flow_of_pixels, smoothed_at_stride, warp

WHERE = "system.generator"
PUBLISHED_WIDTHS = (32, 64, 128, 256, 512, 1024)  # at strides 1 to 32
FLAME_VERTICES = 5023
GuidanceKind = Literal["neural_codes", "geom_disp", "both"]
KINDS = ("neural_codes", "geom_disp", "both")
FLOW_CHANNELS = 2


class SourceFeatures(NamedTuple):
    """What the encoder makes of a source; it does not depend on the target.

    Attributes:
        picture: ``(B, 3, H, W)`` in [0, 1].
        bottleneck: ``(B, C, H / S, W / S)``.
        shortcuts: Features at strides 1, 2, ... S / 2.
    """

    picture: Tensor
    bottleneck: Tensor
    shortcuts: list[Tensor]

    def repeated(self, count: int) -> SourceFeatures:
        """One source for ``count`` targets, without copies."""
        picture, bottleneck, *shortcuts = (
            values.expand(count, -1, -1, -1)
            for values in (self.picture, self.bottleneck, *self.shortcuts)
        )
        return SourceFeatures(picture, bottleneck, shortcuts)


class GDPWOutput(NamedTuple):
    """What the generator gives.

    Attributes:
        picture: ``(B, 3, H, W)`` in [0, 1], the result: the colours, or with alpha blending
            ``alpha colours + (1 - alpha) warped``.
        colours: ``(B, 3, H, W)`` in [0, 1] that the network made.
        alpha: ``(B, 1, H, W)`` in [0, 1], their share with alpha blending; else without meaning.
        warped: The source's picture, warped by the flow of stride 1.
        flows: By stride S / 2, ... 2, 1: predicted flows ``(B, 2, H / s, W / s)``.
        mesh_flows: By stride 1, 2, ... S: those of the meshes, zero with ``neural_codes``.
        published_grid: How flows are meant, for whoever warps by them.
    """

    picture: Tensor
    colours: Tensor
    alpha: Tensor
    warped: Tensor
    flows: dict[int, Tensor]
    mesh_flows: dict[int, Tensor]
    published_grid: bool


class DecoderLevel(nn.Module):
    """One level of the way up: SPADE's block, the next level's flow, and features of its size.

    Args:
        inputs: Channels that come in.
        channels: Channels of the block.
        outputs: Channels of the next level.
        modulation: Channels of the guidance.
    """

    def __init__(self, inputs: int, channels: int, outputs: int, modulation: int) -> None:
        super().__init__()
        self.block = SpadeResidualBlock(inputs, channels, modulation)
        self.flow = nn.Conv2d(channels, FLOW_CHANNELS, 3, padding=1)
        self.up = ConvolutionBlock(channels, outputs, "up")

    def forward(self, x: Tensor, modulation: Tensor) -> tuple[Tensor, Tensor]:
        """Features and displacements in pixels, both of twice the size.

        Args:
            x: ``(B, inputs, H, W)``.
            modulation: ``(B, modulation, H, W)``.

        Returns:
            ``(B, outputs, 2 H, 2 W)`` and ``(B, 2, 2 H, 2 W)``.
        """
        x = self.block(x, modulation)
        pixels = F.interpolate(
            at_least_float(self.flow(x)), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        return self.up(x), pixels


class GDPWGenerator(nn.Module):
    """Pictures of a source in the pose of a target, from the source and renders of both meshes.

    The defaults are the paper's: 141,883,134 weights with ``both``, 141,811,710 with
    ``neural_codes``, 141,226,766 with ``geom_disp``. Any size that the largest stride divides will
    do; the paper has 256 x 256.

    Args:
        guidance: ``geom_disp`` for flows of the meshes, ``neural_codes`` for learned numbers of the
            vertices, or ``both``.
        widths: Channels at strides 1, 2, 4, ...
        code_size: Numbers of each vertex.
        num_vertices: Vertices of the meshes; FLAME's where not given.
        alpha_blending: Whether the result takes the warped source where alpha is small; the
            paper's configuration does not.
        published_grid: Whether to sample as the released code does; for the authors' weights.

    Raises:
        ConfigError: There is no such guidance, or a number is not positive.
    """

    codes: nn.Parameter | None

    def __init__(
        self,
        guidance: GuidanceKind = "both",
        widths: Sequence[int] = PUBLISHED_WIDTHS,
        code_size: int = 16,
        num_vertices: int = FLAME_VERTICES,
        alpha_blending: bool = False,
        published_grid: bool = False,
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        _check_options(guidance, self.widths, code_size, num_vertices)
        self.guidance, self.code_size = guidance, code_size
        self.alpha_blending, self.published_grid = alpha_blending, published_grid
        self.strides = tuple(2**level for level in range(len(self.widths)))
        with_codes = code_size if guidance != "geom_disp" else 0
        modulation = with_codes + (FLOW_CHANNELS if guidance != "neural_codes" else 0)
        self.codes = nn.Parameter(torch.rand(num_vertices, code_size)) if with_codes else None
        self.entry = ConvolutionBlock(3 + with_codes, self.widths[0])
        self.encoder = nn.ModuleList(
            ConvolutionBlock(self.widths[level - 1], self.widths[level], "down")
            for level in range(1, len(self.widths))
        )
        self.shortcuts = nn.ModuleList(ConvolutionBlock(width, width) for width in self.widths)
        # Never called. Without gradients distributed training does not wait for them.
        self.shortcuts[-1].requires_grad_(False)
        self.decoder = nn.ModuleList(  # from the coarsest level on
            DecoderLevel(2 * self.widths[level], self.widths[level], below, modulation)
            for level, below in reversed(list(enumerate(self.widths[:-1], 1)))
        )
        self.exit = nn.Conv2d(2 * self.widths[0], 4, 3, padding=1)

    @property
    def uses_codes(self) -> bool:
        """Whether guidance must have codes."""
        return self.guidance != "geom_disp"

    def encode(self, source: Tensor, source_codes: Tensor | None = None) -> SourceFeatures:
        """Features of a source, for `decode`.

        Args:
            source: ``(B, 3, H, W)`` in [0, 1]; the largest stride divides H and W.
            source_codes: ``(B, code_size, H, W)`` of the source's mesh; None with ``geom_disp``.

        Raises:
            DataError: A shape is wrong, or codes are missing or of no use.
        """
        sizes = check_shape(source, "B 3 H W", "source")
        self._check_size(sizes)
        x = source
        if self._check_codes(source_codes, sizes, "the source's codes") is not None:
            x = torch.cat([source, source_codes.to(source)], 1)  # type: ignore[union-attr]
        x = self.entry(x)
        shortcuts = []
        for down, shortcut in zip(self.encoder, self.shortcuts, strict=False):
            shortcuts.append(shortcut(x))
            x = down(x)
        return SourceFeatures(source, x, shortcuts)

    def decode(self, features: SourceFeatures, guidance: Guidance) -> GDPWOutput:
        """The source in the target's pose.

        Args:
            features: What `encode` gave; one source may serve many targets.
            guidance: Of the targets: flow, and codes where the network has them.

        Raises:
            DataError: A shape is wrong, or codes are missing or of no use.
        """
        sizes = check_shape(guidance.flow, "B 2 H W", "flow")
        if len(features.picture) == 1 < sizes["B"]:
            features = features.repeated(sizes["B"])
        check_shape(features.picture, f"{sizes['B']} 3 {sizes['H']} {sizes['W']}", "source")
        self._check_codes(guidance.target_codes, sizes, "the target's codes")
        modulation = self._modulation(guidance, features.picture.dtype)
        mesh_flows = {stride: self._mesh_flow(one) for stride, one in modulation.items()}
        x = features.bottleneck
        x = torch.cat([x, self._warp(x, mesh_flows[self.strides[-1]])], 1)
        flows: dict[int, Tensor] = {}
        for number, level in enumerate(self.decoder, 2):
            finer = self.strides[-number]
            x, pixels = level(x, modulation[2 * finer])
            flows[finer] = flow_of_pixels(pixels, published_grid=self.published_grid)
            moved = self._warp(features.shortcuts[-number + 1], flows[finer])
            x = torch.cat([x, moved], 1)
        colours, alpha = at_least_float(self.exit(x)).sigmoid().split([3, 1], 1)
        warped = self._warp(features.picture, flows[1])
        picture = warped + alpha * (colours - warped) if self.alpha_blending else colours
        return GDPWOutput(picture, colours, alpha, warped, flows, mesh_flows, self.published_grid)

    def forward(self, source: Tensor, guidance: Guidance) -> GDPWOutput:
        """The sources in their targets' poses.

        Args:
            source: ``(B, 3, H, W)`` in [0, 1]; the largest stride divides H and W.
            guidance: Renders of both meshes, with this network's ``codes`` where it has them.

        Raises:
            DataError: A shape is wrong, or codes are missing or of no use.
        """
        return self.decode(self.encode(source, guidance.source_codes), guidance)

    def _warp(self, values: Tensor, flow: Tensor) -> Tensor:
        return warp(values, flow, published_grid=self.published_grid)

    def _modulation(self, guidance: Guidance, dtype: torch.dtype) -> dict[int, Tensor]:
        """Guidance at each stride: codes, then flow."""
        parts = [guidance.target_codes] if guidance.target_codes is not None else []
        if self.guidance != "neural_codes":
            parts.append(guidance.flow)
        whole = torch.cat(parts, 1).to(dtype)
        return {stride: smoothed_at_stride(whole, stride) for stride in self.strides}

    def _mesh_flow(self, modulation: Tensor) -> Tensor:
        """The flow in it; zeros where it has none, as published."""
        if self.guidance == "neural_codes":
            return torch.zeros_like(modulation[:, :FLOW_CHANNELS])
        return modulation[:, -FLOW_CHANNELS:]

    def _check_size(self, sizes: dict[str, int]) -> None:
        stride = self.strides[-1]
        height, width = sizes["H"], sizes["W"]
        if height % stride or width % stride:
            raise DataError(
                "pictures of this size cannot be halved often enough",
                expected=f"multiples of {stride}",
                found=f"{height} x {width}",
                remedy="Crop or resize them.",
            )
        if self.training and sizes["B"] * height * width <= stride**2:
            raise DataError(
                "one picture of the smallest size has no statistics to train with",
                expected=f"several pictures, or more than {stride} pixels a side",
                found=f"{sizes['B']} of {height} x {width}",
            )

    def _check_codes(self, codes: Tensor | None, sizes: dict[str, int], name: str) -> Tensor | None:
        if (codes is None) == self.uses_codes:
            raise DataError(
                f"{name} and the network's guidance do not fit",
                where=f"{WHERE}.guidance",
                expected="codes" if self.uses_codes else "no codes",
                found="none" if codes is None else tuple(codes.shape),
            )
        if codes is not None:
            wanted = f"{sizes['B']} {self.code_size} {sizes['H']} {sizes['W']}"
            check_shape(codes, wanted, name)
        return codes


def _check_options(guidance: str, widths: tuple[int, ...], code_size: int, vertices: int) -> None:
    if guidance not in KINDS:
        raise ConfigError(
            "there is no such guidance",
            where=f"{WHERE}.guidance",
            expected=" or ".join(KINDS),
            found=guidance,
        )
    if len(widths) < 2 or min(widths) < 1:
        raise ConfigError(
            "these are no levels",
            where=f"{WHERE}.widths",
            expected="channels of two strides at least",
            found=widths,
        )
    # Below two channels there would be no room for the zero flow of `neural_codes`.
    for name, value, least in (("code_size", code_size, 2), ("num_vertices", vertices, 1)):
        if value < least:
            raise ConfigError(
                "this number is too small",
                where=f"{WHERE}.{name}",
                expected=f">= {least}",
                found=value,
            )
