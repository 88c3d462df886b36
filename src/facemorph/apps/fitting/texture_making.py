"""What ``facemorph data textures`` does: pictures of prepared sets read into texture maps, their
light taken out, and a texture model made of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.fitting.face_texture import cut_around
from facemorph.data.face_set import PARAMETERS, SetIndex
from facemorph.errors import DataError
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.textures.delighting import (
    FaceTexels,
    face_texels,
    is_grey,
    texel_normals,
)
from facemorph.geometry.textures.skin_learning import (
    BareSkins,
    SeenSkins,
    bare_skins,
    signal_to_noise,
)
from facemorph.geometry.textures.texture_building import head_model
from facemorph.geometry.textures.texture_statistics import TexelStatistics, texel_statistics
from facemorph.geometry.textures.unprojection import unproject
from facemorph.jobs.outputs import check_writable
from facemorph.ops.frames import Frame
from facemorph.ops.meshes import vertex_normals
from facemorph.ops.threads import one_thread

TEST = "test"
ENLARGED = 512  # pixels of the enlarged head, so that borders are narrow


class TexturesReport(TypedDict):
    """What became of the sets.

    Attributes:
        file: The model.
        people: People in each part: ``training``, ``validation``, ``test``.
        grey: Pictures without colours, which are left out.
        explained: Share of the variance of training people that the components hold.
        held_out: PSNR in dB of people in no statistics, over the texels that their pictures show,
            drawn with the components: ``validation`` and ``test``.
        mean_alone: The same drawn with the mean alone.
    """

    file: str
    people: dict[str, int]
    grey: int
    explained: float
    held_out: dict[str, float]
    mean_alone: dict[str, float]


def learn_textures(
    folders: Sequence[Path],
    output: Path,
    size: int,
    components: int,
    model_name: str,
    held_out: float,
) -> TexturesReport:
    """Make a texture model; see ``make_textures``."""
    check_writable(output)
    model = load_model(model_name)
    sets = [(folder, SetIndex.read(folder), _parameters(folder, model)) for folder in folders]
    split = [
        _part(index.people[row], index.split[row], held_out)
        for _, index, _ in sets
        for row in range(len(index.names))
    ]
    people = [person for _, index, _ in sets for person in index.people]
    _check_people(people, split, components, folders)
    texels = face_texels(model, size)
    with one_thread():
        seen = read_skins(model, texels, sets)
        grey = [
            is_grey(one.T, weight) for one, weight in zip(seen.colour, seen.confidence, strict=True)
        ]
        parts = {
            name: torch.tensor(
                [row for row, part in enumerate(split) if part == name and not grey[row]],
                dtype=torch.long,
            )
            for name in ("training", "validation", TEST)
        }
        bare = bare_skins(texels, seen, parts["training"])
        found = learned(texels, bare, parts["training"], components)
    figures = {
        name: signal_to_noise(found, bare, rows) for name, rows in parts.items() if len(rows)
    }
    report: TexturesReport = {
        "file": str(output),
        "people": {name: len({people[row] for row in rows}) for name, rows in parts.items()},
        "grey": sum(grey),
        "explained": float(found.std.square().sum()) / found.total,
        "held_out": {name: pair[0] for name, pair in figures.items() if name != "training"},
        "mean_alone": {name: pair[1] for name, pair in figures.items() if name != "training"},
    }
    made = head_model(model, texels, found, bare.weight[parts["training"]])
    made.save(output, {name: value for name, value in report.items() if name != "file"})
    return report


def learned(texels: FaceTexels, bare: BareSkins, rows: Tensor, components: int) -> TexelStatistics:
    """Statistics of some of the skins."""
    return texel_statistics(bare.albedo[rows], bare.weight[rows], texels.mirror, components)


def read_skins(
    model: MorphableModel,
    texels: FaceTexels,
    sets: Sequence[tuple[Path, SetIndex, FaceParameters]],
) -> SeenSkins:
    """What all pictures of sets show of their faces.

    Raises:
        DataError: A picture cannot be read or is not square.
    """
    total = sum(len(index.names) for _, index, _ in sets)
    count = len(texels.index)
    colour, confidence = torch.empty(total, 3, count), torch.empty(total, count)
    normals = torch.empty(total, count, 3)
    rows = (
        (folder / index.files[row], faces[row])
        for folder, index, faces in sets
        for row in range(len(index.names))
    )
    for place, (file, face) in enumerate(console.track(rows, "textures", total=total)):
        image = load_image(file)
        vertices = vertices_of(model, face)
        camera = camera_of(face, Frame(image.shape[2], image.shape[1]))
        part, near = cut_around(image, camera, vertices, ENLARGED)
        texture = unproject(model, vertices[0], near, part, texels.size)
        colour[place], confidence[place] = texels.of(texture.colour), texels.of(texture.confidence)
        turned = vertex_normals(camera.view(vertices), model.topology.faces)[0]
        normals[place] = texel_normals(model, turned, texels)
    return SeenSkins(colour, confidence, normals)


def _parameters(folder: Path, model: MorphableModel) -> FaceParameters:
    """The fits of a set."""
    found = FaceParameters.load(folder / PARAMETERS)
    if found.model != model.name:
        raise DataError(
            "the fits of this set are of another face model",
            where=folder,
            expected=model.name,
            found=found.model,
            remedy=f"Give --model {found.model}, or prepare the pictures again.",
        )
    count = len(SetIndex.read(folder).names)
    if len(found) != count:
        raise DataError(
            "index and parameters of this set do not fit together",
            where=folder / PARAMETERS,
            expected=count,
            found=len(found),
            remedy="Make the set again with the same command.",
        )
    return found


def _part(person: str, split: str, held_out: float) -> str:
    """The part of a picture: some of the training people, by their name, are for the test."""
    if split != "training":
        return split
    number = int(hashlib.sha256(person.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF
    return TEST if number < held_out else split


def _check_people(
    people: Sequence[str], split: Sequence[str], components: int, folders: Sequence[Path]
) -> None:
    known = {person for person, part in zip(people, split, strict=True) if part == "training"}
    if len(known) < components:
        raise DataError(
            "these sets have too few people for the components",
            where=", ".join(map(str, folders)),
            expected=f"at least {components} in the training part",
            found=len(known),
            remedy="Give more pictures, or fewer --components.",
        )
