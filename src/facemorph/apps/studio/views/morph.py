"""The view Morph: two faces on their way to each other, averages and caricatures of several."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph.apps.morphing.averages import average_faces, caricature_face
from facemorph.apps.morphing.warp_fitting import fit_warp, smoothing_of
from facemorph.apps.studio.editor_preview import (
    DRAG_NODES,
    MovingFlow,
    PreviewSolver,
    dense_positions,
    draw_preview,
    spline_lattice,
)
from facemorph.apps.studio.exports import Exports
from facemorph.apps.studio.library import Library, jpeg
from facemorph.apps.studio.messages import Answer, Handler, Request
from facemorph.apps.studio.views.landmark_editing import LandmarkEditing
from facemorph.apps.studio.work import warnings_here
from facemorph.errors import DataError
from facemorph.faces.choices import MASKS
from facemorph.faces.face_input import FaceInput
from facemorph.faces.files.image_io import resize_image
from facemorph.faces.files.landmark_files import read_points, write_points
from facemorph.faces.pair import FacePair, PreparedFace, pair_faces, prepare_faces
from facemorph.faces.procrustes import mean_shape
from facemorph.fields.warps.choices import BLENDS, OUTSIDES
from facemorph.ops.frames import Frame
from facemorph.systems.ifmorph.morphed_pair import MorphedPair

SIZE, DRAFT_SIZE, SMALL_DRAFT = 512, 384, 256  # pixels along the longer side
AT_HAND = 3  # selections that are kept in memory
MOST = 24  # photographs of an average
MODES = ("morph", "average", "caricature")
DETAILS = ("draft", "still")
LARGEST_AMOUNT = 2.0  # of a caricature
STILLS, MOVING = (".png", ".jpg"), (".mp4", ".gif")
POINTS = (".json", ".tem", ".pts")


@dataclass
class Selection:
    """Photographs that are morphed, cut to one frame, and what was computed of them.

    Attributes:
        names: Of the photographs.
        faces: As ``facemorph morph`` cuts them.
        warnings: What was said about them.
        small: The same pictures for drafts, ``(3, h, w)``.
        solver: Of the first two, for drafts.
        system: Of the first two, fitted as the command does it; None before it is needed.
        mean: The average of all but the first; None before it is needed.
    """

    names: tuple[str, ...]
    faces: list[PreparedFace]
    warnings: list[str]
    small: list[Tensor]
    solver: PreviewSolver
    system: MorphedPair | None = None
    mean: PreparedFace | None = None
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def pair(self) -> FacePair:
        """The first two."""
        return pair_faces(self.faces[0], self.faces[1], *self.names[:2])


class MorphPanel:
    """Answers what the view asks.

    Args:
        library: The photographs.
        exports: Makes files.
    """

    def __init__(self, library: Library, exports: Exports) -> None:
        self.library, self.exports = library, exports
        self.editing = LandmarkEditing(library)
        self._selections: OrderedDict[tuple[tuple[str, int], ...], Selection] = OrderedDict()

    def handlers(self) -> dict[str, Handler]:
        """What is done for each kind of request."""
        return {
            "morph.open": self._open,
            "morph.measure": self._measure,
            "morph.draw": self._draw,
            "morph.export": self._export,
            "morph.command": self._command,
            "morph.edit": self._edit,
            "morph.edited": self._edited,
        }

    def selection(self, request: Request, least: int = 1) -> Selection:
        """The photographs of a request, made ready; the last few are kept.

        Raises:
            DataError: There are too few or too many, or one has no face.
            FacemorphError: They do not fit together.
        """
        names = request.texts("photographs", MOST)
        if not least <= len(names) or len(set(names)) != len(names):
            raise DataError(
                "not enough photographs are chosen",
                where="photographs",
                expected=f"at least {least} different ones",
                found=len(names),
                remedy="Choose more in the library with Ctrl and a click.",
            )
        key = tuple((name, self.library.photograph(name).version) for name in names)
        if key not in self._selections:
            self._selections[key] = self._prepared(names)
            while len(self._selections) > AT_HAND:
                self._selections.popitem(last=False)
        self._selections.move_to_end(key)
        return self._selections[key]

    def _prepared(self, names: list[str]) -> Selection:
        for name in names:
            self.library.located(name)  # says so now where there is no face
        files = [self.library.photograph(name).path for name in names]
        points = [self.library.project.points_of(name) for name in names]
        with warnings_here() as warnings:
            faces = prepare_faces(FaceInput(files, points, SIZE))
        frame = faces[0].frame
        sides = frame.scaled_to(min(DRAFT_SIZE, max(frame.height, frame.width)))
        small = [resize_image(face.image, (sides.height, sides.width)) for face in faces]
        solver = PreviewSolver(frame, smoothing_of(faces[0].scheme))
        return Selection(tuple(names), faces, list(warnings), small, solver)

    # ------------------------------------------------------------
    # looking
    def _open(self, request: Request) -> Answer:
        selection = self.selection(request)
        return {
            "names": selection.names,
            "warnings": selection.warnings,
            "scheme": selection.faces[0].scheme,
            "blends": BLENDS,
            "masks": MASKS,
            "outsides": OUTSIDES,
        }

    def _measure(self, request: Request) -> Answer:
        """Figures of the warp between the first two, and warnings of what it misses."""
        selection = self.selection(request, 2)
        if "figures" not in selection.seen:
            pair = selection.pair
            figures = dict(selection.solver.measure(pair.source, pair.target))
            del figures["errors"]
            selection.seen["figures"] = figures
        return {"figures": selection.seen["figures"]}

    def _draw(self, request: Request) -> Answer:
        mode, detail = request.choice("mode", MODES), request.choice("detail", DETAILS, "still")
        if mode == "morph":
            data = self._morph(request, self.selection(request, 2), detail)
        elif mode == "average":
            data = self._average(request, self.selection(request, 2), detail)
        else:
            data = self._caricature(request, self.selection(request, 2), detail)
        return {"picture": len(data), "detail": detail}, data

    def _morph(self, request: Request, selection: Selection, detail: str) -> bytes:
        time = request.number("time", 0, 1, 0.5)
        shape, texture = request.number("shape", 0, 1, time), request.number("texture", 0, 1, time)
        blend, mask = request.choice("blend", BLENDS, "multiband"), request.choice("mask", MASKS)
        outside = request.choice("outside", OUTSIDES, "source")
        if detail == "draft":
            pair = selection.pair
            maps = selection.solver.lattice(pair.source, pair.target, shape, "drag")
            soft = None
            if blend not in ("linear", "source", "target") and mask != "frame":
                soft = selection.solver.mask(pair.source, pair.target, shape, pair.scheme, "drag")
            share = {"source": 0.0, "target": 1.0}.get(blend, texture)
            return draw_preview(torch.stack(selection.small[:2]), maps, share, soft, outside)
        if selection.system is None:
            pair = selection.pair
            selection.system = fit_warp(
                pair, "thin_plate_flow", smoothing=smoothing_of(pair.scheme)
            )
        picture = selection.system.render(
            time, blend=blend, outside=outside, mask=mask, shape_time=shape, texture_time=texture
        )
        return jpeg(picture, 93)

    def _average(self, request: Request, selection: Selection, detail: str) -> bytes:
        weights = self._weights(request, selection)
        if detail == "draft":
            return jpeg(quick_average(selection.faces, weights), 82)
        return jpeg(average_faces(selection.faces, weights=weights).image, 93)

    def _caricature(self, request: Request, selection: Selection, detail: str) -> bytes:
        shape, colour, texture = self._amounts(request)
        if selection.mean is None:
            selection.mean = average_faces(selection.faces[1:])
        subject, mean = selection.faces[0], selection.mean
        if detail == "draft":
            small = [_scaled(face, SMALL_DRAFT) for face in (subject, mean)]
            return jpeg(caricature_face(small[0], small[1], shape, colour, texture).image, 82)
        return jpeg(caricature_face(subject, mean, shape, colour, texture).image, 93)

    def _weights(self, request: Request, selection: Selection) -> list[float]:
        weights = request.numbers("weights", len(selection.faces))
        if min(weights) < 0 or sum(weights) <= 0:
            raise DataError("unusable weights", where="weights", expected="0 or more, one above 0")
        return weights

    def _amounts(self, request: Request) -> tuple[float, float, float]:
        shape, colour, texture = (
            request.number(name, -LARGEST_AMOUNT, LARGEST_AMOUNT, otherwise)
            for name, otherwise in (("shape", 0.5), ("color", 0.0), ("detailed", 0.0))
        )
        return shape, colour, texture

    # ------------------------------------------------------------
    # landmarks
    def _edit(self, request: Request) -> Answer:
        """Open the landmark editor for the first two; its page lies below ``edit/``."""
        names = self.selection(request, 2).names
        return {"path": self.editing.open(names[0], names[1])}

    def _edited(self, request: Request) -> Answer:
        """Take over what the landmark editor holds, and close it."""
        return {"changed": self.editing.close(request.text("path"))}

    # ------------------------------------------------------------
    # exports
    def _export(self, request: Request) -> Answer:
        mode, kind = request.choice("mode", MODES), request.text("format")
        allowed = (*STILLS, *MOVING) if mode == "morph" else STILLS
        kind = request.choice("format", (*allowed, *POINTS))
        selection = self.selection(request, 2)
        stem = "_".join(selection.names[:2] if mode == "morph" else (mode, *selection.names[:2]))
        if kind in POINTS:
            return {"files": self._write_points(selection, kind)}
        output = self.exports.project.export(stem[:80], kind)
        words = self._words(request, selection, output, write=True)
        work = self.exports.run(words, output)
        return {"work": work.id, "command": self.exports.command(words)}

    def _command(self, request: Request) -> Answer:
        selection = self.selection(request, 2)
        output = Path(f"{'_'.join(selection.names[:2])}.png")
        return {
            "command": self.exports.command(self._words(request, selection, output, write=False))
        }

    def _words(
        self, request: Request, selection: Selection, output: Path, *, write: bool
    ) -> list[str]:
        """The command that writes an output."""
        mode, project = request.choice("mode", MODES), self.exports.project
        files = [str(self.library.photograph(name).path) for name in selection.names]
        own_points = any(self.library.has_own_points(name) for name in selection.names)
        if mode == "morph":
            words = ["morph", *files[:2], "-o", str(output)]
            if own_points:
                points = [str(project.points_of(name)) for name in selection.names[:2]]
                words += ["--points-a", points[0], "--points-b", points[1]]
            for option, allowed, value in (
                ("blend", BLENDS, "multiband"),
                ("mask", MASKS, "face"),
                ("outside", OUTSIDES, "source"),
            ):
                chosen = request.choice(option, allowed, value)
                words += [f"--{option}", chosen] if chosen != value else []
            return words + self._times(request, output)
        folder = output.with_suffix(".points")
        if write and own_points:
            self._points_folder(selection, folder)
        if mode == "average":
            weights = ",".join(f"{value:.4g}" for value in self._weights(request, selection))
            words = ["average", *files, "-o", str(output), "--weights", weights]
        else:
            shape, colour, texture = self._amounts(request)
            words = ["caricature", files[0], "-o", str(output)]
            for file in files[1:]:
                words += ["--average", file]
            words += ["--shape", f"{shape:.4g}", "--color", f"{colour:.4g}"]
            words += ["--texture", f"{texture:.4g}"]
        return [*words, "--points", str(folder)] if own_points else words

    def _times(self, request: Request, output: Path) -> list[str]:
        """Options of a still's time; a video goes from one face to the other."""
        time = request.number("time", 0, 1, 0.5)
        if output.suffix in MOVING:
            return []
        words = ["--time", f"{time:.4g}"]
        for name in ("shape", "texture"):
            value = request.number(name, 0, 1, time)
            words += [f"--{name}-time", f"{value:.4g}"] if value != time else []
        return words

    def _points_folder(self, selection: Selection, folder: Path) -> None:
        """Landmark files by the stems of the pictures, as ``--points`` wants them."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in selection.names:
            source = self.exports.project.points_of(name)
            path = self.library.photograph(name).path
            points, scheme = read_points(source)
            write_points(points, folder / f"{path.stem}.json", scheme)

    def _write_points(self, selection: Selection, kind: str) -> list[str]:
        made = []
        for name in selection.names:
            points, scheme = read_points(self.exports.project.points_of(name))
            output = self.exports.project.export(name, kind)
            write_points(points, output, scheme)
            made.append(output.name)
        return made


def quick_average(faces: list[PreparedFace], weights: list[float]) -> Tensor:
    """The average for a moving hand: small, by coarse warps; ``average_faces`` is the careful one.

    Args:
        faces: In one frame and of one scheme.
        weights: Of each, 0 or more.

    Returns:
        ``(3, h, w)`` in [0, 1].
    """
    share = torch.tensor(weights).double()
    share = share / share.sum()
    used = [(face, float(one)) for face, one in zip(faces, share, strict=True) if one > 0]
    kept = torch.tensor([one for _, one in used]).double()
    shape = mean_shape([face.points.double() for face, _ in used], kept)
    total: Tensor | None = None
    for face, one in used:
        small = _scaled(face, SMALL_DRAFT)
        frame = small.frame
        factor = frame.width / face.frame.width
        flow = MovingFlow(smoothing_of(face.scheme))
        flow.begin(frame.from_pixels(shape * factor), frame.from_pixels(small.points), frame)
        _, shifts = flow.shifts_at(frame, 0.0)
        maps = spline_lattice(frame, torch.cat([shifts, shifts], -1), DRAG_NODES)
        at = frame.to_pixels(dense_positions(maps, frame)[:1])
        size = at.new_tensor([frame.width, frame.height])
        warped = torch.nn.functional.grid_sample(
            small.image[None], at / size * 2 - 1, padding_mode="border", align_corners=False
        )[0]
        total = one * warped if total is None else total + one * warped
    if total is None:
        raise DataError("there is nothing to average", where="weights")
    return total.clamp(0, 1)


def _scaled(face: PreparedFace, side: int) -> PreparedFace:
    """A face with so many pixels along its longer side."""
    frame = face.frame
    small: Frame = frame.scaled_to(min(side, max(frame.height, frame.width)))
    image = resize_image(face.image, (small.height, small.width)).clamp(0, 1)
    return PreparedFace(image, face.points * (small.width / frame.width), face.scheme)
