"""A photograph explained by a generator: fit, code in closed form, optimised styles."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.fitting.face_fitting import fit_faces, refine_faces
from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.apps.generation.generated_faces import (
    CODES,
    PARAMETERS,
    FaceGenerator,
    GeneratedFaces,
    save_codes,
)
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.data.face_set import scaled
from facemorph.faces.alignment import ffhq_crop
from facemorph.faces.files.image_output import save_image
from facemorph.faces.identity import IdentityEmbedding, identity_distance
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.textures.unprojection import spread_mask
from facemorph.jobs.records import Header, header, write_json
from facemorph.ops.frames import Frame

COMPARISON, REPORT = "comparison.png", "report.json"
SIDE = 256  # pixels of the crop that is fitted
RATE, BETAS = 0.03, (0.9, 0.99)
COLOUR, EDGES, NEAR = 30.0, 15.0, 0.02  # weights of the optimisation's terms
AROUND = 0.2  # weight of pixels off the face
CELL = 256


@dataclass(frozen=True)
class Inversion:
    """A photograph and what explains it.

    Attributes:
        target: ``(3, S, S)`` the photograph, as the generator frames faces.
        render: ``(3, S, S)`` its render.
        by_code: ``(3, S, S)`` the picture of its code.
        picture: ``(3, S, S)`` that of the optimised styles.
        faces: Code, styles and parameters.
        figures: Agreement of the face in dB and distance of descriptors, before and after.
    """

    target: Tensor
    render: Tensor
    by_code: Tensor
    picture: Tensor
    faces: GeneratedFaces
    figures: dict[str, float]


class InversionReport(Header):
    """The content of ``report.json``."""

    figures: dict[str, float]


def invert_face(generator: FaceGenerator, face: LocatedFace, steps: int) -> Inversion:
    """Find code, styles and parameters of a photograph.

    Args:
        generator: The generator.
        face: The photograph and its landmarks.
        steps: Of the optimisation.

    Raises:
        GeometryError: The landmarks determine no pose, or the face is not in its picture.
    """
    begun, size = time.process_time(), generator.size
    cut = ffhq_crop(face.image, face.landmarks, "ibug68", SIDE)
    near = replace(face, image=cut.image, landmarks=cut.points.float())
    fit = refine_faces([near], fit_faces([near], generator.model))[0]
    parameters = scaled(fit.parameters, size / SIDE)
    target = functional.interpolate(
        cut.image[None], (size, size), mode="bilinear", antialias=True
    ).clamp(0, 1)
    conditions = generator.render(parameters)
    system = generator.small
    codes = system.encoder(target, conditions, parameters.light)
    weight = face_weight(generator, parameters)
    styles = optimised_styles(generator, codes, conditions, target, weight, steps)
    faces = GeneratedFaces(codes, parameters, styles)
    with torch.no_grad():
        by_code = system(codes, conditions)
        picture = next(iter(generator.pictures(faces)))[None]
    seconds = time.process_time() - begun
    marks = near.landmarks * size / SIDE
    figures = {"cpu_seconds": seconds}
    for name, one in (("render", conditions[:, :3]), ("code", by_code), ("inversion", picture)):
        figures |= {f"{key}_{name}": value for key, value in agreement(one, target, weight, marks)}
    return Inversion(target[0], conditions[0, :3], by_code[0], picture[0], faces, figures)


def face_weight(generator: FaceGenerator, parameters: FaceParameters) -> Tensor:
    """How far pixels count ``(1, 1, S, S)``: 1 on the face's skin, eyes and mouth, little around.

    Args:
        generator: The generator.
        parameters: Of one face.
    """
    model, side = generator.model, generator.size
    view = MeshView.of(
        vertices_of(model, parameters),
        model.topology.faces,
        camera_of(parameters, Frame(side, side)),
        (side, side),
    )
    face = spread_mask(model.topology, "face", "eye_left", "eye_right", "lips", "teeth", rings=2)
    return AROUND + (1 - AROUND) * view.attribute(face[:, None]).clamp(0, 1)


def optimised_styles(
    generator: FaceGenerator,
    codes: Tensor,
    conditions: Tensor,
    target: Tensor,
    weight: Tensor,
    steps: int,
) -> Tensor:
    """What is added to the style of each layer, so that a picture comes back: ``(1, L, style)``.

    Args:
        generator: The generator.
        codes: ``(1, C)`` to begin with.
        conditions: ``(1, 9, S, S)``.
        target: ``(1, 3, S, S)`` the picture.
        weight: ``(1, 1, S, S)`` how far pixels count.
        steps: Of the optimisation.
    """
    network = generator.small.generator
    with torch.no_grad():
        first = network.mapping(codes)[:, None].expand(-1, network.num_styles, -1)
    added = torch.zeros_like(first).requires_grad_()
    optimizer = torch.optim.Adam([added], RATE, betas=BETAS)
    mass = weight.mean()
    for _ in range(steps):
        error = (network.synthesize(first + added, conditions) - target) * weight
        across, down = error[..., 1:] - error[..., :-1], error[:, :, 1:] - error[:, :, :-1]
        loss = (
            2 * COLOUR * error.abs().mean() / mass
            + 2 * EDGES * (across.abs().mean() + down.abs().mean()) / mass
            + NEAR * added.square().sum() / network.num_styles
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return added.detach()


def agreement(
    picture: Tensor, target: Tensor, weight: Tensor, marks: Tensor
) -> list[tuple[str, float]]:
    """Decibels on the face, and distance of descriptors, by name.

    Args:
        picture: ``(1, 3, S, S)``.
        target: The same.
        weight: ``(1, 1, S, S)``, see `face_weight`.
        marks: ``(68, 2)`` landmarks in pixels.
    """
    face = (weight > 0.9).to(target)
    error = ((picture - target).square() * face).sum() / (3 * face.sum()).clamp(min=1)
    both = functional.interpolate(
        torch.cat([picture, target]), (SIDE, SIDE), mode="bicubic", align_corners=False
    ).clamp(0, 1)
    scale = SIDE / target.shape[-1]
    with torch.no_grad():
        described = IdentityEmbedding()(both, (marks * scale)[None].expand(2, -1, -1))
    return [
        ("psnr", float(-10 * error.log10())),
        ("identity", float(identity_distance(described[0], described[1]))),
    ]


def write_inversion(
    generator: FaceGenerator, inversion: Inversion, folder: Path, settings: Mapping[str, object]
) -> InversionReport:
    """Write codes, parameters, the comparison and the report.

    Raises:
        OutputError: They cannot be written.
    """
    save_codes(inversion.faces, folder / CODES)
    inversion.faces.parameters.save(folder / PARAMETERS)
    row = [
        ("photograph", inversion.target),
        ("render", inversion.render),
        ("by its code", inversion.by_code),
        ("inversion", inversion.picture),
    ]
    save_image(contact_sheet([row], CELL), folder / COMPARISON, synthetic=True)
    figures = {name: round(value, 4) for name, value in inversion.figures.items()}
    report: InversionReport = {**header(settings), "figures": figures}
    write_json(folder / REPORT, report)
    return report
