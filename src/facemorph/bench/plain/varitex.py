"""Plain twin of VariTex's networks: equations one after the other.

Slow and simple on purpose: what ``facemorph.systems.varitex`` is compared with. Textures are
sampled texel by texel, pixels repeated before each convolution, normalisations written out (their
running statistics do not follow in training). Places come as the released code has them: from -1 to
1, where -1 in u and v means that there is no mesh. Parts have the published names, and the tensors
in them the order and, as far as they are lightning-bolts' (Apache 2.0), the names of the released
checkpoint, so that this stands for such a file in tests of the converter. Written from the
specification (Buehler et al., ICCV 2021), not from that code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def plain_sample(values: Tensor, places: Tensor) -> Tensor:
    """Bilinear values ``(B, C, H, W)`` at places ``(B, 2, H, W)`` from -1 to 1; borders go on."""
    height, width = values.shape[2:]
    x = ((places[:, 0] + 1) * width / 2 - 0.5).clamp(0, width - 1)
    y = ((places[:, 1] + 1) * height / 2 - 0.5).clamp(0, height - 1)
    left, top = x.detach().floor().long(), y.detach().floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    rows = torch.arange(len(values))[:, None, None]
    across, down = (x - left)[..., None], (y - top)[..., None]
    last = values.permute(0, 2, 3, 1)
    upper = last[rows, top, left] * (1 - across) + last[rows, top, right] * across
    lower = last[rows, bottom, left] * (1 - across) + last[rows, bottom, right] * across
    return (upper * (1 - down) + lower * down).permute(0, 3, 1, 2)


def plain_resize(values: Tensor, side: int) -> Tensor:
    """Bilinear, without care for what lies between the samples."""
    line = (torch.arange(side, dtype=values.dtype) * 2 + 1) / side - 1
    grid = torch.stack([line.expand(side, side), line[:, None].expand(side, side)])
    return plain_sample(values, grid.expand(len(values), -1, -1, -1))


def plain_double(x: Tensor) -> Tensor:
    """Each pixel four times."""
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


class PlainNorm(nn.BatchNorm2d):
    """Batch normalisation written out."""

    def forward(self, input: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        statistics = self.state_dict()
        mean, variance = statistics["running_mean"], statistics["running_var"]
        if self.training:
            mean = input.mean((0, 2, 3))
            variance = (input - mean[:, None, None]).square().mean((0, 2, 3))
        normal = (input - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        return normal * self.weight[:, None, None] + self.bias[:, None, None]


class PlainBlock(nn.Module):
    """A residual block.

    Args:
        inputs: Channels that come in.
        middle: Channels between the convolutions.
        outputs: Channels that go out.
        stride: Of the first convolution.
        scale: How much larger the second one's input is made.
        condition: Channels of a picture that the first one sees.
    """

    def __init__(
        self,
        inputs: int,
        middle: int,
        outputs: int,
        stride: int = 1,
        scale: int = 1,
        condition: int = 0,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs + condition, middle, 3, stride, 1, bias=False)
        self.bn1 = PlainNorm(middle)
        self.conv2 = nn.Conv2d(middle, outputs, 3, padding=1, bias=False)
        self.bn2 = PlainNorm(outputs)
        self.scale, self.shortcut = scale, None
        if stride == 2 or scale == 2 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), PlainNorm(outputs)
            )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        y = x
        if condition is not None:
            y = torch.cat([x, plain_resize(condition.detach(), x.shape[2])], 1)
        y = self.bn1(self.conv1(y)).clamp(min=0)
        if self.scale == 2:
            x, y = plain_double(x), plain_double(y)
        if self.shortcut is not None:
            x = self.shortcut(x)
        return (self.bn2(self.conv2(y)) + x).clamp(min=0)


class PlainEncoder(nn.Module):
    """ResNet-18 without the first shrinking.

    Args:
        widths: Channels of the stages.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = PlainNorm(widths[0])
        before = widths[0]
        for number, width in enumerate(widths, 1):
            first = PlainBlock(before, width, width, 1 if number == 1 else 2)
            self.add_module(f"layer{number}", nn.Sequential(first, PlainBlock(width, width, width)))
            before = width

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to ``(B, C)``."""
        x = self.bn1(self.conv1(x)).clamp(min=0)
        for name, layer in self.named_children():
            x = layer(x) if name.startswith("layer") else x
        return x.mean((2, 3))


class PlainDecoder(nn.Module):
    """Of a code to channels of a picture.

    Args:
        code: Numbers of the code.
        widths: Channels at 4 x 4, then of each stage.
        channels: Of the result.
        condition: Channels of a picture that each block sees; then the start has one value for all
            its pixels.
        doublings: Stages that double the sides; all where None.
    """

    def __init__(
        self,
        code: int,
        widths: list[int],
        channels: int,
        condition: int = 0,
        doublings: int | None = None,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(code, widths[0] * (1 if condition else 16))
        for number in range(1, len(widths)):
            inputs, outputs = widths[number - 1 : number + 1]
            scale = 2 if doublings is None or number <= doublings else 1
            first = PlainBlock(inputs, inputs, outputs, 1, scale, condition)
            second = PlainBlock(outputs, outputs, outputs, 1, 1, condition)
            blocks = nn.ModuleList([first, second])
            self.add_module(f"layer{number}", blocks)
        self.conv1 = nn.Conv2d(widths[-1], channels, 3, padding=1, bias=False)

    def forward(self, code: Tensor, condition: Tensor | None = None) -> Tensor:
        """``(B, code)`` to ``(B, channels, S, S)``."""
        x = self.linear(code)
        if condition is None:
            x = x.view(len(x), -1, 4, 4)
        else:
            x = x[:, :, None, None].repeat(1, 1, 4, 4)
        for name, blocks in self.named_children():
            if name.startswith("layer"):
                first, second = list(blocks.children())
                x = second(first(x, condition), condition)
        return self.conv1(x)


class PlainTwice(nn.Module):
    """Convolution, normalisation and ReLU, twice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            PlainNorm(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            PlainNorm(outputs),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        return self.net(x)


class PlainUp(nn.Module):
    """Twice the size, joined with what was kept."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(inputs, inputs // 2, 2, 2)
        self.conv = PlainTwice(inputs, inputs // 2)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, inputs / 2, 2 H, 2 W)``."""
        return self.conv(torch.cat([kept, self.upsample(x)], 1))


class PlainUNet(nn.Module):
    """Features to a mask and colours."""

    def __init__(self, inputs: int, width: int, levels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [PlainTwice(inputs, width)]
        for _ in range(levels - 1):
            layers.append(nn.Sequential(nn.MaxPool2d(2), PlainTwice(width, 2 * width)))
            width *= 2
        for _ in range(levels - 1):
            layers.append(PlainUp(width))
            width //= 2
        self.layers, self.levels = nn.ModuleList([*layers, nn.Conv2d(width, 4, 1)]), levels

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, 4, H, W)``."""
        layers = list(self.layers)
        kept = []
        for layer in layers[: self.levels]:
            x = layer(x)
            kept.append(x)
        for layer, finer in zip(layers[self.levels : -1], kept[-2::-1], strict=True):
            x = layer(x, finer)
        return layers[-1](x)


class PlainVariTex(nn.Module):
    """The generator in the published layout; sizes follow from the numbers of stages.

    Args:
        code: Numbers of each half of the code.
        channels: Of textures and features.
        encoder: Channels of the encoder's stages.
        texture: Channels of the texture's decoder at 4 x 4, then of each stage.
        additive: Channels of the other decoder.
        width: Channels of the renderer's finest level.
        levels: Sizes that the renderer works in.
        doublings: Stages of the texture's decoder that double the sides; all where None.
    """

    def __init__(
        self,
        code: int,
        channels: int,
        encoder: list[int],
        texture: list[int],
        additive: list[int],
        width: int,
        levels: int,
        doublings: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = PlainEncoder(encoder)
        self.fc_mu = nn.Linear(encoder[-1], 2 * code)
        self.fc_var = nn.Linear(encoder[-1], 2 * code)
        self.decoder = PlainDecoder(code, texture, channels, 0, doublings)
        self.decoder_exterior = PlainDecoder(code, additive, channels, channels)
        self.texture2image = PlainUNet(2 * channels, width, levels)
        self.code = code

    def forward(
        self, image: Tensor, uv: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Colours, the mask, the texture, means and standard deviations.

        Args:
            image: ``(B, 3, H, W)`` by ImageNet's statistics.
            uv: ``(B, 2, H, W)`` from -1 to 1, both -1 off the mesh.
            noise: ``(B, 2 code)``.
        """
        features = self.encoder(image)
        mean, deviation = self.fc_mu(features), (self.fc_var(features) / 2).exp()
        code = mean + deviation * noise
        texture = self.decoder(code[:, : self.code])
        seen = ((uv[:, :1] != -1) | (uv[:, 1:] != -1)).to(uv.dtype)
        face = plain_sample(texture, uv) * seen
        around = self.decoder_exterior(code[:, self.code :], face)
        made = self.texture2image(torch.cat([face, around], 1))
        return made[:, 1:], torch.sigmoid(made[:, :1]), texture, mean, deviation


class PlainSpectral(nn.Module):
    """Convolution of 4 x 4 over the norm that its two vectors tell."""

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.weight_orig = nn.Parameter(torch.randn(outputs, inputs, 4, 4) / 8)
        self.register_buffer("weight_u", F.normalize(torch.randn(outputs), dim=0))
        right = self.weight_orig.detach().flatten(1).t() @ self.weight_u
        self.register_buffer("weight_v", F.normalize(right, dim=0))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        norm = (self.weight_u[:, None] * self.weight_orig.flatten(1) * self.weight_v[None]).sum()
        return F.conv2d(x, self.weight_orig / norm, stride=self.stride, padding=2)


class PlainScores(nn.Module):
    """The discriminator in the published layout; spectral vectors do not follow in training.

    Args:
        width: Channels of the first layer.
        layers: Layers before the scores.
        scales: Number of sizes.
    """

    def __init__(self, width: int = 64, layers: int = 4, scales: int = 2) -> None:
        super().__init__()
        widths = [min(width * 2**number, 512) for number in range(layers)]
        for scale in range(scales):
            one = nn.Module()
            one.add_module("model0", nn.Conv2d(3, width, 4, 2, 2))
            for number in range(1, layers):
                stride = 1 if number == layers - 1 else 2
                convolution = PlainSpectral(widths[number - 1], widths[number], stride)
                one.add_module(f"model{number}", convolution)
            one.add_module(f"model{layers}", nn.Conv2d(widths[-1], 1, 4, padding=2))
            self.add_module(f"discriminator_{scale}", one)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """By scale: outputs of the layers, the scores last, of ``(B, 3, H, W)``."""
        results = []
        for one in self.children():
            layers, y, outputs = list(one.children()), x, []
            for number, layer in enumerate(layers):
                y = layer(y)
                if 0 < number < len(layers) - 1:
                    centred = y - y.mean((2, 3), keepdim=True)
                    y = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
                if number < len(layers) - 1:
                    y = torch.where(y >= 0, y, 0.2 * y)
                outputs.append(y)
            results.append(outputs)
            x = self._half(x)
        return results

    @staticmethod
    def _half(x: Tensor) -> Tensor:
        """Means of what lies in windows of 3 x 3, at every second pixel."""
        window = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
        sums, counts = (
            F.conv2d(one, window, stride=2, padding=1, groups=x.shape[1])
            for one in (x, torch.ones_like(x))
        )
        return sums / counts


def plain_generator_loss(
    made: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    target: Tensor,
    mask: Tensor,
    scores: PlainScores,
) -> Tensor:
    """All losses of the generator but VGG19's, with the released weights.

    Args:
        made: What `PlainVariTex` gives.
        target: ``(B, 3, H, W)`` by ImageNet's statistics.
        mask: ``(B, 1, H, W)``.
        scores: The discriminator.
    """
    colours, shown, _, mean, deviation = made
    fake = scores(colours)
    with torch.no_grad():
        real = scores(target)
    adversarial = sum(((one[-1] - 1) ** 2).mean() for one in fake) / len(fake)
    matching = sum(
        (mine - other).abs().mean()
        for one, two in zip(fake, real, strict=True)
        for mine, other in zip(one[:-1], two[:-1], strict=True)
    ) / len(fake)
    # KL(N(0, 1) || N(mean, deviation)), as released.
    apart = (deviation.log() + (1 + mean**2) / (2 * deviation**2) - 0.5).mean()
    wanted = mask.to(shown.dtype)
    segmentation = -(wanted * shown.log() + (1 - wanted) * (1 - shown).log()).mean()
    return adversarial + matching + ((colours - target) ** 2).mean() + 0.1 * apart + segmentation


def plain_discriminator_loss(colours: Tensor, target: Tensor, scores: PlainScores) -> Tensor:
    """The loss of the discriminator: 1 for real pictures, 0 for others."""
    found = [
        0.5 * (((real[-1] - 1) ** 2).mean() + (fake[-1] ** 2).mean())
        for real, fake in zip(scores(target), scores(colours), strict=True)
    ]
    return torch.stack(found).mean()
