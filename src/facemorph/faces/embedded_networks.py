"""The three small networks whose weights come with the package: face detector, 68 landmarks,
identity.

All take RGB images ``(B, 3, H, W)`` in [0, 1] and are differentiable in the image. The weights are
safetensors files in ``facemorph/assets`` (origin and licence: ``facemorph/assets/README.md``),
compared with their sha256 before use and loaded once per process, frozen.
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.nn import functional

from facemorph.errors import CheckpointError, ChecksumError
from facemorph.storage.files import ASSETS

_DETECTOR, _LANDMARKS, _DESCRIPTOR = (
    f"{name}.safetensors"
    for name in ("face_detector_blazeface", "face_landmarks68", "face_descriptor128_uint8")
)
SHA256 = {
    _DETECTOR: "cf9ec327503d3a6b62a48b54e01d0e1cb8f23b84422ccb8d06534e3f0d4e88eb",
    _LANDMARKS: "258359c819d0246321e3e835925e55a02858277df45c304d946281e360061400",
    _DESCRIPTOR: "96985e302a29dbd7def94181895e2224d5330846a0478968479f92851831ea97",
}


def _pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's "SAME" padding: the odd pixel goes to the bottom and right."""
    amounts = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        amounts += [total // 2, total - total // 2]
    return functional.pad(x, amounts)


class _SameConv(nn.Conv2d):
    """Conv2d with "SAME" padding."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_pad_same(x, self.kernel_size[0], self.stride[0]))


class _SeparableConv(nn.Module):
    """Depthwise 3x3, then pointwise 1x1; one bias after the pair."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = _SameConv(
            channels_in, channels_in, 3, stride, groups=channels_in, bias=False
        )
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.pointwise(self.depthwise(x)))


class _BlazeBlock(nn.Module):
    """Residual separable block; the skip path is max-pooled and zero-padded in channels."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.depthwise = _SameConv(channels_in, channels_in, 3, stride, groups=channels_in)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)
        self.stride = stride
        self.extra = channels_out - channels_in

    def forward(self, x: Tensor) -> Tensor:
        skip = functional.max_pool2d(x, 2) if self.stride == 2 else x
        skip = functional.pad(skip, (0, 0, 0, 0, 0, self.extra))
        return functional.relu(skip + self.pointwise(self.depthwise(x)))


class BlazeFaceShortRange(nn.Module):
    """BlazeFace, short range: 128x128 picture to 896 boxes with six key points each (101,390
    parameters).

    Key points: the subject's right eye (on the left of the picture), left eye, nose tip, mouth
    centre, right and left ear tragion.

    Source: Bazarevsky et al., *BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs*,
    2019.
    """

    input_size = 128
    plan = (
        (24, 24, 1),
        (24, 28, 1),
        (28, 32, 2),
        (32, 36, 1),
        (36, 42, 1),
        (42, 48, 2),
        (48, 56, 1),
        (56, 64, 1),
        (64, 72, 1),
        (72, 80, 1),
        (80, 88, 1),
        (88, 96, 2),
        (96, 96, 1),
        (96, 96, 1),
        (96, 96, 1),
        (96, 96, 1),
    )
    split = 11  # blocks of the 16x16 level; the others work at 8x8
    anchor_centers: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SameConv(3, 24, 5, 2)
        self.blocks = nn.ModuleList(_BlazeBlock(*step) for step in self.plan)
        self.score16, self.score8 = nn.Conv2d(88, 2, 1), nn.Conv2d(96, 6, 1)
        self.coords16, self.coords8 = nn.Conv2d(88, 32, 1), nn.Conv2d(96, 96, 1)
        centers = []
        for cells, per_cell in ((16, 2), (8, 6)):
            line = (torch.arange(cells) + 0.5) / cells
            grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
            centers.append(grid.reshape(-1, 1, 2).expand(-1, per_cell, 2).reshape(-1, 2))
        self.register_buffer(
            "anchor_centers", torch.cat(centers) * self.input_size, persistent=False
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes ``(B, 896, 4)``, scores ``(B, 896)``, key points ``(B, 896, 6, 2)`` in pixels of
        the input.

        Args:
            image: ``(B, 3, 128, 128)`` in [0, 1].
        """
        x = functional.relu(self.stem(image * 2 - 1))
        for block in self.blocks[: self.split]:
            x = block(x)
        fine = x
        for block in self.blocks[self.split :]:
            x = block(x)

        def flat(maps: Tensor, width: int) -> Tensor:
            return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, width)

        logits = torch.cat([flat(self.score16(fine), 1), flat(self.score8(x), 1)], 1)[..., 0]
        coords = torch.cat([flat(self.coords16(fine), 16), flat(self.coords8(x), 16)], 1)
        coords = coords.view(*coords.shape[:2], 8, 2)
        center, half = coords[..., 0, :] + self.anchor_centers, coords[..., 1, :] / 2
        points = coords[..., 2:, :] + self.anchor_centers[:, None]
        return torch.cat([center - half, center + half], -1), logits.sigmoid(), points


class _DenseBlock(nn.Module):
    """Four convolutions with summed, not concatenated, dense connections."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        first = (
            _SameConv(3, channels_out, 3, 2)
            if channels_in == 3
            else _SeparableConv(channels_in, channels_out, 2)
        )
        self.convs = nn.ModuleList(
            [first, *(_SeparableConv(channels_out, channels_out) for _ in range(3))]
        )

    def forward(self, x: Tensor) -> Tensor:
        total = functional.relu(self.convs[0](x))  # rectified once more before it is shared
        for conv in self.convs[1:]:
            total = total + conv(functional.relu(total))
        return functional.relu(total)


class LandmarkNet68(nn.Module):
    """112x112 face crop to 68 iBUG landmarks (356,840 parameters; face-api
    ``face_landmark_68``).
    """

    input_size = 112
    mean_rgb: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 256)
        self.blocks = nn.ModuleList(_DenseBlock(*pair) for pair in pairwise(widths))
        self.fc = nn.Linear(256, 136)
        _register_mean(self)

    def forward(self, image: Tensor) -> Tensor:
        """Landmarks ``(B, 68, 2)``; 0 and 1 are the outer edges of the crop.

        Args:
            image: ``(B, 3, 112, 112)`` in [0, 1].
        """
        x = image - self.mean_rgb
        for block in self.blocks:
            x = block(x)
        return cast(Tensor, self.fc(functional.avg_pool2d(x, 7, 2).flatten(1))).view(-1, 68, 2)


class _ScaledConv(nn.Module):
    """Convolution followed by dlib's folded batch normalisation: scale and shift per channel."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, same: bool
    ) -> None:
        super().__init__()
        self.conv = (_SameConv if same else nn.Conv2d)(channels_in, channels_out, kernel, stride)
        self.scale = nn.Parameter(torch.ones(channels_out))
        self.shift = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.scale[:, None, None] + self.shift[:, None, None]


class _ResidualUnit(nn.Module):
    """dlib's residual unit; ``down`` halves the resolution and pads the channels with zeros."""

    def __init__(self, channels_in: int, channels_out: int, down: bool) -> None:
        super().__init__()
        self.conv1 = _ScaledConv(channels_in, channels_out, 3, 2 if down else 1, same=not down)
        self.conv2 = _ScaledConv(channels_out, channels_out, 3, 1, same=True)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(functional.relu(self.conv1(x)))
        if not self.down:
            return functional.relu(out + x)
        skip = functional.avg_pool2d(x, 2, 2)
        out = functional.pad(
            out, (0, skip.shape[3] - out.shape[3], 0, skip.shape[2] - out.shape[2])
        )
        return functional.relu(
            out + functional.pad(skip, (0, 0, 0, 0, 0, out.shape[1] - skip.shape[1]))
        )


class FaceDescriptorNet(nn.Module):
    """150x150 aligned face to a 128-d identity descriptor (5,614,592 parameters; the ResNet of
    dlib).

    Descriptors are compared by Euclidean distance; their norm is not 1 but about 1.48.

    Source: King, *High Quality Face Recognition with Deep Metric Learning*, 2017 (dlib blog).
    """

    input_size = 150
    plan = (
        ("conv32_1", 32, 32, False),
        ("conv32_2", 32, 32, False),
        ("conv32_3", 32, 32, False),
        ("conv64_down", 32, 64, True),
        ("conv64_1", 64, 64, False),
        ("conv64_2", 64, 64, False),
        ("conv64_3", 64, 64, False),
        ("conv128_down", 64, 128, True),
        ("conv128_1", 128, 128, False),
        ("conv128_2", 128, 128, False),
        ("conv256_down", 128, 256, True),
        ("conv256_1", 256, 256, False),
        ("conv256_2", 256, 256, False),
        ("conv256_down_out", 256, 256, True),
    )
    mean_rgb: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = _ScaledConv(3, 32, 7, 2, same=False)
        self.units = nn.ModuleDict(
            {name: _ResidualUnit(a, b, down) for name, a, b, down in self.plan}
        )
        self.fc = nn.Linear(256, 128, bias=False)
        _register_mean(self)

    def forward(self, image: Tensor) -> Tensor:
        """Descriptors ``(B, 128)`` of aligned faces ``(B, 3, 150, 150)`` in [0, 1]."""
        x = functional.max_pool2d(functional.relu(self.stem(image - self.mean_rgb)), 3, 2)
        for unit in self.units.values():
            x = unit(x)
        return cast(Tensor, self.fc(x.mean((2, 3))))


def _register_mean(module: nn.Module) -> None:
    mean = torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1) / 255
    module.register_buffer("mean_rgb", mean, persistent=False)


def _descriptor_state(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict from the stored file: TensorFlow layout HWIO, most tensors as uint8, a few as
    float32.

    A quantised tensor is the pair ``name.q``, ``name.scale``; its value is q scale[0] + scale[1].
    """
    source = {key: value for key, value in stored.items() if not key.endswith((".q", ".scale"))}
    for key, value in stored.items():
        if key.endswith(".q"):
            name = key.removesuffix(".q")
            scale, minimum = stored[f"{name}.scale"].float()
            source[name] = value.float() * scale + minimum
    state = {"fc.weight": source["fc"].T.contiguous()}
    layers = {"conv32_down": "stem"}
    for name, *_ in FaceDescriptorNet.plan:
        layers |= {f"{name}/{part}": f"units.{name}.{part}" for part in ("conv1", "conv2")}
    for old, new in layers.items():
        state[f"{new}.conv.weight"] = source[f"{old}/conv/filters"].permute(3, 2, 0, 1).contiguous()
        state[f"{new}.conv.bias"] = source[f"{old}/conv/bias"]
        state[f"{new}.scale"] = source[f"{old}/scale/weights"]
        state[f"{new}.shift"] = source[f"{old}/scale/biases"]
    return state


def read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """Tensors of a safetensors file whose content has the given sha256.

    Raises:
        ChecksumError: The content is another one.
        CheckpointError: The file is missing or no safetensors file.
    """
    remedy = (
        "Reinstall facemorph-torch; in a git checkout run `git checkout -- src/facemorph/assets`"
    )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            "embedded weights cannot be read", where=path, found=error.strerror, remedy=remedy
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ChecksumError(
            f"embedded weights are damaged ({len(content)} bytes)",
            where=path,
            expected=f"sha256 {sha256[:12]}",
            found=found[:12],
            remedy=remedy,
        )
    try:
        return load_safetensors(content)
    except SafetensorError as error:
        raise CheckpointError(f"no safetensors file: {error}", where=path, remedy=remedy) from error


def _load(network: nn.Module, name: str) -> None:
    state = read_weights(ASSETS / name, SHA256[name])
    if isinstance(network, FaceDescriptorNet):
        state = _descriptor_state(state)
    network.load_state_dict({key: value.float() for key, value in state.items()})
    network.eval().requires_grad_(False)
    # Sooner on a CPU: oneDNN need not turn the pictures for each convolution.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@cache
def face_detector(device: str = "cpu") -> BlazeFaceShortRange:
    """The frozen face detector, loaded once per process and device."""
    network = BlazeFaceShortRange()
    _load(network, _DETECTOR)
    return network.to(device)


@cache
def face_landmarks(device: str = "cpu") -> LandmarkNet68:
    """The frozen landmark network, loaded once per process and device."""
    network = LandmarkNet68()
    _load(network, _LANDMARKS)
    return network.to(device)


@cache
def face_descriptor(device: str = "cpu") -> FaceDescriptorNet:
    """The frozen identity network, loaded once per process and device."""
    network = FaceDescriptorNet()
    _load(network, _DESCRIPTOR)
    return network.to(device)
