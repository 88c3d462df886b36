"""How good a trained generator is: distances of its pictures to real ones, and whether it obeys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facemorph.apps.generation.choices import Checkpoint
from facemorph.errors import ConfigError
from facemorph.jobs.options import Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable

if TYPE_CHECKING:
    from facemorph.apps.generation.evaluation.generator_evaluation import GeneratorReport

SHEET, REPORT = "sheet.png", "report.json"


@checked
def evaluate_generator(
    faces: Annotated[str | Path, Option(metavar="SET")],
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    split: Literal["validation", "test"] = "test",
    count: int = 500,
    seed: int = 0,
    features: Literal["efficientnet_lite", "descriptor"] = "efficientnet_lite",
) -> GeneratorReport:
    """Measure a generator on people that it has not seen.

    Distances of features to held-out pictures, over the same distance of other real people
    (whole pictures, and heads before grey), that of the plain render beside, and of people of
    VariTex's prior; held-out people by their codes, and inverted; whether landmarks are where the
    conditions have them; whether one style stays one person turned by 30 degrees to either side,
    and another style is another; how pictures answer to light.

    Args:
        faces: Set of ``facemorph data vary`` or ``data prepare --refine`` with the people that
            were held out.
        output: Folder that gets report.json and sheet.png.
        split: Which people are held out: validation to choose by, test to report.
        count: Random faces, at most; as many real ones are compared.
        seed: Of the random faces.
        features: Of the distance: efficientnet_lite (extra ``[features]``) or the embedded
            descriptor.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: The set, the checkpoint or an option is at fault; too few held-out people.
    """
    if not 20 <= count <= 100_000:
        raise ConfigError("unusable number", where="count", expected="20 to 100000", found=count)
    folder = Path(output)
    check_writable(folder / REPORT)
    from facemorph.apps.generation.evaluation.generator_evaluation import evaluate
    from facemorph.ops.threads import one_thread

    with one_thread():
        return evaluate(Path(faces), folder, checkpoint, split, count, seed, features)
