"""Plain sheets of random portraits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from facemorph.engine.portrait_frames import framed
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.lighting import LEVEL, ambient_light

SHEET, COLUMNS = "faces.png", 6


def write_portraits(
    output: Path,
    model: str,
    size: int,
    people: tuple[Tensor, Tensor, Tensor],
    picture: Callable[[Tensor, FaceParameters], Tensor],
) -> list[Path]:
    """Write people from the front, at rest and in even light: a picture each, and a sheet.

    Args:
        output: Folder of the pictures.
        model: Name of the morphable model.
        size: Side of the pictures in pixels.
        people: Codes, skin coefficients and identities.
        picture: Makes pictures of codes and parameters.

    Raises:
        OutputError: They cannot be written.
    """
    codes, albedo, identity = people
    loaded = load_model(model)
    neutral = FaceParameters.neutral(loaded, len(codes), albedo.shape[1])
    light = ambient_light(LEVEL).expand(len(codes), -1, -1)
    placed = replace(neutral, albedo=albedo, identity=identity, light=light)
    with torch.no_grad():
        found = picture(codes, framed(loaded, placed, size)).float().cpu()
    output.mkdir(parents=True, exist_ok=True)
    paths = [
        output / SHEET,
        *(output / f"face_{number:03d}.png" for number in range(1, len(found) + 1)),
    ]
    for path, one in zip(paths[1:], found, strict=True):
        save_image(one, path, synthetic=True)
    blank = torch.ones_like(found[:1]).expand(-len(found) % COLUMNS, -1, -1, -1)
    rows = torch.cat([found, blank]).unflatten(0, (-1, COLUMNS))
    save_image(torch.cat([torch.cat(list(row), 2) for row in rows], 1), paths[0], synthetic=True)
    return paths
