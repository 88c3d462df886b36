"""The second half of a training set in the making: all photographs fitted, judged by their fits,
and masked.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from scipy import ndimage
from torch import Tensor

from facemorph import console
from facemorph.apps.fitting.face_fitting import parameters_of
from facemorph.apps.morphing.morph_pictures import contact_sheet, draw_landmarks
from facemorph.apps.sets.prepare_pictures import FILTERED, PreparedPicture, PrepareOptions
from facemorph.apps.sets.refined_fits import refined_fits
from facemorph.errors import ImageError
from facemorph.faces.alignment import crop
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.geometry.fitting.landmark_calibration import detector_offsets
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.frames import Frame

BATCH = 64  # people fitted at a time
PARAMETERS, OVERVIEW = "parameters.npz", "overview.jpg"
SHOWN, CELL = 24, 192


def fit_prepared(
    rows: Sequence[PreparedPicture],
    options: PrepareOptions,
    folder: Path,
    masks: Path | None,
    workers: int,
) -> list[PreparedPicture]:
    """Fit, judge and mask what has been cut; write ``parameters.npz``, the masks and
    ``overview.jpg``.

    Args:
        rows: Records of the crops; those whose fit is beyond its limits become filtered, those
            whose fit cannot be refined failed, with the reason.
        options: What all have in common.
        folder: Of the training set.
        masks: Folder of the user's own masks.
        workers: Processes that refine.

    Returns:
        The rows that are kept, in the order of the parameters.

    Raises:
        ImageError: A mask of the user's cannot be read.
    """
    model = load_model(options.model)
    landmarks = torch.stack([read_points(folder / row["files"][1])[0].float() for row in rows])
    parameters, error = _fitted(model, landmarks, [str(row["person"]) for row in rows], options)
    kept = []
    alone = Counter(str(row["person"]) for row in rows)
    yaw = torch.rad2deg(
        torch.asin((-camera_of(parameters, _frame(options)).rotation[:, 2, 0]).clamp(-1, 1))
    )
    for index, row in enumerate(rows):
        row["measures"] |= {
            "fit_error": round(float(error[index]), 4),
            "yaw": round(float(yaw[index]), 1),
        }
        reason = None
        if float(error[index]) > options.max_error:
            reason = (
                f"the model does not fit: error {float(error[index]):.3f}, max_error "
                f"{options.max_error:g}"
            )
        elif abs(float(yaw[index])) > options.max_yaw:
            reason = (
                f"the head is turned by {float(yaw[index]):.0f} degrees, max_yaw "
                f"{options.max_yaw:g}"
            )
        elif options.kind == "gdpw" and alone[str(row["person"])] < 2:
            reason = "the only photograph of its person: reenactment learns from two"
        if reason is None:
            kept.append(index)
        else:
            row |= {"status": FILTERED, "reason": reason}
    chosen = parameters[torch.tensor(kept, dtype=torch.long)]
    if options.refine and kept:
        refined = refined_fits(chosen, [rows[index] for index in kept], options, folder, workers)
        places = sorted(refined)
        kept = [kept[place] for place in places]
        chosen = FaceParameters.joined([refined[place] for place in places] or [chosen[:0]])
    chosen.save(folder / PARAMETERS)
    _write_masks(model, chosen, [rows[index] for index in kept], options, folder, masks)
    _write_overview(model, chosen[:SHOWN], [rows[index] for index in kept[:SHOWN]], options, folder)
    return [rows[index] for index in kept]


def _frame(options: PrepareOptions) -> Frame:
    return Frame(options.size, options.size)


def _fitted(
    model: MorphableModel, landmarks: Tensor, people: Sequence[str], options: PrepareOptions
) -> tuple[FaceParameters, Tensor]:
    """Parameters of all crops, and their errors ``(N,)``."""
    fitter = LandmarkFitter(model, FitOptions(), detector_offsets(model, options.detector))
    names = list(dict.fromkeys(people)) if options.kind == "gdpw" else list(range(len(people)))
    number = {name: index for index, name in enumerate(names)}
    person = torch.tensor(
        [number[name] for name in (people if options.kind == "gdpw" else range(len(people)))]
    )
    order, pieces, errors = [], [], []
    for start in console.track(range(0, len(names), BATCH), "fits"):
        rows = ((person >= start) & (person < start + BATCH)).nonzero()[:, 0]
        fit = fitter(landmarks[rows], person=person[rows])
        order.append(rows)
        pieces.append(parameters_of(fit, model))
        errors.append(fit.error)
    back = torch.cat(order).argsort()
    return FaceParameters.joined(pieces)[back], torch.cat(errors)[back]


def _write_masks(
    model: MorphableModel,
    parameters: FaceParameters,
    rows: Sequence[PreparedPicture],
    options: PrepareOptions,
    folder: Path,
    masks: Path | None,
) -> None:
    frame = _frame(options)
    for index, row in enumerate(console.track(rows, "masks")):
        one = parameters[index]
        view = MeshView.of(
            vertices_of(model, one),
            model.topology.faces,
            camera_of(one, frame),
            (options.size, options.size),
        )
        mask = view.mask[0].float()
        own = None if masks is None or "frame" in row else masks / f"{row['name']}.png"
        if own is not None and own.is_file():
            mask = torch.maximum(mask, _own_mask(own, row, options.size))
        solid = torch.from_numpy(ndimage.binary_fill_holes(mask[0].numpy() > 0.5))[None].float()
        row["measures"]["mask_share"] = round(float(solid.mean()), 4)
        file = f"masks/{row['name']}.png"
        save_image(solid.expand(3, -1, -1), folder / file)
        row["files"] = [*row["files"][:2], file]


def _own_mask(path: Path, row: PreparedPicture, size: int) -> Tensor:
    """The user's mask ``(1, S, S)`` of a whole photograph, cut as the photograph was."""
    mask = load_image(path)
    if mask.shape[1:] != load_image(row["file"]).shape[1:]:
        raise ImageError(
            "a mask has another size than its photograph",
            where=path,
            found=tuple(mask.shape[1:]),
            remedy="Masks belong to the whole photographs, not to the crops.",
        )
    matrix = torch.tensor(row["crop"], dtype=torch.float64).view(2, 3)
    return crop(mask, matrix, size, padding="zeros")[:1]


def _write_overview(
    model: MorphableModel,
    parameters: FaceParameters,
    rows: Sequence[PreparedPicture],
    options: PrepareOptions,
    folder: Path,
) -> None:
    """A sheet of the first crops: landmarks, and the normals of the fit over half of the head."""
    if not rows:
        return
    cells = []
    for index, row in enumerate(rows):
        image, one = load_image(folder / row["files"][0]), parameters[index]
        view = MeshView.of(
            vertices_of(model, one),
            model.topology.faces,
            camera_of(one, _frame(options)),
            (options.size, options.size),
        )
        shade = view.normals()[0, 2:].clamp(0, 1).expand(3, -1, -1)
        image = torch.lerp(image, shade, 0.45 * view.mask[0].float())
        cells.append(
            (
                str(row["name"])[:24],
                draw_landmarks(image, read_points(folder / row["files"][1])[0].float()),
            )
        )
    columns = max(1, math.ceil(math.sqrt(len(cells) * 1.5)))
    sheet = contact_sheet(
        [cells[start : start + columns] for start in range(0, len(cells), columns)], cell=CELL
    )
    save_image(sheet, folder / OVERVIEW, quality=88)
