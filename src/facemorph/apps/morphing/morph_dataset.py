"""Morphs of many pairs: resumable, in several processes, and one bad picture does not stop it.

The pairs of the FRLL-Morphs protocol are the standard example: 1220 lines, one of them a picture
with itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph import console
from facemorph.apps.morphing.morph_options import (
    ClosedForm,
    MatchSkin,
    PictureKind,
    TrainedWarp,
    checked_options,
)
from facemorph.faces.choices import Detector, Mask
from facemorph.fields.warps.choices import Blend, Outside
from facemorph.jobs.options import Aligned, Folder, Frontal, Option, checked
from facemorph.jobs.records import FAILED, REPORT

if TYPE_CHECKING:
    from facemorph.apps.morphing.dataset_worker import DatasetReport

SOME_FAILED = 3


@checked
def morph_dataset(
    pairs: Annotated[str | Path, Option(metavar="PAIRS.txt")],
    images: Annotated[str | Path, Option(("--images",), "DIR")],
    output: Annotated[str | Path, Option(("-o", "--out"), "DIR")],
    *,
    points: Folder = None,
    size: int = 512,
    times: Annotated[Sequence[float] | None, Option(("--time",))] = None,
    warp: ClosedForm | TrainedWarp = "thin_plate_flow",
    smoothing: float | None = None,
    blend: Blend | str = "multiband",
    outside: Outside = "source",
    mask: Mask | str = "face",
    match_skin: MatchSkin = True,
    detector: Detector = "embedded",
    min_score: float | None = None,
    align: Aligned = "portrait",
    frontal: Frontal = False,
    suffix: PictureKind = "png",
    name: str = "{a}_{b}",
    workers: int | None = None,
    shard: str = "0/1",
    device: str = "auto",
    quality: Annotated[bool, Option(("--quality/--no-quality",))] = False,
) -> DatasetReport:
    """Morph every pair of a list.

    What is finished already is left as it is, so that the same call continues a run that was
    interrupted; what failed is tried again, and what has other pictures now is made again. Several
    shards, on one machine or many, may share the folder.

    Args:
        pairs: List of pairs: two file names on each line.
        images: Folder of the pictures.
        output: Folder of the morphs; with them settings.json, records.*.jsonl and report.json.
        points: Folder of landmark files, one of the stem of each picture; found by
            the detector when not given.
        size: Longer side of the frame in pixels.
        times: Time from 0 to 1; repeat for several. 0.5 when not given.
        warp: What carries one face onto the other. At once: ``thin_plate_flow``, ``tps``,
            ``piecewise_affine``; trained in stacks of pairs: ``siren_residual``, ``siren``,
            ``neural_ode``; one after the other: ``conjugate_flow``.
        smoothing: Of a closed form; 0 for hand-made templates and 1e-3 for detected points when not
            given.
        blend: How colours are mixed: ``multiband``, ``linear_masked``, ``min``, ``max``,
            ``poisson_average``, ``poisson_mix``, ``poisson_source``, ``poisson_target``,
            ``linear``, ``source``, ``target``; or an autoencoder's checkpoint.
        outside: Whose hair and background is shown: ``source``, ``target`` or ``mix``.
        mask: What is blended: ``face``, ``lower_face``, ``left_half``, ``right_half``, ``frame``,
            or a polygon's file.
        detector: What finds the landmarks.
        min_score: Lowest score of a face; the detector's own when not given.
        align: How faces are cut out of their pictures.
        suffix: Kind of picture.
        name: Name of a morph from the stems of both pictures.
        workers: Processes; one for each core or GPU when not given.
        shard: K/N makes only the K-th of N parts (K from 0).
        device: ``auto``, ``cpu``, ``cuda:1``; ``cuda`` or ``ddp``: every process takes the next
            GPU.
        quality: Measure folds, inverse error and bending of each pair too (twice the time).

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: The list, an option or the folder is at fault. A pair that fails does not
            raise.
    """
    folder = None if points is None else str(points)
    found = {"points": folder, "detector": detector, "min_score": min_score, "align": align}
    fitted = {"size": size, "warp": warp, "smoothing": smoothing, "quality": quality}
    drawn = {"blend": blend, "outside": outside, "mask": mask, "suffix": suffix}
    flags = {"match_skin": match_skin, "frontal": frontal}
    chosen = {"times": (0.5,) if times is None else times, **found, **fitted, **drawn, **flags}
    made = checked_options(chosen)
    from facemorph.apps.morphing.dataset_worker import morph_pairs

    return morph_pairs(pairs, Path(images), Path(output), made, name, workers, shard, device)


def say(report: DatasetReport, output: Path) -> int:
    """Print what became of the pairs and the first reasons; returns the exit code, 3 where some
    failed.
    """
    counts = report["counts"]
    console.out.print(
        ", ".join(f"{number} {status}" for status, number in counts.items() if number) or "no pairs"
    )
    failed = [row for row in report["rows"] if row["status"] == FAILED]
    for row in failed[:5]:
        console.err.print(f"line {row['line']}, {row['name']}: {row['reason']}", markup=False)
    if len(failed) > 5:
        console.err.print(f"... and {len(failed) - 5} more in {output / REPORT}", markup=False)
    warned = sum("warnings" in row for row in report["rows"] if row["status"] != FAILED)
    if warned:
        console.err.print(f"{warned} with warnings, which {output / REPORT} names", markup=False)
    console.out.print(str(output / REPORT), markup=False)
    if failed:
        return SOME_FAILED
    console.next_command(shlex.join(["facemorph", "evaluate", str(output)]))
    return 0
