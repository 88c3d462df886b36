"""The principal components of a generator's people, as faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facemorph.apps.generation.choices import Checkpoint
from facemorph.apps.implicit.choices import check_number
from facemorph.errors import ConfigError
from facemorph.jobs.options import OutputFolder, checked
from facemorph.jobs.outputs import check_writable

if TYPE_CHECKING:
    from facemorph.apps.generation.people_components import PeopleReport

REPORT = "report.json"


@checked
def pca(
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    components: int = 4,
    columns: int = 7,
    sigmas: float = 2.0,
) -> PeopleReport:
    """Sheets of the principal components of a generator's people.

    Args:
        output: Folder that gets people.png (style, skin and shape together), style.png (the codes
            alone) and shape.png, a row for each component, the numbers themselves in
            components.npz, and report.json.
        components: How many components of each.
        columns: Faces of each component, an odd number.
        sigmas: Standard deviations to either side.

    Returns:
        The content of ``report.json``. ``components.npz`` holds ``people_mean`` ``(C,)``,
        ``_directions`` ``(K, C)``, ``_deviations`` and ``_explained`` ``(K,)``, and so for
        ``style`` and ``shape``.

    Raises:
        FacemorphError: An option, the checkpoint or the folder is at fault.
    """
    if not (3 <= columns <= 21 and columns % 2):
        raise ConfigError(
            "no such choice", where="columns", expected="odd, from 3 to 21", found=columns
        )
    check_number("components", components, 1, 100)
    check_number("sigmas", sigmas, 0.01, 10)
    folder = Path(output)
    check_writable(folder / REPORT)
    from facemorph.apps.generation.people_components import write_components
    from facemorph.ops.threads import one_thread

    with one_thread():
        return write_components(str(checkpoint), folder, components, columns, sigmas)
