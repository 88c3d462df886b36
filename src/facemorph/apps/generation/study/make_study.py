"""Pages of a perceptual study: which of two pictures, or how good one is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.generation.study.choices import PAGE
from facemorph.errors import ConfigError
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import Folder, Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable

if TYPE_CHECKING:
    from facemorph.apps.generation.study.study_files import StudyKey

WHICH = "Which of the two pictures looks more like a photograph of a real person?"
WHICH_OF_REFERENCE = "Which of the outer pictures looks more like the one in the middle?"
HOW = "How much does this picture look like a photograph of a real person?"


@checked
def ab(
    first: Annotated[str | Path, Option(metavar="A_DIR")],
    second: Annotated[str | Path, Option(metavar="B_DIR")],
    output: OutputFolder,
    *,
    reference: Folder = None,
    questions: int | None = None,
    checks: int = 2,
    seed: int = 0,
    question: str | None = None,
    size: int = 320,
    url: str = "",
) -> StudyKey:
    """Make a study that compares two folders of pictures, name by name.

    Args:
        first: Folder A.
        second: Folder B, with pictures of the same names.
        output: Folder that gets study.html (one file, to be opened or sent), questions.csv and the
            pictures in pictures/ for crowd platforms, and key.json, which nobody who answers should
            see.
        reference: Folder of pictures that are shown in the middle.
        questions: How many pairs are asked for, drawn at random; all when not given.
        checks: Questions besides with one right answer: a picture against a ruined copy.
        seed: Decides pairs, order and sides.
        question: What is asked; whether it looks real, or like the reference, when not given.
        size: Longer side of the pictures in pixels.
        url: What stands before the names of pictures in questions.csv, where you host them.

    Returns:
        The content of ``key.json``.

    Raises:
        FacemorphError: An option is at fault; the folders have no pictures in common.
    """
    check_files_exist([first, second, reference])
    _check(output, {"questions": questions, "checks": checks, "size": size})
    from facemorph.apps.generation.study.study_files import make_ab

    asked = question or (WHICH if reference is None else WHICH_OF_REFERENCE)
    folders = [Path(first), Path(second)] + ([] if reference is None else [Path(reference)])
    return make_ab(folders, Path(output), asked, questions, checks, seed, size, url)


@checked
def likert(
    pictures: Annotated[str | Path, Option(metavar="DIR")],
    output: OutputFolder,
    *,
    scale: int = 5,
    question: str = HOW,
    low: str = "not at all",
    high: str = "very much",
    questions: int | None = None,
    checks: int = 2,
    seed: int = 0,
    size: int = 320,
    url: str = "",
) -> StudyKey:
    """Make a study in which pictures are rated.

    Args:
        pictures: Folder of pictures; those in folders inside of it are reported by folder too.
        output: As of ``ab``.
        scale: Ratings go from 1 to this.
        question: What is asked.
        low: What 1 means.
        high: What the highest rating means.
        questions: How many pictures are asked for, drawn at random; all when not given.
        checks: Questions besides that say themselves which rating is right.
        seed: Decides pictures and order.
        size: Longer side of the pictures in pixels.
        url: What stands before the names of pictures in questions.csv, where you host them.

    Returns:
        The content of ``key.json``.

    Raises:
        FacemorphError: An option is at fault, or the folder holds no pictures.
    """
    check_files_exist([pictures])
    if not 2 <= scale <= 9:
        raise ConfigError("unusable number", where="scale", expected="2 to 9", found=scale)
    _check(output, {"questions": questions, "checks": checks, "size": size})
    from facemorph.apps.generation.study.study_files import make_likert

    asked = (question, scale, (low, high))
    return make_likert(Path(pictures), Path(output), asked, questions, checks, seed, size, url)


def _check(output: str | Path, numbers: dict[str, int | None]) -> None:
    limits = {"questions": (1, 10_000), "checks": (0, 100), "size": (32, 2048)}
    for name, value in numbers.items():
        low, high = limits[name]
        if value is not None and not low <= value <= high:
            raise ConfigError(
                "unusable number", where=name, expected=f"{low} to {high}", found=value
            )
    check_writable(Path(output) / PAGE)
