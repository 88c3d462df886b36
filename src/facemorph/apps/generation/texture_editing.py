"""The work of ``facemorph texture``: neural textures as pictures, and edits put back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.generation.choices import TextureFiles
from facemorph.apps.generation.face_files import GeneratedReport, read_faces, write_faces
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.generation.surroundings import Photographs, Surroundings
from facemorph.apps.heads.rendered_head import to_picture
from facemorph.engine.head_texels import sampled
from facemorph.errors import ConfigError, ImageError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.meshes.mesh_files import glb_bytes
from facemorph.geometry.models.attribution import mesh_of
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.portraits.portrait_motion import INNER
from facemorph.geometry.rendering.parameter_views import vertices_of
from facemorph.geometry.textures.atlas import atlas_of
from facemorph.geometry.textures.unprojection import spread_mask
from facemorph.jobs.records import Header, header, write_json
from facemorph.storage.files import write_whole
from facemorph.systems.varitex.small.generator import COLOURS

logger = logging.getLogger(__name__)

STEPS = 255
LEAST = 2 / STEPS  # change that is seen
BEYOND = 0.02  # share of a change that may be off the face
# What covers a photograph that is kept around a face.
FACE = ("face", *INNER)
# Colours of the regions' picture.
PAINTED = {
    "face": (0.95, 0.75, 0.6),
    "lips": (0.85, 0.2, 0.3),
    "ears": (0.9, 0.6, 0.2),
    "eyelids": (0.5, 0.3, 0.7),
    "eye_left": (0.2, 0.5, 0.9),
    "eye_right": (0.2, 0.8, 0.7),
    "neck": (0.6, 0.6, 0.6),
    "scalp": (0.4, 0.4, 0.35),
}


class TextureReport(Header):
    """The content of ``report.json``.

    Attributes:
        colours: Of each region in regions.png, red, green and blue in [0, 255].
    """

    colours: dict[str, list[int]]


def one_of(folder: Path, generator: FaceGenerator, number: int) -> GeneratedFaces:
    """One face of a folder.

    Raises:
        ConfigError: It has fewer.
    """
    faces = read_faces(folder, generator)
    if number > len(faces):
        raise ConfigError(
            "there are not so many faces",
            where="number",
            expected=f"1 to {len(faces)}",
            found=number,
        )
    return faces[number - 1 : number]


@torch.no_grad()
def neural_texture(generator: FaceGenerator, face: GeneratedFaces) -> Tensor:
    """The neural texture ``(1, C, T, T)`` of a person."""
    found: Tensor = generator.varitex.generator.texture(face.codes)
    return found if face.added is None else found + face.added


def shown(texture: Tensor, size: int) -> Tensor:
    """The colours ``(3, size, size)`` of a neural texture, in the steps of a file."""
    colours = functional.interpolate(
        texture[:, :COLOURS].float(), (size, size), mode="bicubic", align_corners=False
    )
    return (colours[0].clamp(0, 1) * STEPS).round() / STEPS


def region_weights(model: MorphableModel, names: Sequence[str], size: int) -> Tensor:
    """How far texels ``(1, size, size)`` belong to regions, soft at their borders."""
    weights = spread_mask(model.topology, *names, rings=1)
    atlas = atlas_of(model, size)
    return atlas.at_texels(weights[:, None], model.topology.faces)


def write_texture(
    source: Path, folder: Path, checkpoint: str, number: int, size: int
) -> TextureReport:
    """Write texture, regions, head and report; see ``export_texture``."""
    generator = FaceGenerator.load(checkpoint)
    model, face = generator.model, one_of(source, generator, number)
    picture = shown(neural_texture(generator, face), size)
    save_image(picture, folder / TextureFiles.TEXTURE, synthetic=True)
    regions = torch.zeros(3, size, size)
    for name, colour in PAINTED.items():
        inside = region_weights(model, [name], size) > 0.75
        regions = torch.where(inside, torch.tensor(colour)[:, None, None], regions)
    save_image(regions, folder / TextureFiles.REGIONS)
    mesh = mesh_of(model, vertices_of(model, face.parameters)[0])
    write_whole(folder / TextureFiles.HEAD, glb_bytes(mesh, to_picture(picture)))
    settings = {"checkpoint": checkpoint, "faces": str(source), "number": number, "size": size}
    report: TextureReport = {
        **header(settings),
        "colours": {
            name: [round(STEPS * value) for value in colour] for name, colour in PAINTED.items()
        },
    }
    write_json(folder / TextureFiles.REPORT, report)
    return report


def write_edited(
    source: Path,
    edited: Path,
    folder: Path,
    checkpoint: str,
    number: int,
    regions: tuple[str, ...] | None,
    mask: Path | None,
    strength: float,
) -> GeneratedReport:
    """Write a person with an edited texture; see ``apply_texture``."""
    generator = FaceGenerator.load(checkpoint)
    face = one_of(source, generator, number)
    other = one_of(edited, generator, 1) if edited.is_dir() else edited
    changed = with_skin(generator, face, other, regions, mask, strength)
    settings = {
        "checkpoint": checkpoint,
        "faces": str(source),
        "edited": str(edited),
        "number": number,
        "regions": regions,
        "mask": None if mask is None else str(mask),
        "strength": strength,
    }
    return write_faces(generator, changed, folder, settings)


def with_skin(
    generator: FaceGenerator,
    face: GeneratedFaces,
    edited: Path | GeneratedFaces,
    regions: Sequence[str] | None,
    mask: Path | None,
    strength: float,
) -> GeneratedFaces:
    """A person with a painted texture, or with another person's skin.

    Args:
        generator: The generator.
        face: The person.
        edited: The painted picture, or the other person.
        regions: Only these change; all when None.
        mask: Picture over the texture: only where it is white something changes.
        strength: How much of the change.

    Raises:
        ImageError: A picture cannot be read, or is not square.
    """
    own = neural_texture(generator, face)
    if isinstance(edited, GeneratedFaces):
        change = neural_texture(generator, edited) - own
    else:
        change = torch.zeros_like(own)
        change[:, :COLOURS] = painted_change(own, edited)
    side = own.shape[-1]
    weight = torch.full((1, side, side), strength)
    if regions is not None:
        weight = weight * region_weights(generator.model, regions, side)
    if mask is not None:
        weight = weight * _small(square(mask).mean(0, keepdim=True)[None], side)[0]
    added = change * weight
    if face.added is not None:
        added = added + face.added
    around = face.surroundings
    if around is not None:
        around = _around_change(generator, around, change * weight)
    return replace(face, added=added, surroundings=around)


@torch.no_grad()
def _around_change(
    generator: FaceGenerator, around: Surroundings, change: Tensor
) -> Surroundings | None:
    """What photographs show around a face whose neural texture changes: nothing any more where the
    change is, and nothing at all where it reaches beyond the face, or it would not be seen.
    """
    off = 1 - region_weights(generator.model, FACE, change.shape[-1])
    if float((change * off).abs().sum()) > BEYOND * float(change.abs().sum()):
        logger.warning(
            "the skin changes beyond the face too: what is around it is generated from now on, not "
            "the photograph's"
        )
        return None
    kept = around.photographs
    size = change.abs().amax(1, keepdim=True).expand(len(kept), -1, -1, -1)
    changed = sampled(size, generator.render(kept.parameters)) > LEAST
    likeness = torch.maximum(kept.likeness, changed.to(kept.likeness))
    return replace(around, photographs=Photographs(kept.images, likeness, kept.parameters))


def painted_change(own: Tensor, edited: Path) -> Tensor:
    """What a painted picture changes of a texture's colours ``(1, 3, T, T)``; 0 where nothing is
    painted.

    Args:
        own: ``(1, C, T, T)`` the texture.
        edited: The picture.

    Raises:
        ImageError: It cannot be read, or is not square.
    """
    picture = square(edited)
    return _small((picture - shown(own, picture.shape[-1]))[None], own.shape[-1])


def square(path: Path) -> Tensor:
    """A picture over a texture ``(3, S, S)``.

    Raises:
        ImageError: It cannot be read, or is not square.
    """
    picture = load_image(path)
    height, width = picture.shape[-2:]
    if height != width:
        raise ImageError(
            "a texture is a square",
            where=path,
            expected="as many rows as columns, as texture export writes it",
            found=f"{width} x {height}",
        )
    return picture


def _small(picture: Tensor, side: int) -> Tensor:
    return functional.interpolate(
        picture, (side, side), mode="bilinear", antialias=True, align_corners=False
    )
