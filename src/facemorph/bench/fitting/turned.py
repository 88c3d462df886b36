"""Turned heads with a known rotation: what a detector does to their landmarks, and rows of
``facemorph bench fit`` on what is read back of their rotation.

The heads are those of FRLL's people, with shape and texture of a landmark fit, before random
backgrounds. People of the split ``test`` are measured, the others calibrate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.apps.fitting.located_face import locate
from facemorph.apps.heads.driven_portrait import portrait_of, resized
from facemorph.bench.fitting.carried import SPLIT, people_of
from facemorph.bench.table import Row, missing, row
from facemorph.errors import NoFaceFound
from facemorph.faces.detection import find_face, make_detector
from facemorph.faces.landmark_schemes import MIRROR68
from facemorph.geometry.fitting.landmark_calibration import detector_offsets
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.turned_landmarks import FARTHEST, constant_offsets, turn_of
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.shaded_pictures import render_picture
from facemorph.geometry.synthetic.random_faces import procedural_background
from facemorph.ops.rotations import angle_between, euler_from_rotation, rotation_from_euler

SIZE, TEXELS, VIEWS, BATCH = 256, 512, 14, 128
ANGLES = (FARTHEST, 12.0, 8.0)  # largest yaw, pitch and roll, degrees
STAYS, SLIDES = 18.0, 12.0  # degrees of yaw: around FitOptions.slide_above, on both sides of it
CHIN = 8
JUDGED = 20.0  # degrees of yaw, give or take five


@dataclass(frozen=True)
class TurnedHeads:
    """Rendered heads and what a detector found in them.

    Attributes:
        identity: ``(N, K)``.
        expression: ``(N, E)``.
        camera: Of the N pictures.
        found: ``(N, 68, 2)`` landmarks of the detector, pixels.
    """

    identity: Tensor
    expression: Tensor
    camera: Camera
    found: Tensor


def turned_heads(model: MorphableModel, frll: Path, *, tested: bool, seed: int = 5) -> TurnedHeads:
    """Heads of FRLL's people, neutral and smiling, at random angles; the pitch about that of the
    photograph, as the constant offsets are those of heads that are held so.

    Args:
        model: The model.
        frll: FRLL's folder.
        tested: Whether those of the people of the split ``test``, else those of the others.
        seed: Of angles and backgrounds.
    """
    random, detector = np.random.default_rng(seed), make_detector()
    identities, expressions, rotations, origins, sizes, found = ([] for _ in range(6))
    for number, person in enumerate(console.track(people_of(tested=tested), "turned heads")):
        kind, suffix = ("neutral", "03") if number % 3 else ("smiling", "08")
        located = locate(frll / kind / f"{person}_{suffix}.jpg", detector=detector)
        face = resized(portrait_of(located), 2 * SIZE)
        fitted = fit_faces([face], model)[0]
        held = torch.rad2deg(euler_from_rotation(fitted.camera().rotation)[0, 1])
        texture, near = texture_of([fitted], [face.image], TEXELS), fitted.camera().scaled(0.5)
        for _ in range(VIEWS):
            yaw, pitch, roll = torch.from_numpy(random.uniform(-1, 1, 3) * ANGLES).float()
            angles = torch.deg2rad(torch.stack([yaw, pitch + held, roll]))
            camera = Camera(rotation_from_euler(*angles[:, None]), near.origin, near.log_size)
            behind = torch.from_numpy(procedural_background(SIZE, random)).movedim(-1, 0)
            drawn = render_picture(
                fitted.vertices(),
                model.topology,
                camera,
                (SIZE, SIZE),
                texture[None],
                supersample=2,
            )
            try:
                points = find_face(drawn.over(behind)[0].clamp(0, 1), detector).points.float()
            except NoFaceFound:
                continue
            found.append(points)
            identities.append(fitted.parameters.identity)
            expressions.append(fitted.parameters.expression)
            rotations.append(camera.rotation)
            origins.append(camera.origin)
            sizes.append(camera.log_size)
    camera = Camera(torch.cat(rotations), torch.cat(origins), torch.cat(sizes))
    return TurnedHeads(torch.cat(identities), torch.cat(expressions), camera, torch.stack(found))


def calibrate_turned(model: MorphableModel, heads: TurnedHeads, constant: Tensor) -> Tensor:
    """Offsets ``(2, 85, 2)`` for ``offsets_at``: least squares of what was found against where the
    model's landmarks are, symmetric.

    Args:
        model: The model.
        heads: Of many people.
        constant: Of ``calibrate``: photographs from the front say more of it than renders.
    """
    rotation, marks, outline = heads.camera.rotation, [], []
    for rows in torch.arange(len(rotation)).split(BATCH):
        vertices = model.vertices(heads.identity[rows], heads.expression[rows])
        marks.append(model.landmarks(vertices))
        contour = model.topology.contour
        outline.append(
            marks[-1][:, :17]
            if contour is None
            else on_outline(marks[-1], contour.of(vertices), rotation[rows])[:, :17]
        )
    points = torch.cat([torch.cat(marks), torch.cat(outline)], 1)
    found = torch.cat([heads.found, heads.found[:, :17]], 1)
    missed = (found - heads.camera.project(points).pixels) * found.new_tensor([1.0, -1.0])
    missed = missed / heads.camera.log_size.exp()[:, None, None]
    yaw = torch.rad2deg(euler_from_rotation(rotation)[:, 0]).abs()
    offsets = _least_squares(missed, rotation)
    stays, slides = yaw < STAYS, yaw > SLIDES
    chin = offsets[:, CHIN].clone()
    offsets[:, :17] = _least_squares(missed[stays, :17], rotation[stays])
    offsets[:, CHIN] = chin  # it never slides
    offsets[:, 68:] = _least_squares(missed[slides, 68:], rotation[slides])
    mirror = [*MIRROR68, *(68 + place for place in MIRROR68[:17])]
    ways = offsets.new_tensor([[-1.0, 1.0], [1.0, -1.0]])[:, None]
    offsets = (offsets + offsets[:, mirror] * ways) / 2
    offsets[0, :68] = constant[0, :68]
    return offsets


def _least_squares(missed: Tensor, rotation: Tensor) -> Tensor:
    """Offsets ``(2, P, 2)`` in the head's frame that explain ``missed`` ``(N, P, 2)``, millimetres
    along the picture's x and upwards.
    """
    grows = torch.stack([torch.ones(len(rotation)), turn_of(rotation)], 1)
    design = torch.einsum("nij,nt->nitj", rotation[:, :2, :2], grows).reshape(-1, 4)
    values = missed.movedim(1, 2).reshape(-1, missed.shape[1])
    return torch.linalg.lstsq(design, values).solution.view(2, 2, -1).movedim(1, 2)


def on_outline(marks: Tensor, candidates: Tensor, rotation: Tensor) -> Tensor:
    """Landmarks ``(B, 68, 3)`` with each of the jaw line, but for the chin, at its outermost
    candidate.
    """
    side = torch.where(torch.arange(17) < CHIN, -1.0, 1.0)[:, None]
    best = (torch.einsum("bijc,bc->bij", candidates, rotation[:, 0]) * side).argmax(2)
    outer = candidates.gather(2, best[..., None, None].expand(-1, -1, 1, 3))[:, :, 0]
    outer[:, CHIN] = marks[:, CHIN]
    return torch.cat([outer, marks[:, 17:]], 1)


def turned_rows(model: MorphableModel, frll: Path) -> list[Row]:
    """How far the rotation of people who calibrated nothing is read wrongly, with offsets that grow
    with the turn and with the constant ones alone.
    """
    offsets = detector_offsets(model, "embedded")
    if offsets is None or not SPLIT.is_file():
        reason = "no offsets of this model" if offsets is None else f"{SPLIT} is not here"
        return [missing(f"{model.name}, turned renders of FRLL's people", reason)]
    heads = turned_heads(model, frll, tested=True)
    label = f"{model.name}, {len(heads.found)} turned renders of FRLL's people, embedded"
    return [
        *read_rows(label, model, heads, offsets, "<= 1"),
        *read_rows(f"{label}, constant", model, heads, constant_offsets(offsets[0, :68])),
    ]


def read_rows(
    label: str, model: MorphableModel, heads: TurnedHeads, offsets: Tensor, bar: str | None = None
) -> list[Row]:
    """Rows of one kind of offsets; the bar is of the yaw."""
    fitter, true = LandmarkFitter(model, None, offsets), heads.camera.rotation
    read = torch.cat([fitter(found).camera.rotation for found in heads.found.split(BATCH)])
    angles = torch.rad2deg(euler_from_rotation(true))
    error = torch.rad2deg(euler_from_rotation(read)) - angles
    far = (angles[:, 0].abs() - JUDGED).abs() < 5
    short = -(error[far, 0] * angles[far, 0].sign()).mean()
    whole = math.degrees(float(angle_between(read, true)[far].mean()))
    return [
        row(f"{label}: yaw of 20 degrees is read too small by", float(short), "deg", bar),
        row(f"{label}: slope of the yaw", _slope(angles[:, 0], error[:, 0]), ""),
        row(f"{label}: slope of the pitch", _slope(angles[:, 1], error[:, 1]), ""),
        row(f"{label}: rotation at 20 degrees of yaw", whole, "deg"),
    ]


def _slope(true: Tensor, error: Tensor) -> float:
    centred = true - true.mean()
    return 1 + float(centred @ (error - error.mean()) / (centred @ centred))
