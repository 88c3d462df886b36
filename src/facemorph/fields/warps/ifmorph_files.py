"""Networks that the authors' code trained (``.pth`` of the ifmorph project), in this package's
coordinates.

Their points are (row, column[, t]), each axis of the frame scaled to [-1, 1] by itself; ours are
(x, y[, t]) with half of the *longer* side as the unit. Both are linear maps of one another, so that
the readers fold them into the first layer, and for a warp into the last one: the network read is a
plain ``SirenImage`` or ``SirenWarp``.

A network that the authors' training has finished is stored with its angular frequencies multiplied
into the weights (omega 1); a checkpoint of the middle of a training is raw and needs the
experiment's ``omega_0`` and ``omega_w``.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph.errors import CheckpointError, ConfigError
from facemorph.fields.image_fields import SirenImage
from facemorph.fields.warps.siren_warp import SirenWarp
from facemorph.ops.frames import Frame
from facemorph.storage.checkpoint import load_checkpoint

# net.0.0.weight; net.0.weight; and either behind four more characters, as the oldest files have it.
_KEY = re.compile(r"(?:.{4})?net\.(\d{1,3})(?:\.0)?\.(weight|bias)")


def read_ifmorph_network(
    path: str | Path,
    *,
    omega_0: float = 1.0,
    omega_hidden: float | None = None,
    frame: Frame | None = None,
) -> SirenImage | SirenWarp:
    """Read a picture (2 to 3 values) or a warp (3 to 2) of the ifmorph project; nothing in the file
    is run.

    Args:
        path: The ``.pth`` file.
        omega_0: Angular frequency of the first layer; 1 for the files that their training ends
            with, the experiment's ``omega_0`` for raw ones.
        omega_hidden: Angular frequency of the other hidden layers (``omega_w``); ``omega_0`` when
            None.
        frame: The frame that the network covers; a square one when None.

    Returns:
        The network in field coordinates of ``frame``.

    Raises:
        CheckpointError: The file cannot be read or trusted, or holds another kind of network.
        ConfigError: An angular frequency is not a positive number.
    """
    omega_hidden = omega_0 if omega_hidden is None else omega_hidden
    for name, value in (("omega_0", omega_0), ("omega_hidden", omega_hidden)):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError("an angular frequency must be positive", where=name, found=value)
    path = Path(path)
    weights, biases = _layers(load_checkpoint(path), path)
    hidden = [len(bias) for bias in biases[:-1]]
    kind = (weights[0].shape[1], len(biases[-1]))
    frame = Frame(1, 1) if frame is None else frame
    half = torch.tensor([frame.width, frame.height], dtype=torch.float64) / (2 * frame.half_extent)
    # Column i of the new first layer acts on x, y (, t), which the old one knows as (row, column) *
    # half.
    first = weights[0][:, [1, 0, 2][: kind[0]]].clone()
    first[:, :2] /= half
    weights[0] = first
    if kind == (2, 3):
        network: SirenImage | SirenWarp = SirenImage(hidden, omega_0, omega_hidden)
    elif kind == (3, 2):
        network = SirenWarp(hidden, omega_0, omega_hidden)
        weights[-1], biases[-1] = weights[-1].flip(0) * half[:, None], biases[-1].flip(0) * half
    else:
        raise CheckpointError(
            "this network is neither a picture nor a warp",
            where=path,
            expected="2 to 3, or 3 to 2 values",
            found=f"{kind[0]} to {kind[1]}",
            remedy="Networks of grey pictures are not supported.",
        )
    prefix = "layers" if kind == (2, 3) else "network.layers"
    for name, values in (("weight", weights), ("bias", biases)):
        network.load_state_dict(
            {f"{prefix}.{i}.{name}": value.float() for i, value in enumerate(values)}, strict=False
        )
    return network.eval()


def _layers(content: dict[str, Any], path: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Weights and biases in double precision, layer by layer, checked to fit one another."""
    if "stages" in content:
        raise CheckpointError(
            "this is a multiresolution network (MRNet), which is not supported yet",
            where=path,
            expected="a plain sine network",
            remedy="Give the picture itself instead.",
        )
    found: dict[tuple[int, str], Tensor] = {}
    for key, value in content.items():
        match = _KEY.fullmatch(key) if isinstance(key, str) else None
        if match is None or not isinstance(value, Tensor):
            raise CheckpointError(
                "this is no network of ifmorph",
                where=path,
                found=repr(key)[:60],
                expected="only tensors named net.0.0.weight, net.0.0.bias, ...",
            )
        if (int(match[1]), match[2]) in found:
            raise CheckpointError("a layer is there twice", where=f"{path}, {key}")
        found[int(match[1]), match[2]] = value
    count = len(found) // 2
    if count < 2 or found.keys() != {
        (index, name) for index in range(count) for name in ("weight", "bias")
    }:
        raise CheckpointError(
            "layers are missing",
            where=path,
            expected="weight and bias of net.0, net.1, ..., at least two layers",
            found=f"{len(found)} tensors",
        )
    weights = [found[index, "weight"] for index in range(count)]
    biases = [found[index, "bias"] for index in range(count)]
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        inputs = len(biases[index - 1]) if index else weight.shape[-1] if weight.ndim == 2 else 0
        if bias.ndim != 1 or weight.shape != (len(bias), inputs) or not len(bias):
            raise CheckpointError(
                "a layer does not fit the one before it",
                where=f"{path}, net.{index}",
                expected=f"weight (N, {inputs}) and bias (N)",
                found=f"{tuple(weight.shape)} and {tuple(bias.shape)}",
            )
        if not (_is_finite(weight) and _is_finite(bias)):
            raise CheckpointError(
                "a layer holds something else than finite numbers", where=f"{path}, net.{index}"
            )
    return [weight.double() for weight in weights], [bias.double() for bias in biases]


def _is_finite(tensor: Tensor) -> bool:
    plain = (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.is_floating_point()
    )
    return plain and bool(tensor.isfinite().all())
