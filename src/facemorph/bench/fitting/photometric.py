"""Rows of ``facemorph bench fit`` on the refinement by the picture: synthetic faces with real
people's colours.

The renderer and the light are the same on both sides, and the skin colours of the faces are those
of held-out people of the same set: real photographs will gain less.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from facemorph import console
from facemorph.bench.table import Row, missing, row
from facemorph.faces.files.image_io import load_image
from facemorph.faces.landmark_schemes import MIRROR68
from facemorph.geometry.fitting.landmark_calibration import calibrate
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.fitting.photometric_fit import SIDE, PhotometricOptions, refine_by_picture
from facemorph.geometry.fitting.scan_fit import similarity_between
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.lighting import random_light, shading
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.ops.rotations import rotation_from_euler

HELD, COMPONENTS, STEPS = 16, 20, 100
STILL = ("eyeLook", "tongue", "cheekPuff", "jaw", "mouthClose", "eyeBlink")


def vertex_colours(model: MorphableModel, frll: Path) -> Tensor:
    """Colours ``(102, V, 3)`` of the vertices of FRLL's people, with the studio's flat light in
    them.
    """
    with np.load(frll / "landmarks.npz") as data:
        landmarks, names = torch.from_numpy(data["dlib68_neutral"]).float(), data["ids"].tolist()
    fit = LandmarkFitter(model, FitOptions(noise=0.015))(landmarks)
    found = []
    places = fit.camera.project(model.vertices(fit.identity, fit.expression)).pixels
    for name, pixels in zip(names, places, strict=True):
        image = load_image(frll / f"neutral/{name}_03.jpg")
        grid = pixels / pixels.new_tensor([image.shape[2], image.shape[1]]) * 2 - 1
        found.append(
            grid_sample(image[None], grid[None, None], padding_mode="border", align_corners=False)[
                0, :, 0
            ].T
        )
    return torch.stack(found)


def photometric_rows(model: MorphableModel, frll: Path | None) -> list[Row]:
    """How much nearer the refinement comes, in how many faces, and how long it takes."""
    label = f"{model.name}, refinement by the picture, {HELD} synthetic faces, {STEPS} steps"
    if frll is None or not (frll / "landmarks.npz").is_file():
        return [missing(label, "FRLL with landmarks.npz is not here")]
    colours = vertex_colours(model, frll)
    held, known = colours[-HELD:], colours[:-HELD]
    mean = known.mean(0)
    _, spread, modes = torch.linalg.svd((known - mean).flatten(1), full_matrices=False)
    basis = (modes[:COMPONENTS] * spread[:COMPONENTS, None] / len(known) ** 0.5).view(
        COMPONENTS, -1, 3
    )
    identity, pictures, landmarks = rendered_faces(model, held)
    fit = LandmarkFitter(model, FitOptions(contour_weight=1.0, slide_above=180.0))(landmarks)
    start = time.perf_counter()
    refined = refine_by_picture(
        model,
        pictures,
        landmarks,
        fit.identity,
        fit.expression,
        fit.camera,
        mean,
        basis,
        PhotometricOptions(steps=STEPS),
    )
    seconds = (time.perf_counter() - start) / HELD
    face = model.topology.masks["face"]
    true = model.vertices(identity)[:, face]
    before, after = (
        aligned_distance(model.vertices(each)[:, face], true)
        for each in (fit.identity, refined.identity)
    )
    return [
        row(
            f"{label}: vertex error, lower by",
            100 * float(1 - after.mean() / before.mean()),
            "%",
            ">= 6",
        ),
        row(f"{label}: better in", 100 * float((after < before).float().mean()), "%", ">= 80"),
        row(f"{label}: each", seconds, "s", "<= 0.6"),
    ]


def photograph_rows(
    model: MorphableModel, landmarks: tuple[Tensor, Tensor], frll: Path
) -> list[Row]:
    """Identity of real people, neutral against smiling, before and after: the half of FRLL that did
    not calibrate.

    Args:
        model: The model.
        landmarks: Neutral and smiling landmarks ``(102, 68, 2)`` of the embedded detector, pixels
            of 1350.
        frll: FRLL's folder.
    """
    offsets, (mean, basis) = calibrate(model, landmarks[0][::2], MIRROR68), skin_basis(model)
    fitter, found = LandmarkFitter(model, offsets=offsets), []
    names = [file.stem[:3] for file in sorted((frll / "neutral").glob("*_03.jpg"))][1::2]
    for kind, suffix, points in zip(("neutral", "smiling"), ("03", "08"), landmarks, strict=True):
        fits = []
        for name, place in zip(
            console.track(names, f"refinement, {kind}"), points[1::2], strict=True
        ):
            image = load_image(frll / kind / f"{name}_{suffix}.jpg")
            marks = place[None] * (image.shape[2] / 1350)
            fit = fitter(marks)
            refined = refine_by_picture(
                model,
                [image],
                marks,
                fit.identity,
                fit.expression,
                fit.camera,
                mean,
                basis,
                offsets=offsets,
            )
            fits.append((fit.identity, refined.identity))
        found.append([torch.cat(one) for one in zip(*fits, strict=True)])
    rows = []
    for index, state in enumerate(("landmarks alone", "refined by the picture")):
        area, rank = verification(found[0][index], found[1][index])
        label = f"{model.name}, FRLL, embedded, noise 0.02, {state}"
        rows += [
            row(f"{label}: identity, neutral against smiling, AUC", area, ""),
            row(f"{label}: identity, rank 1 of {len(names)}", rank, "%"),
        ]
    return rows


def verification(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Area under the ROC curve and rank-1 rate in per cent of identity vectors ``(N, K)`` of the
    same N people.
    """
    scores = (
        torch.nn.functional.normalize(first, dim=1) @ torch.nn.functional.normalize(second, dim=1).T
    )
    same = torch.eye(len(scores), dtype=torch.bool)
    area = (scores[same][:, None] > scores[~same][None]).float().mean()
    return float(area), float((scores.argmax(1) == torch.arange(len(scores))).float().mean() * 100)


def aligned_distance(found: Tensor, true: Tensor) -> Tensor:
    """``(B,)`` mean distance of vertices ``(B, V, 3)`` after the best similarity, millimetres."""
    distances = []
    for some, goal in zip(found, true, strict=True):
        scale, rotation, shift = similarity_between(some, goal)
        distances.append((scale * some @ rotation.T + shift - goal).norm(dim=1).mean())
    return torch.stack(distances)


def rendered_faces(
    model: MorphableModel, colours: Tensor, seed: int = 5
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Identities, pictures of 192 px and landmarks with 1 px noise of random faces with given
    colours ``(B, V, 3)``.
    """
    generator, count = torch.Generator().manual_seed(seed), len(colours)
    identity = torch.randn(count, model.num_identity, generator=generator)
    expression = torch.rand(count, model.num_expression, generator=generator)
    expression *= torch.rand(expression.shape, generator=generator) < 0.08
    expression[:, model.expression_index(*STILL)] = 0
    angles = torch.randn(3, count, generator=generator) * torch.tensor([0.3, 0.1, 0.1])[:, None]
    camera = Camera(
        rotation_from_euler(*angles),
        torch.tensor([SIDE * 0.5, SIDE * 0.45]).expand(count, 2),
        torch.full((count,), math.log(0.7)),
    )
    vertices = model.vertices(identity, expression)
    view = MeshView.of(vertices, model.topology.faces, camera, (SIDE, SIDE))
    lit = (colours * shading(view.vertex_normals, random_light(count, generator)[:, None])).clamp(
        0, 1
    )
    pictures = torch.where(view.mask, view.attribute(lit), torch.tensor(0.6))
    pictures = (pictures + 0.01 * torch.randn(pictures.shape, generator=generator)).clamp(0, 1)
    landmarks = camera.project(model.landmarks(vertices)).pixels
    return identity, list(pictures), landmarks + torch.randn(landmarks.shape, generator=generator)
