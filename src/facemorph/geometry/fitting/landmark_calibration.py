"""What a detector takes for a landmark is not quite where a model has it: measured, as a constant
and, for the embedded detector on the embedded head, as it grows with the turn of the head.

Without it the difference goes into the identity, and on some models into the smile. The offsets
belong to one detector and one model; those of another make a fit worse.
``assets/landmark_calibration.json`` holds them for the embedded head and for ICT-FaceKit, measured
on the neutral portraits of the Face Research Lab London Set (DeBruine and Jones, 2017, CC-BY 4.0,
doi:10.6084/m9.figshare.5047666), and on renders of turned heads of 70 of its people, by
``facemorph.bench.fit.write_calibration``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.fitting.turned_landmarks import constant_offsets
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.storage.files import ASSETS

PATH = ASSETS / "landmark_calibration.json"
NOISE, ROUNDS = 0.04, 3
# How many times stronger an expression is than a detector sees it: networks draw landmarks towards
# the mean face. Measured on the 70 people of FRLL that docs/splits/frll_reenactment.csv does not
# name ``test``, against the landmarks of dlib: least error at 1.35, both for one photograph and for
# two with one identity (``facemorph.bench.fitting.carried.strength_table``).
STRENGTH = {"embedded": 1.35}


def calibrate(model: MorphableModel, landmarks: Tensor, mirror: Sequence[int]) -> Tensor:
    """Constant offsets ``(2, 85, 2)``, for ``offsets_at``, of the detector that found landmarks.

    The mean residual of each landmark over frontal, neutral faces of many people, made symmetric;
    fitted and measured again three times.

    Args:
        model: The model.
        landmarks: ``(N, 68, 2)`` pixels, a person each.
        mirror: The landmark on the other side of the face for each,
            ``faces.landmark_schemes.MIRROR68``.
    """
    offsets = constant_offsets(torch.zeros(68, 2))
    for _ in range(ROUNDS):
        fit = LandmarkFitter(model, FitOptions(noise=NOISE, slide_above=180.0), offsets)(landmarks)
        missed = (landmarks.float() - fit.landmarks) / fit.camera.log_size.exp()[:, None, None]
        missed = torch.nn.functional.pad(missed * missed.new_tensor([1.0, -1.0]), (0, 1))
        mean = (missed @ fit.camera.rotation).mean(0)[:, :2]  # turned back into the head's frame
        offsets[0, :68] += (mean + mean[list(mirror)] * mean.new_tensor([-1.0, 1.0])) / 2
    return offsets


def full_strength(expression: Tensor, detector: str, span: tuple[float, float]) -> Tensor:
    """Fitted expressions ``(B, E)`` as strong as they are, for what shall show them: a driver's.

    Args:
        expression: Of a landmark fit.
        detector: See ``detector_offsets``; those without a measured strength change nothing.
        span: Lowest and highest expression of the model.
    """
    return (expression * STRENGTH.get(detector, 1.0)).clamp(*span)


@cache
def _tables() -> dict[str, dict[str, list[Any]]]:
    tables: dict[str, dict[str, list[Any]]] = json.loads(PATH.read_text())["offsets"]
    return tables


def detector_offsets(model: MorphableModel, detector: str) -> Tensor | None:
    """The measured offsets ``(2, 85, 2)`` of a detector on a model, for ``offsets_at``; None where
    none were measured, and constant ones where no turned heads were.

    Args:
        model: The model.
        detector: ``embedded``, ``dlib``, or ``frll189`` for hand-made templates.
    """
    found = _tables().get(model.name, {}).get(detector)
    if found is None:
        return None
    offsets = torch.tensor(found)
    return constant_offsets(offsets) if offsets.ndim == 2 else offsets
