"""The principal components of ImFace's codes, as faces."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemorph.apps.implicit.choices import (
    Checkpoint,
    MeshKind,
    MeshTopology,
    PlaceColours,
    Resolution,
    check_number,
)
from facemorph.errors import ConfigError
from facemorph.jobs.options import OutputFolder, checked
from facemorph.jobs.outputs import check_writable
from facemorph.storage.files import write_whole

if TYPE_CHECKING:
    from facemorph.apps.implicit.face_meshes import FaceRow, ReportHead

    class ComponentReport(ReportHead):
        """The report, with the share of the variance that each component explains."""

        people: int
        expressions: int
        explained: dict[str, list[float]]
        rows: list[FaceRow]


COMPONENTS, REPORT = "components.npz", "report.json"
COLUMNS = tuple(range(3, 22, 2))


@checked
def pca(
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    components: int = 4,
    columns: int = 7,
    sigmas: float = 3.0,
    topology: MeshTopology = "free",
    resolution: Resolution = 128,
    kind: MeshKind | None = None,
    colours: PlaceColours = False,
) -> ComponentReport:
    """Sheets of the principal components of identities and expressions.

    Args:
        output: Folder that gets identity.png and expression.png, a row for each component, the
            numbers themselves in components.npz, and report.json.
        components: How many components of the identities, and of the expressions.
        columns: Faces of each component, an odd number.
        sigmas: Standard deviations to either side.
        kind: Write the meshes of the sheets too, in this format.

    Returns:
        The content of ``report.json``. ``components.npz`` holds ``identity_mean`` ``(C,)``,
        ``_directions`` ``(K, C)``, ``_deviations`` and ``_explained`` ``(K,)``, and so for
        ``expression``.

    Raises:
        FacemorphError: An option, the checkpoint or the folder is at fault.
    """
    if columns not in COLUMNS:
        allowed = " | ".join(map(str, COLUMNS))
        raise ConfigError("no such choice", where="columns", expected=allowed, found=columns)
    check_number("components", components, 1, 10_000)
    check_number("sigmas", sigmas, 0.01, 10)
    folder = Path(output)
    check_writable(folder / REPORT)
    import numpy as np

    from facemorph.apps.implicit.component_sheets import write_components
    from facemorph.apps.implicit.face_meshes import FaceCodes, FaceMaker, load_imface, report_head
    from facemorph.ops.threads import one_thread
    from facemorph.systems.imface.code_statistics import expression_table, principal_components

    rows: list[FaceRow] = []
    with one_thread():
        system = load_imface(checkpoint)
        table = expression_table(system)
        found = {
            "identity": principal_components(system.identity_codes.weight.detach(), components),
            "expression": principal_components(table.flatten(0, 1), components),
        }
        make = FaceMaker(system, topology, resolution)
        for name, part in found.items():
            # Identities with the mean neutral expression, expressions of the mean person.
            shown = table[0].mean(0) if name == "identity" else part.mean
            rest = FaceCodes(found["identity"].mean, shown)
            look: Any = {"columns": columns, "sigmas": sigmas, "kind": kind, "colours": colours}
            rows += write_components(name, part, rest, make, folder, **look)
    stream = io.BytesIO()
    arrays = {
        f"{name}_{key}": value.numpy()
        for name, part in found.items()
        for key, value in vars(part).items()
    }
    np.savez(stream, **arrays)
    write_whole(folder / COMPONENTS, stream.getvalue())
    settings = {"components": components, "topology": topology, "resolution": resolution, **look}
    report: ComponentReport = {
        **report_head(checkpoint, settings),
        "people": system.num_identities,
        "expressions": system.num_expressions,
        "explained": {
            name: [round(value, 4) for value in part.explained.tolist()]
            for name, part in found.items()
        },
        "rows": rows,
    }
    write_whole(folder / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report
