"""``facemorph sample``: random faces of a trained ImFace."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.implicit.face_meshes import (
    KINDS,
    FaceCodes,
    FaceMaker,
    MeshRow,
    ModelReport,
    check_choices,
    check_number,
    load_imface,
    read_codes,
    write_face,
)
from facemorph.apps.implicit.imface_pictures import picture
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.errors import ConfigError
from facemorph.faces.files.image_output import save_image
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.records import REPORT, header, write_json
from facemorph.ops.threads import one_thread
from facemorph.systems.imface.code_statistics import expression_table, gaussian_shares
from facemorph.systems.imface.system import ImFace

PICTURE, COLUMNS, CELL, SHOWN = "faces.png", 5, 240, 60
VARIED = ("identity", "expression", "both")


@dataclass(frozen=True)
class SamplingOptions:
    """Which faces, and how they are written.

    Args:
        count: How many, beside the mean face.
        seed: Of the samples.
        vary: ``identity``, ``expression`` or ``both``.
        spread: Factor of the training people's standard deviation; 0 repeats the mean.
        expression: Number of the training's expression, 0 for the neutral one; None is the neutral
            one where only the identity varies, and any of them else.
        person: Codes of the person whose expressions vary; None is the mean person.
        topology: As of ``FaceMaker``.
        resolution: Cells along each side of the ball.
        kind: ``ply``, ``obj`` or ``glb``.
        colours: Colour the vertices by their place on the template.

    Raises:
        ConfigError: A value is none of the possible ones, or one does nothing.
    """

    count: int = 12
    seed: int = 0
    vary: str = "both"
    spread: float = 1.0
    expression: int | None = None
    person: Path | None = None
    topology: str = "free"
    resolution: int = 128
    kind: str = "ply"
    colours: bool = False

    def __post_init__(self) -> None:
        """See that each is possible."""
        check_choices([("vary", self.vary, VARIED), ("kind", self.kind, KINDS)])
        check_number("count", self.count, 1, 10_000)
        check_number("spread", self.spread, 0, 10)
        if self.person is not None and self.vary != "expression":
            raise ConfigError(
                "a person is given, and the identity varies",
                where="person",
                found=self.vary,
                remedy="Add --vary expression.",
            )


class SampleReport(ModelReport):
    """The content of ``report.json``: a row for each face."""

    people: int
    expressions: int
    rows: list[MeshRow]


def sample(
    checkpoint: str | Path, output: str | Path, options: SamplingOptions | None = None
) -> SampleReport:
    """Random faces from a Gaussian fitted to the training people's codes, and the mean face.

    Args:
        checkpoint: What ``load_system`` takes.
        output: Folder of ``mean`` and ``face_001`` onwards: meshes in millimetres,
            ``_correspondence.npz`` with the place on the template of each vertex, ``_codes.npz``;
            ``faces.png`` of the first 60, and ``report.json``.
        options: Which faces.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint or the folder is at fault.
    """
    how, folder = options or SamplingOptions(), Path(output)
    check_writable(folder / REPORT)
    with one_thread():
        system = load_imface(checkpoint)
        codes = draw_codes(system, how)
        make = FaceMaker(system, how.topology, how.resolution)
        rows: list[MeshRow] = []
        cells: list[tuple[str, Tensor]] = []
        names = ["mean", *(f"face_{index:03d}" for index in range(1, len(codes)))]
        for name, one in console.track(list(zip(names, codes, strict=True)), "faces"):
            begun = time.perf_counter()
            face = make(one)
            row = write_face(face, one, name, folder, how.kind, how.colours)
            rows.append({**row, "seconds": round(time.perf_counter() - begun, 2)})
            if len(cells) < SHOWN:
                cells.append((name, picture(face.mesh, face.colours if how.colours else None)))
    save_image(
        contact_sheet(
            [cells[first : first + COLUMNS] for first in range(0, len(cells), COLUMNS)], CELL
        ),
        folder / PICTURE,
        synthetic=True,
    )
    settings = {**vars(how), "person": how.person and str(how.person)}
    report: SampleReport = {
        **header(settings),
        "checkpoint": str(checkpoint),
        "people": system.num_identities,
        "expressions": system.num_expressions,
        "rows": rows,
    }
    write_json(folder / REPORT, report)
    return report


def draw_codes(system: ImFace, options: SamplingOptions) -> list[FaceCodes]:
    """The mean face's codes, then those of random faces.

    Identity and expression are drawn together: codes of an expression belong to one person each,
    and the same shares of the training people in both keep what they have in common.

    Raises:
        ConfigError: The model has no such expression.
        DataError: The person's codes cannot be read.
    """
    people = system.identity_codes.weight.detach()
    table = expression_table(system)
    if options.expression is not None:
        check_number("expression", options.expression, 0, len(table) - 1)
    generator = torch.Generator().manual_seed(options.seed)
    shares = gaussian_shares(len(people), options.count, options.spread, generator)
    numbers = torch.randint(len(table), (options.count,), generator=generator)
    if options.expression is not None or options.vary == "identity":
        numbers[:] = options.expression or 0
    person = (
        FaceCodes(people.mean(0)) if options.person is None else read_codes(options.person, system)
    )
    shown = table.mean(1)
    found = [FaceCodes(person.identity, shown[options.expression or 0], person.detail)]
    for share, number in zip(shares, numbers.tolist(), strict=True):
        identity = person.identity if options.vary == "expression" else _drawn(people, share)
        expression = _drawn(table[number], share)
        found.append(
            FaceCodes(identity, expression, person.detail if options.vary == "expression" else None)
        )
    return found


def _drawn(codes: Tensor, share: Tensor) -> Tensor:
    """A sample of the Gaussian of codes ``(N, C)`` by shares ``(N,)`` of their deviations."""
    mean = codes.mean(0)
    return mean + share @ (codes - mean)
