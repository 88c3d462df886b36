"""Weights that GIF's authors released, for people who have them: read without unpickling, renamed.

A checkpoint holds ``generator_running`` (the average over training), ``generator`` and
``discriminator_flm`` with the names of rosinality's StyleGAN2. Its stages for 512 and 1024 pixels
were never trained and are left out. The files do not say which gain their mapping network was
trained with, and the released code cannot apply sqrt(2): look at pictures of both. The averaged
generator has a table of codes of its own, another than the one it was trained with, so that a
number means another person there. Checked with look-alikes made by
``facemorph.bench.plain.stylegan2`` (``tests/unit/systems/gif/test_published_weights.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from facemorph.networks.discriminators import StyleGAN2Discriminator
from facemorph.storage.published_tensors import (
    check_has,
    fill_network,
    read_network,
    without_constants,
)
from facemorph.systems.gif.generator import GIFGenerator

SYSTEM = "GIF"
AVERAGED, TRAINED, DISCRIMINATOR = "generator_running", "generator", "discriminator_flm"
# What a file has beside its weights: the filter, and the table of codes a second time.
CONSTANTS = re.compile(r"(^|\.)kernel$|^img_embdng\.")
STAGE = re.compile(r"^generator\.(?:progression|to_rgb)\.(\d+)\.")
MAPPING = re.compile(r"^z_to_w\.(\d+)\.(weight|bias)$")
LAYER = {
    "conv.weight": "convolution.weight",
    "conv.modulation.weight": "convolution.modulation.weight",
    "conv.modulation.bias": "convolution.modulation.bias",
    "activate.bias": "bias",
    "noise.noise_conv.0.weight": "injection.first.weight",
    "noise.noise_conv.0.bias": "injection.first.bias",
    "noise.noise_conv.2.weight": "injection.second.weight",
    "noise.noise_conv.2.bias": "injection.second.bias",
    "noise.noise_conv.4.weight": "injection.last.weight",
    "noise.noise_conv.4.bias": "injection.last.bias",
}
PICTURE = {name: new for name, new in LAYER.items() if name.startswith("conv.")} | {"bias": "bias"}
BLOCK = {
    "conv1.0.weight": "first.weight",
    "conv1.1.bias": "first.bias",
    "conv2.1.weight": "second.weight",
    "conv2.2.bias": "second.bias",
    "skip.1.weight": "shortcut.weight",
}
ENDS = {
    "convs.0.0.weight": "entry.weight",
    "convs.0.1.bias": "entry.bias",
    "final_conv.0.weight": "last.weight",
    "final_conv.1.bias": "last.bias",
    "final_linear.0.weight": "hidden.weight",
    "final_linear.0.bias": "hidden.bias",
    "final_linear.1.weight": "score.weight",
    "final_linear.1.bias": "score.bias",
}


def load_published_generator(
    path: str | Path,
    *,
    averaged: bool = True,
    resolution: int = 256,
    mapping_gain: float | Literal["sqrt2"] = 1.0,
) -> GIFGenerator:
    """The generator of a released checkpoint.

    Args:
        path: The checkpoint.
        averaged: Whether to take the average over training.
        resolution: Side of the pictures; larger stages are left out.
        mapping_gain: Gain of the mapping network, 1 or ``sqrt2``.

    Raises:
        CheckpointError: The file cannot be read without unpickling, or holds other weights.
        ConfigError: The resolution is none.
    """
    weights = read_network(path, AVERAGED if averaged else TRAINED, SYSTEM)
    return generator_of(weights, path, resolution=resolution, mapping_gain=mapping_gain)


def generator_of(
    published: Mapping[str, Tensor],
    path: str | Path,
    *,
    resolution: int = 256,
    mapping_gain: float | Literal["sqrt2"] = 1.0,
) -> GIFGenerator:
    """The generator with tensors of the published names.

    Args:
        published: State of the published network, as in the checkpoint or of the plain twin.
        path: Where it is from, for errors.
        resolution: Side of the pictures; larger stages are left out.
        mapping_gain: Gain of the mapping network, 1 or ``sqrt2``.

    Raises:
        CheckpointError: It holds other weights.
        ConfigError: The resolution is none.
    """
    weights = without_constants(published, CONSTANTS, path)
    check_has(weights, "generator.const_input.input", path, SYSTEM)
    stages = resolution.bit_length() - 3
    renamed, table = {}, _generator_names(max(stages + 1, 1), weights)
    for name, tensor in weights.items():
        stage = STAGE.match(name)
        if stage is None or int(stage[1]) <= stages:
            renamed[table.get(name, name)] = tensor
    widths = {4: weights["generator.const_input.input"].shape[1]}
    for number in range(1, stages + 1):
        name = f"generator.progression.{number}.st_cv1.conv.weight"
        widths[4 << number] = check_has(weights, name, path, SYSTEM).shape[-4]
    first = check_has(
        weights, "generator.progression.0.st_cv1.noise.noise_conv.0.weight", path, SYSTEM
    )
    codes = check_has(weights, "image_embedding.embd_weight", path, SYSTEM)
    network = GIFGenerator(
        resolution,
        widths,
        condition_channels=first.shape[1],
        num_codes=len(codes),
        style_size=codes.shape[1],
        mapping_layers=sum(bool(MAPPING.match(name)) for name in weights) // 2,
        mapping_gain=mapping_gain,
    )
    return fill_network(network, renamed, path, SYSTEM)


def load_published_discriminator(
    path: str | Path, *, resolution: int = 256
) -> StyleGAN2Discriminator:
    """The discriminator of a released checkpoint.

    Its scores are the published ones for up to four pictures at once; of more, the published code
    takes other samples together (see `minibatch_deviation`).

    Args:
        path: The checkpoint.
        resolution: Side of the pictures that it was trained with.

    Raises:
        CheckpointError: The file cannot be read without unpickling, or holds other weights.
        ConfigError: The resolution is none.
    """
    return discriminator_of(read_network(path, DISCRIMINATOR, SYSTEM), path, resolution=resolution)


def discriminator_of(
    published: Mapping[str, Tensor], path: str | Path, *, resolution: int = 256
) -> StyleGAN2Discriminator:
    """The discriminator with tensors of the published names.

    Args:
        published: State of the published network, as in the checkpoint or of the plain twin.
        path: Where it is from, for errors.
        resolution: Side of the pictures that it was trained with.

    Raises:
        CheckpointError: It holds other weights.
        ConfigError: The resolution is none.
    """
    weights = without_constants(published, CONSTANTS, path)
    entry = check_has(weights, "convs.0.0.weight", path, SYSTEM)
    count = max(resolution.bit_length() - 3, 0)
    table = dict(ENDS)
    for number in range(1, count + 1):
        table |= {
            f"convs.{number}.{name}": f"blocks.{number - 1}.{new}" for name, new in BLOCK.items()
        }
    widths = {resolution: entry.shape[0]}
    for number in range(1, count + 1):
        name = f"convs.{number}.conv2.1.weight"
        widths[resolution >> number] = check_has(weights, name, path, SYSTEM).shape[0]
    renamed = {table.get(name, name): tensor for name, tensor in weights.items()}
    network = StyleGAN2Discriminator(resolution, entry.shape[1], widths)
    return fill_network(network, renamed, path, SYSTEM)


def _generator_names(stages: int, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Published names to ours."""
    table = {"generator.const_input.input": "constant", "image_embedding.embd_weight": "codes"}
    for name in weights:
        if parts := MAPPING.match(name):
            table[name] = f"mapping.layers.{int(parts[1]) - 1}.{parts[2]}"
    layer = 0
    for stage in range(stages):
        for part in ("st_cv1", "st_cv2")[: 1 if stage == 0 else 2]:
            before = f"generator.progression.{stage}.{part}"
            table |= {f"{before}.{name}": f"layers.{layer}.{new}" for name, new in LAYER.items()}
            layer += 1
        before = f"generator.to_rgb.{stage}"
        table |= {f"{before}.{name}": f"pictures.{stage}.{new}" for name, new in PICTURE.items()}
    return table
