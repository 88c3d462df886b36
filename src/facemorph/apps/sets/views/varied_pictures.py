"""Views of the photographs of a set: what is drawn for each, and its picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.fitting.face_fitting import FittedFaces
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.data.face_set import INDEX, PARAMETERS, SetIndex, scaled
from facemorph.errors import DataError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.portraits.portrait_warp import PortraitWarp
from facemorph.geometry.rendering.lighting import light_level, random_light, shading
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.synthetic.random_faces import random_expression
from facemorph.geometry.textures.unprojection import spread_mask
from facemorph.jobs.batch import Batch, run, stamp_of
from facemorph.jobs.outputs import check_writable, make_folders
from facemorph.jobs.pool import count_workers, parse_shard
from facemorph.jobs.records import (
    DONE,
    FAILED,
    MISSING,
    REPORT,
    Header,
    Row,
    Settings,
    counts_of,
    header,
    write_json,
)
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import (
    rotation_from_euler,
    rotation_from_vector,
    vector_from_rotation,
    yaw_of,
)
from facemorph.ops.threads import one_thread

CALM = 0.5  # share of the views that keep the photograph's expression
LEVELS = (0.85, 1.15)  # brightness of a new light, in that of the photograph's
MIX = (0.3, 0.8)  # share of the new light: all of it would ask shadows for what they do not show
RATIO = (0.5, 1.8)  # of the shadings; beyond it noise and shadows would be seen
FACING = (0.15, 0.5)  # cosine to the camera between which the new light sets in
IN_FACE = ("eye_left", "eye_right", "lips", "eyelids", "teeth")  # beside its skin
WIDEST = 1.7  # standard deviations that a head turns at most
OVERVIEW, SHOWN, LARGEST = "overview.jpg", 8, 8


@dataclass(frozen=True)
class VaryOptions:
    """What all views of a set have in common; see the arguments of ``vary_set``."""

    views: int = 6
    size: int | None = None
    yaw: float = 9.0
    max_yaw: float = 30.0
    expression: float = 0.6
    relit: float = 0.6
    seed: int = 0
    texture: int = 256


class VaryRow(Row, total=False):
    """What became of one photograph; ``row`` is its number in the set."""

    row: int
    stamp: str


class VaryReport(Header):
    """The content of ``report.json``.

    Attributes:
        counts: How many photographs are done, failed and missing.
        people: How many people the pictures show.
        pictures: How many pictures there are.
        failed: Rows of the photographs that failed.
    """

    counts: dict[str, int]
    people: int
    pictures: int
    failed: list[VaryRow]


class VariedSet:
    """The views of a set, photograph by photograph; all follows from the seed and the number.

    Args:
        folder: The prepared set.
        options: How they vary.

    Raises:
        DataError: The folder holds no set.
    """

    def __init__(self, folder: Path, options: VaryOptions) -> None:
        self.folder, self.options = folder, options
        self.index = SetIndex.read(folder)
        self.parameters = FaceParameters.load(folder / PARAMETERS)
        if len(self.index.names) != len(self.parameters):
            raise DataError(
                "index and parameters of this set do not fit together",
                where=folder / PARAMETERS,
                expected=f"{len(self.index.names)} faces, as in {INDEX}",
                found=len(self.parameters),
                remedy="Make the set again with the same command.",
            )
        self.model: MorphableModel = load_model(self.parameters.model)
        # a fit without refinement has the light of `FaceParameters.neutral`
        self.has_light = bool((self.parameters.light[:, 1:] != 0).any())

    def views(self, row: int) -> FaceParameters:
        """Parameters of all views of a photograph, in its own pixels."""
        own = self.parameters[row]
        others = (self._view(own, row, view) for view in range(1, self.options.views))
        return FaceParameters.joined([own, *others])

    def _view(self, own: FaceParameters, row: int, view: int) -> FaceParameters:
        options = self.options
        random = np.random.default_rng([options.seed, row, view])
        drawn = random.normal(0, 1, 3).clip(-WIDEST, WIDEST)
        turn = np.radians(drawn * options.yaw / np.array([1, 2, 3]))
        added = random_expression(self.model, random)[None] * options.expression
        calm, relit = random.random() < CALM, random.random() < options.relit
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        low, high = self.model.expression_range
        expression = own.expression if calm else (own.expression + added).clamp(low, high)
        rotation = turned_within(own.rotation, turn, options.max_yaw)
        light = own.light
        if relit and self.has_light:
            level, share = (
                low + (high - low) * float(torch.rand((), generator=generator))
                for low, high in (LEVELS, MIX)
            )
            # As bright and as coloured on the whole as the photograph's.
            new = random_light(1, generator)
            new = new * (light_level(own.light) / light_level(new))[:, None]
            light = level * ((1 - share) * own.light + share * new)
        return replace(own, expression=expression, rotation=rotation, light=light)

    def pictures(self, row: int) -> list[Tensor]:
        """Pictures ``(3, S, S)`` of all views of a photograph."""
        path = self.folder / self.index.files[row]
        image = load_image(path)
        views = self.views(row)
        frame = Frame(image.shape[2], image.shape[1])
        fitted = FittedFaces.known(self.model, views[0], frame)
        texture = texture_of([fitted], [image], self.options.texture)
        warp = PortraitWarp(
            self.model, image, HeadView(fitted.vertices(), fitted.camera()), texture
        )
        found = [image]
        for view in range(1, len(views)):
            moved = views[view]
            head = HeadView(vertices_of(self.model, moved), camera_of(moved, frame))
            picture = warp(head)
            if not torch.equal(moved.light, views[0].light):
                picture = relight(picture, self.model, head, views[0].light, moved.light)
            found.append(picture)
        return found

    def write(self, row: int, output: Path) -> list[str]:
        """Write the pictures of a photograph's views; returns the files, relative to the folder."""
        files = []
        for view, large in enumerate(self.pictures(row)):
            size, picture = self.options.size, large
            if size not in (None, large.shape[-1]):
                picture = functional.interpolate(
                    large[None], (size, size), mode="bilinear", antialias=True
                )[0]
            files.append(f"images/{self.name(row, view)}.png")
            save_image(picture.clamp(0, 1), output / files[-1], synthetic=view > 0)
        return files

    def name(self, row: int, view: int) -> str:
        """Name of a picture."""
        return f"{self.index.names[row]}_view{view:02d}"


def turned_within(rotation: Tensor, turn: np.ndarray, most: float) -> Tensor:
    """A head turned, to the other side where it would otherwise be turned too far.

    Args:
        rotation: ``(1, 3)`` rotation vector of the head.
        turn: ``(3,)`` yaw, pitch and roll to add, in radians.
        most: Degrees of yaw that it has in the end, unless it had more before.

    Returns:
        Rotation vector ``(1, 3)``.
    """
    angles = torch.tensor(turn, dtype=torch.float32)[:, None]
    limit = max(most, abs(yaw_of(rotation)))
    for side in (1, -1):
        before = rotation_from_vector(rotation)
        turned = vector_from_rotation(rotation_from_euler(side * angles[0], *angles[1:]) @ before)
        if abs(yaw_of(turned)) <= limit:
            break
    return turned


def relight(
    picture: Tensor, model: MorphableModel, head: HeadView, old: Tensor, new: Tensor
) -> Tensor:
    """A photograph of a head in another light: every pixel of the face times the ratio of both
    shadings.

    Hair and background stay as they are: the model's skull may be larger than the person's, and a
    wall does not turn with the light.

    Args:
        picture: ``(3, H, W)`` in [0, 1].
        model: The model.
        head: The head in it.
        old: ``(1, 9, 3)`` the light in it.
        new: ``(1, 9, 3)`` the light wanted.
    """
    height, width = picture.shape[1:]
    view = MeshView.of(head.vertices, model.topology.faces, head.camera, (height, width))
    normals = view.normals().movedim(1, -1)
    before, after = (
        shading(normals, light[:, None, None]).movedim(-1, 1).clamp(min=0.05)
        for light in (old, new)
    )
    ratio = (after / before).clamp(*RATIO)
    facing = ((normals[..., 2] - FACING[0]) / (FACING[1] - FACING[0])).clamp(0, 1)
    skin = spread_mask(model.topology, "face", rings=-3) + spread_mask(model.topology, *IN_FACE)
    share = view.attribute(skin.clamp(0, 1)[:, None]) * facing * view.mask
    return (picture * (1 + (ratio - 1) * share)[0]).clamp(0, 1)


def make_views(
    source: Path, output: Path, options: VaryOptions, workers: int | None, shard: str
) -> VaryReport:
    """Make the views of a set; see ``vary_set``."""
    part, parts = parse_shard(shard)
    processes = count_workers(workers)
    varied = VariedSet(source, options)
    check_writable(output / REPORT)
    settings = {**vars(options), "source": str(source.resolve())}
    rows = range(part, len(varied.index.names), parts)

    def given(row: int) -> VaryRow:
        files = source / varied.index.files[row], source / PARAMETERS
        return {"row": row, "stamp": stamp_of(*files)}

    with one_thread():
        return run(
            Batch(
                output,
                "photographs",
                {varied.index.names[row]: row for row in rows},
                partial(_start, source, options, output),
                _make,
                partial(_finish, output, varied, settings),
                settings=settings,
                given=given,
                same=("stamp",),
                chunk=8,
                workers=processes,
                shard=(part, parts),
            )
        )


def _start(source: Path, options: VaryOptions, output: Path, _: int) -> tuple[VariedSet, Path]:
    inside = {str(Path(name).parent) for name in SetIndex.read(source).names}
    make_folders(output, (f"images/{folder}" for folder in inside))
    return VariedSet(source, options), output


def _make(worker: tuple[VariedSet, Path], row: int) -> VaryRow:
    varied, output = worker
    return {"files": varied.write(row, output)}


def _finish(
    output: Path, varied: VariedSet, settings: Settings, known: Mapping[str, VaryRow]
) -> VaryReport:
    """Write parameters and index of all views that are there, and the report."""
    index, views = varied.index, range(varied.options.views)
    rows: list[VaryRow] = [
        known.get(name, {"name": name, "status": MISSING}) for name in index.names
    ]
    done = [number for number, row in enumerate(rows) if row["status"] == DONE]
    if done:
        side = load_image(output / rows[done[0]]["files"][0]).shape[-1]
        own = load_image(varied.folder / index.files[done[0]]).shape[-1]
        joined = FaceParameters.joined([varied.views(row) for row in done])
        scaled(joined, side / own).save(output / PARAMETERS)
        _write_overview(output, [rows[row]["files"] for row in done[:SHOWN]])
    content = {
        "names": [varied.name(row, view) for row in done for view in views],
        "people": [index.people[row] for row in done for _ in views],
        "split": [index.split[row] for row in done for _ in views],
        "files": [file for row in done for file in rows[row]["files"]],
    }
    write_json(output / INDEX, content, indent=None)
    report: VaryReport = {
        **header(settings),
        "counts": counts_of(rows, (DONE, FAILED, MISSING)),
        "people": len({index.people[row] for row in done}),
        "pictures": len(content["files"]),
        "failed": [row for row in rows if row["status"] == FAILED],
    }
    write_json(output / REPORT, report)
    return report


def _write_overview(output: Path, files: list[list[str]]) -> None:
    """A sheet of the first photographs, a row each."""
    strips = [torch.cat([load_image(output / file) for file in row[:LARGEST]], 2) for row in files]
    save_image(torch.cat(strips, 1), output / OVERVIEW, synthetic=True, quality=88)
