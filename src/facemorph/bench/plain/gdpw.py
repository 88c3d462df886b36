"""Plain twin of GDPW's networks as they are used: equations one after the other, published names.

Slow and simple on purpose: what ``facemorph.systems.gdpw`` is compared with. Evaluation only.
Weights are divided by their norms at each call, guidance is smoothed by whole square windows, and
the grid is the released code's, so that a zero flow is not the identity. Tensors have the names of
GDPW's released checkpoints, so that this stands for such a file in tests of the converter. Written
from the specification (Zhong et al., BMVC 2022), not from that code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def plain_lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.1."""
    return torch.where(x >= 0, x, 0.1 * x)


def plain_warp(values: Tensor, flow: Tensor) -> Tensor:
    """The released code's warp: corners at -1 and 1, sampled as if half a pixel further in."""
    height, width = values.shape[2:]
    line = {size: torch.linspace(-1, 1, size, dtype=values.dtype) for size in (height, width)}
    x = line[width][None, None] + flow[:, 0]
    y = line[height][None, :, None] + flow[:, 1]
    return F.grid_sample(values, torch.stack([x, y], -1), align_corners=False)


class PlainSmoothing(nn.Module):
    """Gaussian of (s - 1) / 2 as a square window, kept as a buffer; then every s-th value."""

    weight: Tensor

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        sigma = (stride - 1) / 2
        side = 2 * round(4 * sigma) + 1
        offsets = torch.arange(side) - side // 2
        squares = offsets[:, None].square() + offsets[None].square()
        # The published buffer of stride 1 is not a number either, and never used.
        window = torch.exp(-squares / (2 * torch.tensor(sigma) ** 2))
        self.register_buffer("weight", (window / window.sum()).repeat(channels, 1, 1, 1))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C, H / s, W / s)``."""
        if self.stride == 1:
            return x
        weight = self.weight.to(x.dtype)
        full = F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=len(weight))
        return full[:, :, :: self.stride, :: self.stride]


class PlainSpectral(nn.Module):
    """Convolution over the norm that its two vectors tell."""

    weight_u: Tensor
    weight_v: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int = 3, padding: int | None = None
    ) -> None:
        super().__init__()
        start = nn.Conv2d(inputs, outputs, size)
        self.bias = nn.Parameter(torch.randn(outputs) / 10)
        self.weight_orig = nn.Parameter(start.weight.detach())
        left, _, right = torch.linalg.svd(self.weight_orig.detach().flatten(1), full_matrices=False)
        # Not quite the largest pair, as after a finite number of steps.
        self.register_buffer("weight_u", F.normalize(left[:, 0] + 0.01, dim=0))
        self.register_buffer("weight_v", F.normalize(right[0] + 0.01, dim=0))
        self.padding = size // 2 if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        norm = (self.weight_u[:, None] * self.weight_orig.flatten(1) * self.weight_v[None]).sum()
        return F.conv2d(x, self.weight_orig / norm, self.bias, padding=self.padding)


class PlainBlock(nn.Module):
    """Convolution, normalisation, leaky ReLU; ``down`` averages after, ``up`` repeats before."""

    def __init__(
        self, inputs: int, outputs: int, resize: str = "", size: int = 3, padding: int = 1
    ) -> None:
        super().__init__()
        self.conv = PlainSpectral(inputs, outputs, size, padding)
        self.norm = nn.BatchNorm2d(outputs)
        self.resize = resize

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        if self.resize == "up":
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = plain_lrelu(self.norm(self.conv(x)))
        if self.resize == "down":
            x = x[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
            x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
        return x


class PlainSpade(nn.Module):
    """Normalisation with scale and shift from a picture."""

    def __init__(self, channels: int, modulation: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared_conv = nn.Sequential(PlainSpectral(modulation, hidden))
        self.gamma_conv = PlainSpectral(hidden, channels)
        self.beta_conv = PlainSpectral(hidden, channels)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """``(B, channels, H, W)`` to the same shape."""
        hidden = plain_lrelu(self.shared_conv(modulation))
        statistics = self.norm.state_dict()
        mean, variance = (
            statistics[name][:, None, None] for name in ("running_mean", "running_var")
        )
        normal = (x - mean) / (variance + 1e-5).sqrt()
        return normal * (1 + self.gamma_conv(hidden)) + self.beta_conv(hidden)


class PlainResidual(nn.Module):
    """SPADE, activation and convolution, twice, beside a convolution of one pixel."""

    def __init__(self, inputs: int, outputs: int, modulation: int) -> None:
        super().__init__()
        self.non_identity_shortcut = PlainSpectral(inputs, outputs, 1)
        self.spade1 = PlainSpade(inputs, modulation, outputs)
        self.conv1 = PlainSpectral(inputs, outputs)
        self.spade2 = PlainSpade(outputs, modulation, outputs)
        self.conv2 = PlainSpectral(outputs, outputs)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        y = self.conv1(plain_lrelu(self.spade1(x, modulation)))
        y = self.conv2(plain_lrelu(self.spade2(y, modulation)))
        return y + self.non_identity_shortcut(x)


class PlainGDPW(nn.Module):
    """The generator in the published layout.

    Args:
        widths: Channels at strides 1, 2, 4, ...
        vertices: Vertices of the mesh; 0 for a network without codes.
        with_flow: Whether the flow is guidance.
        code_size: Numbers of each vertex.
    """

    def __init__(
        self, widths: list[int], vertices: int, with_flow: bool, code_size: int = 16
    ) -> None:
        super().__init__()
        self.codes, self.with_flow = code_size if vertices else 0, with_flow
        guide = self.codes + 2 * with_flow
        self.mesh_renderer = nn.Module()
        self.mesh_renderer.register_buffer("tri", torch.zeros(2, 3, dtype=torch.int32))
        if vertices:
            self.embeds = nn.Parameter(torch.rand(vertices, code_size))
        self.down_layers, self.shortcut_layers = nn.ModuleDict(), nn.ModuleDict()
        self.downsamples, self.up_layers = nn.ModuleDict(), nn.ModuleDict()
        before = 3 + self.codes
        for level, width in enumerate(widths):
            name = f"x{2**level}"
            self.down_layers[name] = PlainBlock(before, width, "down" if level else "")
            self.shortcut_layers[name] = PlainBlock(width, width)
            self.downsamples[name] = PlainSmoothing(guide, 2**level)
            before = width
        for level in range(len(widths) - 1, 0, -1):
            name, width = f"x{2**level}", widths[level]
            self.up_layers[f"{name}_spade"] = PlainResidual(2 * width, width, guide)
            self.up_layers[f"{name}_flow"] = nn.Conv2d(width, 2, 3, padding=1)
            self.up_layers[f"{name}_up"] = PlainBlock(width, widths[level - 1], "up")
        self.up_layers["x1_out"] = nn.Conv2d(2 * widths[0], 4, 3, padding=1)

    def forward(
        self, source: Tensor, flow: Tensor, target_codes: Tensor | None, source_codes: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, dict[int, Tensor]]:
        """Colours, alpha, the warped source, and flows by stride.

        Args:
            source: ``(B, 3, H, W)`` in [0, 1].
            flow: ``(B, 2, H, W)``.
            target_codes: ``(B, C, H, W)``, or None.
            source_codes: ``(B, C, H, W)``, or None.
        """
        x = source if source_codes is None else torch.cat([source, source_codes], 1)
        features = {}
        for name, layer in self.down_layers.items():
            x = features[name] = layer(x)
        parts = [] if target_codes is None else [target_codes]
        guide = torch.cat([*parts, flow] if self.with_flow else parts, 1)
        guides = {name: layer(guide) for name, layer in self.downsamples.items()}
        coarsest = list(features)[-1]
        mesh_flow = guides[coarsest][:, self.codes : self.codes + 2]
        if not self.with_flow:
            mesh_flow = torch.zeros_like(guides[coarsest][:, :2])
        x = torch.cat([x, plain_warp(x, mesh_flow)], 1)
        flows = {}
        for stride in (2**level for level in range(len(features) - 1, 0, -1)):
            x = self.up_layers[f"x{stride}_spade"](x, guides[f"x{stride}"])
            pixels = self.up_layers[f"x{stride}_flow"](x)
            pixels = F.interpolate(pixels, scale_factor=2, mode="bilinear", align_corners=False)
            x = self.up_layers[f"x{stride}_up"](x)
            sides = torch.tensor([pixels.shape[3] - 1, pixels.shape[2] - 1])[:, None, None]
            finer = f"x{stride // 2}"
            flow = flows[stride // 2] = 2 * pixels / sides
            x = torch.cat([x, plain_warp(self.shortcut_layers[finer](features[finer]), flow)], 1)
        made = torch.sigmoid(self.up_layers["x1_out"](x))
        return made[:, :3], made[:, 3:], plain_warp(source, flows[1]), flows


class PlainScores(nn.Module):
    """The discriminator in the published layout, of one scale.

    Args:
        width: Channels of the first layer.
        layers: Layers that halve the picture.
    """

    def __init__(self, width: int = 32, layers: int = 4) -> None:
        super().__init__()
        widths = [3, *(width * 2**number for number in range(layers))]
        blocks = [
            PlainBlock(widths[number], widths[number + 1], "down", 4, 2) for number in range(layers)
        ]
        one = nn.ModuleDict(
            {
                "layers": nn.Sequential(*blocks),
                "out_convs": nn.Sequential(nn.Conv2d(widths[-1], 1, 4, padding=2)),
            }
        )
        self.discs = nn.ModuleDict({"x1": one})
        self.downs = nn.ModuleDict({"x1": PlainSmoothing(3, 1)})

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to scores ``(B, 1, H', W')``."""
        x = images
        for layer in self.discs["x1"].values():  # type: ignore[operator]
            x = layer(x)
        return x
