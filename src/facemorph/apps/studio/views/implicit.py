"""The view Implicit: faces of ImFace in 3-D, along components, with another's expression, and
fitted to scans.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from facemorph.apps.implicit.choices import KINDS as MESHES
from facemorph.apps.implicit.choices import Unit
from facemorph.apps.implicit.face_meshes import FaceCodes
from facemorph.apps.studio.exports import Exports
from facemorph.apps.studio.messages import Answer, Handler, Request
from facemorph.apps.studio.project import EXPORTS, Project
from facemorph.apps.studio.scans import Scans
from facemorph.apps.studio.views.implicit_faces import (
    CHECKPOINT,
    COARSE,
    FINE,
    MEAN,
    OWN,
    Face,
    ImplicitFaces,
    Refiner,
    packed,
    read_coloured,
)
from facemorph.errors import DataError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.storage.files import read_json

PICTURE, REPORT = "faces.png", "report.json"
KINDS = (*(f".{kind}" for kind in MESHES), ".png", ".mp4", ".gif", ".npz")
RESOLUTION, VIDEO_RESOLUTION, FRAMES = "128", "64", "25"
MOST_SEEDS = 2**31 - 1
FIGURES = ("mean_mm", "within_95_mm", "largest_mm")


class ImplicitPanel:
    """Answers what the view asks.

    Args:
        project: An opened one.
        scans: Its scans.
        exports: Makes files.
    """

    def __init__(self, project: Project, scans: Scans, exports: Exports) -> None:
        self.project, self.scans, self.exports = project, scans, exports
        self._faces: ImplicitFaces | None = None
        self._refiner: Refiner | None = None
        self._before: dict[int, Mesh] = {}  # what each window was shown

    def handlers(self) -> dict[str, Handler]:
        """What is done for each kind of request."""
        return {
            "implicit.open": self._open,
            "implicit.draw": self._draw,
            "implicit.refine": self._refine,
            "implicit.scans": self._scans,
            "implicit.fit": self._fit,
            "implicit.errors": self._errors,
            "implicit.export": self._export,
            "implicit.command": self._command,
        }

    def window_closed(self, window: int) -> None:
        """Forget what was kept for a window."""
        self._before.pop(window, None)

    @property
    def faces(self) -> ImplicitFaces:
        """The model, which is loaded when it is first asked for."""
        if self._faces is None:
            self._faces = ImplicitFaces(self.project)
        return self._faces

    @property
    def refiner(self) -> Refiner:
        """What makes fine meshes."""
        if self._refiner is None:
            self._refiner = Refiner(self.faces)
        return self._refiner

    # ------------------------------------------------------------
    # faces
    def _codes(self, request: Request) -> FaceCodes:
        folder = request.text("folder", "")
        return self.faces.codes(
            Face(
                self._fitted(folder)[0] if folder else None,
                request.whole("seed", MEAN, MOST_SEEDS, MEAN),
                request.number("spread", 0, 3, 1.0),
                request.values("edits"),
                request.whole("expression", OWN, 1000, OWN),
                request.whole("giver", MEAN, 100_000, MEAN),
                request.number("share", -1, 2, 1.0),
            )
        )

    def _open(self, request: Request) -> Answer:
        system = self.faces.system
        return {
            "groups": {
                name: [asdict(one) for one in group] for name, group in self.faces.sliders().items()
            },
            "people": system.num_identities,
            "expressions": system.num_expressions,
            "scans": self.scans.names(),
        }

    def _draw(self, request: Request) -> Answer:
        """The face as a coarse mesh: while the hand moves, the one before follows."""
        self.refiner.leave()
        codes, before = self._codes(request), self._before.pop(request.window, None)
        mesh = None
        if before is not None and request.flag("moving"):
            mesh = self.faces.followed(before, codes)
        followed = mesh is not None
        mesh = self.faces.mesh(codes, COARSE) if mesh is None else mesh
        self._before[request.window] = mesh
        header, data = packed(mesh)
        return {"followed": followed, **header}, data

    def _refine(self, request: Request) -> Answer:
        """A finer mesh of the face, once it is there."""
        step = request.whole("step", 0, len(FINE) - 1)
        mesh = self.refiner.mesh(self._codes(request), FINE[step])
        steps = {"steps": len(FINE)}
        if mesh is None:
            return {"ready": False, **steps}
        header, data = packed(mesh)
        return {"ready": True, **steps, **header}, data

    # ------------------------------------------------------------
    # scans
    def _scans(self, request: Request) -> Answer:
        return {"scans": self.scans.names()}

    def _fit(self, request: Request) -> Answer:
        """Begin to fit the model to a scan."""
        path = self.scans.find(request.text("scan"))
        output = self.project.export(f"{path.stem}_fitted", "")
        words = ["reconstruct", str(path), "-o", str(output), "--checkpoint", CHECKPOINT]
        words += ["--resolution", RESOLUTION]
        if (unit := request.choice("unit", get_args(Unit), "guess")) != "guess":
            words += ["--unit", unit]
        work = self.exports.run(words, output / PICTURE, f"Fit {path.name}")
        folder = f"{EXPORTS}/{output.name}"
        return {"work": work.id, "folder": folder, "command": self.exports.command(words)}

    def _fitted(self, name: str) -> tuple[Path, dict[str, Any]]:
        """Codes and figures of a scan that was fitted.

        Raises:
            DataError: It is not there.
        """
        folder = self.project.result(name)
        try:
            row = read_json(folder / REPORT)["rows"][0]
            return folder / f"{row['name']}_codes.npz", row
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(
                "no scan was fitted here",
                where=name,
                found=f"{type(error).__name__}: {error}"[:80],
                remedy="Fit it again.",
            ) from error

    def _errors(self, request: Request) -> Answer:
        """The fitted face in colours by its distance from the scan, with the figures."""
        name = request.text("folder")
        codes, row = self._fitted(name)
        mesh, colours = read_coloured(codes.with_name(f"{row['name']}_error.ply"))
        header, data = packed(mesh, colours)
        figures = {one: float(row[one]) for one in FIGURES if one in row}
        return {**header, "figures": figures, "chamfer": float(row["fitted"]["chamfer"])}, data

    # ------------------------------------------------------------
    # exports
    def _export(self, request: Request) -> Answer:
        kind = request.choice("format", KINDS)
        codes = self.faces.keep(self._codes(request))
        moving = kind in (".mp4", ".gif")
        output = self.project.export("face", kind if moving else "")
        if kind == ".npz":
            output = self.project.export("face_codes", kind)
            shutil.copyfile(codes, output)
            return {"files": [output.name]}
        words, made = self._words(codes, kind, output)
        work = self.exports.run(words, made)
        return {"work": work.id, "command": self.exports.command(words)}

    def _command(self, request: Request) -> Answer:
        """The line that makes what is shown; the codes that it reads are written."""
        words, _ = self._words(self.faces.keep(self._codes(request)), ".glb", Path("face"))
        return {"command": self.exports.command(words)}

    def _words(self, codes: Path, kind: str, output: Path) -> tuple[list[str], Path]:
        """The command that writes an output, and the file that is looked at first."""
        end = ["-o", str(output), "--checkpoint", CHECKPOINT]
        if kind in (".mp4", ".gif"):
            mean = self.faces.keep(self.faces.codes(Face(None, MEAN, 1.0, {})))
            words = ["interpolate", str(mean), str(codes), *end, "--frames", FRAMES]
            return [*words, "--resolution", VIDEO_RESOLUTION], output
        words = ["sample", "--from", str(codes), *end, "--resolution", RESOLUTION]
        if kind == ".png":
            return words, output / PICTURE
        made = codes.stem.removesuffix("_codes") + kind
        return [*words, "--kind", kind[1:]], output / made
