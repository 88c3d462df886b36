"""``facemorph pca``: the principal components of ImFace's codes, as faces."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
    write_face,
)
from facemorph.apps.implicit.imface_pictures import picture
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.faces.files.image_output import save_image
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.records import REPORT, header, write_json
from facemorph.ops.threads import one_thread
from facemorph.storage.files import write_whole
from facemorph.systems.imface.code_statistics import (
    PrincipalComponents,
    expression_table,
    principal_components,
)

COMPONENTS, CELL = "components.npz", 200


@dataclass(frozen=True)
class ComponentOptions:
    """Which faces show components.

    Args:
        components: Of the identity codes, and of the expression codes.
        columns: Faces of each component, an odd number: from -sigmas to +sigmas.
        sigmas: Standard deviations.
        topology: As of ``FaceMaker``.
        resolution: Cells along each side of the ball.
        kind: ``ply``, ``obj`` or ``glb`` writes the faces of the sheets; None does not.
        colours: Colour the vertices by their place on the template.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    components: int = 4
    columns: int = 7
    sigmas: float = 3.0
    topology: str = "free"
    resolution: int = 128
    kind: str | None = None
    colours: bool = False

    def __post_init__(self) -> None:
        """See that each is possible."""
        check_choices(
            [
                ("kind", self.kind or KINDS[0], KINDS),
                ("columns", self.columns, tuple(range(3, 22, 2))),
            ]
        )
        check_number("components", self.components, 1, 10_000)
        check_number("sigmas", self.sigmas, 0.01, 10)


class ComponentReport(ModelReport):
    """The content of ``report.json``: ``explained`` shares of variance, and a row for each mesh."""

    people: int
    expressions: int
    explained: dict[str, list[float]]
    rows: list[MeshRow]


def pca(
    checkpoint: str | Path, output: str | Path, options: ComponentOptions | None = None
) -> ComponentReport:
    """Sheets of the principal components of identities and expressions.

    Args:
        checkpoint: What ``load_system`` takes.
        output: Folder of ``identity.png`` and ``expression.png``, a row for each component;
            ``components.npz`` with ``identity_mean`` ``(C,)``, ``_directions`` ``(K, C)``,
            ``_deviations`` and ``_explained`` ``(K,)``, and so for ``expression``; ``report.json``;
            with a kind the meshes ``identity_1_-3`` and so on.
        options: Which.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint or the folder is at fault.
    """
    how, folder = options or ComponentOptions(), Path(output)
    check_writable(folder / REPORT)
    with one_thread():
        system = load_imface(checkpoint)
        table = expression_table(system)
        found = {
            "identity": principal_components(system.identity_codes.weight.detach(), how.components),
            "expression": principal_components(table.flatten(0, 1), how.components),
        }
        make = FaceMaker(system, how.topology, how.resolution)
        rows: list[MeshRow] = []
        for name, part in found.items():
            # Identities with the mean neutral expression, expressions of the mean person.
            rest = FaceCodes(
                found["identity"].mean, table[0].mean(0) if name == "identity" else part.mean
            )
            rows += _sheet(name, part, rest, make, folder, how)
    stream = io.BytesIO()
    np.savez(
        stream,
        **{
            f"{name}_{key}": value.numpy()
            for name, part in found.items()
            for key, value in vars(part).items()
        },
    )
    write_whole(folder / COMPONENTS, stream.getvalue())
    report: ComponentReport = {
        **header(vars(how)),
        "checkpoint": str(checkpoint),
        "people": system.num_identities,
        "expressions": system.num_expressions,
        "explained": {
            name: [round(value, 4) for value in part.explained.tolist()]
            for name, part in found.items()
        },
        "rows": rows,
    }
    write_json(folder / REPORT, report)
    return report


def _sheet(
    name: str,
    part: PrincipalComponents,
    rest: FaceCodes,
    make: FaceMaker,
    folder: Path,
    options: ComponentOptions,
) -> list[MeshRow]:
    """Write the sheet of one kind of codes, and its meshes; their rows."""
    half = options.columns // 2
    steps = [options.sigmas * (column - half) / half for column in range(options.columns)]
    cells, rows = [], []
    middle = make(rest)
    for index in console.track(range(len(part.directions)), f"{name} components"):
        row = []
        for step in steps:
            moved = getattr(rest, name) + step * part.deviations[index] * part.directions[index]
            codes = (
                FaceCodes(moved, rest.expression)
                if name == "identity"
                else FaceCodes(rest.identity, moved)
            )
            face = middle if step == 0 else make(codes)
            where = f"{step:+g} sigma" if step else "mean"
            caption = f"{name} {index + 1} ({part.explained[index]:.0%}): {where}"
            row.append((caption, picture(face.mesh, face.colours if options.colours else None)))
            if options.kind is not None:
                rows.append(
                    write_face(
                        face,
                        codes,
                        f"{name}_{index + 1}_{step:+.3g}",
                        folder,
                        options.kind,
                        options.colours,
                    )
                )
        cells.append(row)
    save_image(contact_sheet(cells, CELL), folder / f"{name}.png", synthetic=True)
    return rows
