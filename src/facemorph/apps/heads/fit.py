"""Photographs, videos and scans to faces of a morphable model: parameters, overlays, textured
meshes, one report.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.fitting.deca_guess import DECAGuess
from facemorph.apps.fitting.face_fitting import (
    SMOOTHINGS,
    FittedFaces,
    LocatedFace,
    fit_faces,
    fit_track,
    locate,
    refine_faces,
)
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.apps.fitting.face_tracking import read_pictures, track_face
from facemorph.apps.fitting.fit_pictures import (
    bare_mesh,
    bare_meshes,
    overlays,
    sheet_of,
    turntable,
)
from facemorph.apps.fitting.scan_fitting import fit_scan_file
from facemorph.errors import ConfigError, DataError, FacemorphError, OutputError
from facemorph.faces.detection import make_detector
from facemorph.faces.files.image_output import save_image, to_picture
from facemorph.faces.files.pair_lists import points_of
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.meshes.mesh_files import READ as MESHES
from facemorph.geometry.meshes.mesh_files import Mesh, glb_bytes, obj_files
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.jobs.input_files import check_distinct_names, picture_files
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pages.fit_page import FitSection, write_fit_report
from facemorph.ops.rotations import euler_from_rotation, rotation_from_vector
from facemorph.storage.files import write_whole
from facemorph.storage.suffixes import VIDEOS

REPORT, PAGE, MESHES_SHEET = "fit.json", "report.html", "meshes.jpg"
TABLES, SHEETS, HEADS = 12, 40, 240  # heads that turn and overlays in the page, heads on the sheet
VIEWS = 5  # frames of a video that are shown and give the texture
TEXTURES = (64, 4096)
POOR = 0.04  # error of a fit that is worth a warning: what detectors' own errors stay below
VIEW_ANGLES = (1.0, 150.0)  # degrees

logger = logging.getLogger(__name__)


@dataclass
class _Job:
    """What all inputs share."""

    model: MorphableModel
    options: FitOptions
    output: Path
    texture: int
    smoothing: str
    obj: bool
    first_segment: bool
    detector: str
    find: LandmarkDetector | None
    guess: DECAGuess | None
    points: Path | None
    refine: bool
    sections: list[FitSection] = field(default_factory=list)


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
) -> dict[str, Any]:
    """Fit a morphable model to photographs, videos and scans.

    One that fails does not stop the others.

    Args:
        files: Photographs, videos, scans, or folders of photographs.
        output: Folder. For each input: ``STEM.npz`` (``FaceParameters``; a row for each frame of a
            video), ``STEM.overlay.jpg``, ``STEM.glb``, ``STEM.texture.png``; for all ``fit.json``,
            ``report.html`` and ``meshes.jpg``.
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
    options = FitOptions(noise=noise, field_of_view=field_of_view)
    if refine and field_of_view is not None:
        raise ConfigError(
            "the refinement is for weak perspective only",
            where="refine",
            remedy="Leave out the field of view.",
        )
    paths, output = _inputs(files, Path(output)), Path(output)
    loaded = load_model(model)
    guess = None if deca is None else DECAGuess(deca, loaded, device)
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
    # Landmark files of photographs make a detector needless, but not for videos.
    find = make_detector(
        detector, min_score=min_score, device=device if detector == "embedded" else None
    )
    check_writable(output / REPORT)
    job = _Job(
        loaded,
        options,
        output,
        texture,
        smoothing,
        obj,
        first_segment,
        detector,
        find,
        guess,
        given,
        refine,
    )
    settings = {
        "model": loaded.name,
        "detector": detector,
        "same_person": same_person,
        "noise": noise,
        "field_of_view": field_of_view,
        "refine": refine,
        "texture": texture,
        "smoothing": smoothing,
    }
    stills = [path for path in paths if path.suffix.lower() not in (*VIDEOS, *MESHES)]
    others = [path for path in paths if path not in stills]
    with torch.no_grad():
        if same_person:
            _one_person(job, stills)
            queue = others
        else:
            queue = paths
        try:
            for path in console.track(queue, "faces"):
                job.sections.append(_attempt(path, job))
        except KeyboardInterrupt:
            _report(job, settings)
            raise
    return _report(job, settings)


def _report(job: _Job, settings: dict[str, Any]) -> dict[str, Any]:
    """Write what tells of all inputs so far, and give the content of ``fit.json``."""
    rows = [section.row for section in job.sections]
    counts = {
        status: sum(row["status"] == status for row in rows) for status in ("fitted", "failed")
    }
    output = job.output
    report = {**settings, "counts": counts, "rows": rows}
    write_whole(output / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    heads = [
        (Path(section.row["file"]).stem, section.mesh)
        for section in job.sections
        if section.mesh is not None
    ]
    if heads:
        save_image(bare_meshes(heads), output / MESHES_SHEET, synthetic=True, quality=90)
    write_fit_report(job.sections, output / PAGE, settings)
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


def _attempt(path: Path, job: _Job) -> FitSection:
    """The section of one input; of one that fails, the reason."""
    kind = path.suffix.lower()
    work = _video if kind in VIDEOS else _scan if kind in MESHES else _photograph
    try:
        return work(path, job)
    except OutputError:
        raise
    except FacemorphError as error:
        return _failed(path, error)


def _failed(path: Path, error: FacemorphError) -> FitSection:
    return FitSection(
        {"file": str(path), "status": "failed", "error": type(error).__name__, "reason": str(error)}
    )


def _points(path: Path, job: _Job) -> Path | None:
    if job.points is None:
        return None
    return points_of(path, job.points) if job.points.is_dir() else job.points


def _locate(path: Path, job: _Job) -> LocatedFace:
    return locate(path, _points(path, job), job.find or job.detector, source=job.detector)


def _photograph(path: Path, job: _Job) -> FitSection:
    face = _locate(path, job)
    identity = None if job.guess is None else job.guess([face])
    fitted = fit_faces([face], job.model, options=job.options, identity=identity)[0]
    if job.refine:
        fitted = refine_faces([face], [fitted])[0]
    colours = texture_of([fitted], [face.image], job.texture)
    return _written(path, job, fitted, [face.image], colours, {})


def _one_person(job: _Job, paths: Sequence[Path]) -> None:
    """All photographs of one person: those that can be used together, the others as failed rows."""
    used: list[tuple[Path, LocatedFace]] = []
    for path in console.track(paths, "photographs"):
        try:
            used.append((path, _locate(path, job)))
        except FacemorphError as error:
            job.sections.append(_failed(path, error))
    if not used:
        return
    faces = [face for _, face in used]
    identity = None if job.guess is None else job.guess(faces)
    fits = fit_faces(faces, job.model, options=job.options, same_person=True, identity=identity)
    if job.refine:
        fits = refine_faces(faces, fits, same_person=True)
    colours = texture_of(fits, [face.image for face in faces], job.texture)
    for (path, face), fitted in zip(used, fits, strict=True):
        job.sections.append(_written(path, job, fitted, [face.image], colours, {}))


def _video(path: Path, job: _Job) -> FitSection:
    track = track_face(path, job.find, source=job.detector, first_segment=job.first_segment)
    if job.guess is not None:
        raise ConfigError(
            "DECA's first guess is for photographs",
            where=path,
            remedy="Leave --deca out for videos.",
        )
    whole = fit_track(track, job.model, options=job.options, smoothing=job.smoothing)
    chosen = _telling_frames(whole, track.seen)
    wanted = {int(track.numbers[row]): row for row in chosen}
    pictures = dict(_frames(path, wanted))
    rows = [row for row in chosen if row in pictures]
    images = [pictures[row] for row in rows]
    views = [
        FittedFaces(
            whole.model,
            whole.parameters[row],
            whole.landmarks[row : row + 1],
            whole.fitted[row : row + 1],
            whole.error[row : row + 1],
            whole.frame,
        )
        for row in rows
    ]
    missing = int((~track.seen).sum())
    figures = {
        "frames": len(track.seen),
        "missing": missing,
        "segments": len(track.segments),
        "frames_per_second": track.frames_per_second,
        "first_frame": int(track.numbers[0]),
        "last_frame": int(track.numbers[-1]),
    }
    return _written(
        path, job, whole, images, texture_of(views, images, job.texture), figures, views
    )


def _telling_frames(whole: FittedFaces, seen: Tensor) -> list[int]:
    """Rows of the most different views: evenly through the order of their yaws, of the better half
    of the fits.
    """
    rows = seen.nonzero()[:, 0]
    good = rows[whole.error[rows] <= whole.error[rows].median()]
    order = good[whole.parameters.rotation[good, 1].argsort()]
    places = torch.linspace(0, len(order) - 1, min(VIEWS, len(order))).round().long()
    return [int(order[place]) for place in places.unique()]


def _frames(path: Path, wanted: dict[int, int]) -> Iterator[tuple[int, Tensor]]:
    last = max(wanted)
    for number, image in read_pictures(path):
        if number in wanted:
            yield wanted[number], image
        if number >= last:
            return


def _scan(path: Path, job: _Job) -> FitSection:
    found = fit_scan_file(
        path, job.model, None if job.points is None else _scan_points(path, job.points), job.find
    )
    stem = job.output / path.stem
    found.parameters.save(stem.with_name(f"{path.stem}.npz"))
    topology = job.model.topology
    mesh = Mesh(found.vertices, topology.faces, topology.uv, topology.faces_uv)
    write_whole(stem.with_name(f"{path.stem}.glb"), glb_bytes(mesh))
    sheet = sheet_of([found.pictures])
    save_image(sheet, stem.with_name(f"{path.stem}.overlay.jpg"), synthetic=True, quality=90)
    row = {
        "file": str(path),
        "status": "fitted",
        **found.figures,
        "files": [f"{path.stem}{ending}" for ending in (".npz", ".glb", ".overlay.jpg")],
    }
    return FitSection(row, sheet)


def _scan_points(path: Path, given: Path) -> Path:
    return given / f"{path.stem}.txt" if given.is_dir() else given


def _written(
    path: Path,
    job: _Job,
    fitted: FittedFaces,
    images: Sequence[Tensor],
    texture: Tensor,
    figures: dict[str, Any],
    views: Sequence[FittedFaces] | None = None,
) -> FitSection:
    """The files of one photograph or video, and its section."""
    stem, model, topology = path.stem, job.model, job.model.topology
    names = [f"{stem}.npz", f"{stem}.overlay.jpg", f"{stem}.glb", f"{stem}.texture.png"]
    fitted.parameters.save(job.output / names[0])
    sheet = sheet_of(
        [
            overlays(
                model,
                view.vertices(),
                view.camera(),
                image,
                view.landmarks[0],
                view.fitted[0],
                None if number else texture,
            )
            for number, (view, image) in enumerate(zip(views or [fitted], images, strict=True))
        ]
    )
    save_image(sheet, job.output / names[1], synthetic=True, quality=90)
    # A photograph's head has its expression; that of a video is at rest.
    vertices = model.vertices(fitted.parameters.identity[:1]) if views else fitted.vertices()
    mesh = Mesh(vertices[0], topology.faces, topology.uv, topology.faces_uv)
    write_whole(job.output / names[2], glb_bytes(mesh, to_picture(texture)))
    save_image(texture, job.output / names[3], synthetic=True)
    if job.obj:
        for name, content in obj_files(mesh, stem, (job.output / names[3]).read_bytes()).items():
            write_whole(job.output / name, content)
            names.append(name)
    tables = sum(section.table is not None for section in job.sections)
    table = turntable(model, vertices, texture) if tables < TABLES else None
    row = {
        "file": str(path),
        "status": "fitted",
        "error_percent": round(100 * float(fitted.error.mean()), 3),
        **({} if views else pose_of(fitted)),
        **figures,
        "files": names,
    }
    if float(fitted.error.mean()) > POOR:
        logger.warning(
            "%s: the model fits poorly, %.1f %% of the distance between the pupils: is the face "
            "upright?",
            path,
            100 * float(fitted.error.mean()),
        )
    done = len(job.sections)
    bare = bare_mesh(
        model, fitted.vertices()[:1], rotation_from_vector(fitted.parameters.rotation[:1])
    )
    return FitSection(row, sheet if done < SHEETS else None, table, bare if done < HEADS else None)


def pose_of(fitted: FittedFaces) -> dict[str, float]:
    """Yaw, pitch and roll of the first face in degrees, as ``rotation_from_euler`` takes them."""
    angles = torch.rad2deg(euler_from_rotation(rotation_from_vector(fitted.parameters.rotation[0])))
    return {
        name: round(float(angle), 2)
        for name, angle in zip(("yaw", "pitch", "roll"), angles, strict=True)
    }
