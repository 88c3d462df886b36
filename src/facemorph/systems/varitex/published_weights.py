"""Weights that VariTex's authors released (``ep44.ckpt``), for people who have them: read without
unpickling, matched by their order.

The file is Lightning's: ``state_dict`` holds the generator's parts under ``encoder``, ``fc_mu``,
``fc_var``, ``decoder``, ``decoder_exterior`` and ``texture2image``, the discriminator, and frozen
networks of the losses, which are left out. In each part, layers are taken in the order of the file
and must have the shapes and kinds of ours, one by one; their names do not matter. Sizes and widths
follow from the tensors. A network so made wants what the authors trained with: see
``published_background`` in ``facemorph.systems.varitex.spaces``. Checked with look-alikes made by
``facemorph.bench.plain.varitex`` (``tests/unit/systems/varitex/test_published_weights.py``); the
authors' file itself was not at hand.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from facemorph.errors import CheckpointError, ConfigError
from facemorph.storage.files import pretrained_folder
from facemorph.storage.published_tensors import fill_network, read_network
from facemorph.storage.release_folders import write_imported
from facemorph.systems.varitex.decoders import FIRST_SIDE
from facemorph.systems.varitex.discriminator import VariTexDiscriminator
from facemorph.systems.varitex.generator import VariTexGenerator

SYSTEM = "VariTex"
STATE = "state_dict"
GENERATOR, DISCRIMINATOR = "generator", "discriminator"
SOURCE = (
    "github.com/mcbuehler/VariTex; Buehler et al., VariTex: Variational Neural Face Textures "
    "(ICCV 2021)"
)
LICENCE = "code: CC BY-NC-SA 4.0; the weights' own terms are not stated, ask their authors"
# Published parts and ours; a name with several of them belongs to the first in this order.
PARTS = {
    "fc_mu": "mean",
    "fc_var": "log_variance",
    "decoder_exterior": "additive_decoder",
    "texture2image": "renderer",
    "decoder": "texture_decoder",
    "encoder": "encoder",
}
SPECTRAL = {"weight_orig": "weight", "weight_u": "left", "weight_v": "right"}
BLOCKS = 2  # of a decoder's stage
Layers = dict[str, dict[str, Tensor]]


def load_published_generator(path: str | Path) -> VariTexGenerator:
    """The generator of a released checkpoint, in evaluation mode.

    Args:
        path: The checkpoint.

    Raises:
        CheckpointError: The file cannot be read without unpickling, or holds other weights.
    """
    return generator_of(read_network(path, STATE, SYSTEM), path)


def import_published(
    path: str | Path, folder: str | Path | None = None, *, model: str | None = None
) -> Path:
    """Make a release folder of a released checkpoint, for ``load_system`` and what uses it.

    Args:
        path: The checkpoint.
        folder: New or empty folder; ``varitex`` among the pretrained files where None.
        model: File of the Basel Face Model 2017, to be named in the folder; None where it is to be
            named each time.

    Returns:
        The folder.

    Raises:
        CheckpointError: The file cannot be read without unpickling, or holds other weights, or the
            folder is not empty.
    """
    published = read_network(path, STATE, SYSTEM)
    network = generator_of(published, path)
    settings = {
        "_target_": "facemorph.systems.varitex.system.VariTex",
        "generator": {
            "_target_": "facemorph.systems.varitex.generator.VariTexGenerator",
            **_options(_parts(published, path), path),
        },
        "perceptual": None,
        "parity": True,
        "model": model,
    }
    usual = pretrained_folder() / "varitex"
    return write_imported(
        usual if folder is None else folder,
        settings,
        (GENERATOR, network),
        file=path,
        source=SOURCE,
        licence=LICENCE,
    )


def generator_of(published: Mapping[str, Tensor], path: str | Path) -> VariTexGenerator:
    """The generator with tensors of the published layout.

    Args:
        published: State of the published network, as in the checkpoint or of the plain twin.
        path: Where it is from, for errors.

    Raises:
        CheckpointError: It holds other weights.
    """
    parts = _parts(published, path)
    try:
        network = VariTexGenerator(**_options(parts, path))
    except ConfigError as error:
        raise CheckpointError(
            f"these are not the weights of {SYSTEM}", where=path, found=str(error)
        ) from error
    weights = {}
    for part, ours in PARTS.items():
        matched = _matched(network.get_submodule(ours), parts[part], path)
        weights.update({f"{ours}.{name}": tensor for name, tensor in matched.items()})
    return fill_network(network, weights, path, SYSTEM)


def _parts(published: Mapping[str, Tensor], path: str | Path) -> dict[str, Layers]:
    """Layers of the generator's parts."""
    found: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    for name, tensor in published.items():
        part = next((one for one in PARTS if one in str(name).split(".")), None)
        if part is not None:
            found[part][str(name)] = tensor
    parts = {part: _layers(tensors, path) for part, tensors in found.items()}
    empty = [part for part, layers in parts.items() if not layers]
    if empty:
        raise CheckpointError(
            f"these are not the weights of {SYSTEM}",
            where=path,
            expected=f"tensors of {', '.join(empty)}",
            found=", ".join(list(map(str, published))[:3]) or "nothing",
        )
    return parts


def load_published_discriminator(path: str | Path) -> VariTexDiscriminator:
    """The discriminator of a released checkpoint, in evaluation mode.

    Args:
        path: The checkpoint.

    Raises:
        CheckpointError: The file cannot be read without unpickling, or holds other weights.
    """
    return discriminator_of(read_network(path, STATE, SYSTEM), path)


def discriminator_of(published: Mapping[str, Tensor], path: str | Path) -> VariTexDiscriminator:
    """The discriminator with tensors of the published layout; see `generator_of`."""
    layers = _layers(
        {
            str(name): tensor
            for name, tensor in published.items()
            if any(one.startswith(DISCRIMINATOR) for one in str(name).split("."))
        },
        path,
    )
    convolutions = _weights(layers, dimensions=4)
    scales = sum(len(one) == 1 for one in convolutions)
    count = len(convolutions) // max(scales, 1) - 1
    if not scales or count < 1:
        raise CheckpointError(
            f"these are not the weights of {SYSTEM}",
            where=path,
            expected="convolutions of a discriminator that end in one channel",
            found=f"{len(convolutions)} convolutions",
        )
    first = convolutions[0]
    batches = any("running_mean" in one for one in layers.values())
    network = VariTexDiscriminator(
        first.shape[1], len(first), count, scales, "batch" if batches else "instance"
    )
    return fill_network(network, _matched(network, layers, path), path, SYSTEM)


def _layers(tensors: Mapping[str, Tensor], path: str | Path) -> Layers:
    """Tensors by layer, in their order, by what they are in it."""
    layers: Layers = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(
                "this is no weight", where=f"{path}: {name}", found=type(tensor).__name__
            )
        layer, _, kind = name.rpartition(".")
        layers.setdefault(layer, {})[SPECTRAL.get(kind, kind)] = tensor
    return layers


def _weights(layers: Layers, *, dimensions: int, side: int | None = None) -> list[Tensor]:
    """Weights of linear layers (2) or of convolutions (4), of kernels of one side."""
    weights = (one["weight"] for one in layers.values() if "weight" in one)
    return [
        one for one in weights if one.ndim == dimensions and (side is None or one.shape[-1] == side)
    ]


def _options(parts: Mapping[str, Layers], path: str | Path) -> dict[str, Any]:
    """What the generator was made with, from the shapes of its tensors."""
    try:
        encoder = parts["encoder"]
        textures, around = parts["decoder"], parts["decoder_exterior"]
        fine = _weights(parts["texture2image"], dimensions=4, side=3)
        ups = _weights(parts["texture2image"], dimensions=4, side=2)
        first, *_ = _weights(encoder, dimensions=4, side=3)
        shortcuts = _weights(encoder, dimensions=4, side=1)
        return {
            "picture_size": _size(around),
            "texture_size": _size(textures),
            "channels": len(_weights(textures, dimensions=4, side=3)[-1]),
            "face_code": _weights(textures, dimensions=2)[0].shape[1],
            "additive_code": _weights(around, dimensions=2)[0].shape[1],
            "encoder_widths": [len(first), *map(len, shortcuts)],
            "texture_widths": _widths(textures, FIRST_SIDE**2),
            "additive_widths": _widths(around, 1),
            "renderer_width": len(fine[0]),
            "renderer_levels": len(ups) + 1,
        }
    except (IndexError, ValueError) as error:
        raise CheckpointError(
            f"these are not the weights of {SYSTEM}",
            where=path,
            expected="linear layers and convolutions of 1 x 1, 2 x 2 and 3 x 3 in its parts",
        ) from error


def _size(decoder: Layers) -> int:
    """Side of what a decoder makes: stages that double it have a shortcut of 1 x 1."""
    return FIRST_SIDE << len(_weights(decoder, dimensions=4, side=1))


def _widths(decoder: Layers, pixels: int) -> list[int]:
    """Channels at the start and of each stage: a block's second convolution has the new ones."""
    start = len(_weights(decoder, dimensions=2)[0]) // pixels
    convolutions = _weights(decoder, dimensions=4, side=3)[:-1]
    return [start, *(len(one) for one in convolutions[1 :: 2 * BLOCKS])]


def _matched(network: nn.Module, published: Layers, path: str | Path) -> dict[str, Tensor]:
    """Tensors by the names of ours, layer by layer in the order of both.

    Raises:
        CheckpointError: A layer is of another kind or shape, or their numbers differ.
    """
    ours = _layers(network.state_dict(), path)
    weights = {}
    for mine, theirs in itertools.zip_longest(ours, published):
        wanted, found = _shapes(ours.get(mine)), _shapes(published.get(theirs))
        if wanted != found:
            raise CheckpointError(
                f"these are not the weights of {SYSTEM}",
                where=f"{path}: {theirs or 'its end'}",
                expected=wanted or "no further layer",
                found=found or "nothing",
            )
        for kind, tensor in published[theirs].items():
            weights[f"{mine}.{kind}".lstrip(".")] = tensor
    return weights


def _shapes(layer: Mapping[str, Tensor] | None) -> dict[str, tuple[int, ...]]:
    return {kind: tuple(one.shape) for kind, one in sorted((layer or {}).items())}
