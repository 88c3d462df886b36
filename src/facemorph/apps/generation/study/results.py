"""What the answers of a perceptual study say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.generation.study.choices import REPORT
from facemorph.errors import ConfigError
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable
from facemorph.metrics.perceptual_study import Interval

if TYPE_CHECKING:
    from facemorph.apps.generation.study.answers import StudyReport


@checked
def results(
    answers: Annotated[Sequence[str | Path], Option(metavar="ANSWERS.csv...")],
    output: OutputFolder,
    *,
    key: Annotated[str | Path, Option(("--key",), "FILE", kind=str)],
    interval: Interval = "wilson",
    allowed: int = 0,
) -> StudyReport:
    """Evaluate the answers of a study.

    Args:
        answers: Files that participants downloaded, or the results of Mechanical Turk.
        output: Folder that gets report.json and results.svg.
        key: key.json of the study.
        interval: How intervals of 95 % are made: wilson, or exact (Clopper and Pearson).
        allowed: Checks that a participant may miss without being left out.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option is at fault; answers are of another study, of unknown questions,
            doubled or out of range; nobody is left.
    """
    if not 0 <= allowed <= 100:
        raise ConfigError("unusable number", where="allowed", expected="0 to 100", found=allowed)
    check_files_exist([*answers, key])
    folder = Path(output)
    check_writable(folder / REPORT)
    from facemorph.apps.generation.study.answers import evaluate_answers

    return evaluate_answers([Path(one) for one in answers], Path(key), folder, interval, allowed)
