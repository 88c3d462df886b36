"""Weights that GDPW's authors released, for people who have them: read without unpickling, renamed.

A checkpoint holds ``generator``, ``discriminator`` and ``global_step``. Which guidance it is for,
its widths and the number of its vertices follow from its tensors; the mesh's triangles and the
smoothing's windows in it are left out. The networks sample as the authors' do
(``published_grid=True``). Renders with smoothed silhouettes (nvdiffrast's), which they were trained
with, differ from ours at the border of the mesh. Checked with look-alikes made by
``facemorph.bench.plain.gdpw`` (``tests/unit/systems/gdpw/test_published_weights.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor

from facemorph.errors import CheckpointError
from facemorph.storage.files import pretrained_folder
from facemorph.storage.published_tensors import (
    check_has,
    fill_network,
    read_network,
    without_constants,
)
from facemorph.storage.release_folders import write_imported
from facemorph.systems.gdpw.discriminator import GDPWDiscriminator
from facemorph.systems.gdpw.generator import (
    FLAME_VERTICES,
    FLOW_CHANNELS,
    GDPWGenerator,
    GuidanceKind,
)

SYSTEM = "GDPW"
GENERATOR, DISCRIMINATOR = "generator", "discriminator"
SOURCE = (
    "github.com/yataoz/face_reenact_GDPW; Zhong, Amjadi and Zharkov, Geometry Driven Progressive "
    "Warping for One-Shot Face Animation (BMVC 2022)"
)
LICENCE = "code: MIT; the weights' own terms are not stated, ask their authors"
# What a file has beside its weights: triangles, and the smoothing's windows.
CONSTANTS = re.compile(r"^mesh_renderer\.|^(downsamples|downs)\.x\d+\.weight$")
SPECTRAL = {
    "weight_orig": "weight",
    "weight_u": "left",
    "weight_v": "right",
    "bias": "bias",
}
STATISTICS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
SPADE = {"shared_conv.0": "shared", "gamma_conv": "gamma", "beta_conv": "beta"}
RESIDUAL = {"non_identity_shortcut": "shortcut", "conv1": "first", "conv2": "second"}


def load_published_generator(path: str | Path, *, alpha_blending: bool = False) -> GDPWGenerator:
    """The generator of a released checkpoint, in evaluation mode.

    Args:
        path: The checkpoint.
        alpha_blending: Whether its result takes the warped source where alpha is small; the
            released configuration does not, and files do not say.

    Raises:
        CheckpointError: The file cannot be read without unpickling, or holds other weights.
    """
    return generator_of(read_network(path, GENERATOR, SYSTEM), path, alpha_blending=alpha_blending)


def import_published(
    path: str | Path, folder: str | Path | None = None, *, model: str = "flame"
) -> Path:
    """Make a release folder of a released checkpoint, for ``load_system`` and what uses it.

    Args:
        path: The checkpoint.
        folder: New or empty folder; ``gdpw_GUIDANCE`` among the pretrained files where None.
        model: Morphable model of the vertices, to be named in the folder; FLAME's file, if it is
            to be used without being named each time.

    Returns:
        The folder.

    Raises:
        CheckpointError: The file cannot be read without unpickling, or holds other weights, or the
            folder is not empty.
    """
    network = load_published_generator(path)
    usual = pretrained_folder() / f"gdpw_{network.guidance}"
    config = {
        "_target_": "facemorph.systems.gdpw.generator.GDPWGenerator",
        "guidance": network.guidance,
        "widths": list(network.widths),
        "code_size": network.code_size,
        "num_vertices": FLAME_VERTICES if network.codes is None else len(network.codes),
        "published_grid": True,
    }
    settings = {
        "_target_": "facemorph.systems.gdpw.system.GDPW",
        "generator": config,
        "perceptual": None,
        "model": model,
    }
    return write_imported(
        usual if folder is None else folder,
        settings,
        (GENERATOR, network),
        file=path,
        source=SOURCE,
        licence=LICENCE,
    )


def generator_of(
    published: Mapping[str, Tensor], path: str | Path, *, alpha_blending: bool = False
) -> GDPWGenerator:
    """The generator with tensors of the published names.

    Args:
        published: State of the published network, as in the checkpoint or of the plain twin.
        path: Where it is from, for errors.
        alpha_blending: See `load_published_generator`.

    Raises:
        CheckpointError: It holds other weights.
    """
    weights = without_constants(published, CONSTANTS, path)
    widths: list[int] = []
    while (name := f"down_layers.x{2 ** len(widths)}.conv.weight_orig") in weights:
        widths.append(len(weights[name]))
    coarsest = f"x{2 ** max(len(widths) - 1, 1)}"
    check_has(weights, f"down_layers.{coarsest}.conv.weight_orig", path, SYSTEM)
    shared = f"up_layers.{coarsest}_spade.spade1.shared_conv.0.weight_orig"
    modulation = check_has(weights, shared, path, SYSTEM).shape[1]
    codes = weights.get("embeds")
    size = 0 if codes is None else codes.shape[-1]
    network = GDPWGenerator(
        _guidance(modulation, size, path),
        widths,
        code_size=size or 16,
        num_vertices=FLAME_VERTICES if codes is None else len(codes),
        alpha_blending=alpha_blending,
        published_grid=True,
    )
    table = dict(_generator_names(len(widths)))
    renamed = {table.get(name, name): tensor for name, tensor in weights.items()}
    return fill_network(network, renamed, path, SYSTEM)


def load_published_discriminator(path: str | Path) -> GDPWDiscriminator:
    """The discriminator of a released checkpoint, in evaluation mode.

    Args:
        path: The checkpoint.

    Raises:
        CheckpointError: The file cannot be read without unpickling, or holds other weights, such
            as those of several scales.
    """
    weights = without_constants(read_network(path, DISCRIMINATOR, SYSTEM), CONSTANTS, path)
    layers, before = 0, "discs.x1.layers"
    while f"{before}.{layers}.conv.weight_orig" in weights:
        layers += 1
    first = check_has(weights, f"{before}.0.conv.weight_orig", path, SYSTEM)
    table = {f"discs.x1.out_convs.0.{one}": f"score.{one}" for one in ("weight", "bias")}
    for number in range(layers):
        table |= dict(_block(f"{before}.{number}", f"layers.{number}"))
    renamed = {table.get(name, name): tensor for name, tensor in weights.items()}
    network = GDPWDiscriminator(first.shape[1], len(first), layers)
    return fill_network(network, renamed, path, SYSTEM)


def _guidance(modulation: int, codes: int, path: str | Path) -> GuidanceKind:
    """The guidance whose channels these are."""
    if codes and modulation == codes + FLOW_CHANNELS:
        return "both"
    if codes and modulation == codes:
        return "neural_codes"
    if not codes and modulation == FLOW_CHANNELS:
        return "geom_disp"
    raise CheckpointError(
        "these are not the weights of GDPW",
        where=path,
        expected=f"{codes or FLOW_CHANNELS} or {codes + FLOW_CHANNELS} channels of guidance",
        found=modulation,
    )


def _generator_names(levels: int) -> Iterator[tuple[str, str]]:
    """Published names and ours."""
    yield "embeds", "codes"
    yield from _layer("up_layers.x1_out", "exit")
    for level in range(levels):
        name = f"x{2**level}"
        down = f"encoder.{level - 1}" if level else "entry"
        yield from _block(f"down_layers.{name}", down)
        yield from _block(f"shortcut_layers.{name}", f"shortcuts.{level}")
        if not level:
            continue
        ours = f"decoder.{levels - 1 - level}"
        yield from _layer(f"up_layers.{name}_flow", f"{ours}.flow")
        yield from _block(f"up_layers.{name}_up", f"{ours}.up")
        before = f"up_layers.{name}_spade"
        for theirs, mine in RESIDUAL.items():
            yield from _spectral(f"{before}.{theirs}", f"{ours}.block.{mine}")
        for theirs, mine in (("spade1", "first_spade"), ("spade2", "second_spade")):
            here, there = f"{before}.{theirs}", f"{ours}.block.{mine}"
            yield from _statistics(f"{here}.norm", f"{there}.normalisation")
            for convolution, new in SPADE.items():
                yield from _spectral(f"{here}.{convolution}", f"{there}.{new}")


def _block(theirs: str, mine: str) -> Iterator[tuple[str, str]]:
    yield from _spectral(f"{theirs}.conv", f"{mine}.convolution")
    yield from _statistics(f"{theirs}.norm", f"{mine}.normalisation")


def _spectral(theirs: str, mine: str) -> Iterator[tuple[str, str]]:
    for name, new in SPECTRAL.items():
        yield f"{theirs}.{name}", f"{mine}.{new}"


def _statistics(theirs: str, mine: str) -> Iterator[tuple[str, str]]:
    for name in STATISTICS:
        yield f"{theirs}.{name}", f"{mine}.{name}"


def _layer(theirs: str, mine: str) -> Iterator[tuple[str, str]]:
    for name in ("weight", "bias"):
        yield f"{theirs}.{name}", f"{mine}.{name}"
