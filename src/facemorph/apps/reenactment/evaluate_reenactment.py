"""How good a trained reenactment is: beside the mesh alone, on people that it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facemorph.errors import ConfigError
from facemorph.jobs.options import Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.records import REPORT

if TYPE_CHECKING:
    from facemorph.apps.reenactment.evaluation.reenactment_evaluation import ReenactmentReport

SIZES = (32, 2048)
MOST = 100_000


@checked
def evaluate_reenactment(
    faces: Annotated[str | Path, Option(metavar="SET")],
    output: OutputFolder,
    checkpoint: Annotated[
        str | Path,
        Option(kind=str, help="Trained model: a file, @last, @last:NAME, @open:gdpw."),
    ] = "@open:gdpw",
    *,
    split: Literal["validation", "test"] = "test",
    size: int = 128,
    count: int = 200,
    cross: bool = False,
) -> ReenactmentReport:
    """Measure a reenactment on people that it has not seen.

    Each photograph is moved to where another one of the same person is, and compared with that:
    by the network, by the mesh alone (``animate``), by the mesh after the photograph was shifted
    to the target's head (``animate_aligned``), and not at all (``copy``). Of a video the first
    frame is moved to the others.

    Args:
        faces: Set of ``facemorph data pairs`` with the people that were held out.
        output: Folder that gets report.json, gallery.html with the worst cases first, sheet.png
            and the pictures.
        checkpoint: Trained model.
        split: Which people are held out: validation to choose by, test to report.
        size: Side in pixels at which pictures are moved and compared, at most that of the set.
        count: Pairs at most, evenly among those of the split.
        cross: Each person is also moved as another one, turned to both sides by 20 degrees, and
            opens the mouth.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: The set, the checkpoint or an option is at fault; nobody is held out.
    """
    for name, value, (least, most) in (("size", size, SIZES), ("count", count, (1, MOST))):
        if not least <= value <= most:
            raise ConfigError(
                "unusable number", where=name, expected=f"{least} to {most}", found=value
            )
    folder = Path(output)
    check_writable(folder / REPORT)
    from facemorph.apps.reenactment.evaluation.reenactment_evaluation import evaluate
    from facemorph.ops.threads import one_thread

    with one_thread():
        return evaluate(Path(faces), folder, checkpoint, split, size, count, cross)
