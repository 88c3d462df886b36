"""The worker of ``facemorph fit``: one photograph, video or scan after the other to its files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from facemorph.apps.fitting.face_fitting import FittedFaces, fit_faces, fit_track, refine_faces
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.apps.fitting.face_tracking import read_pictures, track_face
from facemorph.apps.fitting.fit_pictures import bare_mesh, overlays, sheet_of, turntable
from facemorph.apps.fitting.located_face import LocatedFace, locate
from facemorph.errors import ConfigError
from facemorph.faces.detection import make_detector
from facemorph.faces.files.image_output import save_image, to_picture
from facemorph.faces.files.pair_lists import points_of
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.meshes.mesh_files import READ as MESHES
from facemorph.geometry.meshes.mesh_files import glb_bytes, obj_files
from facemorph.geometry.models.attribution import mesh_of, picture_texts
from facemorph.geometry.models.model_files import load_model
from facemorph.jobs.outputs import make_folders
from facemorph.jobs.pages.fit_page import FitRow, FitSection, section_html
from facemorph.ops.rotations import euler_from_rotation, rotation_from_vector
from facemorph.ops.seeds import evenly
from facemorph.storage.files import write_whole
from facemorph.storage.suffixes import VIDEOS

if TYPE_CHECKING:
    from facemorph.apps.fitting.deca_guess import DECAGuess
    from facemorph.geometry.models.morphable_model import MorphableModel

TABLES, SHEETS, HEADS = 12, 40, 240  # heads that turn and overlays in the page, heads on the sheet
VIEWS = 5  # frames of a video that are shown and give the texture
POOR = 0.04  # error of a fit that is worth a warning: what detectors' own errors stay below
PARTS = ".page"  # folder of what the page and the sheet of heads are made of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadOptions:
    """What all inputs of a call share: see the arguments of ``fit``."""

    model: str
    same_person: bool
    noise: float
    field_of_view: float | None
    points: Path | None
    detector: str
    min_score: float | None
    deca: str | None
    refine: bool
    texture: int
    smoothing: str
    first_segment: bool
    obj: bool
    device: str


@dataclass(frozen=True)
class HeadInput:
    """A photograph, video or scan, and its place among all inputs."""

    path: Path
    place: int

    @property
    def is_still(self) -> bool:
        """Whether it is a photograph."""
        return self.path.suffix.lower() not in (*VIDEOS, *MESHES)


class HeadFitter:
    """Fits the model to one input after the other and writes its files.

    Args:
        options: What all have in common.
        output: Folder of the files.

    Raises:
        FacemorphError: The model, the detector or DECA's weights cannot be read.
    """

    def __init__(self, options: HeadOptions, output: Path) -> None:
        self.options, self.output, self.model = options, output, load_model(options.model)
        self.guess = _guess(options.deca, self.model, options.device)
        # Landmark files of photographs make a detector needless, but not for videos.
        self.find = make_detector(
            options.detector,
            min_score=options.min_score,
            device=options.device if options.detector == "embedded" else None,
        )
        self.fitting = FitOptions(noise=options.noise, field_of_view=options.field_of_view)
        self._fitted: dict[Path, tuple[LocatedFace, FittedFaces, Tensor] | Exception] = {}

    @torch.no_grad()
    def fit_one_person(self, inputs: Sequence[HeadInput]) -> None:
        """Fit all photographs of one person that can be used; ``fit_one`` writes them.

        Raises:
            FacemorphError: They cannot be fitted together.
        """
        self._fitted.clear()
        faces: dict[Path, LocatedFace] = {}
        for path in [one.path for one in inputs if one.is_still]:
            try:
                faces[path] = self._locate(path)
            except Exception as error:  # of this photograph alone, whatever it is
                self._fitted[path] = error
        if not faces:
            return
        fits = self._fit(list(faces.values()))
        colours = texture_of(fits, [face.image for face in faces.values()], self.options.texture)
        for (path, face), fitted in zip(faces.items(), fits, strict=True):
            self._fitted[path] = face, fitted, colours

    @torch.no_grad()
    def fit_one(self, task: HeadInput) -> FitRow:
        """Fit one input and write its files.

        Raises:
            FacemorphError: It cannot be read, or shows no face.
            OutputError: A file cannot be written.
        """
        kind = task.path.suffix.lower()
        if kind in VIDEOS:
            section = self._video(task)
        elif kind in MESHES:
            section = self._scan(task)
        else:
            section = self._photograph(task)
        make_folders(self.output, [PARTS])
        part = self.output / PARTS / task.path.stem
        write_whole(part.with_name(f"{part.name}.html"), section_html(section).encode())
        if section.mesh is not None:
            save_image(section.mesh, part.with_name(f"{part.name}.png"), synthetic=True)
        return section.row

    def _locate(self, path: Path) -> LocatedFace:
        points = self.options.points
        if points is not None and os.path.isdir(points):
            points = points_of(path, points)
        return locate(path, points, self.find, source=self.options.detector)

    def _fit(self, faces: Sequence[LocatedFace]) -> list[FittedFaces]:
        """Fits of photographs: of one, or of all of one person."""
        same = self.options.same_person
        identity = None if self.guess is None else self.guess(faces)
        fits = fit_faces(
            faces, self.model, options=self.fitting, same_person=same, identity=identity
        )
        return refine_faces(faces, fits, same_person=same) if self.options.refine else fits

    def _photograph(self, task: HeadInput) -> FitSection:
        if self.options.same_person:
            found = self._fitted.pop(task.path)
            if isinstance(found, Exception):
                raise found
            face, fitted, colours = found
        else:
            face = self._locate(task.path)
            fitted = self._fit([face])[0]
            colours = texture_of([fitted], [face.image], self.options.texture)
        return self._written(task, fitted, [face.image], colours, {})

    def _video(self, task: HeadInput) -> FitSection:
        path, options = task.path, self.options
        track = track_face(
            path, self.find, source=options.detector, first_segment=options.first_segment
        )
        if self.guess is not None:
            raise ConfigError(
                "DECA's first guess is for photographs",
                where=path,
                remedy="Leave --deca out for videos.",
            )
        whole = fit_track(track, self.model, options=self.fitting, smoothing=options.smoothing)
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
        figures: FitRow = {
            "frames": len(track.seen),
            "missing": missing,
            "segments": len(track.segments),
            "frames_per_second": track.frames_per_second,
            "first_frame": int(track.numbers[0]),
            "last_frame": int(track.numbers[-1]),
        }
        colours = texture_of(views, images, options.texture)
        return self._written(task, whole, images, colours, figures, views)

    def _scan(self, task: HeadInput) -> FitSection:
        from facemorph.apps.fitting.scan_fitting import fit_scan_file  # slow to load

        path, points = task.path, self.options.points
        if points is not None and os.path.isdir(points):
            points = points / f"{path.stem}.txt"
        found = fit_scan_file(path, self.model, points, self.find)
        stem = self.output / path.stem
        found.parameters.save(stem.with_name(f"{path.stem}.npz"))
        mesh = mesh_of(self.model, found.vertices)
        write_whole(stem.with_name(f"{path.stem}.glb"), glb_bytes(mesh))
        sheet = sheet_of([found.pictures])
        save_image(sheet, stem.with_name(f"{path.stem}.overlay.jpg"), synthetic=True, quality=90)
        files = [f"{path.stem}{ending}" for ending in (".npz", ".glb", ".overlay.jpg")]
        row = cast(FitRow, {"file": str(path), **found.figures, "files": files})
        return FitSection(row, sheet)

    def _written(
        self,
        task: HeadInput,
        fitted: FittedFaces,
        images: Sequence[Tensor],
        texture: Tensor,
        figures: FitRow,
        views: Sequence[FittedFaces] | None = None,
    ) -> FitSection:
        """The files of one photograph or video, and its section."""
        path, model = task.path, self.model
        stem = path.stem
        names = [f"{stem}.npz", f"{stem}.overlay.jpg", f"{stem}.glb", f"{stem}.texture.png"]
        fitted.parameters.save(self.output / names[0])
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
        save_image(sheet, self.output / names[1], synthetic=True, quality=90)
        # A photograph's head has its expression; that of a video is at rest.
        vertices = model.vertices(fitted.parameters.identity[:1]) if views else fitted.vertices()
        mesh = mesh_of(model, vertices[0])
        write_whole(self.output / names[2], glb_bytes(mesh, to_picture(texture)))
        signed = picture_texts(model.name)
        save_image(texture, self.output / names[3], synthetic=True, metadata=signed)
        if self.options.obj:
            for name, content in obj_files(
                mesh, stem, (self.output / names[3]).read_bytes()
            ).items():
                write_whole(self.output / name, content)
                names.append(name)
        table = turntable(model, vertices, texture) if task.place < TABLES else None
        row: FitRow = {
            "file": str(path),
            "error_percent": round(100 * float(fitted.error.mean()), 3),
        }
        row |= figures if views else pose_of(fitted)
        row["files"] = names
        if float(fitted.error.mean()) > POOR:
            logger.warning(
                "%s: the model fits poorly, %.1f %% of the distance between the pupils: is the "
                "face upright?",
                path,
                100 * float(fitted.error.mean()),
            )
        bare = bare_mesh(
            model, fitted.vertices()[:1], rotation_from_vector(fitted.parameters.rotation[:1])
        )
        return FitSection(
            row, sheet if task.place < SHEETS else None, table, bare if task.place < HEADS else None
        )


def _telling_frames(whole: FittedFaces, seen: Tensor) -> list[int]:
    """Rows of the most different views: evenly through the order of their yaws, of the better half
    of the fits.
    """
    rows = seen.nonzero()[:, 0]
    good = rows[whole.error[rows] <= whole.error[rows].median()]
    order = good[whole.parameters.rotation[good, 1].argsort()]
    return [int(order[place]) for place in evenly(len(order), VIEWS)]


def _frames(path: Path, wanted: dict[int, int]) -> Iterator[tuple[int, Tensor]]:
    last = max(wanted)
    for number, image in read_pictures(path):
        if number in wanted:
            yield wanted[number], image
        if number >= last:
            return


def pose_of(fitted: FittedFaces) -> FitRow:
    """Yaw, pitch and roll of the first face in degrees, as ``rotation_from_euler`` takes them."""
    angles = torch.rad2deg(euler_from_rotation(rotation_from_vector(fitted.parameters.rotation[0])))
    yaw, pitch, roll = (round(float(angle), 2) for angle in angles)
    return {"yaw": yaw, "pitch": pitch, "roll": roll}


def _guess(weights: str | None, model: MorphableModel, device: str) -> DECAGuess | None:
    if weights is None:
        return None
    from facemorph.apps.fitting.deca_guess import DECAGuess

    return DECAGuess(weights, model, device)
