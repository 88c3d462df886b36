"""Scans to faces of ImFace, with how far they are from the scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.implicit.choices import (
    Checkpoint,
    MeshKind,
    Method,
    Numbers,
    PartOfFace,
    Place,
    Topology,
    Unit,
    numbers_of,
    path_of,
)
from facemorph.jobs.options import FileOrFolder, Option, OutputFolder, checked

if TYPE_CHECKING:
    from facemorph.apps.implicit.reconstruction import ReconstructionReport


@checked
def reconstruct(
    files: Annotated[Sequence[str | Path], Option(metavar="SCANS...")],
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    landmarks: FileOrFolder = None,
    unit: Unit = "guess",
    partial: PartOfFace = "auto",
    mask: FileOrFolder = None,
    focal: float | None = None,
    field_of_view: float | None = None,
    principal_point: Numbers | None = None,
    depth_scale: float = 1.0,
    image: FileOrFolder = None,
    same_person: bool = False,
    method: Method = "lbfgs",
    points: int = 2048,
    steps: int = 0,
    resolution: int = 256,
    dense: bool = False,
    kind: MeshKind = "ply",
    frame: Place = "model",
    topology: Topology = "free",
    colours: bool = False,
    thresholds: Numbers = "1",
    samples: int = 150_000,
    align: bool = False,
    seed: int = 0,
    workers: int | None = 1,
) -> ReconstructionReport:
    """Fit ImFace to scans.

    The same call goes on where it was stopped; what is done stays, what failed is tried again. With
    other options or another model faces are fitted and written anew.

    Args:
        files: Scans (.obj .ply .stl .glb), depth maps (.npy, 16-bit .png), or prepared scans
            (.npz).
        output: Folder that gets, for each scan, NAME.ply (or .obj, .glb), NAME_scan.ply,
            NAME_error.ply with the distance from the scan as colour, NAME_correspondence.npz with
            the place of each vertex on the template, NAME_codes.npz and NAME_views.png; for all
            faces.png, report.json and the records of what is done.
        checkpoint: Trained ImFace: a file, @last, @last:NAME, @open:imface.
        landmarks: File of 68 lines x y z, nan for missing ones, or folder with STEM.bnd, .txt or
            .csv for each scan; of depth maps .json .csv .pts .tem in pixels. Beside the scans, or
            found by the detector, when not given.
        unit: ``mm``, ``cm`` or ``m``; ``guess`` takes the size of the face.
        partial: Whether parts of the face are missing: ``auto``, ``yes`` or ``no``; they are of
            depth maps. Gaps are completed, not bridged.
        mask: Of depth maps a picture, white where they count; of meshes .npy or .txt with 0 or 1
            for each vertex; or folder of STEM.*.
        focal: Of depth maps: focal length in pixels.
        field_of_view: The same in degrees over the longer side.
        principal_point: Pixel X,Y that the depth camera looks at; the middle when not given.
        depth_scale: Stored depths are divided by it.
        image: Photograph of the depth map's view and size to find landmarks in, or folder of
            STEM.*.
        same_person: All scans show one person: one identity, several expressions.
        method: How codes are fitted: ``lbfgs`` (strong Wolfe) or ``adam``.
        points: Points of each scan in a step.
        steps: At most so many; 0: 60 of lbfgs, 1500 of adam.
        resolution: Cells along each side: 32, 64, 128, 256, 512 or 1024.
        dense: Evaluate all cells, for badly trained models.
        kind: Format of the meshes.
        frame: ``model``: millimetres, the tip of the nose at (0, 0, 40); ``scan``: on the scan, in
            its unit.
        topology: ``free``: triangles of their own; ``template``: NAME_template with those of the
            template too.
        colours: Colour vertices by their place on the template.
        thresholds: Millimetres of the F-scores, by commas.
        samples: Points on each surface where they are compared.
        align: Compare after rigid alignment too.
        seed: Of the points.
        workers: Processes; 0: one for each core.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint or the folder is at fault; or the only scan.
        Interrupted: A signal came; what is done stays, and is in ``report.json``.
    """
    centre = None if principal_point is None else numbers_of(principal_point, "principal_point")
    limits = numbers_of(thresholds, "thresholds")
    from facemorph.apps.implicit.reconstructed_faces import ReconstructionOptions
    from facemorph.apps.implicit.reconstruction import reconstruct_all
    from facemorph.apps.implicit.scan_inputs import InputOptions
    from facemorph.systems.imface.code_fitting import FittingOptions

    lens = (focal, field_of_view, centre, depth_scale)
    inputs = InputOptions(path_of(landmarks), unit, partial, path_of(mask), *lens, path_of(image))
    fitting = FittingOptions(method, points, steps or None, seed=seed)
    form = (same_person, resolution, dense, kind, frame, topology, colours)
    options = ReconstructionOptions(inputs, *form, limits, samples, align, fitting)
    return reconstruct_all(files, Path(output), checkpoint, options, workers or None)
