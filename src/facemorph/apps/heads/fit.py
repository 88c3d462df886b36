"""Photographs, videos and scans to faces of a morphable model: parameters, overlays, textured
meshes, one report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypedDict

from facemorph.apps.fitting.choices import SMOOTHINGS
from facemorph.apps.fitting.fit_pictures import bare_meshes
from facemorph.apps.heads.fit_worker import PARTS, HeadFitter, HeadInput, HeadOptions
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import SUFFIXES
from facemorph.jobs.batch import Batch, key_of, run, stamp_of
from facemorph.jobs.input_files import check_distinct_names, picture_files
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pages.fit_page import FitRow, FitSection, section_html, write_fit_report
from facemorph.jobs.pool import count_workers
from facemorph.jobs.records import FAILED, counts_of, write_json

REPORT, PAGE, MESHES_SHEET = "fit.json", "report.html", "meshes.jpg"
FITTED = "fitted"
TEXTURES = (64, 4096)
VIEW_ANGLES = (1.0, 150.0)  # degrees


class FitReport(TypedDict):
    """The content of ``fit.json``: the settings, and what became of each input."""

    model: str
    detector: str
    same_person: bool
    noise: float
    field_of_view: float | None
    refine: bool
    texture: int
    smoothing: str
    counts: dict[str, int]
    rows: list[FitRow]


def fit(
    files: Sequence[str | Path],
    output: str | Path,
    *,
    model: str = "makehuman",
    same_person: bool = False,
    noise: float = 0.02,
    field_of_view: float | None = None,
    points: str | Path | None = None,
    detector: str = "embedded",
    min_score: float | None = None,
    deca: str | Path | None = None,
    refine: bool = False,
    texture: int = 512,
    smoothing: str = "batch",
    first_segment: bool = False,
    obj: bool = False,
    device: str = "cpu",
    workers: int | None = 1,
) -> FitReport:
    """Fit a morphable model to photographs, videos and scans.

    One that fails does not stop the others. The same call goes on where it was stopped; what is
    done stays, what failed is tried again. With other options, or where an input has changed, it is
    fitted anew.

    Args:
        files: Photographs, videos, scans, or folders of photographs.
        output: Folder. For each input: ``STEM.npz`` (``FaceParameters``; a row for each frame of a
            video), ``STEM.overlay.jpg``, ``STEM.glb``, ``STEM.texture.png``; for all ``fit.json``,
            ``report.html`` and ``meshes.jpg``, and the records of what is done.
        model: A model's name or file, see ``load_model``.
        same_person: Whether all photographs show one person: one identity, one texture from all of
            them.
        noise: Expected error of a landmark as a share of the distance between the pupils, see
            ``FitOptions``.
        field_of_view: Degrees over the longer side of the picture; None is weak perspective.
        points: A landmark file, or a folder with one for each photograph or scan; None lets the
            detector find them.
        detector: ``embedded``, ``face_alignment`` or ``dlib``.
        min_score: Lowest score of a face; the detector's own when None.
        deca: DECA's weights, for a first guess of FLAME's identity.
        refine: Refine photographs by their colours too, in weak perspective: nearer to the person,
            a fifth of a second each; ``light`` and ``albedo`` of the parameters are then measured.
        texture: Texels along each side of the texture.
        smoothing: Of videos: ``batch``, ``one-euro`` or ``none``.
        first_segment: Use only what comes before the first cut of a video.
        obj: Write ``STEM.obj`` with its material and texture too.
        device: Where the embedded detector and DECA run.
        workers: Processes; None takes one for each core. Each reads the model, so that several are
            for many inputs.

    Returns:
        The content of ``fit.json``: ``counts`` of fitted and failed ones, and ``rows``.

    Raises:
        ConfigError: An option is none of the possible ones.
        DataError: There is no input, or two have one name.
        FacemorphError: The model cannot be read.
        OutputError: A file cannot be written.
    """
    if smoothing not in SMOOTHINGS:
        raise ConfigError(
            "no such smoothing", where="smoothing", expected=" | ".join(SMOOTHINGS), found=smoothing
        )
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
    paths, output = _inputs(files, Path(output)), Path(output)
    given = None if points is None else Path(points)
    if given is not None and not given.exists():
        raise DataError("there is no such landmark file or folder", where=given)
    if given is not None and given.is_file() and len(paths) > 1:
        raise DataError(
            "one landmark file cannot be that of several inputs",
            where=given,
            expected="a folder with a landmark file for each",
            found=f"{len(paths)} inputs",
        )
    processes = count_workers(workers)
    options = HeadOptions(
        model=model,
        same_person=same_person,
        noise=noise,
        field_of_view=field_of_view,
        points=given,
        detector=detector,
        min_score=min_score,
        deca=None if deca is None else str(deca),
        refine=refine,
        texture=texture,
        smoothing=smoothing,
        first_segment=first_segment,
        obj=obj,
        device=device,
    )
    fitter = HeadFitter(options, output)
    check_writable(output / REPORT)
    tasks = {path.stem: HeadInput(path, place) for place, path in enumerate(paths)}
    joined = [name for name, task in tasks.items() if same_person and task.is_still]
    key = _key(options, [tasks[name].path for name in joined])
    return run(
        Batch(
            output,
            "faces",
            tasks,
            partial(_start, options, output),
            HeadFitter.fit_one,
            partial(_report, output, fitter.model.name, options, list(tasks)),
            given=lambda task: {
                "file": str(task.path),
                "stamp": _stamp(task.path, given),
                "settings": key,
            },
            same=("stamp", "settings"),
            here=fitter,
            together=HeadFitter.fit_one_person if same_person else None,
            joined=joined,
            workers=processes,
        )
    )


def _start(options: HeadOptions, output: Path, _: int) -> HeadFitter:
    return HeadFitter(options, output)


def _stamp(path: Path, points: Path | None) -> str:
    """Stamp of an input and of its landmark file."""
    if points is None or points.is_file():
        return stamp_of(path, points)
    found = (points / f"{path.stem}{kind}" for kind in (*SUFFIXES, ".txt"))
    return stamp_of(path, *found)


def _key(options: HeadOptions, person: Sequence[Path]) -> str:
    """A short name of what fits follow from, besides their inputs."""
    place = {
        name: None if value is None else str(Path(value).resolve())
        for name, value in (("points", options.points), ("deca", options.deca))
    }
    return key_of(
        {
            **vars(options),
            **place,
            "device": None,
            "model_file": stamp_of(Path(options.model)),
            "person": sorted(str(path.resolve()) for path in person),
        }
    )


def _report(
    output: Path,
    model: str,
    options: HeadOptions,
    names: Sequence[str],
    known: Mapping[str, FitRow],
) -> FitReport:
    """Write what tells of all inputs so far."""
    rows = [known[name] for name in names if name in known]
    for row in rows:
        row["status"] = FAILED if row["status"] == FAILED else FITTED
    report: FitReport = {
        "model": model,
        "detector": options.detector,
        "same_person": options.same_person,
        "noise": options.noise,
        "field_of_view": options.field_of_view,
        "refine": options.refine,
        "texture": options.texture,
        "smoothing": options.smoothing,
        "counts": counts_of(rows, (FITTED, FAILED)),
        "rows": rows,
    }
    write_json(output / REPORT, report)
    parts = [(row, output / PARTS / row["name"]) for row in rows]
    heads = [
        (part.name, load_image(part.with_name(f"{part.name}.png")))
        for row, part in parts
        if row["status"] == FITTED and part.with_name(f"{part.name}.png").is_file()
    ]
    if heads:
        save_image(bare_meshes(heads), output / MESHES_SHEET, synthetic=True, quality=90)
    pages = [(row, part.with_name(f"{part.name}.html")) for row, part in parts]
    sections = [
        page.read_text(encoding="utf-8")
        if row["status"] == FITTED and page.is_file()
        else section_html(FitSection(row))
        for row, page in pages
    ]
    settings = {name: value for name, value in report.items() if name not in ("counts", "rows")}
    write_fit_report(sections, report["counts"], output / PAGE, settings)
    return report


def _inputs(files: Sequence[str | Path], output: Path) -> list[Path]:
    """The inputs; never a folder that the results go to, whose pictures would be taken for
    photographs the next time.

    Raises:
        DataError: There is none, two have one name, or their folder is the output's.
    """
    for folder in map(Path, files):
        if folder.is_dir() and folder.resolve() == output.resolve():
            raise DataError(
                "the results would lie among the photographs",
                where=folder,
                expected="another folder than that of the photographs",
                remedy="Choose another folder with -o.",
            )
    paths = picture_files(files)
    check_distinct_names(paths)
    return paths
