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
    PlaceColours,
    Resolution,
    Topology,
    Unit,
    numbers_of,
    path_of,
)
from facemorph.jobs.input_files import check_some_exist
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
    resolution: Resolution = 256,
    dense: bool = False,
    kind: MeshKind = "ply",
    frame: Place = "model",
    topology: Topology = "free",
    colours: PlaceColours = False,
    thresholds: Numbers = "1",
    samples: int = 150_000,
    align: bool = False,
    seed: int = 0,
    workers: int | None = 1,
) -> ReconstructionReport:
    """Fit ImFace to scans; the same call goes on where it was stopped, with other options anew.

    Args:
        files: Scans (.obj .ply .stl .glb), depth maps (.npy, 16-bit .png), prepared scans (.npz).
        output: Folder of the faces, their errors, places, codes and views, and of report.json.
        landmarks: File of 68 lines x y z, nan for missing ones, or folder with STEM.bnd, .txt or
            .csv for each; of depth maps landmark files in pixels. Found when not given.
        unit: ``mm``, ``cm`` or ``m``; ``guess`` takes the size of the face.
        partial: Whether parts are missing, as of depth maps; gaps are completed, not bridged.
        mask: White where a depth map counts; 0 or 1 for each vertex of a mesh (.npy, .txt).
        focal: Of depth maps: focal length in pixels.
        field_of_view: The same in degrees over the longer side.
        principal_point: Pixel X,Y that the depth camera looks at; the middle when not given.
        depth_scale: Stored depths are divided by it.
        image: Photograph of the depth map's view to find landmarks in, or folder of STEM.*.
        same_person: All scans show one person.
        method: How codes are fitted: ``lbfgs`` (strong Wolfe) or ``adam``.
        points: Points of each scan in a step.
        steps: At most so many; 0: 60 of lbfgs, 1500 of adam.
        dense: Evaluate all cells, for badly trained models.
        kind: Format of the meshes.
        frame: ``model``: millimetres, nose tip at (0, 0, 40); ``scan``: on the scan, in its unit.
        topology: ``free``: own triangles; ``template``: NAME_template with the template's too.
        thresholds: Millimetres of the F-scores, by commas.
        samples: Points on each surface where they are compared.
        align: Compare after rigid alignment too.
        seed: Of the points.
        workers: Processes; 0: one for each core.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint, the folder or the only scan is at fault.
    """
    centre = None if principal_point is None else numbers_of(principal_point, "principal_point")
    limits = numbers_of(thresholds, "thresholds")
    check_some_exist(files)
    from facemorph.apps.implicit.reconstructed_faces import ReconstructionOptions
    from facemorph.apps.implicit.reconstruction import reconstruct_all
    from facemorph.apps.implicit.scan_inputs import InputOptions
    from facemorph.systems.imface.code_fitting import FittingOptions

    lens = (focal, field_of_view, centre, depth_scale, path_of(image))
    inputs = InputOptions(path_of(landmarks), unit, partial, path_of(mask), *lens)
    form = (same_person, resolution, dense, kind, frame, topology, colours)
    fitting = FittingOptions(method, points, steps or None, seed=seed)
    how = ReconstructionOptions(inputs, *form, limits, samples, align, fitting)
    return reconstruct_all(files, Path(output), checkpoint, how, workers or None)
