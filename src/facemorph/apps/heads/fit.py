"""Photographs, videos and scans to faces of a morphable model: parameters, overlays, textured
meshes, one report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.fitting.choices import Smoothing
from facemorph.errors import ConfigError, DataError
from facemorph.faces.choices import Detector
from facemorph.jobs.input_files import check_some_exist
from facemorph.jobs.options import File, FileOrFolder, Option, OutputFolder, checked
from facemorph.jobs.outputs import torch_device

if TYPE_CHECKING:
    from facemorph.apps.heads.head_fits import FitReport

TEXTURES = (64, 4096)
VIEW_ANGLES = (1.0, 150.0)  # degrees


@checked
def fit(
    files: Annotated[Sequence[str | Path], Option(metavar="FILES...")],
    output: OutputFolder,
    *,
    model: Annotated[str | Path, Option(kind=str)] = "makehuman",
    same_person: bool = False,
    noise: float = 0.02,
    field_of_view: float | None = None,
    points: FileOrFolder = None,
    detector: Detector = "embedded",
    min_score: float | None = None,
    deca: File = None,
    refine: bool = False,
    texture: int = 512,
    smoothing: Smoothing = "batch",
    first_segment: bool = False,
    obj: bool = False,
    device: str = "auto",
    workers: int | None = 1,
) -> FitReport:
    """Fit a morphable model to photographs, videos and scans.

    One that fails does not stop the others. The same call goes on where it was stopped; what is
    done stays, what failed is tried again. With other options, or where an input has changed, it is
    fitted anew.

    Args:
        files: Photographs, folders of them, videos (.mp4 .mov .mkv .webm .avi .gif), scans (.obj
            .ply .stl .glb).
        output: Folder that gets, for each input, STEM.npz with its parameters (a row for each frame
            of a video), STEM.overlay.jpg, STEM.glb and STEM.texture.png; for all fit.json,
            report.html and meshes.jpg, and the records of what is done.
        model: ``makehuman`` (embedded), ``gnm`` (once downloaded), ``ict`` or ``flame`` (once
            imported), or a file of GNM (.npz), FLAME (.pkl .npz) or the Basel Face Model (.h5).
        same_person: All photographs show one person: one identity, one texture.
        noise: Expected error of a landmark as a share of the distance between the pupils; lower
            follows the picture more.
        field_of_view: Degrees over the longer side of the picture; weak perspective when not given.
        points: Landmark file, or folder with one of the stem of each photograph,
            STEM.txt (x y z) for each scan; found by the detector when not given.
        detector: What finds the landmarks.
        min_score: Lowest score of a face; the detector's own when not given.
        deca: DECA's weights (deca_model.tar): a first guess of FLAME's identity.
        refine: Refine photographs by their colours too, in weak perspective: nearer to the person,
            half a second each; the parameters get light and albedo.
        texture: Texels along each side of the texture.
        smoothing: How the heads of a video are smoothed.
        first_segment: Use only what comes before the first cut of a video.
        obj: Write STEM.obj with its texture too.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``: where the embedded detector and DECA run.
        workers: Processes; 0: one for each core. Each reads the model.

    Returns:
        The content of ``fit.json``: ``counts`` of fitted and failed ones, and ``rows``.

    Raises:
        ConfigError: An option is none of the possible ones.
        DataError: There is no input, or two have one name.
        ImageError: No input is there.
        FacemorphError: The model cannot be read.
        OutputError: A file cannot be written.
    """
    _check(texture, field_of_view, refine)
    given = None if points is None else Path(points)
    if given is not None and not given.exists():
        raise DataError("there is no such landmark file or folder", where=given)
    check_some_exist(files)
    from facemorph.apps.heads.fit_worker import HeadOptions
    from facemorph.apps.heads.head_fits import fit_all

    weights = None if deca is None else str(deca)
    made = (refine, texture, smoothing, first_segment, obj, str(torch_device(device)))
    options = HeadOptions(
        str(model), same_person, noise, field_of_view, given, detector, min_score, weights, *made
    )
    return fit_all(files, options, Path(output), workers or None)


def _check(texture: int, field_of_view: float | None, refine: bool) -> None:
    if not TEXTURES[0] <= texture <= TEXTURES[1]:
        raise ConfigError(
            "unusable size",
            where="texture",
            expected=f"{TEXTURES[0]} to {TEXTURES[1]}",
            found=texture,
        )
    if field_of_view is not None and not VIEW_ANGLES[0] <= field_of_view <= VIEW_ANGLES[1]:
        raise ConfigError(
            "a camera cannot have this field of view",
            where="field_of_view",
            expected=f"{VIEW_ANGLES[0]:g} to {VIEW_ANGLES[1]:g} degrees",
            found=field_of_view,
        )
    if refine and field_of_view is not None:
        raise ConfigError(
            "the refinement is for weak perspective only",
            where="refine",
            remedy="Leave out the field of view.",
        )
