"""What a folder of morphs is worth: likeness of the people, picture quality, attack potential."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

from facemorph import console
from facemorph.errors import ConfigError, DataError
from facemorph.faces.choices import SAME_PERSON_DISTANCE, Detector
from facemorph.jobs.input_files import picture_files
from facemorph.jobs.options import Device, MinScore, Option, checked
from facemorph.jobs.outputs import check_writable, torch_device
from facemorph.jobs.pages.gallery import write_gallery
from facemorph.storage.files import write_whole

if TYPE_CHECKING:
    from facemorph.apps.attacks.morph_judge import Figures, Judge

EVALUATION, TABLE, GALLERY = "evaluation.json", "evaluation.csv", "gallery.html"
Folder = Annotated[str | Path | None, Option(metavar="DIR", kind=Path)]
Weights = Annotated[str | Path | None, Option(metavar="FILE", kind=Path)]


class Evaluation(TypedDict):
    """What ``evaluation.json`` holds.

    Attributes:
        folder: The morphs.
        threshold: Largest identity distance that is one person.
        summary: Figures of the whole folder.
        rows: Figures of each morph.
    """

    folder: str
    threshold: float
    summary: Figures
    rows: list[Figures]


@checked
def evaluate(
    folder: Annotated[str | Path, Option(metavar="DIR")],
    *,
    probes: Folder = None,
    reference: Folder = None,
    bona_fide: Folder = None,
    threshold: float = SAME_PERSON_DISTANCE,
    inception: Weights = None,
    lpips_alexnet: Weights = None,
    lpips_linear: Weights = None,
    detector: Detector = "embedded",
    min_score: MinScore = None,
    device: Device = "auto",
    output: Annotated[str | Path | None, Option(("-o", "--output"), "DIR", kind=Path)] = None,
) -> Evaluation:
    """Judge the morphs of a folder.

    With the ``report.json`` of ``morph-dataset`` it is known which photographs each morph is made
    of, so identities are compared; any other folder of pictures can be compared with a reference
    and with bona fide pictures.

    Args:
        folder: Folder of morphs, best one of morph-dataset.
        probes: Further photographs of the same people, called SUBJECT_... as the sources are; the
            sources themselves when not given, which flatters the attack.
        reference: Pictures of the same names as the morphs: PSNR, SSIM and, with its weights,
            LPIPS.
        bona_fide: Real photographs for the distances between sets; the sources when not given.
        threshold: Largest identity distance that is one person.
        inception: Inception weights (pt_inception-2015-12-05-6726825d.pth) for FID and KID.
        lpips_alexnet: AlexNet weights (alexnet-owt-7be5be79.pth) for LPIPS.
        lpips_linear: Linear weights of LPIPS 0.1 (alex.pth).
        detector: What finds the faces of morphs and photographs.
        output: Folder of evaluation.json, evaluation.csv and gallery.html; that of the morphs when
            not given.

    Returns:
        The content of ``evaluation.json``.

    Raises:
        DataError: There is no morph, the report cannot be read, or pictures that are to be compared
            are not there.
        ConfigError: The threshold is no distance, or half of LPIPS is missing.
        CheckpointError: A file of weights is another.
        OutputError: The results cannot be written.
    """
    for path in (folder, probes, reference, bona_fide):
        if path is not None and not os.path.isdir(path):
            raise DataError("there is no such folder", where=path, remedy="Check the path.")
    folder = Path(folder)
    if not 0 <= threshold < math.inf:
        raise ConfigError(
            "not an identity distance", where="threshold", expected="0 or more", found=threshold
        )
    if (lpips_alexnet is None) != (lpips_linear is None):
        raise ConfigError(
            "LPIPS needs both files", where="lpips", expected="--lpips-alexnet and --lpips-linear"
        )
    target = folder if output is None else Path(output)
    check_writable(target / EVALUATION)
    from facemorph.apps.attacks.morph_judge import Judge, table_of
    from facemorph.networks.lpips import LPIPS

    where, lpips = torch_device(device), None
    if lpips_alexnet is not None and lpips_linear is not None:
        lpips = LPIPS.load(lpips_alexnet, lpips_linear).to(where)
    judge = Judge(detector, min_score, str(where), lpips, threshold)
    rows, summary = _judged(folder, judge, probes, reference, bona_fide, inception)
    result = Evaluation(folder=str(folder), threshold=threshold, summary=summary, rows=rows)
    write_whole(target / EVALUATION, (json.dumps(result, indent=1) + "\n").encode())
    write_whole(target / TABLE, table_of(rows).encode())
    pictures = [{**row, "file": Path(str(row["file"])).resolve()} for row in rows]
    write_gallery(pictures, target.resolve() / GALLERY, f"Morphs of {folder.name}", summary)
    return result


def _judged(
    folder: Path,
    judge: Judge,
    probes: str | Path | None,
    reference: str | Path | None,
    bona_fide: str | Path | None,
    inception: str | Path | None,
) -> tuple[list[Figures], Figures]:
    """A row for each morph, and the figures of all."""
    import torch

    from facemorph.apps.attacks import morph_judge
    from facemorph.networks.inception import load_fid_inception

    network, published = (None, False) if inception is None else load_fid_inception(inception)
    morphs = morph_judge.read_morphs(folder)
    people = morph_judge.by_subject(probes) if probes is not None else {}
    sources = sorted({source for morph in morphs for source in morph.sources})
    compared = None if reference is None else Path(reference)
    morph_judge.check_comparable(folder, morphs, people, compared)
    real = picture_files([bona_fide]) if bona_fide is not None else sources
    rows, comparisons = [], []
    with torch.no_grad():
        for morph in console.track(morphs, "morphs"):
            row, distances = judge.row(morph, people, compared)
            rows.append(row)
            if distances:
                comparisons.append(distances)
        summary: Figures = {
            "morphs": len(rows),
            "without_a_face": sum(bool(row["no_face"]) for row in rows),
        }
        summary |= morph_judge.means_of(rows) | judge.vulnerability(comparisons, people, sources)
        files = [morph.file for morph in morphs]
        summary |= judge.distances_to_real(files, real)
        if network is not None:
            names = ("fid", "kid") if published else morph_judge.UNPUBLISHED
            summary |= morph_judge.inception_distances(network.to(judge.device), files, real, names)
    return rows, summary


def say(result: Evaluation) -> Iterator[str]:
    """Lines that sum a result up."""
    for key, value in result["summary"].items():
        yield f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}"
