"""A trained ImFace on the scans that training has not seen, beside simpler models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.implicit.choices import Checkpoint, Method, Numbers, numbers_of, path_of
from facemorph.jobs.options import Folder, Option, OutputFolder, checked

if TYPE_CHECKING:
    from facemorph.apps.implicit.scan_evaluation import EvaluationReport


@checked
def evaluate_scans(
    folder: Annotated[str | Path, Option(metavar="SET")],
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    limit: int = 0,
    scans: Folder = None,
    components: Numbers = "16,32,64,128",
    resolution: int = 256,
    thresholds: Numbers = "1",
    samples: int = 150_000,
    method: Method = "lbfgs",
    points: int = 2048,
    seed: int = 0,
    workers: int | None = 1,
) -> EvaluationReport:
    """Fit the test scans of a set, or a scan, and measure how far the faces are from them.

    The same call goes on where it was stopped.

    Args:
        folder: Set of facemorph data prepare-scans, or one scan's file, as reconstruct takes it.
        output: Folder of report.json and scans.csv.
        limit: At most so many scans of each kind, spread over all: new people, new expressions,
            both; 0: all.
        scans: Folder of facemorph data scans that training was on: linear models of its
            training scans are fitted too.
        components: Of the linear models, by commas.
        resolution: Cells along each side: 32, 64, 128, 256, 512 or 1024.
        thresholds: Millimetres of the F-scores, by commas.
        samples: Points on each surface where they are compared.
        method: How codes are fitted: ``lbfgs`` or ``adam``.
        points: Points of each scan in a step.
        seed: Of the points.
        workers: Processes; 0: one for each core.

    Returns:
        The content of ``report.json``: for each kind of scans and each model the mean of every
        figure, without and with rigid alignment.

    Raises:
        FacemorphError: An option, the set, the checkpoint or the folder is at fault.
    """
    counts = tuple(int(one) for one in numbers_of(components, "components"))
    limits = numbers_of(thresholds, "thresholds")
    from facemorph.apps.implicit.scan_evaluation import EvaluationOptions, evaluate_all
    from facemorph.systems.imface.code_fitting import FittingOptions

    fitting = FittingOptions(method, points, seed=seed)
    how = EvaluationOptions(
        limit or None, path_of(scans), counts, resolution, limits, samples, fitting
    )
    return evaluate_all(Path(folder), Path(output), checkpoint, how, workers or None)
