"""``facemorph bench fit``: what the landmark fit recovers and how fast, on synthetic truth and on
FRLL.

FRLL's landmarks are those of dlib (``landmarks.npz`` of the developers' data) where they are there,
and those of the embedded detector always. Half of the people calibrate a detector's offsets, the
others are measured.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph import console
from facemorph.bench.fitting.carried import carried_rows, find_clips
from facemorph.bench.fitting.photometric import (
    aligned_distance,
    photograph_rows,
    photometric_rows,
    verification,
)
from facemorph.bench.fitting.turned import (
    calibrate_turned,
    on_outline,
    turned_heads,
    turned_rows,
)
from facemorph.bench.photographs.frll import find_frll
from facemorph.bench.table import Row, missing, row
from facemorph.faces.detection import find_face, make_detector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.faces.landmark_schemes import MIRROR68, to_ibug68
from facemorph.geometry.fitting.landmark_calibration import PATH, calibrate
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import (
    FitOptions,
    LandmarkFit,
    distance_between_pupils,
)
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.rotations import angle_between, rotation_from_euler
from facemorph.ops.threads import one_thread
from facemorph.storage.files import write_whole

PEOPLE, SIZE, PUPILS = 500, 256, 44.0
STATIC = 180.0  # degrees of yaw: the jaw line never slides
SMILE = "mouthSmile"
RISE = 0.1
RECOVERY = {"makehuman": 0.58, "ict": 0.68}
REPROJECTION = {"makehuman": (1.3, 1.0), "ict": (1.15, 0.95)}


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: FRLL; found by itself when None.
    """
    rows: list[Row] = []
    frll = find_frll(folder)
    with one_thread():
        found = {} if frll is None else frll_landmarks(frll)
        for model in models():
            rows += recovery_rows(model)
            if frll is None:
                rows.append(missing(f"{model.name}, FRLL", "FRLL is not here: give --frll DIR"))
            for detector, landmarks in found.items():
                rows += frll_rows(model, detector, landmarks)
        if frll is not None and found["embedded"][1] is not None:
            rows += photograph_rows(
                load_makehuman(), (found["embedded"][0], found["embedded"][1]), frll
            )
            rows += turned_rows(load_makehuman(), frll)
        rows += photometric_rows(load_makehuman(), frll) + speed_rows(load_makehuman())
        rows += carried_rows(load_makehuman(), frll, find_clips())
    return rows


def models() -> list[MorphableModel]:
    """The embedded head, and ICT-FaceKit where the developers' copy is."""
    ict = Path(__file__).resolve().parents[4] / "shared/data/ict_facekit/full.npz"
    return [load_makehuman(), *([load_model(ict)] if ict.is_file() else [])]


# ------------------------------------------------------------
# synthetic truth
def synthetic_views(
    model: MorphableModel,
    count: int,
    yaw: float,
    seed: int = 0,
    *,
    fixed: bool = False,
    sliding: bool = False,
) -> tuple[Tensor, Camera, Tensor]:
    """Identities, cameras and landmarks with 1 px noise of random people in pictures of 256 px.

    Identity N(0, 1), 12 % of the expressions uniform in [0, 1] (the jaw closed), pitch and roll
    within 15 degrees.

    Args:
        model: The model.
        count: Number of people.
        yaw: Largest yaw in degrees.
        seed: Of the random numbers.
        fixed: Whether every head is turned by ``yaw`` to one side or the other.
        sliding: Whether the jaw line's landmarks are on the outline, as annotators put them.
    """
    generator = torch.Generator().manual_seed(seed)
    identity = torch.randn(count, model.num_identity, generator=generator)
    still = set(model.expression_index("jawOpen", "mouthClose"))
    shown = [index for index in LandmarkFitter(model).basis.visible if index not in still]
    expression = torch.zeros(count, model.num_expression)
    active = torch.rand(count, len(shown), generator=generator) < 0.12
    expression[:, shown] = torch.rand(count, len(shown), generator=generator) * active
    angles = (torch.rand(3, count, generator=generator) * 2 - 1) * torch.tensor([yaw, 15.0, 15.0])[
        :, None
    ]
    if fixed:
        angles[0] = yaw * angles[0].sign()
    eyes = model.landmarks(model.mean[None])
    size = math.log(PUPILS / float(distance_between_pupils(eyes[..., :2])))
    camera = Camera(
        rotation_from_euler(*torch.deg2rad(angles)),
        torch.full((count, 2), SIZE / 2),
        torch.full((count,), size),
    )
    vertices = model.vertices(identity, expression)
    marks = model.landmarks(vertices)
    if sliding and model.topology.contour is not None:
        marks = on_outline(marks, model.topology.contour.of(vertices), camera.rotation)
    pixels = camera.project(marks).pixels
    return identity, camera, pixels + torch.randn(pixels.shape, generator=generator)


def recovery_rows(model: MorphableModel) -> list[Row]:
    """Pose and shape of random people from noisy landmarks."""
    identity, camera, landmarks = synthetic_views(model, PEOPLE, 40.0)
    fit = LandmarkFitter(model, FitOptions(contour_weight=1.0, slide_above=STATIC))(landmarks)
    face = model.topology.masks["face"]
    true, found = model.vertices(identity)[:, face], model.vertices(fit.identity)[:, face]
    ratio = (
        aligned_distance(found, true).mean()
        / aligned_distance(model.mean[face].expand_as(true), true).mean()
    )
    pose = torch.rad2deg(angle_between(fit.camera.rotation, camera.rotation))
    label = f"{model.name}, {PEOPLE} synthetic people, yaw up to 40"
    rows = [
        row(f"{label}: pose, mean", float(pose.mean()), "deg", "<= 1.3"),
        row(f"{label}: pose, 95 % within", float(pose.quantile(0.95)), "deg"),
        row(
            f"{label}: vertex error over the mean face's",
            float(ratio),
            "x",
            f"<= {RECOVERY.get(model.name, 1.0)}",
        ),
    ]
    for above, kind, bar in ((15.0, "sliding", "<= 1.8"), (STATIC, "static", None)):
        _, camera, landmarks = synthetic_views(model, PEOPLE, 45.0, fixed=True, sliding=True)
        fit = LandmarkFitter(model, FitOptions(slide_above=above))(landmarks)
        turned = torch.rad2deg(angle_between(fit.camera.rotation, camera.rotation)).mean()
        rows.append(
            row(
                f"{model.name}, {PEOPLE} synthetic people, yaw 45, jaw line {kind}: pose, mean",
                float(turned),
                "deg",
                bar,
            )
        )
    return rows


# ------------------------------------------------------------
# FRLL
def frll_landmarks(folder: Path) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Neutral and smiling landmarks ``(102, 68, 2)`` of every person by detector, in pixels of
    1350.
    """
    files = sorted((folder / "neutral").glob("*_03.jpg"))
    templates = torch.stack(
        [to_ibug68(*read_points(file.with_suffix(".tem"))) for file in files]
    ).float()
    found: dict[str, tuple[Tensor, Tensor | None]] = {"frll189": (templates, None)}
    detector, sets = make_detector(), []
    for kind, suffix in (("neutral", "03"), ("smiling", "08")):
        points = []
        for file in console.track(files, f"landmarks, {kind}"):
            image = load_image(folder / kind / f"{file.stem[:3]}_{suffix}.jpg")
            points.append(find_face(image, detector, name=file).points * (1350 / image.shape[2]))
        sets.append(torch.stack(points).float())
    found["embedded"] = (sets[0], sets[1])
    if (folder / "landmarks.npz").is_file():
        with np.load(folder / "landmarks.npz") as data:
            pair = (
                torch.from_numpy(data[f"dlib68_{kind}"]).float() for kind in ("neutral", "smiling")
            )
            found["dlib"] = (next(pair), next(pair))
    return found


def frll_rows(
    model: MorphableModel, detector: str, landmarks: tuple[Tensor, Tensor | None]
) -> list[Row]:
    """Reprojection, smile and identity on the half of FRLL that did not calibrate."""
    neutral, smiling = landmarks
    offsets = calibrate(model, neutral[::2], MIRROR68)
    label, bars = (
        f"{model.name}, FRLL, {detector}",
        REPROJECTION.get(model.name) if detector == "dlib" else None,
    )
    held, fitter = neutral[1::2], LandmarkFitter(model, FitOptions(), offsets)
    fit = fitter(held)
    everywhere, inner = reprojection(fit, held)
    rows = [
        row(
            f"{label}: neutral, held out, all 68",
            everywhere,
            "% of the pupils' distance",
            f"<= {bars[0]}" if bars else None,
        ),
        row(
            f"{label}: neutral, held out, inner 51",
            inner,
            "% of the pupils' distance",
            f"<= {bars[1]}" if bars else None,
        ),
    ]
    if smiling is None:
        return rows
    rising = rises(fitter, model, held, smiling[1::2])
    generator = torch.Generator().manual_seed(0)
    noise = (
        0.015
        * distance_between_pupils(held)[:, None, None]
        * torch.randn(held.shape, generator=generator)
    )
    control = rises(fitter, model, held, held + noise)
    close = LandmarkFitter(model, FitOptions(noise=0.01), offsets)
    area, rank = verification(close(held).identity, close(smiling[1::2]).identity)
    measured = detector == "dlib"
    embedded = measured and model.name == "makehuman"
    return [
        *rows,
        row(
            f"{label}: smile rises by more than 0.1, identity tied",
            rising,
            "%",
            ">= 80" if measured else None,
        ),
        row(
            f"{label}: the same between two neutral pictures",
            control,
            "%",
            "== 0" if measured else None,
        ),
        row(
            f"{label}: identity, neutral against smiling, AUC",
            area,
            "",
            ">= 0.965" if embedded else None,
        ),
        row(f"{label}: identity, rank 1 of {len(held)}", rank, "%", ">= 88" if embedded else None),
    ]


def reprojection(fit: LandmarkFit, landmarks: Tensor) -> tuple[float, float]:
    """Mean error of all and of the inner landmarks, per cent of the distance between the pupils."""
    error = (
        (fit.landmarks - landmarks).norm(dim=-1) / distance_between_pupils(landmarks)[:, None] * 100
    )
    return float(error.mean()), float(error[:, 17:].mean())


def rises(fitter: LandmarkFitter, model: MorphableModel, first: Tensor, second: Tensor) -> float:
    """Per cent of people whose smile rises by more than 0.1 from one picture to the other, with one
    identity.
    """
    count, smile = len(first), model.expression_index(SMILE)
    both = (
        fitter(torch.cat([first, second]), person=torch.arange(count).repeat(2))
        .expression[:, smile]
        .mean(1)
    )
    return float((both[count:] - both[:count] > RISE).float().mean() * 100)


# ------------------------------------------------------------
# speed
def speed_rows(model: MorphableModel) -> list[Row]:
    """Milliseconds of the landmark fit, best of twelve, and its steps."""
    _, _, landmarks = synthetic_views(model, 64, 20.0, sliding=True)
    fitter = LandmarkFitter(model)
    count = (
        f"{fitter.basis.num_identity} identity and {fitter.basis.num_local} expression "
        "coefficients, one thread"
    )
    return [
        row(
            f"landmark fit, {count}: one face",
            fastest(lambda: fitter(landmarks[:1])),
            "ms CPU",
            "<= 10",
        ),
        row(
            f"landmark fit, {count}: each of 64",
            fastest(lambda: fitter(landmarks)) / 64,
            "ms CPU",
            "<= 5",
        ),
        row(f"landmark fit, {count}: steps", float(fitter(landmarks[:, :]).iterations), "", "<= 8"),
    ]


def fastest(work: Callable[[], object], times: int = 12) -> float:
    """CPU milliseconds of the fastest of some calls."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found) * 1000


def write_calibration(folder: Path) -> Path:
    """Measure the offsets of all detectors on all models, of the embedded ones how they grow with
    the turn too, and write ``assets/landmark_calibration.json``.

    ``python -c "from facemorph.bench.fit import *; write_calibration(find_frll())"``

    Args:
        folder: What ``find_frll`` gives.
    """
    landmarks, turning = frll_landmarks(folder), load_makehuman()
    heads = turned_heads(turning, folder, tested=False)
    tables: dict[str, dict[str, list[object]]] = {}
    for model in models():
        tables[model.name] = {}
        for detector, (neutral, _) in landmarks.items():
            found = calibrate(model, neutral, MIRROR68)
            if (model.name, detector) == (turning.name, "embedded"):
                found = calibrate_turned(model, heads, found)
            else:
                found = found[0, :68]
            tables[model.name][detector] = rounded(found).tolist()
    content = {
        "unit": "millimetres along x (right in the picture) and y (up) of the head: 68 landmarks, "
        "or, where it grows with the turn, two tables (constant, and what the sine of the yaw is "
        "multiplied with) of 68 landmarks and 17 of the jaw line slid to the outline",
        "measured_on": "Face Research Lab London Set (DeBruine and Jones, 2017), 102 neutral "
        "portraits, turned heads rendered from those of 70 people, "
        "doi:10.6084/m9.figshare.5047666, CC-BY 4.0",
        "offsets": tables,
    }
    write_whole(PATH, (json.dumps(content, separators=(",", ":")) + "\n").encode())
    return PATH


def rounded(values: Tensor) -> np.ndarray[Any, Any]:
    """Values to three digits after the point, that are written so."""
    result: np.ndarray[Any, Any] = values.double().numpy().round(3)
    return result
